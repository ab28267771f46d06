//! Typed identifiers: an `InvoiceId` is never a `PlanId`, and parsing is the only way in.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData, str::FromStr};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What an id names. Implemented by marker types only.
pub trait Kind {
    /// How messages call it: "an invoice id".
    const NAME: &'static str;
}

/// A UUID that names one thing of kind `K`. On the wire it is the bare UUID, in lower case.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

/// Text that is not a UUID where an id of some kind was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind}")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
}

impl<K> Id<K> {
    /// A version 7 id from the time it is made at and 10 random (or derived) bytes.
    ///
    /// Ids of this version sort by time, to the millisecond. With bytes derived from what the id stands
    /// for, the same input always gives the same id, which makes creating it again a repeat.
    pub fn from_parts(at: DateTime<Utc>, entropy: [u8; 10]) -> Self {
        let millis = at.timestamp_millis().to_be_bytes();
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(millis.iter().skip(2).chain(&entropy)) {
            *to = *from;
        }
        let builder = uuid::Builder::from_bytes(bytes).with_variant(uuid::Variant::RFC4122);
        Self::from_uuid(builder.with_version(uuid::Version::SortRand).into_uuid())
    }

    /// The id that has this UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// The bare UUID.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    /// Takes the hyphenated form only, in either case.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.chars().take(64).collect(), kind: K::NAME };
        if text.len() != 36 {
            return Err(invalid());
        }
        Uuid::try_parse(text).map(Self::from_uuid).map_err(|_| invalid())
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

/// Declares a kind of id: its marker, the name of its ids, and how messages call one.
macro_rules! kinds {
    ($($marker:ident, $alias:ident, $name:literal;)*) => {$(
        #[doc = concat!("Marks ", $name, ".")]
        pub enum $marker {}
        impl Kind for $marker {
            const NAME: &'static str = $name;
        }
        #[doc = concat!("Names one thing: ", $name, ".")]
        pub type $alias = Id<$marker>;
    )*};
}

kinds! {
    OrganizationKind, OrganizationId, "an organization id";
    UserKind, UserId, "a user id";
    ApiKeyKind, ApiKeyId, "an API key id";
    FeatureKind, FeatureId, "a feature id";
    MeterKind, MeterId, "a meter id";
    CorrectionKind, CorrectionId, "a correction id";
    MeterTokenKind, MeterToken, "a meter token";
    PlanKind, PlanId, "a plan id";
    ChargeKind, ChargeId, "a charge id";
    CustomerKind, CustomerId, "a customer id";
    SubscriptionKind, SubscriptionId, "a subscription id";
    InvoiceKind, InvoiceId, "an invoice id";
    EventKind, EventId, "a usage event id";
    OutboxKind, OutboxId, "an outbox entry id";
    SessionKind, SessionId, "a session id";
    AlertKind, AlertId, "an alert id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_its_hyphenated_form_only() {
        let text = "01946a5c-9f00-7abc-8def-0123456789ab";
        assert_eq!(text.parse::<InvoiceId>().unwrap().to_string(), text);
        for wrong in ["", "abc", "01946a5c9f007abc8def0123456789ab", "{01946a5c-9f00-7abc-8def-0123456789a}"]
        {
            let error = wrong.parse::<InvoiceId>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{wrong}` is not an invoice id"));
        }
    }

    #[test]
    fn derived_ids_sort_by_time_and_are_of_version_7() {
        let at = DateTime::from_timestamp_millis(1_735_689_600_123).unwrap();
        let early = PlanId::from_parts(at, [0xff; 10]);
        let late = PlanId::from_parts(at + chrono::Duration::milliseconds(1), [0; 10]);
        assert!(early < late);
        assert_eq!(early.uuid().get_version_num(), 7);
        for id in [early, late] {
            let uuid = id.uuid();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
        }
        assert_eq!(early, PlanId::from_parts(at, [0xff; 10]));
    }
}
