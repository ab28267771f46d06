//! Late usage at its edges.

use super::*;
use crate::{
    charge::{Charge, Price, Pricing, UsagePrice},
    charge_model::ChargeModel,
    currency::Currency,
    id::Id,
    tiers::{Tier, Tiers},
    timeline::{Due, DueKind},
    totals::Usage,
};

fn at(text: &str) -> DateTime<Utc> {
    format!("{text}T00:00:00Z").parse().unwrap()
}

/// Graduated: 10 at 1, the rest at 0.5. Volume: up to 10 at 1 each, above that all at 0.5.
fn charge(is_volume: bool) -> Charge {
    let tier = |up_to: Option<i64>, price: &str| Tier {
        up_to: up_to.map(Decimal::from),
        unit_price: price.parse().unwrap(),
        flat_price: Decimal::ZERO,
    };
    let tiers = Tiers::new(vec![tier(Some(10), "1"), tier(None, "0.5")]).unwrap();
    let model = if is_volume { ChargeModel::Volume(tiers) } else { ChargeModel::Graduated(tiers) };
    let meter = Id::from_uuid(uuid::Uuid::from_u128(1));
    Charge {
        id: Id::from_uuid(uuid::Uuid::from_u128(2)),
        display_name: "Calls".into(),
        price: Price::Usage(UsagePrice {
            meter,
            interval: None,
            pricing: Pricing::of(model),
            filters: Vec::new(),
        }),
        added_in: 1,
        retired_in: None,
        created_at: DateTime::UNIX_EPOCH,
    }
}

fn used(quantity: &str, events: u64) -> Vec<ChargeUsage> {
    vec![ChargeUsage::of_total(Usage { quantity: quantity.parse().unwrap(), events })]
}

/// The bill of a month and its open invoice, when `quantity` was used by `events`.
fn billed(start: &str, end: &str, is_volume: bool, (quantity, events): (&str, u64)) -> Billed {
    let period = BillingPeriod::new(at(start), at(end)).unwrap();
    let due = Due { charge: charge(is_volume), kind: DueKind::Usage(vec![period], period) };
    let bill = Bill { at: at(end), period, dues: vec![due] };
    let lines = rating::lines(&bill, Currency::USD, &used(quantity, events)).unwrap();
    let (id, customer) = (Id::from_parts(at(end), [1; 10]), Id::from_parts(at(end), [2; 10]));
    let draft = Invoice::draft(id, customer, Currency::USD, at(end));
    Billed { bill, invoice: Invoice { lines, status: InvoiceStatus::Open, ..draft } }
}

fn january(usage: (&str, u64)) -> Billed {
    billed("2025-01-01", "2025-02-01", false, usage)
}

fn february() -> Billed {
    billed("2025-02-01", "2025-03-01", false, ("0", 0))
}

fn shown(lines: &[LineItem]) -> Vec<String> {
    let line = |line: &LineItem| format!("{} | {} | {}", line.description, line.quantity, line.amount);
    lines.iter().map(line).collect()
}

#[test]
fn the_line_is_the_difference_of_the_whole() {
    for (is_volume, billed_before, now, expected) in [
        (false, ("8", 8), ("8", 8), None),
        (false, ("8", 8), ("9", 9), Some("1 | USD 1.00")),
        (false, ("8", 8), ("14", 9), Some("6 | USD 4.00")), // two at 1, four at 0.5
        (false, ("0", 0), ("3", 1), Some("3 | USD 3.00")),  // nothing was in time
        (false, ("8", 8), ("6", 7), Some("-2 | USD -2.00")), // taken back on the way
        (true, ("10", 1), ("12", 2), Some("2 | USD -4.00")), // all are cheaper from 11 on
        (true, ("10", 1), ("20", 2), None),                 // as much as before: nothing to bill
    ] {
        let before = billed("2025-01-01", "2025-02-01", is_volume, billed_before);
        let lines = lines(&[(before, Some(used(now.0, now.1)))], &[], Tz::UTC).unwrap();
        let expected =
            expected.map(|figures| format!("Calls, late usage of 2025-01-01 to 2025-02-01 | {figures}"));
        assert_eq!(shown(&lines), expected.into_iter().collect::<Vec<_>>(), "{billed_before:?} {now:?}");
    }
}

