//! What the platform is started with.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Parser;

use crate::clock::parse_instant;

/// The whole of Fluxrate in one process, on 127.0.0.1.
#[derive(Clone, Debug, Parser)]
#[command(name = "fluxrate-local", disable_version_flag = true)]
pub struct Options {
    /// The port that serves everything; 0 takes any that is free
    #[arg(long, env = "FLUXRATE_PORT", default_value_t = 8787)]
    pub port: u16,
    /// The folder that keeps everything
    #[arg(long, env = "FLUXRATE_DATA", default_value = ".fluxrate", value_name = "FOLDER")]
    pub data: PathBuf,
    /// Start a movable clock here, instead of the real one; a data folder that has one goes on where it was
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    pub clock: Option<DateTime<Utc>>,
    /// Whether the tables are in memory only. For tests, which throw the data folder away.
    #[arg(skip)]
    pub is_in_memory: bool,
}

impl Options {
    /// For tests: tables in memory, everything else in `data`, any port, and a movable clock if `clock` says
    /// where it begins.
    pub fn for_test(data: &Path, clock: Option<DateTime<Utc>>) -> Self {
        Self { port: 0, data: data.to_owned(), clock, is_in_memory: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_have_defaults() {
        let options = Options::try_parse_from(["fluxrate-local"]).unwrap();
        assert_eq!((options.port, options.data.to_str(), options.clock), (8787, Some(".fluxrate"), None));
        let flags = ["fluxrate-local", "--port", "1", "--data", "d", "--clock", "2025-01-01T00:00:00Z"];
        let options = Options::try_parse_from(flags).unwrap();
        assert_eq!((options.port, options.data.to_str()), (1, Some("d")));
        assert_eq!(options.clock, Some(parse_instant("2025-01-01T00:00:00Z").unwrap()));
        assert!(Options::try_parse_from(["fluxrate-local", "--clock", "noon"]).is_err());
    }
}
