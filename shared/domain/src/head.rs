//! The head of a month of usage: totals of all its events, and the newest of them.
//!
//! Older events lie in immutable segments. `domain::commit` decides how events become members of a head;
//! `docs/usage-engine.md` tells why that survives a crash at any point.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    event::UsageEvent,
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

    /// The first instant of the hour `hour` of day `day`, and the one after it.
    pub fn hour_range(month: Month, day: u32, hour: u32) -> Range {
        let from = month.day_start(day) + chrono::TimeDelta::hours(hour.into());
        Range { from, until: from + chrono::TimeDelta::hours(1) }
    }
}
