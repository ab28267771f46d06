//! Charges: what a plan costs. By which model usage becomes an amount is in [`crate::charge_model`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    charge_model::ChargeModel,
    event::Event,
    id::{ChargeId, MeterId},
    meter::Aggregation,
    period::BillingInterval,
};

/// One price of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its id.
    pub id: ChargeId,
    /// What the line on the invoice is called.
    pub display_name: String,
    /// What is priced, and how.
    pub price: Price,
    /// The first price version of the plan that has this charge.
    pub added_in: u32,
    /// The first price version that no longer has it.
    pub retired_in: Option<u32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What a charge prices. Prices are in major units of the plan's currency, with full precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    /// So much per period, whatever is used.
    Fixed(FixedPrice),
    /// By usage.
    Usage(UsagePrice),
}

/// So much per period, whatever is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPrice {
    /// Price of one.
    pub unit_price: Decimal,
    /// How many, such as seats.
    pub quantity: Decimal,
    /// How many of them cost nothing.
    pub included_units: Decimal,
    /// The least and the most it comes to.
    pub limits: Limits,
    /// When it is billed.
    pub timing: FixedTiming,
}

/// When a fixed charge is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedTiming {
    /// Once, with the first invoice.
    Once,
    /// Again and again.
    Recurring {
        /// At the start of what it is for, rather than at the end.
        is_in_advance: bool,
        /// How often; as the plan if not given.
        interval: Option<BillingInterval>,
    },
}

/// A price by usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePrice {
    /// The meter whose usage is priced.
    pub meter: MeterId,
    /// How often it is billed; as the plan if not given.
    pub interval: Option<BillingInterval>,
    /// The price of what no filter takes. Its limits are those of the charge as a whole.
    pub pricing: Pricing,
    /// Other prices by property. The first that takes an event prices it.
    pub filters: Vec<PriceFilter>,
}

/// How a quantity becomes an amount, with what is included and the bounds of the amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// By which model.
    pub model: ChargeModel,
    /// How many units cost nothing; the model prices those after them, counted from 1.
    pub included_units: Decimal,
    /// The least and the most it comes to.
    pub limits: Limits,
}

/// The least and the most an amount comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// A smaller amount is raised to it.
    pub minimum: Option<Decimal>,
    /// A larger amount is lowered to it.
    pub maximum: Option<Decimal>,
}

/// Another price for the events whose properties have certain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceFilter {
    /// The values that each property may have. An event needs one of every property's.
    pub values: BTreeMap<String, BTreeSet<String>>,
    /// The price of the events taken.
    pub pricing: Pricing,
}

/// The most filters one charge may have.
pub const FILTERS_MAX: usize = 50;

/// About how many bytes a price takes in a table, or the parts of a line that come of it, with what is around
/// it; and each tier beside. Numbers have up to 29 digits, and most have few.
const PRICE_BYTES: usize = 200;

impl Charge {
    /// Whether version `version` of the plan's prices has this charge.
    pub fn is_in(&self, version: u32) -> bool {
        self.added_in <= version && self.retired_in.is_none_or(|retired_in| version < retired_in)
    }

    /// The meter whose usage is priced, if any.
    pub fn meter(&self) -> Option<MeterId> {
        match &self.price {
            Price::Fixed(_) => None,
            Price::Usage(usage) => Some(usage.meter),
        }
    }
}

impl Price {
    /// How often it is billed, where that is not as often as the plan.
    pub fn interval(&self) -> Option<BillingInterval> {
        match self {
            Self::Usage(price) => price.interval,
            Self::Fixed(price) => match price.timing {
                FixedTiming::Once => None,
                FixedTiming::Recurring { interval, .. } => interval,
            },
        }
    }

    /// About how many bytes it takes in a table, or the parts of a line that come of it: whichever is more.
    pub fn size(&self) -> usize {
        match self {
            Self::Fixed(_) => PRICE_BYTES,
            Self::Usage(price) => {
                let of_filter = |filter: &PriceFilter| {
                    // Each part is told by the filter's name.
                    filter.pricing.rows() * (PRICE_BYTES + filter.name().len())
                };
                price.pricing.rows() * PRICE_BYTES + price.filters.iter().map(of_filter).sum::<usize>()
            }
        }
    }
}

impl FixedPrice {
    /// So much for one, billed at the end of every period of the plan.
    pub fn of(unit_price: Decimal, quantity: Decimal) -> Self {
        let timing = FixedTiming::Recurring { is_in_advance: false, interval: None };
        Self { unit_price, quantity, included_units: Decimal::ZERO, limits: Limits::default(), timing }
    }
}

