//! Proration: what part of an interval is paid, by a declared policy.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    money::{Money, MoneyError},
    period::BillingPeriod,
    schedule::BillingSchedule,
};

/// What parts of an interval are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProrationUnit {
    /// Seconds.
    Second,
    /// Days of the schedule's time zone. One that is divided belongs to who has it last.
    Day,
}

/// What a part of an interval costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProrationMode {
    /// Its share.
    Prorate,
    /// Nothing, and nothing is given back: changes count from the next interval on.
    None,
    /// As much as all of it: changes count for the whole interval.
    Full,
}

/// How parts of intervals are billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProrationPolicy {
    /// What parts are measured in.
    pub unit: ProrationUnit,
    /// What a part costs.
    pub mode: ProrationMode,
}

/// How one change is to be settled; what is not given is as the policy has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProrationChoice {
    /// What parts are measured in.
    pub unit: Option<ProrationUnit>,
    /// What a part costs.
    pub mode: Option<ProrationMode>,
}

impl ProrationChoice {
    /// The choice in place of `policy`.
    pub fn over(self, policy: ProrationPolicy) -> ProrationPolicy {
        ProrationPolicy { unit: self.unit.unwrap_or(policy.unit), mode: self.mode.unwrap_or(policy.mode) }
    }
}

/// What part of the price of an interval a line is about: `17 of 31 days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proration {
    /// How many units are billed.
    pub part: u64,
    /// How many units the interval has.
    pub whole: u64,
    /// What is counted.
    pub unit: ProrationUnit,
    /// Whether it is given back.
    pub is_credit: bool,
}

impl ProrationPolicy {
    /// By the second.
    pub const DEFAULT: Self = Self { unit: ProrationUnit::Second, mode: ProrationMode::Prorate };

    /// The part of `whole` that `part` is; both are measured in the same way, so that parts add up.
    pub fn share(&self, schedule: &BillingSchedule, part: BillingPeriod, whole: BillingPeriod) -> Proration {
        let length = |period: BillingPeriod| match self.unit {
            ProrationUnit::Second => period.end().timestamp() - period.start().timestamp(),
            ProrationUnit::Day => (schedule.date(period.end()) - schedule.date(period.start())).num_days(),
        };
        let (part, whole) = (length(part).unsigned_abs(), length(whole).unsigned_abs());
        Proration { part, whole, unit: self.unit, is_credit: false }
    }
}

impl Proration {
    /// Whether it is nothing.
    pub fn is_nothing(&self) -> bool {
        self.part == 0
    }

    /// Whether it is all of the interval.
    pub fn is_whole(&self) -> bool {
        self.part == self.whole
    }

    /// The same part, given back.
    #[must_use]
    pub fn credit(self) -> Self {
        Self { is_credit: true, ..self }
    }

    /// This part of `price`, not rounded. Errors: as for [`Money::checked_mul`].
    pub fn of(&self, price: Money) -> Result<Money, MoneyError> {
        let part = price.checked_mul(Decimal::from(self.part))?;
        let share = part.amount().checked_div(Decimal::from(self.whole)).ok_or(MoneyError::Overflow)?;
        Ok(Money::new(if self.is_credit { -share } else { share }, price.currency()))
    }
}

/// The time from `from` until `until`, if there is any.
pub(crate) fn between(from: DateTime<Utc>, until: DateTime<Utc>) -> Option<BillingPeriod> {
    BillingPeriod::new(from, until).ok()
}
