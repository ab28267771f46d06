//! Bodies of plans and charges.

use app::{
    AppError,
    plans::{NewCharge, NewPlan, PlanChanges},
};
use domain::{
    charge::{Charge, ChargeModel, InvalidTiers, Price, Tier, Tiers},
    id::MeterId,
    period::{BillingInterval, IntervalUnit},
    plan::{Plan, PlanType, PricedPlan, TRIAL_DAYS_MAX},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    entitlement::PlanFeatureBody,
    number::{NumberIn, NumberOut},
    time::TimeOut,
};

/// What a plan's price is made of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum PlanTypeName {
    /// The same every period.
    Fixed,
    /// By usage alone.
    Usage,
    /// Both.
    Hybrid,
}

/// A unit of time between two invoices.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IntervalName {
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// A plan to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlanBody {
    /// What it is called on invoices.
    name: String,
    /// A slug, unique in the organization; made from the name if not given.
    lookup_id: Option<String>,
    /// What its price is made of.
    #[serde(rename = "type")]
    plan_type: PlanTypeName,
    /// How often it is billed.
    billing_interval: IntervalName,
    /// What it is billed in, by ISO 4217.
    currency: String,
    /// Days of a new subscription that are not billed.
    trial_days: Option<u32>,
    /// For whoever reads the price list.
    description: Option<String>,
    /// Whether it takes subscriptions; it does if not given.
    is_active: Option<bool>,
}

/// Changes to a plan. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanChangesBody {
    /// What it is called on invoices.
    name: Option<String>,
    /// For whoever reads the price list; empty text takes it away.
    description: Option<String>,
    /// Whether it takes subscriptions.
    is_active: Option<bool>,
    /// Days of a new subscription that are not billed.
    trial_days: Option<u32>,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// Its id.
    pub id: String,
    /// What it is called on invoices.
    pub name: String,
    /// A slug, unique in the organization.
    pub lookup_id: String,
    /// What its price is made of.
    #[serde(rename = "type")]
    pub plan_type: PlanTypeName,
    /// How often it is billed.
    pub billing_interval: IntervalName,
    /// What it is billed in.
    pub currency: String,
    /// Days of a new subscription that are not billed.
    pub trial_days: u32,
    /// For whoever reads the price list.
    pub description: Option<String>,
    /// Whether it takes subscriptions.
    pub is_active: bool,
    /// Its charges, with those that were retired.
    pub charges: Vec<ChargeBody>,
    /// What it unlocks.
    pub features: Vec<PlanFeatureBody>,
    /// When it was made.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

/// What a charge prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChargeTypeName {
    /// The same every period.
    Fixed,
    /// By usage.
    Usage,
}

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
}

/// A charge to be added to a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChargeBody {
    /// What it prices.
    #[serde(rename = "type")]
    charge_type: ChargeTypeName,
    /// What the line on the invoice is called.
    display_name: Option<String>,
    /// Price of one, in major units.
    unit_price: Option<NumberIn>,
    /// How many, for a fixed charge; 1 if not given.
    quantity: Option<NumberIn>,
    /// The meter whose usage is priced.
    meter_id: Option<String>,
    /// How a quantity becomes an amount; `standard` if not given.
    charge_model: Option<ChargeModelName>,
    /// The tiers of a graduated or volume price.
    #[serde(alias = "usage_pricing_rules")]
    tiers: Option<Vec<TierBody>>,
}

/// A tier of a price.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierBody {
    /// The last unit of the tier, which belongs to it; null in the last tier.
    up_to: Option<NumberIn>,
    /// Price of each unit in it.
    unit_price: NumberIn,
    /// Charged once when the tier is reached.
    flat_price: Option<NumberIn>,
}

/// A change to a charge: it can be retired, for good.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeChangesBody {
    /// Only `INACTIVE`.
    #[expect(dead_code, reason = "its type says all there is to say")]
    status: InactiveName,
}

/// The one status a charge can be put into.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum InactiveName {
    /// Not in the plan's prices any more.
    Inactive,
}

