//! Bodies of alerts, and of what they tell of.

use app::{
    AppError,
    alerts::{AlertChanges, NewAlert, NewWatch},
};
use domain::alert::{Alert, ThresholdError, Thresholds, Trigger, Watch};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    number::{NumberIn, NumberOut},
    time::TimeOut,
};

/// What an alert watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertTypeName {
    /// How much of the limit of a feature was used in its window, in percent.
    LimitPercent,
    /// How many units of a meter were used in the current period of a subscription.
    Usage,
    /// What the next bill of a subscription comes to by now, before tax, in its currency.
    Amount,
}

/// An alert to be made. Without `customer_id` and `subscription_id` it watches every customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAlertBody {
    /// What people call it.
    name: String,
    /// What it watches.
    #[serde(rename = "type")]
    alert_type: AlertTypeName,
    /// The feature whose limit is watched, for type `limit_percent`: one that has a meter.
    feature_id: Option<String>,
    /// The meter whose usage is watched, for type `usage`.
    meter_id: Option<String>,
    /// The one customer to be watched.
    customer_id: Option<String>,
    /// The one subscription to be watched.
    subscription_id: Option<String>,
    /// The values that are told of, once a period each: 1 to 20, greater than 0.
    thresholds: Vec<NumberIn>,
}

/// Changes to an alert. What is left out stays as it is; what it watches cannot be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertChangesBody {
    /// What people call it.
    name: Option<String>,
    /// The values that are told of, in place of those before.
    thresholds: Option<Vec<NumberIn>>,
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertBody {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it watches.
    #[serde(rename = "type")]
    pub alert_type: AlertTypeName,
    /// The feature whose limit is watched.
    pub feature_id: Option<String>,
    /// The meter whose usage is watched.
    pub meter_id: Option<String>,
    /// The one customer that is watched; null is every one.
    pub customer_id: Option<String>,
    /// The one subscription that is watched; null is every one.
    pub subscription_id: Option<String>,
    /// The values that are told of, in order.
    pub thresholds: Vec<NumberOut>,
    /// When it was made.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

/// A threshold that was reached, as the event `alert.triggered` tells of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerBody {
    /// Which alert.
    pub alert_id: String,
    /// Its name at the time.
    pub name: String,
    /// What it watches.
    #[serde(rename = "type")]
    pub alert_type: AlertTypeName,
    /// By which customer.
    pub customer_id: String,
    /// By which subscription; null for a limit that a customer has by all of its subscriptions.
    pub subscription_id: Option<String>,
    /// The feature whose limit is watched.
    pub feature_id: Option<String>,
    /// The meter whose usage is watched.
    pub meter_id: Option<String>,
    /// The threshold: in percent for a limit, else units or an amount.
    pub threshold: NumberOut,
    /// What was found: units, or an amount.
    pub value: NumberOut,
    /// How much may be used, with what rolled over, for a limit.
    pub limit: Option<NumberOut>,
    /// What an amount is in.
    pub currency: Option<String>,
    /// Since when it counts.
    pub period_start: TimeOut,
    /// When it begins anew.
    pub period_end: TimeOut,
    /// When it was found.
    pub triggered_at: TimeOut,
}

impl NewAlertBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<NewAlert, AppError> {
        let mut check = Check::default();
        let name = check.text("name", self.name, 200);
        let (needs_feature, needs_meter) = match self.alert_type {
            AlertTypeName::LimitPercent => (true, false),
            AlertTypeName::Usage => (false, true),
            AlertTypeName::Amount => (false, false),
        };
        let feature = only(&mut check, "feature_id", self.feature_id, needs_feature, "limit_percent");
        let meter = only(&mut check, "meter_id", self.meter_id, needs_meter, "usage");
        let watch = match self.alert_type {
            AlertTypeName::LimitPercent => feature.map(NewWatch::Limit),
            AlertTypeName::Usage => meter.map(NewWatch::Usage),
            AlertTypeName::Amount => Some(NewWatch::Amount),
        };
        let customer = self.customer_id.and_then(|id| check.value("customer_id", id.parse()));
        let subscription = self.subscription_id.and_then(|id| check.value("subscription_id", id.parse()));
        let thresholds = thresholds(&mut check, self.thresholds);
        check.finish_some(watch.zip(thresholds).map(|(watch, thresholds)| NewAlert {
            name,
            watch,
            customer,
            subscription,
            thresholds,
        }))
    }
}

