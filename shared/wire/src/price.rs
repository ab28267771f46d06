//! Prices by usage as they come in: which fields a charge model takes, and what may be in them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use domain::{
    charge::{FILTERS_MAX, Limits, PriceFilter, Pricing},
    charge_model::{ChargeModel, Package, Percentage},
    quantity::Quantity,
    tiers::{InvalidTiers, Tier, Tiers},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, OneOfBuilder, Schema, Type},
    },
};

use crate::{check::Check, number::NumberIn, priced::priced_in, properties};

/// How a quantity of usage becomes an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChargeModelName {
    /// Every unit at `unit_price`.
    Standard,
    /// Each unit at the price of the tier it falls into.
    Graduated,
    /// All units at the price of the tier the last one falls into.
    Volume,
    /// One price for all units, that of the tier the last one falls into.
    Stairstep,
    /// `unit_price` for each `package_size` units that are begun.
    Package,
    /// `rate` percent of every event's quantity.
    Percentage,
}

/// A tier of a price.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierBody {
    /// The last unit of the tier, which belongs to it; null in the last tier.
    pub(crate) up_to: Option<NumberIn>,
    /// Price of each unit in it; for a stairstep, of all units. 0 if only `flat_price` is given.
    pub(crate) unit_price: Option<NumberIn>,
    /// Charged once when the tier is reached.
    pub(crate) flat_price: Option<NumberIn>,
}

priced_in! {
    /// Another price for the events whose properties have certain values.
    pub struct PriceFilterBody {
        /// The values that each property may have. An event needs one of every property's.
        #[serde(rename = "match")]
        values: BTreeMap<String, Vec<MatchValue>>,
    }
}

/// A value of a property, as text: `7` and `"7"` are the same.
#[derive(Clone, Debug)]
pub struct MatchValue(String);

/// The price fields of a charge or of a filter.
pub(crate) struct PriceFields {
    pub(crate) charge_model: Option<ChargeModelName>,
    pub(crate) unit_price: Option<NumberIn>,
    pub(crate) tiers: Option<Vec<TierBody>>,
    pub(crate) package_size: Option<NumberIn>,
    pub(crate) free_units: Option<NumberIn>,
    pub(crate) rate: Option<NumberIn>,
    pub(crate) fixed_fee: Option<NumberIn>,
    pub(crate) free_amount: Option<NumberIn>,
    pub(crate) minimum_per_event: Option<NumberIn>,
    pub(crate) maximum_per_event: Option<NumberIn>,
    pub(crate) included_units: Option<NumberIn>,
    pub(crate) minimum_amount: Option<NumberIn>,
    pub(crate) maximum_amount: Option<NumberIn>,
}

impl PriceFields {
    /// The fields that only some models have, whether they are given, and which models those are.
    fn by_model(&self) -> [(&'static str, bool, &'static [ChargeModelName]); 9] {
        use ChargeModelName::{Graduated, Package, Percentage, Stairstep, Standard, Volume};
        // Beside tiers or a rate a price of 0 says the same as none, and clients send it.
        let has_price = self.unit_price.as_ref().is_some_and(|price| price.0 != Quantity::ZERO);
        [
            ("unit_price", has_price, &[Standard, Package]),
            ("tiers", self.tiers.is_some(), &[Graduated, Volume, Stairstep]),
            ("package_size", self.package_size.is_some(), &[Package]),
            ("free_units", self.free_units.is_some(), &[Package, Percentage]),
            ("rate", self.rate.is_some(), &[Percentage]),
            ("fixed_fee", self.fixed_fee.is_some(), &[Percentage]),
            ("free_amount", self.free_amount.is_some(), &[Percentage]),
            ("minimum_per_event", self.minimum_per_event.is_some(), &[Percentage]),
            ("maximum_per_event", self.maximum_per_event.is_some(), &[Percentage]),
        ]
    }

    /// Refuses what is for usage alone, in a charge of type FIXED.
    pub(crate) fn refuse_usage_fields(&self, check: &mut Check) {
        let is_other = self.charge_model.is_some_and(|model| model != ChargeModelName::Standard);
        let fields = self.by_model().map(|(field, is_given, _)| (field, is_given));
        let fields = fields.into_iter().filter(|(field, _)| *field != "unit_price");
        for (field, is_given) in [("charge_model", is_other)].into_iter().chain(fields) {
            if is_given {
                check.refuse(field, "is for charges of type USAGE alone");
            }
        }
    }

