//! Request units of counting usage, and of reading it, for each kind of traffic.

use app::{ingest_usage, read_usage};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    event::TrackedEvent,
    meter::{Aggregation, DeduplicateBy, Meter},
    series::Range,
};
use futures::future::join_all;
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
    batches(report, scale).await?;
    writers(report, scale).await?;
    let medium = medium(report, scale).await?;
    sparse(report, scale).await?;
    baselines(report, scale).await?;
    Ok(Consumption { dense, medium })
}

fn january() -> DateTime<Utc> {
    DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default() // 2025-01-01
}

/// Noon of the 15th, when dense traffic begins.
fn noon() -> DateTime<Utc> {
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
    }
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
    report.figure("wru_per_event_dense", kept.writes, "units", "target <= 0.07");
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
    report.figure("wru_per_event_dense_pinned", pinned.writes, "units", "target <= 1.1");
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

/// The dense traffic in batches of other sizes.
async fn batches(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("The same traffic, by the size of its batches");
    for (by, suffix) in [(KEPT, ""), (PINNED, "_pinned")] {
        for (size, rounds) in [(10_u64, 300), (100, 100), (1000, 20), (10_000, 5)] {
            let (rig, meter) = rig(by).await?;
            let mut traffic = Traffic::new(rig.organization, meter.id, 10, size);
            let length = TimeDelta::milliseconds(size.div_ceil(10).cast_signed());
            let mut from = noon();
            rig.line.take_consumed();
            for _ in 0..scale.of(rounds) {
                let batch = traffic.batch(from, length, size / 10);
                from += length;
                rig.set_now(from);
                count(&rig, &batch).await?;
            }
            let cost = per_event(rig.line.take_consumed(), traffic.distinct);
            report.figure(&format!("wru_per_event_batch_{size}{suffix}"), cost.writes, "units", "");
        }
    }
    Ok(())
}

/// Ten writers at once, each with events of every customer: they meet at the heads.
async fn writers(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    for (by, suffix, each, rounds) in [
        (KEPT, "10_writers", 1000, 10),
        (PINNED, "10_writers_pinned", 1000, 4),
        (KEPT, "10_writers_batch_100", 100, 30),
    ] {
        let cost = written_by_ten(report, by, each, scale.of(rounds)).await?;
        let batch = format!("batches of {each}");
        report.figure(&format!("wru_per_event_{suffix}"), cost.writes, "units", &batch);
        report.figure(&format!("rru_per_event_{suffix}"), cost.reads, "units", "");
    }
    Ok(())
}

/// What ten writers consume that share what ten customers send, `each` of them so many events a second.
async fn written_by_ten(
    report: &Report,
    by: DeduplicateBy,
    each: u64,
    rounds: u32,
) -> Result<PerEvent, Failure> {
    let (rig, meter) = rig(by).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 10, 7);
    rig.line.take_consumed();
    for n in 0..rounds {
        let from = noon() + TimeDelta::seconds(n.into());
        let batch = traffic.batch(from, TimeDelta::seconds(1), each);
        rig.set_now(from + TimeDelta::seconds(1));
        let writers =
            (0..10).map(|writer| batch.iter().skip(writer).step_by(10).cloned().collect::<Vec<_>>());
        let writers = writers.collect::<Vec<_>>();
        let mut again = Vec::new();
        let outcomes = join_all(writers.iter().map(|batch| ingest_usage::count(&rig.platform, batch))).await;
        for (writer, outcomes) in writers.iter().zip(outcomes) {
            let failed = writer.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_err());
            again.extend(failed.map(|(tracked, _)| tracked.clone()));
        }
        if !again.is_empty() {
            report.progress(&format!("{} events have to come again", again.len()));
            count(&rig, &again).await?;
        }
    }
    Ok(per_event(rig.line.take_consumed(), traffic.distinct))
}

/// One event a minute, each by itself, for a month.
async fn medium(report: &mut Report, scale: Scale) -> Result<PerEvent, Failure> {
    report.heading("Medium: 1 event a minute, each by itself, for a whole month");
    let (rig, meter) = rig(KEPT).await?;
    let kept = alone(report, &rig, &meter, 1, scale.of(31 * 1440), TimeDelta::minutes(1)).await?;
    report.figure("wru_per_event_medium", kept.writes, "units", "target <= 1.2");
    report.figure("rru_per_event_medium", kept.reads, "units", "");
    let bytes = baseline::stored_bytes(&rig.dynamo.client(), "usage").await?;
    let events = u64::from(scale.of(31 * 1440));
    report.figure("bytes_per_event_medium", Milli::per(bytes, events), "bytes", "target <= 45");
    let (rig, meter) = self::rig(PINNED).await?;
    let pinned = alone(report, &rig, &meter, 1, scale.of(5 * 1440), TimeDelta::minutes(1)).await?;
    report.figure("wru_per_event_medium_pinned", pinned.writes, "units", "target <= 2.2");
    Ok(kept)
}

/// One event a day of many customers, for a month.
async fn sparse(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("Sparse: 1 event a day, each by itself, for a whole month");
    let (rig, meter) = rig(KEPT).await?;
    let kept = alone(report, &rig, &meter, scale.len(300), 31, TimeDelta::days(1)).await?;
    report.figure("wru_per_event_sparse", kept.writes, "units", "target <= 1.1");
    report.figure("rru_per_event_sparse", kept.reads, "units", "");
    let (rig, meter) = self::rig(PINNED).await?;
    let pinned = alone(report, &rig, &meter, scale.len(300), 31, TimeDelta::days(1)).await?;
    report.figure("wru_per_event_sparse_pinned", pinned.writes, "units", "target <= 2.1");
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

/// The same without heads and segments.
async fn baselines(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    report.heading("Baselines: every event an item");
    for name in ["wru_per_event_naive", "wru_per_event_conditional_put"] {
        let (rig, meter) = rig(KEPT).await?;
        let client = rig.dynamo.client_over(&rig.line);
        let mut traffic = Traffic::new(rig.organization, meter.id, 10, 9);
        let batch = traffic.batch(noon(), TimeDelta::seconds(1), scale.of(200).into());
        rig.line.take_consumed();
        for tracked in &batch {
            match name {
                "wru_per_event_naive" => baseline::in_a_transaction(&client, tracked).await?,
                _ => baseline::with_a_condition(&client, tracked).await?,
            }
        }
        let cost = per_event(rig.line.take_consumed(), traffic.distinct);
        report.figure(name, cost.writes, "units", "");
    }
    Ok(())
}
