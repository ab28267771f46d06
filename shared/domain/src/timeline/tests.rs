//! Bills of subscriptions that change, and the laws they keep whatever happens.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::{
    charge::{FixedPrice, FixedTiming, Price, Pricing, UsagePrice},
    charge_model::ChargeModel,
    id::Id,
    period::IntervalUnit,
    proration::ProrationUnit,
    schedule::BillingTime,
};

pub(super) fn at(text: &str) -> DateTime<Utc> {
    if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() }.parse().unwrap()
}

/// A charge from `name price [in advance] [once] [every n unit]`, or
/// `name usage [every n unit]`.
pub(super) fn charge(text: &str) -> Charge {
    let mut words = text.split(' ');
    let (name, price) = (words.next().unwrap(), words.next().unwrap());
    let interval = text.split_once(" every ").map(|(_, every)| interval(every));
    let timing = if text.contains(" once") {
        FixedTiming::Once
    } else {
        FixedTiming::Recurring { is_in_advance: text.contains(" in advance"), interval }
    };
    let price = match price {
        "usage" => {
            let pricing = Pricing::of(ChargeModel::Standard { unit_price: Decimal::ONE });
            Price::Usage(UsagePrice {
                meter: Id::from_uuid(uuid::Uuid::from_u128(1)),
                interval,
                pricing,
                filters: Vec::new(),
            })
        }
        price => Price::Fixed(FixedPrice { timing, ..FixedPrice::of(price.parse().unwrap(), Decimal::ONE) }),
    };
    let id = name.bytes().fold(0, |id, byte| id * 256 + u128::from(byte));
    Charge {
        id: Id::from_uuid(uuid::Uuid::from_u128(id)),
        display_name: name.to_owned(),
        price,
        added_in: 1,
        retired_in: None,
        created_at: DateTime::UNIX_EPOCH,
    }
}

pub(super) fn interval(text: &str) -> BillingInterval {
    let (count, unit) = text.split_once(' ').unwrap();
    let unit = match unit {
        "day" => IntervalUnit::Day,
        "week" => IntervalUnit::Week,
        "month" => IntervalUnit::Month,
        "year" => IntervalUnit::Year,
        _ => panic!("{unit}"),
    };
    BillingInterval::new(unit, count.parse().unwrap()).unwrap()
}

pub(super) fn phase(from: &str, every: &str, charges: &[&str]) -> Phase {
    let charges = charges.iter().map(|text| charge(text)).collect::<Vec<_>>();
    Phase { from: at(from), interval: interval(every), is_paused: charges.is_empty(), charges, policy: None }
}

pub(super) fn timeline(phases: Vec<Phase>) -> Timeline {
    Timeline {
        schedule: BillingSchedule::anniversary(phases[0].from),
        policy: ProrationPolicy { unit: ProrationUnit::Day, mode: ProrationMode::Prorate },
        phases,
        one_offs: Vec::new(),
        ends_at: None,
        end_policy: None,
    }
}

/// The bills until `until`: `on: name from-to part/whole, …`.
pub(super) fn bills(timeline: &Timeline, until: &str) -> Vec<String> {
    let mut bills = Vec::new();
    let mut last = None;
    while let Some(next) = timeline.next(last).unwrap()
        && next <= at(until)
    {
        let bill = timeline.bill(last, next).unwrap();
        let day = |at: DateTime<Utc>| {
            let text = at.format("%m-%dT%H:%M:%S").to_string();
            text.trim_end_matches("T00:00:00").to_owned()
        };
        let due = |due: &Due| {
            let name = &due.charge.display_name;
            match &due.kind {
                DueKind::Once => format!("{name} once"),
                DueKind::Usage(ranges, _) => {
                    let ranges =
                        ranges.iter().map(|range| format!(" {}–{}", day(range.start()), day(range.end())));
                    format!("{name}{}", ranges.collect::<String>())
                }
                DueKind::Fixed(period, share, _) => {
                    let sign = if share.is_credit { "−" } else { "" };
                    format!(
                        "{name} {}–{} {sign}{}/{}",
                        day(period.start()),
                        day(period.end()),
                        share.part,
                        share.whole
                    )
                }
            }
        };
        let dues = bill.dues.iter().map(due).collect::<Vec<_>>().join(", ");
        bills.push(format!("{}: {dues}", day(next)));
        last = Some(next);
    }
    bills
}

