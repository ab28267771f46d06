//! Prices of one subscription alone. A field that is not given is as the plan's charge has it.

use std::collections::BTreeSet;

use app::price_override::PriceOverride;
use domain::{
    charge::{FixedPrice, Price, Pricing, UsagePrice},
    id::ChargeId,
    plan::CHARGES_MAX,
    subscription::SubscriptionTerms,
};
use rust_decimal::Decimal;

use crate::{
    check::Check,
    number::{NumberIn, NumberOut},
    price::{self, ChargeModelName, PriceFields, PriceFilterBody, TierBody},
    price_out::{ModelOut, PriceFilterOutBody, TierOutBody, filters_out, pricing},
    priced::{priced, priced_in, priced_out},
};

priced_in! {
    /// Another price of a charge, for one subscription. What is not given is as the plan has it; under another
    /// `charge_model` that is only `included_units`, `minimum_amount`, `maximum_amount` and `filters`.
    pub struct PriceOverrideBody {
        /// Which charge of the plan.
        charge_id: String,
        /// How many, for a fixed charge.
        quantity: Option<NumberIn>,
        /// Other prices by property, in place of all those of the plan.
        filters: Option<Vec<PriceFilterBody>>,
    }
}

priced_out! {
    /// A price of one subscription alone, with all that goes into it.
    pub struct PriceOverrideOutBody {
        /// Which charge of the plan.
        pub charge_id: String,
        /// How many, for a fixed charge.
        pub quantity: Option<NumberOut>,
        /// Other prices by property.
        pub filters: Vec<PriceFilterOutBody>,
    }
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
    fn over(mut self, check: &mut Check, own: &Price) -> Option<Price> {
        let fields = self.take_price(check, "");
        let (quantity, filters) = (self.quantity, self.filters);
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
        let quantity = match price {
            Price::Fixed(price) => Some(NumberOut(price.quantity)),
            Price::Usage(_) => None,
        };
        priced!(
            &pricing(price),
            Self { charge_id: charge.to_string(), quantity, filters: filters_out(price) }
        )
    }
}
