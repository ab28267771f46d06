//! What changes and ends cost by each mode.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::{
    charge::Price,
    proration::ProrationUnit,
    schedule::{BillingSchedule, BillingTime},
    timeline::{
        Duration,
        tests::{at, bills, phase, timeline},
    },
};

#[test]
fn without_proration_changes_count_from_the_next_interval_or_for_the_whole() {
    let change = |mode| {
        let basic = phase("2025-01-01", "1 month", &["basic 30 in advance", "fee 10"]);
        let pro = phase("2025-01-16", "1 month", &["pro 60 in advance", "fee2 20"]);
        let mut timeline = timeline(vec![basic, pro]);
        timeline.policy.mode = mode;
        bills(&timeline, "2025-02-01")[1].clone()
    };
    assert_eq!(change(ProrationMode::None), "02-01: fee 01-01–01-16 31/31, pro 02-01–03-01 28/28");
    assert_eq!(
        change(ProrationMode::Full),
        "02-01: fee2 01-16–02-01 31/31, basic 01-16–02-01 −31/31, pro 01-16–02-01 31/31, pro 02-01–03-01 28/28"
    );
    let stub = |mode| {
        let mut timeline = timeline(vec![phase("2025-01-15", "1 month", &["a 30 in advance", "b 10"])]);
        timeline.schedule.time = BillingTime::Calendar;
        timeline.policy.mode = mode;
        bills(&timeline, "2025-02-01")
    };
    assert_eq!(stub(ProrationMode::None), ["01-15: ", "02-01: a 02-01–03-01 28/28"]);
    assert_eq!(
        stub(ProrationMode::Full),
        ["01-15: a 01-15–02-01 31/31", "02-01: b 01-15–02-01 31/31, a 02-01–03-01 28/28"]
    );
}

/// A change that is settled so.
fn settled(mode: ProrationMode, phase: Phase) -> Phase {
    Phase { policy: Some(ProrationPolicy { unit: ProrationUnit::Day, mode }), ..phase }
}

#[test]
fn each_change_is_settled_in_its_own_way() {
    let basic = || phase("2025-01-01", "1 month", &["basic 30 in advance", "fee 10"]);
    let pro = || phase("2025-01-11", "1 month", &["pro 60 in advance", "fee2 20"]);
    let max = || phase("2025-01-21", "1 month", &["max 90 in advance", "fee3 30"]);
    let check = |first: ProrationMode, second: ProrationMode, expected: &str| {
        let mut timeline = timeline(vec![basic(), settled(first, pro()), settled(second, max())]);
        // Whatever is given up and charged next month is as ever.
        let bill = bills(&timeline, "2025-02-01")[1].clone();
        assert_eq!(bill, format!("02-01: {expected}, max 02-01–03-01 28/28"), "{first:?} {second:?}");
        timeline.policy.mode = ProrationMode::None;
        assert_eq!(
            bills(&timeline, "2025-02-01")[1],
            bill,
            "the subscription's own policy is for other changes"
        );
    };
    let (share, none, full) = (ProrationMode::Prorate, ProrationMode::None, ProrationMode::Full);
    // What is given back is what was paid: the basic plan, which the first change left as it was.
    check(
        none,
        share,
        "fee 01-01–01-11 20/31, fee3 01-21–02-01 11/31, basic 01-21–02-01 −11/31, max 01-21–02-01 11/31",
    );
    check(
        share,
        none,
        "fee 01-01–01-11 10/31, fee2 01-11–01-21 21/31, basic 01-11–02-01 −21/31, pro 01-11–02-01 21/31",
    );
    // Of both that were paid in part, all is given back.
    check(
        share,
        full,
        "fee3 01-21–02-01 31/31, basic 01-11–02-01 −21/31, pro 01-11–02-01 21/31, basic 01-21–02-01 −10/31, \
         pro 01-21–02-01 −21/31, max 01-21–02-01 31/31",
    );
    check(
        full,
        share,
        "fee2 01-11–01-21 20/31, fee3 01-21–02-01 11/31, basic 01-11–02-01 −31/31, pro 01-11–02-01 31/31, \
         pro 01-21–02-01 −11/31, max 01-21–02-01 11/31",
    );
    check(none, none, "fee 01-01–01-11 31/31");
}

