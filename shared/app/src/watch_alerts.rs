//! Watching alerts: what they find is held against their thresholds, and each that is reached is told of
//! once. Usage is looked at as soon as it was counted; an hourly sweep makes up for whatever was missed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time,
};

use chrono::Duration;
use domain::{
    alert::{Alert, AlertScope, Reading, Watch},
    event::TrackedEvent,
    id::{CustomerId, FeatureId, Id, MeterId, OrganizationId, SubscriptionId},
    seen_usage::LateLines,
    subscription::{Subscription, SubscriptionStatus},
};
use futures::{StreamExt, future::join_all, stream};
use store::{DueAlert, StoreError};

use crate::{AppError, Platform, change_subscription, close_period::plans_of, entitlements, read_usage};

/// Customers that are looked at at once. Each is a few requests to DynamoDB, and waits more than it works.
const CONCURRENT_CUSTOMERS: usize = 16;

/// Alerts that take their turns at once.
const CONCURRENT_ALERTS: usize = 8;

/// How long counting waits for alerts. Usage is counted by then, and must not be counted again and again
/// because its alerts take so long: the rest is left to the sweep.
const PATIENCE: time::Duration = time::Duration::from_secs(5);

/// How often each alert is looked at, whether there is usage or not.
const AGAIN_AFTER: Duration = Duration::hours(1);

/// Due alerts that one look takes of each shard.
const DUE_MAX: i32 = 100;

/// Subscriptions of one alert that are looked at before it is another alert's turn.
const SUBSCRIPTIONS_PER_TURN: usize = 200;

/// Subscriptions that one sweep looks at. What is left is the next sweep's, which comes in a minute.
const SUBSCRIPTIONS_PER_SWEEP: usize = 2_000;

/// How often thresholds are looked at again that others tell of at the same time.
const ATTEMPTS_MAX: u32 = 5;

/// Looks at the alerts that these events, which are counted, concern. Never fails: what does is logged, and
/// left to the sweep.
pub(crate) async fn look_at(platform: &Platform, counted: impl Iterator<Item = &TrackedEvent>) {
    let mut used = BTreeMap::<_, BTreeSet<(CustomerId, MeterId)>>::new();
    for event in counted {
        used.entry(event.organization).or_default().insert((event.customer, event.meter));
    }
    let all = async {
        for (organization, used) in used {
            if let Err(error) = look_at_used(platform, organization, &used).await {
                tracing::warn!(organization.id = %organization, error = ?error, "no alert is looked at");
            }
        }
    };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        tracing::warn!("alerts are left to the sweep: they take too long");
    }
}

async fn look_at_used(
    platform: &Platform,
    organization: OrganizationId,
    used: &BTreeSet<(CustomerId, MeterId)>,
) -> Result<(), AppError> {
    let alerts = platform.alerts_of(organization).await?;
    let concerned = concerned(&alerts, used);
    if !concerned.is_empty() {
        look_at_each(&platform.of(organization).await?, organization, concerned).await;
    }
    Ok(())
}

/// The customers that each alert has to be looked at for, once they used these meters.
fn concerned<'a>(
    alerts: &'a [Alert],
    used: &BTreeSet<(CustomerId, MeterId)>,
) -> Vec<(&'a Alert, CustomerId)> {
    let of_alert = |alert: &'a Alert| {
        let concerned = used.iter().filter(|(customer, meter)| alert.is_concerned(*customer, *meter));
        let customers = concerned.map(|(customer, _)| *customer).collect::<BTreeSet<_>>();
        customers.into_iter().map(move |customer| (alert, customer))
    };
    alerts.iter().flat_map(of_alert).collect()
}

/// Goes on looking at all alerts that are due, each in its turn.
pub(crate) async fn sweep(platform: &Platform) -> Result<(), AppError> {
    let mut left = SUBSCRIPTIONS_PER_SWEEP;
    let mut failed = BTreeSet::new(); // these stay due, and must not keep the others from their turn
    while left > 0 {
        let due = platform.store.list_due_alerts(platform.real_now(), DUE_MAX).await?;
        let due = due.into_iter().filter(|due| !failed.contains(&due.alert)).take(CONCURRENT_ALERTS);
        let turns = due.map(|due| async move { (due, take_turn(platform, &due).await) }).collect::<Vec<_>>();
        if turns.is_empty() {
            break;
        }
        for (due, turn) in join_all(turns).await {
            match turn {
                Ok(looked_at) => left = left.saturating_sub(looked_at.max(1)),
                Err(error) => {
                    let id = due.alert;
                    tracing::error!(alert.id = %id, error = ?error, "alert {id} is not looked at");
                    failed.insert(id);
                }
            }
        }
    }
    Ok(())
}