#[test]
fn arrears_come_at_the_end_and_advance_at_the_start() {
    let timeline = timeline(vec![phase(
        "2025-01-31",
        "1 month",
        &["base 30", "seats 5 in advance", "setup 500 once", "calls usage"],
    )]);
    assert_eq!(
        bills(&timeline, "2025-03-31"),
        [
            "01-31: seats 01-31–02-28 28/28, setup once",
            "02-28: base 01-31–02-28 28/28, calls 01-31–02-28, seats 02-28–03-31 31/31",
            "03-31: base 02-28–03-31 31/31, calls 02-28–03-31, seats 03-31–04-30 30/30",
        ]
    );
}

#[test]
fn the_documented_stub_is_seventeen_days() {
    let mut timeline = timeline(vec![phase("2025-01-15", "1 month", &["base 30"])]);
    timeline.schedule.time = BillingTime::Calendar;
    assert_eq!(
        bills(&timeline, "2025-03-01"),
        ["02-01: base 01-15–02-01 17/31", "03-01: base 02-01–03-01 28/28"]
    );
}

#[test]
fn a_charge_may_have_an_interval_of_its_own() {
    let charges =
        ["base 30", "support 90 every 3 month", "hosting 90 in advance every 3 month", "calls usage"];
    let timeline_of =
        |start: &str, every: &str, charges: &[&str]| timeline(vec![phase(start, every, charges)]);
    assert_eq!(
        bills(&timeline_of("2025-01-01", "1 month", &charges), "2025-04-01"),
        [
            "01-01: hosting 01-01–04-01 90/90",
            "02-01: base 01-01–02-01 31/31, calls 01-01–02-01",
            "03-01: base 02-01–03-01 28/28, calls 02-01–03-01",
            "04-01: base 03-01–04-01 31/31, support 01-01–04-01 90/90, calls 03-01–04-01, hosting 04-01–07-01 91/91",
        ]
    );
    assert_eq!(
        bills(&timeline_of("2025-01-01", "1 year", &["base 30", "weekly 1 every 1 week"]), "2025-01-15"),
        ["01-08: weekly 01-01–01-08 7/7", "01-15: weekly 01-08–01-15 7/7"]
    );
}

#[test]
fn usage_may_be_billed_at_another_interval_than_its_plan() {
    let check = |every: &str, charges: &[&str], until: &str, expected: &[&str]| {
        assert_eq!(
            bills(&timeline(vec![phase("2025-01-31", every, charges)]), until),
            expected,
            "{charges:?}"
        );
    };
    check(
        "1 year",
        &["base 1200 in advance", "calls usage every 1 month"],
        "2025-03-31",
        &["01-31: base 01-31–01-31 365/365", "02-28: calls 01-31–02-28", "03-31: calls 02-28–03-31"],
    );
    check(
        "1 month",
        &["base 100", "calls usage every 3 month", "bytes usage"],
        "2025-05-31",
        &[
            "02-28: base 01-31–02-28 28/28, bytes 01-31–02-28",
            "03-31: base 02-28–03-31 31/31, bytes 02-28–03-31",
            "04-30: base 03-31–04-30 30/30, calls 01-31–04-30, bytes 03-31–04-30",
            "05-31: base 04-30–05-31 31/31, bytes 04-30–05-31",
        ],
    );
    // By the calendar the start cuts the first quarter.
    let mut calendar = timeline(vec![phase("2025-02-15", "1 month", &["calls usage every 3 month"])]);
    calendar.schedule.time = BillingTime::Calendar;
    assert_eq!(
        bills(&calendar, "2025-07-01"),
        ["03-01: ", "04-01: calls 02-15–04-01", "05-01: ", "06-01: ", "07-01: calls 04-01–07-01"]
    );
    let bill = calendar.bill(Some(at("2025-03-01")), at("2025-04-01")).unwrap();
    let DueKind::Usage(_, whole) = &bill.dues[0].kind else { panic!("{bill:?}") };
    assert_eq!((whole.start(), whole.end()), (at("2025-01-01"), at("2025-04-01")));
}