#[test]
fn an_end_is_settled_in_its_own_way() {
    let last = |of: ProrationMode, end: Option<ProrationMode>| {
        let mut timeline = timeline(vec![phase("2025-01-01", "1 month", &["a 30 in advance", "b 10"])]);
        timeline.policy.mode = of;
        timeline.ends_at = Some(at("2025-01-11"));
        timeline.end_policy = end.map(|mode| ProrationPolicy { unit: ProrationUnit::Day, mode });
        bills(&timeline, "2025-02-01")[1].clone()
    };
    let modes = [ProrationMode::Prorate, ProrationMode::None, ProrationMode::Full];
    let expected =
        ["01-11: b 01-01–01-11 10/31, a 01-11–02-01 −21/31", "01-11: ", "01-11: b 01-01–01-11 31/31"];
    for of in modes {
        for (mode, expected) in modes.into_iter().zip(expected) {
            assert_eq!(last(of, Some(mode)), expected, "{mode:?} in place of {of:?}");
            if of == mode {
                assert_eq!(last(of, None), expected, "{of:?}");
            }
        }
    }
}

#[test]
fn an_end_with_its_interval_leaves_no_part() {
    for mode in [ProrationMode::Prorate, ProrationMode::None, ProrationMode::Full] {
        let charges = ["a 30 in advance", "b 10", "q 90 every 3 month", "y 90 in advance every 3 month"];
        let mut timeline = timeline(vec![phase("2025-01-01", "1 month", &charges)]);
        timeline.ends_at = Some(at("2025-02-01"));
        timeline.end_policy = Some(ProrationPolicy { unit: ProrationUnit::Day, mode });
        let of_the_quarter = match mode {
            ProrationMode::Prorate => ", q 01-01–02-01 31/90, y 02-01–04-01 −59/90",
            ProrationMode::None => "",
            ProrationMode::Full => ", q 01-01–02-01 90/90",
        };
        assert_eq!(
            bills(&timeline, "2025-05-01")[1..],
            [format!("02-01: b 01-01–02-01 31/31{of_the_quarter}")],
            "{mode:?}"
        );
    }
}

#[test]
fn a_pause_takes_nothing_s_place() {
    let charges: [&str; 2] = ["a 30 in advance", "b 10"];
    let settled = |pause: ProrationMode, resume: ProrationMode| {
        let timeline = timeline(vec![
            phase("2025-01-01", "1 month", &charges),
            settled(pause, phase("2025-01-11", "1 month", &[])),
            settled(resume, phase("2025-01-21", "1 month", &charges)),
        ]);
        let bill = bills(&timeline, "2025-02-01")[1].clone();
        bill.strip_prefix("02-01: ").unwrap().strip_suffix(", a 02-01–03-01 28/28").unwrap().to_owned()
    };
    use ProrationMode::{Full, None, Prorate};
    for (pause, resume, expected) in [
        (Prorate, None, "b 01-01–01-11 10/31, a 01-11–02-01 −21/31"),
        (Prorate, Full, "b 01-21–02-01 31/31, a 01-11–02-01 −21/31, a 01-21–02-01 21/31"),
        (None, None, "b 01-01–01-11 31/31"),
        (Full, None, "b 01-01–01-11 31/31"),
        (Full, Full, "b 01-21–02-01 31/31"),
    ] {
        assert_eq!(settled(pause, resume), expected, "{pause:?}, then {resume:?}");
    }
    // For good, it is as an end: what was begun costs all of it.
    for (mode, expected) in [
        (Prorate, "02-01: b 01-01–01-11 10/31, a 01-11–02-01 −21/31"),
        (None, "02-01: b 01-01–01-11 31/31"),
        (Full, "02-01: b 01-01–01-11 31/31"),
    ] {
        let phases = vec![phase("2025-01-01", "1 month", &charges), phase("2025-01-11", "1 month", &[])];
        let mut timeline = timeline(phases);
        timeline.policy.mode = mode;
        assert_eq!(bills(&timeline, "2025-02-01")[1], expected, "{mode:?}");
    }
}