/// Makes all alerts of an organization due: its time was moved.
pub(crate) async fn make_due(platform: &Platform, organization: OrganizationId) -> Result<(), AppError> {
    let now = platform.real_now();
    for alert in platform.store.list_alerts(organization).await? {
        platform.store.postpone_alert(organization, &alert, None, now).await?;
    }
    Ok(())
}

/// One turn of an alert that is due. Returns at how many subscriptions it looked.
async fn take_turn(platform: &Platform, due: &DueAlert) -> Result<usize, AppError> {
    let organization = due.organization;
    let platform = &platform.of(organization).await?;
    let Some((alert, place)) = platform.store.find_alert_sweep(organization, due.alert).await? else {
        return Ok(0); // deleted since it fell due
    };
    let subscriptions = match alert.scope {
        AlertScope::Everyone => {
            let size = SUBSCRIPTIONS_PER_TURN;
            platform.store.list_subscriptions_before(organization, place, size).await?
        }
        AlertScope::Customer(_) | AlertScope::Subscription(..) => Vec::new(),
    };
    let customers = subscriptions.iter().map(|subscription| subscription.customer);
    let customers = customers.chain(alert.scope.customer()).collect::<BTreeSet<_>>();
    let customers = customers.into_iter().map(|customer| (&alert, customer)).collect();
    look_at_each(platform, organization, customers).await;
    // An alert that is not through is due again behind the others.
    let is_through = subscriptions.len() < SUBSCRIPTIONS_PER_TURN;
    let place = subscriptions.last().map(|subscription| subscription.id).filter(|_| !is_through);
    let now = platform.real_now();
    let due_at = if is_through { now + AGAIN_AFTER } else { now };
    platform.store.postpone_alert(organization, &alert, place, due_at).await?;
    Ok(subscriptions.len())
}

/// Looks at customers, each for an alert. What fails is logged, and looked at again by the next sweep.
async fn look_at_each(
    platform: &Platform,
    organization: OrganizationId,
    concerned: Vec<(&Alert, CustomerId)>,
) {
    let look = concerned.into_iter().map(|(alert, customer)| async move {
        if let Err(error) = look_at_customer(platform, organization, alert, customer).await {
            tracing::warn!(
                organization.id = %organization, alert.id = %alert.id, customer.id = %customer, error = ?error,
                "alert {} is left to the next sweep", alert.id
            );
        }
    });
    stream::iter(look.collect::<Vec<_>>()).buffer_unordered(CONCURRENT_CUSTOMERS).collect::<()>().await;
}

async fn look_at_customer(
    platform: &Platform,
    organization: OrganizationId,
    alert: &Alert,
    customer: CustomerId,
) -> Result<(), AppError> {
    let subscriptions = platform.store.list_subscriptions_of(organization, customer).await?;
    let only = alert.scope.subscription();
    let watched = subscriptions.into_iter().filter(|one| only.is_none_or(|only| only == one.id));
    let watched = watched.collect::<Vec<_>>();
    match alert.watch {
        Watch::Limit { feature, .. } => {
            let reading = limit(platform, organization, (customer, only), feature, watched).await;
            tell(platform, organization, alert, computed(reading, customer)?).await
        }
        Watch::Usage(meter) => {
            for subscription in watched {
                let reading = usage(platform, organization, meter, &subscription).await;
                tell(platform, organization, alert, computed(reading, subscription.id)?).await?;
            }
            Ok(())
        }
        Watch::Amount => {
            for subscription in watched {
                let reading = amount(platform, organization, &subscription).await;
                tell(platform, organization, alert, computed(reading, subscription.id)?).await?;
            }
            Ok(())
        }
    }
}

/// What was found, or nothing where it cannot be computed exactly: others are looked at all the same.
fn computed<K>(found: Result<Option<Reading>, AppError>, of: Id<K>) -> Result<Option<Reading>, AppError> {
    match found {
        Err(error) if error.is_cannot_be_billed() || error.is_usage_too_large() => {
            tracing::warn!(error = %error, "{of} has nothing that an alert could be held against");
            Ok(None)
        }
        other => other,
    }
}

