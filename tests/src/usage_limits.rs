//! Usage at its limits: what is rated is never too much, what is asked can be split, heads stay small, and what could
//! not be counted is counted once it can be.

use std::sync::{Arc, Mutex};

use app::{
    AppError,
    correct_usage::{Correction, correct},
    find_usage::EventName,
    ingest_usage, meter_stats,
    port::Message,
    read_usage::{self, Question, total_of},
    track_usage::{CustomerRef, MeterRef},
    usage_log::{self, LogFilter, UncountedFilter},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    commit::{HeadWrite, Verdict},
    event::{Revision, TrackedEvent, UsageEvent},
    head::Head,
    hours::Hours,
    id::{CustomerId, Id},
    meter::{Aggregation, DeduplicateBy, Filter, FilterOperator, Meter},
    month::Month,
    property::{Properties, Property},
    quantity::Quantity,
    series::{Range, Step},
    totals::{Tally, Totals, Usage},
    zone::Steps,
};
use fluxrate_bench::{rig::Rig, traffic::Random};
use serde_json::Value;
use store::{HeadId, PageRequest, Position, StoreError};
use testkit::{Fault, Line};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn range(from: &str, until: &str) -> Range {
    Range { from: at(from), until: at(until) }
}

async fn rig(line: Line) -> Rig {
    Rig::new(at("2025-01-31T12:00:00Z"), line).await.unwrap()
}

fn customer(n: u8) -> CustomerId {
    Id::from_parts(at("2025-01-01T00:00:00Z"), [n; 10])
}

fn event(rig: &Rig, meter: &Meter, key: &str, occurred_at: DateTime<Utc>, n: &str) -> TrackedEvent {
    TrackedEvent {
        organization: rig.organization,
        meter: meter.id,
        customer: customer(1),
        has_sender_key: true,
        event: UsageEvent {
            key: key.to_owned(),
            occurred_at,
            ingested_at: occurred_at,
            quantity: Quantity::ONE,
            properties: Properties::from([("n".into(), Property::Text(n.to_owned()))]),
            metadata: Properties::new(),
            revision: Revision::First,
        },
    }
}

async fn count(rig: &Rig, events: &[TrackedEvent]) -> Vec<Verdict> {
    let outcomes = ingest_usage::count(&rig.platform, events).await;
    outcomes.into_iter().map(Result::unwrap).collect()
}

fn head_of(rig: &Rig, meter: &Meter) -> HeadId {
    let month = Month::of(at("2025-01-01T00:00:00Z"));
    HeadId { organization: rig.organization, meter: meter.id, customer: customer(1), month }
}

/// A meter of 3 distinct values in 900 events, whose head says that they are 30 million, most of them on the 15th,
/// and there from nine to ten.
async fn dense(rig: &Rig) -> Meter {
    let meter = rig.meter("users", Aggregation::UniqueCount, DeduplicateBy::KeyAndTimestamp).await.unwrap();
    let events = (0..900).map(|n| {
        let occurred_at = at("2025-01-15T09:00:00Z") + TimeDelta::seconds(n * 10);
        event(rig, &meter, &n.to_string(), occurred_at, &format!("user-{}", n % 3))
    });
    count(rig, &events.collect::<Vec<_>>()).await;
    let id = head_of(rig, &meter);
    let head = rig.platform.store.get_head(id).await.unwrap();
    let counted = |events| Totals { events, tally: Tally::Unique };
    let mut dense = Head { members: 30_000_000, ..head };
    dense.days = [(14, counted(1_000_000)), (15, counted(29_000_000))].into();
    dense.hourly.insert(15);
    let hours = Hours { totals: [(9, counted(25_000_000)), (10, counted(4_000_000))].into() };
    let write = HeadWrite::Seal { head: dense, segments: Vec::new(), hours: [(15, hours)].into() };
    rig.platform.store.commit_head(id, &write).await.unwrap();
    meter
}

