//! Events that were accepted and not counted, with the reason: kept, shown, never dropped.

use chrono::{DateTime, Utc};
use codec::Block;
use domain::{
    event::{Event, TrackedEvent, UsageEvent},
    id::{CustomerId, EventId, MeterId, OrganizationId},
    month::Month,
};

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader},
    keys,
    transaction::Transaction,
};

/// Why an event was not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// It could not be.
    Rejected {
        /// Why not.
        reason: String,
    },
    /// Its key was counted with other content before; the first is kept.
    Conflict,
}

/// An event that was not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncountedEvent {
    /// The id of all events of its key.
    pub id: EventId,
    /// What it would have counted for.
    pub meter: MeterId,
    /// Who used it.
    pub customer: CustomerId,
    /// Whether the sender gave the key.
    pub has_sender_key: bool,
    /// The event.
    pub event: UsageEvent,
    /// Why it was not counted.
    pub why: Uncounted,
    /// When that was found.
    pub at: DateTime<Utc>,
}

impl UncountedEvent {
    /// Whether its key was counted with other content before; else it could not be counted.
    pub fn is_conflict(&self) -> bool {
        match self.why {
            Uncounted::Conflict => true,
            Uncounted::Rejected { .. } => false,
        }
    }
}

impl Store {
    /// Keeps an event that was not counted. Keeping it again changes nothing.
    pub async fn put_uncounted_event(
        &self,
        id: EventId,
        tracked: &TrackedEvent,
        why: &Uncounted,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (organization, event) = (tracked.organization, &tracked.event);
        let content = content_of(event);
        let listed = keys::uncounted(organization, event.ingested_at, id, &content);
        let by_id = keys::uncounted_by_id(organization, id, &content);
        let write = |transaction: Transaction, key| transaction.overwrite(to_item(key, id, tracked, why, at));
        let transaction = Transaction::of_usage(self);
        write(write(transaction, listed), by_id).commit(self).await
    }

    /// The events that were accepted in a month and not counted, in the order they were accepted in.
    pub async fn list_uncounted_events(
        &self,
        organization: OrganizationId,
        month: Month,
    ) -> Result<Vec<UncountedEvent>, StoreError> {
        let partition = keys::uncounted_partition(organization, month);
        self.query_in(&self.usage_table, partition, "").await?.iter().map(from_item).collect()
    }

    /// What was not counted under the id of one event.
    pub async fn list_uncounted_of(
        &self,
        organization: OrganizationId,
        id: EventId,
    ) -> Result<Vec<UncountedEvent>, StoreError> {
        let partition = keys::uncounted_of(organization, id);
        self.query_in(&self.usage_table, partition, "").await?.iter().map(from_item).collect()
    }

    /// Forgets an event that was not counted, since it was sent again.
    pub async fn delete_uncounted_event(
        &self,
        organization: OrganizationId,
        uncounted: &UncountedEvent,
    ) -> Result<(), StoreError> {
        let content = content_of(&uncounted.event);
        let listed = keys::uncounted(organization, uncounted.event.ingested_at, uncounted.id, &content);
        for key in [listed, keys::uncounted_by_id(organization, uncounted.id, &content)] {
            let request = self.client.delete_item().table_name(&self.usage_table);
            request.set_key(Some(key.attributes())).send().await.map_err(unavailable)?;
        }
        Ok(())
    }
}

/// What tells the events of one id apart. When they were accepted does not.
fn content_of(event: &UsageEvent) -> String {
    let told = UsageEvent { ingested_at: event.occurred_at, ..event.clone() };
    let bytes = codec::encode_events([&told], Month::of(event.occurred_at).start());
    keys::hash(&bytes)
}

fn to_item(key: keys::Key, id: EventId, tracked: &TrackedEvent, why: &Uncounted, at: DateTime<Utc>) -> Item {
    let month = Month::of(tracked.event.occurred_at);
    let reason = match why {
        Uncounted::Rejected { reason } => Some(reason),
        Uncounted::Conflict => None,
    };
    Item::new(key, "uncounted_event")
        .display("id", id)
        .display("meter", tracked.meter)
        .display("customer", tracked.customer)
        .flag("has_sender_key", tracked.has_sender_key)
        .time("month", month.start())
        .bytes("b", codec::encode_events([&tracked.event], month.start()))
        .optional("reason", reason)
        .time("at", at)
}

fn from_item(item: &Attributes) -> Result<UncountedEvent, StoreError> {
    let item = Reader::new("uncounted_event", item)?;
    let block = Block::decode(item.bytes("b")?, item.time("month")?).map_err(|_| item.corrupt("b"))?;
    let event = block.rows().next().map(|row| row.to_event()).ok_or_else(|| item.corrupt("b"))?;
    Ok(UncountedEvent {
        id: item.parse("id")?,
        meter: item.parse("meter")?,
        customer: item.parse("customer")?,
        has_sender_key: item.flag("has_sender_key")?,
        event,
        why: match item.owned("reason")? {
            Some(reason) => Uncounted::Rejected { reason },
            None => Uncounted::Conflict,
        },
        at: item.time("at")?,
    })
}