impl AlertChangesBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<AlertChanges, AppError> {
        let mut check = Check::default();
        let name = self.name.map(|name| check.text("name", name, 200));
        let thresholds = self.thresholds.and_then(|values| thresholds(&mut check, values));
        check.finish(AlertChanges { name, thresholds })
    }
}

/// An id that is there for alerts of one type, and for those alone.
fn only<T: std::str::FromStr>(
    check: &mut Check,
    field: &str,
    id: Option<String>,
    is_needed: bool,
    name: &str,
) -> Option<T>
where
    T::Err: ToString,
{
    match id {
        Some(id) if is_needed => return check.value(field, id.parse()),
        Some(_) => check.refuse(field, format!("is for alerts of type {name} alone")),
        None if is_needed => check.refuse(field, format!("is required for an alert of type {name}")),
        None => {}
    }
    None
}

fn thresholds(check: &mut Check, values: Vec<NumberIn>) -> Option<Thresholds> {
    let field = |place: usize| format!("thresholds[{place}]");
    let values = values.into_iter().enumerate();
    let values = values.map(|(place, value)| check.value(&field(place), value.decimal()));
    let values = values.collect::<Option<Vec<_>>>()?;
    Thresholds::new(values)
        .map_err(|error| {
            let field = match error {
                ThresholdError::Count => "thresholds".to_owned(),
                ThresholdError::NotPositive(place) | ThresholdError::Twice(place) => field(place),
            };
            check.refuse(field, error.to_string());
        })
        .ok()
}

/// The name of what is watched, and the ids of the feature or the meter.
fn watched(watch: Watch) -> (AlertTypeName, Option<String>, Option<String>) {
    match watch {
        Watch::Limit { feature, .. } => (AlertTypeName::LimitPercent, Some(feature.to_string()), None),
        Watch::Usage(meter) => (AlertTypeName::Usage, None, Some(meter.to_string())),
        Watch::Amount => (AlertTypeName::Amount, None, None),
    }
}

impl AlertBody {
    /// The body of an alert.
    pub fn from_domain(alert: Alert) -> Self {
        let (alert_type, feature_id, meter_id) = watched(alert.watch);
        Self {
            id: alert.id.to_string(),
            name: alert.name,
            alert_type,
            feature_id,
            meter_id,
            customer_id: alert.scope.customer().map(|id| id.to_string()),
            subscription_id: alert.scope.subscription().map(|id| id.to_string()),
            thresholds: alert.thresholds.iter().map(NumberOut).collect(),
            created_at: TimeOut(alert.created_at),
            updated_at: TimeOut(alert.updated_at),
        }
    }
}

impl TriggerBody {
    /// The body of what an alert tells of.
    pub fn from_domain(trigger: Trigger) -> Self {
        let (alert_type, feature_id, meter_id) = watched(trigger.watch);
        let reading = trigger.reading;
        Self {
            alert_id: trigger.alert.to_string(),
            name: trigger.name,
            alert_type,
            customer_id: reading.customer.to_string(),
            subscription_id: reading.subscription.map(|id| id.to_string()),
            feature_id,
            meter_id,
            threshold: NumberOut(trigger.threshold),
            value: NumberOut(reading.value),
            limit: reading.limit.map(NumberOut),
            currency: reading.currency.map(|currency| currency.code().to_owned()),
            period_start: TimeOut(reading.period.start()),
            period_end: TimeOut(reading.period.end()),
            triggered_at: TimeOut(trigger.at),
        }
    }
}
