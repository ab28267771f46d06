//! Counting while everything goes wrong: requests and answers are lost, workers die between any two requests, old
//! heads are read, and messages come again. At the end every event is counted once, every time.
//!
//! `make chaos` for more.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use app::{
    audit_usage::{Repairs, audit},
    ingest_usage,
    read_usage::total_of,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    event::TrackedEvent,
    meter::{Aggregation, DeduplicateBy},
    series::Range,
};
use fluxrate_bench::{
    rig::Rig,
    traffic::{Random, Traffic},
};
use testkit::{Fault, Line};

const WRITERS: usize = 8;

fn start() -> DateTime<Utc> {
    "2025-01-15T12:00:00Z".parse().unwrap()
}

/// A line on which about one request in fifteen goes wrong.
fn faulty(seed: u64) -> Line {
    let mut random = Random::new(seed);
    Line::new(move |operation, body| {
        let is_of_a_head = String::from_utf8_lossy(body).contains("#H#");
        match random.below(150) {
            0..2 => Fault::LostRequest,
            2..4 => Fault::LostAnswer,
            4..6 => Fault::KilledBefore,
            6..8 => Fault::KilledAfter,
            8..20 if is_of_a_head && operation.contains("GetItem") => Fault::OldAnswer,
            _ => Fault::None,
        }
    })
}

/// Messages as a queue has them: each comes again until it was handled, and sometimes once more after that.
struct Queue {
    waiting: VecDeque<Arc<Vec<TrackedEvent>>>,
    random: Random,
}

async fn work(rig: Arc<Rig>, queue: Arc<Mutex<Queue>>) -> usize {
    let mut deaths = 0;
    loop {
        let Some(message) = queue.lock().unwrap().waiting.pop_front() else { return deaths };
        let (platform, events) = (rig.clone(), message.clone());
        // A task of its own, which the line may kill.
        let handled =
            tokio::spawn(async move { ingest_usage::count(&platform.platform, &events).await }).await;
        deaths += usize::from(handled.is_err());
        let is_done = handled.is_ok_and(|outcomes| outcomes.iter().all(Result::is_ok));
        let mut queue = queue.lock().unwrap();
        if !is_done || queue.random.below(10) == 0 {
            let places = queue.waiting.len() as u64 + 1;
            let place = queue.random.below(places);
            queue.waiting.insert(place.try_into().unwrap(), message);
        }
    }
}

