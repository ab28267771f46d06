//! The head of a month of usage: totals of all its events, and the newest of them.
//!
//! Older events lie in immutable segments. `domain::commit` decides how events become members of a head;
//! `docs/usage-engine.md` tells why that survives a crash at any point.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    event::UsageEvent,
    hours::Hours,
    month::Month,
    quantity::QuantityOverflow,
    series::Range,
    totals::Totals,
    window::{Level, Window, WindowRun},
};

/// The month of one customer on one meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// 0 when it was never stored; writes are conditional on it and put the next one.
    pub version: u64,
    /// How many events are members, in the tail and in segments, counted or left out by a filter.
    pub members: u64,
    /// How many corrections there are, in the tail and in segments.
    pub corrections: u64,
    /// Totals by day of the month, over members in the tail and in segments alike, corrections applied.
    pub days: BTreeMap<u32, Totals>,
    /// The days of which totals by hour are kept.
    pub hourly: DaySet,
    /// The newest members and corrections, not in a segment yet.
    pub tail: Vec<UsageEvent>,
    /// Where members in segments lie.
    pub sealed: Sealed,
    /// Whether there are corrections in segments.
    pub has_sealed_corrections: bool,
    /// The finest windows in use.
    pub finest: Level,
    /// The window of that level filled last, and about how many bytes of events went there.
    pub filling: Option<(DateTime<Utc>, u64)>,
}

/// Days of a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaySet(pub u32);

/// The earliest and the latest timestamp in segments, by the level of their windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    spans: [Option<(DateTime<Utc>, DateTime<Utc>)>; Level::ALL.len()],
}

impl DaySet {
    /// Whether `day` (1 to 31) is one of them.
    pub fn contains(self, day: u32) -> bool {
        self.0 >> day & 1 == 1
    }

    /// Takes in `day` (1 to 31).
    pub fn insert(&mut self, day: u32) {
        self.0 |= 1 << day;
    }
}

impl Sealed {
    /// By level, from coarse to fine, where there is any.
    pub fn iter(&self) -> impl Iterator<Item = (Level, (DateTime<Utc>, DateTime<Utc>))> {
        Level::ALL.into_iter().zip(self.spans).filter_map(|(level, span)| Some((level, span?)))
    }

    /// Takes in that segments of `level` reach from `first` to `last`.
    pub fn extend(&mut self, level: Level, first: DateTime<Utc>, last: DateTime<Utc>) {
        for span in self.spans.iter_mut().zip(Level::ALL).filter(|(_, other)| *other == level) {
            *span.0 = Some(span.0.map_or((first, last), |(from, until)| (from.min(first), until.max(last))));
        }
    }

    /// The latest timestamp of any member in a segment. Later events cannot be repeats of those.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.iter().map(|(_, (_, last))| last).max()
    }
}

