//! Subscriptions month by month: what each would be billed, as a reader can add it up.

use serde_json::{Value, json};

use crate::client::{World, fields, text};

mod changes;

/// A world with plans to preview.
struct Shop {
    world: World,
    meter: Value,
}

impl Shop {
    async fn new() -> Self {
        let world = World::new().await;
        let meter = world.meter("SUM").await;
        Self { world, meter }
    }

    /// A plan of that name, billed every `interval`, in `currency`.
    async fn plan_of(&self, name: &str, interval: &str, currency: &str, charges: &[Value]) -> Value {
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

    async fn plan(&self, name: &str, charges: &[Value]) -> Value {
        self.plan_of(name, "month", "USD", charges).await
    }

    /// The preview of a plan, with these fields beside it.
    async fn preview(&self, plan: &Value, fields: Value) -> String {
        let (status, preview) = self.asked(plan, fields).await;
        assert_eq!(status, 200, "{preview}");
        shown(&preview)
    }

    async fn asked(&self, plan: &Value, fields: Value) -> (u16, Value) {
        let mut body = json!({"plan_id": plan});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        for event in body.get_mut("usage").and_then(Value::as_array_mut).into_iter().flatten() {
            event["meter_id"] = self.meter["meter_id"].clone();
        }
        self.world.owner.post("/subscriptions/preview", body).await
    }
}

fn fixed(name: &str, price: &str) -> Value {
    json!({"type": "FIXED", "display_name": name, "unit_price": price})
}

fn advance(name: &str, price: &str) -> Value {
    json!({"type": "FIXED", "display_name": name, "unit_price": price, "in_advance": true})
}

fn usage(name: &str, price: &str) -> Value {
    json!({"type": "USAGE", "display_name": name, "unit_price": price})
}

/// Without what midnight has in common.
fn day(time: &Value) -> &str {
    text(time).trim_end_matches('Z').trim_end_matches("T00:00:00")
}

/// Invoices as a reader adds them up.
pub(crate) fn shown(preview: &Value) -> String {
    let mut shown = String::new();
    for invoice in preview["invoices"].as_array().unwrap() {
        shown += &format!("{}\n", day(&invoice["issue_date"]));
        for line in invoice["lines"].as_array().unwrap() {
            shown += &format!("  {}", text(&line["description"]));
            let quantity = line["quantity"].to_string();
            if quantity != "1" {
                shown += &format!(" × {quantity}");
            }
            if !line["period_start"].is_null() {
                shown += &format!(", {} to {}", day(&line["period_start"]), day(&line["period_end"]));
            }
            let share = &line["proration"];
            if !share.is_null() {
                shown += &format!(", {} of {} {}s", share["part"], share["whole"], text(&share["unit"]));
            }
            shown += &format!(": {}\n", line["amount"]);
        }
        shown += &format!("  total {}\n", invoice["total"]);
    }
    shown
}

const BY_DAY: fn() -> Value = || json!({"unit": "day", "mode": "prorate"});

#[tokio::test]
async fn the_documented_stub_costs_what_is_documented() {
    let shop = Shop::new().await;
    let plan = shop.plan("Basic", &[fixed("Base", "30.00")]).await;
    let calendar = |proration: Value| json!({"billing_time": "calendar", "start_date": "2025-01-15", "proration": proration, "periods": 2});
    let (_, preview) = shop.asked(&plan, calendar(BY_DAY())).await;
    assert_eq!(
        preview["periods"],
        json!([{"start": "2025-01-15T00:00:00Z", "end": "2025-02-01T00:00:00Z"},
            {"start": "2025-02-01T00:00:00Z", "end": "2025-03-01T00:00:00Z"}])
    );
    assert_eq!(
        preview["invoices"][0]["lines"][0]["explanation"],
        json!(["1 × 30 = 30", "17 of 31 days: 30 × 17 / 31, rounded to USD 16.45"])
    );
    insta::assert_snapshot!(shown(&preview), @"
    2025-02-01
      Base, 2025-01-15 to 2025-02-01, 17 of 31 days: 16.45
      total 16.45
    2025-03-01
      Base, 2025-02-01 to 2025-03-01: 30.00
      total 30.00
    ");
    insta::assert_snapshot!(shop.preview(&plan, calendar(json!({"mode": "none"}))).await, @"
    2025-03-01
      Base, 2025-02-01 to 2025-03-01: 30.00
      total 30.00
    ");
    insta::assert_snapshot!(shop.preview(&plan, calendar(json!({"mode": "full"}))).await, @"
    2025-02-01
      Base, 2025-01-15 to 2025-02-01: 30.00
      total 30.00
    2025-03-01
      Base, 2025-02-01 to 2025-03-01: 30.00
      total 30.00
    ");
    // Seconds come to the same here, since no clock changes.
    insta::assert_snapshot!(shop.preview(&plan, calendar(json!({}))).await, @"
    2025-02-01
      Base, 2025-01-15 to 2025-02-01, 1468800 of 2678400 seconds: 16.45
      total 16.45
    2025-03-01
      Base, 2025-02-01 to 2025-03-01: 30.00
      total 30.00
    ");
}

#[tokio::test]
async fn anchors_come_back_to_their_day() {
    let shop = Shop::new().await;
    let plan = shop.plan("Basic", &[fixed("Base", "30"), usage("Calls", "0.01")]).await;
    // The last instant of a period is in it, the first of the next is not.
    let usage = json!([
        {"timestamp": "2025-01-31T00:00:00Z", "quantity": 100},
        {"timestamp": "2025-02-27T23:59:59.999Z", "quantity": 10},
        {"timestamp": "2025-02-28T00:00:00Z", "quantity": 1},
        {"timestamp": "2025-01-30T23:59:59.999Z", "quantity": 1000},
    ]);
    insta::assert_snapshot!(
        shop.preview(&plan, json!({"start_date": "2025-01-31", "periods": 4, "usage": usage})).await, @"
    2025-02-28
      Base, 2025-01-31 to 2025-02-28: 30.00
      Calls × 110, 2025-01-31 to 2025-02-28: 1.10
      total 31.10
    2025-03-31
      Base, 2025-02-28 to 2025-03-31: 30.00
      Calls, 2025-02-28 to 2025-03-31: 0.01
      total 30.01
    2025-04-30
      Base, 2025-03-31 to 2025-04-30: 30.00
      Calls × 0, 2025-03-31 to 2025-04-30: 0.00
      total 30.00
    2025-05-31
      Base, 2025-04-30 to 2025-05-31: 30.00
      Calls × 0, 2025-04-30 to 2025-05-31: 0.00
      total 30.00
    ");
    let yearly = json!({"start_date": "2024-02-29", "billing_interval": "year", "periods": 4});
    insta::assert_snapshot!(shop.preview(&plan, yearly).await, @"
    2025-02-28
      Base, 2024-02-29 to 2025-02-28: 30.00
      Calls × 0, 2024-02-29 to 2025-02-28: 0.00
      total 30.00
    2026-02-28
      Base, 2025-02-28 to 2026-02-28: 30.00
      Calls × 0, 2025-02-28 to 2026-02-28: 0.00
      total 30.00
    2027-02-28
      Base, 2026-02-28 to 2027-02-28: 30.00
      Calls × 0, 2026-02-28 to 2027-02-28: 0.00
      total 30.00
    2028-02-29
      Base, 2027-02-28 to 2028-02-29: 30.00
      Calls × 0, 2027-02-28 to 2028-02-29: 0.00
      total 30.00
    ");
    let quarterly =
        json!({"start_date": "2025-11-30", "billing_interval": "month", "interval_count": 3, "periods": 3});
    insta::assert_snapshot!(shop.preview(&plan, quarterly).await, @"
    2026-02-28
      Base, 2025-11-30 to 2026-02-28: 30.00
      Calls × 0, 2025-11-30 to 2026-02-28: 0.00
      total 30.00
    2026-05-30
      Base, 2026-02-28 to 2026-05-30: 30.00
      Calls × 0, 2026-02-28 to 2026-05-30: 0.00
      total 30.00
    2026-08-30
      Base, 2026-05-30 to 2026-08-30: 30.00
      Calls × 0, 2026-05-30 to 2026-08-30: 0.00
      total 30.00
    ");
    let weekly = json!({"start_date": "2025-01-15", "billing_interval": "week", "billing_time": "calendar",
        "proration": BY_DAY(), "periods": 2});
    insta::assert_snapshot!(shop.preview(&plan, weekly).await, @"
    2025-01-20
      Base, 2025-01-15 to 2025-01-20, 5 of 7 days: 21.43
      Calls × 0, 2025-01-15 to 2025-01-20: 0.00
      total 21.43
    2025-01-27
      Base, 2025-01-20 to 2025-01-27: 30.00
      Calls × 0, 2025-01-20 to 2025-01-27: 0.00
      total 30.00
    ");
    let anchored = json!({"start_date": "2025-01-15", "billing_anchor": "2025-01-31", "proration": BY_DAY(), "periods": 3});
    insta::assert_snapshot!(shop.preview(&plan, anchored).await, @"
    2025-01-31
      Base, 2025-01-15 to 2025-01-31, 16 of 31 days: 15.48
      Calls × 0, 2025-01-15 to 2025-01-31: 0.00
      total 15.48
    2025-02-28
      Base, 2025-01-31 to 2025-02-28: 30.00
      Calls × 0, 2025-01-31 to 2025-02-28: 0.00
      total 30.00
    2025-03-31
      Base, 2025-02-28 to 2025-03-31: 30.00
      Calls × 0, 2025-02-28 to 2025-03-31: 0.00
      total 30.00
    ");
    let daily = json!({"start_date": "2024-02-28", "billing_interval": "day", "periods": 3});
    insta::assert_snapshot!(shop.preview(&plan, daily).await, @"
    2024-02-29
      Base, 2024-02-28 to 2024-02-29: 30.00
      Calls × 0, 2024-02-28 to 2024-02-29: 0.00
      total 30.00
    2024-03-01
      Base, 2024-02-29 to 2024-03-01: 30.00
      Calls × 0, 2024-02-29 to 2024-03-01: 0.00
      total 30.00
    2024-03-02
      Base, 2024-03-01 to 2024-03-02: 30.00
      Calls × 0, 2024-03-01 to 2024-03-02: 0.00
      total 30.00
    ");
}

#[tokio::test]
async fn midnight_is_where_the_customer_is() {
    let shop = Shop::new().await;
    let plan = shop.plan("Basic", &[fixed("Base", "30"), usage("Calls", "0.01")]).await;
    // Clocks go forward on 9 March: by seconds, the days after it are a little more of the month.
    let spring = json!({"start_date": "2025-03-01", "billing_time": "calendar", "time_zone": "America/New_York", "periods": 2,
        "usage": [{"timestamp": "2025-04-01T03:59:59Z", "quantity": 100}, {"timestamp": "2025-04-01T04:00:00Z", "quantity": 1}]});
    insta::assert_snapshot!(shop.preview(&plan, spring).await, @"
    2025-04-01T04:00:00
      Base, 2025-03-01T05:00:00 to 2025-04-01T04:00:00: 30.00
      Calls × 100, 2025-03-01T05:00:00 to 2025-04-01T04:00:00: 1.00
      total 31.00
    2025-05-01T04:00:00
      Base, 2025-04-01T04:00:00 to 2025-05-01T04:00:00: 30.00
      Calls, 2025-04-01T04:00:00 to 2025-05-01T04:00:00: 0.01
      total 30.01
    ");
    let stub = |unit: &str| {
        json!({"start_date": "2025-03-16", "billing_time": "calendar", "time_zone": "America/New_York",
        "proration": {"unit": unit}, "periods": 1})
    };
    insta::assert_snapshot!(shop.preview(&plan, stub("day")).await, @"
    2025-04-01T04:00:00
      Base, 2025-03-16T04:00:00 to 2025-04-01T04:00:00, 16 of 31 days: 15.48
      Calls × 0, 2025-03-16T04:00:00 to 2025-04-01T04:00:00: 0.00
      total 15.48
    ");
    insta::assert_snapshot!(shop.preview(&plan, stub("second")).await, @"
    2025-04-01T04:00:00
      Base, 2025-03-16T04:00:00 to 2025-04-01T04:00:00, 1382400 of 2674800 seconds: 15.50
      Calls × 0, 2025-03-16T04:00:00 to 2025-04-01T04:00:00: 0.00
      total 15.50
    ");
    let autumn = json!({"start_date": "2025-10-25", "billing_interval": "day", "time_zone": "Europe/Berlin", "periods": 3});
    insta::assert_snapshot!(shop.preview(&plan, autumn).await, @"
    2025-10-25T22:00:00
      Base, 2025-10-24T22:00:00 to 2025-10-25T22:00:00: 30.00
      Calls × 0, 2025-10-24T22:00:00 to 2025-10-25T22:00:00: 0.00
      total 30.00
    2025-10-26T23:00:00
      Base, 2025-10-25T22:00:00 to 2025-10-26T23:00:00: 30.00
      Calls × 0, 2025-10-25T22:00:00 to 2025-10-26T23:00:00: 0.00
      total 30.00
    2025-10-27T23:00:00
      Base, 2025-10-26T23:00:00 to 2025-10-27T23:00:00: 30.00
      Calls × 0, 2025-10-26T23:00:00 to 2025-10-27T23:00:00: 0.00
      total 30.00
    ");
}

#[tokio::test]
async fn what_is_paid_in_advance_is_on_the_invoice_before() {
    let shop = Shop::new().await;
    let plan = shop
        .plan(
            "Pro",
            &[
                advance("Base", "99"),
                usage("Calls", "0.001"),
                json!({"type": "FIXED", "display_name": "Setup", "unit_price": 500, "one_time": true}),
            ],
        )
        .await;
    let usage = json!([{"timestamp": "2025-01-10T00:00:00Z", "quantity": 145200}]);
    insta::assert_snapshot!(
        shop.preview(&plan, json!({"start_date": "2025-01-01", "periods": 2, "usage": usage})).await, @"
    2025-01-01
      Base, 2025-01-01 to 2025-02-01: 99.00
      Setup: 500.00
      total 599.00
    2025-02-01
      Calls × 145200, 2025-01-01 to 2025-02-01: 145.20
      Base, 2025-02-01 to 2025-03-01: 99.00
      total 244.20
    2025-03-01
      Calls × 0, 2025-02-01 to 2025-03-01: 0.00
      Base, 2025-03-01 to 2025-04-01: 99.00
      total 99.00
    ");
    // A setup fee waits for the first invoice there is.
    let plan = shop
        .plan(
            "Arrears",
            &[
                fixed("Base", "99"),
                json!({"type": "FIXED", "display_name": "Setup", "unit_price": 500, "one_time": true}),
            ],
        )
        .await;
    insta::assert_snapshot!(shop.preview(&plan, json!({"start_date": "2025-01-01", "periods": 2})).await, @"
    2025-02-01
      Base, 2025-01-01 to 2025-02-01: 99.00
      Setup: 500.00
      total 599.00
    2025-03-01
      Base, 2025-02-01 to 2025-03-01: 99.00
      total 99.00
    ");
}

#[tokio::test]
async fn a_charge_may_be_billed_at_another_interval_than_its_plan() {
    let shop = Shop::new().await;
    let plan = shop
        .plan("Mixed", &[
            fixed("Base", "10"),
            json!({"type": "FIXED", "display_name": "Support", "unit_price": 90, "billing_interval": "month", "interval_count": 3}),
            json!({"type": "FIXED", "display_name": "Hosting", "unit_price": 120, "billing_interval": "year", "in_advance": true}),
        ])
        .await;
    insta::assert_snapshot!(shop.preview(&plan, json!({"start_date": "2025-01-31", "periods": 4})).await, @"
    2025-01-31
      Hosting, 2025-01-31 to 2026-01-31: 120.00
      total 120.00
    2025-02-28
      Base, 2025-01-31 to 2025-02-28: 10.00
      total 10.00
    2025-03-31
      Base, 2025-02-28 to 2025-03-31: 10.00
      total 10.00
    2025-04-30
      Base, 2025-03-31 to 2025-04-30: 10.00
      Support, 2025-01-31 to 2025-04-30: 90.00
      total 100.00
    2025-05-31
      Base, 2025-04-30 to 2025-05-31: 10.00
      total 10.00
    ");
    let plan = shop
        .plan_of("Yearly", "year", "USD", &[
            advance("Licence", "1200"),
            json!({"type": "FIXED", "display_name": "Care", "unit_price": 5, "billing_interval": "month", "interval_count": 6}),
        ])
        .await;
    insta::assert_snapshot!(shop.preview(&plan, json!({"start_date": "2025-01-01", "periods": 1})).await, @"
    2025-01-01
      Licence, 2025-01-01 to 2026-01-01: 1200.00
      total 1200.00
    2025-07-01
      Care, 2025-01-01 to 2025-07-01: 5.00
      total 5.00
    2026-01-01
      Care, 2025-07-01 to 2026-01-01: 5.00
      Licence, 2026-01-01 to 2027-01-01: 1200.00
      total 1205.00
    ");
}

#[tokio::test]
async fn amounts_have_the_decimals_of_their_currency() {
    let shop = Shop::new().await;
    let stub =
        json!({"start_date": "2025-01-15", "billing_time": "calendar", "proration": BY_DAY(), "periods": 1});
    for (currency, total) in [("JPY", "548"), ("EUR", "548.39"), ("KWD", "548.387")] {
        let plan = shop.plan_of(currency, "month", currency, &[fixed("Base", "1000")]).await;
        let (_, preview) = shop.asked(&plan, stub.clone()).await;
        assert_eq!(preview["invoices"][0]["total"].to_string(), total);
    }
}

/// The lines of an invoice, with what is their own.
fn lines_of(invoice: &Value, lines: &str, amount: &str) -> Vec<Value> {
    let fields = ["description", "quantity", "period_start", "period_end", "proration", "parts"];
    let line = |line: &Value| {
        let mut found = fields.iter().map(|field| line[field].clone()).collect::<Vec<_>>();
        found.push(line[amount].clone());
        Value::from(found)
    };
    invoice[lines].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn every_previewed_invoice_is_made() {
    let every = |mut charge: Value, unit: &str, count: u32| {
        charge["billing_interval"] = json!(unit);
        charge["interval_count"] = json!(count);
        charge
    };
    let setup = json!({"type": "FIXED", "display_name": "Setup", "unit_price": 500, "one_time": true});
    for (name, charges, fields, end) in [
        (
            "advance",
            vec![advance("Base", "99"), setup, usage("Calls", "0.001")],
            json!({"periods": 2}),
            "2025-03-01",
        ),
        ("arrears", vec![fixed("Base", "99"), usage("Calls", "0.001")], json!({"periods": 2}), "2025-03-01"),
        ("advance alone", vec![advance("Base", "99")], json!({"periods": 1}), "2025-02-01"),
        (
            "mixed",
            vec![
                every(advance("Licence", "1200"), "year", 1),
                every(advance("Hosting", "90"), "month", 3),
                every(fixed("Care", "7"), "week", 2),
                fixed("Base", "31"),
            ],
            json!({"periods": 3}),
            "2025-04-01",
        ),
        (
            "calendar",
            vec![advance("Base", "31"), fixed("Support", "62"), usage("Calls", "1")],
            json!({"periods": 2, "start_date": "2025-01-15", "billing_time": "calendar"}),
            "2025-03-01",
        ),
        (
            "trial",
            vec![advance("Base", "31"), usage("Calls", "1")],
            json!({"periods": 1, "trial_end_date": "2025-01-08"}),
            "2025-02-08",
        ),
        (
            "end",
            vec![advance("Base", "31"), fixed("Support", "62"), usage("Calls", "1")],
            json!({"periods": 5, "end_date": "2025-02-09"}),
            "2025-02-10",
        ),
    ] {
        let mut shop = Shop::new().await;
        let plan = shop.plan("Plan", &charges).await;
        let customer = shop.world.customer().await;
        let mut body =
            json!({"start_date": "2025-01-01", "proration": BY_DAY(), "customer_id": customer["id"]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let used = [("2025-01-20T00:00:00Z", 7), ("2025-02-05T00:00:00Z", 11)];
        let usage = used.map(|(at, quantity)| json!({"timestamp": at, "quantity": quantity}));
        let mut asked = body.clone();
        asked["usage"] = json!(usage);
        let (status, preview) = shop.asked(&plan, asked).await;
        assert_eq!(status, 200, "{preview}");

        body["plan_id"] = plan;
        body.as_object_mut().unwrap().remove("periods");
        shop.world.owner.created("/subscriptions", body).await;
        for (at, quantity) in used.into_iter().filter(|(at, _)| *at < end) {
            shop.world.advance_to(at).await;
            let event = json!({"meter_id": shop.meter["meter_id"], "customer_id": customer["id"],
                "quantity": quantity, "timestamp": at});
            shop.world.owner.created("/usage", event).await;
            shop.world.drain().await;
        }
        shop.world.advance_to(&format!("{end}T02:00:00Z")).await;
        let made = shop.world.owner.get("/invoices").await;
        let made = made["data"].as_array().unwrap().iter().rev().collect::<Vec<_>>();
        let previewed = preview["invoices"].as_array().unwrap();
        // What only begins the period after those that were asked for is not shown.
        let unshown = usize::from(name == "advance alone");
        assert_eq!(made.len(), previewed.len() + unshown, "{name}");
        for (made, previewed) in made.into_iter().zip(previewed) {
            assert_eq!(
                lines_of(made, "line_items", "line_total"),
                lines_of(previewed, "lines", "amount"),
                "{name}"
            );
            for field in ["subtotal", "tax", "total", "period_start", "period_end"] {
                assert_eq!(made[field], previewed[field], "{name}: {field}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_previewed_is_measured_as_what_is_tracked() {
    for (aggregation, calls) in
        [("SUM", "42.5"), ("MAX", "30"), ("LAST", "10"), ("COUNT", "3"), ("WEIGHTED_SUM", "18.66935483871")]
    {
        let world = World::new().await;
        let meter = world.meter(aggregation).await;
        let shop = Shop { world, meter };
        let property = text(&shop.world.owner.get(&format!("/meters/{}", text(&shop.meter["meter_id"]))).await["property_name"]).to_owned();
        let plan = shop.plan("Calls", &[usage("Calls", "1")]).await;
        let event = |day: &str, quantity: Value| json!({"timestamp": format!("2025-01-{day}"), "properties": {&property: quantity}});
        let events =
            json!([event("01", json!("30")), event("15", json!(2.5)), event("16T12:00:00Z", json!(10))]);
        let (status, preview) = shop.asked(&plan, json!({"start_date": "2025-01-01", "usage": events})).await;
        assert_eq!(status, 200, "{preview}");
        let line = &preview["invoices"][0]["lines"][0];
        assert_eq!(line["quantity"].to_string(), calls, "{aggregation}");
        let estimate = |events: Value| {
            let charge = json!({"type": "USAGE", "meter_id": shop.meter["meter_id"], "unit_price": 1});
            let body = json!({"currency": "USD", "charge": charge, "events": events});
            async { shop.world.owner.post("/charges/estimate", body).await }
        };
        if aggregation != "WEIGHTED_SUM" {
            let events =
                events.as_array().unwrap().iter().map(|event| json!({"properties": event["properties"]}));
            let (status, estimated) = estimate(events.collect()).await;
            assert_eq!((status, &estimated["amount"]), (200, &line["amount"]), "{aggregation}");
        }
        if aggregation == "SUM" {
            let wrong = json!([{"properties": {}}, {"properties": {&property: "many"}}]);
            let (status, problem) = estimate(wrong).await;
            assert_eq!((status, fields(&problem)), (422, vec![&*format!("events[1].properties.{property}")]));
            let wrong = json!([event("01", json!(1)), event("02", json!(-1))]);
            let (status, problem) =
                shop.asked(&plan, json!({"start_date": "2025-01-01", "usage": wrong})).await;
            assert_eq!((status, fields(&problem)), (422, vec![&*format!("usage[1].properties.{property}")]));
        }
    }
}

#[tokio::test]
async fn a_preview_names_what_is_wrong() {
    let shop = Shop::new().await;
    let plan = shop.plan("Two", &[fixed("A", "1"), fixed("B", "2")]).await;
    let euro = shop.plan_of("Euro", "month", "EUR", &[]).await;
    for (fields, field) in [
        (json!({"time_zone": "Mars/Phobos"}), "time_zone"),
        (json!({"periods": 61}), "periods"),
        (json!({"periods": 0}), "periods"),
        (json!({"interval_count": 0}), "interval_count"),
        (json!({"billing_time": "lunar"}), "billing_time"),
        (json!({"start_date": "2025-02-01", "end_date": "2025-01-01"}), "end_date"),
        (json!({"start_date": "2025-02-01", "trial_end_date": "2025-01-01"}), "trial_end_date"),
        (json!({"proration": {"unit": "hour"}}), "proration.unit"),
        (json!({"proration": {"units": "day"}}), "proration.units"),
        (json!({"changes": [{"at": "2025-02-01"}]}), "changes[0].at"),
        (json!({"changes": [{"at": "2025-02-01", "cancel": true, "pause": true}]}), "changes[0].at"),
        (json!({"changes": [{"at": "2024-02-01", "cancel": true}]}), "changes[0].at"),
        (json!({"changes": [{"at": "2025-02-01", "quantity": 3}]}), "changes[0].charge_id"),
        (json!({"changes": [{"at": "2025-02-01", "resume": true}]}), "changes[0].resume"),
        (json!({"changes": [{"at": "2025-02-01", "plan_id": euro}]}), "changes[0].plan_id"),
        (
            json!({"changes": [{"at": "2025-02-01", "cancel": true}, {"at": "2025-03-01", "pause": true}]}),
            "changes[1].at",
        ),
        (json!({"usage": [{"timestamp": "2025-01-01T00:00:00Z", "quantity": -1}]}), "usage[0].quantity"),
        (json!({"customer_id": plan}), "customer_id"),
    ] {
        let (status, answer) = shop.asked(&plan, fields.clone()).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{fields}: {answer}");
    }
    // Nothing is stored.
    assert_eq!(shop.world.owner.get("/subscriptions").await["meta"]["total"], 0);
    assert_eq!(shop.world.owner.get("/invoices").await["meta"]["total"], 0);
}
