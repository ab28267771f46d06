//! Corrections of usage beside the invoices that bill it.

use serde_json::{Value, json};

use crate::client::{World, text};

/// A subscription to calls at 1.00 each, billed by the month from January 2025.
struct Calls {
    world: World,
    meter: Value,
}

impl Calls {
    async fn new() -> Self {
        let world = World::new().await;
        let meter = world.meter("SUM").await;
        let charge =
            json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 1, "display_name": "Calls"});
        let plan = world.plan(&[charge]).await;
        let customer = world.customer().await;
        world.subscribe(&customer, &plan).await;
        Self { world, meter }
    }

    async fn track(&self, key: &str, day: &str, quantity: u32) {
        let body = json!({"meter_token": self.meter["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "timestamp": format!("2025-{day}T12:00:00Z"), "idempotency_key": key});
        self.world.owner.created("/sdk/track", body).await;
        self.world.drain().await;
    }

    async fn until(&mut self, at: &str) {
        self.world.advance_to(&format!("2025-{at}:00Z")).await;
    }

    /// The answer to a correction: taken back, or with another quantity.
    async fn correct(&self, key: &str, quantity: Option<u32>) -> String {
        let mut body = json!({"meter_id": self.meter["meter_id"], "customer_external_id": "acme",
            "idempotency_key": key, "action": "void"});
        if let Some(quantity) = quantity {
            body["action"] = json!("replace");
            body["quantity"] = json!(quantity);
        }
        let (status, answer) = self.world.owner.post("/usage/corrections", body).await;
        self.world.drain().await;
        match status {
            202 => "accepted".to_owned(),
            _ => format!("{status} {}: {}", text(&answer["code"]), text(&answer["detail"])),
        }
    }

    /// The lines of the newest invoice.
    async fn lines(&self) -> Vec<String> {
        let list = self.world.owner.get("/invoices").await;
        let invoice = self.world.owner.get(&format!("/invoices/{}", text(&list["data"][0]["id"]))).await;
        let line = |line: &Value| format!("{}: {}", text(&line["description"]), line["line_total"]);
        invoice["line_items"].as_array().unwrap().iter().map(line).collect()
    }
}

#[tokio::test]
async fn what_is_late_is_corrected_until_it_is_billed() {
    let mut calls = Calls::new().await;
    calls.until("01-20T00:00").await;
    calls.track("in time", "01-10", 10).await;
    calls.until("02-01T00:10").await;
    assert_eq!(calls.correct("in time", Some(12)).await, "accepted", "in the grace period");
    assert_eq!(calls.lines().await, ["Calls: 12.00"]);
    calls.until("02-01T02:00").await;
    let billed = |number: u32| {
        format!(
            "409 period_closed: this event is billed already by INV-2025-{number:04}: it can be corrected with a credit only"
        )
    };
    assert_eq!(calls.correct("in time", None).await, billed(1));

    calls.track("late", "01-31", 7).await;
    calls.track("later", "01-31", 100).await;
    assert_eq!(calls.correct("late", Some(8)).await, "accepted");
    assert_eq!(calls.correct("later", None).await, "accepted");
    assert_eq!(calls.lines().await, ["Calls: 12.00"], "what is final stays");
    calls.until("03-01T00:10").await;
    let january = |amount: u32| format!("Calls, late usage of 2025-01-01 to 2025-02-01: {amount}.00");
    assert_eq!(calls.lines().await, ["Calls: 0.00".to_owned(), january(8)]);
    assert_eq!(calls.correct("late", Some(5)).await, "accepted", "the draft follows");
    assert_eq!(calls.lines().await, ["Calls: 0.00".to_owned(), january(5)]);
    calls.until("03-01T02:00").await;
    assert_eq!(calls.correct("late", None).await, billed(2));
    assert_eq!(calls.correct("in time", None).await, billed(1));

    // What comes later still is not billed by the late line.
    calls.track("latest", "01-31", 3).await;
    assert_eq!(calls.correct("latest", Some(4)).await, "accepted");
    calls.until("04-01T02:00").await;
    assert_eq!(calls.lines().await, ["Calls: 0.00".to_owned(), january(4)]);
    assert_eq!(calls.correct("latest", None).await, billed(3));
}
