//! Subscriptions.

use std::collections::BTreeMap;

use auth::Actor;
use chrono::{DateTime, Days, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use domain::{
    charge::Price,
    id::{ChargeId, CustomerId, PlanId, SubscriptionId},
    outbox::{OutboxEntry, SubscriptionEvent},
    period::{BillingInterval, IntervalUnit, PeriodError},
    plan::PricedPlan,
    proration::ProrationPolicy,
    schedule::{BillingSchedule, BillingTime},
    subscription::{PlansById, Subscription, SubscriptionStatus, SubscriptionTerms},
    user::Scope,
};
use store::{Page, PageRequest, StoreError, if_there};

pub use store::Filter;

use crate::{
    AppError, FieldError, Platform,
    price_override::{PriceOverride, prices},
};

/// A subscription to be made.
pub struct NewSubscription {
    /// Who is billed.
    pub customer: CustomerId,
    /// For what.
    pub plan: PlanId,
    /// Its own prices, in place of the plan's.
    pub overrides: Vec<PriceOverride>,
    /// How often, and from when on: what is common to a subscription and a preview of one.
    pub billing: NewBilling,
}

/// How a subscription to be made is billed.
#[derive(Clone, Debug)]
pub struct NewBilling {
    /// In which unit intervals are counted; the plan's if not given.
    pub unit: Option<IntervalUnit>,
    /// How many units an interval has; 1 if only the unit is given, else as the plan.
    pub count: Option<u32>,
    /// When it begins; now if not given.
    pub start: Option<DateTime<Utc>>,
    /// When the trial ends; by the plan's trial days if not given.
    pub trial_end: Option<DateTime<Utc>>,
    /// The first instant that is no longer billed.
    pub end: Option<DateTime<Utc>>,
    /// Whether intervals are those of the calendar.
    pub is_calendar: bool,
    /// What intervals are counted from, in place of the start or the calendar.
    pub anchor: Option<DateTime<Utc>>,
    /// Whose midnights and months count.
    pub zone: Tz,
    /// How parts of intervals are billed.
    pub proration: ProrationPolicy,
}

impl Default for NewBilling {
    /// As the plan has it, from now on, in UTC.
    fn default() -> Self {
        Self {
            unit: None,
            count: None,
            start: None,
            trial_end: None,
            end: None,
            is_calendar: false,
            anchor: None,
            zone: Tz::UTC,
            proration: ProrationPolicy::DEFAULT,
        }
    }
}

/// How subscriptions of an organization are billed that do not say.
#[derive(Clone, Copy, Debug)]
pub struct BillingDefaults {
    /// Whose midnights and months count.
    pub zone: Tz,
    /// How parts of intervals are billed.
    pub proration: ProrationPolicy,
}

/// What the caller's organization has set.
pub async fn defaults(platform: &Platform, actor: &Actor) -> Result<BillingDefaults, AppError> {
    let settings = platform.store.get_organization(actor.organization).await?.settings;
    Ok(BillingDefaults { zone: settings.zone, proration: settings.proration })
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
    let plan = find_plan(platform, actor, new.plan).await?;
    if !is_customer(platform, actor, new.customer).await? {
        errors.push(FieldError::new("customer_id", "invalid", "names no customer"));
    }
    check_plan("plan_id", plan.as_ref(), &mut errors);
    check_dates(&new.billing, now, &mut errors);
    let Some(plan) = plan.filter(|_| errors.is_empty()) else { return Err(AppError::Invalid(errors)) };
    let prices = prices(platform, actor, (&plan, plan.plan.price_version), &new.overrides).await?;
    let subscription = begun(platform.new_id(), new.customer, (&plan, prices), &new.billing, now)?;
    check_backlog(&subscription, now)?;
    let outbox = [OutboxEntry::subscription_event(SubscriptionEvent::Created, &subscription, now)];
    let change = platform.change(actor.organization, actor.name());
    platform.store.create_subscription(&change, &subscription, &outbox).await?;
    Ok(subscription)
}

/// The most periods that may be over when a subscription is made: each is billed at once, by itself.
const BACKLOG_MAX: i64 = 500;

/// Refuses a start so long ago that closing what is over would take hours.
fn check_backlog(subscription: &Subscription, now: DateTime<Utc>) -> Result<(), AppError> {
    let days = match subscription.interval.unit() {
        IntervalUnit::Day => 1,
        IntervalUnit::Week => 7,
        IntervalUnit::Month => 28,
        IntervalUnit::Year => 365,
    };
    let over =
        (now - subscription.schedule.start).num_days() / (days * i64::from(subscription.interval.count()));
    if over <= BACKLOG_MAX {
        return Ok(());
    }
    let detail = format!("lies more than {BACKLOG_MAX} periods in the past");
    Err(AppError::invalid("start_date", detail))
}

/// A plan, if there is such a one.
pub(crate) async fn find_plan(
    platform: &Platform,
    actor: &Actor,
    id: PlanId,
) -> Result<Option<PricedPlan>, AppError> {
    Ok(if_there(platform.store.get_plan(actor.organization, id).await)?)
}

/// Whether there is such a customer.
pub(crate) async fn is_customer(
    platform: &Platform,
    actor: &Actor,
    id: CustomerId,
) -> Result<bool, AppError> {
    match platform.store.get_customer(actor.organization, id).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Complains of a plan in `field` that nobody can subscribe to.
pub(crate) fn check_plan(field: &str, plan: Option<&PricedPlan>, errors: &mut Vec<FieldError>) {
    match plan {
        None => errors.push(FieldError::new(field, "invalid", "names no plan")),
        Some(priced) if !priced.plan.is_active => {
            errors.push(FieldError::new(field, "invalid", "names a plan that takes no new subscriptions"));
        }
        Some(_) => {}
    }
}

/// How far ahead a subscription may begin.
const START_AHEAD_MAX: TimeDelta = TimeDelta::days(36_525);

/// Complains of dates that do not fit together.
pub(crate) fn check_dates(billing: &NewBilling, now: DateTime<Utc>, errors: &mut Vec<FieldError>) {
    let start = billing.start.unwrap_or(now).trunc_subsecs(3);
    if start < DateTime::UNIX_EPOCH || start > now + START_AHEAD_MAX {
        errors.push(FieldError::new("start_date", "invalid", "must lie between 1970 and 100 years ahead"));
    }
    if billing.trial_end.is_some_and(|trial_end| trial_end <= start) {
        errors.push(FieldError::new("trial_end_date", "invalid", "must lie after the start"));
    }
    let first = billing.trial_end.map_or(start, |trial_end| trial_end.max(start));
    if billing.end.is_some_and(|end| end.trunc_subsecs(3) <= first) {
        errors.push(FieldError::new("end_date", "invalid", "must lie after the start, and after the trial"));
    }
}

/// The subscription that begins so, on a plan, with prices of its own.
///
/// Errors: `Invalid` if its first period lies outside the calendar.
pub(crate) fn begun(
    id: SubscriptionId,
    customer: CustomerId,
    (priced, prices): (&PricedPlan, BTreeMap<ChargeId, Price>),
    billing: &NewBilling,
    now: DateTime<Utc>,
) -> Result<Subscription, AppError> {
    let plan = &priced.plan;
    let start = billing.start.unwrap_or(now).trunc_subsecs(3);
    let trial_days = Days::new(plan.trial_days.into());
    let plan_trial_end = start.checked_add_days(trial_days).filter(|_| plan.trial_days > 0);
    let trial_end = billing.trial_end.map(|at| at.trunc_subsecs(3)).or(plan_trial_end);
    let first = trial_end.unwrap_or(start);
    let time = match (billing.anchor, billing.is_calendar) {
        (Some(anchor), _) => BillingTime::Anchored(anchor.trunc_subsecs(3)),
        (None, true) => BillingTime::Calendar,
        (None, false) => BillingTime::Anchored(first),
    };
    let end = billing.end.map(|end| end.trunc_subsecs(3));
    let unit = billing.unit.unwrap_or(plan.billing_interval.unit());
    let interval = match billing.count {
        None if unit == plan.billing_interval.unit() => Ok(plan.billing_interval),
        count => BillingInterval::new(unit, count.unwrap_or(1)),
    };
    let terms = SubscriptionTerms {
        from: start,
        plan: plan.id,
        plan_name: plan.name.clone(),
        price_version: plan.price_version,
        interval: interval.map_err(|error| AppError::invalid("interval_count", error.to_string()))?,
        prices,
        is_paused: false,
        proration: None,
    };
    let subscription = Subscription {
        id,
        customer,
        plan: plan.id,
        plan_name: plan.name.clone(),
        price_version: plan.price_version,
        interval: terms.interval,
        currency: plan.currency,
        status: trial_end.map_or(SubscriptionStatus::Active, |until| SubscriptionStatus::Trial { until }),
        schedule: BillingSchedule { start: first, end, time, zone: billing.zone },
        proration: billing.proration,
        terms: vec![terms],
        one_offs: Vec::new(),
        billed_until: None,
        next_bill_at: None,
        billing_error: None,
        start,
        trial_end,
        ends_at: None,
        end_proration: None,
        cancellation: None,
        last_invoiced_at: None,
        created_at: now,
        updated_at: now,
        version: 0,
    };
    let out_of_range = |error: PeriodError| AppError::invalid("start_date", error.to_string());
    subscription.current_period().map_err(out_of_range)?;
    let plans = PlansById::from([(plan.id, priced.clone())]);
    subscription.settled(&plans, start).map_err(out_of_range)
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
