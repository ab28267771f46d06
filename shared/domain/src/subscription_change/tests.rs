//! What is left of a change that was decided for later, after one of now.

use super::*;
use crate::migration::tests::{PLAN, at, id, priced, subscription, terms};

const OTHER: u128 = 8;

/// Terms from `since plan version [paused] [charge=price*quantity …]`.
fn written(text: &str) -> SubscriptionTerms {
    let mut terms = terms(text);
    for word in text.split(' ').skip(3) {
        let Some((charge, price)) = word.split_once('=') else {
            terms.is_paused = word == "paused";
            continue;
        };
        let (price, quantity) = price.split_once('*').unwrap();
        let price = FixedPrice::of(price.parse().unwrap(), quantity.parse().unwrap());
        terms.prices.insert(id(charge.parse().unwrap()), Price::Fixed(price));
    }
    terms
}

fn shown(terms: &SubscriptionTerms) -> String {
    let plan = terms.plan.to_string().trim_start_matches(['0', '-']).to_owned();
    let mut text = format!("{} {plan} {}", terms.from.date_naive(), terms.price_version);
    if terms.is_paused {
        text.push_str(" paused");
    }
    for (charge, price) in &terms.prices {
        let Price::Fixed(FixedPrice { unit_price, quantity, .. }) = price else { panic!("{price:?}") };
        let charge = charge.to_string().trim_start_matches(['0', '-']).to_owned();
        text.push_str(&format!(" {charge}={unit_price}*{quantity}"));
    }
    text
}

#[test]
fn what_was_decided_for_later_stays_unless_it_is_of_the_same_thing() {
    let plans = PlansById::from([PLAN, OTHER].map(|n| (id(n), priced(n))));
    let quantity = |n: i64| Change::Quantity(Some(id(2)), n.into());
    let prices = |text: &str| Change::Prices(written(&format!("2025-01-01 7 1 {text}")).prices);
    let switch = || Change::Plan(Box::new(priced(OTHER)), None);
    let other = "2025-02-01 8 5";
    // what is in force, what was decided for later, a change of 11 January, and what is then decided
    for (current, later, change, expected) in [
        ("7 3", other, quantity(9), "2025-01-11 7 3 2=5*9 | 2025-02-01 8 5"),
        ("7 3", other, prices("1=25*1"), "2025-01-11 7 3 1=25*1 | 2025-02-01 8 5"),
        ("7 3 1=25*1", other, prices("1=25*1"), "2025-02-01 8 5"), // asked for again
        ("7 3", other, Change::Version(5), "2025-01-11 7 5 | 2025-02-01 8 5"),
        ("7 3", other, Change::Pause, "2025-01-11 7 3 paused | 2025-02-01 8 5 paused"),
        ("7 3 paused", "2025-02-01 8 5 paused", Change::Resume, "2025-01-11 7 3 | 2025-02-01 8 5"),
        ("7 3", "2025-02-01 7 3 2=5*4", switch(), "2025-01-11 8 5"),
        ("7 3", "2025-02-01 7 5", switch(), "2025-01-11 8 5"),
        // a pause, which is none of these
        ("7 3", "2025-02-01 7 3 paused", switch(), "2025-01-11 8 5 | 2025-02-01 8 5 paused"),
        ("7 3", "2025-02-01 7 3 paused", quantity(9), "2025-01-11 7 3 2=5*9 | 2025-02-01 7 3 paused 2=5*9"),
        (
            "7 3",
            "2025-02-01 7 3 paused",
            prices("1=20*1"),
            "2025-01-11 7 3 1=20*1 | 2025-02-01 7 3 paused 1=20*1",
        ),
        ("7 3", "2025-02-01 7 3 paused", Change::Version(5), "2025-01-11 7 5 | 2025-02-01 7 5 paused"),
        ("7 3", "2025-02-01 7 3 paused", Change::Pause, "2025-01-11 7 3 paused"),
        // the same thing
        ("7 3", "2025-02-01 7 3 2=5*4", quantity(9), "2025-01-11 7 3 2=5*9"),
        ("7 3 2=5*9", "2025-02-01 7 3 2=5*4", quantity(9), "2025-01-11 7 3 2=5*9"),
        ("7 3", "2025-02-01 7 3 1=25*1", prices("1=20*1"), "2025-01-11 7 3 1=20*1"),
        ("7 3 1=25*1", "2025-02-01 7 3", prices("1=25*1"), ""), // the going back is given up
        ("7 3", "2025-02-01 7 3 2=5*4", prices("1=20*1"), "2025-01-11 7 3 1=20*1"),
        ("7 3", "2025-02-01 7 4", Change::Version(5), "2025-01-11 7 5"),
        // something else of the same plan
        ("7 3", "2025-02-01 7 3 1=25*1", quantity(9), "2025-01-11 7 3 2=5*9 | 2025-02-01 7 3 1=25*1 2=5*9"),
        ("7 3", "2025-02-01 7 3 2=4*1", quantity(9), "2025-01-11 7 3 2=5*9 | 2025-02-01 7 3 2=4*9"),
        ("7 3", "2025-02-01 7 3 3=9*7", quantity(9), "2025-01-11 7 3 2=5*9 | 2025-02-01 7 3 2=5*9 3=9*7"),
        ("7 3", "2025-02-01 7 3 2=5*4", Change::Pause, "2025-01-11 7 3 paused | 2025-02-01 7 3 paused 2=5*4"),
        ("7 3", "2025-02-01 7 5", quantity(9), "2025-01-11 7 3 2=5*9 | 2025-02-01 7 5 4=6*9"),
        ("7 3", "2025-02-01 7 5", prices("1=25*1"), "2025-01-11 7 3 1=25*1 | 2025-02-01 7 5 1=25*1"),
    ] {
        let current = written(&format!("2025-01-01 {current}"));
        let before = subscription(vec![current.clone(), written(later)]);
        let after = before.changed(&change, None, at("2025-01-11"), &plans).unwrap();
        assert_eq!(after.terms.first(), Some(&current), "the past stays");
        let terms = after.terms.iter().skip(1).map(shown).collect::<Vec<_>>();
        assert_eq!(terms.join(" | "), expected, "{change:?} with {later} to come");
        let pending = after.pending(at("2025-01-11")).map(|terms| terms.from);
        assert_eq!(pending.is_some(), expected.contains("2025-02-01"), "{expected}");
        let ending = Subscription { ends_at: Some(at("2025-02-01")), ..after };
        assert_eq!(ending.pending(at("2025-01-11")), None, "it never comes to that");
    }
}

#[test]
fn what_it_begins_with_is_no_change_to_come() {
    let plans = PlansById::from([(id(PLAN), priced(PLAN))]);
    let before = subscription(vec![written("2025-03-01 7 3")]);
    assert_eq!(before.pending(at("2025-01-11")), None);
    let same = before.changed(&Change::Prices(BTreeMap::new()), None, at("2025-01-11"), &plans).unwrap();
    assert_eq!(same.terms, before.terms);
    let more = Change::Quantity(Some(id(2)), Decimal::TEN);
    let more = before.changed(&more, None, at("2025-01-11"), &plans).unwrap();
    assert_eq!(more.terms.iter().map(shown).collect::<Vec<_>>(), ["2025-01-11 7 3 2=5*10"]);
    assert_eq!(more.pending(at("2025-01-01")), None);
}
