//! Plans: what is sold. Their prices never change under a subscription.

use chrono::{DateTime, Utc};

use crate::{
    charge::{Charge, Price},
    currency::Currency,
    id::PlanId,
    period::BillingInterval,
};

/// What a plan's price is made of. Says what buyers should expect; any charge may be added to any plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanType {
    /// The same every period.
    Fixed,
    /// By usage alone.
    Usage,
    /// Both.
    Hybrid,
}

/// A plan. Its charges are kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// What it is called on invoices.
    pub name: String,
    /// A slug, unique in the organization.
    pub lookup_id: String,
    /// What its price is made of.
    pub plan_type: PlanType,
    /// How often it is billed.
    pub billing_interval: BillingInterval,
    /// What it is billed in.
    pub currency: Currency,
    /// Days of a new subscription that are not billed.
    pub trial_days: u32,
    /// For whoever reads the price list.
    pub description: Option<String>,
    /// Whether it takes new subscriptions.
    pub is_active: bool,
    /// The version of its prices. Every added or retired charge makes the next one; a subscription stays
    /// with the version it began with.
    pub price_version: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// A plan with all charges it ever had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedPlan {
    /// The plan.
    pub plan: Plan,
    /// Its charges of all versions, oldest first.
    pub charges: Vec<Charge>,
}

/// The most charges one version of a plan may have. Closing a period writes one transaction, and every
/// line is on one invoice item of at most 400 KB.
pub const CHARGES_MAX: usize = 50;

/// The most bytes that the prices of one version may take, as [`Price::size`] counts them: an invoice has
/// them all, and those of another plan beside where a period is split.
pub const PRICES_BYTES_MAX: usize = 150_000;

/// The longest trial: two years.
pub const TRIAL_DAYS_MAX: u32 = 730;

impl PricedPlan {
    /// Whether the newest version has room for another price.
    pub fn has_room_for(&self, price: &Price) -> bool {
        let sizes = self.charges_in(self.plan.price_version).map(|charge| charge.price.size());
        sizes.sum::<usize>() + price.size() <= PRICES_BYTES_MAX
    }

    /// The charges of one version of the plan's prices.
    pub fn charges_in(&self, version: u32) -> impl Iterator<Item = &Charge> + Clone {
        self.charges.iter().filter(move |charge| charge.is_in(version))
    }
}
