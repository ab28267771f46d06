//! Usage events: what a customer used, when, told under a key that makes repeats harmless.

use std::{borrow::Cow, cmp::Ordering};

use chrono::{DateTime, Duration, SubsecRound, Utc};

use crate::{
    id::{CorrectionId, CustomerId, MeterId, OrganizationId},
    property::{Properties, Property},
    quantity::Quantity,
};

/// One usage event as it is kept. Its meter and customer are those of the head it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEvent {
    /// The sender's key for this event, or one made when it was accepted. Compared in full.
    pub key: String,
    /// When the usage happened, to the millisecond. Decides the period it is billed in.
    pub occurred_at: DateTime<Utc>,
    /// When it was accepted, to the millisecond.
    pub ingested_at: DateTime<Utc>,
    /// How much was used.
    pub quantity: Quantity,
    /// Values to aggregate, filter and group by.
    pub properties: Properties,
    /// Whatever else the sender wants to see again. Filters look here second.
    pub metadata: Properties,
    /// Whether it tells of usage, or corrects what was told under its key before.
    pub revision: Revision,
}

/// What an event is to the others of its key and timestamp. The latest correction decides what counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Revision {
    /// It tells of usage.
    #[default]
    First,
    /// It stands in for what was told before.
    Replacement(CorrectionId),
    /// It takes back what was told before: its own quantity does not count.
    Void(CorrectionId),
}

/// What makes two events of one head the same, apart from their revision: when, and the key. Where keys are
/// pinned, equal keys have equal times.
pub type Identity<'a> = (DateTime<Utc>, Cow<'a, str>);

/// An event as folds see it: whole, or as a row of a segment that is not taken apart any further.
pub trait Event {
    /// When the usage happened.
    fn occurred_at(&self) -> DateTime<Utc>;
    /// When it was accepted.
    fn ingested_at(&self) -> DateTime<Utc>;
    /// How much was used.
    fn quantity(&self) -> Quantity;
    /// Its key.
    fn key(&self) -> Cow<'_, str>;
    /// The text of a property, looked for in `properties`, then in `metadata`.
    fn property(&self, name: &str) -> Option<&str>;
    /// The event itself.
    fn to_event(&self) -> UsageEvent;
}

/// An event on its way from the door to its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedEvent {
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it counts for.
    pub meter: MeterId,
    /// Who used it.
    pub customer: CustomerId,
    /// Whether the sender gave the key. Only then can a repeat carry another timestamp.
    pub has_sender_key: bool,
    /// The event itself.
    pub event: UsageEvent,
}

/// Why an event is refused at the door. Names the field at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct InvalidEvent {
    /// The field, as the sender called it.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The longest idempotency key, in characters.
pub const KEY_CHARACTERS_MAX: usize = 255;

/// How far ahead of now an event may lie: clocks differ, and time zones get mixed up.
pub const FUTURE_MAX: Duration = Duration::days(1);

impl Revision {
    /// The correction it is, if it is one.
    pub fn correction(self) -> Option<CorrectionId> {
        match self {
            Self::First => None,
            Self::Replacement(id) | Self::Void(id) => Some(id),
        }
    }
}

impl Event for UsageEvent {
    fn occurred_at(&self) -> DateTime<Utc> {
        self.occurred_at
    }

    fn ingested_at(&self) -> DateTime<Utc> {
        self.ingested_at
    }

    fn quantity(&self) -> Quantity {
        self.quantity
    }

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.key)
    }

    fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).or_else(|| self.metadata.get(name)).and_then(Property::as_text)
    }

    fn to_event(&self) -> UsageEvent {
        self.clone()
    }
}

impl UsageEvent {
    /// What makes it the same as another.
    pub fn identity(&self) -> Identity<'_> {
        (self.occurred_at, Cow::Borrowed(&self.key))
    }

    /// The order of identities.
    pub fn by_identity(&self, other: &Self) -> Ordering {
        self.occurred_at.cmp(&other.occurred_at).then_with(|| self.key.cmp(&other.key))
    }

    /// About how many bytes it takes in a segment, to tell when a window has become dense.
    pub fn approximate_bytes(&self) -> usize {
        let key = if self.key.len() == 36 { 16 } else { self.key.len() };
        let properties = self.properties.iter().chain(&self.metadata);
        // Names and most values repeat, and are kept once.
        let properties = properties.map(|(_, value)| 1 + value.as_text().map_or(2, str::len) / 4);
        key + 6 + properties.sum::<usize>()
    }

    /// Whether `other`, under the same key, says something else: another quantity or other properties.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.quantity != other.quantity
            || self.properties != other.properties
            || self.metadata != other.metadata
    }
}

/// The instant an event is kept under: `at` without what is finer than a millisecond.
///
/// Errors: if it lies more than [`FUTURE_MAX`] after `now`, or before 1970.
pub fn occurred_at(at: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, InvalidEvent> {
    let invalid = |reason| Err(InvalidEvent { field: "timestamp", reason });
    if at > now + FUTURE_MAX {
        return invalid("lies more than a day ahead");
    }
    if at < DateTime::UNIX_EPOCH {
        return invalid("lies before 1970");
    }
    Ok(at.trunc_subsecs(3))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event with nothing but a key, a time and a quantity.
    pub(crate) fn event(key: &str, at: &str, quantity: &str) -> UsageEvent {
        let at = at.parse().unwrap();
        UsageEvent {
            key: key.into(),
            occurred_at: at,
            ingested_at: at,
            quantity: quantity.parse().unwrap(),
            properties: Properties::new(),
            metadata: Properties::new(),
            revision: Revision::First,
        }
    }

    #[test]
    fn an_event_may_lie_a_day_ahead_and_not_more() {
        let now: DateTime<Utc> = "2025-01-15T10:00:00Z".parse().unwrap();
        let check = |at: &str| occurred_at(at.parse().unwrap(), now).map(|at| at.to_string());
        assert_eq!(check("2025-01-16T10:00:00Z"), Ok("2025-01-16 10:00:00 UTC".into()));
        assert_eq!(check("2025-01-16T10:00:00.001Z").unwrap_err().field, "timestamp");
        assert_eq!(check("1969-12-31T23:59:59Z").unwrap_err().reason, "lies before 1970");
        assert_eq!(check("2025-01-15T09:59:59.9999Z"), Ok("2025-01-15 09:59:59.999 UTC".into()));
    }
}
