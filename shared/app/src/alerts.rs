//! Alerts: what somebody wants to be told of as soon as it reaches a threshold.

use std::{collections::HashMap, sync::Arc};

use auth::Actor;
use chrono::{DateTime, Duration, Utc};
use domain::{
    alert::{ALERTS_MAX, Alert, AlertScope, Thresholds, Trigger, Watch},
    feature::FeatureType,
    id::{AlertId, CustomerId, FeatureId, MeterId, OrganizationId, SubscriptionId},
    user::Scope,
};
use store::{Page, PageRequest, StoreError};
use tokio::sync::Mutex;

use crate::{AppError, FieldError, Platform, subscriptions::is_customer};

/// An alert to be made.
pub struct NewAlert {
    /// What people call it.
    pub name: String,
    /// What it watches.
    pub watch: NewWatch,
    /// Of which customer; of every one, if none and no subscription is given.
    pub customer: Option<CustomerId>,
    /// Of which subscription.
    pub subscription: Option<SubscriptionId>,
    /// The values that are told of.
    pub thresholds: Thresholds,
}

/// What an alert to be made watches.
pub enum NewWatch {
    /// The limit of a feature.
    Limit(FeatureId),
    /// Usage of a meter.
    Usage(MeterId),
    /// What bills come to.
    Amount,
}

/// What may be changed of an alert. `None` leaves it as it is.
#[derive(Default)]
pub struct AlertChanges {
    /// What people call it.
    pub name: Option<String>,
    /// The values that are told of.
    pub thresholds: Option<Thresholds>,
}

/// Makes an alert. What reaches a threshold already is told of within a minute.
///
/// Errors: `Invalid` if what it names does not exist, `Conflict` if there are too many.
pub async fn create(platform: &Platform, actor: &Actor, new: NewAlert) -> Result<Alert, AppError> {
    actor.require(Scope::BillingWrite)?;
    let mut errors = Vec::new();
    let watch = watch(platform, actor, &new.watch, &mut errors).await?;
    let scope = scope(platform, actor, (new.customer, new.subscription), &mut errors).await?;
    let (Some(watch), Some(scope)) = (watch, scope) else { return Err(AppError::Invalid(errors)) };
    if platform.store.list_alerts(actor.organization).await?.len() >= ALERTS_MAX {
        let detail =
            format!("there are {ALERTS_MAX} alerts already: delete one, or let one watch every customer");
        return Err(AppError::conflict("too_many_alerts", detail));
    }
    let now = platform.now();
    let alert = Alert {
        id: platform.new_id(),
        name: new.name,
        watch,
        scope,
        thresholds: new.thresholds,
        created_at: now,
        updated_at: now,
        version: 0,
    };
    let change = platform.change(actor.organization, actor.name());
    platform.store.create_alert(&change, &alert).await?;
    platform.alerts.forget(actor.organization).await;
    Ok(alert)
}

/// What is to be watched, if it is there.
async fn watch(
    platform: &Platform,
    actor: &Actor,
    new: &NewWatch,
    errors: &mut Vec<FieldError>,
) -> Result<Option<Watch>, AppError> {
    let (field, detail) = match new {
        NewWatch::Amount => return Ok(Some(Watch::Amount)),
        NewWatch::Usage(meter) => match platform.store.get_meter(actor.organization, *meter).await {
            Ok(meter) => return Ok(Some(Watch::Usage(meter.id))),
            Err(StoreError::NotFound(_)) => ("meter_id", "names no meter"),
            Err(error) => return Err(error.into()),
        },
        NewWatch::Limit(feature) => match platform.store.get_feature(actor.organization, *feature).await {
            Ok(feature) => match feature.feature_type {
                FeatureType::Meter { meter } => {
                    return Ok(Some(Watch::Limit { feature: feature.id, meter }));
                }
                FeatureType::Switch | FeatureType::Custom => {
                    ("feature_id", "names a feature without a meter")
                }
            },
            Err(StoreError::NotFound(_)) => ("feature_id", "names no feature"),
            Err(error) => return Err(error.into()),
        },
    };
    errors.push(FieldError::new(field, "invalid", detail));
    Ok(None)
}

