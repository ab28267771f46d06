//! Counting by writers at the same time, against an oracle that shares nothing with what counts: a list of events, a set
//! of keys, and one pass of decimal arithmetic for each number.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use app::{
    ingest_usage,
    read_usage::{self, Question},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    commit::Verdict,
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CustomerId, Id},
    meter::{Aggregation, DeduplicateBy, Meter},
    property::{Properties, Property},
    series::Range,
    zone::{Step, Steps},
};
use fluxrate_bench::{rig::Rig, traffic::Random};
use rust_decimal::{Decimal, RoundingStrategy};
use testkit::Line;

use crate::chaos::setting;

const WRITERS: usize = 6;

/// An event as the oracle knows it.
#[derive(Clone, Debug)]
struct Told {
    customer: CustomerId,
    key: String,
    at: DateTime<Utc>,
    quantity: Decimal,
    user: String,
}

/// Everything that counts, and under which keys.
#[derive(Default)]
struct Oracle {
    events: Vec<Told>,
    keys: HashSet<(CustomerId, String, Option<DateTime<Utc>>)>,
}

impl Oracle {
    /// What a customer's events in `range` come to, and how many they are.
    fn total(&self, customer: CustomerId, aggregation: Aggregation, range: Range) -> (Decimal, usize) {
        let own = self.events.iter().filter(|event| event.customer == customer);
        let mut before_end = own.filter(|event| event.at < range.until).collect::<Vec<_>>();
        before_end.sort_by_key(|event| event.at);
        let inside = before_end.iter().filter(|event| event.at >= range.from);
        let mut quantities = inside.clone().map(|event| event.quantity);
        let count = inside.clone().count();
        let total = match aggregation {
            Aggregation::Count => Decimal::from(count),
            Aggregation::Sum => quantities.sum(),
            Aggregation::Max => quantities.max().unwrap_or_default(),
            Aggregation::Min => quantities.min().unwrap_or_default(),
            Aggregation::Last => quantities.next_back().unwrap_or_default(),
            Aggregation::UniqueCount => {
                Decimal::from(inside.map(|event| &event.user).collect::<HashSet<_>>().len())
            }
            Aggregation::WeightedSum => {
                let mut level = Decimal::ZERO;
                let mut area = Decimal::ZERO;
                let mut since = range.from;
                let millis = |from: DateTime<Utc>, until: DateTime<Utc>| {
                    Decimal::from((until - from).num_milliseconds())
                };
                for event in before_end {
                    if event.at > range.from {
                        area += level * millis(since, event.at);
                        since = event.at;
                    }
                    level = event.quantity;
                }
                area += level * millis(since, range.until);
                let average = area / millis(range.from, range.until);
                average.round_dp_with_strategy(12, RoundingStrategy::MidpointAwayFromZero)
            }
        };
        (total, count)
    }

    fn customers(&self, range: Range) -> usize {
        let inside = self.events.iter().filter(|event| range.contains(event.at));
        inside.map(|event| event.customer).collect::<HashSet<_>>().len()
    }
}

/// One case: what is told, by whom and when.
struct Case {
    rig: Arc<Rig>,
    meter: Meter,
    by: DeduplicateBy,
    random: Random,
}

fn start() -> DateTime<Utc> {
    "2025-01-17T06:30:00Z".parse().unwrap()
}

/// From the middle of January to the beginning of March, denser in the first hours.
fn at(random: &mut Random) -> DateTime<Utc> {
    let longest = if random.below(2) == 0 { 7_200_000 } else { 45 * 86_400_000 };
    start() + TimeDelta::milliseconds(random.below(longest).cast_signed())
}

impl Case {
    fn event(&self, told: &Told) -> TrackedEvent {
        let text = told.quantity.to_string();
        TrackedEvent {
            organization: self.rig.organization,
            meter: self.meter.id,
            customer: told.customer,
            has_sender_key: true,
            event: UsageEvent {
                key: told.key.clone(),
                occurred_at: told.at,
                ingested_at: told.at,
                quantity: text.parse().unwrap(),
                properties: Properties::from([("n".into(), Property::Text(told.user.clone()))]),
                metadata: Properties::new(),
                revision: Revision::First,
            },
        }
    }

