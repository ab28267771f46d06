//! `make bench`: what usage costs, in request units, bytes, seconds and dollars, beside what it would cost without
//! heads and segments. Everything but the prices and the run times of Lambda is measured in this run.

use app::{customers, ingest_usage, read_usage, track_usage};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    customer::Address,
    event::TrackedEvent,
    meter::{Aggregation, DeduplicateBy, Meter},
    property::Properties,
    quantity::Quantity,
    series::Range,
    tax::TaxExemption,
};
use fluxrate_bench::{
    baseline,
    cost::Needs,
    engine, latency,
    report::{Milli, Report},
    rig::{Failure, Rig},
    traffic::Traffic,
};
use futures::future::join_all;
use testkit::{Consumed, Line};

const KEPT: DeduplicateBy = DeduplicateBy::KeyAndTimestamp;
const PINNED: DeduplicateBy = DeduplicateBy::Key;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut report = Report::default();
    report.heading("One core, no I/O");
    report.figure("fold_events_per_second", engine::fold()?, "events/s", "target >= 20000000");
    report.figure("ingest_events_per_second", engine::ingest()?, "events/s", "target >= 1000000");
    let dense = dense(&mut report).await?;
    batches(&mut report).await?;
    let medium = medium(&mut report).await?;
    sparse(&mut report).await?;
    baselines(&mut report).await?;
    dollars(&mut report, &dense, &medium).await?;
    latency::measure(&mut report).await?;
    report.finish();
    Ok(())
}

fn january() -> DateTime<Utc> {
    DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default() // 2025-01-01
}

/// Counts a batch as ingest-usage does.
async fn count(rig: &Rig, batch: &[TrackedEvent]) -> Result<(), Failure> {
    for outcome in ingest_usage::count(&rig.platform, batch).await {
        outcome?;
    }
    Ok(())
}

/// What was consumed, for each distinct event.
struct PerEvent {
    writes: Milli,
    reads: Milli,
}

fn per_event(consumed: Consumed, events: u64) -> PerEvent {
    PerEvent {
        writes: Milli::tenths_per(consumed.write_tenths, events),
        reads: Milli::tenths_per(consumed.read_tenths, events),
    }
}

async fn rig(by: DeduplicateBy) -> Result<(Rig, Meter), Failure> {
    let rig = Rig::new(january(), Line::counting()).await?;
    let meter = rig.meter("bench", Aggregation::Sum, by).await?;
    Ok((rig, meter))
}

/// Ten customers of 1,000 events a second each, in batches of a second.
async fn dense(report: &mut Report) -> Result<PerEvent, Failure> {
    report.heading("Dense: 10 customers of 1,000 events/s, in batches of 10,000");
    let noon = january() + TimeDelta::days(14) + TimeDelta::hours(12);
    let second = |n: i64| noon + TimeDelta::seconds(n);
    let (rig, meter) = rig(KEPT).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 10, 1);
    for n in 0..20 {
        let batch = traffic.batch(second(n), TimeDelta::seconds(1), 1000);
        rig.set_now(second(n + 1));
        count(&rig, &batch).await?;
    }
    report.progress("windows have become seconds; counting 400,000 events");
    rig.line.take_consumed();
    let before = traffic.distinct;
    for n in 20..60 {
        let batch = traffic.batch(second(n), TimeDelta::seconds(1), 1000);
        rig.set_now(second(n + 1));
        count(&rig, &batch).await?;
    }
    let kept = per_event(rig.line.take_consumed(), traffic.distinct - before);
    report.figure("wru_per_event_dense", kept.writes, "units", "target <= 0.07");
    report.figure("rru_per_event_dense", kept.reads, "units", "");
    let bytes = baseline::stored_bytes(&rig.dynamo.client(), "usage").await?;
    report.figure("bytes_per_event_dense", Milli::per(bytes, traffic.distinct), "bytes", "target <= 30");
    reads(report, &rig, &meter, &traffic, second(60)).await?;

    let (rig, meter) = self::rig(PINNED).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 10, 1);
    report.progress("the same, pinned");
    rig.line.take_consumed();
    for n in 0..8 {
        let batch = traffic.batch(second(n), TimeDelta::seconds(1), 1000);
        rig.set_now(second(n + 1));
        count(&rig, &batch).await?;
    }
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
    let cut = ask(january(), now - TimeDelta::seconds(17)).await?;
    report.figure("rru_total_to_the_second_dense", cut, "units", "");
    Ok(())
}

