//! Bodies of usage: told, counted, shown.

use app::{
    AppError,
    read_usage::UsageSeries,
    track_usage::{Accepted, CustomerRef, MeterRef, Usage, event_id},
};
use chrono::{DateTime, Utc};
use domain::{
    event::TrackedEvent,
    meter::Meter,
    period::BillingPeriod,
    property::Properties,
    quantity::Quantity,
    series::{Range, Step},
    totals,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    check::Check,
    number::{NumberIn, NumberOut},
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
    quantity: NumberIn,
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
    /// How much was used; else it is looked for in `properties`, under the meter's property.
    quantity: Option<NumberIn>,
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

/// An event in a meter's log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    /// Its id.
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
    pub ingested_at: TimeOut,
    /// Its key.
    pub idempotency_key: String,
    /// What was sent along.
    #[schema(value_type = PropertiesIn)]
    pub meta_data: Map<String, Value>,
}

/// Usage of a meter over a range, in steps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesBody {
    /// Which meter.
    pub meter_id: String,
    /// What it comes to.
    pub total_usage: NumberOut,
    /// How many events count.
    pub event_count: u64,
    /// How many customers there are.
    pub unique_customers: u64,
    /// The start of the range.
    pub period_start: TimeOut,
    /// Its end.
    pub period_end: TimeOut,
    /// Usage by step, with those that have none.
    pub grouped_data: Vec<StepBody>,
}

/// Usage in one step of a series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepBody {
    /// The start of the step.
    pub period: TimeOut,
    /// What it comes to.
    pub usage: NumberOut,
    /// How many events count.
    pub event_count: u64,
}

/// Usage of several meters over a range.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageByMeterBody {
    /// The start of the range.
    pub period_start: TimeOut,
    /// Its end.
    pub period_end: TimeOut,
    /// By meter.
    pub meters: Vec<MeterUsageBody>,
}

/// Usage of one meter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterUsageBody {
    /// Which meter.
    pub meter_id: String,
    /// Its name.
    pub meter_name: String,
    /// What one unit is called.
    pub unit: Option<String>,
    /// What it comes to.
    pub total_usage: NumberOut,
    /// How many events count.
    pub event_count: u64,
}

/// The words for the steps of a series.
pub const STEPS: [(&str, Step); 4] =
    [("hour", Step::Hour), ("day", Step::Day), ("week", Step::Week), ("month", Step::Month)];

/// A quantity as a JSON number.
pub(crate) fn number(quantity: Quantity) -> NumberOut {
    // Only a quantity of more than 28 digits is no decimal, and the sum of one meter passes that only
    // after 10^16 in whole units with 12 decimals.
    NumberOut(quantity.to_decimal().unwrap_or(rust_decimal::Decimal::MAX))
}

impl TrackBody {
    /// What was told.
    pub fn into_domain(self, header_key: Option<String>) -> Result<Usage, AppError> {
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
            idempotency_key: self.idempotency_key.or(header_key),
            properties: Properties::new(),
            metadata: self.metadata.unwrap_or_default().0,
        }))
    }
}

impl UsageBody {
    /// What was told.
    pub fn into_domain(self, header_key: Option<String>) -> Result<Usage, AppError> {
        let mut check = Check::default();
        let meter = match (self.meter_name, self.meter_id) {
            (Some(name), None) => Some(MeterRef::Name(name)),
            (None, Some(id)) => check.value("meter_id", id.parse()).map(MeterRef::Id),
            (None, None) => {
                check.refuse("meter_name", "is required, or meter_id");
                None
            }
            (Some(_), Some(_)) => {
                check.refuse("meter_id", "must not come with meter_name");
                None
            }
        };
        let customer = match (self.customer_external_id, self.customer_id) {
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
        };
        check.finish_some(meter.zip(customer).map(|(meter, customer)| Usage {
            meter,
            customer,
            quantity: self.quantity.map(|quantity| quantity.0),
            timestamp: self.timestamp.map(|at| at.0),
            idempotency_key: self.idempotency_key.or(header_key),
            properties: self.properties.unwrap_or_default().0,
            metadata: self.metadata.unwrap_or_default().0,
        }))
    }
}

/// Everything that was sent along, under one name as documented.
fn meta_data(tracked: &TrackedEvent) -> Map<String, Value> {
    let mut all = properties::to_json(&tracked.event.properties);
    all.extend(properties::to_json(&tracked.event.metadata));
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
            meta_data: meta_data(tracked),
        }
    }
}

impl EventBody {
    /// The body of an event in a meter's log.
    pub fn from_domain(tracked: TrackedEvent) -> Self {
        Self {
            id: event_id(&tracked).to_string(),
            customer_id: tracked.customer.to_string(),
            meter_id: tracked.meter.to_string(),
            quantity: tracked.event.quantity.to_string(),
            timestamp: TimeOut(tracked.event.occurred_at),
            ingested_at: TimeOut(tracked.event.ingested_at),
            meta_data: meta_data(&tracked),
            idempotency_key: tracked.event.key,
        }
    }
}

impl SeriesBody {
    /// The body of a series. `end` is the range's end as it is echoed.
    pub fn from_domain(
        meter: &Meter,
        series: &UsageSeries,
        range: Range,
        end: DateTime<Utc>,
        step: Step,
    ) -> Self {
        let found = series.steps.iter().copied().collect::<std::collections::BTreeMap<_, _>>();
        let step_body = |start: DateTime<Utc>| {
            let usage = found.get(&start).copied().unwrap_or_default();
            StepBody { period: TimeOut(start), usage: number(usage.quantity), event_count: usage.events }
        };
        Self {
            meter_id: meter.id.to_string(),
            total_usage: number(series.total.quantity),
            event_count: series.total.events,
            unique_customers: series.unique_customers,
            period_start: TimeOut(range.from),
            period_end: TimeOut(end),
            grouped_data: step.starts_in(range).map(step_body).collect(),
        }
    }
}

impl UsageByMeterBody {
    /// The body of usage over a range.
    pub fn from_range(from: DateTime<Utc>, end: DateTime<Utc>, usage: Vec<(Meter, totals::Usage)>) -> Self {
        let meter = |(meter, usage): (Meter, totals::Usage)| MeterUsageBody {
            meter_id: meter.id.to_string(),
            meter_name: meter.name,
            unit: meter.unit,
            total_usage: number(usage.quantity),
            event_count: usage.events,
        };
        Self {
            period_start: TimeOut(from),
            period_end: TimeOut(end),
            meters: usage.into_iter().map(meter).collect(),
        }
    }

    /// The body of usage in a billing period.
    pub fn from_period(period: BillingPeriod, usage: Vec<(Meter, totals::Usage)>) -> Self {
        Self::from_range(period.start(), period.end(), usage)
    }
}
