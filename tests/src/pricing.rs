//! Charge models over HTTP: the examples of `docs/pricing.md`, and invoices that are rated by event.

use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use testkit::workspace_root;

use crate::{
    client::{World, text},
    preview::shown,
};

#[tokio::test]
async fn every_example_of_the_documentation_comes_out() {
    let world = World::new().await;
    let page = std::fs::read_to_string(workspace_root().join("docs/pricing.md")).unwrap();
    let mut examples = 0;
    for part in page.split("```json\n").skip(1) {
        let (request, rest) = part.split_once("```").unwrap();
        let (_, rest) = rest.split_once("```text\n").unwrap_or_else(|| panic!("no answer to {request}"));
        let (expected, _) = rest.split_once("\n```").unwrap();
        let body = serde_json::from_str(request).unwrap();
        let (status, answer) = world.owner.post("/charges/estimate", body).await;
        assert_eq!(status, 200, "{request}: {answer}");
        let explanation = answer["explanation"].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
        assert_eq!(explanation.join("\n"), expected, "{request}");
        let amount = expected.rsplit(' ').next().unwrap();
        assert_eq!(answer["amount"].to_string(), amount, "{request}");
        examples += 1;
    }
    assert!(examples >= 15, "{examples}");
}

/// The body of the next block of this kind, and what comes after it.
fn block<'a>(page: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = page.split_once(&format!("```{kind}\n"))?;
    rest.split_once("```")
}

#[tokio::test]
async fn every_documented_subscription_is_billed_as_documented() {
    let page = std::fs::read_to_string(workspace_root().join("docs/pricing.md")).unwrap();
    let (mut rest, mut examples) = (page.as_str(), 0);
    while let Some((plan, after)) = block(rest, "json plan") {
        let world = World::new().await;
        let (preview, after) = block(after, "json preview").unwrap();
        let (expected, after) = block(after, "text").unwrap();
        rest = after;
        let plan: Value = serde_json::from_str(plan).unwrap();
        let mut preview: Value = serde_json::from_str(preview).unwrap();
        let meter = world.meter(plan["meter"]["aggregation_type"].as_str().unwrap_or("SUM")).await;
        let body = json!({"name": "Example", "type": "HYBRID", "currency": "USD",
            "billing_interval": plan["billing_interval"]});
        let id = world.owner.created("/plans", body).await["id"].clone();
        for charge in plan["charges"].as_array().unwrap() {
            let mut charge = charge.clone();
            if charge["type"] == "USAGE" {
                charge["meter_id"] = meter["meter_id"].clone();
            }
            world.owner.created(&format!("/plans/{}/charges", text(&id)), charge).await;
        }
        for event in preview.get_mut("usage").and_then(Value::as_array_mut).into_iter().flatten() {
            event["meter_id"] = meter["meter_id"].clone();
        }
        preview["plan_id"] = id;
        let (status, answer) = world.owner.post("/subscriptions/preview", preview.clone()).await;
        assert_eq!(status, 200, "{preview}: {answer}");
        assert_eq!(shown(&answer), expected, "{preview}");
        examples += 1;
    }
    assert!(examples >= 5, "{examples}");
}

/// What is billed for January alone, as a sum.
fn of_january(preview: &Value) -> String {
    let lines = preview["invoices"].as_array().unwrap().iter();
    let lines = lines.flat_map(|invoice| invoice["lines"].as_array().unwrap());
    let lines = lines.filter(|line| text(&line["period_start"]) < "2025-02-01");
    let amounts = lines.map(|line| line["amount"].to_string()).collect::<Vec<_>>();
    let total = amounts.iter().map(|amount| amount.parse::<Decimal>().unwrap()).sum::<Decimal>();
    let sum = amounts.join(" + ").replace("+ -", "− ");
    match amounts.len() {
        0 => "nothing".into(),
        1 => sum,
        _ => format!("{sum} = {total}"),
    }
}

