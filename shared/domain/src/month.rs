//! Calendar months of UTC, by which usage is stored.

use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};

use crate::series::Range;

/// A calendar month of UTC, shown as `202501`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    first_day: NaiveDate,
}

impl Month {
    /// The month that `at` lies in.
    pub fn of(at: DateTime<Utc>) -> Self {
        let date = at.date_naive();
        Self { first_day: date.with_day(1).unwrap_or(date) }
    }

    /// Its first instant.
    pub fn start(self) -> DateTime<Utc> {
        self.first_day.and_time(NaiveTime::MIN).and_utc()
    }

    /// The month after it; itself at the end of the calendar.
    pub fn next(self) -> Self {
        Self { first_day: self.first_day.checked_add_months(Months::new(1)).unwrap_or(self.first_day) }
    }

    /// The first instant after it.
    pub fn end(self) -> DateTime<Utc> {
        self.next().start()
    }

    /// The first instant of day `day` (from 1) of this month.
    pub fn day_start(self, day: u32) -> DateTime<Utc> {
        let days = Days::new(u64::from(day.saturating_sub(1)));
        self.start().checked_add_days(days).unwrap_or_else(|| self.start())
    }

    /// Day `day` (from 1) of this month.
    pub fn day(self, day: u32) -> Range {
        Range { from: self.day_start(day), until: self.day_start(day + 1) }
    }

    /// The months that the half-open range `[from, until)` touches, in order.
    pub fn in_range(from: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = Self> {
        let step = |month: &Self| Some(month.next()).filter(|next| next > month);
        std::iter::successors(Some(Self::of(from)), step).take_while(move |month| month.start() < until)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}{:02}", self.first_day.year(), self.first_day.month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_touches_the_months_it_reaches_into() {
        let check = |from: &str, until: &str, expected: &[&str]| {
            let months = Month::in_range(from.parse().unwrap(), until.parse().unwrap());
            assert_eq!(months.map(|month| month.to_string()).collect::<Vec<_>>(), expected, "{from} {until}");
        };
        check("2025-01-31T23:59:59Z", "2025-02-01T00:00:00Z", &["202501"]);
        check("2025-01-31T23:59:59Z", "2025-02-01T00:00:00.001Z", &["202501", "202502"]);
        check("2024-12-15T00:00:00Z", "2025-02-15T00:00:00Z", &["202412", "202501", "202502"]);
        check("2025-01-15T00:00:00Z", "2025-01-15T00:00:00Z", &["202501"]);
    }
}
