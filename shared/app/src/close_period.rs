//! Closing periods: the draft invoice, and the subscription in its next period, in one write.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::{
    id::{OrganizationId, SubscriptionId},
    period_close::{CloseError, PeriodClose},
    subscription::{PlansById, Subscription},
};
use futures::future::try_join_all;
use store::StoreError;

use crate::{AppError, Platform, charge_usage, finalize_invoice::terms, late_usage};

/// Closes every period of a subscription that has ended, one after the other. Closing again changes
/// nothing. Returns how many were closed now.
pub async fn close(
    platform: &Platform,
    organization: OrganizationId,
    id: SubscriptionId,
) -> Result<usize, AppError> {
    close_until(platform, organization, id, DateTime::UNIX_EPOCH).await
}

/// As [`close`], and also what ends by `until`.
pub(crate) async fn close_until(
    platform: &Platform,
    organization: OrganizationId,
    id: SubscriptionId,
    until: DateTime<Utc>,
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
        match close_one(platform, organization, &subscription, platform.now().max(until)).await? {
            Closing::NotDue => return Ok(closed),
            Closing::Closed(next) => {
                closed += 1;
                known = Some(*next);
            }
            Closing::ChangedMeanwhile => {}
        }
    }
}

/// What came of an attempt to close a period.
enum Closing {
    /// It has not ended.
    NotDue,
    /// It is closed; this is the subscription in its next one.
    Closed(Box<Subscription>),
    /// Somebody else closed it, or changed the subscription: look again.
    ChangedMeanwhile,
}

/// Closes the current period, if it has ended.
async fn close_one(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
    now: DateTime<Utc>,
) -> Result<Closing, AppError> {
    if subscription.due_at().is_none_or(|due_at| now < due_at) {
        return Ok(Closing::NotDue);
    }
    let plans = plans_of(platform, organization, subscription).await?;
    let close = match PeriodClose::due(subscription, &plans, now) {
        Ok(None) => PeriodClose::trial(subscription, &plans, now),
        Ok(Some(bill)) => {
            let usage = charge_usage::of_bill(platform, organization, subscription.customer, &bill).await?;
            let late = match bill.dues.is_empty() {
                true => Vec::new(), // there is no invoice for them: they wait for the next
                false => late_usage::lines(platform, organization, subscription, &plans, bill.at).await?,
            };
            PeriodClose::decide(subscription, &plans, &bill, &usage, late, now)
        }
        Err(error) => Err(error),
    };
    let close = match close {
        Ok(close) => close,
        Err(CloseError::NotDue) => return Ok(Closing::NotDue),
        // Told as it is: somebody has to take back the usage, or change the price.
        Err(error) => {
            let id = subscription.id;
            let detail = format!("subscription {id} cannot be billed exactly: {error}");
            return Err(AppError::conflict("cannot_be_billed", detail));
        }
    };
    let terms = terms(platform, organization, subscription.customer).await?;
    let close = close.with_terms(&terms).map_err(AppError::internal)?;
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

/// The plans that a subscription is, was or will be billed by. One that was deleted since charges nothing.
pub(crate) async fn plans_of(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
) -> Result<PlansById, AppError> {
    let read = subscription.plans().collect::<BTreeSet<_>>().into_iter().map(|plan| async move {
        match platform.store.get_plan(organization, plan).await {
            Ok(priced) => Ok(Some((plan, priced))),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(AppError::from(error)),
        }
    });
    Ok(try_join_all(read).await?.into_iter().flatten().collect())
}
