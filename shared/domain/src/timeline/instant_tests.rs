//! Changes in the instant of a bill, and to plans that are billed at other times.

use super::{
    tests::{at, bills, phase, timeline},
    *,
};

#[test]
fn what_is_to_come_makes_no_bill_before_it_begins() {
    let month = phase("2025-01-01", "1 month", &["base 30", "setup 500 once"]);
    let week = phase("2025-02-01", "1 week", &["weekly 7"]);
    assert_eq!(
        bills(&timeline(vec![month, week]), "2025-02-12"),
        [
            "02-01: base 01-01–02-01 31/31, setup once",
            "02-05: weekly 02-01–02-05 4/7",
            "02-12: weekly 02-05–02-12 7/7",
        ]
    );
}

#[test]
fn changes_before_one_to_shorter_intervals_are_settled_with_it() {
    let year = phase("2025-01-01", "1 year", &["base 120 in advance"]);
    let more = phase("2025-02-01", "1 year", &["base 360 in advance"]);
    let month = phase("2025-04-16", "1 month", &["small 10 in advance", "calls usage every 1 week"]);
    let changed = timeline(vec![year, more, month]);
    assert_eq!(
        bills(&changed, "2025-05-01"),
        [
            "01-01: base 01-01–01-01 365/365",
            "04-23: calls 04-16–04-23, base 02-01–01-01 −334/365, base 02-01–01-01 334/365, \
             base 04-16–01-01 −260/365, small 04-16–05-01 15/30",
            "04-30: calls 04-23–04-30",
            "05-01: small 05-01–06-01 31/31",
        ]
    );
    let bill = changed.bill(Some(at("2025-01-01")), at("2025-04-23")).unwrap();
    assert_eq!(bill.period.start(), at("2025-01-01"));
}

#[test]
fn a_change_in_the_instant_of_a_bill_leaves_no_part_of_what_was_before() {
    let basic = phase("2025-01-01", "1 month", &["basic 30 in advance", "fee 10", "calls usage"]);
    let pro = ["pro 60 in advance", "fee2 20", "minutes usage"];
    let change = |to: &str| timeline(vec![basic.clone(), phase(to, "1 month", &pro)]);
    // As it stands when the bill of that instant was made before: what that charged in advance is settled.
    for mode in [ProrationMode::Prorate, ProrationMode::Full] {
        let mut after = change("2025-02-01T00:00:00.001Z");
        after.policy.mode = mode;
        assert_eq!(
            bills(&after, "2025-03-01"),
            [
                "01-01: basic 01-01–02-01 31/31",
                "02-01: fee 01-01–02-01 31/31, calls 01-01–02-01, basic 02-01–03-01 28/28",
                "03-01: fee2 02-01–03-01 28/28, minutes 02-01–03-01, basic 02-01–03-01 −28/28, \
                 pro 02-01–03-01 28/28, pro 03-01–04-01 31/31",
            ],
            "{mode:?}"
        );
    }
    // In the instant of the start, which was billed, too.
    let start = timeline(vec![basic.clone(), phase("2025-01-01T00:00:00.001Z", "1 month", &pro)]);
    assert_eq!(
        bills(&start, "2025-02-01")[1],
        "02-01: fee2 01-01–02-01 31/31, minutes 01-01–02-01, basic 01-01–02-01 −31/31, pro 01-01–02-01 31/31, \
         pro 02-01–03-01 28/28"
    );
    // Of an interval that goes on nothing is left out.
    let quarter = phase("2025-01-01", "1 month", &["basic 30 in advance", "calls usage every 3 month"]);
    let after = timeline(vec![quarter, phase("2025-02-01T00:00:00.001Z", "1 month", &["fee2 20"])]);
    assert_eq!(
        bills(&after, "2025-04-01")[2..],
        [
            "03-01: fee2 02-01–03-01 28/28, basic 02-01–03-01 −28/28",
            "04-01: calls 01-01–02-01, fee2 03-01–04-01 31/31",
        ]
    );
}

#[test]
fn an_end_bills_what_was_used_in_its_instant_and_nothing_twice() {
    let plan = phase("2025-01-01", "1 month", &["base 30 in advance", "fee 10", "calls usage"]);
    let end = |at_: &str| Timeline { ends_at: Some(at(at_)), ..timeline(vec![plan.clone()]) };
    let last = |timeline: &Timeline| bills(timeline, "2025-04-01").pop().unwrap();
    let ranges = |timeline: &Timeline, until: &str| {
        let bill = timeline.bill(Some(at("2025-02-01")), at(until)).unwrap();
        let usage = bill.dues.into_iter().find_map(|due| match due.kind {
            DueKind::Usage(ranges, _) => Some(ranges),
            DueKind::Once | DueKind::Fixed(..) => None,
        });
        usage.unwrap().last().unwrap().end()
    };
    let middle = end("2025-02-15");
    assert_eq!(last(&middle), "02-15: fee 02-01–02-15 14/28, calls 02-01–02-15, base 02-15–03-01 −14/28");
    assert_eq!(ranges(&middle, "2025-02-15"), at("2025-02-15T00:00:00.001Z"));
    // At the end of a period the next one begins: what is used then was not agreed on any more.
    let whole = end("2025-03-01");
    assert_eq!(last(&whole), "03-01: fee 02-01–03-01 28/28, calls 02-01–03-01");
    assert_eq!(ranges(&whole, "2025-03-01"), at("2025-03-01"));
    // Right after a bill, in its instant: of what is paid at the end nothing was begun, in any mode.
    let mut at_once = end("2025-02-01T00:00:00.001Z");
    for mode in [ProrationMode::Prorate, ProrationMode::None, ProrationMode::Full] {
        at_once.policy.mode = mode;
        assert!(!last(&at_once).contains("fee"), "{mode:?}");
    }
}