#[tokio::test]
async fn what_is_rated_is_never_refused_for_its_size_and_questions_are_by_day_and_hour() {
    let rig = rig(Line::counting()).await;
    let meter = dense(&rig).await;
    let (platform, actor) = (&rig.platform, &rig.actor());
    let month = range("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z");
    let total = total_of(platform, rig.organization, &meter, customer(1), month).await.unwrap();
    assert_eq!((total.quantity.to_string().as_str(), total.events), ("3", 900));
    let years = range("2019-01-01T00:00:00Z", "2025-02-01T00:00:00Z");
    let total = total_of(platform, rig.organization, &meter, customer(1), years).await.unwrap();
    assert_eq!(total.events, 900, "nor for the length of its period");

    let asked = async |range: Range| {
        let question = Question::default();
        let answer = read_usage::series(platform, actor, meter.id, None, range, &question).await;
        answer.map(|(_, series)| series.total.events)
    };
    let refused = |answer: Result<u64, AppError>| match answer {
        Err(AppError::Invalid(errors)) => (errors[0].field.clone(), errors[0].detail.clone()),
        other => panic!("{other:?}"),
    };
    let (field, detail) = refused(asked(month).await);
    assert_eq!(field, "start_date");
    assert!(detail.contains("day by day") && detail.contains("hour by hour"), "{detail}");
    refused(asked(range("2025-01-15T00:00:00Z", "2025-01-16T00:00:00Z")).await);
    refused(asked(range("2025-01-15T09:10:00Z", "2025-01-15T09:20:00Z")).await);
    assert_eq!(asked(range("2025-01-14T00:00:00Z", "2025-01-15T00:00:00Z")).await.unwrap(), 0);
    assert_eq!(asked(range("2025-01-15T10:00:00Z", "2025-01-15T11:00:00Z")).await.unwrap(), 360);

    // What a meter has seen is told all the same, but for what would take too long.
    rig.set_now(at("2025-01-15T18:00:00Z"));
    let stats = meter_stats::stats(platform, actor, meter.id).await.unwrap();
    assert_eq!((stats.total_events, stats.unique_customers), (30_000_000, 1));
    assert_eq!((stats.today, stats.this_week, stats.this_month), (None, None, None));
    rig.set_now(at("2025-01-14T18:00:00Z"));
    let stats = meter_stats::stats(platform, actor, meter.id).await.unwrap();
    assert_eq!((stats.today, stats.this_month), (Some(Usage::default()), None));
    rig.set_now(at("2025-01-31T12:00:00Z"));

    // The log alike, where it is filtered.
    let log = async |range: Range| {
        let filter = LogFilter { range: Some(range), key: Some("400".into()), ..LogFilter::default() };
        let page = PageRequest { position: Position::Number(1), size: 10 };
        usage_log::list(platform, actor, meter.id, &filter, &page).await.map(|page| page.total as u64)
    };
    refused(log(month).await);
    assert_eq!(log(range("2025-01-15T10:00:00Z", "2025-01-15T11:00:00Z")).await.unwrap(), 1);
}

#[tokio::test]
async fn more_distinct_values_than_are_held_are_counted_in_passes() {
    let rig = rig(Line::counting()).await;
    let meter = rig.meter("texts", Aggregation::UniqueCount, DeduplicateBy::KeyAndTimestamp).await.unwrap();
    // 108 MB of values in all; every tenth comes twice.
    let long = "x".repeat(30_000);
    for part in 0..18 {
        let events = (0..220).map(|n| {
            let value = format!("{}{long}", part * 200 + n % 200);
            let occurred_at = at("2025-01-15T00:00:00Z") + TimeDelta::seconds(part * 220 + n);
            event(&rig, &meter, &format!("{part} {n}"), occurred_at, &value)
        });
        count(&rig, &events.collect::<Vec<_>>()).await;
    }
    let month = range("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z");
    let asked = async |filters: Vec<Filter>| {
        rig.line.take_consumed();
        let question = Question { filters, ..Question::default() };
        let answer = read_usage::series(&rig.platform, &rig.actor(), meter.id, None, month, &question).await;
        (answer.unwrap().1.total, rig.line.take_consumed().read_tenths)
    };
    let nothing =
        Filter { property: "n".into(), operator: FilterOperator::Equals, values: vec!["none".into()] };
    let (none, once) = asked(vec![nothing]).await;
    let (total, read) = asked(Vec::new()).await;
    assert_eq!(none.events, 0);
    assert_eq!((total.quantity.to_string().as_str(), total.events), ("3600", 3960));
    assert!(read > once + once / 2, "{read} tenths of a unit, and {once} for one pass");
}

