//! Request units of counting usage, and of reading it, for each kind of traffic.

use app::{ingest_usage, read_usage};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    event::TrackedEvent,
    meter::{Aggregation, DeduplicateBy, Meter},
    series::Range,
};
use testkit::{Consumed, Line};

use crate::{
    Scale, baseline,
    report::{Milli, Report},
    rig::{Failure, Rig},
    traffic::Traffic,
};

const KEPT: DeduplicateBy = DeduplicateBy::KeyAndTimestamp;
const PINNED: DeduplicateBy = DeduplicateBy::Key;

/// What was consumed, for each distinct event.
#[derive(Clone, Copy, Debug)]
pub struct PerEvent {
    /// Write request units.
    pub writes: Milli,
    /// Read request units.
    pub reads: Milli,
    /// Requests to DynamoDB.
    pub requests: Milli,
    /// How many events that is of.
    pub events: u64,
}

/// What the kinds of traffic consume whose price is worked out.
#[derive(Clone, Copy, Debug)]
pub struct Consumption {
    /// Ten customers of 1,000 events a second.
    pub dense: PerEvent,
    /// An event a minute.
    pub medium: PerEvent,
}

/// Measures all traffic.
///
/// Errors: if anything is not counted.
pub async fn measure(report: &mut Report, scale: Scale) -> Result<Consumption, Failure> {
    let dense = dense(report, scale).await?;
    let medium = medium(report, scale).await?;
    sparse(report, scale).await?;
    Ok(Consumption { dense, medium })
}

pub(crate) fn january() -> DateTime<Utc> {
    DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default() // 2025-01-01
}

/// Noon of the 15th, when dense traffic begins.
pub(crate) fn noon() -> DateTime<Utc> {
    january() + TimeDelta::days(14) + TimeDelta::hours(12)
}

/// Counts a batch as ingest-usage does.
pub(crate) async fn count(rig: &Rig, batch: &[TrackedEvent]) -> Result<(), Failure> {
    for outcome in ingest_usage::count(&rig.platform, batch).await {
        outcome?;
    }
    Ok(())
}

fn per_event(consumed: Consumed, events: u64) -> PerEvent {
    PerEvent {
        writes: Milli::tenths_per(consumed.write_tenths, events),
        reads: Milli::tenths_per(consumed.read_tenths, events),
        requests: Milli::per(consumed.requests, events),
        events,
    }
}

/// A target, and how many events a figure is of.
fn of(target: &str, cost: PerEvent) -> String {
    format!("target <= {target}; of {} events", cost.events)
}

async fn rig(by: DeduplicateBy) -> Result<(Rig, Meter), Failure> {
    let rig = Rig::new(january(), Line::counting()).await?;
    let meter = rig.meter("bench", Aggregation::Sum, by).await?;
    Ok((rig, meter))
}

/// Counts the seconds `range` of dense traffic.
async fn seconds(rig: &Rig, traffic: &mut Traffic, range: std::ops::Range<u32>) -> Result<(), Failure> {
    for n in range {
        let from = noon() + TimeDelta::seconds(n.into());
        let batch = traffic.batch(from, TimeDelta::seconds(1), 1000);
        rig.set_now(from + TimeDelta::seconds(1));
        count(rig, &batch).await?;
    }
    Ok(())
}

/// Ten customers of 1,000 events a second each, in batches of a second.
async fn dense(report: &mut Report, scale: Scale) -> Result<PerEvent, Failure> {
    report.heading("Dense: 10 customers of 1,000 events/s, in batches of 10,000");
    let (warm, until) = (scale.of(20), scale.of(20) + scale.of(40));
    let (rig, meter) = rig(KEPT).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 10, 1);
    seconds(&rig, &mut traffic, 0..warm).await?;
    report.progress("windows have become seconds; now the batches that are measured");
    rig.line.take_consumed();
    let before = traffic.distinct;
    seconds(&rig, &mut traffic, warm..until).await?;
    let kept = per_event(rig.line.take_consumed(), traffic.distinct - before);
    report.figure("wru_per_event_dense", kept.writes, "units", &of("0.07", kept));
    report.figure("rru_per_event_dense", kept.reads, "units", "");
    let bytes = baseline::stored_bytes(&rig.dynamo.client(), "usage").await?;
    report.figure("bytes_per_event_dense", Milli::per(bytes, traffic.distinct), "bytes", "target <= 30");
    reads(report, &rig, &meter, &traffic, noon() + TimeDelta::seconds(until.into())).await?;

    report.progress("the same, pinned");
    let (rig, meter) = self::rig(PINNED).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 10, 1);
    rig.line.take_consumed();
    seconds(&rig, &mut traffic, 0..scale.of(8)).await?;
    let pinned = per_event(rig.line.take_consumed(), traffic.distinct);
    report.figure("wru_per_event_dense_pinned", pinned.writes, "units", &of("1.1", pinned));
    Ok(kept)
}

