//! Every model at its edges, and against slower ways to the same figures.

use proptest::prelude::*;

use super::*;
use crate::{
    charge::{Charge, PriceFilter, Pricing},
    charge_model::{ChargeModel, Package, Percentage},
    charge_usage::ChargeFold,
    event::{UsageEvent, tests::event},
    id::{ChargeId, Id},
    meter::{Aggregation, Counting},
    property::Property,
    tiers::{Tier, Tiers},
};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|_| Decimal::from_scientific(text).unwrap())
}

/// Tiers from `up_to at unit_price + flat_price`, comma separated.
fn tiers(text: &str) -> Tiers {
    let tier = |text: &str| {
        let (bound, prices) = text.trim().split_once(" at ").unwrap();
        let (unit_price, flat_price) = prices.split_once(" + ").unwrap_or((prices, "0"));
        Tier {
            up_to: (bound != "more").then(|| decimal(bound)),
            unit_price: decimal(unit_price),
            flat_price: decimal(flat_price),
        }
    };
    Tiers::new(text.split(',').map(tier).collect()).unwrap()
}

fn meter() -> MeterId {
    Id::from_uuid(uuid::Uuid::from_u128(1))
}

pub(super) fn price(pricing: Pricing) -> UsagePrice {
    UsagePrice { meter: meter(), interval: None, pricing, filters: Vec::new() }
}

fn used(quantity: &str) -> ChargeUsage {
    ChargeUsage::of_total(Usage { quantity: quantity.parse().unwrap(), events: 1 })
}

fn amount_of(rated: &Rated) -> String {
    let parts = rated.parts.iter().map(LinePart::covers).sum::<Decimal>();
    assert_eq!(parts, rated.quantity, "the parts cover the quantity: {rated:?}");
    rated.amount.amount().normalize().to_string()
}

fn amount(pricing: &Pricing, quantity: &str) -> String {
    amount_of(&by_usage(&price(pricing.clone()), &used(quantity), Currency::USD).unwrap())
}

/// Rows of `quantity | amount`.
fn check(pricing: &Pricing, rows: &[&str]) {
    for row in rows {
        let (quantity, expected) = row.split_once('|').unwrap();
        assert_eq!(amount(pricing, quantity.trim()), expected.trim(), "{row}");
    }
}

const DOCUMENTED: &str = "1000 at 0.002, 10000 at 0.001, more at 0.0005";

#[test]
fn every_unit_has_one_price() {
    let standard = Pricing::of(ChargeModel::Standard { unit_price: decimal("0.001") });
    check(
        &standard,
        &["0 | 0", "1 | 0.001", "0.5 | 0.0005", "145200 | 145.2", "1e22 | 10000000000000000000"],
    );
}

#[test]
fn each_unit_pays_the_price_of_its_tier() {
    let graduated = Pricing::of(ChargeModel::Graduated(tiers(DOCUMENTED)));
    check(&graduated, &["0 | 0", "0.5 | 0.001", "1000 | 2", "10000 | 11", "15000 | 13.5", "1e9 | 500006"]);
    check(&graduated, &["1001 | 2.001"]); // first unit of the second tier
    check(&graduated, &["1000.5 | 2.0005"]); // between two units
    let free = Pricing::of(ChargeModel::Graduated(tiers("1000 at 0, more at 0.001")));
    check(&free, &["1000 | 0", "1500 | 0.5"]);
}

#[test]
fn all_units_pay_the_price_of_the_last_tier_reached() {
    let volume = Pricing::of(ChargeModel::Volume(tiers(DOCUMENTED)));
    check(&volume, &["0 | 0", "1000 | 2", "1001 | 1.001", "10000 | 10", "15000 | 7.5"]);
}

#[test]
fn flat_prices_are_charged_once_per_tier_reached() {
    let steps = tiers("10 at 1 + 5, 20 at 2 + 7, more at 3 + 9");
    let graduated = Pricing::of(ChargeModel::Graduated(steps.clone()));
    check(&graduated, &["0 | 5", "10 | 15", "11 | 24", "21 | 54"]); // 11: 10 × 1 + 5 + 1 × 2 + 7
    let volume = Pricing::of(ChargeModel::Volume(steps));
    check(&volume, &["0 | 5", "10 | 15", "11 | 29", "21 | 72"]); // 21: 21 × 3 + 9
}