#[tokio::test]
async fn keys_that_were_not_got_to_are_asked_for_again() {
    let calm = rig(Line::counting()).await;
    let meter = calm.meter("calls", Aggregation::Count, DeduplicateBy::KeyAndTimestamp).await.unwrap();
    let ids = (1..=9).map(|n| HeadId { customer: customer(n), ..head_of(&calm, &meter) }).collect::<Vec<_>>();
    for id in &ids {
        let mut tracked = event(&calm, &meter, "k", at("2025-01-15T00:00:00Z"), "x");
        tracked.customer = id.customer;
        count(&calm, &[tracked]).await;
    }
    let expected = calm.platform.store.get_heads(&ids).await.unwrap();
    assert!(expected.values().all(|head| head.members == 1));

    // Of 9 keys 4 are got to, then 2 of 5, then all of 3.
    let mut busy = 2;
    let rig = calm.over(Line::new(move |operation, _| match operation {
        "BatchGetItem" if busy > 0 => {
            busy -= 1;
            Fault::HalfAnswered
        }
        _ => Fault::None,
    }));
    assert_eq!(rig.platform.store.get_heads(&ids).await.unwrap(), expected);
    assert_eq!(rig.line.take_consumed().requests, 3);

    // How long others were held up before says nothing of the next hundred.
    let ids =
        (1..=150).map(|n| HeadId { customer: customer(n), ..head_of(&calm, &meter) }).collect::<Vec<_>>();
    let mut requests = 0;
    let rig = calm.over(Line::new(move |_, _| {
        requests += 1;
        if matches!(requests, 1..=5 | 7..=9) { Fault::HalfAnswered } else { Fault::None }
    }));
    let heads = rig.platform.store.get_heads(&ids).await.unwrap();
    assert_eq!(heads.values().map(|head| head.members).sum::<u64>(), 9);
    assert_eq!(rig.line.take_consumed().requests, 10);

    let stuck = calm.over(Line::new(|_, _| Fault::HalfAnswered));
    let answer = stuck.platform.store.get_heads(&ids).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
}

/// How large items are as DynamoDB bills them, of the heads that a request puts.
fn head_sizes(body: &[u8]) -> Vec<u64> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let items = body["TransactItems"].as_array().into_iter().flatten().map(|write| &write["Put"]["Item"]);
    let items = items.chain([&body["Item"]]);
    let heads = items.filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.contains("#H#")));
    let length = |(name, value): (&String, &Value)| {
        let (kind, text) = value.as_object().unwrap().iter().next().unwrap();
        let text = text.as_str().unwrap();
        let value = match kind.as_str() {
            "S" => text.len(),
            "N" => text.len().div_ceil(2) + 1,
            "B" => text.trim_end_matches('=').len() * 3 / 4,
            other => panic!("{other}"),
        };
        (name.len() + value) as u64
    };
    heads.map(|item| item.as_object().unwrap().iter().map(length).sum()).collect()
}

/// What a head may take that has totals of 31 days, each with a level, two timestamps and an area in full, and no tail.
const BARE_BYTES_MAX: u64 = 1024 + 31 * 32;

#[tokio::test]
async fn a_head_stays_within_a_kilobyte_unless_its_totals_alone_take_more() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let rig = rig(Line::new(move |_, body| {
        seen.lock().unwrap().extend(head_sizes(body));
        Fault::None
    }))
    .await;
    let mut random = Random::new(7);
    let aggregations = [
        ("count", Aggregation::Count),
        ("sum", Aggregation::Sum),
        ("max", Aggregation::Max),
        ("min", Aggregation::Min),
        ("last", Aggregation::Last),
        ("unique", Aggregation::UniqueCount),
        ("level", Aggregation::WeightedSum),
    ];
    for (name, aggregation) in aggregations {
        let meter = rig.meter(name, aggregation, DeduplicateBy::KeyAndTimestamp).await.unwrap();
        let (mut writes, mut largest) = (0, 0);
        for _ in 0..60 {
            let events = (0..=random.below(40)).map(|_| {
                let second = random.below(31 * 86_400 * 1000) as i64;
                let occurred_at = at("2025-01-01T00:00:00Z") + TimeDelta::milliseconds(second);
                let key = "k".repeat(1 + random.below(40) as usize) + &random.any().to_string();
                let mut tracked = event(&rig, &meter, &key, occurred_at, &random.below(1000).to_string());
                // Up to 10^15 with all its decimals, which is as long as a number gets; less for a sum, which must
                // not get longer than that.
                let units = i128::from(random.any()) * 54_210_108;
                let digits = if aggregation == Aggregation::Sum { 24 } else { 27 };
                tracked.event.quantity = Quantity::from_units(units % 10_i128.pow(digits));
                tracked.event.ingested_at += TimeDelta::milliseconds(random.below(90_000_000) as i64);
                let text = "x".repeat(random.below(600) as usize);
                tracked.event.metadata.insert("text".into(), Property::Text(text));
                tracked
            });
            let events = events.collect::<Vec<_>>();
            let verdicts = count(&rig, &events).await;
            let told = events.iter().zip(&verdicts);
            let wrong = told.filter(|(_, verdict)| **verdict != Verdict::Counted).collect::<Vec<_>>();
            assert!(wrong.is_empty(), "{name}: {wrong:?}");
            let put = std::mem::take(&mut *sizes.lock().unwrap());
            assert!(!put.is_empty(), "no write was seen");
            writes += put.len();
            for size in put {
                largest = largest.max(size);
                if size > 1024 {
                    let head = rig.platform.store.get_head(head_of(&rig, &meter)).await.unwrap();
                    assert_eq!(head.tail.len(), 0, "{name}: {size} bytes with a tail");
                    assert!(size <= BARE_BYTES_MAX, "{name}: {size} bytes");
                }
            }
        }
        let is_long = matches!(aggregation, Aggregation::Last | Aggregation::WeightedSum);
        assert!(is_long || largest <= 1024, "{name}: {largest} bytes");
        assert!(aggregation != Aggregation::WeightedSum || largest > 1024, "the exception is not met");
        assert!(writes >= 60);
    }
}

