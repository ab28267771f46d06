//! Meters, found by id, by token and by name.

use chrono::{DateTime, Utc};
use domain::{
    id::{MeterId, MeterToken, OrganizationId},
    meter::{Aggregation, DeduplicateBy, Filter, FilterOperator, Meter},
};

use crate::{
    client::Store,
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys::{self, Key},
    page::{List, Page, PageRequest},
};

/// What only a deleted meter has.
const DELETED_AT: &str = "deleted_at";

const LIST: List = List { what: "METER", shards: 1, filter: None };

impl Store {
    /// A meter.
    pub async fn get_meter(&self, organization: OrganizationId, id: MeterId) -> Result<Meter, StoreError> {
        let item = self.get(keys::meter(organization, id)).await?;
        let item = item.filter(|item| !item.contains_key(DELETED_AT)).ok_or(StoreError::NotFound("meter"))?;
        from_item(&item)
    }

    /// A meter, also one that was deleted: what it counted stays, and is told of by it.
    pub async fn get_meter_or_deleted(
        &self,
        organization: OrganizationId,
        id: MeterId,
    ) -> Result<Meter, StoreError> {
        let item = self.get(keys::meter(organization, id)).await?.ok_or(StoreError::NotFound("meter"))?;
        from_item(&item)
    }

    /// The meter of this name.
    pub async fn find_meter_by_name(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Result<Option<Meter>, StoreError> {
        match self.find_meter_id_by_name(organization, name).await? {
            Some(id) => self.get_meter(organization, id).await.map(Some),
            None => Ok(None),
        }
    }

    /// The meter that the SDK names by `token`: it is there as long as its token is.
    pub async fn find_meter_id_by_token(
        &self,
        organization: OrganizationId,
        token: MeterToken,
    ) -> Result<Option<MeterId>, StoreError> {
        self.find_claimed_meter(keys::meter_token(organization, token)).await
    }

    /// The meter of this name: it is there as long as its name is taken.
    pub async fn find_meter_id_by_name(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Result<Option<MeterId>, StoreError> {
        self.find_claimed_meter(keys::claim(organization, "METER", name)).await
    }

    async fn find_claimed_meter(&self, claim: Key) -> Result<Option<MeterId>, StoreError> {
        let Some(claim) = self.get(claim).await? else { return Ok(None) };
        Reader::new("claim", &claim)?.parse("owner").map(Some)
    }

    /// The meters of an organization.
    pub async fn list_meters(
        &self,
        organization: OrganizationId,
        request: &PageRequest,
    ) -> Result<Page<Meter>, StoreError> {
        self.list(organization, &LIST, request).await?.try_map(|item| from_item(&item))
    }
}

pub(crate) fn meter_item(organization: OrganizationId, meter: &Meter) -> Item {
    item(organization, meter).listed(keys::list(organization, LIST.what, 0), meter.id)
}

/// A meter that was deleted at `at`. It is in no list.
pub(crate) fn deleted_meter_item(organization: OrganizationId, meter: &Meter, at: DateTime<Utc>) -> Item {
    item(organization, meter).time(DELETED_AT, at)
}

fn item(organization: OrganizationId, meter: &Meter) -> Item {
    let filters = meter.filters.iter().map(|filter| {
        Item::default()
            .text("property", &filter.property)
            .text("operator", operator_text(filter.operator))
            .texts("values", &filter.values)
    });
    Item::new(keys::meter(organization, meter.id), "meter")
        .number("version", meter.version + 1)
        .display("id", meter.id)
        .display("token", meter.token)
        .display("feature", meter.feature)
        .text("name", &meter.name)
        .text("property", &meter.property)
        .text("aggregation", aggregation_text(meter.aggregation))
        .optional("unit", meter.unit.as_deref())
        .list("filters", filters)
        .text("deduplicate_by", deduplicate_text(meter.deduplicate_by))
        .time("created_at", meter.created_at)
}

fn from_item(item: &Attributes) -> Result<Meter, StoreError> {
    let item = Reader::new("meter", item)?;
    let filter = |filter: Reader<'_>| {
        Ok(Filter {
            property: filter.text("property")?.to_owned(),
            operator: find(OPERATORS, operator_text, filter.text("operator")?)
                .ok_or_else(|| filter.corrupt("operator"))?,
            values: filter.texts("values")?.into_iter().map(str::to_owned).collect(),
        })
    };
    Ok(Meter {
        id: item.parse("id")?,
        token: item.parse("token")?,
        feature: item.parse("feature")?,
        name: item.text("name")?.to_owned(),
        property: item.text("property")?.to_owned(),
        aggregation: find(AGGREGATIONS, aggregation_text, item.text("aggregation")?)
            .ok_or_else(|| item.corrupt("aggregation"))?,
        unit: item.owned("unit")?,
        filters: item.list("filters")?.into_iter().map(filter).collect::<Result<_, StoreError>>()?,
        deduplicate_by: find(DEDUPLICATE_BY, deduplicate_text, item.text("deduplicate_by")?)
            .ok_or_else(|| item.corrupt("deduplicate_by"))?,
        created_at: item.time("created_at")?,
        version: item.number("version")?,
    })
}

/// The one of `all` that is written as `text`.
fn find<T: Copy>(all: &[T], written: fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|one| written(*one) == text)
}

const AGGREGATIONS: &[Aggregation] = &[
    Aggregation::Count,
    Aggregation::Sum,
    Aggregation::Max,
    Aggregation::Min,
    Aggregation::Last,
    Aggregation::UniqueCount,
    Aggregation::WeightedSum,
];

fn aggregation_text(aggregation: Aggregation) -> &'static str {
    match aggregation {
        Aggregation::Count => "count",
        Aggregation::Sum => "sum",
        Aggregation::Max => "max",
        Aggregation::Min => "min",
        Aggregation::Last => "last",
        Aggregation::UniqueCount => "unique_count",
        Aggregation::WeightedSum => "weighted_sum",
    }
}

const OPERATORS: &[FilterOperator] = &[
    FilterOperator::Equals,
    FilterOperator::NotEquals,
    FilterOperator::In,
    FilterOperator::NotIn,
    FilterOperator::Exists,
];

fn operator_text(operator: FilterOperator) -> &'static str {
    match operator {
        FilterOperator::Equals => "equals",
        FilterOperator::NotEquals => "not_equals",
        FilterOperator::In => "in",
        FilterOperator::NotIn => "not_in",
        FilterOperator::Exists => "exists",
    }
}

const DEDUPLICATE_BY: &[DeduplicateBy] = &[DeduplicateBy::Key, DeduplicateBy::KeyAndTimestamp];

fn deduplicate_text(by: DeduplicateBy) -> &'static str {
    match by {
        DeduplicateBy::Key => "key",
        DeduplicateBy::KeyAndTimestamp => "key_and_timestamp",
    }
}