/// Whom an alert is to watch, if they are there.
async fn scope(
    platform: &Platform,
    actor: &Actor,
    of: (Option<CustomerId>, Option<SubscriptionId>),
    errors: &mut Vec<FieldError>,
) -> Result<Option<AlertScope>, AppError> {
    let (field, detail) = match of {
        (None, None) => return Ok(Some(AlertScope::Everyone)),
        (Some(customer), None) => match is_customer(platform, actor, customer).await? {
            true => return Ok(Some(AlertScope::Customer(customer))),
            false => ("customer_id", "names no customer"),
        },
        (customer, Some(id)) => match platform.store.get_subscription(actor.organization, id).await {
            Ok(subscription) if customer.is_none_or(|customer| customer == subscription.customer) => {
                return Ok(Some(AlertScope::Subscription(subscription.customer, subscription.id)));
            }
            Ok(_) => ("customer_id", "names another customer than that of the subscription"),
            Err(StoreError::NotFound(_)) => ("subscription_id", "names no subscription"),
            Err(error) => return Err(error.into()),
        },
    };
    errors.push(FieldError::new(field, "invalid", detail));
    Ok(None)
}

/// An alert.
pub async fn get(platform: &Platform, actor: &Actor, id: AlertId) -> Result<Alert, AppError> {
    actor.require(Scope::BillingRead)?;
    Ok(platform.store.get_alert(actor.organization, id).await?)
}

/// The organization's alerts, newest first.
pub async fn list(platform: &Platform, actor: &Actor, page: &PageRequest) -> Result<Page<Alert>, AppError> {
    actor.require(Scope::BillingRead)?;
    let alerts = platform.store.list_alerts(actor.organization).await?;
    Ok(Page::of(alerts.into_iter().rev().map(|alert| (alert.id.to_string(), alert)).collect(), page))
}

/// Changes what may be changed of an alert. A threshold that is new counts from 0 on: what reaches it already
/// is told of within a minute.
pub async fn update(
    platform: &Platform,
    actor: &Actor,
    id: AlertId,
    changes: AlertChanges,
) -> Result<Alert, AppError> {
    actor.require(Scope::BillingWrite)?;
    let before = platform.store.get_alert(actor.organization, id).await?;
    let alert = Alert {
        name: changes.name.unwrap_or(before.name),
        thresholds: changes.thresholds.unwrap_or(before.thresholds),
        updated_at: platform.now(),
        ..before
    };
    platform.store.update_alert(&platform.change(actor.organization, actor.name()), &alert).await?;
    platform.alerts.forget(actor.organization).await;
    Ok(alert)
}

/// Deletes an alert. From then on it tells of nothing.
pub async fn delete(platform: &Platform, actor: &Actor, id: AlertId) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let alert = platform.store.get_alert(actor.organization, id).await?;
    platform.store.delete_alert(&platform.change(actor.organization, actor.name()), &alert).await?;
    platform.alerts.forget(actor.organization).await;
    Ok(())
}

/// What an alert told, newest first.
pub async fn triggers(
    platform: &Platform,
    actor: &Actor,
    id: AlertId,
    page: &PageRequest,
) -> Result<Page<Trigger>, AppError> {
    actor.require(Scope::BillingRead)?;
    platform.store.get_alert(actor.organization, id).await?;
    Ok(platform.store.list_triggers(actor.organization, id, page).await?)
}

/// How long the alerts of an organization are kept. What another process changes takes effect within that.
const CACHED_FOR: Duration = Duration::minutes(1);

/// The alerts in use, so that usage of organizations that have none costs nothing more.
#[derive(Default)]
pub(crate) struct AlertCache {
    by_organization: Mutex<HashMap<OrganizationId, Cached>>,
}

/// The alerts of an organization, and when they were read.
type Cached = (DateTime<Utc>, Arc<Vec<Alert>>);

impl AlertCache {
    /// Has the alerts of an organization read again: they changed.
    async fn forget(&self, organization: OrganizationId) {
        self.by_organization.lock().await.remove(&organization);
    }
}

impl Platform {
    /// The alerts of an organization, as they were at most a minute ago.
    pub(crate) async fn alerts_of(&self, organization: OrganizationId) -> Result<Arc<Vec<Alert>>, AppError> {
        let now = self.real_now();
        let mut cached = self.alerts.by_organization.lock().await;
        cached.retain(|_, (at, _)| *at <= now && now < *at + CACHED_FOR);
        if let Some((_, alerts)) = cached.get(&organization) {
            return Ok(alerts.clone());
        }
        let alerts = Arc::new(self.store.list_alerts(organization).await?);
        cached.insert(organization, (now, alerts.clone()));
        Ok(alerts)
    }
}
