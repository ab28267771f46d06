//! Distinct values that are counted in passes come to what they come to at once.

use proptest::prelude::*;

use super::*;
use crate::{
    event::{UsageEvent, tests::event},
    held::Held,
    property::Property,
};

const ME: CustomerId = CustomerId::from_uuid(uuid::Uuid::from_u128(7));

/// What one series said: in all, by step, by group.
type Said = (Usage, Vec<(DateTime<Utc>, Usage)>, Vec<(Option<String>, Usage)>);

fn query(aggregation: Aggregation) -> Query<'static> {
    let from = "2025-01-01T00:00:00Z".parse().unwrap();
    let range = Range { from, until: from + TimeDelta::days(1) };
    Query {
        counting: Counting { aggregation, property: "user", filters: &[] },
        range,
        now: range.until,
        steps: Some(Steps::utc(Step::Hour)),
        filters: &[],
        group_by: Some("region"),
    }
}

/// What is said of events, with how many passes it took and how many bytes were held at most.
fn said(query: Query<'static>, events: &[UsageEvent], bytes_max: usize) -> (Said, usize, usize) {
    let mut series = Series::bounded(query, bytes_max);
    let (mut passes, mut held) = (0, 0);
    loop {
        passes += 1;
        let (head, mut corrections) = (Head::default(), Corrections::default());
        series.add_head(ME, Month::of(query.range.from), &head, &BTreeMap::new(), &mut corrections).unwrap();
        while series.begins_slice(ME, &head, &mut corrections).unwrap() {
            for event in events {
                series.add_member(ME, event, &mut corrections).unwrap();
                held = held.max(series.folds().map(|fold| fold.bytes_held()).sum());
            }
            series.end_slice(ME, &corrections).unwrap();
        }
        if !series.begins_further_pass() {
            break;
        }
    }
    let groups = series.groups().unwrap().into_iter().map(|(value, usage)| (value.map(str::to_owned), usage));
    let groups = groups.collect();
    ((series.total().unwrap(), series.steps().unwrap(), groups), passes, held)
}

fn events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let row = (prop::option::of(0_u32..60), 0_i64..86_400, 0_u32..3);
    prop::collection::vec(row, 0..200).prop_map(|rows| {
        let event = |(n, (user, second, region)): (usize, (Option<u32>, i64, u32))| {
            let mut event = event(&n.to_string(), "2025-01-01T00:00:00Z", "1");
            event.occurred_at += TimeDelta::seconds(second);
            let user = user.map(|user| ("user".to_owned(), Property::Text(format!("user-{user}"))));
            event.properties.extend(user);
            event.properties.insert("region".into(), Property::Text(region.to_string()));
            event
        };
        rows.into_iter().enumerate().map(event).collect()
    })
}

proptest! {
    #[test]
    fn passes_come_to_what_one_pass_comes_to(events in events(), bytes_max in 200_usize..4000) {
        for aggregation in [Aggregation::UniqueCount, Aggregation::Sum, Aggregation::Max] {
            let query = query(aggregation);
            let (expected, passes, _) = said(query, &events, usize::MAX);
            prop_assert_eq!(passes, 1);
            let (found, passes, held) = said(query, &events, bytes_max);
            prop_assert_eq!(found, expected, "{:?} in {} passes", aggregation, passes);
            // One value may be held for all 24 hours and all 3 regions, and cannot be parted.
            prop_assert!(held <= bytes_max.max(28 * 60), "{} bytes of {}", held, bytes_max);
        }
    }
}

#[test]
fn many_values_take_several_passes_and_few_take_one() {
    let event = |n: usize, user: usize| {
        let mut event = event(&n.to_string(), "2025-01-01T00:00:00Z", "1");
        event.properties.insert("user".into(), Property::Text(format!("user-{user}")));
        event
    };
    let query = Query { steps: None, group_by: None, ..query(Aggregation::UniqueCount) };
    let many = (0..5000).map(|n| event(n, n)).collect::<Vec<_>>();
    let ((total, ..), passes, _) = said(query, &many, 500 * 60);
    assert_eq!((total.quantity.to_string().as_str(), total.events), ("5000", 5000));
    assert!((10..30).contains(&passes), "{passes} passes");
    let few = (0..5000).map(|n| event(n, n % 20)).collect::<Vec<_>>();
    let ((total, ..), passes, _) = said(query, &few, 500 * 60);
    assert_eq!((total.quantity.to_string().as_str(), total.events, passes), ("20", 5000, 1));
}

#[test]
fn a_level_that_changes_often_is_read_by_slices_of_time() {
    let from = "2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
    let change = |n: i64| {
        // In no order of time; some at the same instant.
        let mut event = event(&n.to_string(), "2025-01-01T00:00:00Z", &(n % 97).to_string());
        event.occurred_at += TimeDelta::milliseconds(n * 7919 % 20_000 / 2 * 2);
        event
    };
    let events = (0..20_000).map(change).collect::<Vec<_>>();
    let range = Range { from, until: from + TimeDelta::seconds(15) };
    let counting = Counting { aggregation: Aggregation::WeightedSum, property: "", filters: &[] };
    let query = Query { counting, range, group_by: None, ..query(Aggregation::WeightedSum) };
    let mut head = Head { tail: events.iter().step_by(1000).cloned().collect(), ..Head::default() };
    head.days.insert(1, Totals::empty(Aggregation::WeightedSum));
    let read = |bytes_max: usize| {
        let mut series = Series::bounded(query, bytes_max);
        let mut corrections = Corrections::default();
        series.add_head(ME, Month::of(from), &head, &BTreeMap::new(), &mut corrections).unwrap();
        let mut slices = 0;
        while series.begins_slice(ME, &head, &mut corrections).unwrap() {
            slices += 1;
            for (_, event) in events.iter().enumerate().filter(|(n, _)| n % 1000 != 0) {
                series.add_member(ME, event, &mut corrections).unwrap();
                let held = series.folds().map(|fold| fold.bytes_held()).sum::<usize>();
                assert!(held <= bytes_max.saturating_add(2 * slices * size_of::<Held>()), "{held} bytes");
            }
            series.end_slice(ME, &corrections).unwrap();
        }
        (series.total().unwrap(), series.steps().unwrap(), slices)
    };
    let (total, steps, slices) = read(usize::MAX);
    assert_eq!((total.events, slices), (15_000, 1));
    let (found, found_steps, slices) = read(2000 * size_of::<Held>());
    assert_eq!((found, found_steps), (total, steps));
    assert!((15..40).contains(&slices), "{slices} slices of twice a thousand changes, in total and by hour");
}
