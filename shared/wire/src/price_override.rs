//! Prices of one subscription alone. A field that is not given is as the plan's charge has it.

use std::collections::BTreeSet;

use app::price_override::PriceOverride;
use domain::{
    charge::{FixedPrice, Price, Pricing, UsagePrice},
    charge_model::ChargeModel,
    id::ChargeId,
    plan::CHARGES_MAX,
    subscription::SubscriptionTerms,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    charge::{ModelOut, PriceFilterOutBody, TierOutBody},
    check::Check,
    number::{NumberIn, NumberOut},
    price::{self, ChargeModelName, PriceFields, PriceFilterBody, TierBody},
};

/// Another price of a charge, for one subscription. What is not given is as the plan has it; under another
/// `charge_model` that is only `included_units`, `minimum_amount`, `maximum_amount` and `filters`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceOverrideBody {
    /// Which charge of the plan.
    charge_id: String,
    /// How many, for a fixed charge.
    quantity: Option<NumberIn>,
    /// How a quantity becomes an amount.
    charge_model: Option<ChargeModelName>,
    /// Price of one, in major units; of a package for `package`.
    unit_price: Option<NumberIn>,
    /// The tiers of a graduated, volume or stairstep price.
    tiers: Option<Vec<TierBody>>,
    /// The same as `tiers`.
    usage_pricing_rules: Option<Vec<TierBody>>,
    /// How many units are in a package.
    package_size: Option<NumberIn>,
    /// Units, or for `percentage` events, that cost nothing.
    free_units: Option<NumberIn>,
    /// Percent of every event's quantity.
    rate: Option<NumberIn>,
    /// What every event costs on top.
    fixed_fee: Option<NumberIn>,
    /// How much of the quantity costs nothing.
    free_amount: Option<NumberIn>,
    /// What an event costs at least.
    minimum_per_event: Option<NumberIn>,
    /// What an event costs at most.
    maximum_per_event: Option<NumberIn>,
    /// Units that cost nothing, before the model counts.
    included_units: Option<NumberIn>,
    /// A smaller amount is raised to it.
    minimum_amount: Option<NumberIn>,
    /// A larger amount is lowered to it.
    maximum_amount: Option<NumberIn>,
    /// Other prices by property, in place of all those of the plan.
    filters: Option<Vec<PriceFilterBody>>,
}

/// A price of one subscription alone, with all that goes into it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceOverrideOutBody {
    /// Which charge of the plan.
    pub charge_id: String,
    /// How many, for a fixed charge.
    pub quantity: Option<NumberOut>,
    /// How a quantity becomes an amount.
    pub charge_model: ChargeModelName,
    /// Price of one, where there is one price; of a package for `package`.
    pub unit_price: Option<NumberOut>,
    /// The tiers of a graduated, volume or stairstep price.
    pub tiers: Option<Vec<TierOutBody>>,
    /// How many units are in a package.
    pub package_size: Option<NumberOut>,
    /// Units, or for `percentage` events, that cost nothing.
    pub free_units: Option<NumberOut>,
    /// Percent of every event's quantity.
    pub rate: Option<NumberOut>,
    /// What every event costs on top.
    pub fixed_fee: Option<NumberOut>,
    /// How much of the quantity costs nothing.
    pub free_amount: Option<NumberOut>,
    /// What an event costs at least.
    pub minimum_per_event: Option<NumberOut>,
    /// What an event costs at most.
    pub maximum_per_event: Option<NumberOut>,
    /// Units that cost nothing, before the model counts.
    pub included_units: NumberOut,
    /// A smaller amount is raised to it.
    pub minimum_amount: Option<NumberOut>,
    /// A larger amount is lowered to it.
    pub maximum_amount: Option<NumberOut>,
    /// Other prices by property.
    pub filters: Vec<PriceFilterOutBody>,
}

