//! Subscriptions.

use auth::Actor;
use chrono::{DateTime, Days, SubsecRound, Utc};
use domain::{
    id::{CustomerId, PlanId, SubscriptionId},
    outbox::{OutboxEntry, SubscriptionEvent},
    period::{BillingInterval, BillingSchedule},
    subscription::{Cancellation, Subscription, SubscriptionStatus},
    user::Scope,
};
use store::{Page, PageRequest, StoreError};

pub use store::Filter;

use crate::{AppError, FieldError, Platform};

/// A subscription to be made.
pub struct NewSubscription {
    /// Who is billed.
    pub customer: CustomerId,
    /// For what.
    pub plan: PlanId,
    /// How often; the plan's interval if not given.
    pub billing_interval: Option<BillingInterval>,
    /// When it begins; now if not given.
    pub start: Option<DateTime<Utc>>,
    /// When the trial ends; by the plan's trial days if not given.
    pub trial_end: Option<DateTime<Utc>>,
}

/// Makes a subscription.
///
/// Errors: `Invalid` if the customer or the plan does not exist, the plan takes none, or dates do not fit.
pub async fn create(
    platform: &Platform,
    actor: &Actor,
    new: NewSubscription,
) -> Result<Subscription, AppError> {
    actor.require(Scope::BillingWrite)?;
    let now = platform.now();
    let mut errors = Vec::new();
    let plan = match platform.store.get_plan(actor.organization, new.plan).await {
        Ok(plan) => Some(plan.plan),
        Err(StoreError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Err(error) = platform.store.get_customer(actor.organization, new.customer).await {
        match error {
            StoreError::NotFound(_) => {
                errors.push(FieldError::new("customer_id", "invalid", "names no customer"))
            }
            error => return Err(error.into()),
        }
    }
    let start = new.start.unwrap_or(now).trunc_subsecs(3);
    if new.trial_end.is_some_and(|trial_end| trial_end <= start) {
        errors.push(FieldError::new("trial_end_date", "invalid", "must lie after the start"));
    }
    match &plan {
        None => errors.push(FieldError::new("plan_id", "invalid", "names no plan")),
        Some(plan) if !plan.is_active => {
            errors.push(FieldError::new(
                "plan_id",
                "invalid",
                "names a plan that takes no new subscriptions",
            ));
        }
        Some(_) => {}
    }
    let Some(plan) = plan.filter(|_| errors.is_empty()) else { return Err(AppError::Invalid(errors)) };

    let trial_days = Days::new(plan.trial_days.into());
    let plan_trial_end = start.checked_add_days(trial_days).filter(|_| plan.trial_days > 0);
    let trial_end = new.trial_end.map(|at| at.trunc_subsecs(3)).or(plan_trial_end);
    let subscription = Subscription {
        id: platform.new_id(),
        customer: new.customer,
        plan: plan.id,
        plan_name: plan.name,
        price_version: plan.price_version,
        currency: plan.currency,
        status: trial_end.map_or(SubscriptionStatus::Active, |until| SubscriptionStatus::Trial { until }),
        schedule: BillingSchedule {
            anchor: trial_end.unwrap_or(start),
            interval: new.billing_interval.unwrap_or(plan.billing_interval),
        },
        period_number: 0,
        start,
        trial_end,
        cancels_at_period_end: false,
        cancellation: None,
        last_invoiced_at: None,
        created_at: now,
        updated_at: now,
        version: 0,
    };
    subscription.current_period().map_err(|error| AppError::invalid("start_date", error.to_string()))?;
    let outbox = [OutboxEntry::subscription_event(SubscriptionEvent::Created, &subscription, now)];
    let change = platform.change(actor.organization, actor.name());
    platform.store.create_subscription(&change, &subscription, &outbox).await?;
    Ok(subscription)
}

/// A subscription.
pub async fn get(platform: &Platform, actor: &Actor, id: SubscriptionId) -> Result<Subscription, AppError> {
    actor.require(Scope::BillingRead)?;
    Ok(platform.store.get_subscription(actor.organization, id).await?)
}

/// The organization's subscriptions.
pub async fn list(
    platform: &Platform,
    actor: &Actor,
    filter: &Filter,
    page: &PageRequest,
) -> Result<Page<Subscription>, AppError> {
    actor.require(Scope::BillingRead)?;
    if let Some(customer) = filter.customer {
        platform.store.get_customer(actor.organization, customer).await?;
    }
    Ok(platform.store.list_subscriptions(actor.organization, filter, page).await?)
}

/// Ends a subscription with its current period: that is still invoiced, and nothing after it.
///
/// Errors: `Conflict` if it is over.
pub async fn cancel_at_period_end(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    reason: Option<String>,
) -> Result<Subscription, AppError> {
    actor.require(Scope::BillingWrite)?;
    let now = platform.now();
    let mut subscription = platform.store.get_subscription(actor.organization, id).await?;
    if !subscription.is_live() {
        return Err(AppError::conflict("subscription_canceled", "the subscription is canceled already"));
    }
    subscription.cancels_at_period_end = true;
    subscription.cancellation = Some(Cancellation { at: now, reason });
    subscription.updated_at = now;
    let change = platform.change(actor.organization, actor.name());
    platform.store.update_subscription(&change, "cancel subscription", &subscription, &[]).await?;
    Ok(subscription)
}

/// Deletes a subscription that was never invoiced. Errors: `Conflict` if it was.
pub async fn delete(platform: &Platform, actor: &Actor, id: SubscriptionId) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let subscription = platform.store.get_subscription(actor.organization, id).await?;
    if subscription.last_invoiced_at.is_some() {
        return Err(AppError::conflict(
            "subscription_invoiced",
            "the subscription has invoices: cancel it instead",
        ));
    }
    let change = platform.change(actor.organization, actor.name());
    Ok(platform.store.delete_subscription(&change, &subscription).await?)
}
