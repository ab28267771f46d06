//! Meters: what is counted, and how.

use chrono::{DateTime, Utc};

use crate::{
    event::Event,
    id::{FeatureId, MeterId, MeterToken},
};

/// How the events of a meter become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// The number of events.
    Count,
    /// The sum of their quantities.
    Sum,
    /// The largest quantity.
    Max,
    /// The smallest quantity.
    Min,
    /// The quantity of the latest event by its own timestamp.
    Last,
    /// The number of distinct values of the meter's property.
    UniqueCount,
    /// The average over time of a level: each quantity holds from its event until the next one, from one
    /// period into the next.
    WeightedSum,
}

/// How a filter compares a property with its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterOperator {
    /// The property is the one value given.
    Equals,
    /// The property is absent, or not the one value given.
    NotEquals,
    /// The property is one of the values.
    In,
    /// The property is absent, or none of the values.
    NotIn,
    /// The event has the property.
    Exists,
}

/// A condition on an event's properties or metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Name of the property looked at.
    pub property: String,
    /// How it is compared.
    pub operator: FilterOperator,
    /// What it is compared with; empty for [`FilterOperator::Exists`].
    pub values: Vec<String>,
}

/// Whether an idempotency key alone names an event, or the key with the timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeduplicateBy {
    /// A repeat may carry another timestamp; the first one is pinned.
    Key,
    /// Senders keep the timestamp when they repeat; no pin is written.
    KeyAndTimestamp,
}

/// What is counted for a feature, from which property, by which aggregation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Its id.
    pub id: MeterId,
    /// What the SDK names it by. Public, not a secret.
    pub token: MeterToken,
    /// The feature that is metered.
    pub feature: FeatureId,
    /// Unique in the organization; what API clients name it by.
    pub name: String,
    /// The property that holds the quantity, or for UNIQUE_COUNT the value to count.
    pub property: String,
    /// How events become one number.
    pub aggregation: Aggregation,
    /// What one unit is called: `calls`, `GB`.
    pub unit: Option<String>,
    /// An event counts only if all of these match it.
    pub filters: Vec<Filter>,
    /// What makes two events the same.
    pub deduplicate_by: DeduplicateBy,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// The part of a meter that decides what its events come to.
#[derive(Clone, Copy, Debug)]
pub struct Counting<'a> {
    /// How events become one number.
    pub aggregation: Aggregation,
    /// The property whose values UNIQUE_COUNT counts.
    pub property: &'a str,
    /// An event counts only if all of these match it.
    pub filters: &'a [Filter],
}

/// The most filters one meter may have.
pub const FILTERS_MAX: usize = 5;

impl Meter {
    /// What decides how its events are counted.
    pub fn counting(&self) -> Counting<'_> {
        Counting { aggregation: self.aggregation, property: &self.property, filters: &self.filters }
    }
}

impl Counting<'_> {
    /// Whether `event` counts at all.
    pub fn includes(&self, event: &impl Event) -> bool {
        self.filters.iter().all(|filter| filter.matches(event))
    }

    /// The value of `event` that UNIQUE_COUNT counts, if it has one.
    pub fn distinct_value<'e>(&self, event: &'e impl Event) -> Option<&'e str> {
        event.property(self.property)
    }
}

impl Aggregation {
    /// Whether a quantity of 0 says something: a seat count may fall to 0, a sum is not changed by it.
    pub fn takes_zero(self) -> bool {
        match self {
            Self::Max | Self::Min | Self::Last | Self::WeightedSum => true,
            Self::Count | Self::Sum | Self::UniqueCount => false,
        }
    }
}

impl Filter {
    /// Whether `event` satisfies the condition.
    pub fn matches(&self, event: &impl Event) -> bool {
        let actual = event.property(&self.property);
        let is_listed = actual.is_some_and(|actual| self.values.iter().any(|value| value == actual));
        match self.operator {
            FilterOperator::Equals | FilterOperator::In => is_listed,
            FilterOperator::NotEquals | FilterOperator::NotIn => !is_listed,
            FilterOperator::Exists => actual.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::tests::event, property::Property};

    #[test]
    fn a_filter_compares_properties_and_metadata_as_text() {
        let mut given = event("a", "2025-01-01T00:00:00Z", "1");
        given.properties.insert("region".into(), Property::Text("eu".into()));
        given.metadata.insert("tier".into(), Property::Number("2".into()));
        given.metadata.insert("void".into(), Property::Null);
        let check = |property: &str, operator, values: &[&str], expected| {
            let values = values.iter().map(ToString::to_string).collect();
            let filter = Filter { property: property.into(), operator, values };
            assert_eq!(filter.matches(&given), expected, "{filter:?}");
        };
        check("region", FilterOperator::Equals, &["eu"], true);
        check("region", FilterOperator::Equals, &["us"], false);
        check("tier", FilterOperator::In, &["1", "2"], true);
        check("tier", FilterOperator::NotIn, &["1", "2"], false);
        check("absent", FilterOperator::NotEquals, &["x"], true);
        check("absent", FilterOperator::Exists, &[], false);
        check("void", FilterOperator::Exists, &[], false);
        check("region", FilterOperator::Exists, &[], true);
    }
}