#[tokio::test]
async fn every_part_of_a_period_costs_what_is_documented() {
    let world = World::new().await;
    let plan = async |price: u32, in_advance: bool| {
        let name = format!("{price}, {in_advance}");
        let body = json!({"name": name, "type": "FIXED", "billing_interval": "month", "currency": "USD"});
        let plan = world.owner.created("/plans", body).await;
        let charge = json!({"type": "FIXED", "unit_price": price, "in_advance": in_advance});
        world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
        plan["id"].clone()
    };
    let page = std::fs::read_to_string(workspace_root().join("docs/pricing.md")).unwrap();
    let (_, table) =
        page.split_once("| in January | mode | in advance | in arrears |\n|---|---|---|---|\n").unwrap();
    let plans =
        [(plan(31, true).await, plan(62, true).await), (plan(31, false).await, plan(62, false).await)];
    let (mut what, mut rows) = (String::new(), 0);
    for row in table.lines().take_while(|row| row.starts_with('|')) {
        let cells = row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
        let [given, mode, in_advance, in_arrears] = cells[..] else { panic!("{row}") };
        if !given.is_empty() {
            what = given.split(' ').next().unwrap().to_owned();
        }
        for ((plan, dear), expected) in plans.iter().zip([in_advance, in_arrears]) {
            let mut body = json!({"plan_id": plan, "start_date": "2025-01-01", "periods": 1,
                "proration": {"unit": "day", "mode": mode.trim_matches('`')}});
            let change = match what.as_str() {
                "start" => {
                    body["start_date"] = json!("2025-01-15");
                    body["billing_time"] = json!("calendar");
                    None
                }
                "change" => Some(json!({"at": "2025-01-15", "plan_id": dear})),
                "pause" => Some(json!({"at": "2025-01-15", "pause": true})),
                "end" => Some(json!({"at": "2025-01-15", "cancel": true})),
                other => panic!("{other}"),
            };
            body["changes"] = Vec::from_iter(change).into();
            let (status, preview) = world.owner.post("/subscriptions/preview", body).await;
            assert_eq!(status, 200, "{preview}");
            assert_eq!(of_january(&preview), expected, "{what} {mode}");
        }
        rows += 1;
    }
    assert_eq!(rows, 12);
}

#[tokio::test]
async fn an_estimate_refuses_what_it_cannot_compute() {
    let world = World::new().await;
    let unique = world.meter("UNIQUE_COUNT").await;
    let standard = json!({"type": "USAGE", "unit_price": "1000000000000"});
    let percentage = json!({"charge_model": "percentage", "rate": 1, "meter_id": unique["meter_id"]});
    for (body, field) in [
        (json!({"currency": "USD", "charge": standard, "quantity": "1e22"}), "quantity"),
        (json!({"currency": "USD", "charge": standard, "events": [{"quantity": "1e22"}]}), "events"),
        (json!({"currency": "USD", "charge": standard, "quantity": -1}), "quantity"),
        (json!({"currency": "USD", "charge": standard}), "quantity"),
        (json!({"currency": "USD", "charge": {"unit_price": 1, "rate": 1}, "quantity": 1}), "charge.rate"),
        (json!({"currency": "USD", "charge": {"unit_price": 1, "price": 1}, "quantity": 1}), "charge.price"),
        (json!({"currency": "USD", "charge": percentage, "quantity": 1}), "charge_model"),
        (
            json!({"currency": "USD", "charge": {"charge_model": "graduated", "tiers": [{"up_to": 5, "unit_price": 1}]}, "quantity": 1}),
            "charge.tiers[0].up_to",
        ),
    ] {
        let (status, answer) = world.owner.post("/charges/estimate", body.clone()).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{body}: {answer}");
    }
    // A meter says how events count.
    let body = json!({"currency": "USD", "charge": {"unit_price": 10, "meter_id": unique["meter_id"]},
        "events": [{"properties": {"n": "a"}}, {"properties": {"n": "b"}}, {"properties": {"n": "a"}}]});
    let (_, answer) = world.owner.post("/charges/estimate", body).await;
    assert_eq!(answer["amount"].to_string(), "20.00");
}