/// A charge of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeBody {
    /// Its id.
    pub id: String,
    /// The plan it belongs to.
    pub plan_id: String,
    /// What it prices.
    #[serde(rename = "type")]
    pub charge_type: ChargeTypeName,
    /// What the line on the invoice is called.
    pub display_name: String,
    /// `ACTIVE`, or `INACTIVE` for good.
    pub status: &'static str,
    /// The meter whose usage is priced.
    pub meter_id: Option<String>,
    /// How a quantity becomes an amount.
    pub charge_model: ChargeModelName,
    /// Price of one, where there is one price.
    pub unit_price: Option<NumberOut>,
    /// How many, for a fixed charge.
    pub quantity: Option<NumberOut>,
    /// The tiers of a graduated or volume price.
    pub tiers: Option<Vec<TierOutBody>>,
    /// When it was made.
    pub created_at: TimeOut,
}

/// A tier of a price.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierOutBody {
    /// The last unit of the tier; null if it never ends.
    pub up_to: Option<NumberOut>,
    /// Price of each unit in it.
    pub unit_price: NumberOut,
    /// Charged once when the tier is reached.
    pub flat_price: NumberOut,
}

impl NewPlanBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<NewPlan, AppError> {
        let mut check = Check::default();
        let name = check.text("name", self.name, 200);
        let lookup_id = check.slug("lookup_id", self.lookup_id.unwrap_or_else(|| slug_of(&name)));
        let description = check.optional_text("description", self.description, 2000);
        let trial_days = trial_days(&mut check, self.trial_days);
        let currency = check.value("currency", self.currency.parse());
        check.finish_some(currency.map(|currency| NewPlan {
            name,
            lookup_id,
            plan_type: self.plan_type.into_domain(),
            billing_interval: self.billing_interval.interval(),
            currency,
            trial_days: trial_days.unwrap_or_default(),
            description,
            is_active: self.is_active.unwrap_or(true),
        }))
    }
}

impl PlanChangesBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<PlanChanges, AppError> {
        let mut check = Check::default();
        let name = self.name.map(|name| check.text("name", name, 200));
        let description =
            self.description.map(|description| check.optional_text("description", Some(description), 2000));
        let trial_days = trial_days(&mut check, self.trial_days);
        check.finish(PlanChanges { name, description, is_active: self.is_active, trial_days })
    }
}

fn trial_days(check: &mut Check, days: Option<u32>) -> Option<u32> {
    if days.is_some_and(|days| days > TRIAL_DAYS_MAX) {
        check.refuse("trial_days", format!("must be at most {TRIAL_DAYS_MAX}"));
    }
    days
}

/// `Pro Plan (EU)` becomes `pro-plan-eu`.
fn slug_of(name: &str) -> String {
    let words =
        name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_lowercase();
    if slug.is_empty() { "plan".to_owned() } else { slug.chars().take(100).collect() }
}

impl NewChargeBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<NewCharge, AppError> {
        let mut check = Check::default();
        let display_name = check.optional_text("display_name", self.display_name.clone(), 200);
        let price = match self.charge_type {
            ChargeTypeName::Fixed => self.fixed_price(&mut check),
            ChargeTypeName::Usage => self.usage_price(&mut check),
        };
        check.finish_some(price.map(|price| NewCharge { display_name, price }))
    }

    fn fixed_price(self, check: &mut Check) -> Option<Price> {
        for (field, is_given) in [
            ("meter_id", self.meter_id.is_some()),
            ("charge_model", self.charge_model.is_some_and(|model| model != ChargeModelName::Standard)),
            ("tiers", self.tiers.is_some()),
        ] {
            if is_given {
                check.refuse(field, "is for charges of type USAGE alone");
            }
        }
        let unit_price = required_price(check, "unit_price", self.unit_price);
        let quantity = match self.quantity {
            None => Some(Decimal::ONE),
            Some(quantity) => price(check, "quantity", quantity),
        };
        Some(Price::Fixed { unit_price: unit_price?, quantity: quantity? })
    }

    fn usage_price(self, check: &mut Check) -> Option<Price> {
        if self.quantity.is_some() {
            check.refuse("quantity", "is for charges of type FIXED alone");
        }
        let meter = match &self.meter_id {
            None => {
                check.refuse("meter_id", "is required for a charge of type USAGE");
                None
            }
            Some(text) => check.value("meter_id", text.parse::<MeterId>()),
        };
        let model = match self.charge_model.unwrap_or(ChargeModelName::Standard) {
            ChargeModelName::Standard => {
                if self.tiers.is_some() {
                    check.refuse("tiers", "need a charge_model of graduated or volume");
                }
                let unit_price = required_price(check, "unit_price", self.unit_price);
                unit_price.map(|unit_price| ChargeModel::Standard { unit_price })
            }
            ChargeModelName::Graduated => tiers(check, self.tiers).map(ChargeModel::Graduated),
            ChargeModelName::Volume => tiers(check, self.tiers).map(ChargeModel::Volume),
        };
        Some(Price::Usage { meter: meter?, model: model? })
    }
}

