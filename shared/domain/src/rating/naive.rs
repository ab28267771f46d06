//! A second way to the figures of [`super`], as plain as it can be: whole numbers alone, every tenth of a unit
//! and every event by itself. Random plans have to come to the same by both, before rounding and after.

use chrono::{DateTime, Duration};
use proptest::prelude::*;

use super::{tests::price, *};
use crate::{
    charge::{Charge, FixedTiming, PriceFilter, Pricing},
    charge_model::{ChargeModel, Package, Percentage},
    charge_usage::ChargeFold,
    event::{UsageEvent, tests::event},
    id::{ChargeId, Id},
    meter::{Aggregation, Counting},
    property::Property,
    proration::{Proration, ProrationUnit},
    tiers::{Tier, Tiers},
};

/// Amounts are counted in hundred-thousandths of a major unit, quantities in tenths: a price of one in
/// ten-thousandths is that of a tenth in hundred-thousandths.
type Amount = i128;
type Tenths = i128;

#[derive(Clone, Debug)]
enum Model {
    Standard { price: Amount },
    Graduated(Vec<Step>),
    Volume(Vec<Step>),
    Stairstep(Vec<Step>),
    Package { size: Tenths, price: Amount, free: Tenths },
    Percentage(Share),
}

/// A tier. The last one's bound does not count.
#[derive(Clone, Copy, Debug)]
struct Step {
    up_to: Tenths,
    price: Amount,
    flat: Amount,
}

/// A percentage, in hundredths of a percent.
#[derive(Clone, Copy, Debug)]
struct Share {
    rate: Amount,
    fee: Amount,
    free_events: Option<u64>,
    free_amount: Option<Tenths>,
    minimum: Option<Amount>,
    maximum: Option<Amount>,
}

#[derive(Clone, Debug)]
struct Rate {
    model: Model,
    included: Tenths,
    minimum: Option<Amount>,
    maximum: Option<Amount>,
}

#[derive(Clone, Debug)]
enum Sold {
    /// By the usage of one of two meters, with other prices by the values of a property.
    Usage { meter: usize, rate: Rate, filters: Vec<(Vec<usize>, Rate)> },
    /// So many at a price, and the part of it that is due.
    Fixed {
        price: Amount,
        quantity: Tenths,
        rate: (Tenths, Option<Amount>, Option<Amount>),
        due: (u64, u64, bool),
    },
}

#[derive(Clone, Copy, Debug)]
struct Used {
    meter: usize,
    second: i64,
    quantity: Tenths,
    /// Which value its property has.
    value: usize,
}

const AGGREGATIONS: [Aggregation; 6] = [
    Aggregation::Sum,
    Aggregation::Count,
    Aggregation::Max,
    Aggregation::Min,
    Aggregation::Last,
    Aggregation::UniqueCount,
];

/// How much events come to. They are in order of time; of the same time, the largest is the last.
fn counted(aggregation: Aggregation, events: &[Used]) -> Tenths {
    let mut count = 0;
    let mut seen = Vec::new();
    for event in events {
        match aggregation {
            Aggregation::Sum => count += event.quantity,
            Aggregation::Count => count += 10,
            Aggregation::Max => count = count.max(event.quantity),
            Aggregation::Min if seen.is_empty() || event.quantity < count => count = event.quantity,
            Aggregation::Min => {}
            Aggregation::Last => count = event.quantity,
            Aggregation::UniqueCount => count += if seen.contains(&event.value) { 0 } else { 10 },
            Aggregation::WeightedSum => unreachable!("a level has no events to be told apart"),
        }
        seen.push(event.value);
    }
    count
}

/// The tier that a tenth falls into.
fn step(steps: &[Step], tenth: Tenths) -> usize {
    let mut at = 0;
    while at + 1 < steps.len() && tenth > steps[at].up_to {
        at += 1;
    }
    at
}

fn amount_of(rate: &Rate, aggregation: Aggregation, events: &[Used]) -> Amount {
    if let Model::Percentage(share) = &rate.model {
        return share_of(share, rate.included, aggregation, events);
    }
    let (mut left, mut included) = (counted(aggregation, events), rate.included);
    while left > 0 && included > 0 {
        left -= 1;
        included -= 1;
    }
    let mut amount = 0;
    match &rate.model {
        Model::Standard { price } => (0..left).for_each(|_| amount += price),
        Model::Graduated(steps) => {
            let mut reached = 0;
            amount += steps[0].flat;
            for tenth in 1..=left {
                while reached < step(steps, tenth) {
                    reached += 1;
                    amount += steps[reached].flat;
                }
                amount += steps[reached].price;
            }
        }
        Model::Volume(steps) => {
            let last = steps[step(steps, left)];
            amount += last.flat;
            (0..left).for_each(|_| amount += last.price);
        }
        Model::Stairstep(steps) => amount += steps[step(steps, left)].flat,
        Model::Package { size, price, free } => {
            left -= free;
            while left > 0 {
                left -= size;
                amount += price;
            }
        }
        Model::Percentage(_) => unreachable!("went another way"),
    }
    amount
}