    /// All that is told: each key once or several times; again with another time, or with other content.
    fn tell(&mut self, keys: u64) -> Vec<Told> {
        let customers = [1, 2, 3].map(|n| Id::from_uuid(uuid::Uuid::from_u128(n)));
        let mut told = Vec::new();
        let random = &mut self.random;
        for key in 0..keys {
            let first = Told {
                customer: customers[random.below(3) as usize],
                key: format!("key {}", key / 2), // two customers may have one
                at: at(random),
                quantity: Decimal::new(random.below(1_000_000_000).cast_signed(), 3),
                user: format!("user {}", random.below(keys / 3 + 1)),
            };
            for _ in 0..1 + random.below(3) {
                let mut again = first.clone();
                match random.below(6) {
                    0 => again.at = at(random),
                    1 => again.quantity += Decimal::ONE,
                    2 => again.user.push('\''),
                    _ => {}
                }
                let place = random.below(told.len() as u64 + 1) as usize;
                told.insert(place, again);
            }
            told.push(first);
        }
        told
    }

    /// Cuts what is told into batches at random, some of which come twice.
    fn batches(&mut self, told: &[Told]) -> VecDeque<Vec<Told>> {
        let mut batches = VecDeque::new();
        let mut rest = told;
        while !rest.is_empty() {
            let longest = [3, 30, 200][self.random.below(3) as usize];
            let (batch, behind) = rest.split_at((1 + self.random.below(longest) as usize).min(rest.len()));
            for _ in 0..1 + self.random.below(4) / 3 {
                let place = self.random.below(batches.len() as u64 + 1) as usize;
                batches.insert(place, batch.to_vec());
            }
            rest = behind;
        }
        batches
    }
}

/// What became of everything that was told.
type Verdicts = Vec<(Told, Verdict)>;

/// Takes batches until there are none, each again until all of it has a verdict.
async fn write(case: Arc<Case>, batches: Arc<Mutex<VecDeque<Vec<Told>>>>) -> Verdicts {
    let mut verdicts = Vec::new();
    loop {
        let Some(mut batch) = batches.lock().unwrap().pop_front() else { return verdicts };
        while !batch.is_empty() {
            let events = batch.iter().map(|told| case.event(told)).collect::<Vec<_>>();
            let outcomes = ingest_usage::count(&case.rig.platform, &events).await;
            let mut again = Vec::new();
            for (told, outcome) in batch.into_iter().zip(outcomes) {
                match outcome {
                    Ok(verdict) => verdicts.push((told, verdict)),
                    Err(_) => again.push(told),
                }
            }
            batch = again;
        }
    }
}

/// What counts, which is the one of each key that was said to. Everything else has to be a repeat of it or in conflict.
async fn oracle(case: &Case, verdicts: Verdicts) -> Oracle {
    let mut oracle = Oracle::default();
    let mut counted = HashMap::new();
    // Under one key and timestamp, or else under one key whatever the timestamp.
    let identity = |told: &Told| {
        let at = (case.by == DeduplicateBy::KeyAndTimestamp).then_some(told.at);
        (told.customer, told.key.clone(), at)
    };
    let mut times = HashMap::<_, HashSet<_>>::new();
    for (told, _) in &verdicts {
        times.entry(identity(told)).or_default().insert(told.at);
    }
    for (told, _) in verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Counted) {
        assert!(oracle.keys.insert(identity(told)), "{told:?} is counted twice");
        let mut placed = told.clone();
        if case.by == DeduplicateBy::Key {
            let whose = (case.rig.organization, case.meter.id, told.customer);
            placed.at = case.rig.platform.store.find_pin(whose, &told.key).await.unwrap().unwrap();
            assert!(times[&identity(told)].contains(&placed.at), "nobody said {placed:?}");
        }
        counted.insert(identity(told), (told.quantity, told.user.clone()));
        oracle.events.push(placed);
    }
    for (told, verdict) in &verdicts {
        let first = counted.get(&identity(told)).unwrap_or_else(|| panic!("{told:?} is lost"));
        let is_same = *first == (told.quantity, told.user.clone());
        let expected = if is_same { Verdict::Duplicate } else { Verdict::Conflict };
        assert!(*verdict == Verdict::Counted && is_same || *verdict == expected, "{told:?}: {verdict:?}");
    }
    oracle
}

