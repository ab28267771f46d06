//! Bodies of test clocks.

use chrono::{DateTime, Utc};
use domain::test_clock::{Mode, TestClock};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::{TimeIn, TimeOut};

/// What an organization's time follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ModeName {
    /// The real time.
    #[default]
    Live,
    /// Its test clock.
    Test,
}

/// Where the clock of an organization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ClockStatus {
    /// Everything that fell due by `now` when it came here is done.
    Ready,
    /// On its way: ask for the same move again until it has arrived.
    Advancing,
}

/// The clock of an organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestClockBody {
    /// What the organization's time follows.
    pub mode: ModeName,
    /// The organization's time.
    pub now: TimeOut,
    /// Where the clock is.
    pub status: ClockStatus,
    /// Where it is on its way to.
    pub advancing_to: Option<TimeOut>,
}

/// Where a clock is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdvanceClockBody {
    /// Not before the clock's time, and at most 732 days after it.
    pub advance_to: TimeIn,
}

impl ModeName {
    /// The name of a mode.
    pub fn from_domain(mode: Mode) -> Self {
        match mode {
            Mode::Live => Self::Live,
            Mode::Test => Self::Test,
        }
    }

    /// The mode of a name.
    pub fn into_domain(self) -> Mode {
        match self {
            Self::Live => Mode::Live,
            Self::Test => Mode::Test,
        }
    }
}

impl TestClockBody {
    /// The body of a test clock.
    pub fn from_domain(clock: TestClock) -> Self {
        Self {
            mode: ModeName::Test,
            now: TimeOut(clock.now),
            status: if clock.advancing_to.is_some() { ClockStatus::Advancing } else { ClockStatus::Ready },
            advancing_to: clock.advancing_to.map(TimeOut),
        }
    }

    /// The body of an organization without one, at the real time.
    pub fn live(now: DateTime<Utc>) -> Self {
        Self { mode: ModeName::Live, now: TimeOut(now), status: ClockStatus::Ready, advancing_to: None }
    }
}
