//! Plans and their charges.

use auth::Actor;
use domain::{
    charge::{Charge, Price},
    currency::Currency,
    id::{ChargeId, MeterId, PlanId},
    period::BillingInterval,
    plan::{CHARGES_MAX, Plan, PlanType, PricedPlan},
    user::Scope,
};
use store::{Page, PageRequest, Position};

use crate::{AppError, Platform, estimate::priced_meter};

/// A plan to be made.
pub struct NewPlan {
    /// What it is called on invoices.
    pub name: String,
    /// A slug, unique in the organization; one made of its id if not given.
    pub lookup_id: Option<String>,
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
    /// Whether it takes subscriptions.
    pub is_active: bool,
}

/// What may be changed of a plan. `None` leaves it as it is.
#[derive(Default)]
pub struct PlanChanges {
    /// What it is called on invoices.
    pub name: Option<String>,
    /// For whoever reads the price list; an inner `None` takes it away.
    pub description: Option<Option<String>>,
    /// Whether it takes subscriptions.
    pub is_active: Option<bool>,
    /// Days of a new subscription that are not billed.
    pub trial_days: Option<u32>,
}

/// A charge to be added.
pub struct NewCharge {
    /// What the line on the invoice is called; else after what is priced.
    pub display_name: Option<String>,
    /// What is priced, and how.
    pub price: Price,
}

/// Which plans are listed.
#[derive(Clone, Copy, Default)]
pub struct PlanFilter {
    /// Only those of this type.
    pub plan_type: Option<PlanType>,
    /// Only those that do, or do not, take subscriptions.
    pub is_active: Option<bool>,
}

/// Makes a plan. Errors: `Conflict` if its lookup id is taken.
pub async fn create(platform: &Platform, actor: &Actor, new: NewPlan) -> Result<PricedPlan, AppError> {
    actor.require(Scope::BillingWrite)?;
    let (now, id) = (platform.now(), platform.new_id());
    let plan = Plan {
        id,
        name: new.name,
        lookup_id: new.lookup_id.unwrap_or_else(|| format!("plan-{id}")),
        plan_type: new.plan_type,
        billing_interval: new.billing_interval,
        currency: new.currency,
        trial_days: new.trial_days,
        description: new.description,
        is_active: new.is_active,
        price_version: 1,
        created_at: now,
        updated_at: now,
        version: 0,
    };
    platform.store.create_plan(&platform.change(actor.organization, actor.name()), &plan).await?;
    Ok(PricedPlan { plan, charges: Vec::new() })
}

/// A plan with its charges.
pub async fn get(platform: &Platform, actor: &Actor, id: PlanId) -> Result<PricedPlan, AppError> {
    actor.require(Scope::BillingRead)?;
    Ok(platform.store.get_plan(actor.organization, id).await?)
}

/// The organization's plans with their charges.
pub async fn list(
    platform: &Platform,
    actor: &Actor,
    filter: PlanFilter,
    page: &PageRequest,
) -> Result<Page<PricedPlan>, AppError> {
    actor.require(Scope::BillingRead)?;
    let is_wanted = |plan: &Plan| {
        filter.plan_type.is_none_or(|wanted| plan.plan_type == wanted)
            && filter.is_active.is_none_or(|wanted| plan.is_active == wanted)
    };
    let found = if filter.plan_type.is_none() && filter.is_active.is_none() {
        platform.store.list_plans(actor.organization, page).await?
    } else {
        let plans = all(platform, actor).await?.into_iter().filter(is_wanted);
        Page::of(plans.map(|plan| (plan.id.to_string(), plan)).collect(), page)
    };
    let plans = found.rows.iter().map(|plan| platform.store.get_plan(actor.organization, plan.id));
    let rows = futures::future::try_join_all(plans).await?;
    Ok(Page { rows, total: found.total, next_cursor: found.next_cursor })
}

/// All plans of the organization, newest first.
pub(crate) async fn all(platform: &Platform, actor: &Actor) -> Result<Vec<Plan>, AppError> {
    let mut plans = Vec::new();
    let mut position = Position::Number(1);
    loop {
        let page = PageRequest { position, size: 100 };
        let found = platform.store.list_plans(actor.organization, &page).await?;
        plans.extend(found.rows);
        match found.next_cursor.as_deref().and_then(Position::from_cursor) {
            Some(next) => position = next,
            None => return Ok(plans),
        }
    }
}

