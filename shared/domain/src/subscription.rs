//! Subscriptions: which customer has which plan, since when, and what is billed next.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};

use crate::{
    billing_error::BillingError,
    charge::{Charge, Price},
    currency::Currency,
    id::{ChargeId, CustomerId, PlanId, SubscriptionId},
    period::{BillingInterval, BillingPeriod, PeriodError},
    plan::PricedPlan,
    proration::ProrationPolicy,
    schedule::BillingSchedule,
    timeline::{Phase, Timeline},
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
    /// For what, now.
    pub plan: PlanId,
    /// The plan's name when it was subscribed to.
    pub plan_name: String,
    /// The version of the plan's prices that it is billed by.
    pub price_version: u32,
    /// How often.
    pub interval: BillingInterval,
    /// What it is billed in.
    pub currency: Currency,
    /// Its state.
    pub status: SubscriptionStatus,
    /// Where its intervals lie. After a trial they begin at the trial's end.
    pub schedule: BillingSchedule,
    /// How parts of intervals are billed.
    pub proration: ProrationPolicy,
    /// What is billed since when, in order of time: the past, the present, and what was decided for later.
    pub terms: Vec<SubscriptionTerms>,
    /// What is billed once, each on the first bill that falls due after it was charged, in order of time.
    pub one_offs: Vec<Charge>,
    /// When the last bill fell due. Everything before it is billed.
    pub billed_until: Option<DateTime<Utc>>,
    /// When the next bill falls due; never, after the end.
    pub next_bill_at: Option<DateTime<Utc>>,
    /// What keeps that bill from being made, although it fell due.
    pub billing_error: Option<BillingError>,
    /// When it began.
    pub start: DateTime<Utc>,
    /// When the trial ends or ended, if there was one.
    pub trial_end: Option<DateTime<Utc>>,
    /// When it ends, or ended, because it was canceled.
    pub ends_at: Option<DateTime<Utc>>,
    /// How that end is settled, if not by `proration`.
    pub end_proration: Option<ProrationPolicy>,
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

/// What a subscription is billed since some instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionTerms {
    /// Since when.
    pub from: DateTime<Utc>,
    /// By which plan.
    pub plan: PlanId,
    /// The plan's name.
    pub plan_name: String,
    /// By which version of its prices.
    pub price_version: u32,
    /// How often.
    pub interval: BillingInterval,
    /// Prices of this subscription alone, in place of the plan's: fixed ones with another quantity, as of
    /// seats.
    pub prices: BTreeMap<ChargeId, Price>,
    /// Whether nothing is billed.
    pub is_paused: bool,
    /// How the change to these terms is settled, if not by the subscription's `proration`.
    pub proration: Option<ProrationPolicy>,
}

/// That a subscription was canceled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
}

/// Plans by id, with their charges.
pub type PlansById = BTreeMap<PlanId, PricedPlan>;

/// The most terms one subscription may have in its life: its item has to stay readable in one piece.
pub const TERMS_MAX: usize = 200;

/// The most bytes that the prices of its own may take over all its terms, as [`Price::size`] counts them: the
/// item has at most 400 KB, of which the terms themselves take 60.
pub const OWN_PRICES_BYTES_MAX: usize = 250_000;

impl Subscription {
    /// The period that usage and charges belong to now; during a trial, the trial.
    ///
    /// Errors: if it lies outside the calendar.
    pub fn current_period(&self) -> Result<BillingPeriod, PeriodError> {
        match self.status {
            SubscriptionStatus::Trial { until } => BillingPeriod::new(self.start, until),
            SubscriptionStatus::Active | SubscriptionStatus::PastDue | SubscriptionStatus::Paused => {
                // The next bill falls due when it ends, or before: an interval that was changed to begins there.
                let last = self.billed_until.unwrap_or(self.schedule.start);
                let next = self.next_bill_at.map(|next| next - Duration::milliseconds(1));
                self.period_at(next.map_or(last, |next| next.max(last)))
            }
            SubscriptionStatus::Canceled { at } => self.period_at(at - Duration::milliseconds(1)),
        }
    }

    /// The period that `at` lies in: the last one, if that is after the agreed end.
    fn period_at(&self, at: DateTime<Utc>) -> Result<BillingPeriod, PeriodError> {
        let last = self.schedule.end.map(|end| end - Duration::milliseconds(1));
        let at = last.map_or(at, |last| at.min(last)).max(self.schedule.start);
        self.schedule.period(self.interval, at)
    }