#[test]
fn what_earlier_late_lines_have_is_not_billed_again() {
    let first = lines(&[(january(("8", 8)), Some(used("14", 9)))], &[], Tz::UTC).unwrap();
    for status in [InvoiceStatus::Open, InvoiceStatus::Void { at: at("2025-03-02") }] {
        let mut later = february();
        later.invoice.lines.extend(first.clone());
        later.invoice.status = status;
        let with = |january_now: &str, events: u64| {
            let before = [(january(("8", 8)), Some(used(january_now, events))), (later.clone(), None)];
            lines(&before, &[], Tz::UTC).unwrap()
        };
        assert_eq!(with("14", 9), []);
        let again = with("16", 12);
        assert_eq!(shown(&again), ["Calls, late usage of 2025-01-01 to 2025-02-01 | 2 | USD 1.00"]);
        assert!(matches!(again[0].source, LineSource::LateUsage { events: 3, .. }), "{again:?}");
        assert_eq!(again[0].period, Some(january(("0", 0)).bill.period));
        assert_eq!(
            crate::explanation::steps(&again[0]),
            [
                "usage of 16 in the whole period, known by now",
                "tier up to 10: 10 × 1 = 10",
                "tier above 10: 6 × 0.5 = 3",
                "10 + 3 = 13, rounded to USD 13.00",
                "usage of 14 billed before: 12.00",
                "13.00 − 12.00 = USD 1.00",
            ]
        );
        let parts = again[0].parts.iter().map(crate::explanation::part).collect::<Vec<_>>();
        assert_eq!(
            parts,
            ["tier up to 10: 10 × 1 = 10", "tier above 10: 6 × 0.5 = 3", "14 billed before: -12"]
        );
        let older = LineItem { parts: Vec::new(), ..again[0].clone() };
        assert_eq!(
            crate::explanation::steps(&older),
            [
                "usage of 16 in the whole period, known by now: 13.00",
                "usage of 14 billed before: 12.00",
                "13.00 − 12.00 = USD 1.00",
            ]
        );
    }
}

#[test]
fn the_parts_come_to_the_line_whatever_is_rounded() {
    // On the way, half a cent: of the whole, of what was billed before, of the difference.
    for (before, now) in
        [("8", "0.005"), ("0.005", "8"), ("0.005", "0.015"), ("1.115", "1.11"), ("0", "0.995")]
    {
        let january = january((before, 1));
        let late = lines(&[(january.clone(), Some(used(now, 2)))], &[], Tz::UTC).unwrap();
        let mut invoice = february().invoice;
        invoice.number = Some(crate::invoice::InvoiceNumber::next(0, at("2025-03-01")));
        invoice.lines = late.clone();
        assert_eq!((late.len(), invoice.verify()), (1, Ok(())), "{before} {now}");
        invoice.lines[0].amount =
            invoice.lines[0].amount.checked_add(Money::new(Decimal::new(1, 2), Currency::USD)).unwrap();
        assert!(invoice.verify().is_err(), "a cent more");
    }
}

#[test]
fn only_what_is_final_and_was_not_given_up_is_rated_again() {
    let now = at("2025-03-02");
    for (status, is_rated) in [
        (InvoiceStatus::Draft { finalize_at: None }, false),
        (InvoiceStatus::Open, true),
        (InvoiceStatus::Paid { at: now }, true),
        (InvoiceStatus::Uncollectible { at: now }, true),
        (InvoiceStatus::Void { at: now }, false),
    ] {
        let mut before = january(("8", 8));
        before.invoice.status = status;
        assert_eq!(before.is_rated_again(), is_rated, "{status:?}");
    }
    let mut before = january(("8", 8));
    before.invoice.lines.clear();
    assert_eq!(
        lines(&[(before, Some(used("9", 9)))], &[], Tz::UTC).unwrap(),
        [],
        "it was not billed by that line"
    );
}

#[test]
fn only_the_oldest_draft_looks_back_and_not_past_written_lines() {
    // Of each bill: a draft, written, or as it was.
    for (kinds, expected) in
        [("", 0), ("aa", 2), ("aaa", 3), ("ad", 0), ("da", 0), ("wa", 1), ("aw", 0), ("waw", 0), ("wdw", 0)]
    {
        let before = kinds.chars().map(|kind| {
            let mut billed = january(("8", 8));
            billed.invoice.has_edited_lines = kind == 'w';
            if kind == 'd' {
                billed.invoice.status = InvoiceStatus::Draft { finalize_at: None };
            }
            billed
        });
        assert_eq!(looked_back_at(before.collect()).len(), expected, "{kinds}");
    }
}

#[test]
fn the_period_is_named_in_the_time_zone_of_its_bill() {
    let lines = lines(&[(january(("8", 8)), Some(used("9", 9)))], &[], Tz::America__New_York).unwrap();
    assert_eq!(lines[0].description, "Calls, late usage of 2024-12-31 to 2025-01-31");
}

#[test]
fn usage_is_seen_by_whoever_counted_as_many_writes_of_its_heads() {
    let saw = |of: &Billed, writes| SeenUsage { invoice: of.invoice.id, writes };
    let (mut first, mut second) = (january(("8", 8)), february());
    assert!(!is_seen(&first, [&first.invoice, &second.invoice], 7), "nobody says so");
    first.invoice.seen = vec![saw(&first, 5)];
    second.invoice.seen = vec![saw(&second, 9), saw(&first, 7)];
    for (writes, expected) in [(5, true), (6, false), (7, true), (8, false), (9, false)] {
        assert_eq!(is_seen(&first, [&first.invoice, &second.invoice], writes), expected, "{writes}");
    }
    assert!(!is_seen(&second, [&first.invoice, &second.invoice], 7), "of another bill");
}