#[test]
fn a_change_splits_usage_of_an_interval_of_its_own() {
    let quarterly = |from: &str, other: &str| phase(from, "1 month", &["calls usage every 3 month", other]);
    let change = |charges: &[&str], every: &str| {
        timeline(vec![quarterly("2025-01-01", "base 31"), phase("2025-02-15", every, charges)])
    };
    assert_eq!(
        bills(&change(&["minutes usage every 2 month"], "1 year"), "2025-05-01"),
        [
            "02-01: base 01-01–02-01 31/31",
            "03-01: base 02-01–02-15 14/28, minutes 02-15–03-01",
            "04-01: calls 01-01–02-15",
            "05-01: minutes 03-01–05-01",
        ]
    );
    // What goes on at the same price is not split; at another interval it is another charge.
    let goes_on = timeline(vec![quarterly("2025-01-01", "base 31"), quarterly("2025-02-15", "fee 28")]);
    assert_eq!(bills(&goes_on, "2025-04-01")[2], "04-01: calls 01-01–04-01, fee 03-01–04-01 31/31");
    assert_eq!(
        bills(&change(&["calls usage every 1 month"], "1 month"), "2025-04-01")[1..],
        ["03-01: calls 02-15–03-01, base 02-01–02-15 14/28", "04-01: calls 03-01–04-01, calls 01-01–02-15",]
    );
    // An end closes what is open, also of what was charged before.
    let mut ended = change(&["minutes usage every 1 month"], "1 month");
    ended.ends_at = Some(at("2025-03-11"));
    assert_eq!(
        bills(&ended, "2026-01-01")[1..],
        [
            "03-01: base 02-01–02-15 14/28, minutes 02-15–03-01",
            "03-11: calls 01-01–02-15, minutes 03-01–03-11",
        ]
    );
}

#[test]
fn a_bill_leaves_open_what_goes_on() {
    for (charges, expected) in [
        (["base 30", "calls usage"], true),
        (["base 30 in advance", "calls usage"], false),
        (["base 30", "calls usage every 3 month"], false),
        (["base 30 every 3 month", "calls usage"], false),
        (["base 30 once", "calls usage every 2 week"], false),
    ] {
        let open = timeline(vec![phase("2025-01-01", "1 month", &charges)]);
        assert_eq!(open.is_settled_at(at("2025-02-01")), Ok(expected), "{charges:?}");
    }
    let before = phase("2025-01-01", "1 month", &["calls usage every 3 month"]);
    let changed = timeline(vec![before, phase("2025-01-16", "1 month", &["minutes usage"])]);
    for (bill, expected) in [("2025-02-01", false), ("2025-04-01", true)] {
        assert_eq!(changed.is_settled_at(at(bill)), Ok(expected), "{bill}");
    }
}

#[test]
fn what_is_charged_once_is_on_the_first_bill_after_it() {
    let since = |name: &str, time: &str| Charge { created_at: at(time), ..charge(&format!("{name} 5 once")) };
    let mut timeline = timeline(vec![
        phase("2025-01-01", "1 month", &["base 30", "setup 9 once"]),
        phase("2025-03-01", "1 month", &[]),
    ]);
    timeline.one_offs = vec![
        since("first", "2025-01-01"),
        since("in-time", "2025-02-01"),
        since("later", "2025-02-01T00:00:00.001Z"),
        since("paused", "2025-03-20"),
        since("end", "2025-04-11"),
    ];
    timeline.ends_at = Some(at("2025-04-11"));
    assert_eq!(
        bills(&timeline, "2026-01-01"),
        [
            "02-01: base 01-01–02-01 31/31, setup once, first once, in-time once",
            "03-01: base 02-01–03-01 28/28, later once",
            "04-01: paused once",
            "04-11: end once",
        ]
    );
    assert_eq!(timeline.is_settled_at(at("2025-04-10")), Ok(false));
    assert_eq!(timeline.is_settled_at(at("2025-04-11")), Ok(true));
}

#[test]
fn what_a_plan_was_used_for_falls_due_though_the_next_is_billed_at_other_times() {
    let three = phase("2025-01-01", "3 month", &["calls usage", "base 90"]);
    let two = phase("2025-02-15", "2 month", &["minutes usage"]);
    assert_eq!(
        bills(&timeline(vec![three, two]), "2025-05-01"),
        [
            "03-01: minutes 02-15–03-01",
            "04-01: calls 01-01–02-15, base 01-01–02-15 45/90",
            "05-01: minutes 03-01–05-01",
        ]
    );
}

