//! Pages of lists that go through the index, newest first.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    id::{CustomerId, OrganizationId, PlanId},
    invoice::InvoiceNumber,
};
use futures::future::try_join_all;

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::Attributes,
    keys,
};

/// Which rows of a list are asked for.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Where the page begins.
    pub position: Position,
    /// How many rows it has at most.
    pub size: usize,
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub enum Position {
    /// At page number n, from 1.
    Number(usize),
    /// After the row that an earlier page's cursor stands for. Fast at any depth.
    After(String),
}

/// Some rows of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// How many rows the whole list has.
    pub total: usize,
    /// Leads to the page after this one, if there is one. Holds a place in the order, and nothing that
    /// could lead into another organization's list.
    pub next_cursor: Option<String>,
}

/// A list: what is listed, over how many shards, and which of it.
#[derive(Clone, Debug)]
pub(crate) struct List<'a> {
    pub(crate) what: &'a str,
    pub(crate) shards: u32,
    /// Only rows with this value of this attribute.
    pub(crate) filter: Option<(&'static str, String)>,
}

/// Which subscriptions or invoices of an organization are listed: all that fit what is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only those of one customer.
    pub customer: Option<CustomerId>,
    /// Only those in one state, given as on the wire.
    pub status: Option<&'static str>,
    /// Only those of one plan.
    pub plan: Option<PlanId>,
}

/// A condition on the rows of a list, beside its filter.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// A text attribute lies between one value and, without it, another.
    Between(&'static str, String, String),
    /// The plan is this one.
    Plan(PlanId),
    /// The invoice has this number.
    Number(InvoiceNumber),
}

impl<T> Page<T> {
    /// The same page with each row mapped.
    pub fn try_map<U, E>(self, map: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let rows = self.rows.into_iter().map(map).collect::<Result<_, _>>()?;
        Ok(Page { rows, total: self.total, next_cursor: self.next_cursor })
    }

    /// The page of `rows`, which are the whole list in order, each with its place in it.
    pub fn of(rows: Vec<(String, T)>, request: &PageRequest) -> Self {
        let total = rows.len();
        let rows = rows.into_iter();
        let page = match &request.position {
            Position::Number(number) => {
                let skip = number.saturating_sub(1).saturating_mul(request.size);
                Self::first_of(rows.skip(skip), request.size)
            }
            Position::After(place) => {
                Self::first_of(rows.skip_while(|(sort, _)| sort.as_str() >= place.as_str()), request.size)
            }
        };
        Self { total, ..page }
    }

    /// The page of the first `size` of `rows`, each with its place in the order. Its total is its own.
    pub fn first_of(rows: impl IntoIterator<Item = (String, T)>, size: usize) -> Self {
        let mut rows = rows.into_iter();
        let (sorts, page): (Vec<_>, Vec<_>) = rows.by_ref().take(size).unzip();
        let is_last = rows.next().is_none();
        let next_cursor = sorts.last().filter(|_| !is_last).map(|sort| URL_SAFE_NO_PAD.encode(sort));
        Self { total: page.len(), rows: page, next_cursor }
    }
}

/// What rows have to fit, as expressions.
struct RowFilter {
    expressions: Vec<&'static str>,
    names: Vec<(&'static str, &'static str)>,
    values: Vec<(&'static str, AttributeValue)>,
}

impl RowFilter {
    fn new(list: &List<'_>, conditions: &[Condition]) -> Self {
        let mut filter = Self { expressions: Vec::new(), names: Vec::new(), values: Vec::new() };
        if let Some((name, value)) = &list.filter {
            filter.expressions.push("#filter = :filter");
            filter.names.push(("#filter", name));
            filter.values.push((":filter", AttributeValue::S(value.clone())));
        }
        conditions.iter().for_each(|condition| filter.add(condition));
        filter
    }

    fn add(&mut self, condition: &Condition) {
        match condition {
            Condition::Between(attribute, from, until) => {
                self.expressions.push("#range >= :from AND #range < :until");
                self.names.push(("#range", attribute));
                self.values.push((":from", AttributeValue::S(from.clone())));
                self.values.push((":until", AttributeValue::S(until.clone())));
            }
            Condition::Plan(plan) => {
                self.expressions.push("#plan = :plan");
                self.names.push(("#plan", "plan"));
                self.values.push((":plan", AttributeValue::S(plan.to_string())));
            }
            Condition::Number(InvoiceNumber { year, sequence }) => {
                self.expressions.push("#number.#year = :year AND #number.#sequence = :sequence");
                self.names.extend([("#number", "number"), ("#year", "year"), ("#sequence", "sequence")]);
                self.values.push((":year", AttributeValue::S(year.to_string())));
                self.values.push((":sequence", AttributeValue::N(sequence.to_string())));
            }
        }
    }

