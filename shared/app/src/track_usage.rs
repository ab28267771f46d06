//! Usage at the door: checked, named, and queued. What is refused here is refused at once, with its field;
//! what is accepted is counted exactly once.

use std::collections::{HashMap, HashSet};

use auth::Actor;
use chrono::{DateTime, SubsecRound, Utc};
use domain::{
    event::{KEY_CHARACTERS_MAX, Revision, TrackedEvent, UsageEvent, occurred_at},
    id::{CustomerId, EventId, Id, MeterId, MeterToken, OrganizationId},
    meter::{Aggregation, Meter},
    property::{Properties, Property},
    quantity::Quantity,
    user::Scope,
};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use store::{StoreError, event_bytes, if_there};

use crate::{AppError, Platform, customers::find_or_create, send_usage::send};

/// Usage that a sender tells of.
#[derive(Clone, Debug)]
pub struct Usage {
    /// What was used.
    pub meter: MeterRef,
    /// By whom.
    pub customer: CustomerRef,
    /// How much; looked for in `properties` under the meter's property if not given.
    pub quantity: Option<Quantity>,
    /// When; now if not given.
    pub timestamp: Option<DateTime<Utc>>,
    /// The sender's key for this event.
    pub idempotency_key: Option<String>,
    /// Values to aggregate, filter and group by.
    pub properties: Properties,
    /// Whatever else.
    pub metadata: Properties,
}

/// How a sender names a meter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MeterRef {
    /// By its id.
    Id(MeterId),
    /// By the token it has for SDKs.
    Token(MeterToken),
    /// By its name.
    Name(String),
}

/// How a sender names a customer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CustomerRef {
    /// By our id.
    Id(CustomerId),
    /// By its own.
    ExternalId(String),
}

/// Usage that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Names the event. The same for a repeat.
    pub id: EventId,
    /// The event as it was queued.
    pub tracked: TrackedEvent,
}

/// Accepts one event, and returns only when the queue has it.
///
/// Errors: `NotFound` for an unknown meter, and an unknown customer if the organization wants it so;
/// `Invalid` with the field for anything that could not be counted.
pub async fn track(platform: &Platform, actor: &Actor, usage: Usage) -> Result<Accepted, AppError> {
    let missing = || Err(AppError::internal("an event was left without a verdict"));
    track_all(platform, actor, vec![usage]).await?.pop().unwrap_or_else(missing)
}

/// Accepts events, each for itself: one verdict per event, in order, `Ok` only when the queue has it.
///
/// Errors: `Forbidden` without the scope.
pub async fn track_all(
    platform: &Platform,
    actor: &Actor,
    events: Vec<Usage>,
) -> Result<Vec<Result<Accepted, AppError>>, AppError> {
    actor.require(Scope::UsageWrite)?;
    let door = Door::open(platform, actor, &events).await;
    let mut verdicts = Vec::with_capacity(events.len());
    for usage in events {
        verdicts.push(accept(platform, actor, &door, usage).await);
    }
    send(platform, &mut verdicts).await;
    Ok(verdicts)
}

/// The most bytes of one event, with its properties and metadata.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// The largest level of a WEIGHTED_SUM meter, 10^15: held for ten years, its area is still exact.
const LEVEL_MAX: Quantity = Quantity::from_units(10_i128.pow(15 + Quantity::DECIMALS));

/// What the events of one request name, each looked up once.
struct Door {
    meters: HashMap<MeterRef, Result<Option<Meter>, StoreError>>,
    customers: HashMap<CustomerRef, Result<CustomerId, AppError>>,
}

/// Lookups under way at once.
const CONCURRENT: usize = 16;

impl Door {
    async fn open(platform: &Platform, actor: &Actor, events: &[Usage]) -> Self {
        let meters = events.iter().map(|usage| usage.meter.clone()).collect::<HashSet<_>>();
        let meters = meters.into_iter().map(|meter| async move {
            let found = find_meter(platform, actor, &meter).await;
            (meter, found)
        });
        let meters = stream::iter(meters).buffer_unordered(CONCURRENT).collect::<HashMap<_, _>>().await;
        // An event that is refused makes no customer.
        let now = platform.now().trunc_subsecs(3);
        let is_fine = |usage: &&Usage| matches!(meters.get(&usage.meter), Some(Ok(Some(meter))) if checked(meter, usage, now).is_ok());
        let customers = events.iter().filter(is_fine).map(|usage| usage.customer.clone());
        let customers = customers.collect::<HashSet<_>>().into_iter().map(|customer| async move {
            let found = match &customer {
                CustomerRef::Id(id) => match platform.store.get_customer(actor.organization, *id).await {
                    Ok(customer) => Ok(customer.id),
                    Err(error) => Err(error.into()),
                },
                CustomerRef::ExternalId(external_id) => find_or_create(platform, actor, external_id).await,
            };
            (customer, found)
        });
        let customers = customers.collect::<Vec<_>>();
        let customers = stream::iter(customers).buffer_unordered(CONCURRENT).collect().await;
        Self { meters, customers }
    }