#[test]
fn a_change_of_plan_splits_the_period() {
    let change = |to: &str| {
        let basic = phase("2025-01-01", "1 month", &["basic 30 in advance", "fee 10", "calls usage"]);
        timeline(vec![basic, phase(to, "1 month", &["pro 60 in advance", "fee2 20", "minutes usage"])])
    };
    assert_eq!(
        bills(&change("2025-01-16"), "2025-02-01"),
        [
            "01-01: basic 01-01–02-01 31/31",
            "02-01: fee 01-01–01-16 15/31, calls 01-01–01-16, fee2 01-16–02-01 16/31, minutes 01-16–02-01, \
             basic 01-16–02-01 −16/31, pro 01-16–02-01 16/31, pro 02-01–03-01 28/28",
        ]
    );
    // At the end of the period nothing is split, and nothing given back.
    assert_eq!(
        bills(&change("2025-02-01"), "2025-02-01")[1],
        "02-01: fee 01-01–02-01 31/31, calls 01-01–02-01, pro 02-01–03-01 28/28"
    );
    let mut last_second = change("2025-01-31T23:59:59Z");
    last_second.policy.unit = ProrationUnit::Second;
    assert_eq!(
        bills(&last_second, "2025-02-01")[1],
        "02-01: fee 01-01–01-31T23:59:59 2678399/2678400, calls 01-01–01-31T23:59:59, \
         fee2 01-31T23:59:59–02-01 1/2678400, minutes 01-31T23:59:59–02-01, \
         basic 01-31T23:59:59–02-01 −1/2678400, pro 01-31T23:59:59–02-01 1/2678400, pro 02-01–03-01 2419200/2419200"
    );
}

#[test]
fn what_was_given_up_is_billed_at_the_end_of_its_interval() {
    let month = phase("2025-01-01", "1 month", &["fee 31", "calls usage"]);
    let timeline = timeline(vec![month, phase("2025-01-10", "2 week", &["fee2 14", "minutes usage"])]);
    assert_eq!(
        bills(&timeline, "2025-02-12"),
        [
            "01-15: fee2 01-10–01-15 5/14, minutes 01-10–01-15",
            "01-29: fee2 01-15–01-29 14/14, minutes 01-15–01-29",
            "02-01: fee 01-01–01-10 9/31, calls 01-01–01-10",
            "02-12: fee2 01-29–02-12 14/14, minutes 01-29–02-12",
        ]
    );
}

#[test]
fn a_pause_is_not_billed() {
    let charges: [&str; 3] = ["a 30 in advance", "b 10", "calls usage"];
    let timeline = timeline(vec![
        phase("2025-01-01", "1 month", &charges),
        phase("2025-01-11", "1 month", &[]),
        phase("2025-03-11", "1 month", &charges),
    ]);
    assert_eq!(
        bills(&timeline, "2025-04-01"),
        [
            "01-01: a 01-01–02-01 31/31",
            "02-01: b 01-01–01-11 10/31, calls 01-01–01-11, a 01-11–02-01 −21/31",
            "03-01: ",
            "04-01: b 03-11–04-01 21/31, calls 03-11–04-01, a 03-11–04-01 21/31, a 04-01–05-01 30/30",
        ]
    );
    // Within one period it is one line for what was used before and after.
    let mut short = timeline.clone();
    short.phases[2].from = at("2025-01-21");
    assert_eq!(
        bills(&short, "2025-02-01")[1],
        "02-01: b 01-01–01-11 10/31, b 01-21–02-01 11/31, calls 01-01–01-11 01-21–02-01, \
         a 01-11–02-01 −21/31, a 01-21–02-01 11/31, a 02-01–03-01 28/28"
    );
}

#[test]
fn an_end_closes_what_is_open() {
    let charges =
        ["a 30 in advance", "b 10", "q 90 every 3 month", "y 120 in advance every 1 year", "calls usage"];
    let mut timeline = timeline(vec![phase("2025-01-01", "1 month", &charges)]);
    timeline.ends_at = Some(at("2025-02-11"));
    assert_eq!(
        bills(&timeline, "2026-01-01"),
        [
            "01-01: a 01-01–02-01 31/31, y 01-01–01-01 365/365",
            "02-01: b 01-01–02-01 31/31, calls 01-01–02-01, a 02-01–03-01 28/28",
            "02-11: b 02-01–02-11 10/28, q 01-01–02-11 41/90, calls 02-01–02-11, a 02-11–03-01 −18/28, \
             y 02-11–01-01 −324/365",
        ]
    );
    // An end that was agreed on is not paid for and given back.
    timeline.ends_at = None;
    timeline.schedule.end = Some(at("2025-01-11"));
    assert_eq!(
        bills(&timeline, "2026-01-01"),
        [
            "01-01: a 01-01–01-11 10/31, y 01-01–01-11 10/365",
            "01-11: b 01-01–01-11 10/31, q 01-01–01-11 10/90, calls 01-01–01-11",
        ]
    );
}

