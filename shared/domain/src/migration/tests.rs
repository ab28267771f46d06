//! Whom a migration takes along, and what it takes over.

use rust_decimal::Decimal;

use super::*;
use crate::{
    charge::Charge,
    currency::Currency,
    id::Id,
    period::{BillingInterval, IntervalUnit},
    plan::{Plan, PlanType},
    proration::ProrationPolicy,
    schedule::BillingSchedule,
    subscription::SubscriptionStatus,
};

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    format!("{text}T00:00:00Z").parse().unwrap()
}

pub(crate) fn id<K>(n: u128) -> Id<K> {
    Id::from_uuid(uuid::Uuid::from_u128(n))
}

pub(crate) const PLAN: u128 = 7;

/// Terms from `since plan version`.
pub(crate) fn terms(text: &str) -> SubscriptionTerms {
    let words = text.split(' ').collect::<Vec<_>>();
    SubscriptionTerms {
        from: at(words[0]),
        plan: id(words[1].parse().unwrap()),
        plan_name: "Pro".into(),
        price_version: words[2].parse().unwrap(),
        interval: BillingInterval::every(IntervalUnit::Month),
        prices: BTreeMap::new(),
        is_paused: false,
        proration: None,
    }
}

pub(crate) fn subscription(terms: Vec<SubscriptionTerms>) -> Subscription {
    let start = at("2025-01-01");
    Subscription {
        id: id(1),
        customer: id(2),
        plan: terms[0].plan,
        plan_name: "Pro".into(),
        price_version: terms[0].price_version,
        interval: terms[0].interval,
        currency: Currency::USD,
        status: SubscriptionStatus::Active,
        schedule: BillingSchedule::anniversary(start),
        proration: ProrationPolicy::DEFAULT,
        terms,
        one_offs: Vec::new(),
        billed_until: None,
        next_bill_at: None,
        billing_error: None,
        start,
        trial_end: None,
        ends_at: None,
        end_proration: None,
        cancellation: None,
        last_invoiced_at: None,
        created_at: start,
        updated_at: start,
        version: 1,
    }
}

#[test]
fn those_on_another_version_migrate_unless_something_else_was_decided() {
    use Verdict::{AlreadyOnVersion, Migrates, NotOnPlan, OtherVersion, PendingChange};
    // terms, as they follow one another | now, and at the end of the period
    for (history, expected) in [
        (&["2025-01-01 7 2"][..], [Migrates, Migrates]),
        (&["2025-01-01 7 3"], [AlreadyOnVersion, AlreadyOnVersion]),
        (&["2025-01-01 7 4"], [Migrates, Migrates]), // back
        (&["2025-01-01 8 2"], [NotOnPlan, NotOnPlan]),
        (&["2025-01-01 8 2", "2025-01-05 7 2"], [Migrates, Migrates]),
        // a migration that was decided before
        (&["2025-01-01 7 2", "2025-02-01 7 3"], [Migrates, AlreadyOnVersion]),
        (&["2025-01-01 7 1", "2025-02-01 7 2"], [OtherVersion, OtherVersion]),
        (&["2025-01-01 7 2", "2025-02-01 7 4"], [Migrates, Migrates]),
        (&["2025-01-01 7 3", "2025-02-01 7 4"], [OtherVersion, OtherVersion]),
        // another plan, or another quantity
        (&["2025-01-01 7 2", "2025-02-01 8 1"], [PendingChange, PendingChange]),
        (&["2025-01-01 8 2", "2025-02-01 7 1"], [PendingChange, PendingChange]),
        (&["2025-01-01 7 2", "2025-02-01 7 2"], [PendingChange, PendingChange]),
        (&["2025-01-01 7 3", "2025-02-01 7 3"], [AlreadyOnVersion, AlreadyOnVersion]),
        // one that begins later
        (&["2025-01-20 7 2"], [Migrates, Migrates]),
    ] {
        let subscription = subscription(history.iter().map(|text| terms(text)).collect());
        let migration = Migration { plan: id(PLAN), from: Some(2), to: 3 };
        let migration =
            if expected.contains(&OtherVersion) { migration } else { Migration { from: None, ..migration } };
        let now = at("2025-01-10");
        let found = [now, at("2025-02-01")].map(|at| migration.verdict(&subscription, at, now));
        assert_eq!(found, expected, "{history:?}");
    }
}

