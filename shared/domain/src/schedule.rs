//! Billing schedules: where one interval ends and the next begins, in a time zone, counted from an anchor
//! and never from the previous end. One that begins on the 31st comes back to the 31st after a short month.

use chrono::{
    DateTime, Datelike, Days, Duration, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime,
    TimeZone, Utc,
};
use chrono_tz::Tz;

use crate::period::{BillingInterval, BillingPeriod, IntervalUnit, PeriodError};

/// What intervals are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingTime {
    /// From an instant: of the start, if nothing else is said.
    Anchored(DateTime<Utc>),
    /// From the calendar: midnights, Mondays, firsts of the month, 1 January. Intervals of 2, 3, 4 or 6
    /// months count from 1 January, others of several units from the one that the start lies in.
    Calendar,
}

/// Where the intervals of a subscription lie. The first is cut at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillingSchedule {
    /// The first instant that is billed: the end of the trial, if there is one.
    pub start: DateTime<Utc>,
    /// The first instant no longer billed, if that was agreed on from the beginning.
    pub end: Option<DateTime<Utc>>,
    /// What intervals are counted from.
    pub time: BillingTime,
    /// Whose midnights and months count.
    pub zone: Tz,
}

impl BillingSchedule {
    /// Intervals counted from `start`, in UTC, without an end.
    pub fn anniversary(start: DateTime<Utc>) -> Self {
        Self { start, end: None, time: BillingTime::Anchored(start), zone: Tz::UTC }
    }