/// What `overrides` ask for. The fields that a price takes depend on the charge: they are checked with it.
pub(crate) fn overrides(check: &mut Check, bodies: Option<Vec<PriceOverrideBody>>) -> Vec<PriceOverride> {
    if bodies.as_ref().is_some_and(|bodies| bodies.len() > CHARGES_MAX) {
        check.refuse("overrides", format!("must be at most {CHARGES_MAX}"));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let read = |(index, body): (usize, PriceOverrideBody)| {
        let parent = format!("overrides[{index}]");
        let charge = check.value(&format!("{parent}.charge_id"), body.charge_id.parse::<ChargeId>())?;
        if !seen.insert(charge) {
            check.refuse(format!("{parent}.charge_id"), "is overridden twice");
        }
        let price = move |own: &Price| {
            let mut check = Check::default();
            let price = check.within(&parent, |check| body.clone().over(check, own));
            check.finish_some(price)
        };
        Some(PriceOverride { charge, price: Box::new(price) })
    };
    bodies.unwrap_or_default().into_iter().enumerate().filter_map(read).collect()
}

impl PriceOverrideBody {
    /// The price `own` with what is given in its place.
    fn over(self, check: &mut Check, own: &Price) -> Option<Price> {
        if self.tiers.is_some() && self.usage_pricing_rules.is_some() {
            check.refuse("usage_pricing_rules", price::TIERS_TWICE);
        }
        let quantity = self.quantity;
        let (filters, fields) = self.split();
        match own {
            Price::Fixed(own) => {
                if filters.is_some() {
                    check.refuse("filters", "is for charges of type USAGE alone");
                }
                fields.refuse_usage_fields(check);
                Some(Price::Fixed(over_fixed(check, own, quantity, fields)))
            }
            Price::Usage(own) => {
                if quantity.is_some() {
                    check.refuse("quantity", "is for charges of type FIXED alone");
                }
                let default = ChargeModelName::from_domain(&own.pricing.model);
                let model = fields.charge_model.unwrap_or(default);
                let pricing = or_own(fields, &own.pricing).pricing(check, "", default);
                let filters = match filters {
                    Some(filters) => price::filters(check, Some(filters), model),
                    None => own.filters.clone(),
                };
                let (meter, interval) = (own.meter, own.interval);
                Some(Price::Usage(UsagePrice { meter, interval, pricing: pricing?, filters }))
            }
        }
    }

    fn split(self) -> (Option<Vec<PriceFilterBody>>, PriceFields) {
        let fields = PriceFields {
            charge_model: self.charge_model,
            unit_price: self.unit_price,
            tiers: self.tiers.or(self.usage_pricing_rules),
            package_size: self.package_size,
            free_units: self.free_units,
            rate: self.rate,
            fixed_fee: self.fixed_fee,
            free_amount: self.free_amount,
            minimum_per_event: self.minimum_per_event,
            maximum_per_event: self.maximum_per_event,
            included_units: self.included_units,
            minimum_amount: self.minimum_amount,
            maximum_amount: self.maximum_amount,
        };
        (self.filters, fields)
    }
}

fn over_fixed(
    check: &mut Check,
    own: &FixedPrice,
    quantity: Option<NumberIn>,
    fields: PriceFields,
) -> FixedPrice {
    let mut or = |field: &str, given: Option<NumberIn>, own: Decimal| {
        price::amount(check, field, given).unwrap_or(own) // a wrong one is complained of
    };
    let unit_price = or("unit_price", fields.unit_price, own.unit_price);
    let quantity = or("quantity", quantity, own.quantity);
    let included_units = or("included_units", fields.included_units, own.included_units);
    let minimum = fields.minimum_amount.or(own.limits.minimum.and_then(number));
    let maximum = fields.maximum_amount.or(own.limits.maximum.and_then(number));
    let limits = price::limits(check, "", minimum, maximum);
    FixedPrice { unit_price, quantity, included_units, limits, timing: own.timing }
}

/// The fields, and those of `own` where nothing is given.
fn or_own(fields: PriceFields, own: &Pricing) -> PriceFields {
    let is_same = |model| model == ChargeModelName::from_domain(&own.model);
    let model =
        if fields.charge_model.is_none_or(is_same) { ModelOut::of(&own.model) } else { ModelOut::default() };
    let or = |given: Option<NumberIn>, own: Option<Decimal>| given.or(own.and_then(number));
    let included_units = Some(own.included_units).filter(|units| !units.is_zero());
    PriceFields {
        charge_model: fields.charge_model,
        unit_price: or(fields.unit_price, model.unit_price),
        tiers: fields.tiers.or_else(|| model.tiers.map(|tiers| tiers.iter().map(tier).collect())),
        package_size: or(fields.package_size, model.package_size),
        free_units: or(fields.free_units, model.free_units),
        rate: or(fields.rate, model.rate),
        fixed_fee: or(fields.fixed_fee, model.fixed_fee),
        free_amount: or(fields.free_amount, model.free_amount),
        minimum_per_event: or(fields.minimum_per_event, model.minimum_per_event),
        maximum_per_event: or(fields.maximum_per_event, model.maximum_per_event),
        included_units: or(fields.included_units, included_units),
        minimum_amount: or(fields.minimum_amount, own.limits.minimum),
        maximum_amount: or(fields.maximum_amount, own.limits.maximum),
    }
}

fn tier(tier: &TierOutBody) -> TierBody {
    TierBody {
        up_to: tier.up_to.and_then(|NumberOut(up_to)| number(up_to)),
        unit_price: number(tier.unit_price.0),
        flat_price: number(tier.flat_price.0),
    }
}

/// A number of a charge as it came in, where none has more digits than fit.
fn number(number: Decimal) -> Option<NumberIn> {
    number.to_string().parse().ok().map(NumberIn)
}

impl PriceOverrideOutBody {
    /// The prices that terms have in place of the plan's.
    pub fn of_terms(terms: &SubscriptionTerms) -> Vec<Self> {
        terms.prices.iter().map(|(charge, price)| Self::from_domain(*charge, price)).collect()
    }

    fn from_domain(charge: ChargeId, price: &Price) -> Self {
        let (quantity, pricing, filters) = match price {
            Price::Fixed(price) => {
                let model = ChargeModel::Standard { unit_price: price.unit_price };
                let (included_units, limits) = (price.included_units, price.limits);
                (Some(price.quantity), Pricing { model, included_units, limits }, Vec::new())
            }
            Price::Usage(price) => (None, price.pricing.clone(), price.filters.clone()),
        };
        let out = ModelOut::of(&pricing.model);
        Self {
            charge_id: charge.to_string(),
            quantity: quantity.map(NumberOut),
            charge_model: ChargeModelName::from_domain(&pricing.model),
            unit_price: out.unit_price.map(NumberOut),
            tiers: out.tiers,
            package_size: out.package_size.map(NumberOut),
            free_units: out.free_units.map(NumberOut),
            rate: out.rate.map(NumberOut),
            fixed_fee: out.fixed_fee.map(NumberOut),
            free_amount: out.free_amount.map(NumberOut),
            minimum_per_event: out.minimum_per_event.map(NumberOut),
            maximum_per_event: out.maximum_per_event.map(NumberOut),
            included_units: NumberOut(pricing.included_units),
            minimum_amount: pricing.limits.minimum.map(NumberOut),
            maximum_amount: pricing.limits.maximum.map(NumberOut),
            filters: filters.into_iter().map(PriceFilterOutBody::from_domain).collect(),
        }
    }
}
