//! Billing intervals and periods. Periods are half-open and counted from an anchor, so that one that
//! begins on the 31st comes back to the 31st after a short month.

use chrono::{DateTime, Days, Months, Utc};

/// A unit of calendar time between two invoices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntervalUnit {
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
    /// Twelve calendar months.
    Year,
}

/// How often something is billed: every month, every 3 months, every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// All periods of a subscription: the `n`th begins `n` intervals after the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillingSchedule {
    /// The start of period 0.
    pub anchor: DateTime<Utc>,
    /// The length of each period.
    pub interval: BillingInterval,
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

    /// The instant `n` intervals after `anchor`. A day of the month that the target month does not have
    /// becomes its last day.
    ///
    /// Errors: `OutOfRange` past the calendar.
    pub fn after(self, anchor: DateTime<Utc>, n: u32) -> Result<DateTime<Utc>, PeriodError> {
        let units = self.count.checked_mul(n).ok_or(PeriodError::OutOfRange)?;
        let months = |factor: u32| {
            units.checked_mul(factor).and_then(|months| anchor.checked_add_months(Months::new(months)))
        };
        let days = |factor: u64| anchor.checked_add_days(Days::new(u64::from(units) * factor));
        match self.unit {
            IntervalUnit::Day => days(1),
            IntervalUnit::Week => days(7),
            IntervalUnit::Month => months(1),
            IntervalUnit::Year => months(12),
        }
        .ok_or(PeriodError::OutOfRange)
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

impl BillingSchedule {
    /// Period number `n`, from 0. Errors: `OutOfRange` past the calendar.
    pub fn period(&self, n: u32) -> Result<BillingPeriod, PeriodError> {
        let next = n.checked_add(1).ok_or(PeriodError::OutOfRange)?;
        BillingPeriod::new(self.interval.after(self.anchor, n)?, self.interval.after(self.anchor, next)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(anchor: &str, unit: IntervalUnit, count: u32) -> Vec<String> {
        let interval = BillingInterval::new(unit, count).unwrap();
        let schedule = BillingSchedule { anchor: anchor.parse().unwrap(), interval };
        (0..4).map(|n| schedule.period(n).unwrap().start().format("%F").to_string()).collect()
    }

    #[test]
    fn months_are_counted_from_the_anchor() {
        use IntervalUnit::{Day, Month, Week, Year};
        let check = |anchor: &str, unit, count, expected: [&str; 4]| {
            assert_eq!(starts(&format!("{anchor}T00:00:00Z"), unit, count), expected);
        };
        check("2025-01-31", Month, 1, ["2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30"]);
        check("2024-01-30", Month, 1, ["2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"]);
        check("2024-02-29", Year, 1, ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28"]);
        check("2025-11-30", Month, 3, ["2025-11-30", "2026-02-28", "2026-05-30", "2026-08-30"]);
        check("2025-12-30", Day, 1, ["2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02"]);
        check("2025-12-29", Week, 2, ["2025-12-29", "2026-01-12", "2026-01-26", "2026-02-09"]);
    }

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

    proptest! {
        #[test]
        fn periods_tile_time(seconds in 0_i64..4_000_000_000, unit in 0..4, count in 1_u32..40, n in 0_u32..60) {
            let unit = [IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Year][unit as usize];
            let schedule = BillingSchedule {
                anchor: DateTime::from_timestamp(seconds, 0).unwrap(),
                interval: BillingInterval::new(unit, count).unwrap(),
            };
            prop_assert_eq!(schedule.period(n).unwrap().end(), schedule.period(n + 1).unwrap().start());
        }
    }
}