    /// The whole interval that `at` lies in, also where the start cuts it.
    ///
    /// Errors: `OutOfRange` past the calendar.
    pub fn whole(&self, interval: BillingInterval, at: DateTime<Utc>) -> Result<BillingPeriod, PeriodError> {
        let anchor = self.anchor(interval)?;
        let (from, to) = (self.local(anchor), self.local(at));
        let months = |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month0());
        let units = match interval.unit() {
            IntervalUnit::Day => (to.date() - from.date()).num_days(),
            IntervalUnit::Week => (to.date() - from.date()).num_days().div_euclid(7),
            IntervalUnit::Month => months(to.date()) - months(from.date()),
            IntervalUnit::Year => i64::from(to.year()) - i64::from(from.year()),
        };
        // Exact but for the days and hours within a unit.
        let mut n = units.div_euclid(i64::from(interval.count()));
        while self.boundary(interval, anchor, n)? > at {
            n -= 1;
        }
        while self.boundary(interval, anchor, n + 1)? <= at {
            n += 1;
        }
        BillingPeriod::new(self.boundary(interval, anchor, n)?, self.boundary(interval, anchor, n + 1)?)
    }

    /// The interval that `at` lies in, as far as it is after the start and before the agreed end.
    ///
    /// Errors: `OutOfRange` past the calendar; `Empty` if it lies outside of both.
    pub fn period(&self, interval: BillingInterval, at: DateTime<Utc>) -> Result<BillingPeriod, PeriodError> {
        let whole = self.whole(interval, at)?;
        let end = self.end.map_or(whole.end(), |end| end.min(whole.end()));
        BillingPeriod::new(whole.start().max(self.start), end)
    }

    /// The local date of an instant, by which days are counted.
    pub fn date(&self, at: DateTime<Utc>) -> NaiveDate {
        self.local(at).date()
    }

    fn anchor(&self, interval: BillingInterval) -> Result<DateTime<Utc>, PeriodError> {
        if let BillingTime::Anchored(anchor) = self.time {
            return Ok(anchor);
        }
        let date = self.date(self.start);
        let date = match interval.unit() {
            IntervalUnit::Day => Some(date),
            IntervalUnit::Week => {
                date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into()))
            }
            IntervalUnit::Month if 12 % interval.count() == 0 => date.with_ordinal(1),
            IntervalUnit::Month => date.with_day(1),
            IntervalUnit::Year => date.with_ordinal(1),
        };
        self.instant(date.ok_or(PeriodError::OutOfRange)?.and_time(NaiveTime::MIN))
    }

    /// The instant `n` intervals after `anchor`, or before it. A day that its month does not have becomes
    /// the last one.
    fn boundary(
        &self,
        interval: BillingInterval,
        anchor: DateTime<Utc>,
        n: i64,
    ) -> Result<DateTime<Utc>, PeriodError> {
        if n == 0 {
            return Ok(anchor);
        }
        let local = self.local(anchor);
        let units = n.checked_mul(i64::from(interval.count())).ok_or(PeriodError::OutOfRange)?;
        let days = |units: i64| {
            let days = Days::new(units.unsigned_abs());
            if units < 0 { local.checked_sub_days(days) } else { local.checked_add_days(days) }
        };
        let months = |units: i64| {
            let months = Months::new(u32::try_from(units.unsigned_abs()).ok()?);
            if units < 0 { local.checked_sub_months(months) } else { local.checked_add_months(months) }
        };
        let moved = match interval.unit() {
            IntervalUnit::Day => days(units),
            IntervalUnit::Week => units.checked_mul(7).and_then(days),
            IntervalUnit::Month => months(units),
            IntervalUnit::Year => units.checked_mul(12).and_then(months),
        };
        self.instant(moved.ok_or(PeriodError::OutOfRange)?)
    }

    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
    }

    /// The instant of a local time: the first of two, and the next there is where clocks skip it.
    fn instant(&self, local: NaiveDateTime) -> Result<DateTime<Utc>, PeriodError> {
        // No zone ever skipped more than a day.
        let quarters = (0..=24 * 4).map(|quarter| local.checked_add_signed(Duration::minutes(15 * quarter)));
        for local in quarters.flatten() {
            match self.zone.from_local_datetime(&local) {
                MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => return Ok(at.to_utc()),
                MappedLocalTime::None => {}
            }
        }
        Err(PeriodError::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn interval(text: &str) -> BillingInterval {
        let (count, unit) = text.split_once(' ').unwrap();
        let unit = match unit {
            "day" => IntervalUnit::Day,
            "week" => IntervalUnit::Week,
            "month" => IntervalUnit::Month,
            "year" => IntervalUnit::Year,
            _ => panic!("{unit}"),
        };
        BillingInterval::new(unit, count.parse().unwrap()).unwrap()
    }

    /// The first four ends from the start.
    fn ends(schedule: &BillingSchedule, every: &str) -> String {
        let first = schedule.period(interval(every), schedule.start).unwrap();
        let next = |period: &BillingPeriod| schedule.period(interval(every), period.end()).ok();
        let ends = std::iter::successors(Some(first), next).take(4);
        let show = |period: BillingPeriod| period.end().format("%FT%RZ").to_string().replace("T00:00Z", "");
        ends.map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn intervals_are_counted_from_the_anchor() {
        for (start, every, expected) in [
            ("2025-01-31", "1 month", "2025-02-28, 2025-03-31, 2025-04-30, 2025-05-31"),
            ("2024-01-30", "1 month", "2024-02-29, 2024-03-30, 2024-04-30, 2024-05-30"),
            ("2024-02-29", "1 year", "2025-02-28, 2026-02-28, 2027-02-28, 2028-02-29"),
            ("2025-11-30", "3 month", "2026-02-28, 2026-05-30, 2026-08-30, 2026-11-30"),
            ("2025-12-30", "1 day", "2025-12-31, 2026-01-01, 2026-01-02, 2026-01-03"),
            ("2025-12-29", "2 week", "2026-01-12, 2026-01-26, 2026-02-09, 2026-02-23"),
        ] {
            let schedule = BillingSchedule::anniversary(at(&format!("{start}T00:00:00Z")));
            assert_eq!(ends(&schedule, every), expected, "{start} every {every}");
        }
    }

    #[test]
    fn the_calendar_has_mondays_and_firsts() {
        for (start, every, expected) in [
            ("2025-01-15", "1 month", "2025-02-01, 2025-03-01, 2025-04-01, 2025-05-01"),
            ("2025-02-15", "3 month", "2025-04-01, 2025-07-01, 2025-10-01, 2026-01-01"),
            ("2025-02-15", "5 month", "2025-07-01, 2025-12-01, 2026-05-01, 2026-10-01"),
            ("2025-01-15", "1 week", "2025-01-20, 2025-01-27, 2025-02-03, 2025-02-10"),
            ("2025-01-13", "2 week", "2025-01-27, 2025-02-10, 2025-02-24, 2025-03-10"),
            ("2024-02-29", "1 year", "2025-01-01, 2026-01-01, 2027-01-01, 2028-01-01"),
        ] {
            let start = at(&format!("{start}T00:00:00Z"));
            let schedule =
                BillingSchedule { time: BillingTime::Calendar, ..BillingSchedule::anniversary(start) };
            assert_eq!(ends(&schedule, every), expected, "{start} every {every}");
        }
    }

    #[test]
    fn an_anchor_may_lie_anywhere() {
        for (anchor, expected) in [
            ("2025-02-10T00:00:00Z", "2025-02-10, 2025-03-10, 2025-04-10, 2025-05-10"),
            ("2024-08-31T00:00:00Z", "2025-01-31, 2025-02-28, 2025-03-31, 2025-04-30"),
            (
                "2030-12-31T12:00:00Z",
                "2025-01-31T12:00Z, 2025-02-28T12:00Z, 2025-03-31T12:00Z, 2025-04-30T12:00Z",
            ),
        ] {
            let time = BillingTime::Anchored(at(anchor));
            let schedule =
                BillingSchedule { time, ..BillingSchedule::anniversary(at("2025-01-15T00:00:00Z")) };
            assert_eq!(ends(&schedule, "1 month"), expected, "{anchor}");
        }
    }

    #[test]
    fn midnight_is_where_the_customer_is() {
        for (zone, start, every, expected) in [
            // Clocks go forward on 9 March and 30 March, so a day or month is an hour short.
            (
                "America/New_York",
                "2025-02-15T05:00:00Z",
                "1 month",
                "2025-03-01T05:00Z, 2025-04-01T04:00Z, 2025-05-01T04:00Z, 2025-06-01T04:00Z",
            ),
            (
                "Europe/Berlin",
                "2025-03-29T23:00:00Z",
                "1 day",
                "2025-03-30T22:00Z, 2025-03-31T22:00Z, 2025-04-01T22:00Z, 2025-04-02T22:00Z",
            ),
            (
                "Europe/Berlin",
                "2025-10-25T22:00:00Z",
                "1 day",
                "2025-10-26T23:00Z, 2025-10-27T23:00Z, 2025-10-28T23:00Z, 2025-10-29T23:00Z",
            ),
            (
                "Asia/Kolkata",
                "2025-01-15T00:00:00Z",
                "1 month",
                "2025-01-31T18:30Z, 2025-02-28T18:30Z, 2025-03-31T18:30Z, 2025-04-30T18:30Z",
            ),
        ] {
            let zone = zone.parse().unwrap();
            let start = at(start);
            let schedule =
                BillingSchedule { time: BillingTime::Calendar, zone, ..BillingSchedule::anniversary(start) };
            assert_eq!(ends(&schedule, every), expected, "{zone}");
        }
        // 2:30 does not exist on 30 March: the next time that does is 3:00.
        let zone = "Europe/Berlin".parse().unwrap();
        let schedule = BillingSchedule { zone, ..BillingSchedule::anniversary(at("2025-03-28T01:30:00Z")) };
        assert_eq!(
            ends(&schedule, "1 day"),
            "2025-03-29T01:30Z, 2025-03-30T01:00Z, 2025-03-31T00:30Z, 2025-04-01T00:30Z"
        );
    }

    proptest! {
        #[test]
        fn periods_tile_time(
            start in 0_i64..4_000_000_000,
            anchor in 0_i64..4_000_000_000,
            unit in 0..4,
            count in 1_u32..40,
            after in 0_i64..400_000_000,
            zone in 0_usize..5,
            is_calendar in any::<bool>(),
        ) {
            let unit = [IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month, IntervalUnit::Year][unit as usize];
            let interval = BillingInterval::new(unit, count).unwrap();
            let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
            let zone = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"][zone];
            let schedule = BillingSchedule {
                time: if is_calendar { BillingTime::Calendar } else { BillingTime::Anchored(instant(anchor)) },
                zone: zone.parse().unwrap(),
                ..BillingSchedule::anniversary(instant(start))
            };
            let at = instant(start + after);
            let period = schedule.period(interval, at).unwrap();
            prop_assert!(period.contains(at));
            prop_assert_eq!(schedule.period(interval, period.end()).unwrap().start(), period.end());
            let whole = schedule.whole(interval, at).unwrap();
            let before = schedule.whole(interval, whole.start() - Duration::milliseconds(1)).unwrap();
            prop_assert_eq!(before.end(), whole.start());
        }
    }
}