/// How much was used of what some subscriptions grant of a feature, in its window. Of all subscriptions of a
/// customer it is the customer's.
async fn limit(
    platform: &Platform,
    organization: OrganizationId,
    (customer, subscription): (CustomerId, Option<SubscriptionId>),
    feature: FeatureId,
    subscriptions: Vec<Subscription>,
) -> Result<Option<Reading>, AppError> {
    let Some(feature) = entitlements::find_feature(platform, organization, feature).await? else {
        return Ok(None); // deleted since the alert was made
    };
    let now = platform.now();
    let entitled = subscriptions.into_iter().filter(|subscription| subscription.is_entitled(now)).collect();
    let allowance = entitlements::allowance_by(platform, organization, customer, entitled, feature).await?;
    let limit = allowance.entitlement.limit.map(|limit| limit.saturating_add(allowance.rolled_over));
    let found = allowance.entitlement.window.zip(allowance.used);
    Ok(found.map(|(period, value)| Reading { customer, subscription, period, value, limit, currency: None }))
}

/// How much was used of a meter in the current period of a subscription that runs.
async fn usage(
    platform: &Platform,
    organization: OrganizationId,
    meter: MeterId,
    subscription: &Subscription,
) -> Result<Option<Reading>, AppError> {
    if !subscription.is_entitled(platform.now()) {
        return Ok(None);
    }
    let period = subscription.current_period().map_err(AppError::internal)?;
    let customer = subscription.customer;
    let usage = match read_usage::by_meter(platform, organization, customer, [meter], period).await {
        Ok(usage) => usage.get(&meter).copied().unwrap_or_default(),
        Err(AppError::NotFound(_)) => return Ok(None), // deleted since the alert was made
        Err(error) => return Err(error),
    };
    let value = usage.quantity.to_decimal()?;
    let subscription = Some(subscription.id);
    Ok(Some(Reading { customer, subscription, period, value, limit: None, currency: None }))
}

/// What the next bill of a subscription comes to by now, by the code that bills. A trial comes to nothing.
async fn amount(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
) -> Result<Option<Reading>, AppError> {
    let is_billed = match subscription.status {
        SubscriptionStatus::Active | SubscriptionStatus::PastDue | SubscriptionStatus::Paused => {
            subscription.start <= platform.now()
        }
        SubscriptionStatus::Trial { .. } | SubscriptionStatus::Canceled { .. } => false,
    };
    if !is_billed {
        return Ok(None);
    }
    let plans = plans_of(platform, organization, subscription).await?;
    let timeline = subscription.timeline(&plans);
    let last = subscription.billed_until;
    let Some(at) = timeline.next(last).map_err(AppError::internal)? else { return Ok(None) };
    let bill = timeline.bill(last, at).map_err(AppError::internal)?;
    let draft =
        change_subscription::draft_of(platform, organization, subscription, &bill, LateLines::default())
            .await?;
    Ok(Some(Reading {
        customer: subscription.customer,
        subscription: Some(subscription.id),
        period: bill.period,
        value: draft.line_sum().map_err(AppError::cannot_be_billed)?.amount(),
        limit: None,
        currency: Some(subscription.currency),
    }))
}

/// Tells of every threshold that a reading reaches, unless that was done before. The relay of the outbox
/// takes it from there.
async fn tell(
    platform: &Platform,
    organization: OrganizationId,
    alert: &Alert,
    reading: Option<Reading>,
) -> Result<(), AppError> {
    let Some(reading) = reading else { return Ok(()) };
    if alert.reached(&reading).next().is_none() {
        return Ok(());
    }
    for _ in 0..ATTEMPTS_MAX {
        let fired = platform.store.list_fired(organization, alert.id, &reading).await?;
        let triggers = alert.triggers(&reading, &fired, platform.now());
        if triggers.is_empty() {
            return Ok(());
        }
        match platform.store.commit_triggers(organization, alert.id, &triggers).await {
            Ok(()) => {
                let (id, count) = (alert.id, triggers.len());
                tracing::info!(organization.id = %organization, alert.id = %id, count, "alert {id} was triggered");
                return Ok(());
            }
            Err(StoreError::Conflict) => {} // somebody else told of one: look again
            Err(StoreError::NotFound(_)) => return Ok(()), // deleted meanwhile
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppError::Unavailable("an alert is triggered again and again".into()))
}