#[test]
fn a_step_has_one_price_for_all() {
    for steps in ["100 at 0 + 10, 1000 at 0 + 50, more at 0 + 200", "100 at 10, 1000 at 50, more at 200"] {
        let stairstep = Pricing::of(ChargeModel::Stairstep(tiers(steps)));
        check(&stairstep, &["0 | 10", "1 | 10", "100 | 10", "100.1 | 50", "1000 | 50", "1001 | 200"]);
        check(&stairstep, &["1e9 | 200"]);
    }
}

#[test]
fn a_package_that_is_begun_is_paid() {
    let package = |size: &str, free: &str| {
        let (size, free_units) = (decimal(size), decimal(free));
        Pricing::of(ChargeModel::Package(Package { size, unit_price: decimal("5"), free_units }))
    };
    check(&package("100", "0"), &["0 | 0", "0.001 | 5", "1 | 5", "100 | 5", "101 | 10", "250 | 15"]);
    check(&package("100", "50"), &["50 | 0", "50.5 | 5", "150 | 5", "151 | 10"]);
    check(&package("0.3", "0"), &["0.3 | 5", "0.9 | 15", "0.900000000001 | 20"]);
    // A quotient of 28 digits would round up to a whole number here.
    check(&package("3", "0"), &["2999999999999.999999999999 | 5000000000000"]);
    check(&package("7", "0"), &["9999999999999999999999 | 7142857142857142857145"]);
}

#[test]
fn included_units_come_first_and_cost_nothing() {
    let with = |model, included: &str| Pricing { included_units: decimal(included), ..Pricing::of(model) };
    let standard = with(ChargeModel::Standard { unit_price: decimal("0.0005") }, "100000");
    check(&standard, &["0 | 0", "100000 | 0", "100001 | 0.0005", "150000 | 25"]);
    // The model counts what is left from its first tier.
    let graduated = with(ChargeModel::Graduated(tiers(DOCUMENTED)), "500");
    check(&graduated, &["500 | 0", "1500 | 2", "15500 | 13.5"]);
    let package = Package { size: decimal("10"), unit_price: decimal("1"), free_units: decimal("5") };
    check(&with(ChargeModel::Package(package), "10"), &["15 | 0", "16 | 1", "25 | 1", "26 | 2"]);
}

#[test]
fn an_amount_stays_within_its_limits() {
    let limits = Limits { minimum: Some(decimal("10")), maximum: Some(decimal("100")) };
    let model = ChargeModel::Standard { unit_price: decimal("1") };
    let pricing = Pricing { limits, ..Pricing::of(model) };
    check(&pricing, &["0 | 10", "9.99 | 10", "10 | 10", "10.01 | 10.01", "100 | 100", "100.01 | 100"]);
    let price = FixedPrice { limits, ..FixedPrice::of(decimal("3"), decimal("2")) };
    assert_eq!(amount_of(&fixed(&price, decimal("2"), Currency::USD).unwrap()), "10");
}

#[test]
fn included_seats_cost_nothing() {
    let price = FixedPrice { included_units: decimal("3"), ..FixedPrice::of(decimal("5"), Decimal::ONE) };
    for (seats, expected) in [("0", "0"), ("2", "0"), ("3", "0"), ("4", "5"), ("10", "35")] {
        let rated = fixed(&price, decimal(seats), Currency::USD).unwrap();
        assert_eq!(amount_of(&rated), expected, "{seats}");
    }
}

const COUNTING: Counting<'static> = Counting { aggregation: Aggregation::Sum, property: "", filters: &[] };

/// Events of these quantities, one a second.
fn events(quantities: &[&str]) -> Vec<UsageEvent> {
    let at = |n: usize| format!("2025-01-01T00:{:02}:{:02}Z", n / 60, n % 60);
    quantities.iter().enumerate().map(|(n, quantity)| event(&n.to_string(), &at(n), quantity)).collect()
}

fn rate_events(price: &UsagePrice, events: &[UsageEvent]) -> Rated {
    let mut fold = ChargeFold::new(price, COUNTING);
    events.iter().for_each(|event| fold.add(event).unwrap());
    by_usage(price, &fold.usage().unwrap(), Currency::USD).unwrap()
}

