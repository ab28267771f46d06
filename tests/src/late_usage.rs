//! Usage that comes after the invoice of its period was final.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, text};

/// A subscription from January 2025 of calls, 1,000 at 0.01 and the rest at 0.005.
struct Calls {
    world: World,
    meter: Value,
    subscription: Value,
}

impl Calls {
    async fn new() -> Self {
        let world = World::new().await;
        let meter = world.meter("SUM").await;
        let tiers = json!([{"up_to": 1000, "unit_price": 0.01}, {"up_to": null, "unit_price": 0.005}]);
        let charge = json!({"type": "USAGE", "meter_id": meter["meter_id"], "display_name": "API calls",
            "charge_model": "graduated", "tiers": tiers});
        let plan = world.plan(&[charge]).await;
        let customer = world.customer().await;
        let subscription = world.subscribe(&customer, &plan).await;
        Self { world, meter, subscription }
    }

    /// `quantity` calls at noon of a `day` of 2025.
    async fn track(&self, day: &str, quantity: u32, key: &str) {
        let body = json!({"meter_token": self.meter["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "timestamp": format!("2025-{day}T12:00:00Z"), "idempotency_key": key});
        self.world.owner.created("/sdk/track", body).await;
        self.world.drain().await;
    }

    async fn until(&mut self, day: &str, time: &str) {
        self.world.advance_to(&format!("2025-{day}T{time}:00Z")).await;
    }

    /// The newest invoice, as it is now.
    async fn newest(&self) -> Value {
        let list = self.world.owner.get("/invoices").await;
        self.world.owner.get(&format!("/invoices/{}", text(&list["data"][0]["id"]))).await
    }

    /// The lines of the next invoice, and of the two after a change that changes nothing, before they are made.
    async fn previewed(&self) -> Vec<Vec<String>> {
        let path = format!("/subscriptions/{}", text(&self.subscription["id"]));
        let next = self.world.owner.call(Method::POST, &format!("{path}/preview-invoice"), None).await.1;
        let body = json!({"plan_id": self.subscription["plan_id"], "at_period_end": true});
        let changed = self.world.owner.changed(Method::POST, &format!("{path}/preview-change"), body).await;
        let line = |line: &Value| {
            format!("{}: {} for {}", text(&line["description"]), line["quantity"], line["amount"])
        };
        let lines = |invoice: &Value| invoice["lines"].as_array().unwrap().iter().map(line).collect();
        std::iter::once(&next).chain(changed["invoices"].as_array().unwrap()).map(lines).collect()
    }

    /// The lines of the newest invoice.
    async fn lines(&self) -> Vec<String> {
        let invoice = self.newest().await;
        let line = |line: &Value| {
            format!("{}: {} for {}", text(&line["description"]), line["quantity"], line["line_total"])
        };
        invoice["line_items"].as_array().unwrap().iter().map(line).collect()
    }
}

const JANUARY: &str = "API calls, late usage of 2025-01-01 to 2025-02-01";

#[tokio::test]
async fn late_usage_is_billed_on_the_next_invoice_once() {
    let mut calls = Calls::new().await;
    calls.until("01-20", "00:00").await;
    calls.track("01-10", 900, "in time").await;
    calls.until("02-01", "00:10").await;
    calls.track("01-31", 50, "in the grace period").await;
    assert_eq!(calls.lines().await, ["API calls: 950 for 9.50"], "the draft takes it");
    calls.until("02-01", "02:00").await;

    calls.track("01-31", 150, "late").await;
    calls.track("01-31", 150, "late").await; // sent again
    calls.track("02-01", 7, "February").await;
    assert_eq!(calls.lines().await, ["API calls: 950 for 9.50"], "a final invoice stays as it is");
    let previewed = calls.previewed().await;
    calls.until("03-01", "00:10").await;
    assert_eq!(previewed[0], ["API calls: 7 for 0.07".to_owned(), format!("{JANUARY}: 150 for 1.00")]);
    assert_eq!(
        previewed[1],
        ["API calls: 7 for 0.07", &format!("{JANUARY}: 150 for 1.00")],
        "of a change, too"
    );
    assert_eq!(previewed[2], ["API calls: 0 for 0.00"], "once");
    // 1,100 of January come to 10.50, of which 9.50 are billed.
    let drafted = ["API calls: 7 for 0.07".to_owned(), format!("{JANUARY}: 150 for 1.00")];
    assert_eq!(calls.lines().await, drafted);
    calls.track("01-30", 10, "later").await;
    assert_eq!(calls.lines().await[1], format!("{JANUARY}: 160 for 1.05"), "the draft follows");
    let invoice = calls.newest().await;
    let path = format!("/invoices/{}", text(&invoice["id"]));
    let line = &invoice["line_items"][1];
    assert_eq!(
        (&line["type"], &line["event_count"], &line["period_start"], &line["period_end"]),
        (&json!("LATE_USAGE"), &json!(2), &json!("2025-01-01T00:00:00Z"), &json!("2025-02-01T00:00:00Z"))
    );
    let explained = calls.world.owner.get(&format!("{path}/explain")).await;
    assert_eq!(
        explained["lines"][1]["steps"],
        json!([
            "usage of 1110 in the whole period, known by now",
            "tier up to 1000: 1000 × 0.01 = 10",
            "tier above 1000: 110 × 0.005 = 0.55",
            "10 + 0.55 = 10.55, rounded to USD 10.55",
            "usage of 950 billed before: 9.50",
            "10.55 − 9.50 = USD 1.05"
        ])
    );
    let part = |part: &Value| format!("{}: {} {}", text(&part["type"]), part["quantity"], part["amount"]);
    let parts = line["parts"].as_array().unwrap().iter().map(part).collect::<Vec<_>>();
    assert_eq!(parts, ["tier: 1000 10.00", "tier: 110 0.550", "billed_before: -950 -9.50"]);
    assert_eq!(line["tiers"].as_array().unwrap().len(), 2);
    let recomputed = calls.world.owner.changed(Method::POST, &format!("{path}/recompute"), json!({})).await;
    assert_eq!(recomputed["line_items"], invoice["line_items"]);

    calls.until("03-01", "02:00").await;
    let finalized = calls.newest().await;
    assert_eq!(
        (&finalized["status"], finalized["total"].to_string(), &finalized["line_items"]),
        (&json!("OPEN"), "1.12".into(), &invoice["line_items"])
    );
    let token = calls.world.owner.changed(Method::POST, &format!("{path}/generate-token"), json!({})).await;
    let page = reqwest::get(text(&token["public_url"])).await.unwrap().text().await.unwrap();
    for shown in ["tier above 1000: 110 × 0.005 = 0.55", "950 billed before: -9.5"] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    assert_eq!(calls.world.owner.call(Method::GET, &format!("{path}/pdf"), None).await.0, 200);
    calls.until("04-01", "00:10").await;
    assert_eq!(calls.lines().await, ["API calls: 0 for 0.00"], "all of it is billed");
    calls.track("01-30", 100, "latest").await;
    calls.track("02-28", 3, "late for February").await;
    assert_eq!(
        calls.lines().await[1..],
        [
            format!("{JANUARY}: 100 for 0.50"),
            "API calls, late usage of 2025-02-01 to 2025-03-01: 3 for 0.03".into()
        ]
    );

    // Three bills back and no further: the bill of January is the third in May, the fourth in June.
    calls.until("04-20", "00:00").await;
    calls.track("01-30", 1000, "too late").await;
    calls.track("02-28", 5, "not too late").await;
    calls.until("05-01", "02:00").await;
    assert_eq!(
        calls.lines().await[1..],
        [
            format!("{JANUARY}: 1000 for 5.00"),
            "API calls, late usage of 2025-02-01 to 2025-03-01: 5 for 0.05".into()
        ]
    );
    calls.track("01-30", 1000, "far too late").await;
    calls.until("06-01", "02:00").await;
    assert_eq!(calls.lines().await, ["API calls: 0 for 0.00"]);
}

#[tokio::test]
async fn late_usage_is_ignored_where_that_is_set() {
    let mut calls = Calls::new().await;
    assert_eq!(calls.world.owner.get("/organization").await["late_usage"], "bill_next");
    assert_eq!(calls.world.settings(json!({"late_usage": "ignore"})).await["late_usage"], "ignore");
    let refused =
        calls.world.owner.call(Method::PATCH, "/organization", Some(json!({"late_usage": "bill_now"}))).await;
    assert_eq!((refused.0, fields(&refused.1)), (422, vec!["late_usage"]));
    calls.until("02-01", "02:00").await;
    calls.track("01-31", 150, "late").await;
    calls.until("03-01", "00:10").await;
    assert_eq!(calls.lines().await, ["API calls: 0 for 0.00"]);
    // A draft follows the setting until it is finalized.
    calls.world.settings(json!({"late_usage": "bill_next"})).await;
    assert_eq!(calls.lines().await[1..], [format!("{JANUARY}: 150 for 1.50")]);
    calls.world.settings(json!({"late_usage": "ignore"})).await;
    calls.until("03-01", "02:00").await;
    assert_eq!(calls.lines().await, ["API calls: 0 for 0.00"]);
}

#[tokio::test]
async fn what_was_given_up_or_written_by_hand_is_not_billed_late() {
    let mut calls = Calls::new().await;
    calls.until("02-01", "02:00").await;
    let january = format!("/invoices/{}", text(&calls.newest().await["id"]));
    calls.track("01-31", 150, "late").await;
    calls.until("03-01", "00:10").await;
    assert_eq!(calls.lines().await.len(), 2);
    let draft = format!("/invoices/{}", text(&calls.newest().await["id"]));
    let lines = json!([{"description": "All of January and February", "quantity": 1, "unit_amount": 2}]);
    calls.world.owner.changed(Method::PUT, &draft, json!({"line_items": lines})).await;
    calls.until("04-01", "00:10").await;
    assert_eq!(calls.lines().await, ["API calls: 0 for 0.00"], "what was written settles it");

    let mut calls = Calls::new().await;
    calls.until("02-01", "00:10").await;
    let voided = format!("/invoices/{}", text(&calls.newest().await["id"]));
    assert_ne!(voided, january);
    calls.world.owner.changed(Method::PATCH, &format!("{voided}/status"), json!({"status": "VOID"})).await;
    calls.track("01-31", 150, "late").await;
    calls.until("03-01", "00:10").await;
    assert_eq!(calls.lines().await, ["API calls: 0 for 0.00"], "January is not to be paid");
}

#[tokio::test]
async fn the_last_invoice_takes_late_usage_and_after_it_none_is_billed() {
    let mut calls = Calls::new().await;
    calls.until("02-01", "02:00").await;
    calls.track("01-31", 150, "late").await;
    calls.until("02-10", "00:00").await;
    let path = format!("/subscriptions/{}/cancel", text(&calls.subscription["id"]));
    calls.world.owner.changed(Method::POST, &path, json!({"cancel_at_period_end": false})).await;
    calls.world.drain().await;
    assert_eq!(calls.lines().await[1..], [format!("{JANUARY}: 150 for 1.50")]);
    calls.until("02-10", "02:00").await;
    calls.track("02-05", 40, "after the last").await;
    calls.until("04-01", "02:00").await;
    assert_eq!(calls.world.owner.get("/invoices").await["meta"]["total"], 2);
    assert_eq!(calls.lines().await[0], "API calls: 0 for 0.00");
}