#[tokio::test]
async fn what_did_not_fit_is_counted_when_room_was_made_for_it() {
    let rig = rig(Line::counting()).await;
    let (platform, actor) = (&rig.platform, &rig.actor());
    let meter = rig.meter("calls", Aggregation::Sum, DeduplicateBy::Key).await.unwrap();
    let customer = rig.customer("acme").await.unwrap();
    let large = |n: usize| {
        let occurred_at = at("2025-01-15T00:00:00Z") + TimeDelta::seconds(n as i64);
        let mut tracked = event(&rig, &meter, &format!("key {n}"), occurred_at, "x");
        tracked.customer = customer;
        tracked.event.quantity = Quantity::EVENT_MAX;
        tracked
    };
    // The sum of one month ends at 1.7014 × 10^26.
    let verdicts = count(&rig, &(0..17_015).map(large).collect::<Vec<_>>()).await;
    let left_out = verdicts.iter().position(|verdict| *verdict == Verdict::Overflow).unwrap();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Counted).count(), 17_014);
    let month = range("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z");
    let events = async || total_of(platform, rig.organization, &meter, customer, month).await.unwrap().events;
    let uncounted = async || {
        let filter =
            UncountedFilter { meter: Some(meter.id), customer: None, is_conflict: Some(false), range: month };
        let page = PageRequest { position: Position::Number(1), size: 10 };
        usage_log::list_uncounted(platform, actor, &filter, &page).await.unwrap().rows
    };
    let sent = async || {
        for message in rig.take_sent() {
            match message {
                Message::CountUsage(events) => _ = count(&rig, &events).await,
                Message::RecountUsage(events) => _ = ingest_usage::recount(platform, &events).await,
                other => panic!("{other:?}"),
            }
        }
    };
    let rejected = uncounted().await;
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].event.key, format!("key {left_out}"));
    rig.take_sent();

    // Nothing has changed: it does not fit still, and is not lost.
    assert_eq!(usage_log::replay(platform, actor, rejected[0].id).await.unwrap(), 1);
    sent().await;
    assert_eq!((uncounted().await.len(), events().await), (1, 17_014));

    let taken_back = (left_out + 1) % 17_015;
    let name = EventName {
        meter: MeterRef::Id(meter.id),
        customer: CustomerRef::Id(customer),
        key: format!("key {taken_back}"),
        timestamp: None,
    };
    correct(platform, actor, &name, Correction::Void).await.unwrap();
    sent().await;
    assert_eq!(events().await, 17_013);
    assert_eq!(usage_log::replay(platform, actor, rejected[0].id).await.unwrap(), 1);
    sent().await;
    assert_eq!((uncounted().await.len(), events().await), (0, 17_014));
    let steps = Some(Steps::utc(Step::Month));
    let question = Question { steps, ..Question::default() };
    let (_, series) = read_usage::series(platform, actor, meter.id, None, month, &question).await.unwrap();
    assert_eq!(series.total.quantity.units(), Quantity::EVENT_MAX.units() * 17_014);
}
