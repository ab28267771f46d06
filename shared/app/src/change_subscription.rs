//! Changes of a subscription: to another plan or quantity, a pause, an end, and second thoughts. What each
//! costs is settled by the timeline, and can be previewed.

use auth::Actor;
use chrono::{DateTime, Duration, SubsecRound, Utc};
use domain::{
    id::{ChargeId, OrganizationId, PlanId, SubscriptionId},
    invoice::Invoice,
    outbox::subscription_events,
    period_close::draft,
    proration::ProrationChoice,
    seen_usage::LateLines,
    subscription::{Cancellation, PlansById, Subscription, SubscriptionStatus},
    subscription_change::Change,
    timeline::Bill,
    user::Scope,
};
use rust_decimal::Decimal;

use crate::{
    AppError, Platform,
    charge_usage::of_bill,
    close_period::{close_until, plans_of},
    late_usage,
    preview::{PreviewedInvoice, invalid_change},
    price_override::{PriceOverride, prices_at},
    subscriptions::{check_plan, find_plan},
};

/// What is asked to change.
pub enum Asked {
    /// The plan, with another quantity than that has if one is given.
    Plan(PlanId, Option<Decimal>),
    /// The quantity of a fixed charge: the one that is named, or the one that is sold by quantity.
    Quantity(Option<ChargeId>, Decimal),
    /// Its own prices, in place of all it has.
    Prices(Vec<PriceOverride>),
    /// The version of its plan's prices.
    Version(u32),
    /// To be paused.
    Pause,
    /// To be resumed.
    Resume,
    /// To end.
    Cancel(Option<String>),
}

/// From when on a change counts, and how it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// From when on.
    pub when: When,
    /// How it is settled, if not as the subscription's policy has it.
    pub proration: Option<ProrationChoice>,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// From now on.
    Now,
    /// From the end of the current period on.
    AtPeriodEnd,
}

/// Changes a subscription. One that ends now is billed for the last time at once.
///
/// Errors: `Conflict` if it is over, or is in no state to be changed so; `Invalid` if something named does
/// not exist.
pub async fn change(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    asked: Asked,
    terms: Terms,
) -> Result<Subscription, AppError> {
    actor.require(Scope::BillingWrite)?;
    let subscription = platform.store.get_subscription(actor.organization, id).await?;
    change_read(platform, actor, &subscription, asked, terms).await
}

/// As [`change`], of a subscription as it was read.
pub(crate) async fn change_read(
    platform: &Platform,
    actor: &Actor,
    subscription: &Subscription,
    asked: Asked,
    terms: Terms,
) -> Result<Subscription, AppError> {
    let now = platform.now().trunc_subsecs(3);
    let (changed, plans) = changed(platform, actor, subscription, &asked, terms, now).await?;
    let in_force = match (terms.when, &asked) {
        (When::Now, Asked::Cancel(_)) => end_of(subscription, &plans, now),
        (When::Now, _) => effective(subscription, now),
        (When::AtPeriodEnd, _) => now,
    };
    let changed = settled(changed, &plans, in_force)?;
    let new_plan = match asked {
        Asked::Plan(plan, _) => Some(plan).filter(|plan| !subscription.plans().any(|known| known == *plan)),
        Asked::Quantity(..)
        | Asked::Prices(_)
        | Asked::Version(_)
        | Asked::Pause
        | Asked::Resume
        | Asked::Cancel(_) => None,
    };
    let outbox = subscription_events(subscription, &changed, now);
    let by = platform.change(actor.organization, actor.name());
    platform.store.change_subscription(&by, "change subscription", &changed, new_plan, &outbox).await?;
    let ends_at = changed.ends_at.filter(|ends_at| *ends_at <= in_force);
    // What could not be billed may have been mended by this.
    let retried = subscription.billing_error.as_ref().map(|_| now);
    if let Some(until) = ends_at.or(retried) {
        close_until(platform, actor.organization, subscription.id, until).await?;
    }
    Ok(platform.store.get_subscription(actor.organization, subscription.id).await?)
}

