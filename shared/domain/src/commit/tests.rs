//! Commits against a stored month in memory: what the store does, and what a naive set and fold say.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    event::tests::event,
    id::{CorrectionId, CustomerId},
    meter::Filter,
    property::Property,
    refold::Refold,
    revision::Corrections,
    series::{Query, Series},
    totals::{Fold, HeldOver, Usage},
    window::{Level, Window},
    zone::{Step, Steps},
};

const ME: CustomerId = CustomerId::from_uuid(uuid::Uuid::from_u128(7));

fn counting(aggregation: Aggregation) -> Counting<'static> {
    Counting { aggregation, property: "user", filters: &[] }
}

/// A stored month: what the store does, in memory.
pub(crate) struct Stored {
    pub(crate) counting: Counting<'static>,
    month: Month,
    pub(crate) head: Head,
    /// Each with the window it was put into; `None` for corrections.
    pub(crate) segments: Vec<(Option<Window>, UsageEvent)>,
    hours: BTreeMap<u32, Hours>,
    /// How many events fit into the tail.
    room: usize,
}

impl Stored {
    fn new(counting: Counting<'static>, room: usize) -> Self {
        let month = Month::of("2025-01-01T00:00:00Z".parse().unwrap());
        let (head, segments, hours) = (Head::default(), Vec::new(), BTreeMap::new());
        Self { counting, month, head, segments, hours, room }
    }

    /// The members in segments that lie in `runs`.
    fn in_runs(&self, runs: &[WindowRun]) -> Vec<&UsageEvent> {
        let is_inside = |window: &Window| {
            let inside = |run: &&WindowRun| {
                run.level == window.level && run.first <= window.start && window.start <= run.last
            };
            runs.iter().any(|run| inside(&run))
        };
        let rows = self.segments.iter().filter(|(window, _)| window.as_ref().is_some_and(is_inside));
        rows.map(|(_, event)| event).collect()
    }

    fn corrections(&self) -> impl Iterator<Item = &UsageEvent> {
        self.segments.iter().filter(|(window, _)| window.is_none()).map(|(_, event)| event)
    }

    fn commit(&mut self, events: &[UsageEvent]) -> Vec<Verdict> {
        let head = self.head.clone();
        let lookup = head.lookup(events);
        let wanted = |event: &&UsageEvent| lookup.wanted.contains(&event.identity());
        let mut found = self.in_runs(&lookup.runs).into_iter().filter(wanted).cloned().collect::<Vec<_>>();
        if lookup.reads_corrections {
            found.extend(self.corrections().filter(wanted).cloned());
        }
        let sifted = head.sift(&found, events);
        let mut refolded = BTreeMap::new();
        for bucket in sifted.refolds(self.counting) {
            let range = bucket.range(self.month);
            let unsealed = sifted.unsealed_in(bucket).collect::<Vec<_>>();
            let corrections = Corrections::among(self.corrections().chain(unsealed.iter().copied()));
            let mut refold = Refold::bounded(self.counting, corrections, range, self.room);
            let firsts = || unsealed.iter().copied().filter(|event| event.revision == Revision::First);
            loop {
                let sealed = self.in_runs(&head.runs_in(refold.slice()));
                sealed.into_iter().chain(firsts()).for_each(|event| refold.add(event));
                if !refold.begins_further_slice() {
                    break;
                }
            }
            refolded.insert(bucket, refold.finish());
        }
        let draft = sifted.admit(self.counting, &refolded);
        let verdicts = draft.verdicts().to_vec();
        if draft.is_unchanged() {
            return verdicts;
        }
        if !draft.must_seal() && draft.head().tail.len() <= self.room {
            self.head = Head { version: head.version + 1, ..draft.head().clone() };
            return verdicts;
        }
        let mut hours = BTreeMap::new();
        for (day, source) in draft.hours_wanted(self.counting, &head) {
            hours.insert(
                day,
                match source {
                    HoursSource::Stored => self.hours[&day].clone(),
                    HoursSource::Empty => Hours::default(),
                    HoursSource::Members => self.adopted(day),
                },
            );
        }
        match draft.seal(self.counting, hours).unwrap() {
            HeadWrite::Seal { head: sealed, segments, hours } => {
                self.head = Head { version: head.version + 1, ..sealed };
                assert!(segments.len() <= 60, "{} segments", segments.len());
                let windows = segments.iter().map(|segment| segment.window).collect::<BTreeSet<_>>();
                assert_eq!(windows.len(), segments.len(), "two segments of one window would have one key");
                for segment in segments {
                    for event in &segment.events {
                        let window = segment.window;
                        assert!(window.is_none_or(|window| {
                            window.level.start_of(event.occurred_at) == window.start
                        }));
                    }
                    self.segments.extend(segment.events.into_iter().map(|event| (segment.window, event)));
                }
                self.hours.extend(hours);
            }
            HeadWrite::Nothing | HeadWrite::Put(_) => panic!("not sealed"),
        }
        verdicts
    }

