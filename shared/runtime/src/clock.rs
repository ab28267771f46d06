//! The real time.

use app::port::Clock;
use chrono::{DateTime, Utc};

/// The clock of the machine. The only place that asks it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
