//! Ranges of time.

use chrono::{DateTime, Utc};

/// The half-open range of time `[from, until)` that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first instant inside.
    pub from: DateTime<Utc>,
    /// The first instant no longer inside.
    pub until: DateTime<Utc>,
}

impl Range {
    /// Whether `at` lies inside.
    pub fn contains(self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.until
    }

    /// Whether all of `other` lies inside.
    pub fn covers(self, other: Self) -> bool {
        self.from <= other.from && other.until <= self.until
    }

    /// What lies in both, if anything does.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let both = Self { from: self.from.max(other.from), until: self.until.min(other.until) };
        (both.from < both.until).then_some(both)
    }
}