    fn expression(&self) -> Option<String> {
        (!self.expressions.is_empty()).then(|| self.expressions.join(" AND "))
    }
}

impl Position {
    /// The position that a cursor stands for; `None` if it is none of ours.
    pub fn from_cursor(cursor: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        String::from_utf8(bytes).ok().map(Self::After)
    }
}

impl Store {
    /// A page of a list, newest first: reads each shard as far as the page may reach, and merges them.
    pub(crate) async fn list(
        &self,
        organization: OrganizationId,
        list: &List<'_>,
        request: &PageRequest,
    ) -> Result<Page<Attributes>, StoreError> {
        self.list_where(organization, list, &[], request).await
    }

    /// As [`Store::list`], of the rows that meet conditions, each given once.
    pub(crate) async fn list_where(
        &self,
        organization: OrganizationId,
        list: &List<'_>,
        conditions: &[Condition],
        request: &PageRequest,
    ) -> Result<Page<Attributes>, StoreError> {
        let filter = RowFilter::new(list, conditions);
        let (skip, after) = match &request.position {
            Position::Number(number) => (number.saturating_sub(1).saturating_mul(request.size), None),
            Position::After(place) => (0, Some(place.as_str())),
        };
        let reach = skip.saturating_add(request.size).saturating_add(1);
        let partitions = (0..list.shards).map(|shard| keys::list(organization, list.what, shard));
        let partitions = partitions.collect::<Vec<_>>();
        let read = partitions.iter().map(|partition| self.list_shard(partition, &filter, after, reach));
        let count = partitions.iter().map(|partition| self.count_shard(partition, &filter));
        let (rows, counts) = futures::future::try_join(try_join_all(read), try_join_all(count)).await?;

        let mut rows = rows.into_iter().flatten().collect::<Vec<_>>();
        rows.sort_by(|(left, _), (right, _)| right.cmp(left));
        rows.truncate(reach);
        let page = Page::of(rows, &PageRequest { position: request.position.clone(), size: request.size });
        Ok(Page { total: counts.into_iter().sum(), ..page })
    }

    /// The first `size` rows of a list behind a place in its order, newest first, without the count that a
    /// page comes with.
    pub(crate) async fn list_after(
        &self,
        organization: OrganizationId,
        list: &List<'_>,
        after: Option<&str>,
        size: usize,
    ) -> Result<Vec<Attributes>, StoreError> {
        let filter = RowFilter::new(list, &[]);
        let partitions = (0..list.shards).map(|shard| keys::list(organization, list.what, shard));
        let partitions = partitions.collect::<Vec<_>>();
        let read = partitions.iter().map(|partition| self.list_shard(partition, &filter, after, size));
        let mut rows = try_join_all(read).await?.concat();
        rows.sort_by(|(left, _), (right, _)| right.cmp(left));
        Ok(rows.into_iter().take(size).map(|(_, row)| row).collect())
    }

    async fn list_shard(
        &self,
        partition: &str,
        filter: &RowFilter,
        after: Option<&str>,
        reach: usize,
    ) -> Result<Vec<(String, Attributes)>, StoreError> {
        let mut rows = Vec::new();
        let mut start: Option<HashMap<String, AttributeValue>> = None;
        loop {
            let mut request = self
                .client
                .query()
                .table_name(&self.core_table)
                .index_name("gsi1")
                .scan_index_forward(false)
                .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
                .set_exclusive_start_key(start);
            request = match after {
                Some(place) => request
                    .key_condition_expression("gsi1pk = :pk AND gsi1sk < :place")
                    .expression_attribute_values(":place", AttributeValue::S(place.to_owned())),
                None => request.key_condition_expression("gsi1pk = :pk"),
            };
            request = match filter.expression() {
                Some(expression) => {
                    request = request.filter_expression(expression);
                    for (name, attribute) in &filter.names {
                        request = request.expression_attribute_names(*name, *attribute);
                    }
                    for (name, value) in &filter.values {
                        request = request.expression_attribute_values(*name, value.clone());
                    }
                    request
                }
                None => request.limit(i32::try_from(reach - rows.len()).unwrap_or(i32::MAX)),
            };
            let page = request.send().await.map_err(unavailable)?;
            for attributes in page.items.unwrap_or_default() {
                if let Some(AttributeValue::S(sort)) = attributes.get("gsi1sk") {
                    rows.push((sort.clone(), attributes));
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() || rows.len() >= reach {
                rows.truncate(reach);
                return Ok(rows);
            }
        }
    }

    async fn count_shard(&self, partition: &str, filter: &RowFilter) -> Result<usize, StoreError> {
        let mut total = 0;
        let mut start: Option<HashMap<String, AttributeValue>> = None;
        loop {
            let mut request = self
                .client
                .query()
                .table_name(&self.core_table)
                .index_name("gsi1")
                .select(Select::Count)
                .key_condition_expression("gsi1pk = :pk")
                .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
                .set_exclusive_start_key(start);
            if let Some(expression) = filter.expression() {
                request = request.filter_expression(expression);
                for (name, attribute) in &filter.names {
                    request = request.expression_attribute_names(*name, *attribute);
                }
                for (name, value) in &filter.values {
                    request = request.expression_attribute_values(*name, value.clone());
                }
            }
            let page = request.send().await.map_err(unavailable)?;
            total += usize::try_from(page.count).unwrap_or_default();
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(total);
            }
        }
    }
}
