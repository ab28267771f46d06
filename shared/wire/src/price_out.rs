//! Prices as they go out.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    charge::{Price, PriceFilter, Pricing},
    charge_model::ChargeModel,
    tiers::{Tier, Tiers},
};
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    number::NumberOut,
    priced::{priced, priced_out},
};

priced_out! {
    /// Another price for the events whose properties have certain values.
    pub struct PriceFilterOutBody {
        /// The values that each property may have.
        #[serde(rename = "match")]
        pub values: BTreeMap<String, BTreeSet<String>>,
    }
}

/// A tier of a price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierOutBody {
    /// The last unit of the tier; null if it never ends.
    pub up_to: Option<NumberOut>,
    /// Price of each unit in it; for a stairstep, of all units.
    pub unit_price: NumberOut,
    /// Charged once when the tier is reached.
    pub flat_price: NumberOut,
}

/// The price fields of a model as they go out.
#[derive(Default)]
pub(crate) struct ModelOut {
    pub(crate) unit_price: Option<Decimal>,
    pub(crate) tiers: Option<Vec<TierOutBody>>,
    pub(crate) package_size: Option<Decimal>,
    pub(crate) free_units: Option<Decimal>,
    pub(crate) rate: Option<Decimal>,
    pub(crate) fixed_fee: Option<Decimal>,
    pub(crate) free_amount: Option<Decimal>,
    pub(crate) minimum_per_event: Option<Decimal>,
    pub(crate) maximum_per_event: Option<Decimal>,
}

impl ModelOut {
    pub(crate) fn of(model: &ChargeModel) -> Self {
        match model {
            ChargeModel::Standard { unit_price } => Self { unit_price: Some(*unit_price), ..Self::default() },
            ChargeModel::Graduated(tiers) | ChargeModel::Volume(tiers) | ChargeModel::Stairstep(tiers) => {
                Self { tiers: Some(tiers_out(tiers)), ..Self::default() }
            }
            ChargeModel::Package(package) => Self {
                unit_price: Some(package.unit_price),
                package_size: Some(package.size),
                free_units: Some(package.free_units),
                ..Self::default()
            },
            ChargeModel::Percentage(percentage) => Self {
                free_units: percentage.free_events.map(Decimal::from),
                rate: Some(percentage.rate),
                fixed_fee: Some(percentage.fixed_fee),
                free_amount: percentage.free_amount,
                minimum_per_event: percentage.minimum_per_event,
                maximum_per_event: percentage.maximum_per_event,
                ..Self::default()
            },
        }
    }
}

fn tiers_out(tiers: &Tiers) -> Vec<TierOutBody> {
    let tier = |(_, tier): (Decimal, &Tier)| TierOutBody {
        up_to: tier.up_to.map(NumberOut),
        unit_price: NumberOut(tier.unit_price),
        flat_price: NumberOut(tier.flat_price),
    };
    tiers.iter().map(tier).collect()
}

/// The pricing of a charge; of a fixed one the price of one.
pub(crate) fn pricing(price: &Price) -> Pricing {
    match price {
        Price::Fixed(price) => Pricing {
            model: ChargeModel::Standard { unit_price: price.unit_price },
            included_units: price.included_units,
            limits: price.limits,
        },
        Price::Usage(price) => price.pricing.clone(),
    }
}

/// The filters of a charge; a fixed one has none.
pub(crate) fn filters_out(price: &Price) -> Vec<PriceFilterOutBody> {
    let filter =
        |filter: &PriceFilter| priced!(&filter.pricing, PriceFilterOutBody { values: filter.values.clone() });
    match price {
        Price::Fixed(_) => Vec::new(),
        Price::Usage(price) => price.filters.iter().map(filter).collect(),
    }
}
