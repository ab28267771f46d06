//! Bills of more distinct values than are held at once: counted in passes, exactly.

use std::collections::BTreeSet;

use app::{
    generate_invoice::generate,
    ingest_usage, meter_stats,
    plans::{self, NewCharge, NewPlan},
    subscriptions::{self, NewBilling, NewSubscription},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    charge::{Price, PriceFilter, Pricing, UsagePrice},
    charge_model::ChargeModel,
    currency::Currency,
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CustomerId, PlanId, SubscriptionId},
    meter::{Aggregation, DeduplicateBy, Meter},
    period::{BillingInterval, IntervalUnit},
    plan::PlanType,
    property::{Properties, Property},
    quantity::Quantity,
    totals::Usage,
};
use fluxrate_bench::rig::Rig;
use rust_decimal::Decimal;
use testkit::Line;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A plan with two charges by region of one meter.
async fn plan(rig: &Rig, meter: &Meter) -> PlanId {
    let (platform, actor) = (&rig.platform, &rig.actor());
    let new = NewPlan {
        name: "Users".into(),
        lookup_id: Some("users".into()),
        plan_type: PlanType::Usage,
        billing_interval: BillingInterval::new(IntervalUnit::Month, 1).unwrap(),
        currency: Currency::USD,
        trial_days: 0,
        description: None,
        is_active: true,
    };
    let plan = plans::create(platform, actor, new).await.unwrap().plan.id;
    for region in ["eu", "us"] {
        let pricing = |cents| Pricing::of(ChargeModel::Standard { unit_price: Decimal::new(cents, 2) });
        let values = [("region".to_owned(), [region.to_owned()].into())].into();
        let filters = vec![PriceFilter { values, pricing: pricing(100) }];
        let price = UsagePrice { meter: meter.id, interval: None, pricing: pricing(1), filters };
        let charge = NewCharge { display_name: Some(region.into()), price: Price::Usage(price) };
        plans::add_charge(platform, actor, plan, charge).await.unwrap();
    }
    plan
}

async fn subscribe(rig: &Rig, plan: PlanId, customer: CustomerId) -> SubscriptionId {
    let billing = NewBilling { start: Some(at("2025-01-01T00:00:00Z")), ..NewBilling::default() };
    let new = NewSubscription { customer, plan, overrides: Vec::new(), billing };
    subscriptions::create(&rig.platform, &rig.actor(), new).await.unwrap().id
}

/// The value and the region of an event: every tenth repeats a value, and every third lies in `eu`.
fn told(n: usize) -> (usize, &'static str) {
    (if n % 10 == 9 { n - 9 } else { n }, if n.is_multiple_of(3) { "eu" } else { "asia" })
}

/// So many events, whose values have 60 KB each.
async fn count(rig: &Rig, meter: &Meter, customer: CustomerId, events: usize) {
    let long = "x".repeat(60_000);
    let event = |n: usize| {
        let occurred_at = at("2025-01-15T00:00:00Z") + TimeDelta::seconds(n as i64);
        let (value, region) = told(n);
        TrackedEvent {
            organization: rig.organization,
            meter: meter.id,
            customer,
            has_sender_key: true,
            event: UsageEvent {
                key: n.to_string(),
                occurred_at,
                ingested_at: occurred_at,
                quantity: Quantity::ONE,
                properties: Properties::from([
                    ("n".into(), Property::Text(format!("{value}{long}"))),
                    ("region".into(), Property::Text(region.into())),
                ]),
                metadata: Properties::new(),
                revision: Revision::First,
            },
        }
    };
    let events = (0..events).map(event).collect::<Vec<_>>();
    for part in events.chunks(200) {
        let outcomes = ingest_usage::count(&rig.platform, part).await;
        assert!(outcomes.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn the_stats_of_a_meter_read_what_they_count_once() {
    let rig = Rig::new(at("2025-01-01T00:00:00Z"), Line::counting()).await.unwrap();
    let meter = rig.meter("users", Aggregation::UniqueCount, DeduplicateBy::KeyAndTimestamp).await.unwrap();
    let customer = rig.customer("acme").await.unwrap();
    rig.set_now(at("2025-01-15T00:00:00Z"));
    count(&rig, &meter, customer, 400).await;
    let distinct = (0..400).map(|n| told(n).0).collect::<BTreeSet<_>>().len() as u64;
    let stats = async |now: &str| {
        rig.set_now(at(now));
        rig.line.take_consumed();
        let stats = meter_stats::stats(&rig.platform, &rig.actor(), meter.id).await.unwrap();
        let counted = [stats.today, stats.this_week, stats.this_month].map(|usage| {
            let Usage { quantity, events } = usage.unwrap();
            (quantity.to_string(), events)
        });
        (counted, rig.line.take_consumed().usage_read_tenths)
    };
    let (all, none) = ((distinct.to_string(), 400), ("0".to_owned(), 0));
    let (counted, of_month) = stats("2025-01-24T00:00:00Z").await;
    assert_eq!(counted, [none.clone(), none.clone(), all.clone()]);
    let (counted, of_week) = stats("2025-01-16T00:00:00Z").await;
    assert_eq!(counted, [none, all.clone(), all.clone()]);
    let (counted, of_day) = stats("2025-01-15T12:00:00Z").await;
    assert_eq!(counted, [all.clone(), all.clone(), all]);
    // In two passes: 22 MB of values are more than one of three may hold.
    assert_eq!((of_week, of_day), (of_month, of_month), "all three are counted from what is read for one");
}

#[tokio::test]
async fn charges_by_property_of_many_distinct_values_are_billed_in_passes() {
    let rig = Rig::new(at("2025-01-01T00:00:00Z"), Line::counting()).await.unwrap();
    let meter = rig.meter("users", Aggregation::UniqueCount, DeduplicateBy::KeyAndTimestamp).await.unwrap();
    let plan = plan(&rig, &meter).await;
    let mut read = Vec::new();
    for events in [700, 1000] {
        rig.set_now(at("2025-01-01T00:00:00Z"));
        let customer = rig.customer(&events.to_string()).await.unwrap();
        let subscription = subscribe(&rig, plan, customer).await;
        count(&rig, &meter, customer, events).await;
        rig.set_now(at("2025-02-01T00:00:00Z"));
        rig.line.take_consumed();
        let invoice = generate(&rig.platform, &rig.actor(), subscription).await.unwrap().invoice;
        read.push(rig.line.take_consumed().usage_read_tenths);
        let distinct = |is_wanted: fn(&str) -> bool| {
            let values = (0..events).map(told).filter(|(_, region)| is_wanted(region));
            Decimal::from(values.map(|(value, _)| value).collect::<BTreeSet<_>>().len())
        };
        let cent = Decimal::new(1, 2);
        let expected = [
            distinct(|region| region == "eu") + distinct(|region| region != "eu") * cent,
            distinct(|_| true) * cent,
        ];
        let amounts = invoice.lines.iter().map(|line| line.amount.amount()).collect::<Vec<_>>();
        assert_eq!(amounts, expected);
    }
    // 38 MB of values are held at once, 54 MB are not: both charges read everything once more.
    let [once, more] = read[..] else { panic!("{read:?}") };
    assert!(more * 700 > once * 1000 * 3 / 2, "{more} tenths of a unit, and {once} for 70 % of it");
}