/// Event by event, from the earliest on.
fn share_of(share: &Share, included: Tenths, aggregation: Aggregation, events: &[Used]) -> Amount {
    let free_amount = share.free_amount.or((included > 0).then_some(included));
    let is_free = share.free_events.is_some() || free_amount.is_some();
    let mut events_left = share.free_events.unwrap_or(u64::MAX);
    let mut amount_left = free_amount.unwrap_or(Tenths::MAX);
    let mut amount = 0;
    for event in events {
        let mut paid = if aggregation == Aggregation::Count { 10 } else { event.quantity };
        if is_free && events_left > 0 && amount_left > 0 {
            events_left -= 1;
            if paid < amount_left {
                amount_left -= paid;
                continue;
            }
            paid -= amount_left;
            amount_left = 0;
        }
        let price = paid * share.rate + share.fee;
        amount += price.max(share.minimum.unwrap_or(0)).min(share.maximum.unwrap_or(Amount::MAX));
    }
    amount
}

fn within(amount: Amount, minimum: Option<Amount>, maximum: Option<Amount>) -> Amount {
    amount.max(minimum.unwrap_or(0)).min(maximum.unwrap_or(Amount::MAX))
}

impl Sold {
    /// What it comes to, before a part of it is taken. `events` are in order of time.
    fn amount(&self, aggregation: Aggregation, events: &[Used]) -> Amount {
        match self {
            Self::Usage { meter, rate, filters } => {
                let mut taken = vec![Vec::new(); filters.len() + 1];
                for event in events.iter().filter(|event| event.meter == *meter) {
                    let filter = filters.iter().position(|(values, _)| values.contains(&event.value));
                    taken[filter.unwrap_or(filters.len())].push(*event);
                }
                let mut amount = amount_of(rate, aggregation, &taken[filters.len()]);
                for ((_, rate), taken) in filters.iter().zip(&taken).filter(|(_, taken)| !taken.is_empty()) {
                    let of_filter = amount_of(rate, aggregation, taken);
                    amount += within(of_filter, rate.minimum, rate.maximum);
                }
                within(amount, rate.minimum, rate.maximum)
            }
            Self::Fixed { price, quantity, rate: (included, minimum, maximum), .. } => {
                let paid = (*quantity - included).max(0);
                within((0..paid).map(|_| price).sum(), *minimum, *maximum)
            }
        }
    }

    /// What is due of it, in minor units: halves away from zero.
    fn due(&self, amount: Amount, currency: Currency) -> i128 {
        let (part, whole, is_credit) = match self {
            Self::Usage { .. } => (1, 1, false),
            Self::Fixed { due, .. } => *due,
        };
        let minor = 100_000 / 10_i128.pow(currency.decimals());
        let (over, under) = (amount * i128::from(part), i128::from(whole) * minor);
        let rounded = (2 * over + under) / (2 * under);
        if is_credit { -rounded } else { rounded }
    }