async fn check(aggregation: Aggregation, by: DeduplicateBy, seed: u64, keys: u64) {
    let rig = Rig::new(start() + TimeDelta::days(60), Line::counting()).await.unwrap();
    let meter = rig.meter("oracle", aggregation, by).await.unwrap();
    let mut case = Case { rig: Arc::new(rig), meter, by, random: Random::new(seed) };
    let told = case.tell(keys);
    let batches = Arc::new(Mutex::new(case.batches(&told)));
    let mut random = case.random.clone();
    let case = Arc::new(case);
    let writers = (0..WRITERS).map(|_| tokio::spawn(write(case.clone(), batches.clone())));
    let mut verdicts = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        verdicts.extend(writer.await.unwrap());
    }
    let oracle = oracle(&case, verdicts).await;
    let customers = oracle.events.iter().map(|event| event.customer).collect::<BTreeSet<_>>();
    assert_eq!(customers.len(), 3);
    let mut ranges = vec![
        ("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
        ("2025-01-20T00:00:00Z", "2025-02-20T00:00:00Z"), // begins in a month
        ("2025-01-17T07:00:00Z", "2025-01-17T07:30:00Z"),
        ("2025-01-01T00:00:00Z", "2025-03-15T00:00:00Z"),
    ];
    let ranges = ranges
        .drain(..)
        .map(|(from, until)| Range { from: from.parse().unwrap(), until: until.parse().unwrap() });
    let mut ranges = ranges.collect::<Vec<_>>();
    for _ in 0..4 {
        let (one, other) = (at(&mut random), at(&mut random));
        ranges.push(Range { from: one.min(other), until: one.max(other) + TimeDelta::milliseconds(1) });
    }
    for range in ranges {
        for customer in &customers {
            let (total, events) = oracle.total(*customer, aggregation, range);
            let (platform, organization) = (&case.rig.platform, case.rig.organization);
            let found =
                read_usage::total_of(platform, organization, &case.meter, *customer, range).await.unwrap();
            let found = (found.quantity.to_string(), found.events as usize);
            let expected = (total.normalize().to_string(), events);
            assert_eq!(found, expected, "{aggregation:?} {by:?} {seed} over {range:?}");
        }
        let steps = Some(Steps::utc(Step::Day));
        let question = Question { steps, ..Question::default() };
        let (platform, actor) = (&case.rig.platform, case.rig.actor());
        let series =
            read_usage::series(platform, &actor, case.meter.id, None, range, &question).await.unwrap().1;
        assert_eq!(series.unique_customers as usize, oracle.customers(range));
        let mut by_day = BTreeMap::<_, usize>::new();
        for event in oracle.events.iter().filter(|event| range.contains(event.at)) {
            *by_day.entry(event.at.date_naive()).or_default() += 1;
        }
        let found = series.steps.iter().filter(|(_, usage)| usage.events > 0);
        let found = found.map(|(day, usage)| (day.date_naive(), usage.events as usize));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), by_day, "{aggregation:?} {by:?} {seed} over {range:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_come_to_what_an_oracle_comes_to() {
    use Aggregation::{Count, Last, Max, Min, Sum, UniqueCount, WeightedSum};
    for seed in 1..=setting("FLUXRATE_ORACLE_SEEDS", 1) {
        for (aggregation, n) in [Sum, Count, Max, Min, Last, UniqueCount, WeightedSum].into_iter().zip(0..) {
            let by = if (seed + n) % 3 == 0 { DeduplicateBy::KeyAndTimestamp } else { DeduplicateBy::Key };
            check(aggregation, by, seed * 100 + n, 150).await;
        }
    }
}
