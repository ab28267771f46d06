//! What is counted in passes comes to what it comes to at once, whatever may be held.

use chrono::TimeDelta;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::{
    charge::PriceFilter,
    charge_model::Percentage,
    event::{UsageEvent, tests::event},
    id::Id,
    property::Property,
};

const UNIQUE: Counting<'static> =
    Counting { aggregation: Aggregation::UniqueCount, property: "user", filters: &[] };
const SUM: Counting<'static> = Counting { aggregation: Aggregation::Sum, property: "", filters: &[] };

fn price(model: &ChargeModel) -> UsagePrice {
    let filter = |value: &str| PriceFilter {
        values: [("region".to_owned(), [value.to_owned()].into())].into(),
        pricing: Pricing::of(model.clone()),
    };
    let filters = vec![filter("0"), filter("1")];
    UsagePrice {
        meter: Id::from_uuid(uuid::Uuid::from_u128(1)),
        interval: None,
        pricing: Pricing::of(model.clone()),
        filters,
    }
}

/// What was used, with how many passes it took and how many bytes of distinct values were held at most.
fn folded(mut fold: ChargeFold<'_>, events: &[UsageEvent]) -> (ChargeUsage, usize, usize) {
    let (mut passes, mut held) = (0, 0);
    loop {
        passes += 1;
        for event in events {
            fold.add(event).unwrap();
            held = held.max(fold.priced().map(|priced| priced.fold.bytes_held()).sum());
        }
        if !fold.begins_further_pass() {
            return (fold.usage().unwrap(), passes, held);
        }
    }
}

fn events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let row = (prop::option::of(0_u32..60), 0_i64..5000, 0_i128..40, 0_u32..4);
    prop::collection::vec(row, 0..200).prop_map(|rows| {
        let event = |(n, (user, second, quantity, region)): (usize, (Option<u32>, i64, i128, u32))| {
            let mut event = event(&format!("{n}"), "2025-01-01T00:00:00Z", "1");
            event.occurred_at += TimeDelta::seconds(second);
            event.quantity = Quantity::from_units(quantity * 10_i128.pow(11));
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
    fn distinct_values_of_all_filters_share_what_may_be_held(events in events(), bytes_max in 200_usize..4000) {
        let price = price(&ChargeModel::Standard { unit_price: Decimal::ONE });
        let (expected, passes, at_once) = folded(ChargeFold::new(&price, UNIQUE), &events);
        prop_assert_eq!(passes, 1);
        let (found, passes, held) = folded(ChargeFold::bounded(&price, UNIQUE, bytes_max), &events);
        prop_assert_eq!(found, expected);
        prop_assert!(passes > 1 || at_once <= bytes_max + 3 * 60, "{} bytes in one pass", at_once);
        // One value may be held for both filters and the rest, and cannot be parted.
        prop_assert!(held <= bytes_max + 3 * 60, "{} bytes of {}", held, bytes_max);
    }

    #[test]
    fn the_earliest_events_are_free_however_few_are_kept(
        mut events in events(),
        early_max in 0_usize..60,
        (free_events, free_amount) in (prop::option::of(0_u64..80), prop::option::of(0_u32..100)),
        order in 0..3,
    ) {
        match order {
            0 => events.sort_by_key(|event| event.occurred_at),
            1 => events.sort_by_key(|event| std::cmp::Reverse(event.occurred_at)),
            _ => {}
        }
        let price = price(&ChargeModel::Percentage(Percentage {
            rate: Decimal::TEN,
            fixed_fee: Decimal::ONE,
            free_events,
            free_amount: free_amount.map(Decimal::from),
            minimum_per_event: Some(Decimal::new(11, 1)),
            maximum_per_event: Some(Decimal::new(13, 1)),
        }));
        let (expected, passes, _) = folded(ChargeFold::new(&price, SUM), &events);
        prop_assert_eq!(passes, 1);
        let bytes_max = early_max * EARLY_BYTES * 3;
        let (found, ..) = folded(ChargeFold::bounded(&price, SUM, bytes_max), &events);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn what_is_free_is_found_in_few_passes() {
    let mut events =
        (0..2000).map(|n| event(&n.to_string(), "2025-01-01T00:00:00Z", "1")).collect::<Vec<_>>();
    for (second, event) in events.iter_mut().enumerate() {
        event.occurred_at += TimeDelta::seconds(second as i64);
    }
    let percentage = Percentage {
        rate: Decimal::TEN,
        fixed_fee: Decimal::ZERO,
        free_events: Some(1000),
        free_amount: None,
        minimum_per_event: None,
        maximum_per_event: None,
    };
    let price = price(&ChargeModel::Percentage(percentage));
    let mut passes_of = |is_backwards: bool| {
        if is_backwards {
            events.reverse();
        }
        let (used, passes, _) = folded(ChargeFold::bounded(&price, SUM, 300 * EARLY_BYTES), &events);
        assert_eq!(used.rest.paid.unwrap().events, 1000);
        passes
    };
    assert_eq!(passes_of(false), 1, "in order of time, the end is met at once");
    let backwards = passes_of(true);
    assert!((2..50).contains(&backwards), "{backwards} passes");
}