impl UsagePrice {
    /// Whether rating needs the events one by one: a total does not say what their properties are, or what
    /// each of them costs.
    pub fn needs_events(&self) -> bool {
        !self.filters.is_empty() || self.pricing.needs_events()
    }

    /// Which filter prices `event`, by its place; `None` for the charge itself.
    pub fn filter_of(&self, event: &impl Event) -> Option<usize> {
        self.filters.iter().position(|filter| filter.takes(event))
    }

    /// Whether usage counted by `aggregation` can be priced: a percentage is taken of every event, and
    /// only a sum or a count is the sum of its events.
    pub fn fits(&self, aggregation: Aggregation) -> bool {
        let mut models = self.filters.iter().map(|filter| &filter.pricing).chain([&self.pricing]);
        match aggregation {
            Aggregation::Sum | Aggregation::Count => true,
            Aggregation::Max | Aggregation::Min | Aggregation::Last | Aggregation::UniqueCount => {
                !models.any(|pricing| matches!(pricing.model, ChargeModel::Percentage(_)))
            }
            // A level is one number: it is not the level of some of its events.
            Aggregation::WeightedSum => {
                self.filters.is_empty() && !matches!(self.pricing.model, ChargeModel::Percentage(_))
            }
        }
    }
}

impl Pricing {
    /// A model alone.
    pub fn of(model: ChargeModel) -> Self {
        Self { model, included_units: Decimal::ZERO, limits: Limits::default() }
    }

    /// One for itself, and one for each tier.
    fn rows(&self) -> usize {
        match &self.model {
            ChargeModel::Graduated(tiers) | ChargeModel::Volume(tiers) | ChargeModel::Stairstep(tiers) => {
                1 + tiers.count()
            }
            ChargeModel::Standard { .. } | ChargeModel::Package(_) | ChargeModel::Percentage(_) => 1,
        }
    }

    fn needs_events(&self) -> bool {
        match &self.model {
            ChargeModel::Standard { .. }
            | ChargeModel::Graduated(_)
            | ChargeModel::Volume(_)
            | ChargeModel::Stairstep(_)
            | ChargeModel::Package(_) => false,
            ChargeModel::Percentage(percentage) => percentage.needs_events(self.included_units),
        }
    }
}

impl PriceFilter {
    /// Whether `event` has one of the values of every property.
    pub fn takes(&self, event: &impl Event) -> bool {
        self.values
            .iter()
            .all(|(property, values)| event.property(property).is_some_and(|actual| values.contains(actual)))
    }

    /// `model: gpt-4o or gpt-4o-mini, type: input`
    pub fn name(&self) -> String {
        let values = self.values.iter().map(|(property, values)| {
            let values = values.iter().map(String::as_str).collect::<Vec<_>>();
            format!("{property}: {}", values.join(" or "))
        });
        values.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::tests::event, id::Id, property::Property};

    fn filter(values: &[(&str, &[&str])]) -> PriceFilter {
        let values = values.iter().map(|(property, values)| {
            ((*property).to_owned(), values.iter().map(ToString::to_string).collect())
        });
        let pricing = Pricing::of(ChargeModel::Standard { unit_price: Decimal::ONE });
        PriceFilter { values: values.collect(), pricing }
    }

    #[test]
    fn the_first_filter_that_takes_an_event_prices_it() {
        let price = UsagePrice {
            meter: Id::from_uuid(uuid::Uuid::from_u128(1)),
            interval: None,
            pricing: Pricing::of(ChargeModel::Standard { unit_price: Decimal::ONE }),
            filters: vec![
                filter(&[("model", &["a", "b"]), ("type", &["input"])]),
                filter(&[("model", &["a"])]),
                filter(&[("version", &["2"])]),
            ],
        };
        let check = |properties: &[(&str, Property)], expected: Option<usize>| {
            let mut given = event("a", "2025-01-01T00:00:00Z", "1");
            given
                .properties
                .extend(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            assert_eq!(price.filter_of(&given), expected, "{properties:?}");
        };
        let text = |text: &str| Property::Text(text.into());
        check(&[("model", text("b")), ("type", text("input"))], Some(0));
        check(&[("model", text("a")), ("type", text("input"))], Some(0)); // the second would, too
        check(&[("model", text("a")), ("type", text("output"))], Some(1));
        check(&[("model", text("a"))], Some(1));
        check(&[("model", text("b"))], None);
        check(&[("version", Property::Number("2".into()))], Some(2));
        check(&[("model", Property::Null)], None);
        check(&[], None);
        assert_eq!(price.filters[0].name(), "model: a or b, type: input");
    }
}
