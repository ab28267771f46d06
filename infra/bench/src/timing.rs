//! Timing with criterion: its samples and intervals go to the terminal, its estimates into the figures.

use std::time::Duration;

use criterion::{Bencher, Criterion, Throughput};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Scale, rig::Failure};

/// Stages that criterion times one after the other, on one core.
pub struct Timing {
    criterion: Criterion,
    estimates: TempDir,
}

/// What criterion names all stages by.
const GROUP: &str = "engine";

impl Timing {
    /// Errors: if there is no place for what criterion finds.
    pub fn new(scale: Scale) -> Result<Self, Failure> {
        let estimates = tempfile::tempdir()?;
        let (warm_up, time, samples, resamples) = match scale {
            Scale::WHOLE => (500, 3000, 50, 100_000),
            _ => (1, 100, 10, 1000),
        };
        let criterion = Criterion::default()
            .without_plots()
            .output_directory(estimates.path())
            .sample_size(samples)
            .nresamples(resamples)
            .warm_up_time(Duration::from_millis(warm_up))
            .measurement_time(Duration::from_millis(time));
        Ok(Self { criterion, estimates })
    }

    /// How many events a stage takes in a second that takes `events` at once.
    ///
    /// Errors: if criterion does not say how long one time takes.
    pub fn events_per_second(
        &mut self,
        stage: &str,
        events: u64,
        routine: impl FnMut(&mut Bencher<'_>),
    ) -> Result<u64, Failure> {
        let mut group = self.criterion.benchmark_group(GROUP);
        group.throughput(Throughput::Elements(events)).bench_function(stage, routine);
        group.finish();
        let path = self.estimates.path().join(GROUP).join(stage).join("new/estimates.json");
        let estimates = serde_json::from_str::<Value>(&std::fs::read_to_string(path)?)?;
        // As criterion itself: the slope over samples of growing length, where it took such.
        let estimate =
            ["slope", "mean"].into_iter().find_map(|name| estimates.get(name)?.get("point_estimate"));
        let nanos = estimate.ok_or("criterion has no estimate")?.to_string().parse::<Decimal>()?;
        let rate = (Decimal::from(events) * Decimal::from(1_000_000_000)).checked_div(nanos);
        rate.and_then(|rate| rate.to_u64()).ok_or_else(|| "criterion's estimate is none".into())
    }
}
