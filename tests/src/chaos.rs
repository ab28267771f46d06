//! Counting while everything goes wrong: requests and answers are lost, workers die between any two requests, old
//! heads are read, writers meet at a head, and messages come again, with late events and corrections among them. At
//! the end every event is counted once, and every number is that of a naive list, every time.
//!
//! `make chaos` for more.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use app::{
    audit_usage::{Repairs, audit},
    ingest_usage,
    read_usage::total_of,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    event::{Revision, TrackedEvent, UsageEvent},
    id::Id,
    meter::{Aggregation, DeduplicateBy},
    property::{Properties, Property},
    quantity::Quantity,
    series::Range,
};
use fluxrate_bench::{
    rig::Rig,
    traffic::{Random, Traffic},
};
use testkit::{Fault, Line};

use crate::naive::Naive;

const WRITERS: usize = 8;

fn start() -> DateTime<Utc> {
    "2025-01-02T12:00:00Z".parse().unwrap()
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

/// What is told, and to which meter.
#[derive(Clone, Copy, Debug)]
struct Story {
    seed: u64,
    aggregation: Aggregation,
    by: DeduplicateBy,
    events: u64,
    /// How long each of its ten parts is.
    part: TimeDelta,
}

impl Story {
    /// Everything that is told, in the order of the messages: repeats, with a clock of their own where keys are
    /// pinned; late events, some of last month; and corrections, some before what they correct, some again.
    fn told(&self, traffic: &mut Traffic, random: &mut Random) -> Vec<TrackedEvent> {
        let mut told = Vec::new();
        for part in 0..10 {
            let mut batch = traffic.batch(start() + self.part * part, self.part, self.events / 10);
            batch.iter_mut().for_each(|tracked| self.dress(tracked));
            if self.by == DeduplicateBy::Key {
                let moved = batch.iter().filter(|tracked| is_moved(tracked)).cloned().collect::<Vec<_>>();
                batch.extend(moved.into_iter().map(|mut tracked| {
                    tracked.event.occurred_at += TimeDelta::seconds(90);
                    tracked
                }));
            }
            told.extend(batch);
        }
        let corrections = told.iter().flat_map(corrections_of).collect::<Vec<_>>();
        for correction in corrections {
            for _ in 0..1 + random.below(3) / 2 {
                let place = usize::try_from(random.below(told.len() as u64)).unwrap();
                told.push(correction.clone());
                let last = told.len() - 1;
                told.swap(place, last);
            }
        }
        told
    }

    /// Gives an event what its key says.
    fn dress(&self, TrackedEvent { event, .. }: &mut TrackedEvent) {
        let mut luck = luck_of(&event.key);
        event.quantity = Quantity::from_count(luck.below(1_000_000));
        let user = Property::Text(format!("user {}", luck.below(self.events / 3 + 1)));
        event.properties = Properties::from([("n".into(), user)]);
        if luck.below(40) == 0 {
            event.occurred_at -= TimeDelta::milliseconds(luck.below(4 * 86_400_000).cast_signed());
        }
    }
}

fn luck_of(key: &str) -> Random {
    let key = key.parse::<uuid::Uuid>().unwrap().as_u128();
    Random::new((key ^ (key >> 64)) as u64)
}

/// Whether the event is told again with another time: a tenth of those that are not corrected.
fn is_moved(TrackedEvent { event, .. }: &TrackedEvent) -> bool {
    let is_first = event.revision == Revision::First;
    is_first && event.quantity.units() / Quantity::ONE.units() % 10 == 1 && !is_corrected(event)
}

/// A tenth of all, and the smallest and the largest.
fn is_corrected(event: &UsageEvent) -> bool {
    let quantity = event.quantity.units() / Quantity::ONE.units();
    quantity % 10 == 2 || !(10_000..990_000).contains(&quantity)
}

/// One to three corrections of an event, if it is to have any.
fn corrections_of(tracked: &TrackedEvent) -> Vec<TrackedEvent> {
    if !is_corrected(&tracked.event) {
        return Vec::new();
    }
    let mut luck = luck_of(&tracked.event.key);
    let first = u128::from(luck.any()) << 8;
    let correction = |n: u64| {
        let mut correction = TrackedEvent { has_sender_key: false, ..tracked.clone() };
        let id = Id::from_uuid(uuid::Uuid::from_u128(first + u128::from(n)));
        let event = &mut correction.event;
        event.ingested_at += TimeDelta::seconds(n.cast_signed());
        event.revision = Revision::Void(id);
        if luck.below(2) == 0 {
            event.revision = Revision::Replacement(id);
            event.quantity = Quantity::from_count(luck.below(1_000_000));
            let user = Property::Text(format!("user {}", luck.below(1_000_000)));
            event.properties = Properties::from([("n".into(), user)]);
        }
        correction
    };
    (1..=1 + luck_of(&tracked.event.key).below(3)).map(correction).collect()
}

/// Cuts what is told into messages of any length.
fn messages(told: &[TrackedEvent], longest: u64, random: &mut Random) -> VecDeque<Arc<Vec<TrackedEvent>>> {
    let (mut waiting, mut rest) = (VecDeque::new(), told);
    while !rest.is_empty() {
        let size = usize::try_from(1 + random.below(longest)).unwrap().min(rest.len());
        let (message, behind) = rest.split_at(size);
        waiting.push_back(Arc::new(message.to_vec()));
        rest = behind;
    }
    waiting
}

/// Counts a story on a line that fails, and compares. Returns how many workers died.
async fn survive(story: Story) -> usize {
    let Story { seed, aggregation, by, events, part } = story;
    let rig = Rig::new(start(), Line::counting()).await.unwrap();
    let meter = rig.meter("chaos", aggregation, by).await.unwrap();
    // The same tables, over a line that fails.
    let rig = Arc::new(rig.over(faulty(seed).with_contention()));
    let mut traffic = Traffic::new(rig.organization, meter.id, 1, seed);
    let mut random = Random::new(seed + 1);
    let told = story.told(&mut traffic, &mut random);
    // Every key has a pin, whose request may kill: few messages of many would ever be handled.
    let longest = match by {
        DeduplicateBy::Key => 40.min(events / 20),
        DeduplicateBy::KeyAndTimestamp => events / 20,
    };
    let waiting = messages(&told, longest, &mut random);
    let queue = Arc::new(Mutex::new(Queue { waiting, random: random.clone() }));
    let workers = (0..WRITERS).map(|_| tokio::spawn(work(rig.clone(), queue.clone()))).collect::<Vec<_>>();
    let mut deaths = 0;
    for worker in workers {
        deaths += worker.await.unwrap();
    }
    // One that handled the last message may have died after the others were done.
    deaths += work(rig.clone(), queue).await;

    let calm = rig.over(Line::counting());
    let now = start() + part * 10 + TimeDelta::hours(1);
    calm.set_now(now);
    let (organization, customer) = (calm.organization, traffic.customers()[0]);
    let mut naive = Naive::default();
    told.iter().for_each(|tracked| naive.tell(&tracked.event));
    if by == DeduplicateBy::Key {
        for TrackedEvent { event, .. } in told.iter().filter(|tracked| is_moved(tracked)) {
            let whose = (organization, meter.id, customer);
            let pinned = calm.platform.store.find_pin(whose, &event.key).await.unwrap().unwrap();
            let apart = (pinned - event.occurred_at).num_seconds().abs();
            assert!(apart == 0 || apart == 90, "{story:?}: nobody said {pinned} of {event:?}");
            naive.place(&event.key, pinned);
        }
    }
    let (first, length) = (start() - TimeDelta::days(5), TimeDelta::days(5) + part * 10);
    let mut any = || first + TimeDelta::milliseconds(random.below(length.num_milliseconds() as u64) as i64);
    let mut ranges = vec![
        Range { from: start() - TimeDelta::days(20), until: start() + TimeDelta::days(20) },
        Range {
            from: "2025-01-01T00:00:00Z".parse().unwrap(),
            until: "2025-02-01T00:00:00Z".parse().unwrap(),
        },
        Range { from: start() + part, until: start() + part * 2 },
    ];
    ranges.extend((0..5).map(|_| {
        let (one, other) = (any(), any());
        Range { from: one.min(other), until: one.max(other) + TimeDelta::milliseconds(1) }
    }));
    for range in ranges {
        let total = total_of(&calm.platform, organization, &meter, customer, range).await.unwrap();
        let expected = naive.total(aggregation, range, now);
        assert_eq!((total.quantity.units(), total.events), expected, "{story:?} over {range:?}");
    }
    let audited = audit(&calm.platform.store, organization, Repairs::None, |_| {}).await.unwrap();
    assert_eq!((audited.events, audited.findings), (naive.keys(), Vec::new()), "{story:?}");
    deaths
}

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Lets stories happen over some seeds: of an aggregation each, so large a part of all events, over so long.
async fn survive_all(stories: &[(Aggregation, DeduplicateBy, u64, TimeDelta)]) {
    let events = setting("FLUXRATE_CHAOS_EVENTS", 2_000);
    let mut deaths = 0;
    for seed in 1..=setting("FLUXRATE_CHAOS_SEEDS", 1) {
        for ((aggregation, by, part_of, part), n) in stories.iter().zip(0..) {
            let (seed, events) = (seed + 1000 * n, (events / part_of).max(100));
            let story = Story { seed, aggregation: *aggregation, by: *by, events, part: *part };
            let began = std::time::Instant::now();
            // Far more than the slowest takes where others keep the machine busy.
            let longest = std::time::Duration::from_secs(300 + events / 20);
            let survived = tokio::time::timeout(longest, survive(story)).await;
            deaths += survived.unwrap_or_else(|_| panic!("{story:?}: counting never ends"));
            println!("{story:?}: {:?}", began.elapsed());
        }
    }
    assert!(deaths > 0, "nobody died: the test shows nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_counted_once_whatever_goes_wrong() {
    let second = TimeDelta::seconds(1);
    survive_all(&[
        (Aggregation::Sum, DeduplicateBy::KeyAndTimestamp, 1, second),
        (Aggregation::Sum, DeduplicateBy::Key, 20, second),
        (Aggregation::Count, DeduplicateBy::Key, 50, TimeDelta::hours(5)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_out_of_totals_is_right_whatever_goes_wrong() {
    let second = TimeDelta::seconds(1);
    survive_all(&[
        (Aggregation::Max, DeduplicateBy::KeyAndTimestamp, 4, second),
        (Aggregation::Min, DeduplicateBy::Key, 50, TimeDelta::hours(5)),
        (Aggregation::UniqueCount, DeduplicateBy::KeyAndTimestamp, 4, second),
        (Aggregation::UniqueCount, DeduplicateBy::Key, 100, second),
        (Aggregation::Last, DeduplicateBy::KeyAndTimestamp, 10, TimeDelta::hours(5)),
        (Aggregation::Last, DeduplicateBy::Key, 100, second),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_are_right_whatever_goes_wrong() {
    survive_all(&[
        (Aggregation::WeightedSum, DeduplicateBy::KeyAndTimestamp, 10, TimeDelta::days(1)),
        (Aggregation::WeightedSum, DeduplicateBy::KeyAndTimestamp, 20, TimeDelta::minutes(1)),
        (Aggregation::WeightedSum, DeduplicateBy::Key, 100, TimeDelta::hours(5)),
    ])
    .await;
}

#[tokio::test]
async fn a_head_that_a_transaction_is_at_is_decided_on_again() {
    let rig = Rig::new(start(), Line::counting().with_contention()).await.unwrap();
    let meter = rig.meter("met", Aggregation::Sum, DeduplicateBy::KeyAndTimestamp).await.unwrap();
    let mut traffic = Traffic::new(rig.organization, meter.id, 1, 1);
    let batch = traffic.batch(start(), TimeDelta::hours(1), 600);
    // One has to seal, while the others put the head with a longer tail.
    for round in batch.chunks(43) {
        let (many, few) = round.split_at(40.min(round.len()));
        let batches = std::iter::once(many).chain(few.chunks(1));
        let counts = batches.map(|batch| ingest_usage::count(&rig.platform, batch));
        for outcome in futures::future::join_all(counts).await.into_iter().flatten() {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    }
    assert!(rig.line.take_consumed().conflicts > 0, "they never met");
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
    let totals = head.days.get_mut(&2).unwrap();
    totals.add(&traffic.batch(start(), TimeDelta::seconds(1), 1)[0].event).unwrap();
    rig.platform.store.commit_head(id, &domain::commit::HeadWrite::Put(head)).await.unwrap();
    let wrong = run(Repairs::None).await;
    assert_eq!(wrong.findings.len(), 1, "{wrong:?}");
    assert!(wrong.findings[0].what.starts_with("day 2"), "{wrong:?}");
    assert!(run(Repairs::WithoutLoss).await.findings[0].is_repaired);
    assert_eq!(run(Repairs::None).await, right);
}