/// Gives up what was decided for later: another plan or quantity, a pause, or an end.
///
/// Errors: `Conflict` if nothing was.
pub async fn undo(platform: &Platform, actor: &Actor, id: SubscriptionId) -> Result<Subscription, AppError> {
    actor.require(Scope::BillingWrite)?;
    let now = platform.now();
    let mut subscription = platform.store.get_subscription(actor.organization, id).await?;
    let before = subscription.clone();
    if subscription.is_live() && subscription.ends_at.is_some_and(|ends_at| now < ends_at) {
        subscription.ends_at = None;
        subscription.end_proration = None;
        subscription.cancellation = None;
    }
    // The first terms may lie ahead, too: those are no change.
    let first = subscription.terms.first().map(|terms| terms.from);
    subscription.terms.retain(|terms| terms.from <= now || Some(terms.from) == first);
    if subscription == before {
        return Err(AppError::conflict("nothing_pending", "there is no change to come"));
    }
    subscription.updated_at = now;
    let plans = plans_of(platform, actor.organization, &subscription).await?;
    let subscription = settled(subscription, &plans, now)?;
    let outbox = subscription_events(&before, &subscription, now);
    let by = platform.change(actor.organization, actor.name());
    platform.store.change_subscription(&by, "undo change", &subscription, None, &outbox).await?;
    Ok(platform.store.get_subscription(actor.organization, id).await?)
}

/// The next invoice of a subscription, with what is known of usage by now; after a change, the invoices
/// until the end of the period it falls into, and what follows that.
///
/// Errors: as for [`change`], and `cannot_be_billed` if an invoice cannot be computed exactly; `Invalid` if it is the
/// prices that were asked for.
pub async fn preview(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    asked: Option<(Asked, Terms)>,
) -> Result<(Subscription, Vec<PreviewedInvoice>), AppError> {
    actor.require(Scope::BillingRead)?;
    let now = platform.now().trunc_subsecs(3);
    let subscription = platform.store.get_subscription(actor.organization, id).await?;
    let (subscription, plans) = match &asked {
        Some((asked, terms)) => changed(platform, actor, &subscription, asked, *terms, now).await?,
        None => {
            let plans = plans_of(platform, actor.organization, &subscription).await?;
            (live(&subscription)?.clone(), plans)
        }
    };
    let count = if asked.is_some() { 2 } else { 1 };
    let invoices = coming(platform, actor, &subscription, &plans, count).await;
    let invoices = invoices.map_err(|error| match asked {
        Some((Asked::Prices(_), _)) if error.is_cannot_be_billed() => {
            AppError::invalid("overrides", format!("cannot be billed: {error}"))
        }
        _ => error,
    });
    Ok((subscription, invoices?))
}

/// The subscription with a change that is not made.
pub(crate) async fn supposed(
    platform: &Platform,
    actor: &Actor,
    subscription: &Subscription,
    asked: &Asked,
    terms: Terms,
) -> Result<(Subscription, PlansById), AppError> {
    changed(platform, actor, subscription, asked, terms, platform.now().trunc_subsecs(3)).await
}

/// After so many ends of intervals at which nothing is due, nothing is expected any more: ten years of days.
const EMPTY_MAX: u32 = 4000;

