//! Invoices made again: in place of a void one, or of a deleted draft; of each period at most one that is not void.

use std::sync::{Arc, Mutex, atomic::Ordering};

use app::{
    draft_invoices,
    generate_invoice::Generated,
    invoices::{self, Move, Note},
    regenerate_invoice::{regenerate, regenerate_period},
};
use chrono::TimeDelta;
use domain::invoice::{Invoice, InvoiceStatus};
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::{
    billing_races::racing,
    client::{World, fields, text},
    finalize_race::{Billed, month},
};

/// A subscription of calls at 0.01 from January 2025.
struct Calls {
    world: World,
    meter: Value,
    subscription: String,
}

impl Calls {
    async fn new() -> Self {
        let world = World::new().await;
        let meter = world.meter("SUM").await;
        let usage = json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 0.01, "display_name": "Calls"});
        let plan = world.plan(&[usage]).await;
        let customer = world.customer().await;
        let subscription = world.subscribe(&customer, &plan).await;
        Self { world, meter, subscription: format!("/subscriptions/{}", text(&subscription["id"])) }
    }

    async fn track(&self, day: &str, quantity: u32) {
        let body = json!({"meter_token": self.meter["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "timestamp": format!("2025-{day}T12:00:00Z")});
        self.world.owner.created("/sdk/track", body).await;
        self.world.drain().await;
    }

    async fn until(&mut self, day: &str, time: &str) {
        self.world.advance_to(&format!("2025-{day}T{time}:00Z")).await;
    }

    async fn newest(&self) -> Value {
        self.world.owner.get("/invoices").await["data"][0].clone()
    }

    async fn act(&self, invoice: &Value, what: &str) -> (u16, Value) {
        let path = format!("/invoices/{}/{what}", text(&invoice["id"]));
        self.world.owner.call(Method::POST, &path, None).await
    }

    async fn void(&self, invoice: &Value) {
        let path = format!("/invoices/{}/status", text(&invoice["id"]));
        self.world.owner.changed(Method::PATCH, &path, json!({"status": "VOID"})).await;
    }

    async fn generate(&self, period_start: &str) -> (u16, Value) {
        let body = json!({"period_start": period_start});
        self.world.owner.post(&format!("{}/generate-invoice", self.subscription), body).await
    }
}

fn lines(invoice: &Value) -> Vec<String> {
    let line = |line: &Value| {
        format!("{}: {} for {}", text(&line["description"]), line["quantity"], line["line_total"])
    };
    invoice["line_items"].as_array().unwrap().iter().map(line).collect()
}

const LATE: &str = "Calls, late usage of 2025-01-01 to 2025-02-01";

#[tokio::test]
async fn a_void_invoice_is_made_again_from_what_is_known_now() {
    let mut calls = Calls::new().await;
    calls.until("01-20", "00:00").await;
    calls.track("01-10", 900).await;
    calls.until("02-01", "02:00").await;
    calls.track("01-31", 150).await;
    let first = calls.newest().await;
    let (status, problem) = calls.act(&first, "regenerate").await;
    assert_eq!((status, &problem["code"]), (409, &json!("invoice_not_void")));
    calls.void(&first).await;
    let (status, draft) = calls.act(&first, "regenerate").await;
    assert_eq!((status, lines(&draft)), (201, vec!["Calls: 1050 for 10.50".to_owned()]));
    assert_eq!((&draft["status"], &draft["replaces_invoice_id"]), (&json!("DRAFT"), &first["id"]));
    assert_eq!(draft["scheduled_finalize_at"], "2025-02-01T03:00:00Z");
    for name in ["period_start", "period_end", "subscription_id", "customer_id"] {
        assert_eq!(draft[name], first[name], "{name}");
    }
    let path = format!("/invoices/{}", text(&first["id"]));
    let void = calls.world.owner.get(&path).await;
    assert_eq!((&void["status"], &void["replaced_by_invoice_id"]), (&json!("VOID"), &draft["id"]));
    assert_eq!(void["invoice_number"], first["invoice_number"]);
    let (status, same) = calls.act(&first, "regenerate").await;
    assert_eq!((status, &same), (200, &draft), "once");
    assert_eq!(calls.generate("2025-01-01").await.1["code"], "already_invoiced");

    calls.until("02-01", "04:00").await;
    let opened = calls.newest().await;
    assert_eq!((&opened["id"], &opened["invoice_number"]), (&draft["id"], &json!("INV-2025-0002")));
    let (status, problem) = calls.act(&first, "regenerate").await;
    assert_eq!((status, &problem["code"]), (409, &json!("already_regenerated")));
    calls.until("03-01", "02:00").await;
    assert_eq!(lines(&calls.newest().await), ["Calls: 0 for 0.00"], "all of January is billed");

    // And again, and by another one that is deleted on the way.
    calls.void(&opened).await;
    let (_, draft) = calls.act(&opened, "regenerate").await;
    let path = format!("/invoices/{}", text(&draft["id"]));
    assert_eq!(calls.world.owner.call(Method::DELETE, &path, None).await.0, 204);
    let (status, again) = calls.act(&opened, "regenerate").await;
    assert_eq!(
        (status, &again["id"], lines(&again)),
        (201, &draft["id"], vec!["Calls: 1050 for 10.50".to_owned()])
    );
    calls.void(&again).await;
    let (status, last) = calls.act(&again, "regenerate").await;
    assert_eq!((status, &last["replaces_invoice_id"]), (201, &again["id"]), "a draft that was voided, too");
}

#[tokio::test]
async fn what_was_billed_late_meanwhile_is_not_billed_twice() {
    let mut calls = Calls::new().await;
    calls.until("01-20", "00:00").await;
    calls.track("01-10", 900).await;
    calls.until("02-01", "02:00").await;
    calls.track("01-31", 150).await;
    let january = calls.newest().await;
    calls.until("03-01", "02:00").await;
    let february = calls.newest().await;
    assert_eq!(lines(&february), ["Calls: 0 for 0.00".to_owned(), format!("{LATE}: 150 for 1.50")]);
    calls.void(&january).await;
    calls.track("01-31", 10).await;
    let (_, again) = calls.act(&january, "regenerate").await;
    let expected = ["Calls: 1060 for 10.60".to_owned(), format!("{LATE}: -150 for -1.50")];
    assert_eq!(lines(&again), expected, "February has these");
    let explained = calls.world.owner.get(&format!("/invoices/{}/explain", text(&again["id"]))).await;
    assert_eq!(explained["lines"][1]["steps"][4], "10.60 − 12.10 = USD -1.50");
    assert_eq!(calls.act(&again, "finalize").await.0, 200);

    // Void, February has them no more.
    calls.void(&february).await;
    let (_, again) = calls.act(&february, "regenerate").await;
    assert_eq!(lines(&again), ["Calls: 0 for 0.00".to_owned(), format!("{LATE}: 150 for 1.50")]);
    assert_eq!(calls.act(&again, "finalize").await.0, 200);
    calls.until("04-01", "02:00").await;
    assert_eq!(lines(&calls.newest().await), ["Calls: 0 for 0.00"], "all of it is billed once");
}

#[tokio::test]
async fn a_deleted_draft_is_made_again_by_its_period() {
    let mut calls = Calls::new().await;
    calls.until("02-01", "00:10").await;
    let deleted = calls.newest().await;
    let path = format!("/invoices/{}", text(&deleted["id"]));
    assert_eq!(calls.world.owner.call(Method::DELETE, &path, None).await.0, 204);
    calls.until("02-10", "00:00").await;
    calls.track("01-15", 7).await;
    for start in ["2025-02-01", "2025-01-02", "2024-12-01"] {
        let (status, problem) = calls.generate(start).await;
        assert_eq!((status, fields(&problem)), (422, vec!["period_start"]), "{start}");
    }
    let (status, draft) = calls.generate("2025-01-01T00:00:00Z").await;
    assert_eq!((status, lines(&draft)), (201, vec!["Calls: 7 for 0.07".to_owned()]));
    assert_eq!((&draft["id"], &draft["replaces_invoice_id"]), (&deleted["id"], &Value::Null));
    let (status, problem) = calls.generate("2025-01-01").await;
    assert_eq!((status, &problem["code"]), (409, &json!("already_invoiced")));
    calls.until("03-01", "02:00").await;
    let invoices = calls.world.owner.get("/invoices").await["data"].clone();
    let statuses = invoices.as_array().unwrap().iter().map(|one| text(&one["status"])).collect::<Vec<_>>();
    assert_eq!(statuses, ["PAID", "OPEN"]);
    calls.world.drain().await;
    let created = calls.world.told_by("invoice.created");
    assert_eq!(created.iter().filter(|told| told["data"]["invoice_id"] == deleted["id"]).count(), 2);

    // What bills no period is not made again.
    let body = json!({"name": "Acme", "email": "a@acme.example", "billing_address_country": "US"});
    let customer = calls.world.owner.created("/customers", body).await;
    let line = json!({"description": "Work", "quantity": 1, "unit_amount": 1});
    let body = json!({"customer_id": customer["id"], "currency": "USD", "line_items": [line]});
    let by_hand = calls.world.owner.created("/invoices", body).await;
    calls.void(&by_hand).await;
    let (status, problem) = calls.act(&by_hand, "regenerate").await;
    assert_eq!((status, &problem["code"]), (409, &json!("invoice_by_hand")));
    let reader = calls.world.owner.with_key(&["billing.read"]).await;
    let path = format!("/invoices/{}/regenerate", text(&by_hand["id"]));
    assert_eq!(reader.call(Method::POST, &path, None).await.0, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_make_an_invoice_again_one_does() {
    let billed = Arc::new(Billed::new().await);
    billed.count(billed.event(month(0), 5)).await;
    let draft = billed.closed(month(1)).await;
    billed.rig.set_now(month(1) + TimeDelta::hours(2));
    let mut last =
        invoices::move_to(&billed.rig.platform, &billed.rig.actor(), draft.id, Move::Void, &Note(None))
            .await
            .unwrap();
    let mut firsts = Vec::new();
    for n in 0.. {
        let is_new = Arc::new(Mutex::new(Vec::new()));
        let (other, news, id) = (billed.clone(), is_new.clone(), last.id);
        let (racing, sent) = racing(&billed.rig, n, move || {
            let (other, news) = (other.clone(), news.clone());
            async move {
                let Generated { is_new, invoice } =
                    regenerate(&other.rig.platform, &other.rig.actor(), id).await.unwrap();
                news.lock().unwrap().push((is_new, invoice.id));
            }
        });
        let first = regenerate(&racing.platform, &billed.rig.actor(), last.id).await.unwrap();
        let is_over = sent.load(Ordering::Relaxed) <= n;
        if !is_over {
            let (is_new, id) = is_new.lock().unwrap()[0];
            assert_ne!(is_new, first.is_new, "before request {n}");
            assert_eq!(id, first.invoice.id, "before request {n}");
        }
        let invoices = billed.invoices().await;
        let stands = |invoice: &&Invoice| !matches!(invoice.status, InvoiceStatus::Void { .. });
        assert_eq!(invoices.iter().filter(stands).count(), 1, "before request {n}");
        assert_eq!(first.invoice.lines[0].quantity, Decimal::from(5));
        firsts.push(first.is_new);
        if is_over {
            break;
        }
        last = invoices::move_to(
            &billed.rig.platform,
            &billed.rig.actor(),
            first.invoice.id,
            Move::Void,
            &Note(None),
        )
        .await
        .unwrap();
    }
    assert!(!firsts[0] && *firsts.last().unwrap() && firsts.len() > 5, "{firsts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_ask_for_a_deleted_draft_one_makes_it() {
    let billed = Arc::new(Billed::new().await);
    billed.count(billed.event(month(0), 5)).await;
    let draft = billed.closed(month(1)).await;
    let (subscription, _) = draft.billed.unwrap();
    let (platform, actor) = (billed.rig.platform.clone(), billed.rig.actor());
    for n in 0.. {
        draft_invoices::delete(&platform, &actor, draft.id).await.unwrap();
        let made = Arc::new(Mutex::new(0));
        let (other, count) = (billed.clone(), made.clone());
        let (racing, sent) = racing(&billed.rig, n, move || {
            let (other, count) = (other.clone(), count.clone());
            async move {
                let again =
                    regenerate_period(&other.rig.platform, &other.rig.actor(), subscription, month(0)).await;
                *count.lock().unwrap() += usize::from(again.is_ok());
            }
        });
        let first = regenerate_period(&racing.platform, &actor, subscription, month(0)).await;
        let by_other = *made.lock().unwrap();
        assert_eq!(usize::from(first.is_ok()) + by_other, 1, "before request {n}");
        assert_eq!(billed.invoices().await.len(), 1);
        if sent.load(Ordering::Relaxed) <= n {
            break;
        }
    }
}