#[test]
fn a_change_for_the_whole_interval_leaves_nothing_of_the_plan_before() {
    let before = phase("2025-01-01", "1 month", &["a 30 in advance", "b 10"]);
    for (every, charges, expected) in [
        (
            "1 month",
            &["c 60 in advance"][..],
            "a 01-11–02-01 −31/31, c 01-11–02-01 31/31, c 02-01–03-01 28/28",
        ),
        ("1 month", &["d 60"], "d 01-11–02-01 31/31, a 01-11–02-01 −31/31"),
        ("1 year", &["e 365 in advance"], "a 01-11–02-01 −31/31, e 01-11–01-01 365/365"),
        ("1 month", &[], "a 01-11–02-01 −31/31"), // a plan that costs nothing
    ] {
        let after = Phase { is_paused: false, ..phase("2025-01-11", every, charges) };
        let mut timeline = timeline(vec![before.clone(), after]);
        timeline.policy.mode = ProrationMode::Full;
        assert_eq!(bills(&timeline, "2025-02-01")[1], format!("02-01: {expected}"), "{charges:?}");
    }
}

proptest! {
    /// However each change is settled: what is paid in advance comes to what the same prices come to in arrears.
    #[test]
    fn each_change_costs_the_same_in_advance_and_in_arrears(
        changes in prop::collection::vec((1_i64..300 * 86_400, 0_usize..4, 0_usize..4), 0..8),
        mode in 0_usize..3,
        is_calendar in any::<bool>(),
        by_days in any::<bool>(),
        every in 0_usize..4,
    ) {
        let every = ["1 month", "2 week", "3 month", "1 year"][every];
        let start = at("2024-01-30T10:30:00Z");
        let plans: [&[&str]; 4] =
            [&["a 30 in advance", "b 30"], &["c 50 in advance", "d 50"], &["a 30 in advance", "b 30", "c 50 in advance", "d 50"], &[]];
        let modes = [ProrationMode::Prorate, ProrationMode::None, ProrationMode::Full];
        let unit = if by_days { ProrationUnit::Day } else { ProrationUnit::Second };
        let mut phases = vec![Phase { from: start, ..phase("2024-01-01", every, plans[0]) }];
        let mut changes = changes;
        changes.sort();
        for (seconds, plan, mode) in changes {
            let policy = modes.get(mode).map(|mode| ProrationPolicy { unit, mode: *mode });
            phases.push(Phase { from: start + Duration::seconds(seconds), policy, ..phase("2024-01-01", every, plans[plan]) });
        }
        let time = if is_calendar { BillingTime::Calendar } else { BillingTime::Anchored(start) };
        let timeline = Timeline {
            schedule: BillingSchedule { time, ..BillingSchedule::anniversary(start) },
            policy: ProrationPolicy { unit, mode: modes[mode] },
            phases,
            one_offs: Vec::new(),
            ends_at: None,
            end_policy: None,
        };
        let (mut advance, mut arrears) = (Decimal::ZERO, Decimal::ZERO);
        let mut last = None;
        let until = start + Duration::days(500);
        while let Some(next) = timeline.next(last).unwrap() {
            let bill = timeline.bill(last, next).unwrap();
            for due in bill.dues {
                let DueKind::Fixed(part, share, reason) = due.kind else { panic!() };
                if next > until && reason == Reason::Interval && part.start() == next {
                    continue; // for the time after
                }
                let Price::Fixed(price) = due.charge.price else { panic!() };
                let amount = price.unit_price * Decimal::from(share.part) / Decimal::from(share.whole);
                let amount = if share.is_credit { -amount } else { amount };
                match due.charge.display_name.as_str() {
                    "a" | "c" => advance += amount,
                    _ => arrears += amount,
                }
            }
            last = Some(next);
            if next > until {
                break;
            }
        }
        prop_assert!((advance - arrears).abs() < Decimal::new(1, 18), "{} {}", advance, arrears);
    }
}
