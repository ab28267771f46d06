//! Bodies of meters and their filters.

use app::meter_stats::MeterStats;
use domain::meter::{Aggregation, DeduplicateBy, FILTERS_MAX, Filter, FilterOperator, Meter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{check::Check, number::QuantityOut, time::TimeOut};

/// How events become one number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AggregationName {
    /// The sum of quantities.
    Sum,
    /// The largest quantity.
    Max,
    /// The number of distinct values of the meter's property.
    UniqueCount,
    /// The quantity of the latest event.
    Last,
    /// The number of events.
    Count,
    /// The smallest quantity.
    Min,
    /// The average over time of a level, each quantity held until the next.
    WeightedSum,
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilterOperatorName {
    /// Is the one value.
    Equals,
    /// Is not the one value, or is absent.
    NotEquals,
    /// Is one of the values.
    In,
    /// Is none of the values, or is absent.
    NotIn,
    /// Is there.
    Exists,
}

/// A condition on an event's properties or metadata.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterBody {
    /// Name of the property.
    property: String,
    /// How it is compared.
    operator: FilterOperatorName,
    /// With what; none for `exists`.
    #[serde(default)]
    #[schema(required = false)]
    values: Vec<String>,
}

/// What makes two events the same.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeduplicateByName {
    /// The idempotency key.
    Key,
    /// The idempotency key and the timestamp: cheaper, for senders that keep timestamps when they repeat.
    KeyAndTimestamp,
}

/// A meter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterBody {
    /// Its id.
    pub id: String,
    /// What the SDK names it by.
    pub meter_token: String,
    /// The feature it measures.
    pub feature_id: String,
    /// Its name, unique in the organization.
    pub name: String,
    /// The property that holds what is aggregated.
    pub property_name: String,
    /// How events become one number.
    pub aggregation_type: AggregationName,
    /// What one unit is called.
    pub unit: Option<String>,
    /// Which events count.
    pub filters: Vec<FilterBody>,
    /// What makes two events the same.
    pub deduplicate_by: DeduplicateByName,
    /// When it was made.
    pub created_at: TimeOut,
}

/// What a meter has seen, of events that count: not of those that its filters leave out, or that were taken back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterStatsBody {
    /// Which meter.
    pub meter_id: String,
    /// All events that count.
    pub total_events: u64,
    /// All customers who have any.
    pub unique_customers: u64,
    /// Timestamp of the earliest of them.
    pub first_event_date: Option<TimeOut>,
    /// Timestamp of the latest of them.
    pub last_event_date: Option<TimeOut>,
    /// Usage since midnight UTC. Null, as the two below, of a UNIQUE_COUNT meter for which more than 20 million events
    /// would have to be looked at: ask for its usage by the day or the hour.
    pub today_usage: Option<QuantityOut>,
    /// Usage since Monday.
    pub this_week_usage: Option<QuantityOut>,
    /// Usage since the first of the month.
    pub this_month_usage: Option<QuantityOut>,
    /// Events that were not counted since their key had been counted with other content before. Kept until they count.
    pub conflicts: u64,
    /// Events that could not be counted. Kept until they count.
    pub rejected: u64,
}

impl MeterBody {
    /// The body of a meter.
    pub fn from_domain(meter: Meter) -> Self {
        Self {
            id: meter.id.to_string(),
            meter_token: meter.token.to_string(),
            feature_id: meter.feature.to_string(),
            name: meter.name,
            property_name: meter.property,
            aggregation_type: AggregationName::from_domain(meter.aggregation),
            unit: meter.unit,
            filters: meter.filters.into_iter().map(FilterBody::from_domain).collect(),
            deduplicate_by: match meter.deduplicate_by {
                DeduplicateBy::Key => DeduplicateByName::Key,
                DeduplicateBy::KeyAndTimestamp => DeduplicateByName::KeyAndTimestamp,
            },
            created_at: TimeOut(meter.created_at),
        }
    }
}

impl MeterStatsBody {
    /// The body of what a meter has seen.
    pub fn from_domain(meter_id: String, stats: &MeterStats) -> Self {
        Self {
            meter_id,
            total_events: stats.total_events,
            unique_customers: stats.unique_customers,
            first_event_date: stats.span.map(|(first, _)| TimeOut(first)),
            last_event_date: stats.span.map(|(_, last)| TimeOut(last)),
            today_usage: stats.today.map(|usage| QuantityOut(usage.quantity)),
            this_week_usage: stats.this_week.map(|usage| QuantityOut(usage.quantity)),
            this_month_usage: stats.this_month.map(|usage| QuantityOut(usage.quantity)),
            conflicts: stats.conflicts,
            rejected: stats.rejected,
        }
    }
}

impl AggregationName {
    pub(crate) fn aggregation(self) -> Aggregation {
        match self {
            Self::Sum => Aggregation::Sum,
            Self::Max => Aggregation::Max,
            Self::UniqueCount => Aggregation::UniqueCount,
            Self::Last => Aggregation::Last,
            Self::Count => Aggregation::Count,
            Self::Min => Aggregation::Min,
            Self::WeightedSum => Aggregation::WeightedSum,
        }
    }

    pub(crate) fn from_domain(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Sum => Self::Sum,
            Aggregation::Max => Self::Max,
            Aggregation::UniqueCount => Self::UniqueCount,
            Aggregation::Last => Self::Last,
            Aggregation::Count => Self::Count,
            Aggregation::Min => Self::Min,
            Aggregation::WeightedSum => Self::WeightedSum,
        }
    }
}

impl DeduplicateByName {
    pub(crate) fn into_domain(self) -> DeduplicateBy {
        match self {
            Self::Key => DeduplicateBy::Key,
            Self::KeyAndTimestamp => DeduplicateBy::KeyAndTimestamp,
        }
    }
}

impl FilterBody {
    fn from_domain(filter: Filter) -> Self {
        let operator = match filter.operator {
            FilterOperator::Equals => FilterOperatorName::Equals,
            FilterOperator::NotEquals => FilterOperatorName::NotEquals,
            FilterOperator::In => FilterOperatorName::In,
            FilterOperator::NotIn => FilterOperatorName::NotIn,
            FilterOperator::Exists => FilterOperatorName::Exists,
        };
        Self { property: filter.property, operator, values: filter.values }
    }
}

/// The filters that were asked for, with what is wrong with them.
pub(crate) fn filters(check: &mut Check, bodies: Vec<FilterBody>) -> Vec<Filter> {
    if bodies.len() > FILTERS_MAX {
        check.refuse("filters", format!("must have at most {FILTERS_MAX} filters"));
    }
    let filter = |(index, body): (usize, FilterBody)| {
        let field = |name: &str| format!("filters[{index}].{name}");
        let (operator, values) = match body.operator {
            FilterOperatorName::Equals => (FilterOperator::Equals, 1..=1),
            FilterOperatorName::NotEquals => (FilterOperator::NotEquals, 1..=1),
            FilterOperatorName::In => (FilterOperator::In, 1..=100),
            FilterOperatorName::NotIn => (FilterOperator::NotIn, 1..=100),
            FilterOperatorName::Exists => (FilterOperator::Exists, 0..=0),
        };
        if !values.contains(&body.values.len()) {
            let detail = match values.into_inner() {
                (_, 0) => "must be empty for this operator",
                (_, 1) => "must be one value for this operator",
                _ => "must be 1 to 100 values",
            };
            check.refuse(field("values"), detail);
        }
        let property = check.text(&field("property"), body.property, 100);
        Filter { property, operator, values: body.values }
    };
    bodies.into_iter().enumerate().map(filter).collect()
}
