//! Billing intervals and periods. Where periods lie is in [`crate::schedule`].

use chrono::{DateTime, Utc};

/// A unit of calendar time between two invoices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntervalUnit {
    /// A calendar day.
    Day,
    /// Seven of them.
    Week,
    /// A calendar month.
    Month,
    /// Twelve calendar months.
    Year,
}

/// How often something is billed: every month, every 3 months, every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BillingInterval {
    unit: IntervalUnit,
    count: u32,
}

/// The half-open UTC interval `[start, end)` that one invoice covers. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BillingPeriod {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

/// Why there is no such period or interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// The interval count is 0 or over [`BillingInterval::COUNT_MAX`].
    #[error("an interval counts from 1 to 1000 units")]
    InvalidCount,
    /// The end is not after the start.
    #[error("a period must end after it starts")]
    Empty,
    /// The period lies outside the calendar.
    #[error("the period is out of the calendar's range")]
    OutOfRange,
}

impl BillingInterval {
    /// The most units one interval may have.
    pub const COUNT_MAX: u32 = 1000;

    /// Every `count` units. Errors: `InvalidCount` for 0 or more than [`Self::COUNT_MAX`].
    pub fn new(unit: IntervalUnit, count: u32) -> Result<Self, PeriodError> {
        if (1..=Self::COUNT_MAX).contains(&count) {
            Ok(Self { unit, count })
        } else {
            Err(PeriodError::InvalidCount)
        }
    }

    /// Every single unit.
    pub fn every(unit: IntervalUnit) -> Self {
        Self { unit, count: 1 }
    }

    /// The unit counted.
    pub fn unit(self) -> IntervalUnit {
        self.unit
    }

    /// How many units there are between two period starts.
    pub fn count(self) -> u32 {
        self.count
    }
}

impl BillingPeriod {
    /// The period `[start, end)`. Errors: `Empty` unless `start < end`.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, PeriodError> {
        if start < end { Ok(Self { start, end }) } else { Err(PeriodError::Empty) }
    }

    /// The first instant inside.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// The first instant no longer inside.
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// Whether `at` lies inside.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.start <= at && at < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_half_open_and_never_empty() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let period = BillingPeriod::new(at("2025-01-01T00:00:00Z"), at("2025-02-01T00:00:00Z")).unwrap();
        assert!(period.contains(period.start()));
        assert!(period.contains(at("2025-01-31T23:59:59.999Z")));
        assert!(!period.contains(period.end()));
        assert_eq!(BillingPeriod::new(period.end(), period.end()), Err(PeriodError::Empty));
        assert_eq!(BillingInterval::new(IntervalUnit::Day, 0), Err(PeriodError::InvalidCount));
    }
}