    /// When something has to be done next: the trial ends, or a bill falls due. `None` if nothing ever.
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        match self.status {
            SubscriptionStatus::Trial { until } => Some(until),
            SubscriptionStatus::Active | SubscriptionStatus::PastDue | SubscriptionStatus::Paused => {
                self.next_bill_at
            }
            SubscriptionStatus::Canceled { .. } => None,
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

    /// Whether it is going to end with its current period.
    pub fn cancels_at_period_end(&self) -> bool {
        self.is_live() && self.cancellation.is_some() && self.ends_at.is_some()
    }

    /// What is billed at `at`.
    pub fn terms_at(&self, at: DateTime<Utc>) -> Option<&SubscriptionTerms> {
        self.terms.iter().rfind(|terms| terms.from <= at).or(self.terms.first())
    }

    /// What was decided for later and comes next: its terms from an instant after `now`. Not the terms that it
    /// begins with, and nothing that lies after its end.
    pub fn pending(&self, now: DateTime<Utc>) -> Option<&SubscriptionTerms> {
        let end = [self.ends_at, self.schedule.end].into_iter().flatten().min();
        let is_to_come = |terms: &&SubscriptionTerms| {
            now < terms.from && end.is_none_or(|end| terms.from < end) && self.is_live()
        };
        self.terms.iter().skip(1).find(is_to_come)
    }

    /// The plans it is, was or will be billed by.
    pub fn plans(&self) -> impl Iterator<Item = PlanId> {
        self.terms.iter().map(|terms| terms.plan)
    }

    /// All that decides its bills. A plan that is missing charges nothing.
    pub fn timeline(&self, plans: &PlansById) -> Timeline {
        let phase = |terms: &SubscriptionTerms| Phase {
            from: terms.from,
            interval: terms.interval,
            charges: plans.get(&terms.plan).map(|plan| terms.charges(plan)).unwrap_or_default(),
            is_paused: terms.is_paused,
            policy: terms.proration,
        };
        Timeline {
            schedule: self.schedule,
            policy: self.proration,
            phases: self.terms.iter().map(phase).collect(),
            one_offs: self.one_offs.clone(),
            ends_at: self.ends_at,
            end_policy: self.end_proration,
        }
    }

    /// This subscription with what follows from its terms: the plan of `now`, a pause that begins, and the next bill.
    /// What could not be billed under other terms is tried again at once.
    ///
    /// Errors: `OutOfRange` past the calendar.
    pub fn settled(self, plans: &PlansById, now: DateTime<Utc>) -> Result<Self, PeriodError> {
        let next_bill_at = self.timeline(plans).next(self.billed_until)?;
        let current = self.terms_at(now).cloned();
        let retried = |error| BillingError { retry_at: now, ..error };
        let billing_error = self.billing_error.clone().map(retried);
        let this = Self { next_bill_at, billing_error, ..self };
        Ok(match current {
            Some(SubscriptionTerms { plan, plan_name, price_version, interval, is_paused, .. }) => {
                let status = match this.status {
                    SubscriptionStatus::Active | SubscriptionStatus::PastDue if is_paused => {
                        SubscriptionStatus::Paused
                    }
                    status => status,
                };
                Self { plan, plan_name, price_version, interval, status, ..this }
            }
            None => this,
        })
    }
}

impl SubscriptionTerms {
    /// Whether the same is billed by these terms as by `other`, whenever they begin.
    pub fn bills_as(&self, other: &Self) -> bool {
        let Self { plan, price_version, interval, prices, is_paused, .. } = self;
        (plan, price_version, interval) == (&other.plan, &other.price_version, &other.interval)
            && (prices, is_paused) == (&other.prices, &other.is_paused)
    }

    /// What is charged under these terms.
    pub fn charges(&self, plan: &PricedPlan) -> Vec<Charge> {
        if self.is_paused {
            return Vec::new();
        }
        let own = |charge: &Charge| {
            let price = self.prices.get(&charge.id).unwrap_or(&charge.price).clone();
            Charge { price, ..charge.clone() }
        };
        plan.charges_in(self.price_version).map(own).collect()
    }
}
