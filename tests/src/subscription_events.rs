//! What listeners are told of a subscription, in the order in which it happened.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, text};

struct Told {
    world: World,
    plan: Value,
    subscription: Value,
    seen: usize,
}

impl Told {
    async fn new(fields: Value) -> Self {
        let world = World::new().await;
        let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
        let customer = world.customer().await;
        let mut body =
            json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let subscription = world.owner.created("/subscriptions", body).await;
        Self { world, plan, subscription, seen: 0 }
    }

    async fn act(&self, action: &str, body: Value) -> Value {
        let path = format!("/subscriptions/{}/{action}", text(&self.subscription["id"]));
        self.world.owner.changed(Method::POST, &path, body).await
    }

    async fn status(&self) -> String {
        let path = format!("/subscriptions/{}", text(&self.subscription["id"]));
        text(&self.world.owner.get(&path).await["status"]).to_owned()
    }

    /// What is told when the clock stands at `at`, and was not before.
    async fn until(&mut self, at: &str) -> Vec<String> {
        self.world.advance_to(at).await;
        let told = self.world.told();
        let mut new = told[self.seen..].to_vec();
        for event in &new {
            let is_its = event["data"]["subscription_id"] == self.subscription["id"];
            assert!(is_its || event["data"].get("invoice_id").is_some(), "{event}");
        }
        self.seen = told.len();
        // What happens in one write is told in no order.
        new.sort_by_key(|event| (text(&event["timestamp"]).to_owned(), text(&event["event"]).to_owned()));
        new.iter().map(|event| text(&event["event"]).to_owned()).collect()
    }
}

#[tokio::test]
async fn what_becomes_of_a_subscription_is_told_once() {
    let mut told = Told::new(json!({"trial_end_date": "2025-01-11"})).await;
    assert_eq!(told.until("2025-01-10T00:00:00Z").await, ["subscription.created"]);
    assert_eq!(told.until("2025-01-12T00:00:00Z").await, ["subscription.activated"]);
    // All in one instant.
    told.act("change-quantity", json!({"quantity": 2})).await;
    told.act("change-quantity", json!({"quantity": 3})).await;
    told.act("pause", json!({})).await;
    told.act("resume", json!({})).await;
    told.act("cancel", json!({"cancel_at_period_end": true})).await;
    told.act("undo", json!({})).await;
    let all = told.until("2025-01-13T00:00:00Z").await;
    let updated = ["subscription.updated"; 4];
    assert_eq!(all[..2], ["subscription.paused", "subscription.resumed"]);
    assert_eq!(all[2..], updated);

    let path = format!("/plans/{}", text(&told.plan["id"]));
    let setup = json!({"type": "FIXED", "unit_price": 1});
    told.world.owner.created(&format!("{path}/charges"), setup).await;
    told.world.owner.changed(Method::POST, &format!("{path}/migrate"), json!({"when": "now"})).await;
    assert_eq!(told.until("2025-01-14T00:00:00Z").await, ["subscription.plan_changed"]);
    let other = json!({"name": "Other", "type": "FIXED", "billing_interval": "month", "currency": "USD"});
    let other = told.world.owner.created("/plans", other).await;
    let charge = json!({"type": "FIXED", "unit_price": 40});
    told.world.owner.created(&format!("/plans/{}/charges", text(&other["id"])), charge).await;
    told.act("change-plan", json!({"plan_id": other["id"], "at_period_end": true})).await;
    assert_eq!(told.until("2025-01-15T00:00:00Z").await, ["subscription.updated"], "decided");
    let closed = told.until("2025-02-11T00:00:00Z").await;
    assert_eq!(closed, ["invoice.created", "subscription.plan_changed"], "when it is billed by it");
    told.act("cancel", json!({})).await;
    let ended = told.until("2025-02-11T00:00:30Z").await;
    assert_eq!(
        ended.iter().filter(|event| event.starts_with("subscription.")).collect::<Vec<_>>(),
        ["subscription.canceled"]
    );
}

#[tokio::test]
async fn falling_behind_and_recovering_are_told_with_the_invoices() {
    let mut told = Told::new(json!({})).await;
    told.world.settings(json!({"payment_terms_days": 10})).await;
    let closed = told.until("2025-02-02T00:00:00Z").await;
    assert_eq!(closed, ["subscription.created", "invoice.created", "invoice.finalized"]);
    assert_eq!(told.until("2025-02-12T00:00:00Z").await, ["subscription.past_due"]);
    assert_eq!(told.until("2025-02-13T00:00:00Z").await, [""; 0], "once");
    told.act("pause", json!({})).await;
    assert_eq!(told.act("resume", json!({})).await["status"], "PAST_DUE", "it still owes");
    let invoice = told.world.owner.get("/invoices").await["data"][0]["id"].clone();
    let path = format!("/invoices/{}/pay", text(&invoice));
    assert_eq!(told.world.owner.call(Method::POST, &path, None).await.0, 200);
    let paid = told.world.told()[told.seen..]
        .iter()
        .map(|event| text(&event["event"]).to_owned())
        .collect::<Vec<_>>();
    assert!(paid.ends_with(&["invoice.paid".into(), "subscription.recovered".into()]), "{paid:?}");
    assert_eq!(told.status().await, "ACTIVE");
    for (status, event) in [("UNCOLLECTIBLE", "invoice.marked_uncollectible"), ("VOID", "invoice.voided")] {
        let invoice = json!({"customer_id": told.subscription["customer_id"], "currency": "USD",
            "line_items": [{"description": "Setup", "quantity": 1, "unit_amount": 5}]});
        let body = json!({"name": "Acme", "email": "a@example.com", "billing_address_country": "US"});
        let customer = told.subscription["customer_id"].clone();
        told.world.owner.changed(Method::PUT, &format!("/customers/{}", text(&customer)), body).await;
        let invoice = told.world.owner.created("/invoices", invoice).await;
        let path = format!("/invoices/{}", text(&invoice["id"]));
        assert_eq!(told.world.owner.call(Method::POST, &format!("{path}/finalize"), None).await.0, 200);
        told.world.owner.changed(Method::PATCH, &format!("{path}/status"), json!({"status": status})).await;
        assert_eq!(text(&told.world.told().last().unwrap()["event"]), event);
    }
}