/// Whether any plan ever charged for a meter.
pub(crate) async fn is_meter_charged(
    platform: &Platform,
    actor: &Actor,
    meter: MeterId,
) -> Result<bool, AppError> {
    for plan in all(platform, actor).await? {
        let plan = platform.store.get_plan(actor.organization, plan.id).await?;
        if plan.charges.iter().any(|charge| charge.meter() == Some(meter)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Changes what may be changed of a plan.
pub async fn update(
    platform: &Platform,
    actor: &Actor,
    id: PlanId,
    changes: PlanChanges,
) -> Result<PricedPlan, AppError> {
    actor.require(Scope::BillingWrite)?;
    let mut priced = platform.store.get_plan(actor.organization, id).await?;
    let plan = &mut priced.plan;
    if let Some(name) = changes.name {
        plan.name = name;
    }
    if let Some(description) = changes.description {
        plan.description = description;
    }
    if let Some(is_active) = changes.is_active {
        plan.is_active = is_active;
    }
    if let Some(trial_days) = changes.trial_days {
        plan.trial_days = trial_days;
    }
    plan.updated_at = platform.now();
    platform.store.update_plan(&platform.change(actor.organization, actor.name()), plan).await?;
    Ok(priced)
}

/// Deletes a plan. Errors: `Conflict` if a subscription uses it.
pub async fn delete(platform: &Platform, actor: &Actor, id: PlanId) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let plan = platform.store.get_plan(actor.organization, id).await?;
    if platform.store.is_plan_used(actor.organization, id).await? {
        return Err(AppError::conflict(
            "plan_in_use",
            "the plan has active subscriptions: deactivate it instead",
        ));
    }
    Ok(platform.store.delete_plan(&platform.change(actor.organization, actor.name()), &plan).await?)
}

/// Adds a charge: the next version of the plan's prices has it. Subscriptions stay with theirs.
///
/// Errors: `Invalid` if the meter does not exist, or the plan has as many charges as it may.
pub async fn add_charge(
    platform: &Platform,
    actor: &Actor,
    id: PlanId,
    new: NewCharge,
) -> Result<Charge, AppError> {
    actor.require(Scope::BillingWrite)?;
    let mut priced = platform.store.get_plan(actor.organization, id).await?;
    if priced.charges_in(priced.plan.price_version).count() >= CHARGES_MAX {
        return Err(AppError::invalid("charges", format!("are at most {CHARGES_MAX} of a plan at a time")));
    }
    if !priced.has_room_for(&new.price) {
        let detail =
            "would have more tiers and filters than fit on an invoice, with those of the plan's others";
        return Err(AppError::invalid("charges", detail));
    }
    let name = match &new.price {
        Price::Fixed(_) => priced.plan.name.clone(),
        Price::Usage(price) => priced_meter(platform, actor, price.meter, price).await?.name,
    };
    let (plan, now) = (&mut priced.plan, platform.now());
    plan.price_version = next_price_version(plan)?;
    plan.updated_at = now;
    let charge = Charge {
        id: platform.new_id(),
        display_name: new.display_name.unwrap_or(name),
        price: new.price,
        added_in: plan.price_version,
        retired_in: None,
        created_at: now,
    };
    platform.store.put_charge(&platform.change(actor.organization, actor.name()), plan, &charge).await?;
    Ok(charge)
}

/// Retires a charge for good: the next version of the plan's prices no longer has it. Retiring it again
/// changes nothing.
pub async fn retire_charge(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    charge: ChargeId,
) -> Result<Charge, AppError> {
    actor.require(Scope::BillingWrite)?;
    let mut priced = platform.store.get_plan(actor.organization, plan).await?;
    let found = priced.charges.iter().find(|one| one.id == charge);
    let mut charge = found.cloned().ok_or(AppError::NotFound("charge"))?;
    if charge.retired_in.is_some() {
        return Ok(charge);
    }
    priced.plan.price_version = next_price_version(&priced.plan)?;
    priced.plan.updated_at = platform.now();
    charge.retired_in = Some(priced.plan.price_version);
    let change = platform.change(actor.organization, actor.name());
    platform.store.put_charge(&change, &priced.plan, &charge).await?;
    Ok(charge)
}

fn next_price_version(plan: &Plan) -> Result<u32, AppError> {
    let full = || AppError::conflict("too_many_price_versions", "the plan's prices were changed too often");
    plan.price_version.checked_add(1).ok_or_else(full)
}
