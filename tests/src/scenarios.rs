//! Subscriptions as they are lived: time passes, periods are closed, drafts are finalized, and what was billed is
//! shown as a reader adds it up.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, text};

mod calendar;
mod changes;
mod edges;
mod parts;
mod undo;
mod usage;

/// One customer, who has one subscription.
struct Scene {
    world: World,
    meter: Value,
    subscription: Value,
}

impl Scene {
    /// A subscription by days from the start of 2025, to a monthly plan of these charges, unless `fields` say other.
    async fn new(charges: &[Value], fields: Value) -> Self {
        Self::counting("SUM", charges, fields).await
    }

    /// As [`Scene::new`], with usage that is counted so.
    async fn counting(aggregation: &str, charges: &[Value], fields: Value) -> Self {
        let world = World::new().await;
        let meter = world.meter(aggregation).await;
        let mut scene = Self { world, meter, subscription: Value::Null };
        let plan = scene.plan("Basic", "month", charges).await;
        scene.world.customer().await;
        scene.subscription = scene.subscribed(&plan, fields).await;
        scene
    }

    async fn plan(&self, name: &str, interval: &str, charges: &[Value]) -> Value {
        self.plan_in("USD", name, interval, charges).await
    }

    async fn plan_in(&self, currency: &str, name: &str, interval: &str, charges: &[Value]) -> Value {
        let body =
            json!({"name": name, "type": "HYBRID", "billing_interval": interval, "currency": currency});
        let plan = self.world.owner.created("/plans", body).await;
        for charge in charges {
            let mut charge = charge.clone();
            if charge["type"] == "USAGE" {
                charge["meter_id"] = self.meter["meter_id"].clone();
            }
            self.world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
        }
        plan["id"].clone()
    }

    /// The customer, subscribed to a plan.
    async fn subscribed(&self, plan: &Value, fields: Value) -> Value {
        let customers = self.world.owner.get("/customers").await;
        let mut body = json!({"customer_id": customers["data"][0]["id"], "plan_id": plan,
            "start_date": "2025-01-01", "proration": {"unit": "day"}});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.world.owner.created("/subscriptions", body).await
    }

    /// Lets time pass until `at`, midnight if it is a day.
    async fn until(&mut self, at: &str) {
        let at = if at.len() == 10 { format!("{at}T00:00:00Z") } else { at.to_owned() };
        self.world.advance_to(&at).await;
    }

    async fn act(&self, action: &str, body: Value) -> Value {
        let path = format!("/subscriptions/{}/{action}", text(&self.subscription["id"]));
        let body = Some(body).filter(|body| !body.is_null());
        let (status, answer) = self.world.owner.call(Method::POST, &path, body).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// Tells of usage at `at`.
    async fn used(&self, at: &str, quantity: u32) {
        let body = json!({"meter_token": self.meter["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "timestamp": at, "idempotency_key": format!("{quantity} at {at}")});
        self.world.owner.created("/sdk/track", body).await;
        self.world.drain().await;
    }

    async fn status(&self) -> String {
        let path = format!("/subscriptions/{}", text(&self.subscription["id"]));
        text(&self.world.owner.get(&path).await["status"]).to_owned()
    }

    /// All invoices, oldest first.
    async fn billed(&self) -> String {
        let list = self.world.owner.get("/invoices?page_size=100").await;
        let mut shown = String::new();
        for row in list["data"].as_array().unwrap().iter().rev() {
            let invoice = self.world.owner.get(&format!("/invoices/{}", text(&row["id"]))).await;
            let number = invoice["invoice_number"].as_str().map(|number| format!(" {number}"));
            let period = [&invoice["period_start"], &invoice["period_end"]].map(time);
            let status = text(&invoice["status"]);
            shown += &format!("{status}{}, {} to {}\n", number.unwrap_or_default(), period[0], period[1]);
            for line in invoice["line_items"].as_array().unwrap() {
                shown += &format!("  {}\n", line_of(line));
            }
            shown += &format!("  total {}\n", invoice["total"]);
        }
        shown
    }
}

/// Without what midnight has in common.
fn time(time: &Value) -> &str {
    text(time).trim_end_matches('Z').trim_end_matches("T00:00:00")
}

fn line_of(line: &Value) -> String {
    let mut shown = text(&line["description"]).to_owned();
    let quantity = line["quantity"].to_string();
    if quantity != "1" || line["type"] != "FIXED" {
        shown += &format!(" × {quantity}");
    }
    let share = &line["proration"];
    if !share.is_null() {
        shown += &format!(", {} of {} {}s", share["part"], share["whole"], text(&share["unit"]));
    }
    format!("{shown}: {}", line["line_total"])
}

fn fixed(name: &str, price: u32) -> Value {
    json!({"type": "FIXED", "display_name": name, "unit_price": price})
}

fn advance(name: &str, price: u32) -> Value {
    json!({"type": "FIXED", "display_name": name, "unit_price": price, "in_advance": true})
}

fn calls(price: &str) -> Value {
    json!({"type": "USAGE", "display_name": "Calls", "unit_price": price})
}

/// Seats at a price each, paid in advance.
fn seats(price: u32, quantity: u32) -> Value {
    json!({"type": "FIXED", "display_name": "Seats", "unit_price": price, "quantity": quantity, "in_advance": true})
}
