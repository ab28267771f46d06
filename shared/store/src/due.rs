//! Due times: what has to be done, by when. Sweeps walk through them; nothing is kept in a timer.
//!
//! The index only finds candidates. Whether something is still due is decided on the item itself, read
//! consistently.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use domain::id::{AlertId, CustomerId, OrganizationId};
use futures::future::try_join_all;
use uuid::Uuid;

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::{Attributes, Reader, time_text},
    keys,
};

/// What kind of thing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// A subscription's trial or period ends.
    PeriodEnd,
    /// A draft's grace period ends.
    GraceEnd,
    /// An invoice of a subscription is not paid in time.
    PaymentDue,
    /// Something is to be told.
    Outbox,
}

/// One thing that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Whose it is.
    pub organization: OrganizationId,
    /// The customer it is about.
    pub customer: CustomerId,
    /// The subscription, invoice or outbox entry.
    pub id: Uuid,
}

/// An alert that is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueAlert {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Which.
    pub alert: AlertId,
}

impl Store {
    /// What is due by `cutoff`, oldest first, at most `limit` of each shard. Ask again for the rest once
    /// these are dealt with.
    pub async fn list_due(
        &self,
        kind: DueKind,
        cutoff: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<Due>, StoreError> {
        let partitions = (0..keys::DUE_SHARDS).map(|shard| keys::due_partition(kind, shard));
        self.list_due_in(partitions, cutoff, limit, due_from).await
    }

    /// The alerts that are to be looked at by `cutoff`, oldest first, at most `limit` of each shard.
    pub async fn list_due_alerts(
        &self,
        cutoff: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<DueAlert>, StoreError> {
        let partitions = (0..keys::DUE_SHARDS).map(keys::alert_due_partition);
        self.list_due_in(partitions, cutoff, limit, due_alert_from).await
    }

    async fn list_due_in<T: Ord>(
        &self,
        partitions: impl Iterator<Item = String>,
        cutoff: DateTime<Utc>,
        limit: i32,
        read: impl Fn(Reader<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let shards = partitions.map(|partition| self.list_due_shard(partition, cutoff, limit));
        let items = try_join_all(shards).await?.into_iter().flatten();
        let due = items.map(|keys| {
            // Keys are all the index projects, so there is no type to check.
            let typed = HashMap::from([
                ("type".to_owned(), AttributeValue::S("due".to_owned())),
                ("schema".to_owned(), AttributeValue::N("1".to_owned())),
            ]);
            read(Reader::new("due", &keys.into_iter().chain(typed).collect())?)
        });
        let mut due = due.collect::<Result<Vec<_>, _>>()?;
        due.sort();
        Ok(due)
    }

    async fn list_due_shard(
        &self,
        partition: String,
        cutoff: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<Attributes>, StoreError> {
        let sent = self
            .client
            .query()
            .table_name(&self.core_table)
            .index_name("gsi2")
            .limit(limit)
            // `~` sorts behind the `#` that ends every time.
            .key_condition_expression("gsi2pk = :pk AND gsi2sk <= :cutoff")
            .expression_attribute_values(":pk", AttributeValue::S(partition))
            .expression_attribute_values(":cutoff", AttributeValue::S(format!("{}~", time_text(cutoff))))
            .send()
            .await;
        Ok(sent.map_err(unavailable)?.items.unwrap_or_default())
    }
}

/// Reads the keys of an item: `<organization>#CUS#<customer>` and `<kind>#<id>`, due at `<time>#<id>`.
fn due_from(item: Reader<'_>) -> Result<Due, StoreError> {
    let partition = item.text("pk")?.split_once("#CUS#");
    let (organization, customer) = partition.ok_or_else(|| item.corrupt("pk"))?;
    let (_, id) = item.text("sk")?.split_once('#').ok_or_else(|| item.corrupt("sk"))?;
    Ok(Due {
        at: due_time(item)?,
        organization: organization.parse().map_err(|_| item.corrupt("pk"))?,
        customer: customer.parse().map_err(|_| item.corrupt("pk"))?,
        id: id.parse().map_err(|_| item.corrupt("sk"))?,
    })
}

/// Reads the keys of an alert: `<organization>` and `ALERT#<id>`, due at `<time>#<id>`.
fn due_alert_from(item: Reader<'_>) -> Result<DueAlert, StoreError> {
    let id = item.text("sk")?.strip_prefix(keys::ALERTS).ok_or_else(|| item.corrupt("sk"))?;
    let alert = id.parse().map_err(|_| item.corrupt("sk"))?;
    Ok(DueAlert { at: due_time(item)?, organization: item.parse("pk")?, alert })
}

fn due_time(item: Reader<'_>) -> Result<DateTime<Utc>, StoreError> {
    let (at, _) = item.text("gsi2sk")?.split_once('#').ok_or_else(|| item.corrupt("gsi2sk"))?;
    at.parse().map_err(|_| item.corrupt("gsi2sk"))
}