#[test]
fn one_that_ends_before_does_not_migrate() {
    let now = at("2025-01-10");
    let migration = Migration { plan: id(PLAN), from: None, to: 3 };
    let verdicts = |subscription: &Subscription| {
        [now, at("2025-02-01")].map(|at| migration.verdict(subscription, at, now))
    };
    let live = subscription(vec![terms("2025-01-01 7 2")]);
    let ending = Subscription { ends_at: Some(at("2025-02-01")), ..live.clone() };
    assert_eq!(verdicts(&ending), [Verdict::Migrates, Verdict::PendingChange]);
    let over = Subscription { status: SubscriptionStatus::Canceled { at: now }, ..live };
    assert_eq!(verdicts(&over), [Verdict::Canceled; 2]);
}

/// A charge from `name price quantity added_in [retired_in]`.
pub(crate) fn charge(n: u128, text: &str) -> Charge {
    let words = text.split(' ').collect::<Vec<_>>();
    Charge {
        id: id(n),
        display_name: words[0].into(),
        price: Price::Fixed(FixedPrice::of(words[1].parse().unwrap(), words[2].parse().unwrap())),
        added_in: words[3].parse().unwrap(),
        retired_in: words.get(4).map(|version| version.parse().unwrap()),
        created_at: at("2025-01-01"),
    }
}

/// A plan with versions of its prices up to 5.
pub(crate) fn priced(n: u128) -> PricedPlan {
    let plan = Plan {
        id: id(n),
        name: "Pro".into(),
        lookup_id: "pro".into(),
        plan_type: PlanType::Fixed,
        billing_interval: BillingInterval::every(IntervalUnit::Month),
        currency: Currency::USD,
        trial_days: 0,
        description: None,
        is_active: false,
        price_version: 5,
        created_at: at("2025-01-01"),
        updated_at: at("2025-01-01"),
        version: 1,
    };
    let charges = vec![
        charge(1, "Base 30 1 2"),
        charge(2, "Seats 5 1 2 4"),
        charge(3, "Support 9 1 2 4"),
        charge(4, "Seats 6 1 5"),
    ];
    PricedPlan { plan, charges }
}

#[test]
fn own_prices_stay_and_a_quantity_goes_to_the_charge_of_the_same_name() {
    let plan = priced(PLAN);
    let own = |n: u128, price: i64, quantity: i64| {
        (id(n), Price::Fixed(FixedPrice::of(Decimal::from(price), Decimal::from(quantity))))
    };
    for (prices, expected) in [
        (vec![own(1, 25, 1)], vec![own(1, 25, 1)]),
        (vec![own(2, 5, 13)], vec![own(4, 6, 13)]), // the new price for as many
        (vec![own(2, 4, 1)], vec![]),               // its price was all that was its own
        (vec![own(3, 9, 2)], vec![]),               // nothing took its place
        (vec![own(1, 25, 1), own(2, 5, 13)], vec![own(1, 25, 1), own(4, 6, 13)]),
    ] {
        let before = SubscriptionTerms { prices: prices.into_iter().collect(), ..terms("2025-01-01 7 3") };
        let after = migrated(before.clone(), Some(&plan), 5);
        assert_eq!(after.prices, expected.into_iter().collect(), "{:?}", before.prices);
        assert_eq!((after.price_version, after.from), (5, before.from));
    }
    // Back again: Seats is there under both versions' ids, each in its own.
    let before = SubscriptionTerms { prices: BTreeMap::from([own(4, 6, 13)]), ..terms("2025-01-01 7 5") };
    assert_eq!(migrated(before, Some(&plan), 3).prices, BTreeMap::from([own(2, 5, 13)]));
}
