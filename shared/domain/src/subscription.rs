//! Subscriptions: which customer has which plan, since when, and what is billed next.

use chrono::{DateTime, Utc};

use crate::{
    currency::Currency,
    id::{CustomerId, PlanId, SubscriptionId},
    period::{BillingPeriod, BillingSchedule, PeriodError},
};

/// What state a subscription is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionStatus {
    /// Usage is tracked and not billed.
    Trial {
        /// When it becomes active.
        until: DateTime<Utc>,
    },
    /// Billed at the end of each period.
    Active,
    /// As active; an invoice was not paid in time.
    PastDue,
    /// Not billed until it is resumed.
    Paused,
    /// Over.
    Canceled {
        /// Since when.
        at: DateTime<Utc>,
    },
}

/// A customer's subscription to a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Who is billed.
    pub customer: CustomerId,
    /// For what.
    pub plan: PlanId,
    /// The plan's name when it was subscribed to.
    pub plan_name: String,
    /// The version of the plan's prices that it is billed by.
    pub price_version: u32,
    /// What it is billed in.
    pub currency: Currency,
    /// Its state.
    pub status: SubscriptionStatus,
    /// All its billing periods. After a trial they count from the trial's end.
    pub schedule: BillingSchedule,
    /// Which of them is the current one.
    pub period_number: u32,
    /// When it began.
    pub start: DateTime<Utc>,
    /// When the trial ends or ended, if there was one.
    pub trial_end: Option<DateTime<Utc>>,
    /// Whether it ends with the current period.
    pub cancels_at_period_end: bool,
    /// When cancellation was asked for, and why.
    pub cancellation: Option<Cancellation>,
    /// When the last period was invoiced.
    pub last_invoiced_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// That a subscription was canceled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
}

impl Subscription {
    /// The period that usage and charges belong to now; during a trial, the trial.
    ///
    /// Errors: if it lies outside the calendar.
    pub fn current_period(&self) -> Result<BillingPeriod, PeriodError> {
        match self.status {
            SubscriptionStatus::Trial { until } => BillingPeriod::new(self.start, until),
            SubscriptionStatus::Active
            | SubscriptionStatus::PastDue
            | SubscriptionStatus::Paused
            | SubscriptionStatus::Canceled { .. } => self.schedule.period(self.period_number),
        }
    }

    /// When something has to be done next: the trial or the current period ends. `None` if nothing ever.
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        match self.status {
            SubscriptionStatus::Trial { until } => Some(until),
            SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
                self.schedule.period(self.period_number).ok().map(|period| period.end())
            }
            SubscriptionStatus::Paused | SubscriptionStatus::Canceled { .. } => None,
        }
    }

    /// Whether it still holds its plan in use.
    pub fn is_live(&self) -> bool {
        match self.status {
            SubscriptionStatus::Trial { .. }
            | SubscriptionStatus::Active
            | SubscriptionStatus::PastDue
            | SubscriptionStatus::Paused => true,
            SubscriptionStatus::Canceled { .. } => false,
        }
    }
}
