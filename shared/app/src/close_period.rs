//! Closing periods: the draft invoice, and the subscription in its next period, in one write.

use domain::{
    id::{OrganizationId, SubscriptionId},
    period_close::{CloseError, PeriodClose},
    subscription::{Subscription, SubscriptionStatus},
};
use store::StoreError;

use crate::{AppError, Platform, charge_usage, finalize_invoice::terms};

/// Closes every period of a subscription that has ended, one after the other. Closing again changes
/// nothing. Returns how many were closed now.
pub async fn close(
    platform: &Platform,
    organization: OrganizationId,
    id: SubscriptionId,
) -> Result<usize, AppError> {
    let mut closed = 0;
    loop {
        let subscription = match platform.store.get_subscription(organization, id).await {
            Ok(subscription) => subscription,
            Err(StoreError::NotFound(_)) => return Ok(closed), // deleted since it fell due
            Err(error) => return Err(error.into()),
        };
        match close_one(platform, organization, &subscription).await? {
            true => closed += 1,
            false => return Ok(closed),
        }
    }
}

/// Closes the current period, if it has ended. `false` if it has not.
async fn close_one(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
) -> Result<bool, AppError> {
    let now = platform.now();
    if subscription.due_at().is_none_or(|due_at| now < due_at) {
        return Ok(false);
    }
    let plan = platform.store.get_plan(organization, subscription.plan).await?;
    let usage = match subscription.status {
        SubscriptionStatus::Trial { .. } => Default::default(), // tracked, and not billed
        SubscriptionStatus::Active
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled { .. } => {
            let charges = plan.charges_in(subscription.price_version);
            let period = subscription.current_period().map_err(AppError::internal)?;
            charge_usage::by_charge(platform, organization, subscription.customer, charges, period).await?
        }
    };
    let close = match PeriodClose::decide(subscription, &plan, &usage, now) {
        Ok(close) => close,
        Err(CloseError::NotDue) => return Ok(false),
        Err(error) => return Err(AppError::internal(error)),
    };
    let terms = terms(platform, organization, subscription.customer).await?;
    let close = close.with_terms(&terms).map_err(AppError::internal)?;
    match platform.store.commit_close(&platform.change(organization, "close-periods"), &close).await {
        Ok(()) => {
            let id = subscription.id;
            tracing::info!(organization.id = %organization, subscription.id = %id, "closed a period of {id}");
            Ok(true)
        }
        // Somebody else closed it, or changed the subscription: look again.
        Err(StoreError::Conflict) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
