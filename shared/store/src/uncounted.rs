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
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    transaction::{Otherwise, Transaction},
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
    /// Keeps an event that was not counted. Keeping it again changes nothing but the reason, where that is
    /// another one: it stays where it was listed first.
    ///
    /// Errors: `Conflict` if somebody else keeps it at the same time.
    pub async fn put_uncounted_event(
        &self,
        id: EventId,
        tracked: &TrackedEvent,
        why: &Uncounted,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let content = content_of(&tracked.event);
        let by_id = keys::uncounted_by_id(tracked.organization, id, &content);
        let known = self.find_uncounted(&by_id).await?;
        let first = match &known {
            Some(known) if known.why == *why => return Ok(()),
            Some(known) => TrackedEvent { event: known.event.clone(), ..tracked.clone() },
            None => tracked.clone(),
        };
        let listed = keys::uncounted(tracked.organization, first.event.ingested_at, id, &content);
        let item = |key| to_item(key, id, &first, why, at);
        let transaction = Transaction::of_usage(self).overwrite(item(listed));
        let transaction = match known {
            Some(_) => transaction.overwrite(item(by_id)),
            None => transaction.create(item(by_id), Otherwise::Conflict),
        };
        transaction.commit(self).await
    }

    async fn find_uncounted(&self, by_id: &keys::Key) -> Result<Option<UncountedEvent>, StoreError> {
        let found = self.get_from(&self.usage_table, by_id.clone()).await?;
        found.as_ref().map(from_item).transpose()
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

    /// Forgets that an event was not counted, since it counts now.
    pub async fn forget_uncounted_event(
        &self,
        id: EventId,
        tracked: &TrackedEvent,
    ) -> Result<(), StoreError> {
        let content = content_of(&tracked.event);
        let by_id = keys::uncounted_by_id(tracked.organization, id, &content);
        let Some(known) = self.find_uncounted(&by_id).await? else { return Ok(()) };
        let listed = keys::uncounted(tracked.organization, known.event.ingested_at, id, &content);
        Transaction::of_usage(self).release(listed).release(by_id).commit(self).await
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
