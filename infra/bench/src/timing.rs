//! Timing with criterion: its samples and intervals go to the terminal, its estimates into the figures.

use std::{cell::Cell, rc::Rc, time::Duration};

use criterion::{
    Bencher, Criterion, Throughput,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Scale, rig::Failure};

/// Stages that criterion times one after the other, on one core.
pub struct Timing {
    criterion: Criterion<Clocks>,
    spent: Rc<Cell<Spent>>,
    estimates: TempDir,
}

/// How many events a stage takes in a second.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// By the clock on the wall.
    pub wall: u64,
    /// Of the processor's time: what else runs on the machine is left out.
    pub processor: u64,
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
        let spent = Rc::<Cell<Spent>>::default();
        let criterion = Criterion::default()
            .with_measurement(Clocks { wall: WallTime, spent: spent.clone() })
            .without_plots()
            .output_directory(estimates.path())
            .sample_size(samples)
            .nresamples(resamples)
            .warm_up_time(Duration::from_millis(warm_up))
            .measurement_time(Duration::from_millis(time));
        Ok(Self { criterion, spent, estimates })
    }

    /// How many events a stage takes in a second that takes `events` at once.
    ///
    /// Errors: if criterion does not say how long one time takes.
    pub fn events_per_second(
        &mut self,
        stage: &str,
        events: u64,
        routine: impl FnMut(&mut Bencher<'_, Clocks>),
    ) -> Result<Rate, Failure> {
        self.spent.take();
        let mut group = self.criterion.benchmark_group(GROUP);
        group.throughput(Throughput::Elements(events)).bench_function(stage, routine);
        group.finish();
        let path = self.estimates.path().join(GROUP).join(stage).join("new/estimates.json");
        let estimates = serde_json::from_str::<Value>(&std::fs::read_to_string(path)?)?;
        // As criterion itself: the slope over samples of growing length, where it took such.
        let estimate =
            ["slope", "mean"].into_iter().find_map(|name| estimates.get(name)?.get("point_estimate"));
        let nanos = estimate.ok_or("criterion has no estimate")?.to_string().parse::<Decimal>()?;
        let Spent { wall, processor } = self.spent.take();
        let in_second = |nanos: Decimal| {
            let rate = (Decimal::from(events) * Decimal::from(1_000_000_000)).checked_div(nanos);
            rate.and_then(|rate| rate.to_u64()).ok_or("criterion's estimate is none")
        };
        let had = Decimal::from(processor.as_nanos()).checked_div(wall.as_nanos().into());
        Ok(Rate { wall: in_second(nanos)?, processor: in_second(nanos * had.unwrap_or_default())? })
    }
}

/// The clock on the wall, by which criterion times, beside the time that the thread had a core.
pub struct Clocks {
    wall: WallTime,
    spent: Rc<Cell<Spent>>,
}

/// How long all samples of a stage took.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    wall: Duration,
    processor: Duration,
}

impl Measurement for Clocks {
    type Intermediate = (<WallTime as Measurement>::Intermediate, Duration);
    type Value = Duration;

    fn start(&self) -> Self::Intermediate {
        let processor = processor_time();
        (self.wall.start(), processor)
    }

    fn end(&self, (wall, processor): Self::Intermediate) -> Duration {
        let time = self.wall.end(wall);
        let spent = self.spent.get();
        self.spent.set(Spent {
            wall: spent.wall + time,
            processor: spent.processor + processor_time().saturating_sub(processor),
        });
        time
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        self.wall.add(one, other)
    }

    fn zero(&self) -> Duration {
        self.wall.zero()
    }

    #[allow(clippy::disallowed_types, reason = "criterion reckons in it, no quantity is one")]
    fn to_f64(&self, time: &Duration) -> f64 {
        self.wall.to_f64(time)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.wall.formatter()
    }
}

/// How long this thread had a core until now.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
