//! The clock: the real one, or one that stands still until it is moved and keeps its time in a file.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use app::port::Clock;
use chrono::{DateTime, Utc};
use wire::TimeOut;

use crate::file;

/// What time it is on this laptop. Precise to the millisecond, as everything is stored.
#[derive(Debug)]
pub struct LocalClock {
    /// None for the real clock.
    hand: Option<Hand>,
}

/// The time of a movable clock, here and in its file.
#[derive(Debug)]
struct Hand {
    file: PathBuf,
    now_ms: AtomicI64,
}

impl LocalClock {
    /// The real clock.
    pub fn real() -> Self {
        Self { hand: None }
    }

    /// A movable clock that keeps its time in `file`, and begins at `start` if there is none yet.
    ///
    /// Errors: if the file cannot be read or written, or holds something else.
    pub fn movable(file: &Path, start: DateTime<Utc>) -> io::Result<Self> {
        let now = match fs::read_to_string(file) {
            Ok(text) => {
                parse_instant(text.trim()).map_err(|reason| io::Error::new(ErrorKind::InvalidData, reason))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => start,
            Err(error) => return Err(error),
        };
        let clock = Self { hand: Some(Hand { file: file.to_owned(), now_ms: AtomicI64::new(0) }) };
        clock.set(now)?;
        Ok(clock)
    }

    /// Whether it can be moved.
    pub fn is_movable(&self) -> bool {
        self.hand.is_some()
    }

    /// Moves a movable clock; the real one stays as it is.
    pub(crate) fn set(&self, now: DateTime<Utc>) -> io::Result<()> {
        let Some(hand) = &self.hand else { return Ok(()) };
        file::replace(&hand.file, TimeOut(now).text().as_bytes())?;
        hand.now_ms.store(now.timestamp_millis(), Ordering::SeqCst);
        Ok(())
    }
}

impl Clock for LocalClock {
    fn now(&self) -> DateTime<Utc> {
        let now_ms = self.hand.as_ref().map_or_else(real_ms, |hand| hand.now_ms.load(Ordering::SeqCst));
        DateTime::from_timestamp_millis(now_ms).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

/// The real time, in milliseconds since 1970.
pub(crate) fn real_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads an instant: RFC 3339, with an offset.
pub(crate) fn parse_instant(text: &str) -> Result<DateTime<Utc>, String> {
    let instant = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("must be an RFC 3339 instant such as 2025-01-01T00:00:00Z ({error})"))?;
    let instant = DateTime::from_timestamp_millis(instant.timestamp_millis());
    instant.ok_or_else(|| "is out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movable_clock_stands_still_and_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        let at = |text| parse_instant(text).unwrap();

        let clock = LocalClock::movable(&file, at("2025-01-01T00:00:00Z")).unwrap();
        assert!(clock.is_movable());
        assert_eq!(clock.now(), at("2025-01-01T00:00:00Z"));
        clock.set(at("2025-02-28T23:59:59.999+01:00")).unwrap();
        drop(clock);

        let clock = LocalClock::movable(&file, at("2025-01-01T00:00:00Z")).unwrap();
        assert_eq!(TimeOut(clock.now()).text(), "2025-02-28T22:59:59.999Z");
    }

    #[test]
    fn a_damaged_clock_file_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        fs::write(&file, "noon").unwrap();
        assert!(LocalClock::movable(&file, DateTime::UNIX_EPOCH).is_err());
    }

    #[test]
    fn the_real_clock_has_milliseconds_and_does_not_move() {
        let clock = LocalClock::real();
        assert!(!clock.is_movable());
        clock.set(DateTime::UNIX_EPOCH).unwrap();
        assert!(clock.now() > parse_instant("2025-01-01T00:00:00Z").unwrap());
        assert_eq!(clock.now().timestamp_subsec_nanos() % 1_000_000, 0);
    }

    #[test]
    fn an_instant_has_a_date_a_time_and_an_offset() {
        for wrong in ["", "noon", "2025-01-01", "2025-01-01T00:00:00", "2025-02-30T00:00:00Z", "1735689600"] {
            assert!(parse_instant(wrong).is_err(), "{wrong}");
        }
        let text = parse_instant("2025-01-01T01:00:00+01:00").map(|at| TimeOut(at).text());
        assert_eq!(text, Ok("2025-01-01T00:00:00Z".into()));
    }
}