/// The same traffic in batches of other sizes, and with ten writers at once.
async fn batches(report: &mut Report) -> Result<(), Failure> {
    report.heading("The same traffic, by the size of its batches");
    let noon = january() + TimeDelta::days(14) + TimeDelta::hours(12);
    for (by, suffix) in [(KEPT, ""), (PINNED, "_pinned")] {
        for (size, rounds) in [(10_u64, 300_i64), (100, 100), (1000, 20), (10_000, 5)] {
            let (rig, meter) = rig(by).await?;
            let mut traffic = Traffic::new(rig.organization, meter.id, 10, size);
            rig.line.take_consumed();
            for n in 0..rounds {
                let length = TimeDelta::milliseconds(size.div_ceil(10).cast_signed());
                let from = noon + length * i32::try_from(n).unwrap_or_default();
                let batch = traffic.batch(from, length, size / 10);
                rig.set_now(from + length);
                count(&rig, &batch).await?;
            }
            let cost = per_event(rig.line.take_consumed(), traffic.distinct);
            report.figure(&format!("wru_per_event_batch_{size}{suffix}"), cost.writes, "units", "");
        }
    }
    let (rig, meter) = rig(KEPT).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 10, 7);
    rig.line.take_consumed();
    for n in 0..10 {
        let from = noon + TimeDelta::seconds(n);
        let batch = traffic.batch(from, TimeDelta::seconds(1), 1000);
        rig.set_now(from + TimeDelta::seconds(1));
        // Every writer has events of every customer: they meet at the heads.
        let writers =
            (0..10).map(|writer| batch.iter().skip(writer).step_by(10).cloned().collect::<Vec<_>>());
        let writers = writers.collect::<Vec<_>>();
        for outcome in join_all(writers.iter().map(|batch| ingest_usage::count(&rig.platform, batch))).await {
            // One that gave up goes back to the queue, and is counted with the next.
            let again = outcome.iter().filter(|outcome| outcome.is_err()).count();
            if again > 0 {
                report.progress(&format!("{again} events have to come again"));
            }
        }
        count(&rig, &batch).await?;
    }
    let cost = per_event(rig.line.take_consumed(), traffic.distinct);
    report.figure("wru_per_event_10_writers", cost.writes, "units", "");
    report.figure("rru_per_event_10_writers", cost.reads, "units", "");
    Ok(())
}

/// One event a minute, each by itself, for a month.
async fn medium(report: &mut Report) -> Result<PerEvent, Failure> {
    report.heading("Medium: 1 event a minute, each by itself, for a whole month");
    let (rig, meter) = rig(KEPT).await?;
    let mut traffic = Traffic::new(rig.organization, meter.id, 1, 3);
    rig.line.take_consumed();
    for day in 0..31 {
        for minute in 0..1440 {
            let from = january() + TimeDelta::days(day) + TimeDelta::minutes(minute);
            let batch = traffic.batch(from, TimeDelta::minutes(1), 1);
            rig.set_now(from + TimeDelta::minutes(1));
            for tracked in &batch {
                count(&rig, std::slice::from_ref(tracked)).await?;
            }
        }
        if day % 10 == 9 {
            report.progress(&format!("day {}", day + 1));
        }
    }
    let kept = per_event(rig.line.take_consumed(), traffic.distinct);
    report.figure("wru_per_event_medium", kept.writes, "units", "target <= 1.2");
    report.figure("rru_per_event_medium", kept.reads, "units", "");
    let bytes = baseline::stored_bytes(&rig.dynamo.client(), "usage").await?;
    report.figure("bytes_per_event_medium", Milli::per(bytes, traffic.distinct), "bytes", "target <= 45");
    singly(report, "wru_per_event_medium_pinned", 1, 5 * 1440, TimeDelta::minutes(1), "target <= 2.2")
        .await?;
    Ok(kept)
}

/// One event a day of 300 customers, for a month.
async fn sparse(report: &mut Report) -> Result<(), Failure> {
    report.heading("Sparse: 1 event a day of 300 customers, each by itself, for a whole month");
    let (rig, meter) = rig(KEPT).await?;
    let cost = alone(&rig, &meter, 300, 31, TimeDelta::days(1)).await?;
    report.figure("wru_per_event_sparse", cost.writes, "units", "target <= 1.1");
    report.figure("rru_per_event_sparse", cost.reads, "units", "");
    singly(report, "wru_per_event_sparse_pinned", 100, 31, TimeDelta::days(1), "target <= 2.1").await
}