#[tokio::test]
async fn an_invoice_is_rated_by_property_and_by_event() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let usage = |name: &str, fields: Value| {
        let mut body = json!({"type": "USAGE", "meter_id": meter["meter_id"], "display_name": name});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let charges = [
        usage(
            "Tokens",
            json!({"unit_price": 0.01, "included_units": 5, "filters": [
                {"match": {"model": ["large"]}, "charge_model": "graduated",
                 "tiers": [{"up_to": 10, "unit_price": 1}, {"up_to": null, "unit_price": 0.5}]},
                {"match": {"model": ["never"]}, "unit_price": 1, "minimum_amount": 100}]}),
        ),
        usage(
            "Payments",
            json!({"charge_model": "percentage", "rate": 1, "fixed_fee": 0.25, "free_units": 1,
                "minimum_per_event": 0.5}),
        ),
        usage(
            "Packages",
            json!({"charge_model": "package", "package_size": 100, "unit_price": 3, "maximum_amount": 5}),
        ),
        usage(
            "Steps",
            json!({"charge_model": "stairstep", "tiers": [{"up_to": 100, "unit_price": 10}, {"unit_price": 20}]}),
        ),
    ];
    let plan = world.plan(&charges).await;
    let stored = world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await;
    assert_eq!(stored["charges"][0]["filters"][0]["match"], json!({"model": ["large"]}));
    assert_eq!(stored["charges"][0]["filters"][0]["tiers"][0]["up_to"], 10);
    assert_eq!(stored["charges"][1]["free_units"], 1);
    assert_eq!(stored["charges"][2]["package_size"], 100);
    let customer = world.customer().await;
    world.subscribe(&customer, &plan).await;

    world.advance_to("2025-01-31T00:00:00Z").await;
    let sender = world.owner.with_key(&["usage.write"]).await;
    for (key, at, quantity, model) in [
        ("1", "2024-12-31T23:59:59Z", 1000, "large"), // before the period
        ("2", "2025-01-05T00:00:00Z", 60, "small"),
        ("3", "2025-01-03T00:00:00Z", 12, "large"), // the earliest: free
        ("4", "2025-01-20T00:00:00Z", 8, "large"),
        ("5", "2025-01-31T00:00:00Z", 45, "other"),
    ] {
        let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": quantity,
            "timestamp": at, "idempotency_key": key, "metadata": {"model": model}});
        sender.created("/sdk/track", body).await;
    }
    world.drain().await;
    world.advance_to("2025-02-01T02:00:00Z").await;
    let invoices = world.owner.get("/invoices").await;
    let invoice = &invoices["data"][0];
    let path = format!("/invoices/{}/explain", text(&invoice["id"]));
    let explained = world.owner.get(&path).await;
    let mut shown = String::new();
    for line in explained["lines"].as_array().unwrap() {
        shown += &format!("{} {}\n", text(&line["description"]), line["amount"]);
        for step in line["steps"].as_array().unwrap() {
            shown += &format!("  {}\n", text(step));
        }
    }
    for step in explained["steps"].as_array().unwrap() {
        shown += &format!("{}\n", text(step));
    }
    insta::assert_snapshot!(shown, @"
    Tokens 16.00
      usage of 125 from 4 events
      model: large: tier up to 10: 10 × 1 = 10
      model: large: tier above 10: 10 × 0.5 = 5
      5 included, at no charge
      100 × 0.01 = 1
      10 + 5 + 0 + 1 = 16, rounded to USD 16.00
    Payments 2.05
      usage of 125 from 4 events
      12 included, at no charge
      1 % of 113 = 1.13
      fee for each event: 3 × 0.25 = 0.75
      1 event raised to 0.5: 0.17
      0 + 1.13 + 0.75 + 0.17 = 2.05, rounded to USD 2.05
    Packages 5.00
      usage of 125 from 4 events
      125 units begin 2 packages of 100: 2 × 3 = 6
      lowered to the maximum of 5: -1
      6 − 1 = 5, rounded to USD 5.00
    Steps 20.00
      usage of 125 from 4 events
      tier above 100: 125 for 20
      20, rounded to USD 20.00
    subtotal 16.00 + 2.05 + 5.00 + 20.00 = 43.05
    tax 0.00
    total 43.05 + 0.00 = USD 43.05
    ");
    assert_eq!(invoice["line_items"][0]["event_count"], 4);
    assert_eq!(invoice["line_items"][0]["parts"][0]["filter"], "model: large");
    let pdf = format!("/invoices/{}/pdf", text(&invoice["id"]));
    assert_eq!(world.owner.call(Method::GET, &pdf, None).await.0, 200);
}