    fn meter(&self, named: &MeterRef) -> Result<&Meter, AppError> {
        match self.meters.get(named) {
            Some(Ok(Some(meter))) => Ok(meter),
            Some(Ok(None)) | None => Err(AppError::NotFound("meter")),
            Some(Err(error)) => Err(AppError::Unavailable(error.to_string().into())),
        }
    }

    fn customer(&self, named: &CustomerRef) -> Result<CustomerId, AppError> {
        match self.customers.get(named) {
            Some(Ok(id)) => Ok(*id),
            Some(Err(AppError::NotFound(kind))) => Err(AppError::NotFound(kind)),
            Some(Err(error)) => Err(AppError::Unavailable(error.to_string().into())),
            None => Err(AppError::NotFound("customer")),
        }
    }
}

async fn accept(platform: &Platform, actor: &Actor, door: &Door, usage: Usage) -> Result<Accepted, AppError> {
    let meter = door.meter(&usage.meter)?;
    let now = platform.now().trunc_subsecs(3);
    let event = checked(meter, &usage, now)?;
    let ingested_at = match meter.aggregation {
        // Of events at one time, the one that is told last counts.
        Aggregation::Last | Aggregation::WeightedSum => platform.arrival(now),
        Aggregation::Sum
        | Aggregation::Count
        | Aggregation::Max
        | Aggregation::Min
        | Aggregation::UniqueCount => now,
    };
    let customer = door.customer(&usage.customer)?;
    let has_sender_key = usage.idempotency_key.is_some();
    let key = usage.idempotency_key.unwrap_or_else(|| platform.new_id::<()>().to_string());
    let (properties, metadata) = (usage.properties, usage.metadata);
    let event = UsageEvent { key, ingested_at, properties, metadata, ..event };
    if event_bytes(&event) > EVENT_BYTES_MAX {
        let field = if event.metadata.is_empty() { "properties" } else { "metadata" };
        return Err(AppError::invalid(field, "is too large: an event has 64 KB at most"));
    }
    let tracked =
        TrackedEvent { organization: actor.organization, meter: meter.id, customer, has_sender_key, event };
    Ok(Accepted { id: event_id(&tracked), tracked })
}

/// The customer that is named, which must be there.
pub(crate) async fn find_customer(
    platform: &Platform,
    actor: &Actor,
    customer: &CustomerRef,
) -> Result<CustomerId, AppError> {
    let organization = actor.organization;
    match customer {
        CustomerRef::Id(id) => Ok(platform.store.get_customer(organization, *id).await?.id),
        CustomerRef::ExternalId(external_id) => {
            let found = platform.store.find_customer_by_external_id(organization, external_id).await?;
            found.ok_or(AppError::NotFound("customer"))
        }
    }
}

/// The meter that is named, which must be there.
pub(crate) async fn get_meter(
    platform: &Platform,
    actor: &Actor,
    meter: &MeterRef,
) -> Result<Meter, AppError> {
    find_meter(platform, actor, meter).await?.ok_or(AppError::NotFound("meter"))
}

/// The meter that is named, which must be there or have been.
pub(crate) async fn get_read_meter(
    platform: &Platform,
    actor: &Actor,
    meter: &MeterRef,
) -> Result<Meter, AppError> {
    match meter {
        MeterRef::Id(id) => Ok(platform.store.get_meter_or_deleted(actor.organization, *id).await?),
        MeterRef::Token(_) | MeterRef::Name(_) => get_meter(platform, actor, meter).await,
    }
}

async fn find_meter(
    platform: &Platform,
    actor: &Actor,
    meter: &MeterRef,
) -> Result<Option<Meter>, StoreError> {
    let organization = actor.organization;
    let found = match meter {
        MeterRef::Id(id) => platform.store.get_meter(organization, *id).await,
        MeterRef::Token(token) => match platform.store.find_meter_id_by_token(organization, *token).await? {
            Some(id) => platform.known_meter(organization, id).await,
            None => return Ok(None),
        },
        MeterRef::Name(name) => match platform.store.find_meter_id_by_name(organization, name).await? {
            Some(id) => platform.known_meter(organization, id).await,
            None => return Ok(None),
        },
    };
    if_there(found)
}

