//! Windows of time: how the segments of a month are found by the timestamps of their events.
//!
//! A segment holds events of one window. As a month grows denser its windows grow finer, from the month
//! itself down to the second, so that what a late or repeated event must read stays small.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::month::Month;

/// How long the windows are that a segment's events lie in, from coarse to fine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The month of the head.
    #[default]
    Month,
    /// A day of UTC.
    Day,
    /// An hour.
    Hour,
    /// A minute.
    Minute,
    /// A second.
    Second,
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// How long it is.
    pub level: Level,
    /// Its first instant.
    pub start: DateTime<Utc>,
}

/// Windows of one level that are read together: those that start from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRun {
    /// How long they are.
    pub level: Level,
    /// The start of the first.
    pub first: DateTime<Utc>,
    /// The start of the last.
    pub last: DateTime<Utc>,
}

impl Level {
    /// All levels, from coarse to fine.
    pub const ALL: [Self; 5] = [Self::Month, Self::Day, Self::Hour, Self::Minute, Self::Second];

    /// The next finer level; the second is the finest.
    #[must_use]
    pub fn finer(self) -> Self {
        match self {
            Self::Month => Self::Day,
            Self::Day => Self::Hour,
            Self::Hour => Self::Minute,
            Self::Minute | Self::Second => Self::Second,
        }
    }

    /// The start of the window that `at` lies in.
    pub fn start_of(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let millis = match self {
            Self::Month => return Month::of(at).start(),
            Self::Day => 86_400_000,
            Self::Hour => 3_600_000,
            Self::Minute => 60_000,
            Self::Second => 1000,
        };
        at - TimeDelta::milliseconds(at.timestamp_millis().rem_euclid(millis))
    }

    /// The window that `at` lies in.
    pub fn window_of(self, at: DateTime<Utc>) -> Window {
        Window { level: self, start: self.start_of(at) }
    }

    /// A length of time that is not shorter than a window.
    fn length(self) -> TimeDelta {
        match self {
            Self::Month => TimeDelta::days(31),
            Self::Day => TimeDelta::days(1),
            Self::Hour => TimeDelta::hours(1),
            Self::Minute => TimeDelta::minutes(1),
            Self::Second => TimeDelta::seconds(1),
        }
    }
}

/// Windows that lie at most this many lengths apart are read in one go: a request costs more than the few
/// windows between.
const GAP_MAX: i32 = 2;

/// The runs by which `windows` are read.
pub fn runs(windows: &BTreeSet<Window>) -> Vec<WindowRun> {
    let mut runs = Vec::<WindowRun>::new();
    for window in windows {
        match runs.last_mut() {
            Some(run)
                if run.level == window.level
                    && window.start - run.last <= window.level.length() * GAP_MAX =>
            {
                run.last = window.start;
            }
            _ => runs.push(WindowRun { level: window.level, first: window.start, last: window.start }),
        }
    }
    runs
}

/// The finest level, not finer than `finest`, by which events at these times, which are in order, make no more
/// windows than [`windows_max`] allows.
pub fn level_for(times: &[DateTime<Utc>], bytes: usize, finest: Level) -> Level {
    let max = windows_max(bytes);
    let fits = |level: &&Level| **level <= finest && windows(times, **level).nth(max).is_none();
    Level::ALL.iter().rev().find(fits).copied().unwrap_or_default()
}

/// The starts of the windows that ordered times lie in, each once, the last one first.
fn windows(times: &[DateTime<Utc>], level: Level) -> impl Iterator<Item = DateTime<Utc>> {
    let mut rest = times;
    std::iter::from_fn(move || {
        let start = level.start_of(*rest.last()?);
        let before = rest.partition_point(|at| *at < start);
        rest = rest.get(..before).unwrap_or_default();
        Some(start)
    })
}

/// How many segments `bytes` of events may become: one costs at least what 1 KB costs, and a transaction
/// takes 100 writes.
fn windows_max(bytes: usize) -> usize {
    (bytes / 1024).clamp(3, 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn windows_begin_where_the_calendar_says() {
        let check = |level: Level, expected: &str| {
            assert_eq!(level.start_of(at("2025-02-03T04:05:06.789Z")), at(expected), "{level:?}");
        };
        check(Level::Month, "2025-02-01T00:00:00Z");
        check(Level::Day, "2025-02-03T00:00:00Z");
        check(Level::Hour, "2025-02-03T04:00:00Z");
        check(Level::Minute, "2025-02-03T04:05:00Z");
        check(Level::Second, "2025-02-03T04:05:06Z");
    }

    #[test]
    fn near_windows_are_read_together() {
        let second = |second: &str| Level::Second.window_of(at(&format!("2025-02-03T04:05:{second}Z")));
        let day = Level::Day.window_of(at("2025-02-03T04:05:00Z"));
        let windows = BTreeSet::from([day, second("01"), second("02"), second("04"), second("09")]);
        let runs = runs(&windows);
        let shown =
            runs.iter().map(|run| format!("{:?} {}", run.level, (run.last - run.first).num_seconds()));
        assert_eq!(shown.collect::<Vec<_>>(), ["Day 0", "Second 3", "Second 0"]);
    }

    #[test]
    fn few_events_are_not_scattered_over_many_windows() {
        let times = (0..10).map(|n| at("2025-02-03T04:00:00Z") + TimeDelta::minutes(n)).collect::<Vec<_>>();
        assert_eq!(level_for(&times, 300, Level::Second), Level::Hour);
        assert_eq!(level_for(&times, 300, Level::Day), Level::Day);
        assert_eq!(level_for(&times, 10 * 1024, Level::Second), Level::Second);
        assert_eq!(level_for(&times[..3], 90, Level::Second), Level::Second);
    }
}