proptest! {
    /// Whatever changes, and however often: each instant of usage is billed once, to the plan of that
    /// instant; and what is paid in advance comes to what the same prices come to in arrears.
    #[test]
    fn every_instant_is_billed_once(
        changes in prop::collection::vec((1_i64..400 * 86_400, 0_usize..3, 0_usize..4), 0..8),
        ends in 1_i64..400 * 86_400,
        is_calendar in any::<bool>(),
        by_days in any::<bool>(),
        every in 0_usize..4,
        own in 0_usize..5,
    ) {
        let intervals = ["1 month", "2 week", "3 month", "1 year"];
        let of_usage = ["", " every 1 month", " every 2 month", " every 3 week", " every 1 year"];
        let own = format!("u usage{}", of_usage[own]);
        let start = at("2024-01-30T10:30:00Z");
        let plans: [&[&str]; 3] =
            [&["a 30 in advance", "b 30", &own], &["c 50 in advance", "d 50", "v usage"], &[]];
        let mut phases = vec![Phase { from: start, ..phase("2024-01-01", intervals[every], plans[0]) }];
        let mut changes = changes;
        changes.sort();
        for (seconds, plan, every) in changes {
            let from = start + Duration::seconds(seconds);
            phases.push(Phase { from, ..phase("2024-01-01", intervals[every], plans[plan]) });
        }
        let end = start + Duration::seconds(ends);
        let unit = if by_days { ProrationUnit::Day } else { ProrationUnit::Second };
        let time = if is_calendar { BillingTime::Calendar } else { BillingTime::Anchored(start) };
        let timeline = Timeline {
            schedule: BillingSchedule { time, ..BillingSchedule::anniversary(start) },
            policy: ProrationPolicy { unit, mode: ProrationMode::Prorate },
            phases,
            one_offs: Vec::new(),
            ends_at: Some(end),
            end_policy: None,
        };
        let (mut advance, mut arrears) = (Decimal::ZERO, Decimal::ZERO);
        let mut used = Vec::new();
        let mut last = None;
        while let Some(next) = timeline.next(last).unwrap() {
            prop_assert!(last.is_none_or(|last| last < next));
            for due in timeline.bill(last, next).unwrap().dues {
                match due.kind {
                    DueKind::Fixed(_, share, _) => {
                        let Price::Fixed(price) = due.charge.price else { panic!() };
                        let amount = price.unit_price * Decimal::from(share.part) / Decimal::from(share.whole);
                        let amount = if share.is_credit { -amount } else { amount };
                        match due.charge.display_name.as_str() {
                            "a" | "c" => advance += amount,
                            _ => arrears += amount,
                        }
                    }
                    DueKind::Usage(ranges, whole) => {
                        prop_assert!(ranges.iter().all(|range| whole.start() <= range.start() && range.end() <= whole.end()));
                        used.extend(ranges.into_iter().map(|range| (range, due.charge.display_name.clone())));
                    }
                    DueKind::Once => panic!(),
                }
            }
            last = Some(next);
        }
        prop_assert_eq!(last, Some(end));
        prop_assert!((advance - arrears).abs() < Decimal::new(1, 18), "{} {}", advance, arrears);
        used.sort();
        for pair in used.windows(2) {
            prop_assert!(pair[0].0.end() <= pair[1].0.start(), "{:?}", pair);
        }
        for (range, name) in &used {
            let charges = timeline.charges_at(range.start());
            prop_assert!(charges.iter().any(|charge| charge.display_name == *name));
        }
        // The instant of the end belongs to what was used until then.
        let billed = used.iter().map(|(range, _)| range.end().min(end) - range.start()).sum::<Duration>();
        let phases = timeline.phases_in(start, end).filter(|(_, phase)| !phase.charges.is_empty());
        prop_assert_eq!(billed, phases.map(|(part, _)| part.end() - part.start()).sum::<Duration>());
    }
}
