//! Usage that is billed at another interval than its plan: through closing, over HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::workspace_root;

use crate::client::{World, fields, text};

/// A world with a meter, and plans that price it.
struct Shop {
    world: World,
    meter: Value,
}

impl Shop {
    async fn new(aggregation: &str) -> Self {
        let world = World::new().await;
        let meter = world.meter(aggregation).await;
        Self { world, meter }
    }

    /// A plan of that interval with these charges.
    async fn plan(&self, name: &str, every: &str, charges: &[Value]) -> Value {
        let body = json!({"name": name, "type": "HYBRID", "billing_interval": every, "currency": "USD"});
        let plan = self.world.owner.created("/plans", body).await;
        for charge in charges {
            self.world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge.clone()).await;
        }
        self.world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await
    }

    /// A usage charge with these fields.
    fn usage(&self, name: &str, fields: Value) -> Value {
        with(json!({"type": "USAGE", "meter_id": self.meter["meter_id"], "display_name": name}), &fields)
    }

    /// A subscription from the start of 2025.
    async fn subscribed(&self, plan: &Value, fields: Value) -> Value {
        let customer = self.world.customer().await;
        let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
            "proration": {"unit": "day"}});
        self.world.owner.created("/subscriptions", with(body, &fields)).await
    }

    /// Usage at a time of 2025.
    async fn track(&self, time: &str, quantity: u32) {
        let body = json!({"meter_token": self.meter["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "timestamp": format!("2025-{time}Z"), "idempotency_key": time});
        self.world.owner.created("/sdk/track", body).await;
        self.world.drain().await;
    }

    async fn until(&mut self, time: &str) {
        self.world.advance_to(&format!("{time}Z")).await;
    }

    async fn done(&self, subscription: &Value, action: &str, body: Option<Value>) -> Value {
        let path = format!("/subscriptions/{}/{action}", text(&subscription["id"]));
        let (status, answer) = self.world.owner.call(Method::POST, &path, body).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// What the next invoice would be.
    async fn coming(&self, subscription: &Value) -> String {
        lines(&self.done(subscription, "preview-invoice", None).await, "lines", "amount")
    }

    /// All invoices, oldest first, each as last computed.
    async fn invoices(&self) -> String {
        let list = self.world.owner.get("/invoices").await;
        let mut shown = String::new();
        for row in list["data"].as_array().unwrap().iter().rev() {
            let invoice = self.world.owner.get(&format!("/invoices/{}", text(&row["id"]))).await;
            shown += &format!("{} {}\n", text(&invoice["status"]), period(&invoice));
            shown +=
                &format!("{}  total {}\n", lines(&invoice, "line_items", "line_total"), invoice["total"]);
        }
        shown
    }
}

fn with(mut body: Value, fields: &Value) -> Value {
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn period(of: &Value) -> String {
    let [start, end] = [&of["period_start"], &of["period_end"]].map(|time| &text(time)[..10]);
    format!("{start} to {end}")
}

fn lines(invoice: &Value, lines: &str, amount: &str) -> String {
    let line = |line: &Value| {
        let name = text(&line["description"]);
        format!("  {name}, {}: {} for {}\n", period(line), line["quantity"], line[amount])
    };
    invoice[lines].as_array().unwrap().iter().map(line).collect()
}

fn monthly(fields: &Value) -> Value {
    with(json!({"billing_interval": "month"}), fields)
}

#[tokio::test]
async fn a_yearly_plan_bills_its_usage_by_the_month() {
    let mut shop = Shop::new("SUM").await;
    let base = |price: u32| json!({"type": "FIXED", "unit_price": price, "display_name": format!("Base {price}"), "in_advance": true});
    let basic = shop.usage("Calls", monthly(&json!({"unit_price": 0.1, "included_units": 100})));
    let basic = shop.plan("Basic", "year", &[base(365), basic]).await;
    let pro = shop.usage("Calls of Pro", monthly(&json!({"unit_price": 0.05, "minimum_amount": 5})));
    let pro = shop.plan("Pro", "year", &[base(730), pro]).await;
    let subscription = shop.subscribed(&basic, json!({})).await;

    shop.until("2025-01-31T00:00:00").await;
    shop.track("01-10T12:00:00", 150).await;
    let coming = shop.coming(&subscription).await;
    assert_eq!(coming, "  Calls, 2025-01-01 to 2025-02-01: 150 for 5.00\n");
    shop.until("2025-02-01T00:10:00").await;
    shop.track("01-31T12:00:00", 10).await; // the draft is rated anew

    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    let shown = shop.world.owner.get(&path).await;
    for (field, expected) in [
        ("current_period_start", "2025-01-01T00:00:00Z"),
        ("current_period_end", "2026-01-01T00:00:00Z"),
        ("next_invoice_date", "2025-03-01T00:00:00Z"),
        ("last_invoiced_date", "2025-02-01T00:00:00Z"),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }

    shop.until("2025-02-11T00:00:00").await;
    shop.track("01-31T13:00:00", 20).await; // too late for its invoice
    shop.track("02-10T23:59:59.999", 130).await;
    shop.done(&subscription, "change-plan", Some(json!({"plan_id": pro["id"]}))).await;
    shop.track("02-11T00:00:00", 40).await;
    let previewed = shop.coming(&subscription).await;
    shop.until("2025-03-01T02:00:00").await;
    shop.until("2025-03-31T00:00:00").await;
    shop.track("03-31T00:00:00", 400).await;
    shop.until("2025-04-01T02:00:00").await;
    let shown = shop.invoices().await;
    assert!(shown.contains(&previewed), "{shown} has not {previewed}");
    insta::assert_snapshot!(shown, @"
    OPEN 2025-01-01 to 2026-01-01
      Base 365, 2025-01-01 to 2026-01-01: 1 for 365.00
      total 365.00
    OPEN 2025-01-01 to 2025-02-01
      Calls, 2025-01-01 to 2025-02-01: 160 for 6.00
      total 6.00
    OPEN 2025-02-01 to 2025-03-01
      Calls, 2025-02-01 to 2025-02-11: 130 for 3.00
      Calls of Pro, 2025-02-11 to 2025-03-01: 40 for 5.00
      Unused time on Base 365, 2025-02-11 to 2026-01-01: 1 for -324.00
      Remaining time on Base 730, 2025-02-11 to 2026-01-01: 1 for 648.00
      Calls, late usage of 2025-01-01 to 2025-02-01, 2025-01-01 to 2025-02-01: 20 for 2.00
      total 334.00
    OPEN 2025-03-01 to 2025-04-01
      Calls of Pro, 2025-03-01 to 2025-04-01: 400 for 20.00
      total 20.00
    ");
}

#[tokio::test]
async fn an_end_bills_usage_whose_interval_goes_on() {
    let mut shop = Shop::new("SUM").await;
    let quarterly = json!({"billing_interval": "month", "interval_count": 3, "unit_price": 1});
    let charges =
        [json!({"type": "FIXED", "unit_price": 10, "display_name": "Base"}), shop.usage("Calls", quarterly)];
    let plan = shop.plan("Pro", "month", &charges).await;
    let subscription = shop.subscribed(&plan, json!({})).await;
    shop.until("2025-01-20T00:00:00").await;
    shop.track("01-10T12:00:00", 7).await;
    // In the very millisecond of the bill of the month.
    shop.until("2025-02-01T00:00:00").await;
    shop.done(&subscription, "cancel", Some(json!({}))).await;
    shop.until("2025-02-02T00:00:00").await;
    insta::assert_snapshot!(shop.invoices().await, @"
    OPEN 2025-01-01 to 2025-02-01
      Base, 2025-01-01 to 2025-02-01: 1 for 10.00
      total 10.00
    OPEN 2025-02-01 to 2025-02-01
      Calls, 2025-01-01 to 2025-02-01: 7 for 7.00
      total 7.00
    ");
}

#[tokio::test]
async fn a_level_is_averaged_over_the_interval_of_its_charge() {
    let mut shop = Shop::new("WEIGHTED_SUM").await;
    let quarterly = json!({"billing_interval": "month", "interval_count": 3, "unit_price": 1});
    let plan = shop.plan("Storage", "month", &[shop.usage("Storage", quarterly)]).await;
    // 45 of the quarter's 90 days, at a price of its own.
    let own = json!([{"charge_id": plan["charges"][0]["id"], "unit_price": 2}]);
    let fields = json!({"start_date": "2025-02-15", "billing_time": "calendar", "overrides": own});
    let subscription = shop.subscribed(&plan, fields).await;
    shop.until("2025-02-20T00:00:00").await;
    shop.track("02-15T00:00:00", 10).await;
    let coming = shop.coming(&subscription).await;
    assert_eq!(coming, "  Storage, 2025-02-15 to 2025-04-01: 5 for 10.00\n");
    shop.until("2025-07-01T02:00:00").await;
    insta::assert_snapshot!(shop.invoices().await, @"
    OPEN 2025-03-01 to 2025-04-01
      Storage, 2025-02-15 to 2025-04-01: 5 for 10.00
      total 10.00
    OPEN 2025-06-01 to 2025-07-01
      Storage, 2025-04-01 to 2025-07-01: 10 for 20.00
      total 20.00
    ");
}

#[tokio::test]
async fn usage_that_is_late_waits_for_the_next_invoice_however_far() {
    let mut shop = Shop::new("SUM").await;
    let half_yearly = json!({"billing_interval": "month", "interval_count": 6, "unit_price": 1});
    let plan = shop.plan("Pro", "month", &[shop.usage("Calls", half_yearly)]).await;
    shop.subscribed(&plan, json!({})).await;
    shop.until("2025-02-01T00:00:00").await;
    shop.track("01-10T12:00:00", 2).await;
    shop.until("2025-07-01T02:00:00").await;
    shop.track("06-30T12:00:00", 3).await;
    shop.until("2026-01-01T02:00:00").await;
    insta::assert_snapshot!(shop.invoices().await, @"
    OPEN 2025-06-01 to 2025-07-01
      Calls, 2025-01-01 to 2025-07-01: 2 for 2.00
      total 2.00
    OPEN 2025-12-01 to 2026-01-01
      Calls, 2025-07-01 to 2026-01-01: 0 for 0.00
      Calls, late usage of 2025-01-01 to 2025-07-01, 2025-01-01 to 2025-07-01: 3 for 3.00
      total 3.00
    ");
}

#[tokio::test]
async fn the_interval_of_a_usage_charge_is_checked_and_shown() {
    let shop = Shop::new("SUM").await;
    let plan = shop.plan("Pro", "year", &[]).await;
    let path = format!("/plans/{}/charges", text(&plan["id"]));
    for (given, expected) in [
        (json!({"interval_count": 3}), "interval_count"),
        (json!({"billing_interval": "month", "interval_count": 0}), "interval_count"),
        (json!({"billing_interval": "decade"}), "billing_interval"),
    ] {
        let body = shop.usage("Calls", with(json!({"unit_price": 1}), &given));
        let (status, answer) = shop.world.owner.post(&path, body).await;
        assert_eq!((status, fields(&answer)), (422, vec![expected]), "{given}");
    }
    for (given, expected) in [
        (json!({}), json!([null, null])),
        (json!({"billing_interval": "month"}), json!(["month", 1])),
        (json!({"billing_interval": "week", "interval_count": 2}), json!(["week", 2])),
    ] {
        let body = shop.usage("Calls", with(json!({"unit_price": 1}), &given));
        let charge = shop.world.owner.created(&path, body).await;
        assert_eq!(json!([charge["billing_interval"], charge["interval_count"]]), expected);
        let plan = shop.world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await;
        let charges = plan["charges"].as_array().unwrap();
        assert!(charges.contains(&charge), "as stored: {plan}");
    }
}

#[tokio::test]
async fn the_example_of_the_documentation_comes_out() {
    let page = std::fs::read_to_string(workspace_root().join("docs/pricing.md")).unwrap();
    let (_, section) = page.split_once("### Usage at an interval of its own").unwrap();
    let block = |kind: &str| {
        let (_, rest) = section.split_once(&format!("```{kind}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let mut shop = Shop::new("SUM").await;
    let charge = |line: &str| {
        let charge: Value = serde_json::from_str(line).unwrap();
        let is_usage = charge["type"] == "USAGE";
        if is_usage { with(charge, &json!({"meter_id": shop.meter["meter_id"]})) } else { charge }
    };
    let charges = block("jsonl").lines().map(charge).collect::<Vec<_>>();
    let plan = shop.plan("Yearly", "year", &charges).await;
    shop.subscribed(&plan, json!({})).await;
    for (until, time, quantity) in [
        ("2025-01-20T00:00:00", "01-15T00:00:00", 1500),
        ("2025-02-20T00:00:00", "02-15T00:00:00", 1200),
        ("2025-03-20T00:00:00", "03-15T00:00:00", 2500),
    ] {
        shop.until(until).await;
        shop.track(time, quantity).await;
    }
    shop.until("2025-04-01T02:00:00").await;
    assert_eq!(shop.invoices().await.replace("OPEN ", ""), block("text"));
}
