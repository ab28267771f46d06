//! `make bench`, a hundredth of it: every figure that is promised is measured.

use std::collections::BTreeMap;

use app::ingest_usage;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    commit::Verdict,
    event::TrackedEvent,
    meter::{Aggregation, DeduplicateBy},
};
use fluxrate_bench::{Scale, report::Report, rig::Rig, traffic::Traffic};
use rust_decimal::Decimal;
use testkit::Line;

/// With the unit of each.
const PROMISED: &[(&str, &str)] = &[
    ("wru_per_event_dense", "units"),
    ("wru_per_event_dense_pinned", "units"),
    ("wru_per_event_medium", "units"),
    ("wru_per_event_medium_pinned", "units"),
    ("wru_per_event_sparse", "units"),
    ("wru_per_event_sparse_pinned", "units"),
    ("rru_current_total_medium", "units"),
    ("rru_check_usage_sparse", "units"),
    ("rru_check_dense", "units"),
    ("rru_current_total", "units"),
    ("rru_two_months", "units"),
    ("bytes_per_event_dense", "bytes"),
    ("bytes_per_event_medium", "bytes"),
    ("fold_events_per_second", "events/s"),
    ("ingest_events_per_second", "events/s"),
    ("ingest_decode_events_per_second", "events/s"),
    ("ingest_dedupe_events_per_second", "events/s"),
    ("ingest_fold_events_per_second", "events/s"),
    ("ingest_encode_events_per_second", "events/s"),
    ("ingest_memory_mib_batch_10000", "MiB"),
    ("unique_count_memory_mib", "MiB"),
    ("one_customer_events_per_second", "events/s"),
    ("usd_per_million_events_dense", "USD"),
    ("usd_per_million_events_dense_single", "USD"),
    ("usd_per_million_events_medium_single", "USD"),
    ("rating_invoices_per_second", "invoices/s"),
    ("close_invoices_per_second", "invoices/s"),
    ("close_stage_wru_per_invoice", "units"),
    ("finalize_stage_rru_per_invoice", "units"),
    ("track_p50_ms", "ms"),
    ("track_p99_ms", "ms"),
    ("check_p99_ms", "ms"),
];

/// What is counted in batches, of those that are not for a whole run only.
fn promised_of_batches() -> Vec<String> {
    let mut names = Vec::new();
    for (writers, sizes) in [("", &[10, 100, 1000][..]), ("_10_writers", &[10, 100])] {
        for pins in ["", "_pinned"] {
            for size in sizes {
                names.extend(
                    ["dense", "medium"].map(|traffic| format!("{traffic}_batch_{size}{pins}{writers}")),
                );
            }
            names.push(format!("sparse_batch_10{pins}{writers}"));
        }
        names.extend(["naive", "naive_sparse", "conditional_put"].map(|name| format!("{name}{writers}")));
    }
    names
}

#[tokio::test]
async fn every_promised_figure_is_measured() {
    let mut report = Report::default();
    fluxrate_bench::run(&mut report, Scale::QUICK, &[]).await.unwrap();
    let lines = report.lines().iter().map(|line| line.split(' ').collect::<Vec<_>>());
    let figures = lines.map(|words| match words[..] {
        ["bench", name, value, unit] => (name, (value.parse::<Decimal>().unwrap(), unit)),
        _ => panic!("{words:?}"),
    });
    let figures = figures.collect::<BTreeMap<_, _>>();
    assert_eq!(figures.len(), report.lines().len(), "a name comes twice");
    for (name, unit) in PROMISED {
        let (value, actual) = figures.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(actual, unit, "{name}");
        assert!(*value > Decimal::ZERO, "{name} is {value}");
    }
    for name in promised_of_batches() {
        for (figure, least) in [("wru_per_event", "0.01"), ("rru_per_event", "0"), ("rru_per_query", "1")] {
            let (value, _) = figures.get(format!("{figure}_{name}").as_str()).expect(&name);
            assert!(*value >= least.parse().unwrap(), "{figure}_{name} is {value}");
        }
    }
    // What does not hang on the machine, or on how much is measured.
    let at_most = |name: &str, limit: &str| {
        let (value, _) = figures[name];
        let limit = limit.parse::<Decimal>().unwrap();
        assert!(value <= limit, "{name} is {value}, more than {limit}");
    };
    at_most("wru_per_event_dense", "0.07");
    at_most("wru_per_event_sparse", "1.2"); // of three customers
    at_most("wru_per_event_sparse_pinned", "2.2");
    at_most("rru_per_query_dense_batch_100_10_writers", "1.0");
    at_most("rru_current_total", "1.0");
    at_most("rru_two_months", "2.0");
    at_most("rru_current_total_sparse", "1.0");
    at_most("rru_check_usage_dense", "1.0");
    at_most("ingest_memory_mib_batch_10000", "512.0");
}

#[tokio::test]
async fn a_repeat_that_is_in_the_tail_costs_no_write() {
    let start = "2025-01-15T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
    let rig = Rig::new(start, Line::counting()).await.unwrap();
    let meter = rig.meter("bench", Aggregation::Sum, DeduplicateBy::Key).await.unwrap();
    let mut traffic = Traffic::new(rig.organization, meter.id, 1, 1);
    let batch = traffic.batch(start, TimeDelta::hours(1), 10);
    let count = async |events: &[TrackedEvent]| {
        rig.line.take_consumed();
        let outcomes = ingest_usage::count(&rig.platform, events).await;
        let verdicts = outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        (verdicts, rig.line.take_consumed().write_tenths)
    };
    let (_, writes) = count(&batch).await;
    assert_eq!(writes, 10 * 10 + 10 + 10, "a pin each, the month, and the head");
    let (verdicts, writes) = count(&batch).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Duplicate), "{verdicts:?}");
    assert_eq!(writes, 0);
    // With a timestamp of its own the pin has to say where the first one went.
    let mut moved = batch;
    moved.iter_mut().for_each(|tracked| tracked.event.occurred_at += TimeDelta::days(20));
    let (verdicts, writes) = count(&moved).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Duplicate), "{verdicts:?}");
    assert_eq!(writes, 10 * 10, "a pin each that is refused");
}
