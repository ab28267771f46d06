//! Bodies of usage as it is told: one event at a time.

use app::{
    AppError,
    track_usage::{Accepted, CustomerRef, MeterRef, Usage},
};
use domain::{event::UsageEvent, property::Properties};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    check::Check,
    number::QuantityIn,
    properties::{self, PropertiesIn},
    time::{TimeIn, TimeOut},
};

/// Usage as the SDK tells of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackBody {
    /// The meter's token.
    meter_token: String,
    /// What your own systems call the customer.
    customer_external_id: String,
    /// How much was used.
    quantity: QuantityIn,
    /// When; now if not given.
    timestamp: Option<TimeIn>,
    /// Your key for this event, of 1 to 255 characters. A repeat is answered alike, and counted once.
    idempotency_key: Option<String>,
    /// Whatever else; filters and distinct values look here.
    metadata: Option<PropertiesIn>,
}

/// Usage as API clients and people tell of it: by the meter's name or id, of a customer by your id or ours.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageBody {
    /// What your own systems call the customer.
    customer_external_id: Option<String>,
    /// Our id of the customer.
    customer_id: Option<String>,
    /// The meter's name.
    meter_name: Option<String>,
    /// The meter's id.
    meter_id: Option<String>,
    /// The meter's token.
    meter_token: Option<String>,
    /// How much was used; else it is looked for in `properties`, under the meter's property.
    quantity: Option<QuantityIn>,
    /// When; now if not given.
    timestamp: Option<TimeIn>,
    /// Your key for this event, of 1 to 255 characters. A repeat is answered alike, and counted once.
    idempotency_key: Option<String>,
    /// Values to aggregate, filter and group by.
    properties: Option<PropertiesIn>,
    /// Whatever else.
    metadata: Option<PropertiesIn>,
}

/// An event that was accepted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedBody {
    /// Its id: the same for every repeat.
    pub id: String,
    /// Who used it.
    pub customer_id: String,
    /// What counted it.
    pub meter_id: String,
    /// How much.
    pub quantity: String,
    /// When it was used.
    pub timestamp: TimeOut,
    /// When it was accepted.
    pub created_at: TimeOut,
    /// Its key.
    pub idempotency_key: String,
    /// What was sent along.
    #[schema(value_type = PropertiesIn)]
    pub meta_data: Map<String, Value>,
}

impl TrackBody {
    /// What was told, under its own key or else that of the request.
    pub fn into_domain(self, request_key: Option<String>) -> Result<Usage, AppError> {
        let mut check = Check::default();
        let meter = match self.meter_token.parse() {
            Ok(token) => Some(MeterRef::Token(token)),
            // A token that cannot be is a meter that does not exist.
            Err(_) => return Err(AppError::NotFound("meter")),
        };
        let customer = check.text("customer_external_id", self.customer_external_id, 255);
        check.finish_some(meter.map(|meter| Usage {
            meter,
            customer: CustomerRef::ExternalId(customer),
            quantity: Some(self.quantity.0),
            timestamp: self.timestamp.map(|at| at.0),
            idempotency_key: self.idempotency_key.or(request_key),
            properties: Properties::new(),
            metadata: self.metadata.unwrap_or_default().0,
        }))
    }
}

impl UsageBody {
    /// What was told, under its own key or else that of the request.
    pub fn into_domain(self, request_key: Option<String>) -> Result<Usage, AppError> {
        let mut check = Check::default();
        let meter = meter_ref(&mut check, self.meter_name, self.meter_id, self.meter_token);
        let customer = customer_ref(&mut check, self.customer_external_id, self.customer_id);
        check.finish_some(meter.zip(customer).map(|(meter, customer)| Usage {
            meter,
            customer,
            quantity: self.quantity.map(|quantity| quantity.0),
            timestamp: self.timestamp.map(|at| at.0),
            idempotency_key: self.idempotency_key.or(request_key),
            properties: self.properties.unwrap_or_default().0,
            metadata: self.metadata.unwrap_or_default().0,
        }))
    }
}

/// The meter that is named in one of three ways.
pub(crate) fn meter_ref(
    check: &mut Check,
    name: Option<String>,
    id: Option<String>,
    token: Option<String>,
) -> Option<MeterRef> {
    match (name, id, token) {
        (Some(name), None, None) => Some(MeterRef::Name(name)),
        (None, Some(id), None) => check.value("meter_id", id.parse()).map(MeterRef::Id),
        (None, None, Some(token)) => check.value("meter_token", token.parse()).map(MeterRef::Token),
        (None, None, None) => {
            check.refuse("meter_name", "is required, or meter_id, or meter_token");
            None
        }
        (name, id, _) => {
            let field = if name.is_some() && id.is_some() { "meter_id" } else { "meter_token" };
            check.refuse(field, "must not come with another name of the meter");
            None
        }
    }
}

/// The customer that is named in one of two ways.
pub(crate) fn customer_ref(
    check: &mut Check,
    external_id: Option<String>,
    id: Option<String>,
) -> Option<CustomerRef> {
    match (external_id, id) {
        (Some(id), None) => Some(CustomerRef::ExternalId(check.text("customer_external_id", id, 255))),
        (None, Some(id)) => check.value("customer_id", id.parse()).map(CustomerRef::Id),
        (None, None) => {
            check.refuse("customer_external_id", "is required, or customer_id");
            None
        }
        (Some(_), Some(_)) => {
            check.refuse("customer_id", "must not come with customer_external_id");
            None
        }
    }
}

/// Everything that was sent along, under one name as documented.
pub(crate) fn meta_data(event: &UsageEvent) -> Map<String, Value> {
    let mut all = properties::to_json(&event.properties);
    all.extend(properties::to_json(&event.metadata));
    all
}

impl AcceptedBody {
    /// The body of an event that was accepted.
    pub fn from_domain(accepted: &Accepted) -> Self {
        let tracked = &accepted.tracked;
        Self {
            id: accepted.id.to_string(),
            customer_id: tracked.customer.to_string(),
            meter_id: tracked.meter.to_string(),
            quantity: tracked.event.quantity.to_string(),
            timestamp: TimeOut(tracked.event.occurred_at),
            created_at: TimeOut(tracked.event.ingested_at),
            idempotency_key: tracked.event.key.clone(),
            meta_data: meta_data(&tracked.event),
        }
    }
}