async fn survive(seed: u64, events: u64, deduplicate_by: DeduplicateBy) {
    let rig = Rig::new(start(), Line::counting()).await.unwrap();
    let meter = rig.meter("chaos", Aggregation::Sum, deduplicate_by).await.unwrap();
    // The same tables, over a line that fails.
    let rig = Arc::new(rig.over(faulty(seed)));
    let mut traffic = Traffic::new(rig.organization, meter.id, 1, seed);
    let mut random = Random::new(seed + 1);
    let mut told = Vec::new();
    for second in 0..10 {
        let mut batch =
            traffic.batch(start() + TimeDelta::seconds(second), TimeDelta::seconds(1), events / 10);
        if deduplicate_by == DeduplicateBy::Key {
            // Who sends again has a clock of its own.
            let repeats = batch.iter().filter(|_| random.below(10) == 0).cloned().collect::<Vec<_>>();
            batch.extend(repeats.into_iter().map(|mut tracked| {
                tracked.event.occurred_at += TimeDelta::seconds(90);
                tracked
            }));
        }
        told.extend(batch);
    }
    let expected = told.iter().map(|tracked| (tracked.event.key.clone(), tracked.event.quantity.units()));
    let expected = expected.collect::<BTreeMap<_, _>>();
    // Every key has a pin, whose request may kill: few messages of many would ever be handled.
    let longest = match deduplicate_by {
        DeduplicateBy::Key => 40.min(events / 20),
        DeduplicateBy::KeyAndTimestamp => events / 20,
    };
    let mut waiting = VecDeque::new();
    let mut rest = told.as_slice();
    while !rest.is_empty() {
        let size = usize::try_from(1 + random.below(longest)).unwrap().min(rest.len());
        let (message, behind) = rest.split_at(size);
        waiting.push_back(Arc::new(message.to_vec()));
        rest = behind;
    }
    let queue = Arc::new(Mutex::new(Queue { waiting, random }));
    let workers = (0..WRITERS).map(|_| tokio::spawn(work(rig.clone(), queue.clone()))).collect::<Vec<_>>();
    let mut deaths = 0;
    for worker in workers {
        deaths += worker.await.unwrap();
    }
    // One that handled the last message may have died after the others were done.
    deaths += work(rig.clone(), queue).await;
    assert!(deaths > 0, "nobody died: the test shows nothing");

    let calm = rig.over(Line::counting());
    let (from, until) = (start() - TimeDelta::days(20), start() + TimeDelta::days(20));
    let customer = traffic.customers()[0];
    let range = Range { from, until };
    let total = total_of(&calm.platform, calm.organization, &meter, customer, range).await.unwrap();
    assert_eq!(total.events, expected.len() as u64, "seed {seed}");
    assert_eq!(total.quantity.units(), expected.values().sum::<i128>(), "seed {seed}");
    let audited = audit(&calm.platform.store, calm.organization, Repairs::None, |_| {}).await.unwrap();
    assert_eq!((audited.events, audited.findings), (expected.len() as u64, Vec::new()), "seed {seed}");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_counted_once_whatever_goes_wrong() {
    let events = setting("FLUXRATE_CHAOS_EVENTS", 4_000);
    for seed in 1..=setting("FLUXRATE_CHAOS_SEEDS", 4) {
        for (seed, events, by) in
            [(seed, events, DeduplicateBy::KeyAndTimestamp), (seed + 1000, events / 10, DeduplicateBy::Key)]
        {
            let longest = std::time::Duration::from_secs(60 + events / 100);
            let survived = tokio::time::timeout(longest, survive(seed, events, by)).await;
            assert!(survived.is_ok(), "seed {seed}: counting never ends");
        }
    }
}

#[tokio::test]
async fn an_audit_finds_what_is_wrong_and_puts_it_right() {
    let rig = Rig::new(start(), Line::counting()).await.unwrap();
    let meter = rig.meter("audited", Aggregation::Sum, DeduplicateBy::Key).await.unwrap();
    let mut traffic = Traffic::new(rig.organization, meter.id, 2, 1);
    for second in 0..30 {
        let batch = traffic.batch(start() + TimeDelta::seconds(second), TimeDelta::seconds(1), 300);
        assert!(ingest_usage::count(&rig.platform, &batch).await.iter().all(Result::is_ok));
    }
    let run = async |repairs| audit(&rig.platform.store, rig.organization, repairs, |_| {}).await.unwrap();
    let right = run(Repairs::None).await;
    assert_eq!((right.heads, right.events, right.findings.len()), (2, 30 * 600, 0));

    let month = domain::month::Month::of(start());
    let id = store::HeadId {
        organization: rig.organization,
        meter: meter.id,
        customer: traffic.customers()[1],
        month,
    };
    let mut head = rig.platform.store.get_head(id).await.unwrap();
    let totals = head.days.get_mut(&15).unwrap();
    totals.add(&traffic.batch(start(), TimeDelta::seconds(1), 1)[0].event).unwrap();
    rig.platform.store.commit_head(id, &domain::commit::HeadWrite::Put(head)).await.unwrap();
    let wrong = run(Repairs::None).await;
    assert_eq!(wrong.findings.len(), 1, "{wrong:?}");
    assert!(wrong.findings[0].what.starts_with("day 15"), "{wrong:?}");
    assert!(run(Repairs::WithoutLoss).await.findings[0].is_repaired);
    assert_eq!(run(Repairs::None).await, right);
}
