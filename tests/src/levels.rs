//! Levels (WEIGHTED_SUM) in parts of a period: each counts by its share of the interval.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, text};

async fn level(world: &World, meter: &Value, quantity: u32, at: &str) {
    let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": quantity,
        "timestamp": at, "idempotency_key": at});
    world.owner.created("/sdk/track", body).await;
    world.drain().await;
}

async fn storage(world: &World, meter: &Value, name: &str, price: u32) -> Value {
    let body = json!({"name": name, "type": "USAGE", "billing_interval": "month", "currency": "USD"});
    let plan = world.owner.created("/plans", body).await;
    let charge =
        json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": price, "display_name": name});
    world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
    plan
}

fn shown<'a>(invoices: impl Iterator<Item = &'a Value>, lines: &str, amount: &str) -> String {
    let line = |line: &Value| {
        format!("  {}: {} for {}\n", text(&line["description"]), line["quantity"], line[amount])
    };
    let invoice = |invoice: &Value| {
        let lines = invoice[lines].as_array().unwrap().iter().map(line).collect::<String>();
        format!(
            "{} to {}\n{lines}",
            &text(&invoice["period_start"])[..10],
            &text(&invoice["period_end"])[..10]
        )
    };
    invoices.map(invoice).collect()
}

#[tokio::test]
async fn parts_of_a_period_add_up_to_the_level() {
    let mut world = World::new().await;
    let meter = world.meter("WEIGHTED_SUM").await;
    let basic = storage(&world, &meter, "Basic", 1).await;
    let pro = storage(&world, &meter, "Pro", 2).await;
    let customer = world.customer().await;
    let body = json!({"customer_id": customer["id"], "plan_id": basic["id"], "start_date": "2025-01-15",
        "billing_time": "calendar"});
    let mut previewed = body.clone();
    previewed["periods"] = json!(3);
    previewed["changes"] = json!([{"at": "2025-02-15", "plan_id": pro["id"]}]);
    previewed["usage"] =
        json!([{"meter_id": meter["meter_id"], "timestamp": "2025-01-15T00:00:00Z", "quantity": 10}]);
    let (status, preview) = world.owner.post("/subscriptions/preview", previewed).await;
    assert_eq!(status, 200, "{preview}");
    let preview = shown(preview["invoices"].as_array().unwrap().iter(), "lines", "amount");
    insta::assert_snapshot!(preview, @"
    2025-01-15 to 2025-02-01
      Basic: 5.483870967742 for 5.48
    2025-02-01 to 2025-03-01
      Basic: 5 for 5.00
      Pro: 5 for 10.00
    2025-03-01 to 2025-04-01
      Pro: 10 for 20.00
    ");

    let subscription = world.owner.created("/subscriptions", body).await;
    world.advance_to("2025-01-15T00:00:00Z").await;
    level(&world, &meter, 10, "2025-01-15T00:00:00Z").await;
    world.advance_to("2025-02-15T00:00:00Z").await;
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    world.owner.changed(Method::POST, &format!("{path}/change-plan"), json!({"plan_id": pro["id"]})).await;
    world.advance_to("2025-04-01T02:00:00Z").await;
    let list = world.owner.get(&format!("{path}/invoices")).await;
    let billed = shown(list["data"].as_array().unwrap().iter().rev(), "line_items", "line_total");
    assert_eq!(billed, preview);
    let usage = world
        .owner
        .get(&format!(
            "/usage?meter_id={}&start_date=2025-02-01&end_date=2025-02-14",
            text(&meter["meter_id"])
        ))
        .await;
    assert_eq!(usage["total_usage"].to_string(), "10", "asked for by itself, a part is an average");
}

#[tokio::test]
async fn a_preview_holds_a_level_until_the_end() {
    let mut world = World::new().await;
    let meter = world.meter("WEIGHTED_SUM").await;
    let basic = storage(&world, &meter, "Basic", 1).await;
    let pro = storage(&world, &meter, "Pro", 2).await;
    let customer = world.customer().await;
    let subscription = world.subscribe(&customer, &basic).await;
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    level(&world, &meter, 31, "2025-01-01T00:00:00Z").await;
    world.advance_to("2025-01-11T00:00:00Z").await;
    level(&world, &meter, 62, "2025-01-11T00:00:00Z").await;
    let next = world.owner.changed(Method::POST, &format!("{path}/preview-invoice"), json!({})).await;
    assert_eq!(next["lines"][0]["quantity"], 52, "31 for 10 days, 62 for 21");
    let usage =
        format!("/usage?meter_id={}&start_date=2025-01-01&end_date=2025-01-31", text(&meter["meter_id"]));
    assert_eq!(
        world.owner.get(&usage).await["total_usage"].to_string(),
        "31",
        "usage is what is known by now"
    );

    let change = json!({"plan_id": pro["id"]});
    let preview = world.owner.changed(Method::POST, &format!("{path}/preview-change"), change.clone()).await;
    let preview = shown(preview["invoices"].as_array().unwrap().iter(), "lines", "amount");
    world.owner.changed(Method::POST, &format!("{path}/change-plan"), change).await;
    let next = world.owner.changed(Method::POST, &format!("{path}/preview-invoice"), json!({})).await;
    assert!(preview.starts_with(&shown([&next].into_iter(), "lines", "amount")), "{next}");
    world.advance_to("2025-03-01T02:00:00Z").await;
    let list = world.owner.get(&format!("{path}/invoices")).await;
    let billed = shown(list["data"].as_array().unwrap().iter().rev(), "line_items", "line_total");
    assert_eq!(billed, preview);
    insta::assert_snapshot!(billed, @"
    2025-01-01 to 2025-02-01
      Basic: 10 for 10.00
      Pro: 42 for 84.00
    2025-02-01 to 2025-03-01
      Pro: 62 for 124.00
    ");
}
