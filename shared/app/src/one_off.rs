//! One-off charges of subscriptions that run.

use auth::Actor;
use chrono::SubsecRound;
use domain::{
    charge::{Charge, Price},
    id::SubscriptionId,
    invoice_draft::ManualLine,
    one_off::OneOffError,
    rating,
    subscription::Subscription,
    user::Scope,
};

use crate::{AppError, Platform, change_subscription::effective};

/// Charges a subscription once, on its next bill. The write is conditional on the subscription as it was read,
/// as a bill's is: it is on exactly one of them.
///
/// Errors: `Conflict` if there is no such bill, or too many charges; `Invalid` if the amount is too large.
pub async fn add(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    line: ManualLine,
) -> Result<Charge, AppError> {
    actor.require(Scope::BillingWrite)?;
    let now = platform.now().trunc_subsecs(3);
    let subscription = platform.store.get_subscription(actor.organization, id).await?;
    let charge = Charge::one_off(platform.new_id(), line, effective(&subscription, now));
    if let Price::Fixed(price) = &charge.price {
        let rated = rating::fixed(price, price.quantity, subscription.currency);
        rated.map_err(|error| AppError::invalid("unit_amount", error.to_string()))?;
    }
    let next = subscription.with_one_off(charge.clone()).map_err(|error| {
        let code = match error {
            OneOffError::NotRunning => "subscription_not_running",
            OneOffError::TooMany => "too_many_charges",
        };
        AppError::conflict(code, error.to_string())
    })?;
    let next = Subscription { updated_at: now, ..next };
    let change = platform.change(actor.organization, actor.name());
    platform.store.change_subscription(&change, "add one-off charge", &next, None, &[]).await?;
    Ok(charge)
}