/// The next invoices of a subscription, at most `count`, with what is known of usage by now.
///
/// Errors: `cannot_be_billed` if one of them cannot be computed exactly.
pub(crate) async fn coming(
    platform: &Platform,
    actor: &Actor,
    subscription: &Subscription,
    plans: &PlansById,
    count: usize,
) -> Result<Vec<PreviewedInvoice>, AppError> {
    let organization = actor.organization;
    let timeline = subscription.timeline(plans);
    let settings = platform.store.get_organization(organization).await?.settings;
    let customer = platform.store.get_customer(organization, subscription.customer).await?;
    let (terms, mut credits) = (settings.invoice_terms(&customer), customer.credits);
    let (mut invoices, mut empty) = (Vec::new(), 0);
    let mut last = subscription.billed_until;
    while invoices.len() < count
        && let Some(at) = timeline.next(last).map_err(AppError::internal)?
    {
        let bill = timeline.bill(last, at).map_err(AppError::internal)?;
        let proration = timeline.policy_between(last, at);
        last = Some(at);
        if bill.dues.is_empty() {
            empty += 1;
            let is_idle = timeline.charges_at(at).is_empty();
            if is_idle && timeline.is_settled_at(at).map_err(AppError::internal)? || empty > EMPTY_MAX {
                break; // paused for good as far as is known, or charged once and never again
            }
            continue;
        }
        // What is late comes to the next invoice, and is settled by it.
        let late = match invoices.is_empty() {
            true => {
                let of = (subscription, plans);
                late_usage::lines(platform, (organization, &settings), of, at, None).await?
            }
            false => LateLines::default(),
        };
        let draft = draft_of(platform, organization, subscription, &bill, late).await?;
        if draft.lines.is_empty() {
            continue; // it ends right after the bill before
        }
        empty = 0;
        let draft = draft.with_terms(&terms).and_then(|draft| draft.with_credit(&credits));
        let draft = draft.map_err(AppError::cannot_be_billed)?;
        credits = draft.credit_left(&credits).map_err(AppError::cannot_be_billed)?;
        invoices.push(PreviewedInvoice::of(&bill, proration, draft));
    }
    Ok(invoices)
}

/// The draft that a bill of a subscription would make, with what is known of usage by now, and with lines for
/// `late` usage; without tax.
///
/// Errors: `cannot_be_billed` if it cannot be computed exactly.
pub(crate) async fn draft_of(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
    bill: &Bill,
    late: LateLines,
) -> Result<Invoice, AppError> {
    let usage = of_bill(platform, organization, subscription.customer, bill).await?;
    draft(subscription, bill, &usage, late, bill.at).map_err(AppError::cannot_be_billed)
}

fn live(subscription: &Subscription) -> Result<&Subscription, AppError> {
    if subscription.is_live() {
        Ok(subscription)
    } else {
        Err(AppError::conflict("subscription_canceled", "the subscription is canceled already"))
    }
}

fn settled(
    subscription: Subscription,
    plans: &PlansById,
    now: DateTime<Utc>,
) -> Result<Subscription, AppError> {
    subscription.settled(plans, now).map_err(|error| AppError::invalid("at", error.to_string()))
}

/// The subscription with the change, and the plans that bill it.
async fn changed(
    platform: &Platform,
    actor: &Actor,
    subscription: &Subscription,
    asked: &Asked,
    Terms { when, proration }: Terms,
    now: DateTime<Utc>,
) -> Result<(Subscription, PlansById), AppError> {
    let subscription = live(subscription)?;
    let mut plans = plans_of(platform, actor.organization, subscription).await?;
    let at = match (when, asked) {
        (When::Now, Asked::Cancel(_)) => end_of(subscription, &plans, now),
        _ => counts_from(subscription, when, now)?,
    };
    let change = match asked {
        Asked::Plan(id, quantity) => {
            let mut errors = Vec::new();
            let plan = find_plan(platform, actor, *id).await?;
            check_plan("plan_id", plan.as_ref(), &mut errors);
            let Some(plan) = plan.filter(|_| errors.is_empty()) else {
                return Err(AppError::Invalid(errors));
            };
            plans.insert(*id, plan.clone());
            Change::Plan(Box::new(plan), *quantity)
        }
        Asked::Quantity(charge, quantity) => Change::Quantity(*charge, *quantity),
        Asked::Prices(overrides) => {
            Change::Prices(prices_at(platform, actor, (subscription, &plans), overrides, at).await?)
        }
        Asked::Version(version) => Change::Version(*version),
        Asked::Pause => Change::Pause,
        Asked::Resume => Change::Resume,
        Asked::Cancel(_) => Change::Cancel,
    };
    let next = subscription.changed(&change, proration, at, &plans).map_err(|error| match asked {
        Asked::Pause | Asked::Resume => AppError::conflict("invalid_transition", error.to_string()),
        Asked::Plan(..) | Asked::Quantity(..) | Asked::Prices(_) | Asked::Version(_) | Asked::Cancel(_) => {
            invalid_change(error, str::to_owned)
        }
    })?;
    let next = Subscription { updated_at: now, ..next };
    let is_over = when == When::Now && ends_unbilled(&next, at);
    let moved = moved(next, asked, is_over, now)?;
    let is_behind = matches!(asked, Asked::Resume) && is_behind(platform, actor, subscription).await?;
    let status = if is_behind { SubscriptionStatus::PastDue } else { moved.status };
    Ok((Subscription { status, ..moved }, plans))
}

