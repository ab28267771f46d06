//! Bodies of usage as it is shown: totals, series, groups, top customers.

use std::collections::BTreeMap;

use app::read_usage::UsageSeries;
use chrono::{DateTime, Utc};
use domain::{id::CustomerId, meter::Meter, period::BillingPeriod, series::Range, totals, zone::Steps};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{number::QuantityOut, time::TimeOut};

/// Usage of a meter over a range, in steps or by the values of a property.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesBody {
    /// Which meter.
    pub meter_id: String,
    /// What it comes to.
    pub total_usage: QuantityOut,
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
    /// Usage by the value of the property that was asked for, most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub groups: Vec<GroupBody>,
}

/// Usage in one step of a series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepBody {
    /// The start of the step.
    pub period: TimeOut,
    /// What it comes to.
    pub usage: QuantityOut,
    /// How many events count.
    pub event_count: u64,
}

/// Usage with one value of a property.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupBody {
    /// The value; `null` for events without the property.
    pub value: Option<String>,
    /// What it comes to.
    pub usage: QuantityOut,
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
    pub total_usage: QuantityOut,
    /// How many events count.
    pub event_count: u64,
}

/// Usage as it was asked for: of one meter with all details, or of all meters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageAnswerBody {
    /// The customer that was asked for.
    pub customer_id: Option<String>,
    /// The meter that was asked for.
    pub meter_id: Option<String>,
    /// What it comes to; `null` for several meters, which do not add up.
    pub total_usage: Option<QuantityOut>,
    /// How many events count.
    pub event_count: u64,
    /// The start of the range.
    pub period_start: TimeOut,
    /// Its end.
    pub period_end: TimeOut,
    /// By meter.
    pub meters: Vec<MeterUsageBody>,
    /// By step, if steps of one meter were asked for.
    pub grouped_data: Vec<StepBody>,
    /// By the value of a property, if one was asked for.
    pub groups: Vec<GroupBody>,
}

/// The customers who used most.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopCustomersBody {
    /// Which meter.
    pub meter_id: String,
    /// The start of the range.
    pub period_start: TimeOut,
    /// Its end.
    pub period_end: TimeOut,
    /// Who, most first.
    pub customers: Vec<CustomerUsageBody>,
}

/// Usage of one customer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerUsageBody {
    /// Who.
    pub customer_id: String,
    /// What it comes to.
    pub usage: QuantityOut,
    /// How many events count.
    pub event_count: u64,
}

/// The steps of `range`, those without usage too.
fn steps(series: &UsageSeries, range: Range, steps: Option<Steps>) -> Vec<StepBody> {
    let found = series.steps.iter().copied().collect::<BTreeMap<_, _>>();
    let body = |start: DateTime<Utc>| {
        let usage = found.get(&start).copied().unwrap_or_default();
        StepBody { period: TimeOut(start), usage: QuantityOut(usage.quantity), event_count: usage.events }
    };
    steps.into_iter().flat_map(|steps| steps.starts_in(range)).map(body).collect()
}

fn groups(series: &UsageSeries) -> Vec<GroupBody> {
    let body = |(value, usage): &(Option<String>, totals::Usage)| GroupBody {
        value: value.clone(),
        usage: QuantityOut(usage.quantity),
        event_count: usage.events,
    };
    series.groups.iter().map(body).collect()
}

fn of_meter(meter: Meter, usage: totals::Usage) -> MeterUsageBody {
    MeterUsageBody {
        meter_id: meter.id.to_string(),
        meter_name: meter.name,
        unit: meter.unit,
        total_usage: QuantityOut(usage.quantity),
        event_count: usage.events,
    }
}

impl SeriesBody {
    /// The body of a series. `end` is the range's end as it is echoed.
    pub fn from_domain(
        meter: &Meter,
        series: &UsageSeries,
        range: Range,
        end: DateTime<Utc>,
        in_steps: Option<Steps>,
    ) -> Self {
        Self {
            meter_id: meter.id.to_string(),
            total_usage: QuantityOut(series.total.quantity),
            event_count: series.total.events,
            unique_customers: series.unique_customers,
            period_start: TimeOut(range.from),
            period_end: TimeOut(end),
            grouped_data: steps(series, range, in_steps),
            groups: groups(series),
        }
    }
}

impl UsageByMeterBody {
    /// The body of usage over a range.
    pub fn from_range(from: DateTime<Utc>, end: DateTime<Utc>, usage: Vec<(Meter, totals::Usage)>) -> Self {
        Self {
            period_start: TimeOut(from),
            period_end: TimeOut(end),
            meters: usage.into_iter().map(|(meter, usage)| of_meter(meter, usage)).collect(),
        }
    }

    /// The body of usage in a billing period.
    pub fn from_period(period: BillingPeriod, usage: Vec<(Meter, totals::Usage)>) -> Self {
        Self::from_range(period.start(), period.end(), usage)
    }
}

impl UsageAnswerBody {
    /// The body of one meter's usage.
    pub fn of_one(
        meter: Meter,
        customer: Option<CustomerId>,
        series: &UsageSeries,
        (range, end): (Range, DateTime<Utc>),
        in_steps: Option<Steps>,
    ) -> Self {
        Self {
            customer_id: customer.map(|customer| customer.to_string()),
            meter_id: Some(meter.id.to_string()),
            total_usage: Some(QuantityOut(series.total.quantity)),
            event_count: series.total.events,
            period_start: TimeOut(range.from),
            period_end: TimeOut(end),
            meters: vec![of_meter(meter, series.total)],
            grouped_data: steps(series, range, in_steps),
            groups: groups(series),
        }
    }

    /// The body of several meters' usage.
    pub fn of_several(
        customer: Option<CustomerId>,
        usage: Vec<(Meter, totals::Usage)>,
        (range, end): (Range, DateTime<Utc>),
    ) -> Self {
        Self {
            customer_id: customer.map(|customer| customer.to_string()),
            meter_id: None,
            total_usage: None,
            event_count: usage.iter().map(|(_, usage)| usage.events).sum(),
            period_start: TimeOut(range.from),
            period_end: TimeOut(end),
            meters: usage.into_iter().map(|(meter, usage)| of_meter(meter, usage)).collect(),
            grouped_data: Vec::new(),
            groups: Vec::new(),
        }
    }
}

impl TopCustomersBody {
    /// The body of the customers who used most.
    pub fn from_domain(
        meter_id: String,
        (range, end): (Range, DateTime<Utc>),
        customers: Vec<(CustomerId, totals::Usage)>,
    ) -> Self {
        let body = |(customer, usage): (CustomerId, totals::Usage)| CustomerUsageBody {
            customer_id: customer.to_string(),
            usage: QuantityOut(usage.quantity),
            event_count: usage.events,
        };
        let customers = customers.into_iter().map(body).collect();
        Self { meter_id, period_start: TimeOut(range.from), period_end: TimeOut(end), customers }
    }
}