async fn singly(
    report: &mut Report,
    name: &str,
    customers: usize,
    rounds: i32,
    step: TimeDelta,
    target: &str,
) -> Result<(), Failure> {
    let (rig, meter) = rig(PINNED).await?;
    let cost = alone(&rig, &meter, customers, rounds, step).await?;
    report.figure(name, cost.writes, "units", target);
    Ok(())
}

/// Each event counted by itself, as one message a batch.
async fn alone(
    rig: &Rig,
    meter: &Meter,
    customers: usize,
    rounds: i32,
    step: TimeDelta,
) -> Result<PerEvent, Failure> {
    let mut traffic = Traffic::new(rig.organization, meter.id, customers, 5);
    rig.line.take_consumed();
    for n in 0..rounds {
        let from = january() + step * n;
        let batch = traffic.batch(from, step, 1);
        rig.set_now(from + step);
        for tracked in &batch {
            count(rig, std::slice::from_ref(tracked)).await?;
        }
    }
    Ok(per_event(rig.line.take_consumed(), traffic.distinct))
}

/// The same without heads and segments.
async fn baselines(report: &mut Report) -> Result<(), Failure> {
    report.heading("Baselines: every event an item");
    for name in ["wru_per_event_naive", "wru_per_event_conditional_put"] {
        let (rig, meter) = rig(KEPT).await?;
        let client = rig.dynamo.client_over(&rig.line);
        let mut traffic = Traffic::new(rig.organization, meter.id, 10, 9);
        let batch = traffic.batch(january() + TimeDelta::days(14), TimeDelta::seconds(1), 200);
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

/// From the units measured above to dollars for a million events.
async fn dollars(report: &mut Report, dense: &PerEvent, medium: &PerEvent) -> Result<(), Failure> {
    report.heading("Dollars per million events: HTTP API, Lambda, SQS, DynamoDB (us-east-1, 2026-11)");
    let (rig, meter) = rig(KEPT).await?;
    let told = |n: u64| track_usage::Usage {
        meter: track_usage::MeterRef::Token(meter.token),
        customer: track_usage::CustomerRef::ExternalId("acme".to_owned()),
        quantity: Some(Quantity::ONE),
        timestamp: None,
        idempotency_key: Some(format!("key {n}")),
        properties: Properties::new(),
        metadata: Properties::new(),
    };
    let acme = customers::CustomerDetails {
        name: "Acme".to_owned(),
        email: None,
        external_id: Some("acme".to_owned()),
        phone: None,
        billing_address: Address::default(),
        tax_id: None,
        tax_exemption: TaxExemption::default(),
        metadata: Properties::new(),
    };
    customers::create(&rig.platform, &rig.actor(), acme).await?;
    track_usage::track(&rig.platform, &rig.actor(), told(0)).await?;
    let door = |events: u64| {
        let told = (1..=events).map(told).collect::<Vec<_>>();
        let rig = &rig;
        async move {
            rig.line.take_consumed();
            track_usage::track_all(&rig.platform, &rig.actor(), told).await?;
            // The API key and its organization take a read each before.
            Ok::<_, Failure>(Milli::tenths_per(rig.line.take_consumed().read_tenths + 10, 1))
        }
    };
    let one = door(1).await?;
    report.figure("rru_per_request_at_the_door", one, "units", "");
    let needs = |events_per_request: u64, door_reads: Milli, cost: &PerEvent| Needs {
        events_per_request,
        door_reads,
        door_millis: 10,
        writes: cost.writes,
        reads: cost.reads,
        count_millis_per_thousand: 200,
    };
    let hundred = door(100).await?;
    report.figure(
        "usd_per_million_events_dense",
        needs(100, hundred, dense).dollars(),
        "USD",
        "100 a request",
    );
    report.figure(
        "usd_per_million_events_dense_single",
        needs(1, one, dense).dollars(),
        "USD",
        "1 a request",
    );
    report.figure(
        "usd_per_million_events_medium_single",
        needs(1, one, medium).dollars(),
        "USD",
        "1 a request",
    );
    Ok(())
}
