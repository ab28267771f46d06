//! Due times: what has to be done, by when. Sweeps walk through them; nothing is kept in a timer.
//!
//! The index only finds candidates. Whether something is still due is decided on the item itself, read
//! consistently.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use domain::id::{CustomerId, OrganizationId};
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

impl Store {
    /// What is due by `cutoff`, oldest first, at most `limit` of each shard. Ask again for the rest once
    /// these are dealt with.
    pub async fn list_due(
        &self,
        kind: DueKind,
        cutoff: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<Due>, StoreError> {
        let shards = (0..keys::DUE_SHARDS).map(|shard| self.list_due_shard(kind, shard, cutoff, limit));
        let mut due = try_join_all(shards).await?.concat();
        due.sort();
        Ok(due)
    }

    async fn list_due_shard(
        &self,
        kind: DueKind,
        shard: u32,
        cutoff: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<Due>, StoreError> {
        let items = self
            .client
            .query()
            .table_name(&self.core_table)
            .index_name("gsi2")
            .limit(limit)
            // `~` sorts behind the `#` that ends every time.
            .key_condition_expression("gsi2pk = :pk AND gsi2sk <= :cutoff")
            .expression_attribute_values(":pk", AttributeValue::S(keys::due_partition(kind, shard)))
            .expression_attribute_values(":cutoff", AttributeValue::S(format!("{}~", time_text(cutoff))))
            .send()
            .await
            .map_err(unavailable)?
            .items
            .unwrap_or_default();
        items.into_iter().map(due_from).collect()
    }
}

/// Reads the keys of an item: `<organization>#CUS#<customer>` and `<kind>#<id>`, due at `<time>#<id>`.
fn due_from(keys: Attributes) -> Result<Due, StoreError> {
    // Keys are all the index projects, so there is no type to check.
    let typed = HashMap::from([
        ("type".to_owned(), AttributeValue::S("due".to_owned())),
        ("schema".to_owned(), AttributeValue::N("1".to_owned())),
    ]);
    let keys = keys.into_iter().chain(typed).collect();
    let item = Reader::new("due", &keys)?;
    let partition = item.text("pk")?.split_once("#CUS#");
    let (organization, customer) = partition.ok_or_else(|| item.corrupt("pk"))?;
    let (_, id) = item.text("sk")?.split_once('#').ok_or_else(|| item.corrupt("sk"))?;
    let (at, _) = item.text("gsi2sk")?.split_once('#').ok_or_else(|| item.corrupt("gsi2sk"))?;
    Ok(Due {
        at: at.parse().map_err(|_| item.corrupt("gsi2sk"))?,
        organization: organization.parse().map_err(|_| item.corrupt("pk"))?,
        customer: customer.parse().map_err(|_| item.corrupt("pk"))?,
        id: id.parse().map_err(|_| item.corrupt("sk"))?,
    })
}