/// The event that `usage` tells of, without its key, properties and metadata.
/// As it is checked for a correction as well.
pub(crate) fn checked(meter: &Meter, usage: &Usage, now: DateTime<Utc>) -> Result<UsageEvent, AppError> {
    if let Some(key) = &usage.idempotency_key
        && !(1..=KEY_CHARACTERS_MAX).contains(&key.chars().count())
    {
        return Err(AppError::invalid("idempotency_key", "must have 1 to 255 characters"));
    }
    let occurred_at = occurred_at(usage.timestamp.unwrap_or(now), now)
        .map_err(|invalid| AppError::invalid(invalid.field, invalid.reason))?;
    let event = UsageEvent {
        key: String::new(),
        occurred_at,
        ingested_at: now,
        quantity: quantity(meter, usage)?,
        properties: Properties::new(),
        metadata: Properties::new(),
        revision: Revision::First,
    };
    let value =
        |properties: &Properties| properties.get(&meter.property).and_then(Property::as_text).is_some();
    if meter.aggregation == Aggregation::UniqueCount && !value(&usage.properties) && !value(&usage.metadata) {
        let field = if usage.quantity.is_some() { "metadata" } else { "properties" };
        return Err(AppError::invalid(
            format!("{field}.{}", meter.property),
            "is required: the meter counts its distinct values",
        ));
    }
    Ok(event)
}

/// How much was used: the quantity given, else the meter's property; an event is one where that is all
/// that is counted.
fn quantity(meter: &Meter, usage: &Usage) -> Result<Quantity, AppError> {
    let counts_by_event = counts_by_event(meter);
    let is_level = meter.aggregation == Aggregation::WeightedSum;
    let given = match usage.quantity {
        Some(quantity) => Some(("quantity".to_owned(), quantity)),
        None if counts_by_event => None,
        None => in_property(meter, &usage.properties)?,
    };
    match given {
        Some((field, quantity)) if is_level && quantity > LEVEL_MAX => {
            Err(AppError::invalid(field, "must be at most 1e15, so that its average is exact"))
        }
        Some((field, quantity)) if !quantity.is_decimal() => {
            Err(AppError::invalid(field, "must have at most 28 digits"))
        }
        Some((_, quantity)) if quantity > Quantity::ZERO => Ok(quantity),
        Some((_, quantity)) if quantity == Quantity::ZERO && meter.aggregation.takes_zero() => Ok(quantity),
        Some((field, _)) if meter.aggregation.takes_zero() => {
            Err(AppError::invalid(field, "must not be negative"))
        }
        Some((field, _)) => Err(AppError::invalid(field, "must be greater than 0")),
        None if counts_by_event => Ok(Quantity::ONE),
        None => Err(AppError::invalid(
            format!("properties.{}", meter.property),
            "is required: it says how much was used",
        )),
    }
}

/// Whether an event is one, where it does not say how much was used.
fn counts_by_event(meter: &Meter) -> bool {
    matches!(meter.aggregation, Aggregation::Count | Aggregation::UniqueCount)
}

/// How much was used by the meter's property, with the field that says so, if it is there.
fn in_property(meter: &Meter, properties: &Properties) -> Result<Option<(String, Quantity)>, AppError> {
    let Some(property) = properties.get(&meter.property) else { return Ok(None) };
    let field = format!("properties.{}", meter.property);
    let text = match property {
        Property::Number(text) | Property::Text(text) => text,
        Property::Null | Property::Bool(_) | Property::Nested(_) => {
            return Err(AppError::invalid(field, "must be a decimal number"));
        }
    };
    match Quantity::rounded(text) {
        Ok(quantity) => Ok(Some((field, quantity))),
        Err(error) => Err(AppError::invalid(field, error.to_string())),
    }
}

