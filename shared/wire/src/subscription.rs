//! Bodies of subscriptions.

use app::{AppError, subscriptions::NewSubscription};
use domain::{
    period::PeriodError,
    subscription::{Subscription, SubscriptionStatus},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    plan::IntervalName,
    time::{TimeIn, TimeOut},
};

/// A subscription to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubscriptionBody {
    /// Who is billed.
    customer_id: String,
    /// For what.
    plan_id: String,
    /// How often; the plan's interval if not given.
    billing_interval: Option<IntervalName>,
    /// When it begins; now if not given.
    start_date: Option<TimeIn>,
    /// When the trial ends; by the plan's trial days if not given.
    trial_end_date: Option<TimeIn>,
}

/// A cancellation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Whether the current period is still billed as a whole. So far the only way to cancel.
    cancel_at_period_end: bool,
    /// Why.
    reason: Option<String>,
}

/// What state a subscription is in.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SubscriptionStatusName {
    /// Usage is tracked and not billed.
    Trial,
    /// Billed at the end of each period.
    Active,
    /// As active; an invoice was not paid in time.
    PastDue,
    /// Not billed until it is resumed.
    Paused,
    /// Over.
    Canceled,
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionBody {
    /// Its id.
    pub id: String,
    /// Who is billed.
    pub customer_id: String,
    /// For what.
    pub plan_id: String,
    /// The plan's name.
    pub plan_name: String,
    /// Its state.
    pub status: SubscriptionStatusName,
    /// How often it is billed.
    pub billing_interval: IntervalName,
    /// What it is billed in.
    pub currency: String,
    /// When it began.
    pub start_date: TimeOut,
    /// The start of the period that is billed next.
    pub current_period_start: TimeOut,
    /// Its end, which is the first instant after it.
    pub current_period_end: TimeOut,
    /// When the trial ends or ended, if there was one.
    pub trial_end_date: Option<TimeOut>,
    /// Whether it ends with the current period.
    pub cancel_at_period_end: bool,
    /// When cancellation was asked for.
    pub canceled_at: Option<TimeOut>,
    /// Why.
    pub cancellation_reason: Option<String>,
    /// When the last period was invoiced.
    pub last_invoiced_date: Option<TimeOut>,
    /// What it unlocks.
    pub entitlements: Vec<crate::entitlement::PlanFeatureBody>,
    /// When it was made.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

impl CancelBody {
    /// The reason for an end with the current period. Errors: `Invalid` for an end at once.
    pub fn into_domain(self) -> Result<Option<String>, AppError> {
        let mut check = Check::default();
        if !self.cancel_at_period_end {
            check.refuse("cancel_at_period_end", "must be true: ending at once is not supported yet");
        }
        let reason = check.optional_text("reason", self.reason, 500);
        check.finish(reason)
    }
}

impl NewSubscriptionBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<NewSubscription, AppError> {
        let mut check = Check::default();
        let customer = check.value("customer_id", self.customer_id.parse());
        let plan = check.value("plan_id", self.plan_id.parse());
        let both = customer.zip(plan);
        check.finish_some(both.map(|(customer, plan)| NewSubscription {
            customer,
            plan,
            billing_interval: self.billing_interval.map(IntervalName::interval),
            start: self.start_date.map(|at| at.0),
            trial_end: self.trial_end_date.map(|at| at.0),
        }))
    }
}

impl SubscriptionStatusName {
    /// The words that lists are filtered by.
    pub const CHOICES: [(&'static str, &'static str); 5] = [
        ("TRIAL", "TRIAL"),
        ("ACTIVE", "ACTIVE"),
        ("PAST_DUE", "PAST_DUE"),
        ("PAUSED", "PAUSED"),
        ("CANCELED", "CANCELED"),
    ];

    fn from_domain(status: SubscriptionStatus) -> Self {
        match status {
            SubscriptionStatus::Trial { .. } => Self::Trial,
            SubscriptionStatus::Active => Self::Active,
            SubscriptionStatus::PastDue => Self::PastDue,
            SubscriptionStatus::Paused => Self::Paused,
            SubscriptionStatus::Canceled { .. } => Self::Canceled,
        }
    }
}

impl SubscriptionBody {
    /// The body of a subscription. Errors: if its period lies outside the calendar, which no stored one's
    /// does.
    pub fn from_domain(subscription: Subscription) -> Result<Self, PeriodError> {
        let period = subscription.current_period()?;
        Ok(Self {
            id: subscription.id.to_string(),
            customer_id: subscription.customer.to_string(),
            plan_id: subscription.plan.to_string(),
            plan_name: subscription.plan_name,
            status: SubscriptionStatusName::from_domain(subscription.status),
            billing_interval: IntervalName::from_domain(subscription.schedule.interval),
            currency: subscription.currency.code().to_owned(),
            start_date: TimeOut(subscription.start),
            current_period_start: TimeOut(period.start()),
            current_period_end: TimeOut(period.end()),
            trial_end_date: subscription.trial_end.map(TimeOut),
            cancel_at_period_end: subscription.cancels_at_period_end,
            canceled_at: subscription.cancellation.as_ref().map(|cancellation| TimeOut(cancellation.at)),
            cancellation_reason: subscription.cancellation.and_then(|cancellation| cancellation.reason),
            last_invoiced_date: subscription.last_invoiced_at.map(TimeOut),
            entitlements: Vec::new(),
            created_at: TimeOut(subscription.created_at),
            updated_at: TimeOut(subscription.updated_at),
        })
    }
}
