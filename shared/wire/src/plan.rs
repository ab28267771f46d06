//! Bodies of plans.

use app::{
    AppError,
    plans::{NewPlan, PlanChanges},
};
use domain::{
    period::{BillingInterval, IntervalUnit, PeriodError},
    plan::{PlanType, PricedPlan, TRIAL_DAYS_MAX},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{charge::ChargeBody, check::Check, entitlement::PlanFeatureBody, time::TimeOut};

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
    /// Every how many of those; 1 if not given.
    interval_count: Option<u32>,
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
    /// Every how many of those.
    pub interval_count: u32,
    /// What it is billed in.
    pub currency: String,
    /// Days of a new subscription that are not billed.
    pub trial_days: u32,
    /// For whoever reads the price list.
    pub description: Option<String>,
    /// Whether it takes subscriptions.
    pub is_active: bool,
    /// The version of its prices, which new subscriptions are billed by. Each added or retired charge makes
    /// the next.
    pub price_version: u32,
    /// Its charges, with those that were retired.
    pub charges: Vec<ChargeBody>,
    /// What it unlocks.
    pub features: Vec<PlanFeatureBody>,
    /// When it was made.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

impl NewPlanBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<NewPlan, AppError> {
        let mut check = Check::default();
        let name = check.text("name", self.name, 200);
        let lookup_id = self.lookup_id.or_else(|| slug_of(&name));
        let lookup_id = lookup_id.map(|lookup_id| check.slug("lookup_id", lookup_id));
        let description = check.optional_rows("description", self.description, 2000);
        let trial_days = trial_days(&mut check, self.trial_days);
        let currency = check.value("currency", self.currency.parse());
        let interval = self.billing_interval.every(self.interval_count.unwrap_or(1));
        let interval = check.value("interval_count", interval);
        check.finish_some(currency.zip(interval).map(|(currency, billing_interval)| NewPlan {
            name,
            lookup_id,
            plan_type: self.plan_type.into_domain(),
            billing_interval,
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
            self.description.map(|description| check.optional_rows("description", Some(description), 2000));
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

/// `Pro Plan (EU)` becomes `pro-plan-eu`; of a name without letters of the Latin alphabet nothing is made.
fn slug_of(name: &str) -> Option<String> {
    let words =
        name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_lowercase();
    if slug.is_empty() { None } else { Some(slug.chars().take(100).collect()) }
}

impl PlanBody {
    /// The body of a plan with its charges.
    pub fn from_domain(priced: PricedPlan) -> Self {
        let plan = priced.plan;
        Self {
            charges: priced
                .charges
                .into_iter()
                .map(|charge| ChargeBody::from_domain(plan.id, charge))
                .collect(),
            features: Vec::new(),
            id: plan.id.to_string(),
            name: plan.name,
            lookup_id: plan.lookup_id,
            plan_type: PlanTypeName::from_domain(plan.plan_type),
            billing_interval: IntervalName::from_domain(plan.billing_interval),
            interval_count: plan.billing_interval.count(),
            currency: plan.currency.code().to_owned(),
            trial_days: plan.trial_days,
            description: plan.description,
            is_active: plan.is_active,
            price_version: plan.price_version,
            created_at: TimeOut(plan.created_at),
            updated_at: TimeOut(plan.updated_at),
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
    /// Every `count` of it. Errors: if there is no such interval.
    pub(crate) fn every(self, count: u32) -> Result<BillingInterval, PeriodError> {
        BillingInterval::new(self.unit(), count)
    }

    pub(crate) fn unit(self) -> IntervalUnit {
        match self {
            Self::Day => IntervalUnit::Day,
            Self::Week => IntervalUnit::Week,
            Self::Month => IntervalUnit::Month,
            Self::Year => IntervalUnit::Year,
        }
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
        let cases = [("Pro Plan (EU)", Some("pro-plan-eu")), ("Starter", Some("starter")), ("日本", None)];
        for (name, slug) in cases {
            assert_eq!(slug_of(name).as_deref(), slug);
        }
    }
}
