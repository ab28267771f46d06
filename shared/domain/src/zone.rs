//! Steps of a calendar in a time zone: hours, days, weeks and months as people there count them.

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

use crate::series::Range;

/// The size of the steps of a series. Weeks begin on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An hour. One in which clocks are set by half an hour lasts until they show a full one again.
    Hour,
    /// A day. Of 23 or 25 hours when clocks change.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
}

/// Steps in a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Their size.
    pub step: Step,
    /// Where days begin.
    pub zone: Tz,
}

impl Steps {
    /// Steps of UTC.
    pub fn utc(step: Step) -> Self {
        Self { step, zone: Tz::UTC }
    }

    /// The start of the step that `at` lies in.
    pub fn start_of(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let local = at.with_timezone(&self.zone);
        let date = local.date_naive();
        match self.step {
            Step::Hour => {
                let start = at - into_hour(local.time());
                // Clocks may have been set by half an hour since, as they are on Lord Howe Island.
                start - into_hour(start.with_timezone(&self.zone).time())
            }
            Step::Day => midnight(self.zone, date),
            Step::Week => {
                let days = Days::new(local.weekday().num_days_from_monday().into());
                midnight(self.zone, date.checked_sub_days(days).unwrap_or(date))
            }
            Step::Month => midnight(self.zone, date.with_day(1).unwrap_or(date)),
        }
    }

    /// The start of the step after the one that starts at `start`.
    pub fn next(self, start: DateTime<Utc>) -> DateTime<Utc> {
        let date = start.with_timezone(&self.zone).date_naive();
        let next = match self.step {
            Step::Hour => {
                let next = start + TimeDelta::hours(1);
                let over = into_hour(next.with_timezone(&self.zone).time());
                return if over.is_zero() { next } else { next + (TimeDelta::hours(1) - over) };
            }
            Step::Day => date.checked_add_days(Days::new(1)),
            Step::Week => date.checked_add_days(Days::new(7)),
            Step::Month => date.checked_add_months(Months::new(1)),
        };
        midnight(self.zone, next.unwrap_or(NaiveDate::MAX))
    }

    /// The starts of all steps that `range` touches.
    pub fn starts_in(self, range: Range) -> impl Iterator<Item = DateTime<Utc>> {
        let next = move |start: &DateTime<Utc>| Some(self.next(*start)).filter(|next| next > start);
        std::iter::successors(Some(self.start_of(range.from)), next)
            .take_while(move |start| *start < range.until)
    }
}

/// How long after a full hour it is.
fn into_hour(time: NaiveTime) -> TimeDelta {
    TimeDelta::minutes(time.minute().into())
        + TimeDelta::seconds(time.second().into())
        + TimeDelta::nanoseconds(time.nanosecond().into())
}

/// The first instant of `date` in `zone`. Where clocks skip midnight, the day begins when they go on.
pub fn midnight(zone: Tz, date: NaiveDate) -> DateTime<Utc> {
    instant(zone, date.and_time(NaiveTime::MIN))
}