    /// The price, as `default` if no model is given. Every complaint names its field after `prefix`.
    pub(crate) fn pricing(
        self,
        check: &mut Check,
        prefix: &str,
        default: ChargeModelName,
    ) -> Option<Pricing> {
        let name = self.charge_model.unwrap_or(default);
        for (field, is_given, models) in self.by_model() {
            if is_given && !models.contains(&name) {
                check.refuse(format!("{prefix}{field}"), format!("is no field of the model {}", name.text()));
            }
        }
        let limits = limits(check, prefix, self.minimum_amount, self.maximum_amount);
        let included_units = amount(check, &format!("{prefix}included_units"), self.included_units);
        if name == ChargeModelName::Percentage && self.included_units.is_some() && self.free_amount.is_some()
        {
            let field = format!("{prefix}included_units");
            check.refuse(field, "is the free_amount of a percentage: give one of the two");
        }
        let model = self.model(check, prefix, name)?;
        Some(Pricing { model, included_units: included_units.unwrap_or_default(), limits })
    }

    fn model(self, check: &mut Check, prefix: &str, name: ChargeModelName) -> Option<ChargeModel> {
        let field = |name: &str| format!("{prefix}{name}");
        match name {
            ChargeModelName::Standard => {
                let unit_price = required(check, &field("unit_price"), self.unit_price)?;
                Some(ChargeModel::Standard { unit_price })
            }
            ChargeModelName::Graduated => tiers(check, prefix, self.tiers, name).map(ChargeModel::Graduated),
            ChargeModelName::Volume => tiers(check, prefix, self.tiers, name).map(ChargeModel::Volume),
            ChargeModelName::Stairstep => tiers(check, prefix, self.tiers, name).map(ChargeModel::Stairstep),
            ChargeModelName::Package => {
                let size = required(check, &field("package_size"), self.package_size);
                if size.is_some_and(|size| size.is_zero()) {
                    check.refuse(field("package_size"), "must be greater than 0");
                }
                let unit_price = required(check, &field("unit_price"), self.unit_price);
                let free_units = amount(check, &field("free_units"), self.free_units).unwrap_or_default();
                let (size, unit_price) = (size?, unit_price?);
                Some(ChargeModel::Package(Package { size, unit_price, free_units }))
            }
            ChargeModelName::Percentage => self.percentage(check, prefix).map(ChargeModel::Percentage),
        }
    }

    fn percentage(self, check: &mut Check, prefix: &str) -> Option<Percentage> {
        let field = |name: &str| format!("{prefix}{name}");
        let rate = required(check, &field("rate"), self.rate);
        let fixed_fee = amount(check, &field("fixed_fee"), self.fixed_fee).unwrap_or_default();
        let free_events = amount(check, &field("free_units"), self.free_units);
        if free_events.is_some_and(|free| !free.fract().is_zero()) {
            check.refuse(field("free_units"), "counts events: must be a whole number");
        }
        let free_amount = amount(check, &field("free_amount"), self.free_amount);
        let minimum_per_event = amount(check, &field("minimum_per_event"), self.minimum_per_event);
        let maximum_per_event = amount(check, &field("maximum_per_event"), self.maximum_per_event);
        if minimum_per_event.zip(maximum_per_event).is_some_and(|(minimum, maximum)| minimum > maximum) {
            check.refuse(field("minimum_per_event"), "must not be larger than maximum_per_event");
        }
        Some(Percentage {
            rate: rate?,
            fixed_fee,
            free_events: free_events.and_then(|free| free.to_u64()),
            free_amount,
            minimum_per_event,
            maximum_per_event,
        })
    }
}

/// The filters of a charge, whose own model is `default`.
pub(crate) fn filters(
    check: &mut Check,
    bodies: Option<Vec<PriceFilterBody>>,
    default: ChargeModelName,
) -> Vec<PriceFilter> {
    let bodies = bodies.unwrap_or_default();
    if bodies.len() > FILTERS_MAX {
        check.refuse("filters", format!("must be at most {FILTERS_MAX}"));
    }
    let filter = |(index, mut body): (usize, PriceFilterBody)| {
        let prefix = format!("filters[{index}].");
        if body.values.is_empty() || body.values.values().any(Vec::is_empty) {
            check.refuse(format!("{prefix}match"), "must have a property, with at least one value");
        }
        let pricing = body.take_price(check, &prefix).pricing(check, &prefix, default)?;
        Some(PriceFilter { values: texts(body.values), pricing })
    };
    bodies.into_iter().enumerate().filter_map(filter).collect()
}

fn texts(values: BTreeMap<String, Vec<MatchValue>>) -> BTreeMap<String, BTreeSet<String>> {
    let texts = |values: Vec<MatchValue>| values.into_iter().map(|MatchValue(text)| text).collect();
    values.into_iter().map(|(property, values)| (property, texts(values))).collect()
}