fn percentage(rate: &str, fixed_fee: &str) -> Percentage {
    Percentage {
        rate: decimal(rate),
        fixed_fee: decimal(fixed_fee),
        free_events: None,
        free_amount: None,
        minimum_per_event: None,
        maximum_per_event: None,
    }
}

#[test]
fn a_percentage_is_taken_of_every_event() {
    let check = |percentage: Percentage, quantities: &[&str], expected: &str| {
        let price = price(Pricing::of(ChargeModel::Percentage(percentage)));
        let mut events = events(quantities);
        assert_eq!(amount_of(&rate_events(&price, &events)), expected, "{quantities:?}");
        events.reverse();
        assert_eq!(amount_of(&rate_events(&price, &events)), expected, "{quantities:?}, backwards");
    };
    let plain = percentage("2.9", "0.30");
    check(plain, &[], "0");
    check(plain, &["100"], "3.2");
    check(plain, &["100", "50"], "4.95");

    let free_events = Percentage { free_events: Some(2), ..plain };
    check(free_events, &["100", "50"], "0");
    check(free_events, &["100", "50", "10"], "0.59");
    let free_amount = Percentage { free_amount: Some(decimal("100")), ..plain };
    check(free_amount, &["60"], "0");
    check(free_amount, &["60", "39"], "0");
    check(free_amount, &["60", "40"], "0.3"); // uses all of it up: no longer below
    check(free_amount, &["60", "50"], "0.59"); // 2.9 % of 10, and the fee
    check(free_amount, &["60", "50", "100"], "3.79");
    // Whichever is used up first ends both: three events or 500.
    let both =
        Percentage { free_events: Some(3), free_amount: Some(decimal("500")), ..percentage("1", "0.1") };
    check(both, &["200", "200", "200"], "1.1"); // 1 % of 100, and one fee
    check(both, &["100", "100", "100", "100"], "1.1");
    check(both, &["100", "100", "100"], "0");

    let bounds = Percentage {
        minimum_per_event: Some(decimal("1")),
        maximum_per_event: Some(decimal("10")),
        ..percentage("1", "0.5")
    };
    check(bounds, &["10", "100", "5000"], "12.5"); // 0.6 up to 1, 1.5, 50.5 down to 10
    check(Percentage { free_events: Some(1), ..bounds }, &["10", "100", "5000"], "11.5");
    check(Percentage { free_amount: Some(decimal("10")), ..bounds }, &["10", "100"], "2.5");
}

#[test]
fn included_units_of_a_percentage_are_its_free_amount() {
    let included_units = decimal("100");
    let model = ChargeModel::Percentage(percentage("2", "0"));
    let price = price(Pricing { included_units, ..Pricing::of(model) });
    assert!(!price.needs_events());
    assert_eq!(amount_of(&rate_events(&price, &events(&["80", "70"]))), "1");
    assert_eq!(amount_of(&by_usage(&price, &used("150"), Currency::USD).unwrap()), "1");
}

fn filter(values: &[&str], pricing: Pricing) -> PriceFilter {
    let values = values.iter().map(ToString::to_string).collect();
    PriceFilter { values: [("model".to_owned(), values)].into(), pricing }
}

#[test]
fn one_meter_may_have_prices_by_property() {
    let standard = |price: &str| Pricing::of(ChargeModel::Standard { unit_price: decimal(price) });
    let mut price = price(standard("0.01"));
    price.filters = vec![
        filter(&["a", "b"], standard("0.03")),
        filter(&["c"], Pricing::of(ChargeModel::Graduated(tiers("100 at 1, more at 0.5")))),
        filter(
            &["never"],
            Pricing { limits: Limits { minimum: Some(decimal("7")), maximum: None }, ..standard("1") },
        ),
    ];
    price.pricing.limits.maximum = Some(decimal("200"));
    assert!(price.needs_events());
    let mut events = events(&["10", "20", "30", "150", "1000"]);
    for (event, model) in events.iter_mut().zip(["a", "b", "x", "c"]) {
        event.properties.insert("model".into(), Property::Text(model.into()));
    }
    let rated = rate_events(&price, &events);
    // 30 × 0.03 + 100 × 1 + 50 × 0.5 + 1030 × 0.01; what nobody used has no part and no minimum.
    assert_eq!(amount_of(&rated), "136.2");
    assert_eq!(rated.quantity, decimal("1210"));
    assert_eq!(rated.unit_price, None);
    let names = rated.parts.iter().map(|part| part.filter.as_deref()).collect::<Vec<_>>();
    assert_eq!(names, [Some("model: a or b"), Some("model: c"), Some("model: c"), None]);
    price.pricing.limits.maximum = Some(decimal("100"));
    assert_eq!(amount_of(&rate_events(&price, &events)), "100");
}