fn required_price(check: &mut Check, field: &str, number: Option<NumberIn>) -> Option<Decimal> {
    if number.is_none() {
        check.refuse(field, "is required");
    }
    price(check, field, number?)
}

/// A price, or a quantity of a charge: not negative, and small enough to be multiplied exactly.
fn price(check: &mut Check, field: &str, number: NumberIn) -> Option<Decimal> {
    let number = check.value(field, number.decimal())?;
    if number.is_sign_negative() && !number.is_zero() {
        check.refuse(field, "must not be negative");
    } else if number > Decimal::from(1_000_000_000_000_u64) {
        check.refuse(field, "must be at most 1000000000000");
    }
    Some(number)
}

fn tiers(check: &mut Check, bodies: Option<Vec<TierBody>>) -> Option<Tiers> {
    let Some(bodies) = bodies else {
        check.refuse("tiers", "are required for this charge_model");
        return None;
    };
    let mut tiers = Vec::new();
    for (index, body) in bodies.into_iter().enumerate() {
        let field = |name: &str| format!("tiers[{index}].{name}");
        let up_to = body.up_to.map(|up_to| check.value(&field("up_to"), up_to.decimal()));
        let unit_price = price(check, &field("unit_price"), body.unit_price);
        let flat_price = body.flat_price.map(|flat| price(check, &field("flat_price"), flat));
        tiers.push(Tier {
            up_to: up_to.map(Option::unwrap_or_default),
            unit_price: unit_price.unwrap_or_default(),
            flat_price: flat_price.flatten().unwrap_or_default(),
        });
    }
    Tiers::new(tiers)
        .map_err(|error| {
            let field = match error {
                InvalidTiers::Empty | InvalidTiers::TooMany => "tiers".to_owned(),
                InvalidTiers::NotRising { index }
                | InvalidTiers::OpenTooEarly { index }
                | InvalidTiers::NotOpen { index } => format!("tiers[{index}].up_to"),
            };
            check.refuse(field, error.to_string());
        })
        .ok()
}

impl PlanBody {
    /// The body of a plan with its charges.
    pub fn from_domain(priced: PricedPlan) -> Self {
        let plan = priced.plan;
        Self {
            charges: priced
                .charges
                .into_iter()
                .map(|charge| ChargeBody::from_domain(&plan, charge))
                .collect(),
            features: Vec::new(),
            id: plan.id.to_string(),
            name: plan.name,
            lookup_id: plan.lookup_id,
            plan_type: PlanTypeName::from_domain(plan.plan_type),
            billing_interval: IntervalName::from_domain(plan.billing_interval),
            currency: plan.currency.code().to_owned(),
            trial_days: plan.trial_days,
            description: plan.description,
            is_active: plan.is_active,
            created_at: TimeOut(plan.created_at),
            updated_at: TimeOut(plan.updated_at),
        }
    }
}

impl ChargeBody {
    fn from_domain(plan: &Plan, charge: Charge) -> Self {
        Self::of(plan.id.to_string(), charge)
    }

    /// The body of a charge.
    pub fn of(plan_id: String, charge: Charge) -> Self {
        let (charge_type, charge_model, unit_price, quantity, tiers) = match &charge.price {
            Price::Fixed { unit_price, quantity } => {
                (ChargeTypeName::Fixed, ChargeModelName::Standard, Some(*unit_price), Some(*quantity), None)
            }
            Price::Usage { model, .. } => {
                let (model, unit_price, tiers) = match model {
                    ChargeModel::Standard { unit_price } => {
                        (ChargeModelName::Standard, Some(*unit_price), None)
                    }
                    ChargeModel::Graduated(tiers) => (ChargeModelName::Graduated, None, Some(tiers)),
                    ChargeModel::Volume(tiers) => (ChargeModelName::Volume, None, Some(tiers)),
                };
                (ChargeTypeName::Usage, model, unit_price, None, tiers)
            }
        };
        let tier = |(_, tier): (Decimal, &Tier)| TierOutBody {
            up_to: tier.up_to.map(NumberOut),
            unit_price: NumberOut(tier.unit_price),
            flat_price: NumberOut(tier.flat_price),
        };
        Self {
            id: charge.id.to_string(),
            plan_id,
            charge_type,
            status: if charge.retired_in.is_none() { "ACTIVE" } else { "INACTIVE" },
            meter_id: charge.meter().map(|meter| meter.to_string()),
            charge_model,
            unit_price: unit_price.map(NumberOut),
            quantity: quantity.map(NumberOut),
            tiers: tiers.map(|tiers| tiers.iter().map(tier).collect()),
            created_at: TimeOut(charge.created_at),
            display_name: charge.display_name,
        }
    }
}