    /// What the application folds when a day gets totals by hour after it has begun.
    fn adopted(&self, day: u32) -> Hours {
        let range = Bucket { day, hour: None }.range(self.month);
        let mut hours = BTreeMap::new();
        let members = self.in_runs(&self.head.runs_in(&[range]));
        for event in members.into_iter().filter(|event| range.contains(event.occurred_at)) {
            let hour = event.occurred_at.hour();
            let range = Head::hour_range(self.month, day, hour);
            let fold = || Refold::new(self.counting, Corrections::default(), range);
            hours.entry(hour).or_insert_with(fold).add(event);
        }
        let totals = hours.into_iter().map(|(hour, fold)| (hour, fold.finish().unwrap()));
        Hours { totals: totals.collect() }
    }

    /// Every member and correction.
    pub(crate) fn all(&self) -> Vec<UsageEvent> {
        self.segments.iter().map(|(_, event)| event).chain(&self.head.tail).cloned().collect()
    }

    /// Every member and correction in segments.
    fn sealed(&self) -> Vec<UsageEvent> {
        self.segments.iter().map(|(_, event)| event.clone()).collect()
    }

    fn series(&self, query: Query<'static>, bytes_max: usize) -> (Usage, Vec<(DateTime<Utc>, Usage)>) {
        let series = self.folded(query, bytes_max);
        (series.total().unwrap(), series.steps().unwrap())
    }

    fn folded(&self, query: Query<'static>, bytes_max: usize) -> Series<'static> {
        let mut series = Series::bounded(query, bytes_max);
        let wanted = query.hours_wanted(self.month, &self.head);
        let hours = wanted.into_iter().map(|day| (day, self.hours[&day].clone())).collect();
        loop {
            let mut corrections = Corrections::among(self.corrections().chain(&self.head.tail));
            series.add_head(ME, self.month, &self.head, &hours, &mut corrections).unwrap();
            while series.begins_slice(ME, &self.head, &mut corrections).unwrap() {
                for event in self.in_runs(&self.head.runs_in(series.slice())) {
                    series.add_member(ME, event, &mut corrections).unwrap();
                }
                series.end_slice(ME, &corrections).unwrap();
            }
            if !series.begins_further_pass() {
                break;
            }
        }
        series
    }
}

/// What counts of `events`, the plain way.
pub(crate) fn visible(events: &[UsageEvent]) -> Vec<&UsageEvent> {
    let mut by_identity = BTreeMap::<_, Vec<&UsageEvent>>::new();
    for event in events {
        by_identity.entry(event.identity()).or_default().push(event);
    }
    by_identity.into_values().filter_map(visible_of).collect()
}

fn naive(counting: Counting<'static>, events: &[UsageEvent], range: Range) -> Usage {
    let mut fold = Fold::new(counting);
    for event in visible(events).into_iter().filter(|event| range.contains(event.occurred_at)) {
        fold.add_of(ME, event).unwrap();
    }
    fold.usage(HeldOver { from: range.from, until: range.until, carried: &BTreeMap::new() }).unwrap()
}

/// The totals of what counts in `range`, taken one by one in the order of time; `None` of nothing.
fn naive_totals(counting: Counting<'static>, events: &[UsageEvent], range: Range) -> Option<Totals> {
    let counted = visible(events).into_iter().filter(|event| range.contains(event.occurred_at));
    let mut counted = counted.filter(|event| counting.includes(*event)).collect::<Vec<_>>();
    counted.sort_by_key(|event| crate::totals::Latest::of(*event));
    let empty = Totals::empty(counting.aggregation);
    let totals = counted.into_iter().try_fold(empty, |totals, event| totals.with(event)).unwrap();
    (totals.events > 0).then_some(totals)
}

const AGGREGATIONS: [Aggregation; 7] = [
    Aggregation::Count,
    Aggregation::Sum,
    Aggregation::Max,
    Aggregation::Min,
    Aggregation::Last,
    Aggregation::UniqueCount,
    Aggregation::WeightedSum,
];

/// One event of a test: under one of few keys, so that there are repeats, at a time that the key decides.
#[derive(Clone, Debug)]
struct Told {
    key: u32,
    correction: Option<(u32, bool)>,
    quantity: i64,
}

/// Dense in the first days, sparse after.
fn at_of(key: u32, dense: bool) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
    let scattered = i64::from(key).wrapping_mul(7_919_337) % if dense { 90_000 } else { 2_600_000 };
    start + TimeDelta::seconds(scattered) + TimeDelta::milliseconds(i64::from(key % 7))
}