/// How much would be used by an event that is only previewed: the quantity given, else the meter's property as when it is
/// tracked, else 1.
///
/// Errors: `Invalid` with the field.
pub(crate) fn previewed_quantity(
    meter: &Meter,
    given: Option<Quantity>,
    properties: &Properties,
) -> Result<Quantity, AppError> {
    let measured = match given {
        Some(quantity) => Some(("quantity".to_owned(), quantity)),
        None if counts_by_event(meter) => None,
        None => in_property(meter, properties)?,
    };
    match measured {
        Some((field, quantity)) if quantity < Quantity::ZERO => {
            Err(AppError::invalid(field, "must not be negative"))
        }
        Some((_, quantity)) => Ok(quantity),
        None => Ok(Quantity::ONE),
    }
}

/// The id of an event follows from what makes it the same event: organization, meter, customer and key.
pub fn event_id(tracked: &TrackedEvent) -> EventId {
    event_id_of((tracked.organization, tracked.meter, tracked.customer), &tracked.event.key)
}

/// The id of the events of one key.
pub fn event_id_of(
    (organization, meter, customer): (OrganizationId, MeterId, CustomerId),
    key: &str,
) -> EventId {
    let mut hash = Sha256::new();
    for id in [organization.uuid(), meter.uuid(), customer.uuid()] {
        hash.update(id);
    }
    hash.update(key);
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    Id::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use domain::meter::DeduplicateBy;

    use super::*;

    fn meter(aggregation: Aggregation) -> Meter {
        let id = |n| Id::from_uuid(uuid::Uuid::from_u128(n));
        Meter {
            id: id(1),
            token: Id::from_uuid(uuid::Uuid::from_u128(2)),
            feature: Id::from_uuid(uuid::Uuid::from_u128(3)),
            name: "calls".into(),
            property: "amount".into(),
            aggregation,
            unit: None,
            filters: Vec::new(),
            deduplicate_by: DeduplicateBy::Key,
            created_at: DateTime::UNIX_EPOCH,
            version: 1,
        }
    }

    fn usage(quantity: Option<&str>, property: Option<Property>) -> Usage {
        Usage {
            meter: MeterRef::Name("calls".into()),
            customer: CustomerRef::ExternalId("acme".into()),
            quantity: quantity.map(|text| text.parse().unwrap()),
            timestamp: None,
            idempotency_key: None,
            properties: property.into_iter().map(|property| ("amount".to_owned(), property)).collect(),
            metadata: Properties::new(),
        }
    }

    #[test]
    fn a_quantity_is_given_or_found_in_the_meters_property() {
        use Aggregation::{Count, Last, Max, Sum, UniqueCount};
        let number = |text: &str| Some(Property::Number(text.into()));
        let text = |text: &str| Some(Property::Text(text.into()));
        let check = |aggregation, given, property, expected: Result<&str, &str>| {
            let found = quantity(&meter(aggregation), &usage(given, property));
            let found = found.map(|quantity| quantity.to_string()).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{aggregation:?}");
        };
        check(Sum, Some("4"), None, Ok("4"));
        check(Sum, None, number("1e-7"), Ok("0.0000001"));
        check(Sum, None, text("5"), Ok("5"));
        check(Sum, None, number("0.30000000000000004"), Ok("0.3"));
        check(Sum, None, number("4e-13"), Err("`properties.amount` must be greater than 0"));
        check(Last, None, number("4e-13"), Ok("0"));
        check(Sum, None, text(" 1"), Err("`properties.amount` must be a decimal number"));
        check(Sum, None, text("five"), Err("`properties.amount` must be a decimal number"));
        check(Sum, None, Some(Property::Bool(true)), Err("`properties.amount` must be a decimal number"));
        check(Sum, None, None, Err("`properties.amount` is required: it says how much was used"));
        check(Sum, Some("0"), None, Err("`quantity` must be greater than 0"));
        check(Sum, None, number("-1"), Err("`properties.amount` must be greater than 0"));
        check(Max, Some("0"), None, Ok("0"));
        check(Last, None, number("-1"), Err("`properties.amount` must not be negative"));
        check(Count, None, None, Ok("1"));
        check(Count, Some("-2"), None, Err("`quantity` must be greater than 0"));
        check(UniqueCount, None, text("user"), Ok("1"));
    }

    #[test]
    fn distinct_values_are_required_where_they_are_counted() {
        let now = "2025-01-01T00:00:00Z".parse().unwrap();
        let check = |usage: &Usage| checked(&meter(Aggregation::UniqueCount), usage, now).map(|_| ());
        assert!(check(&usage(Some("1"), Some(Property::Text("u1".into())))).is_ok());
        let error = check(&usage(Some("1"), None)).unwrap_err();
        assert!(error.to_string().starts_with("`metadata.amount` is required"), "{error}");
    }
}
