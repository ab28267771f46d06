//! Usage at the door: checked, named, and queued. What is refused here is refused at once, with its field;
//! what is accepted is counted exactly once.

use auth::Actor;
use chrono::{DateTime, SubsecRound, Utc};
use domain::{
    event::{KEY_CHARACTERS_MAX, TrackedEvent, UsageEvent, occurred_at},
    id::{CustomerId, EventId, Id, MeterId, MeterToken},
    meter::{Aggregation, Meter},
    property::{Properties, Property},
    quantity::Quantity,
    user::Scope,
};
use sha2::{Digest, Sha256};
use store::StoreError;

use crate::{AppError, Platform, customers::find_or_create, port::Message};

/// Usage that a sender tells of.
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
pub enum MeterRef {
    /// By its id.
    Id(MeterId),
    /// By the token it has for SDKs.
    Token(MeterToken),
    /// By its name.
    Name(String),
}

/// How a sender names a customer.
pub enum CustomerRef {
    /// By our id.
    Id(CustomerId),
    /// By its own.
    ExternalId(String),
}

/// Usage that was accepted.
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
    actor.require(Scope::UsageWrite)?;
    let accepted = accept(platform, actor, usage).await?;
    let message = Message::CountUsage(vec![accepted.tracked.clone()]);
    platform.queue.send(&[message]).await.into_iter().next().unwrap_or(Ok(()))?;
    Ok(accepted)
}

async fn accept(platform: &Platform, actor: &Actor, usage: Usage) -> Result<Accepted, AppError> {
    let meter = find_meter(platform, actor, &usage.meter).await?;
    let now = platform.now().trunc_subsecs(3);
    let event = checked(&meter, &usage, now)?;
    let customer = match &usage.customer {
        CustomerRef::Id(id) => platform.store.get_customer(actor.organization, *id).await?.id,
        CustomerRef::ExternalId(external_id) => find_or_create(platform, actor, external_id).await?,
    };
    let has_sender_key = usage.idempotency_key.is_some();
    let key = usage.idempotency_key.unwrap_or_else(|| platform.new_id::<()>().to_string());
    let event = UsageEvent { key, properties: usage.properties, metadata: usage.metadata, ..event };
    let tracked =
        TrackedEvent { organization: actor.organization, meter: meter.id, customer, has_sender_key, event };
    Ok(Accepted { id: event_id(&tracked), tracked })
}

async fn find_meter(platform: &Platform, actor: &Actor, meter: &MeterRef) -> Result<Meter, AppError> {
    let organization = actor.organization;
    let found = match meter {
        MeterRef::Id(id) => match platform.store.get_meter(organization, *id).await {
            Ok(meter) => Some(meter),
            Err(StoreError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        },
        MeterRef::Token(token) => platform.store.find_meter_by_token(organization, *token).await?,
        MeterRef::Name(name) => platform.store.find_meter_by_name(organization, name).await?,
    };
    found.ok_or(AppError::NotFound("meter"))
}

/// The event that `usage` tells of, without its key, properties and metadata.
fn checked(meter: &Meter, usage: &Usage, now: DateTime<Utc>) -> Result<UsageEvent, AppError> {
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
    let in_properties = || {
        let Some(property) = usage.properties.get(&meter.property) else { return Ok(None) };
        let field = || format!("properties.{}", meter.property);
        let text = match property {
            Property::Number(text) | Property::Text(text) => text,
            Property::Null | Property::Bool(_) | Property::Nested(_) => {
                return Err(AppError::invalid(field(), "must be a decimal number"));
            }
        };
        let quantity =
            text.parse::<Quantity>().map_err(|error| AppError::invalid(field(), error.to_string()))?;
        Ok(Some((field(), quantity)))
    };
    let counts_by_event = matches!(meter.aggregation, Aggregation::Count | Aggregation::UniqueCount);
    let given = match usage.quantity {
        Some(quantity) => Some(("quantity".to_owned(), quantity)),
        None if counts_by_event => None,
        None => in_properties()?,
    };
    match given {
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

/// The id of an event follows from what makes it the same event: organization, meter, customer and key.
pub fn event_id(tracked: &TrackedEvent) -> EventId {
    let mut hash = Sha256::new();
    for id in [tracked.organization.uuid(), tracked.meter.uuid(), tracked.customer.uuid()] {
        hash.update(id);
    }
    hash.update(&tracked.event.key);
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