/// What it costs to ask for the total of a customer's current period.
async fn reads(
    report: &mut Report,
    rig: &Rig,
    meter: &Meter,
    traffic: &Traffic,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let Some(customer) = traffic.customers().first().copied() else { return Ok(()) };
    let ask = async |from: DateTime<Utc>, until: DateTime<Utc>| {
        rig.line.take_consumed();
        let range = Range { from, until };
        read_usage::total_of(&rig.platform, rig.organization, meter, customer, range).await?;
        Ok::<_, Failure>(Milli::tenths_per(rig.line.take_consumed().read_tenths, 1))
    };
    let current = ask(january(), january() + TimeDelta::days(31)).await?;
    report.figure("rru_current_total", current, "units", "target <= 1");
    let two = ask(january() - TimeDelta::days(15), january() + TimeDelta::days(30)).await?;
    report.figure("rru_two_months", two, "units", "target <= 2");
    let cut = ask(january(), now - TimeDelta::milliseconds(500)).await?;
    report.figure("rru_total_to_the_second_dense", cut, "units", "");
    Ok(())
}

/// One event a minute, each by itself, for a month.
async fn medium(report: &mut Report, scale: Scale) -> Result<PerEvent, Failure> {
    report.heading("Medium: 1 event a minute, each by itself, for a whole month");
    let (rig, meter) = rig(KEPT).await?;
    let kept = alone(report, &rig, &meter, 1, scale.of(31 * 1440), TimeDelta::minutes(1)).await?;
    report.figure("wru_per_event_medium", kept.writes, "units", &of("1.2", kept));
    report.figure("rru_per_event_medium", kept.reads, "units", "");
    let bytes = baseline::stored_bytes(&rig.dynamo.client(), "usage").await?;
    let events = u64::from(scale.of(31 * 1440));
    report.figure("bytes_per_event_medium", Milli::per(bytes, events), "bytes", "target <= 45");
    let (rig, meter) = self::rig(PINNED).await?;
    let pinned = alone(report, &rig, &meter, 1, scale.of(5 * 1440), TimeDelta::minutes(1)).await?;
    report.figure("wru_per_event_medium_pinned", pinned.writes, "units", &of("2.2", pinned));
    Ok(kept)
}

/// One event a day of many customers, for a month.
async fn sparse(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("Sparse: 1 event a day, each by itself, for a whole month");
    let (rig, meter) = rig(KEPT).await?;
    let kept = alone(report, &rig, &meter, scale.len(300), 31, TimeDelta::days(1)).await?;
    report.figure("wru_per_event_sparse", kept.writes, "units", &of("1.1", kept));
    report.figure("rru_per_event_sparse", kept.reads, "units", "");
    let (rig, meter) = self::rig(PINNED).await?;
    let pinned = alone(report, &rig, &meter, scale.len(300), 31, TimeDelta::days(1)).await?;
    report.figure("wru_per_event_sparse_pinned", pinned.writes, "units", &of("2.1", pinned));
    Ok(())
}

/// Each event counted by itself, as one message a batch.
async fn alone(
    report: &Report,
    rig: &Rig,
    meter: &Meter,
    customers: usize,
    rounds: u32,
    step: TimeDelta,
) -> Result<PerEvent, Failure> {
    let mut traffic = Traffic::new(rig.organization, meter.id, customers, 5);
    let mut from = january();
    rig.line.take_consumed();
    for n in 1..=rounds {
        let batch = traffic.batch(from, step, 1);
        from += step;
        rig.set_now(from);
        for tracked in &batch {
            count(rig, std::slice::from_ref(tracked)).await?;
        }
        if n % 10_000 == 0 {
            report.progress(&format!("{n} of {rounds} rounds"));
        }
    }
    Ok(per_event(rig.line.take_consumed(), traffic.distinct))
}