fn event_of(told: &Told, dense: bool, weight: usize) -> UsageEvent {
    let mut event = event(&format!("k{}", told.key), "2025-01-01T00:00:00Z", "0");
    event.occurred_at = at_of(told.key, dense);
    // The quantity of a key does not change, but for its corrections.
    let quantity = told.correction.map_or(i64::from(told.key) * 13 % 97, |_| told.quantity);
    event.quantity = Quantity::from_units(i128::from(quantity));
    event.ingested_at = event.occurred_at + TimeDelta::seconds(quantity % 3);
    event.properties.insert("user".into(), Property::Text(format!("u{}", told.key % 5)));
    event.properties.insert("weight".into(), Property::Text("x".repeat(weight)));
    event.revision = match told.correction {
        None => Revision::First,
        Some((id, true)) => Revision::Void(CorrectionId::from_uuid(uuid::Uuid::from_u128(id.into()))),
        Some((id, false)) => Revision::Replacement(CorrectionId::from_uuid(uuid::Uuid::from_u128(id.into()))),
    };
    event
}

fn told() -> impl Strategy<Value = Told> {
    let correction = prop::option::weighted(0.12, (1_u32..9, any::<bool>()));
    (0_u32..60, correction, 0_i64..100).prop_map(|(key, correction, quantity)| {
        // The content of a correction follows from its id, as with all that is sent again.
        let quantity = correction.map_or(quantity, |(id, _)| i64::from(id * 17 + key) % 89);
        let correction = correction.map(|(id, _)| (id, id % 3 == 0));
        Told { key, correction, quantity }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Any order, any batches, any repeats, late events and corrections: the members of a naive set, the
    /// totals of a naive fold after every commit, and any range and step the naive sum.
    #[test]
    fn commits_equal_a_naive_set(
        told in prop::collection::vec(told(), 1..120),
        batch in 1_usize..25,
        which in 0..AGGREGATIONS.len(),
        dense in any::<bool>(),
        weight in prop::sample::select(vec![0_usize, 20_000, 120_000]),
        from in 0_i64..2_700_000,
        length in 1_i64..2_700_000,
        step in prop::option::of(prop::sample::select(vec![Step::Hour, Step::Day, Step::Week])),
        zone in prop::sample::select(vec![chrono_tz::Tz::UTC, chrono_tz::Tz::Asia__Kolkata]),
    ) {
        let counting = counting(AGGREGATIONS[which]);
        let mut stored = Stored::new(counting, 6);
        let events = told.iter().map(|told| event_of(told, dense, weight)).collect::<Vec<_>>();
        let mut naive_set = BTreeMap::new();
        for batch in events.chunks(batch) {
            let verdicts = stored.commit(batch);
            let mut fresh = 0;
            for event in batch {
                let id = (event.occurred_at, event.key.clone(), event.revision.correction());
                fresh += usize::from(naive_set.insert(id, event.clone()).is_none());
            }
            prop_assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Counted).count(), fresh);

            let all = stored.all();
            prop_assert_eq!(all.len(), naive_set.len(), "no event is lost, none is there twice");
            let members = all.iter().filter(|event| event.revision == Revision::First).count() as u64;
            prop_assert_eq!(stored.head.members, members);
            for day in 1..=31 {
                let range = Bucket { day, hour: None }.range(stored.month);
                let found = stored.head.days.get(&day).copied().filter(|totals| totals.events > 0);
                prop_assert_eq!(found, naive_totals(counting, &all, range), "day {}", day);
            }
            for (day, hours) in &stored.hours {
                for hour in 0..24 {
                    let range = Bucket { day: *day, hour: Some(hour) }.range(stored.month);
                    let found = hours.totals.get(&hour).copied().filter(|totals| totals.events > 0);
                    let sealed = stored.sealed();
                    prop_assert_eq!(found, naive_totals(counting, &sealed, range), "day {}, {} h", day, hour);
                }
            }
        }
        let all = naive_set.into_values().collect::<Vec<_>>();
        let start: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
        let range = Range {
            from: start + TimeDelta::seconds(from),
            until: start + TimeDelta::seconds(from + length),
        };
        let whole = Range { from: start, until: start + TimeDelta::days(31) };
        let days = Range { from: start + TimeDelta::days(1), until: start + TimeDelta::days(9) };
        for range in [range, whole, days] {
            let steps = step.map(|step| Steps { step, zone });
            let query = Query { counting, range, now: range.until, steps, filters: &[], group_by: None };
            let (total, by_step) = stored.series(query, usize::MAX);
            prop_assert_eq!(&stored.series(query, 300), &(total, by_step.clone()), "with little held");
            // What is carried into a range is not known here: compare levels only from the start.
            if counting.aggregation != Aggregation::WeightedSum || range.from == start {
                prop_assert_eq!(total, naive(counting, &all, range));
            }
            for (at, usage) in by_step {
                let steps = steps.unwrap();
                let step = Range { from: at, until: steps.next(at) }.intersection(range).unwrap();
                let expected = naive(counting, &all, step);
                prop_assert_eq!(usage.events, expected.events);
                if counting.aggregation != Aggregation::WeightedSum {
                    prop_assert_eq!(usage, expected);
                }
            }
        }
    }

    /// Filters of a query, and groups, see every event once, and each group what counts of its value.
    #[test]
    fn filters_and_groups_equal_naive_ones(
        told in prop::collection::vec(told(), 1..80),
        batch in 1_usize..20,
        which in 0..AGGREGATIONS.len() - 1, // levels have no groups
        is_filtered in any::<bool>(),
        hours in 1_i64..744,
    ) {
        let counting = Counting { property: "kind", ..counting(AGGREGATIONS[which]) };
        let mut stored = Stored::new(counting, 6);
        let events = told.iter().map(|told| {
            let mut event = event_of(told, true, 20_000);
            event.properties.insert("kind".into(), Property::Text(format!("k{}", told.key % 3)));
            if told.key.is_multiple_of(4) {
                event.properties.remove("user"); // in no group that has a name
            }
            event
        });
        let events = events.collect::<Vec<_>>();
        events.chunks(batch).for_each(|batch| _ = stored.commit(batch));
        let all = stored.all();
        let start: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
        let range = Range { from: start, until: start + TimeDelta::hours(hours) };
        let users = Filter {
            property: "user".into(),
            operator: crate::meter::FilterOperator::In,
            values: vec!["u1".into(), "u3".into()],
        };
        let filters: &[Filter] = if is_filtered { Box::leak(Box::new([users.clone()])) } else { &[] };
        let query = Query { counting, range, now: range.until, steps: None, filters, group_by: Some("user") };
        let mut expected = BTreeMap::<Option<&str>, Vec<&UsageEvent>>::new();
        for event in visible(&all).into_iter().filter(|event| range.contains(event.occurred_at)) {
            if !is_filtered || matches!(event.property("user"), Some("u1" | "u3")) {
                expected.entry(event.property("user")).or_default().push(event);
            }
        }
        for bytes_max in [usize::MAX, 300] {
            let series = stored.folded(query, bytes_max);
            let groups = series.groups().unwrap().into_iter().collect::<BTreeMap<_, _>>();
            prop_assert_eq!(groups.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (value, usage) in groups {
                prop_assert_eq!(usage, plain(counting.aggregation, &expected[&value]), "{:?}", value);
            }
            let all = expected.values().flatten().copied().collect::<Vec<_>>();
            prop_assert_eq!(series.total().unwrap(), plain(counting.aggregation, &all));
        }
    }
}

/// What these events come to, each by itself.
fn plain(aggregation: Aggregation, events: &[&UsageEvent]) -> Usage {
    let units = events.iter().map(|event| event.quantity.units());
    let one = Quantity::ONE.units();
    let quantity = match aggregation {
        Aggregation::Count => events.len() as i128 * one,
        Aggregation::Sum => units.sum(),
        Aggregation::Max => units.max().unwrap_or_default(),
        Aggregation::Min => units.min().unwrap_or_default(),
        Aggregation::Last => {
            let place = |event: &&&UsageEvent| (event.occurred_at, event.ingested_at, event.quantity);
            events.iter().max_by_key(place).map_or(0, |event| event.quantity.units())
        }
        Aggregation::UniqueCount => {
            events.iter().filter_map(|event| event.property("kind")).collect::<BTreeSet<_>>().len() as i128
                * one
        }
        Aggregation::WeightedSum => panic!("a level has no groups"),
    };
    Usage { quantity: Quantity::from_units(quantity), events: events.len() as u64 }
}

#[test]
fn a_repeat_meets_the_first_wherever_it_lies() {
    let mut stored = Stored::new(counting(Aggregation::Sum), 4);
    let at = |n: u32| event(&format!("k{n}"), &format!("2025-01-{n:02}T00:00:00Z"), "2");
    for n in 1..=12 {
        assert_eq!(stored.commit(&[at(n)]), [Verdict::Counted]);
    }
    for n in 1..=12 {
        assert_eq!(stored.commit(&[at(n)]), [Verdict::Duplicate], "event {n}");
    }
    let late = event("late", "2025-01-01T12:00:00Z", "1");
    assert_eq!(stored.commit(&[late.clone(), late]), [Verdict::Counted, Verdict::Duplicate]);
    let other = UsageEvent { quantity: Quantity::ONE, ..at(3) };
    assert_eq!(stored.commit(&[other]), [Verdict::Conflict]);
    let total = stored.head.total(Totals::empty(Aggregation::Sum)).unwrap();
    assert_eq!((total.quantity().unwrap().to_string().as_str(), total.events), ("25", 13));
}

#[test]
fn a_dense_month_gets_windows_of_seconds_and_totals_by_hour() {
    let mut stored = Stored::new(counting(Aggregation::Sum), 20);
    let start: DateTime<Utc> = "2025-01-03T09:59:40Z".parse().unwrap();
    for second in 0..40 {
        let events = (0..500).map(|n| {
            let mut event =
                event(&uuid::Uuid::from_u128(second * 500 + n).to_string(), "2025-01-01T00:00:00Z", "1");
            event.occurred_at = start + TimeDelta::milliseconds((second * 1000 + n * 2) as i64);
            event
        });
        assert!(
            stored.commit(&events.collect::<Vec<_>>()).iter().all(|verdict| *verdict == Verdict::Counted)
        );
    }
    assert_eq!(stored.head.finest, Level::Second);
    assert!(stored.head.hourly.contains(3));
    let by_hour = stored.hours[&3].totals.iter().map(|(hour, totals)| (*hour, totals.events));
    assert_eq!(by_hour.collect::<Vec<_>>(), [(9, 10_000), (10, 10_000)]);
    let levels = stored.segments.iter().filter_map(|(window, _)| Some(window.as_ref()?.level));
    assert_eq!(levels.collect::<BTreeSet<_>>(), Level::ALL.into());

    // A repeat of the last second reads one window of a second, not the month.
    let again = stored.segments.last().unwrap().1.clone();
    let lookup = stored.head.lookup(std::slice::from_ref(&again));
    assert!(stored.in_runs(&lookup.runs).len() <= 1000, "{:?}", lookup.runs);
    assert_eq!(stored.commit(&[again]), [Verdict::Duplicate]);
}

#[test]
fn an_event_that_overflows_the_month_is_left_out() {
    let mut stored = Stored::new(counting(Aggregation::Sum), 4);
    let large = |n: usize| UsageEvent {
        occurred_at: "2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap()
            + TimeDelta::days((n % 28) as i64),
        quantity: Quantity::EVENT_MAX,
        ..event(&n.to_string(), "2025-01-01T00:00:00Z", "1")
    };
    let events = (0..17_020).map(large).collect::<Vec<_>>();
    let verdicts = stored.commit(&events);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Counted).count(), 17_014);
    assert_eq!(verdicts.last(), Some(&Verdict::Overflow));
    assert_eq!(stored.head.total(Totals::empty(Aggregation::Sum)).unwrap().events, 17_014);
}

#[test]
fn keys_of_one_instant_are_told_apart() {
    use Verdict::{Counted, Duplicate};
    let told = ["b", "a", "b", "c", "a"].map(|key| event(key, "2025-01-01T00:00:00Z", "1"));
    // With their firsts in segments, and in the tail.
    for room in [0, 9] {
        let mut stored = Stored::new(counting(Aggregation::Sum), room);
        assert_eq!(stored.commit(&told), [Counted, Counted, Duplicate, Counted, Duplicate], "{room}");
        assert_eq!(stored.commit(&told), [Duplicate; 5], "{room}");
        assert_eq!(stored.head.members, 3, "{room}");
    }
}
