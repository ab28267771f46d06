//! Two who do the same at once: a period is closed once, and an edit is on the invoice or is refused, between
//! whichever two requests to the tables the other comes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use app::{draft_invoices, finalize_invoice::finalize_due, one_off};
use chrono::TimeDelta;
use domain::{
    id::ChargeId,
    invoice::{Invoice, InvoiceStatus, LineSource},
    invoice_draft::{DraftEdit, GivenLine, ManualLine},
};
use fluxrate_bench::rig::Rig;
use futures::future::join_all;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::json;
use testkit::{Fault, Line};

use crate::{
    client::{World, text},
    finalize_race::{Billed, meanwhile, month},
};

/// A platform on the same tables that waits for `other` right before its request of that number; and how many
/// requests it has sent.
pub(crate) fn racing<Other: Future<Output = ()> + Send>(
    rig: &Rig,
    number: usize,
    other: impl Fn() -> Other + Send + 'static,
) -> (Rig, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let (counter, handle) = (sent.clone(), tokio::runtime::Handle::current());
    let line = Line::new(move |_, _| {
        if counter.fetch_add(1, Ordering::Relaxed) == number {
            meanwhile(&handle, other());
        }
        Fault::None
    });
    (rig.over(line), sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_that_two_close_is_closed_once() {
    let billed = Arc::new(Billed::new().await);
    let mut first_alone = Vec::new();
    // Month by month, the other one closes one request later.
    for n in 0.. {
        billed.count(billed.event(month(n), 5 + n)).await;
        billed.rig.set_now(month(n + 1));
        let by_other = Arc::new(AtomicUsize::new(0));
        let (other, closed) = (billed.clone(), by_other.clone());
        let (racing, sent) = racing(&billed.rig, n, move || {
            let (other, closed) = (other.clone(), closed.clone());
            async move { closed.store(other.closes(&other.rig).await, Ordering::Relaxed) }
        });
        let by_first = billed.closes(&racing).await;
        let by_other = by_other.load(Ordering::Relaxed);
        assert_eq!(by_first + by_other, 1, "before request {n}: {by_first} and {by_other}");
        first_alone.push(by_first == 1);
        let invoices = billed.invoices().await;
        assert_eq!(invoices.len(), n + 1, "before request {n}");
        let last = &invoices[n];
        assert_eq!(last.lines[0].quantity, Decimal::from(5 + n));
        assert_eq!(
            last.billed.map(|(_, period)| (period.start(), period.end())),
            Some((month(n), month(n + 1)))
        );
        if sent.load(Ordering::Relaxed) <= n {
            break; // the other one did not come any more
        }
    }
    assert!(
        !first_alone[0] && first_alone[first_alone.len() - 1] && first_alone.len() > 4,
        "{first_alone:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_months_that_two_make_up_for_are_closed_once_each() {
    const MISSED: usize = 3;
    let billed = Arc::new(Billed::new().await);
    let mut by_first = Vec::new();
    for n in 0.. {
        let until = MISSED * (n + 1);
        billed.rig.set_now(month(until));
        let by_other = Arc::new(AtomicUsize::new(0));
        let (other, closed) = (billed.clone(), by_other.clone());
        let (racing, sent) = racing(&billed.rig, n, move || {
            let (other, closed) = (other.clone(), closed.clone());
            async move { closed.store(other.closes(&other.rig).await, Ordering::Relaxed) }
        });
        let first = billed.closes(&racing).await;
        assert_eq!(first + by_other.load(Ordering::Relaxed), MISSED, "before request {n}");
        let found = billed.invoices().await.into_iter().map(|invoice| invoice.billed.unwrap().1);
        let found = found.map(|period| (period.start(), period.end())).collect::<Vec<_>>();
        let expected = (0..until).map(|n| (month(n), month(n + 1))).collect::<Vec<_>>();
        assert_eq!(found, expected, "before request {n}");
        by_first.push(first);
        if sent.load(Ordering::Relaxed) <= n {
            break;
        }
    }
    assert!(by_first[0] == 0 && by_first.last() == Some(&MISSED) && by_first.is_sorted(), "{by_first:?}");
    assert!(by_first.contains(&1) && by_first.contains(&2), "between two of its own, too: {by_first:?}");
}

/// Charges 9 once, over a platform that may be another.
async fn charged(billed: &Billed, rig: &Rig) -> ChargeId {
    let line =
        ManualLine { description: "Once".into(), quantity: Decimal::ONE, unit_price: Decimal::from(9) };
    one_off::add(&rig.platform, &rig.actor(), billed.subscription, line).await.unwrap().id
}

/// How often a charge is on an invoice.
async fn billings(billed: &Billed, charge: ChargeId) -> usize {
    let invoices = billed.invoices().await;
    let lines = invoices.iter().flat_map(|invoice| &invoice.lines);
    lines.filter(|line| line.source == LineSource::Fixed { charge }).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_charged_once_while_a_period_closes_is_billed_once() {
    let billed = Arc::new(Billed::new().await);
    let mut charges = Vec::new();
    for n in 0.. {
        billed.rig.set_now(month(n + 1));
        let other = billed.clone();
        let (racing, sent) = racing(&billed.rig, n, move || {
            let other = other.clone();
            async move { assert_eq!(other.closes(&other.rig).await, 1) }
        });
        charges.push(charged(&billed, &racing).await);
        let is_last = sent.load(Ordering::Relaxed) <= n;
        assert_eq!(billed.closes(&billed.rig).await, usize::from(is_last), "before request {n}");
        if is_last {
            break;
        }
    }
    assert!(charges.len() > 3, "{charges:?}");
    billed.rig.set_now(month(charges.len() + 1));
    billed.closes(&billed.rig).await;
    for (n, charge) in charges.into_iter().enumerate() {
        assert_eq!(billings(&billed, charge).await, 1, "before request {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_while_a_period_closes_is_billed_or_gone() {
    let billed = Arc::new(Billed::new().await);
    let mut gone = Vec::new();
    for n in 0.. {
        billed.rig.set_now(month(n) + TimeDelta::days(1));
        let charge = charged(&billed, &billed.rig).await;
        billed.rig.set_now(month(n + 1));
        let other = billed.clone();
        let (racing, sent) = racing(&billed.rig, n, move || {
            let other = other.clone();
            async move { assert_eq!(other.closes(&other.rig).await, 1) }
        });
        let removed = one_off::remove(&racing.platform, &racing.actor(), billed.subscription, charge).await;
        let is_last = sent.load(Ordering::Relaxed) <= n;
        assert_eq!(billed.closes(&billed.rig).await, usize::from(is_last), "before request {n}");
        if let Err(error) = &removed {
            assert!(error.to_string().contains("billed already"), "before request {n}: {error}");
        }
        assert_eq!(billings(&billed, charge).await, usize::from(removed.is_err()), "before request {n}");
        gone.push(removed.is_ok());
        if is_last {
            break;
        }
    }
    assert!(!gone[0] && gone[gone.len() - 1] && gone.len() > 3, "{gone:?}");
}

fn by_hand(quantity: usize) -> DraftEdit {
    let quantity = Decimal::from(quantity);
    let line = GivenLine { description: "By hand".into(), quantity, unit_price: Some(Decimal::ONE) };
    DraftEdit {
        customer: None,
        currency: None,
        lines: Some(vec![line]),
        payment_due: None,
        memo: None,
        metadata: None,
    }
}

fn summary(invoice: &Invoice) -> (String, Decimal) {
    (invoice.lines[0].description.clone(), invoice.lines[0].quantity)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_races_finalizing_is_on_the_invoice_or_refused() {
    let billed = Arc::new(Billed::new().await);
    let mut in_time = Vec::new();
    for n in 0.. {
        billed.count(billed.event(month(n), 5)).await;
        let draft = billed.closed(month(n + 1)).await;
        billed.rig.set_now(month(n + 1) + TimeDelta::hours(2));
        let edited = Arc::new(AtomicUsize::new(0));
        let (other, taken, id) = (billed.clone(), edited.clone(), draft.id);
        let (racing, sent) = racing(&billed.rig, n, move || {
            let (other, taken) = (other.clone(), taken.clone());
            async move {
                let edit =
                    draft_invoices::edit(&other.rig.platform, &other.rig.actor(), id, by_hand(100 + n)).await;
                match edit {
                    Ok(_) => taken.store(1, Ordering::Relaxed),
                    Err(error) => assert!(error.to_string().contains("open"), "before request {n}: {error}"),
                }
            }
        });
        let done = finalize_due(&racing.platform, racing.organization, draft.customer, draft.id).await;
        assert!(done.unwrap(), "before request {n}");
        let is_edited = edited.load(Ordering::Relaxed) == 1;
        let invoice = billed.invoices().await.pop().unwrap();
        assert!(invoice.status == InvoiceStatus::Open, "before request {n}: {:?}", invoice.status);
        assert_eq!(invoice.id, draft.id);
        assert_eq!(invoice.has_edited_lines, is_edited);
        if is_edited {
            assert_eq!(summary(&invoice), ("By hand".into(), Decimal::from(100 + n)), "before request {n}");
        } else {
            assert_eq!(summary(&invoice).1, Decimal::from(5), "before request {n}");
        }
        in_time.push(is_edited);
        if sent.load(Ordering::Relaxed) <= n {
            break;
        }
    }
    let turns = in_time.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(in_time[0] && !in_time[in_time.len() - 1] && turns == 1, "first in time, then late: {in_time:?}");
    let numbers = billed.invoices().await;
    let numbers = numbers.iter().map(|invoice| invoice.number.unwrap().to_string()).collect::<Vec<_>>();
    let years = numbers.iter().map(|number| &number[..8]).collect::<std::collections::BTreeSet<_>>();
    for year in years {
        let of_year = numbers.iter().filter(|number| number.starts_with(year)).enumerate();
        of_year.for_each(|(n, number)| assert_eq!(*number, format!("{year}-{:04}", n + 1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_have_no_gap_and_no_repeat_however_many_are_finalized_at_once() {
    let world = World::new().await;
    let customer = world.customer_in("DE", "", json!({})).await;
    let line = json!([{"description": "Work", "quantity": 1, "unit_amount": 10}]);
    let mut drafts = Vec::new();
    for _ in 0..30 {
        let body = json!({"customer_id": customer["id"], "currency": "EUR", "line_items": line});
        drafts.push(world.owner.created("/invoices", body).await);
    }
    let finalized = join_all(drafts.iter().map(|draft| async {
        let path = format!("/invoices/{}/finalize", text(&draft["id"]));
        // Who is told that it was busy asks again.
        loop {
            let (status, answer) = world.owner.call(Method::POST, &path, None).await;
            match status {
                200 => return text(&answer["invoice_number"]).to_owned(),
                409 | 503 => {}
                _ => panic!("{status}: {answer}"),
            }
        }
    }));
    let mut numbers = finalized.await;
    numbers.sort();
    let expected = (1..=30).map(|n| format!("INV-2025-{n:04}")).collect::<Vec<_>>();
    assert_eq!(numbers, expected);
    let listed = world.owner.get("/invoices?page_size=100&status=OPEN").await;
    let mut listed =
        listed["data"].as_array().unwrap().iter().map(|row| text(&row["invoice_number"])).collect::<Vec<_>>();
    listed.sort_unstable();
    assert_eq!(listed, expected);
}