#[test]
fn other_aggregations_fold_each_filter_by_itself() {
    let standard = |price: &str| Pricing::of(ChargeModel::Standard { unit_price: decimal(price) });
    let mut price = price(standard("1"));
    price.filters = vec![filter(&["a"], standard("10"))];
    let mut events = events(&["3", "9", "5", "7"]);
    for (event, (model, user)) in events.iter_mut().zip([("a", "u"), ("a", "v"), ("b", "u"), ("b", "u")]) {
        event.properties.insert("model".into(), Property::Text(model.into()));
        event.properties.insert("user".into(), Property::Text(user.into()));
    }
    for (aggregation, expected) in [
        (Aggregation::Sum, "132"),
        (Aggregation::Count, "22"),
        (Aggregation::Max, "97"),
        (Aggregation::Min, "35"),
        (Aggregation::Last, "97"),
        (Aggregation::UniqueCount, "21"),
    ] {
        let mut fold = ChargeFold::new(&price, Counting { aggregation, property: "user", filters: &[] });
        events.iter().for_each(|event| fold.add(event).unwrap());
        let rated = by_usage(&price, &fold.usage().unwrap(), Currency::USD).unwrap();
        assert_eq!(amount_of(&rated), expected, "{aggregation:?}");
    }
}

fn charge(price: Price) -> Charge {
    Charge {
        id: ChargeId::from_uuid(uuid::Uuid::from_u128(2)),
        display_name: "Calls".into(),
        price,
        added_in: 1,
        retired_in: None,
        created_at: chrono::DateTime::UNIX_EPOCH,
    }
}

/// The line of January's usage of a charge.
fn line_of(charge: &Charge, currency: &str, quantity: &str) -> LineItem {
    let at = |text: &str| text.parse().unwrap();
    let period = BillingPeriod::new(at("2025-01-01T00:00:00Z"), at("2025-02-01T00:00:00Z")).unwrap();
    let due = Due { charge: charge.clone(), kind: DueKind::Usage(vec![period], period) };
    let bill = Bill { at: period.end(), period, dues: vec![due] };
    lines(&bill, currency.parse().unwrap(), &[used(quantity)]).unwrap().remove(0)
}

#[test]
fn a_line_rounds_once_in_its_currency() {
    let model = || ChargeModel::Graduated(tiers("1 at 0.004, more at 0.004"));
    let charge = charge(Price::Usage(price(Pricing::of(model()))));
    for (currency, expected) in
        [("USD", "USD 0.01"), ("JPY", "JPY 0"), ("KWD", "KWD 0.008"), ("CLF", "CLF 0.0080")]
    {
        let line = line_of(&charge, currency, "2");
        assert_eq!(line.amount.to_string(), expected, "0.004 + 0.004, not 0.00 + 0.00");
        assert_eq!(line.source, LineSource::Usage { charge: charge.id, meter: meter(), events: 1 });
    }
}

#[test]
fn an_amount_too_large_is_an_error() {
    let standard = |price: &str| Pricing::of(ChargeModel::Standard { unit_price: decimal(price) });
    let rate = |pricing: Pricing, quantity| by_usage(&price(pricing), &used(quantity), Currency::USD);
    assert!(rate(standard("1e15"), "1e20").is_err());
    assert!(rate(standard("100"), "1e22").is_err(), "its cents are more than 28 digits can hold");
    assert!(rate(standard("99"), "1e22").is_ok());
    let package = Package { size: decimal("1e-12"), unit_price: decimal("1"), free_units: Decimal::ZERO };
    assert!(rate(Pricing::of(ChargeModel::Package(package)), "1e20").is_err());
}

