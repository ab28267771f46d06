//! Test clocks: the time of an organization in test mode, which stands still until it is moved.

use chrono::{DateTime, Days, Utc};

/// What an organization's time follows. Chosen when it signs up, for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The real time.
    #[default]
    Live,
    /// Its test clock.
    Test,
}

/// The clock of an organization in test mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestClock {
    /// The time of the organization.
    pub now: DateTime<Utc>,
    /// Where it is on its way to. What falls due until then is not all done yet.
    pub advancing_to: Option<DateTime<Utc>>,
    /// Counts the moves; writes are conditional on it.
    pub version: u64,
}

/// Why a clock is not moved to where it was told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    /// It goes forwards only.
    #[error("lies before the clock's time, {0}")]
    Backwards(DateTime<Utc>),
    /// One move is of [`ADVANCE_DAYS_MAX`] at most.
    #[error("lies too far ahead: in one move the clock goes to {0} at most")]
    TooFar(DateTime<Utc>),
    /// It has not arrived where it was sent before.
    #[error("the clock is on its way to {0}: send it there until it has arrived")]
    UnderWay(DateTime<Utc>),
}

/// The longest move at once: two years.
pub const ADVANCE_DAYS_MAX: u64 = 2 * 366;

impl TestClock {
    /// A clock that stands at `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now, advancing_to: None, version: 0 }
    }

    /// The clock on its way to `to`. One that is on its way there already goes on.
    pub fn bound_for(self, to: DateTime<Utc>) -> Result<Self, AdvanceError> {
        let latest =
            self.now.checked_add_days(Days::new(ADVANCE_DAYS_MAX)).unwrap_or(DateTime::<Utc>::MAX_UTC);
        match self.advancing_to {
            Some(under_way) if under_way != to => Err(AdvanceError::UnderWay(under_way)),
            _ if to < self.now => Err(AdvanceError::Backwards(self.now)),
            _ if to > latest => Err(AdvanceError::TooFar(latest)),
            _ => Ok(Self { advancing_to: Some(to), ..self }),
        }
    }

    /// The clock at the instant at which something falls due. What was due before is done late.
    pub fn stopped_for(self, due_at: DateTime<Utc>) -> Self {
        Self { now: self.now.max(due_at), ..self }
    }

    /// The clock where it was on its way to.
    pub fn arrived(self) -> Self {
        Self { now: self.advancing_to.unwrap_or(self.now), advancing_to: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> DateTime<Utc> {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    #[test]
    fn a_clock_goes_forwards_to_one_place_at_a_time() {
        let check = |advancing_to: Option<&str>, to: &str, expected: Result<(), AdvanceError>| {
            let clock = TestClock { advancing_to: advancing_to.map(day), ..TestClock::at(day("2025-01-01")) };
            assert_eq!(clock.bound_for(day(to)).map(|_| ()), expected, "{advancing_to:?} {to}");
        };
        check(None, "2025-01-01", Ok(()));
        check(None, "2027-01-03", Ok(())); // 732 days
        check(None, "2027-01-04", Err(AdvanceError::TooFar(day("2027-01-03"))));
        check(None, "2024-12-31", Err(AdvanceError::Backwards(day("2025-01-01"))));
        check(Some("2025-02-01"), "2025-02-01", Ok(()));
        check(Some("2025-02-01"), "2025-03-01", Err(AdvanceError::UnderWay(day("2025-02-01"))));
    }

    #[test]
    fn a_clock_stops_on_its_way_and_never_goes_back() {
        let clock = TestClock::at(day("2025-01-10")).bound_for(day("2025-03-01")).unwrap();
        assert_eq!(clock.stopped_for(day("2025-02-01")).now, day("2025-02-01"));
        assert_eq!(clock.stopped_for(day("2024-12-01")).now, day("2025-01-10"));
        let arrived = clock.stopped_for(day("2025-02-01")).arrived();
        assert_eq!(arrived, TestClock::at(day("2025-03-01")));
    }
}