impl PlanTypeName {
    /// The words that lists are filtered by.
    pub const CHOICES: [(&'static str, PlanType); 3] =
        [("FIXED", PlanType::Fixed), ("USAGE", PlanType::Usage), ("HYBRID", PlanType::Hybrid)];

    fn into_domain(self) -> PlanType {
        match self {
            Self::Fixed => PlanType::Fixed,
            Self::Usage => PlanType::Usage,
            Self::Hybrid => PlanType::Hybrid,
        }
    }

    fn from_domain(plan_type: PlanType) -> Self {
        match plan_type {
            PlanType::Fixed => Self::Fixed,
            PlanType::Usage => Self::Usage,
            PlanType::Hybrid => Self::Hybrid,
        }
    }
}

impl IntervalName {
    pub(crate) fn interval(self) -> BillingInterval {
        BillingInterval::every(match self {
            Self::Day => IntervalUnit::Day,
            Self::Week => IntervalUnit::Week,
            Self::Month => IntervalUnit::Month,
            Self::Year => IntervalUnit::Year,
        })
    }

    pub(crate) fn from_domain(interval: BillingInterval) -> Self {
        match interval.unit() {
            IntervalUnit::Day => Self::Day,
            IntervalUnit::Week => Self::Week,
            IntervalUnit::Month => Self::Month,
            IntervalUnit::Year => Self::Year,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_from_the_name() {
        for (name, slug) in [("Pro Plan (EU)", "pro-plan-eu"), ("Starter", "starter"), ("日本", "plan")] {
            assert_eq!(slug_of(name), slug);
        }
    }

    #[test]
    fn a_charge_is_checked_field_by_field() {
        let check = |json: &str, expected: &[&str]| {
            let body = crate::parse::<NewChargeBody>(json.as_bytes()).unwrap();
            let fields = match body.into_domain() {
                Ok(_) => Vec::new(),
                Err(AppError::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(fields, expected, "{json}");
        };
        let meter = "01946a5c-9f00-7abc-8def-0123456789ab";
        check(r#"{"type":"FIXED","unit_price":99.00,"display_name":"Base"}"#, &[]);
        check(r#"{"type":"FIXED"}"#, &["unit_price"]);
        check(
            r#"{"type":"FIXED","unit_price":-1,"meter_id":"x","tiers":[]}"#,
            &["meter_id", "tiers", "unit_price"],
        );
        check(&format!(r#"{{"type":"USAGE","meter_id":"{meter}","unit_price":"0.005"}}"#), &[]);
        check(r#"{"type":"USAGE","unit_price":0.005}"#, &["meter_id"]);
        check(r#"{"type":"USAGE","meter_id":"m","unit_price":1}"#, &["meter_id"]);
        let tiered = |tiers: &str| {
            format!(
                r#"{{"type":"USAGE","meter_id":"{meter}","charge_model":"graduated","usage_pricing_rules":{tiers}}}"#
            )
        };
        check(
            &tiered(r#"[{"up_to":10,"unit_price":1},{"up_to":null,"unit_price":0.5,"flat_price":3}]"#),
            &[],
        );
        check(&tiered(r#"[{"up_to":10,"unit_price":1}]"#), &["tiers[0].up_to"]);
        check(
            &tiered(r#"[{"up_to":10,"unit_price":1},{"up_to":5,"unit_price":1},{"unit_price":1}]"#),
            &["tiers[1].up_to"],
        );
        check(&tiered(r#"[{"unit_price":-1}]"#), &["tiers[0].unit_price"]);
        check(&tiered("[]"), &["tiers"]);
        check(&format!(r#"{{"type":"USAGE","meter_id":"{meter}","charge_model":"volume"}}"#), &["tiers"]);
    }
}
