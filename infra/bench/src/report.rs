//! The figures, as they come, and at the end as lines that a script reads.

use std::{io::Write as _, time::Duration};

use domain::quantity::Quantity;

/// The figures of a run.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
}

/// What a row of the table of batches is about.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Events in a batch; none where there are no batches.
    pub batch: Option<u64>,
    /// How many count at once.
    pub writers: u64,
    /// How they are counted.
    pub what: &'static str,
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
        say(&format!("  {name:<38} {:>14} {unit:<12} {target}", value.to_string()));
        self.lines.push(format!("bench {name} {value} {unit}"));
    }

    /// The head of the table of batches.
    pub fn columns(&self) {
        let names = ["events", "write/event", "read/event", "read/query", "conflicts/1,000"];
        let names = names.map(|name| format!("{name:>16}")).concat();
        say(&format!("  {:<16} {:>7} {:>8}{names}", "keys", "batch", "writers"));
    }

    /// A row of it: of how many events, and what they cost.
    pub fn row(&mut self, row: Row, events: u64, figures: &[(&str, Milli, &str)]) {
        let values =
            figures.iter().map(|(_, value, _)| format!("{:>16}", value.to_string())).collect::<String>();
        say(&format!("{row}{events:>16}{values}"));
        let lines = figures.iter().map(|(name, value, unit)| format!("bench {name} {value} {unit}"));
        self.lines.extend(lines);
    }

    /// A row of it that says why it has no figures.
    pub fn no_row(&self, row: Row, why: &str) {
        say(&format!("{row}       {why}"));
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

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let batch = self.batch.map_or("-".to_owned(), |batch| batch.to_string());
        write!(f, "  {:<16} {batch:>7} {:>8}", self.what, self.writers)
    }
}

/// How many there are in a second, of `count` in `time`.
pub fn per_second(count: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000_000 / time.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Who closes the pipe does not want to know more.
    let _ = writeln!(out, "{line}");
}
