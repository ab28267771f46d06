//! The figures, as they come, and at the end as lines that a script reads.

use std::{io::Write as _, time::Duration};

use domain::quantity::Quantity;

/// The figures of a run.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
}

/// A figure in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(pub u64);

impl Milli {
    /// `amount` tenths for each of `count`.
    pub fn tenths_per(amount: u64, count: u64) -> Self {
        Self((amount * 100 + count / 2) / count.max(1))
    }

    /// `amount` for each of `count`.
    pub fn per(amount: u64, count: u64) -> Self {
        Self((amount * 1000 + count / 2) / count.max(1))
    }
}

impl std::fmt::Display for Milli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Three decimals, without trailing zeros.
        let units = Quantity::from_units(i128::from(self.0) * 10_i128.pow(Quantity::DECIMALS - 3));
        write!(f, "{units}")
    }
}

impl Report {
    /// Says what is being done now.
    pub fn progress(&self, what: &str) {
        say(&format!("   ... {what}"));
    }

    /// Begins a part of the table.
    pub fn heading(&self, text: &str) {
        say(&format!("\n{text}"));
    }

    /// A figure, with the target it has, if it has one.
    pub fn figure(&mut self, name: &str, value: impl std::fmt::Display, unit: &str, target: &str) {
        say(&format!("  {name:<34} {value:>14} {unit:<12} {target}"));
        self.lines.push(format!("bench {name} {value} {unit}"));
    }

    /// The lines that a script reads: `bench <name> <value> <unit>`.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Says all figures, as lines.
    pub fn finish(&self) {
        say("");
        self.lines().iter().for_each(|line| say(line));
    }
}

/// How many there are in a second, of `count` in `time`.
pub fn per_second(count: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000 / time.as_micros().max(1)).unwrap_or(u64::MAX)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Who closes the pipe does not want to know more.
    let _ = writeln!(out, "{line}");
}
