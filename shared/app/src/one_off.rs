//! One-off charges of subscriptions that run.
//!
//! Every write is conditional on the subscription as it was read, as a bill's is: a charge is on exactly one of
//! them, or was taken back before.

use auth::Actor;
use chrono::SubsecRound;
use domain::{
    charge::{Charge, Price},
    id::{ChargeId, SubscriptionId},
    invoice_draft::ManualLine,
    one_off::OneOffError,
    outbox::{OneOffEvent, OutboxEntry},
    rating,
    subscription::Subscription,
    user::Scope,
};
use store::{Page, PageRequest};

use crate::{AppError, Platform, change_subscription::effective};

/// How often a subscription is looked at again that others change at the same time.
const ATTEMPTS_MAX: u32 = 20;

/// Charges a subscription once, on its next bill.
///
/// Errors: `Conflict` if there is no such bill, or too many charges; `Invalid` if the amount is too large.
pub async fn add(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    line: ManualLine,
) -> Result<Charge, AppError> {
    let charge = platform.new_id();
    change(platform, actor, id, OneOffEvent::Added, |subscription| {
        let since = effective(subscription, platform.now().trunc_subsecs(3));
        let charge = Charge::one_off(charge, line.clone(), since);
        if let Price::Fixed(price) = &charge.price {
            let rated = rating::fixed(price, price.quantity, subscription.currency);
            rated.map_err(|error| AppError::invalid("unit_amount", error.to_string()))?;
        }
        Ok((subscription.with_one_off(charge.clone()).map_err(refused)?, charge))
    })
    .await
}

/// Takes back what a subscription was charged once and is not billed yet.
///
/// Errors: `NotFound` if it has no such charge; `Conflict` if that is billed already.
pub async fn remove(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    charge: ChargeId,
) -> Result<(), AppError> {
    change(platform, actor, id, OneOffEvent::Removed, |subscription| {
        subscription.without_one_off(charge).map_err(refused)
    })
    .await?;
    Ok(())
}

/// What a subscription was charged once, newest first, each with whether it is billed.
pub async fn list(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    page: &PageRequest,
) -> Result<Page<(Charge, bool)>, AppError> {
    actor.require(Scope::BillingRead)?;
    let subscription = platform.store.get_subscription(actor.organization, id).await?;
    let row = |charge: &Charge| (charge.id.to_string(), (charge.clone(), subscription.has_billed(charge)));
    let mut rows = subscription.one_offs.iter().map(row).collect::<Vec<_>>();
    rows.sort_by(|(a, _), (b, _)| b.cmp(a));
    Ok(Page::of(rows, page))
}

/// Puts what is `changed` of a subscription, and tells of it. Where others changed it meanwhile, as a bill does
/// that falls due, it is decided anew.
async fn change(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    event: OneOffEvent,
    changed: impl Fn(&Subscription) -> Result<(Subscription, Charge), AppError>,
) -> Result<Charge, AppError> {
    actor.require(Scope::BillingWrite)?;
    let action = match event {
        OneOffEvent::Added => "add one-off charge",
        OneOffEvent::Removed => "remove one-off charge",
    };
    for _ in 0..ATTEMPTS_MAX {
        let subscription = platform.store.get_subscription(actor.organization, id).await?;
        let (next, charge) = changed(&subscription)?;
        let now = platform.now();
        let next = Subscription { updated_at: now, ..next };
        let outbox = [OutboxEntry::one_off_event(event, &next, &charge, now)];
        let by = platform.change(actor.organization, actor.name());
        match platform.store.change_subscription(&by, action, &next, None, &outbox).await {
            Ok(()) => return Ok(charge),
            Err(error) => match AppError::from(error) {
                error if error.is_changed_meanwhile() => {}
                error => return Err(error),
            },
        }
    }
    Err(AppError::Unavailable("the subscription is changed again and again".into()))
}

fn refused(error: OneOffError) -> AppError {
    let code = match error {
        OneOffError::NotRunning => "subscription_not_running",
        OneOffError::TooMany => "too_many_charges",
        OneOffError::Billed => "charge_billed",
        OneOffError::NoSuchCharge => return AppError::NotFound("charge"),
    };
    AppError::conflict(code, error.to_string())
}