#[test]
fn a_line_explains_itself() {
    let model = ChargeModel::Graduated(tiers("1000 at 0.002 + 5, more at 0.001"));
    let pricing = Pricing { included_units: decimal("100"), ..Pricing::of(model) };
    let charge = charge(Price::Usage(price(pricing)));
    assert_eq!(
        crate::explanation::steps(&line_of(&charge, "USD", "1600.5")),
        [
            "usage of 1600.5 from 1 event",
            "100 included, at no charge",
            "tier up to 1000: 1000 × 0.002 + 5 = 7",
            "tier above 1000: 500.5 × 0.001 = 0.5005",
            "0 + 7 + 0.5005 = 7.5005, rounded to USD 7.50",
        ]
    );
}

proptest! {
    /// The parts add up, more usage never costs less, and unit by unit the same comes out.
    #[test]
    fn graduated_is_what_each_unit_costs(
        bounds in prop::collection::btree_set(1_i64..5000, 0..6),
        prices in prop::collection::vec((0_i64..1000, 0_i64..100), 7),
        quantity in 0_i64..6000,
    ) {
        let open = std::iter::once(None);
        let tiers = bounds.into_iter().map(Some).chain(open).zip(prices).map(|(up_to, (unit, flat))| Tier {
            up_to: up_to.map(Decimal::from),
            unit_price: Decimal::new(unit, 4),
            flat_price: Decimal::new(flat, 2),
        });
        let tiers = Tiers::new(tiers.collect()).unwrap();
        let pricing = Pricing::of(ChargeModel::Graduated(tiers.clone()));
        let at = |quantity: i64| decimal(&amount(&pricing, &quantity.to_string()));
        prop_assert!(at(quantity + 1) >= at(quantity));
        let naive = (1..=quantity).map(|unit| {
            let holds = |tier: &Tier| tier.up_to.is_none_or(|up_to| Decimal::from(unit) <= up_to);
            tiers.iter().find(|(_, tier)| holds(tier)).unwrap().1.unit_price
        }).sum::<Decimal>();
        let reached = tiers.iter().filter(|(after, _)| after.is_zero() || *after < Decimal::from(quantity));
        let flat = reached.map(|(_, tier)| tier.flat_price).sum::<Decimal>();
        prop_assert_eq!(at(quantity), naive + flat);
    }

    /// Events of a percentage charge, in any order, cost what going through them one by one says.
    #[test]
    fn a_percentage_is_what_each_event_costs(
        quantities in prop::collection::vec(1_i64..1000, 0..30),
        free_events in prop::option::of(0_u64..10),
        free_amount in prop::option::of(0_i64..3000),
        minimum in prop::option::of(0_i64..500),
        maximum in prop::option::of(500_i64..1000),
        seed in any::<u64>(),
    ) {
        let decimal = |cents: i64| Decimal::new(cents, 2);
        let percentage = Percentage {
            free_events,
            free_amount: free_amount.map(Decimal::from),
            minimum_per_event: minimum.map(decimal),
            maximum_per_event: maximum.map(decimal),
            ..percentage("1.5", "0.25")
        };
        let mut events = events(&quantities.iter().map(i64::to_string).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
        let mut naive = Decimal::ZERO;
        let is_free = free_events.is_some() || free_amount.is_some();
        let (mut events_left, mut amount_left) =
            (free_events.unwrap_or(u64::MAX), free_amount.map_or(Decimal::MAX, Decimal::from));
        for quantity in quantities.iter().map(|quantity| Decimal::from(*quantity)) {
            let mut paid = quantity;
            if is_free && events_left > 0 && amount_left > Decimal::ZERO {
                events_left -= 1;
                if quantity < amount_left {
                    amount_left -= quantity;
                    continue;
                }
                paid -= amount_left;
                amount_left = Decimal::ZERO;
            }
            let fee = paid * Decimal::new(15, 3) + Decimal::new(25, 2);
            naive += fee.max(minimum.map_or(Decimal::ZERO, decimal)).min(maximum.map_or(Decimal::MAX, decimal));
        }
        // In an order that has nothing to do with theirs.
        events.sort_by_key(|event| event.key.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)));
        let price = price(Pricing::of(ChargeModel::Percentage(percentage)));
        prop_assert_eq!(rate_events(&price, &events).amount.amount(), naive);
    }
}
