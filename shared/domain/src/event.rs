//! Usage events: what a customer used, when, told under a key that makes repeats harmless.

use chrono::{DateTime, Duration, SubsecRound, Utc};

use crate::{
    id::{CustomerId, MeterId, OrganizationId},
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

impl UsageEvent {
    /// The text of a property, looked for in `properties`, then in `metadata`.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).or_else(|| self.metadata.get(name)).and_then(Property::as_text)
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