    fn charge(&self, place: usize) -> Charge {
        let price = match self {
            Self::Usage { meter, rate, filters } => {
                let filter = |(values, rate): &(Vec<usize>, Rate)| PriceFilter {
                    values: [("kind".to_owned(), values.iter().map(usize::to_string).collect())].into(),
                    pricing: rate.pricing(),
                };
                let filters = filters.iter().map(filter).collect();
                Price::Usage(UsagePrice { meter: meter_id(*meter), filters, ..price(rate.pricing()) })
            }
            Self::Fixed { price, quantity, rate: (included, minimum, maximum), .. } => {
                Price::Fixed(FixedPrice {
                    unit_price: decimal(*price, 4),
                    quantity: decimal(*quantity, 1),
                    included_units: decimal(*included, 1),
                    limits: limits(*minimum, *maximum),
                    timing: FixedTiming::Recurring { is_in_advance: false, interval: None },
                })
            }
        };
        Charge {
            id: ChargeId::from_uuid(uuid::Uuid::from_u128(place as u128)),
            display_name: "charge".into(),
            price,
            added_in: 1,
            retired_in: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }
}

fn decimal(number: i128, decimals: u32) -> Decimal {
    Decimal::from_i128_with_scale(number, decimals)
}

fn limits(minimum: Option<Amount>, maximum: Option<Amount>) -> Limits {
    let amount = |amount: Amount| decimal(amount, 5);
    Limits { minimum: minimum.map(amount), maximum: maximum.map(amount) }
}

fn meter_id(meter: usize) -> MeterId {
    Id::from_uuid(uuid::Uuid::from_u128(100 + meter as u128))
}

impl Rate {
    fn pricing(&self) -> Pricing {
        let tiers = |steps: &[Step]| {
            let last = steps.len() - 1;
            let tier = |(place, step): (usize, &Step)| Tier {
                up_to: (place < last).then(|| decimal(step.up_to, 1)),
                unit_price: decimal(step.price, 4),
                flat_price: decimal(step.flat, 5),
            };
            Tiers::new(steps.iter().enumerate().map(tier).collect()).unwrap()
        };
        let model = match &self.model {
            Model::Standard { price } => ChargeModel::Standard { unit_price: decimal(*price, 4) },
            Model::Graduated(steps) => ChargeModel::Graduated(tiers(steps)),
            Model::Volume(steps) => ChargeModel::Volume(tiers(steps)),
            Model::Stairstep(steps) => {
                let flat = steps.iter().map(|step| Step { price: 0, ..*step }).collect::<Vec<_>>();
                ChargeModel::Stairstep(tiers(&flat))
            }
            Model::Package { size, price, free } => ChargeModel::Package(Package {
                size: decimal(*size, 1),
                unit_price: decimal(*price, 5),
                free_units: decimal(*free, 1),
            }),
            Model::Percentage(share) => ChargeModel::Percentage(Percentage {
                rate: decimal(share.rate, 2),
                fixed_fee: decimal(share.fee, 5),
                free_events: share.free_events,
                free_amount: share.free_amount.map(|amount| decimal(amount, 1)),
                minimum_per_event: share.minimum.map(|amount| decimal(amount, 5)),
                maximum_per_event: share.maximum.map(|amount| decimal(amount, 5)),
            }),
        };
        let limits = limits(self.minimum, self.maximum);
        Pricing { model, included_units: decimal(self.included, 1), limits }
    }
}

/// Half of them round, so that sums often meet a bound.
fn tenths(most: Tenths) -> impl Strategy<Value = Tenths> {
    prop_oneof![0..most, (0..=most / 50).prop_map(|fifties| fifties * 50)]
}

fn bounds(most: Amount) -> impl Strategy<Value = (Option<Amount>, Option<Amount>)> {
    let bound = move || prop::option::weighted(0.3, 0..most);
    (bound(), bound())
        .prop_map(|(minimum, maximum)| (minimum, maximum.map(|most| most.max(minimum.unwrap_or(0)))))
}

fn model(has_percentage: bool) -> impl Strategy<Value = Model> {
    let steps = || {
        let step = (
            tenths(200).prop_map(|length| length.max(1)),
            0_i128..20_000,
            prop_oneof![Just(0), 0_i128..500_000],
        );
        prop::collection::vec(step, 1..5).prop_map(|steps| {
            let rising = steps.into_iter().scan(0, |end, (length, price, flat)| {
                *end += length;
                Some(Step { up_to: *end, price, flat })
            });
            rising.collect::<Vec<_>>()
        })
    };
    let share = (
        (0_i128..2000, prop_oneof![Just(0), 0_i128..50_000]),
        prop::option::of(0_u64..6),
        prop::option::of(tenths(600)),
        bounds(300_000),
    );
    let share = share.prop_map(|((rate, fee), free_events, free_amount, (minimum, maximum))| Share {
        rate,
        fee,
        free_events,
        free_amount,
        minimum,
        maximum,
    });
    prop_oneof![
        1 => (0_i128..20_000).prop_map(|price| Model::Standard { price }),
        1 => steps().prop_map(Model::Graduated),
        1 => steps().prop_map(Model::Volume),
        1 => steps().prop_map(Model::Stairstep),
        1 => (tenths(120), 0_i128..2_000_000, prop_oneof![Just(0), tenths(200)])
            .prop_map(|(size, price, free)| Model::Package { size: size.max(1), price, free }),
        3 => share.prop_map(move |share| {
            if has_percentage { Model::Percentage(share) } else { Model::Standard { price: share.rate } }
        }),
    ]
}

fn rate(has_percentage: bool) -> impl Strategy<Value = Rate> {
    let included = prop_oneof![Just(0), tenths(300)];
    (model(has_percentage), included, bounds(5_000_000))
        .prop_map(|(model, included, (minimum, maximum))| Rate { model, included, minimum, maximum })
}

fn sold(has_percentage: bool) -> impl Strategy<Value = Sold> {
    let filter = (prop::collection::vec(0_usize..4, 1..3), rate(has_percentage));
    let usage = (0_usize..2, rate(has_percentage), prop::collection::vec(filter, 0..3));
    let due = (0_u64..400, 1_u64..400, any::<bool>());
    let fixed = (0_i128..100_000, 0_i128..300, prop_oneof![Just(0), 0_i128..300], bounds(5_000_000), due);
    prop_oneof![
        3 => usage.prop_map(|(meter, rate, filters)| Sold::Usage { meter, rate, filters }),
        1 => fixed.prop_map(|(price, quantity, included, (minimum, maximum), (part, whole, is_credit))| {
            let due = (part.min(whole), whole, is_credit);
            Sold::Fixed { price, quantity, rate: (included, minimum, maximum), due }
        }),
    ]
}

fn used() -> impl Strategy<Value = Used> {
    (0_usize..2, 0_i64..20, tenths(200), 0_usize..4).prop_map(|(meter, second, quantity, value)| Used {
        meter,
        second,
        quantity,
        value,
    })
}

fn told(place: usize, used: &Used) -> UsageEvent {
    let mut told =
        event(&format!("{place:03}"), "2025-01-01T00:00:00Z", &decimal(used.quantity, 1).to_string());
    told.occurred_at += Duration::seconds(used.second);
    told.ingested_at = told.occurred_at;
    told.properties.insert("kind".into(), Property::Text(used.value.to_string()));
    told
}

fn plan_and_events() -> impl Strategy<Value = (Aggregation, Vec<Sold>, Vec<Used>)> {
    prop_oneof![Just(0), 0..AGGREGATIONS.len()].prop_flat_map(|aggregation| {
        let plan = prop::collection::vec(sold(aggregation < 2), 1..5);
        (Just(AGGREGATIONS[aggregation]), plan, prop::collection::vec(used(), 0..16))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_plain_way_comes_to_the_same(
        (aggregation, plan, mut events) in plan_and_events(),
        code in prop::sample::select(vec!["USD", "JPY", "KWD"]),
        is_backwards in any::<bool>(),
    ) {
        let currency = code.parse::<Currency>().unwrap();
        events.sort_by_key(|event| (event.second, event.quantity));
        let counting = Counting { aggregation, property: "kind", filters: &[] };
        let mut told = events.iter().enumerate().map(|(place, used)| (used.meter, told(place, used))).collect::<Vec<_>>();
        if is_backwards {
            told.reverse();
        }
        let (mut dues, mut usages, mut owed) = (Vec::new(), Vec::new(), Vec::new());
        let january = BillingPeriod::new("2025-01-01T00:00:00Z".parse().unwrap(), "2025-02-01T00:00:00Z".parse().unwrap()).unwrap();
        for (place, sold) in plan.iter().enumerate() {
            let charge = sold.charge(place);
            let amount = sold.amount(aggregation, &events);
            let plain = Money::new(decimal(amount, 5), currency);
            let kind = match (&charge.price, sold) {
                (Price::Usage(price), Sold::Usage { meter, .. }) => {
                    let mut fold = ChargeFold::new(price, counting);
                    told.iter().filter(|(of, _)| of == meter).for_each(|(_, event)| fold.add(event).unwrap());
                    let usage = fold.usage().unwrap();
                    let rated = by_usage(price, &usage, currency).unwrap();
                    prop_assert_eq!(rated.amount, plain, "{:?}", sold);
                    prop_assert_eq!(rated.parts.iter().map(LinePart::covers).sum::<Decimal>(), rated.quantity);
                    if !price.needs_events() {
                        let total = ChargeUsage::of_total(usage.rest.usage);
                        prop_assert_eq!(by_usage(price, &total, currency).unwrap().amount, plain);
                    }
                    usages.push(usage);
                    DueKind::Usage(vec![january], january)
                }
                (Price::Fixed(price), Sold::Fixed { due: (part, whole, is_credit), .. }) => {
                    prop_assert_eq!(fixed(price, price.quantity, currency).unwrap().amount, plain, "{:?}", sold);
                    let (part, whole, is_credit) = (*part, *whole, *is_credit);
                    let share = Proration { part, whole, unit: ProrationUnit::Day, is_credit };
                    DueKind::Fixed(january, share, Reason::Interval)
                }
                _ => panic!("{charge:?} is not {sold:?}"),
            };
            dues.push(Due { charge, kind });
            owed.push(sold.due(amount, currency));
        }
        let bill = Bill { at: january.end(), period: january, dues };
        let lines = lines(&bill, currency, &usages).unwrap();
        let billed = lines.iter().map(|line| line.amount.amount()).collect::<Vec<_>>();
        let minor = |amount: &i128| decimal(*amount, currency.decimals());
        prop_assert_eq!(billed, owed.iter().map(minor).collect::<Vec<_>>());
        let total = Money::sum(currency, lines.iter().map(|line| line.amount)).unwrap();
        prop_assert_eq!(total.amount(), minor(&owed.iter().sum()));
    }
}