impl Head {
    /// The earliest and the latest timestamp of all members.
    pub fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let tail = self.tail.iter().map(|event| (event.occurred_at, event.occurred_at));
        let spans = self.sealed.iter().map(|(_, span)| span).chain(tail);
        spans.reduce(|(first, last), (from, until)| (first.min(from), last.max(until)))
    }

    /// What the whole month comes to, over `empty`.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn total(&self, empty: Totals) -> Result<Totals, QuantityOverflow> {
        self.days.values().copied().try_fold(empty, Totals::merge)
    }

    /// The windows that a member in a segment may lie in that occurred at `at`.
    pub fn windows_of(&self, at: DateTime<Utc>) -> impl Iterator<Item = Window> {
        let levels = self.sealed.iter().filter(move |(_, (first, last))| *first <= at && at <= *last);
        levels.map(move |(level, _)| level.window_of(at))
    }

    /// The windows that hold all members in segments that occurred in `ranges`, each once. They may hold others
    /// too.
    pub fn runs_in(&self, ranges: &[Range]) -> Vec<WindowRun> {
        let mut runs = Vec::<WindowRun>::new();
        let mut ranges = ranges.to_vec();
        ranges.sort_by_key(|range| range.from);
        for (level, (first, last)) in self.sealed.iter() {
            for range in &ranges {
                let inside = range.until - chrono::TimeDelta::milliseconds(1);
                let (from, until) = (first.max(range.from), last.min(inside));
                if from > until {
                    continue;
                }
                let (first, last) = (level.start_of(from), level.start_of(until));
                match runs.last_mut() {
                    Some(run) if run.level == level && first <= run.last => run.last = run.last.max(last),
                    _ => runs.push(WindowRun { level, first, last }),
                }
            }
        }
        runs
    }

    /// Whether anything of it lies in `range`.
    pub fn touches(&self, range: Range) -> bool {
        self.span().is_some_and(|(first, last)| first < range.until && range.from <= last)
    }

    /// About how many members of `month` lie in what is read for `range`: on the days that it touches, or in the
    /// hours of those that it cuts, where `hours` has them. What filters leave out is taken to lie like the rest.
    pub fn members_near(&self, month: Month, range: Range, hours: &BTreeMap<u32, Hours>) -> u64 {
        let counted = self.days.values().map(|totals| totals.events).sum::<u64>();
        if counted == 0 || range.covers(Range { from: month.start(), until: month.end() }) {
            return self.members;
        }
        let touched = self.days.iter().filter(|(day, _)| range.intersection(month.day(**day)).is_some());
        let near = touched.map(|(day, totals)| match hours.get(day) {
            Some(hours) if !range.covers(month.day(*day)) => {
                let is_near = |hour: u32| range.intersection(Self::hour_range(month, *day, hour)).is_some();
                let hours = hours.totals.iter().filter(|(hour, _)| is_near(**hour));
                hours.map(|(_, totals)| totals.events).sum::<u64>()
            }
            Some(_) | None => totals.events,
        });
        let near = u128::from(near.sum::<u64>());
        let members = near * u128::from(self.members.max(counted)) / u128::from(counted);
        u64::try_from(members).unwrap_or(u64::MAX)
    }

    /// The days that `range` cuts and of which totals by hour are kept.
    pub fn hourly_days_cut(&self, month: Month, range: Range) -> Vec<u32> {
        let is_cut = |day: &u32| {
            let whole = month.day(*day);
            range.intersection(whole).is_some() && !range.covers(whole)
        };
        self.days.keys().copied().filter(|day| self.hourly.contains(*day)).filter(is_cut).collect()
    }

    /// The first instant of the hour `hour` of day `day`, and the one after it.
    pub fn hour_range(month: Month, day: u32, hour: u32) -> Range {
        let from = month.day_start(day) + chrono::TimeDelta::hours(hour.into());
        Range { from, until: from + chrono::TimeDelta::hours(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::Tally;

    #[test]
    fn what_is_read_for_a_range_is_told_by_its_days_and_hours() {
        let month = Month::of("2025-01-01T00:00:00Z".parse().unwrap());
        let counted = |events| Totals { events, tally: Tally::Count };
        let hours = Hours { totals: BTreeMap::from([(9, counted(100)), (10, counted(700))]) };
        let hours = BTreeMap::from([(3, hours)]);
        let mut head = Head {
            members: 2000,
            days: BTreeMap::from([(2, counted(200)), (3, counted(800))]),
            ..Head::default()
        };
        head.hourly.insert(3);
        let near = |from: &str, until: &str, hours: &BTreeMap<u32, Hours>| {
            let range = Range { from: from.parse().unwrap(), until: until.parse().unwrap() };
            (head.members_near(month, range, hours), head.hourly_days_cut(month, range))
        };
        let none = BTreeMap::new();
        // Half of what was told counts, wherever it lies.
        assert_eq!(near("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", &none), (2000, vec![]));
        assert_eq!(near("2025-01-02T12:00:00Z", "2025-01-02T13:00:00Z", &none), (400, vec![]));
        assert_eq!(near("2025-01-03T00:00:00Z", "2025-01-04T00:00:00Z", &hours), (1600, vec![]));
        assert_eq!(near("2025-01-03T09:30:00Z", "2025-01-03T10:00:00Z", &none), (1600, vec![3]));
        assert_eq!(near("2025-01-03T09:30:00Z", "2025-01-03T10:00:00Z", &hours), (200, vec![3]));
        assert_eq!(near("2025-01-02T00:00:00Z", "2025-01-03T10:00:00.001Z", &hours), (2000, vec![3]));
        assert_eq!(near("2025-01-05T00:00:00Z", "2025-01-06T00:00:00Z", &none), (0, vec![]));
        let left_out = Head { members: 7, ..Head::default() };
        let day = Range { from: month.day_start(3), until: month.day_start(4) };
        assert_eq!(left_out.members_near(month, day, &none), 7, "nothing says where they lie");
    }
}