/// The instant at which clocks in `zone` show `local`: the earlier one where they show it twice, and the end
/// of the gap where they never do.
pub fn instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    // No gap is longer than a day, and all are of whole quarters of an hour.
    let quarters = (0..=96).map(|quarters| TimeDelta::minutes(quarters * 15));
    let shown = quarters.filter_map(|later| local.checked_add_signed(later));
    let mut found = shown.filter_map(|local| zone.from_local_datetime(&local).earliest());
    found.next().map_or_else(|| local.and_utc(), |at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn steps_begin_where_the_local_calendar_says() {
        let check = |zone: Tz, step, given: &str, expected: &str| {
            assert_eq!(Steps { step, zone }.start_of(at(given)), at(expected), "{zone} {step:?} {given}");
        };
        check(Tz::UTC, Step::Hour, "2025-01-15T10:31:02.5Z", "2025-01-15T10:00:00Z");
        check(Tz::UTC, Step::Day, "2025-01-15T10:31:02Z", "2025-01-15T00:00:00Z");
        check(Tz::UTC, Step::Week, "2025-01-15T10:31:02Z", "2025-01-13T00:00:00Z");
        check(Tz::UTC, Step::Week, "2025-01-13T00:00:00Z", "2025-01-13T00:00:00Z");
        check(Tz::UTC, Step::Month, "2025-01-15T10:31:02Z", "2025-01-01T00:00:00Z");
        check(Tz::Europe__Berlin, Step::Day, "2025-01-15T23:30:00Z", "2025-01-15T23:00:00Z");
        check(Tz::Europe__Berlin, Step::Month, "2025-01-31T23:30:00Z", "2025-01-31T23:00:00Z");
        check(Tz::Asia__Kolkata, Step::Hour, "2025-01-15T10:45:00Z", "2025-01-15T10:30:00Z");
        // Clocks in Sao Paulo skipped midnight: the day began at one.
        check(Tz::America__Sao_Paulo, Step::Day, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z");
    }

    #[test]
    fn days_have_23_and_25_hours_when_clocks_change() {
        let check = |zone: Tz, day: &str, hours: i64| {
            let steps = Steps { step: Step::Day, zone };
            let start = steps.start_of(at(day));
            assert_eq!((steps.next(start) - start).num_hours(), hours, "{zone} {day}");
            let range = Range { from: start, until: steps.next(start) };
            let by_hour = Steps { step: Step::Hour, zone };
            assert_eq!(by_hour.starts_in(range).count() as i64, hours);
        };
        check(Tz::Europe__Berlin, "2025-03-30T12:00:00Z", 23);
        check(Tz::Europe__Berlin, "2025-10-26T12:00:00Z", 25);
        check(Tz::America__New_York, "2025-03-09T12:00:00Z", 23);
        check(Tz::America__New_York, "2025-11-02T12:00:00Z", 25);
        check(Tz::America__Sao_Paulo, "2018-11-04T12:00:00Z", 23);
        check(Tz::UTC, "2025-03-30T12:00:00Z", 24);
    }

    #[test]
    fn steps_follow_one_another_over_a_range() {
        let check = |step, zone, from: &str, until: &str, expected: &[&str]| {
            let range = Range { from: at(from), until: at(until) };
            let starts = Steps { step, zone }.starts_in(range).map(|start| start.to_rfc3339());
            let starts = starts.map(|start| start.replace(":00+00:00", "Z")).collect::<Vec<_>>();
            assert_eq!(starts, expected);
        };
        // Half an hour is skipped, and another one comes twice.
        let (from, until) = ("2025-10-04T14:10:00Z", "2025-10-04T18:00:00Z");
        let hours = ["2025-10-04T13:30Z", "2025-10-04T14:30Z", "2025-10-04T16:00Z", "2025-10-04T17:00Z"];
        check(Step::Hour, Tz::Australia__Lord_Howe, from, until, &hours);
        let (from, until) = ("2025-04-05T13:30:00Z", "2025-04-05T17:00:00Z");
        let hours = ["2025-04-05T13:00Z", "2025-04-05T14:00Z", "2025-04-05T15:30Z", "2025-04-05T16:30Z"];
        check(Step::Hour, Tz::Australia__Lord_Howe, from, until, &hours);
        let (from, until) = ("2025-01-31T10:00:00Z", "2025-03-01T00:00:00Z");
        check(Step::Month, Tz::UTC, from, until, &["2025-01-01T00:00Z", "2025-02-01T00:00Z"]);
        check(
            Step::Day,
            Tz::Europe__Berlin,
            "2025-03-29T12:00:00Z",
            "2025-03-31T12:00:00Z",
            &["2025-03-28T23:00Z", "2025-03-29T23:00Z", "2025-03-30T22:00Z"],
        );
    }
}
