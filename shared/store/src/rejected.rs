//! Events that were accepted and then could not be counted, with the reason: kept, shown, never dropped.

use chrono::{DateTime, Utc};
use domain::{
    event::TrackedEvent,
    id::{CustomerId, MeterId, OrganizationId},
    month::Month,
};

use crate::{
    client::Store,
    codec,
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader},
    keys,
};

/// An event that was not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedEvent {
    /// What it would have counted for.
    pub meter: MeterId,
    /// Who used it.
    pub customer: CustomerId,
    /// The event.
    pub event: domain::event::UsageEvent,
    /// Why it was not counted.
    pub reason: String,
    /// When that was found.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Keeps an event that could not be counted. Keeping it again changes nothing.
    pub async fn put_rejected_event(
        &self,
        tracked: &TrackedEvent,
        reason: &str,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // Its own place follows from the event, so that a repeat finds the same.
        let identity = format!("{}#{}#{}", tracked.meter, tracked.customer, tracked.event.key);
        let key = keys::rejected(tracked.organization, tracked.event.ingested_at, keys::sha256(&identity));
        let month = Month::of(tracked.event.occurred_at);
        let item = Item::new(key, "rejected_event")
            .display("meter", tracked.meter)
            .display("customer", tracked.customer)
            .time("occurred_at", tracked.event.occurred_at)
            .bytes("b", codec::encode_segment(std::slice::from_ref(&tracked.event), month))
            .text("reason", reason)
            .time("at", at);
        let request = self.client.put_item().table_name(&self.usage_table);
        request.set_item(Some(item.into_attributes())).send().await.map_err(unavailable)?;
        Ok(())
    }

    /// The events that were accepted in a month and not counted, oldest first.
    pub async fn list_rejected_events(
        &self,
        organization: OrganizationId,
        month: Month,
    ) -> Result<Vec<RejectedEvent>, StoreError> {
        let items =
            self.query_in(&self.usage_table, keys::rejected_partition(organization, month), "").await?;
        items.iter().map(from_item).collect()
    }
}

fn from_item(item: &Attributes) -> Result<RejectedEvent, StoreError> {
    let item = Reader::new("rejected_event", item)?;
    let month = Month::of(item.time("occurred_at")?);
    let events = codec::decode_segment(item.bytes("b")?, month).map_err(|_| item.corrupt("b"))?;
    Ok(RejectedEvent {
        meter: item.parse("meter")?,
        customer: item.parse("customer")?,
        event: events.into_iter().next().ok_or_else(|| item.corrupt("b"))?,
        reason: item.text("reason")?.to_owned(),
        at: item.time("at")?,
    })
}