/// Whether an invoice of the subscription was not paid in time: paused, it did not show that.
async fn is_behind(
    platform: &Platform,
    actor: &Actor,
    subscription: &Subscription,
) -> Result<bool, AppError> {
    let invoices = platform.store.list_invoices_of(actor.organization, subscription.customer).await?;
    let is_late = |invoice: &Invoice| {
        invoice.billed.is_some_and(|(id, _)| id == subscription.id) && invoice.is_past_due()
    };
    Ok(invoices.iter().any(is_late))
}

/// When a change that is decided at `now` counts from.
pub(crate) fn counts_from(
    subscription: &Subscription,
    when: When,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, AppError> {
    match when {
        When::Now => Ok(effective(subscription, now)),
        When::AtPeriodEnd => Ok(subscription.current_period().map_err(AppError::internal)?.end()),
    }
}

/// When a change of `now` counts from: after the last bill, which may have fallen due in this very
/// millisecond. What that bill was paid for in advance is then settled as a change of its period.
pub(crate) fn effective(subscription: &Subscription, now: DateTime<Utc>) -> DateTime<Utc> {
    match subscription.billed_until {
        Some(last) if now <= last => last + Duration::milliseconds(1),
        _ => now,
    }
}

/// When a subscription ends that is canceled at `now`. Of the instant in which it began usage is billed, too; what would
/// be paid in advance, and was not billed yet, is not.
fn end_of(subscription: &Subscription, plans: &PlansById, now: DateTime<Utc>) -> DateTime<Utc> {
    let start = subscription.schedule.start;
    let is_first = subscription.billed_until.is_none() && now == start;
    if is_first && !subscription.timeline(plans).bills_in_advance(start) {
        start + Duration::milliseconds(1)
    } else {
        effective(subscription, now)
    }
}

/// Whether a subscription that ends at `at` ends without a last bill, since it is on trial or has not begun.
fn ends_unbilled(subscription: &Subscription, at: DateTime<Utc>) -> bool {
    let is_trial = matches!(subscription.status, SubscriptionStatus::Trial { .. });
    is_trial || subscription.billed_until.is_none() && at <= subscription.schedule.start
}

/// The subscription in the state that a change brings it into at once.
fn moved(
    subscription: Subscription,
    asked: &Asked,
    is_over: bool,
    now: DateTime<Utc>,
) -> Result<Subscription, AppError> {
    let is_trial = matches!(subscription.status, SubscriptionStatus::Trial { .. });
    match asked {
        Asked::Plan(..) | Asked::Quantity(..) | Asked::Prices(_) | Asked::Version(_) => Ok(subscription),
        Asked::Pause if is_trial => {
            Err(AppError::conflict("invalid_transition", "a trial is not billed: it cannot be paused"))
        }
        Asked::Pause => Ok(subscription), // its terms say from when on
        Asked::Resume => Ok(Subscription { status: SubscriptionStatus::Active, ..subscription }),
        Asked::Cancel(reason) => {
            let cancellation = Some(Cancellation { at: now, reason: reason.clone() });
            let canceled = SubscriptionStatus::Canceled { at: now };
            let status = if is_over { canceled } else { subscription.status };
            Ok(Subscription { cancellation, status, ..subscription })
        }
    }
}
