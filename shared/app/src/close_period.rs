//! Closing periods: the draft invoice, and the subscription in its next period, in one write.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::{
    id::{OrganizationId, SubscriptionId},
    period_close::{CloseError, PeriodClose},
    seen_usage::LateLines,
    subscription::{PlansById, Subscription},
};
use futures::future::try_join_all;
use store::{StoreError, if_there};

use crate::{AppError, Platform, charge_usage, late_usage};

/// Closes every period of a subscription that has ended, one after the other. Closing again changes
/// nothing. One that cannot be billed exactly is put off, and those after it wait. Returns how many were closed now.
pub async fn close(
    platform: &Platform,
    organization: OrganizationId,
    id: SubscriptionId,
) -> Result<usize, AppError> {
    close_each(platform, organization, id, Asking::Sweep).await
}

/// As [`close`], for somebody who asks for it: also what ends by `until`, and what was put off.
pub(crate) async fn close_until(
    platform: &Platform,
    organization: OrganizationId,
    id: SubscriptionId,
    until: DateTime<Utc>,
) -> Result<usize, AppError> {
    close_each(platform, organization, id, Asking::Somebody { until }).await
}

/// On whose behalf periods are closed.
#[derive(Clone, Copy)]
enum Asking {
    /// Of the sweep, which waits until what was put off is tried again.
    Sweep,
    /// Of somebody, at once.
    Somebody { until: DateTime<Utc> },
}

/// What came of an attempt to close a period.
enum Closing {
    /// It has not ended, or is put off.
    NotDue,
    /// It is closed; this is the subscription in its next one.
    Closed(Box<Subscription>),
    /// Somebody else closed it, or changed the subscription: look again.
    ChangedMeanwhile,
}

async fn close_each(
    platform: &Platform,
    organization: OrganizationId,
    id: SubscriptionId,
    asking: Asking,
) -> Result<usize, AppError> {
    let (mut closed, mut known) = (0, None);
    loop {
        let subscription = match known.take() {
            Some(subscription) => subscription,
            None => match platform.store.get_subscription(organization, id).await {
                Ok(subscription) => subscription,
                Err(StoreError::NotFound(_)) => return Ok(closed), // deleted since it fell due
                Err(error) => return Err(error.into()),
            },
        };
        match close_one(platform, organization, &subscription, asking).await? {
            Closing::NotDue => return Ok(closed),
            Closing::Closed(next) => {
                closed += 1;
                known = Some(*next);
            }
            Closing::ChangedMeanwhile => {}
        }
    }
}

/// Closes the current period, if it has ended.
async fn close_one(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
    asking: Asking,
) -> Result<Closing, AppError> {
    let now = platform.now();
    let (now, due_at) = match asking {
        Asking::Sweep => (now, subscription.attended_at()),
        Asking::Somebody { until } => (now.max(until), subscription.due_at()),
    };
    if due_at.is_none_or(|due_at| now < due_at) {
        return Ok(Closing::NotDue);
    }
    let plans = plans_of(platform, organization, subscription).await?;
    let close = match decided(platform, organization, (subscription, &plans), now).await {
        Ok(Some(close)) => close,
        Ok(None) => return Ok(Closing::NotDue),
        Err(error) if error.is_cannot_be_billed() => {
            return put_off(platform, organization, (subscription, &plans), &error).await;
        }
        Err(error) => return Err(error),
    };
    match platform.store.commit_close(&platform.change(organization, "close-periods"), &close).await {
        Ok(()) => {
            let id = subscription.id;
            tracing::info!(organization.id = %organization, subscription.id = %id, "closed a period of {id}");
            let version = close.subscription.version + 1;
            Ok(Closing::Closed(Box::new(Subscription { version, ..close.subscription })))
        }
        Err(StoreError::Conflict) => Ok(Closing::ChangedMeanwhile),
        Err(error) => Err(error.into()),
    }
}

/// What the end of the current period means; `None` if nothing is due.
///
/// Errors: `cannot_be_billed` if a bill cannot be computed exactly: somebody has to correct the usage, or the price.
async fn decided(
    platform: &Platform,
    organization: OrganizationId,
    (subscription, plans): (&Subscription, &PlansById),
    now: DateTime<Utc>,
) -> Result<Option<PeriodClose>, AppError> {
    let settings = platform.store.get_organization(organization).await?.settings;
    let close = match PeriodClose::due(subscription, plans, now) {
        Ok(None) => PeriodClose::trial(subscription, plans, now),
        Ok(Some(bill)) => {
            let usage = charge_usage::of_bill(platform, organization, subscription.customer, &bill).await?;
            let late = match bill.dues.is_empty() {
                true => LateLines::default(), // there is no invoice for them: they wait for the next
                false => {
                    let of = (subscription, plans);
                    late_usage::lines(platform, (organization, &settings), of, bill.at, None).await?
                }
            };
            PeriodClose::decide(subscription, plans, &bill, &usage, late, now)
        }
        Err(error) => Err(error),
    };
    let close = match close {
        Ok(close) => close,
        Err(CloseError::NotDue) => return Ok(None),
        Err(error) => return Err(AppError::cannot_be_billed(error)),
    };
    let customer = platform.store.get_customer(organization, subscription.customer).await?;
    close.with_terms(&settings.invoice_terms(&customer)).map(Some).map_err(AppError::cannot_be_billed)
}

/// Puts off a bill that cannot be computed, and says so.
async fn put_off(
    platform: &Platform,
    organization: OrganizationId,
    (subscription, plans): (&Subscription, &PlansById),
    error: &AppError,
) -> Result<Closing, AppError> {
    let (id, now) = (subscription.id, platform.now());
    let period = match subscription.due_at().map(|due_at| PeriodClose::due(subscription, plans, due_at)) {
        Some(Ok(Some(bill))) => bill.period,
        Some(Ok(None) | Err(_)) | None => subscription.current_period().map_err(AppError::internal)?,
    };
    let (next, told) = subscription.put_off(period, error.to_string(), now);
    let outbox = Vec::from_iter(told);
    let change = platform.change(organization, "close-periods");
    match platform.store.change_subscription(&change, "put off bill", &next, None, &outbox).await {
        Ok(()) if !outbox.is_empty() => {
            tracing::error!(organization.id = %organization, subscription.id = %id, error = %error, "{id} cannot be billed");
            Ok(Closing::NotDue)
        }
        Ok(()) => Ok(Closing::NotDue),
        Err(StoreError::Conflict) => Ok(Closing::ChangedMeanwhile),
        Err(error) => Err(error.into()),
    }
}

/// The plans that a subscription is, was or will be billed by. One that was deleted since charges nothing.
pub(crate) async fn plans_of(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
) -> Result<PlansById, AppError> {
    let read = subscription.plans().collect::<BTreeSet<_>>().into_iter().map(|plan| async move {
        let priced = if_there(platform.store.get_plan(organization, plan).await)?;
        Ok::<_, AppError>(priced.map(|priced| (plan, priced)))
    });
    Ok(try_join_all(read).await?.into_iter().flatten().collect())
}