/// The least and the most an amount comes to.
pub(crate) fn limits(
    check: &mut Check,
    prefix: &str,
    minimum: Option<NumberIn>,
    maximum: Option<NumberIn>,
) -> Limits {
    let minimum = amount(check, &format!("{prefix}minimum_amount"), minimum);
    let maximum = amount(check, &format!("{prefix}maximum_amount"), maximum);
    if minimum.zip(maximum).is_some_and(|(minimum, maximum)| minimum > maximum) {
        check.refuse(format!("{prefix}minimum_amount"), "must not be larger than maximum_amount");
    }
    Limits { minimum, maximum }
}

/// As [`amount`], and there must be one.
pub(crate) fn required(check: &mut Check, field: &str, number: Option<NumberIn>) -> Option<Decimal> {
    if number.is_none() {
        check.refuse(field, "is required");
    }
    amount(check, field, number)
}

/// A price, or a quantity of a charge: not negative, and small enough to be multiplied exactly.
pub(crate) fn amount(check: &mut Check, field: &str, number: Option<NumberIn>) -> Option<Decimal> {
    let number = check.value(field, number?.decimal())?;
    if number.is_sign_negative() && !number.is_zero() {
        check.refuse(field, "must not be negative");
    } else if number > Decimal::from(1_000_000_000_000_u64) {
        check.refuse(field, "must be at most 1000000000000");
    }
    Some(number)
}

fn tiers(
    check: &mut Check,
    prefix: &str,
    bodies: Option<Vec<TierBody>>,
    model: ChargeModelName,
) -> Option<Tiers> {
    let Some(bodies) = bodies else {
        check.refuse(format!("{prefix}tiers"), "are required for this charge_model");
        return None;
    };
    let mut tiers = Vec::new();
    for (index, body) in bodies.into_iter().enumerate() {
        let field = |name: &str| format!("{prefix}tiers[{index}].{name}");
        if body.unit_price.is_none() && body.flat_price.is_none() {
            check.refuse(field("unit_price"), "is required");
        }
        let up_to = body.up_to.map(|up_to| check.value(&field("up_to"), up_to.decimal()));
        let tier = Tier {
            up_to: up_to.map(Option::unwrap_or_default),
            unit_price: amount(check, &field("unit_price"), body.unit_price).unwrap_or_default(),
            flat_price: amount(check, &field("flat_price"), body.flat_price).unwrap_or_default(),
        };
        if model == ChargeModelName::Stairstep && !tier.unit_price.is_zero() && !tier.flat_price.is_zero() {
            check.refuse(field("unit_price"), "a step has one price: give it or flat_price, not both");
        }
        tiers.push(tier);
    }
    Tiers::new(tiers)
        .map_err(|error| {
            let field = match error {
                InvalidTiers::Empty | InvalidTiers::TooMany => format!("{prefix}tiers"),
                InvalidTiers::NotRising { index }
                | InvalidTiers::OpenTooEarly { index }
                | InvalidTiers::NotOpen { index } => format!("{prefix}tiers[{index}].up_to"),
            };
            check.refuse(field, error.to_string());
        })
        .ok()
}

impl ChargeModelName {
    /// As on the wire.
    fn text(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Graduated => "graduated",
            Self::Volume => "volume",
            Self::Stairstep => "stairstep",
            Self::Package => "package",
            Self::Percentage => "percentage",
        }
    }

    pub(crate) fn from_domain(model: &ChargeModel) -> Self {
        match model {
            ChargeModel::Standard { .. } => Self::Standard,
            ChargeModel::Graduated(_) => Self::Graduated,
            ChargeModel::Volume(_) => Self::Volume,
            ChargeModel::Stairstep(_) => Self::Stairstep,
            ChargeModel::Package(_) => Self::Package,
            ChargeModel::Percentage(_) => Self::Percentage,
        }
    }
}

impl<'de> Deserialize<'de> for MatchValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let property = properties::property(Value::deserialize(deserializer)?);
        let text = property.as_text().filter(|text| !text.is_empty());
        text.map(|text| Self(text.to_owned()))
            .ok_or_else(|| de::Error::custom("must be a text, a number or a truth value"))
    }
}

impl PartialSchema for MatchValue {
    fn schema() -> RefOr<Schema> {
        let one = |schema_type| ObjectBuilder::new().schema_type(schema_type).build();
        let either = OneOfBuilder::new().item(one(Type::String)).item(one(Type::Number));
        either.item(one(Type::Boolean)).description(Some("A value of a property.")).into()
    }
}

impl ToSchema for MatchValue {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("MatchValue")
    }
}
