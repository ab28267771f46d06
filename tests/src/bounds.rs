//! How much there may be of what is kept in one piece: at the bound it is kept, beyond it is refused by field.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, text};

async fn charge(world: &World, plan: &Value, body: Value) -> (u16, Value) {
    world.owner.post(&format!("/plans/{}/charges", text(&plan["id"])), body).await
}

#[tokio::test]
async fn a_plan_has_at_most_50_charges_and_a_subscription_as_many_prices_of_its_own() {
    let world = World::new().await;
    let plan = world.plan(&[]).await;
    let mut charges = Vec::new();
    for n in 0..50 {
        let body = json!({"type": "FIXED", "unit_price": n, "display_name": format!("Charge {n}")});
        let (status, charge) = charge(&world, &plan, body).await;
        assert_eq!(status, 201, "{charge}");
        charges.push(charge["id"].clone());
    }
    let (status, answer) = charge(&world, &plan, json!({"type": "FIXED", "unit_price": 1})).await;
    assert_eq!((status, fields(&answer)), (422, vec!["charges"]), "{answer}");

    let customer = world.customer().await;
    let own = |charge: &Value| json!({"charge_id": charge, "unit_price": 1, "quantity": 2});
    let mut overrides = charges.iter().map(own).collect::<Vec<_>>();
    let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "overrides": overrides});
    let subscription = world.owner.created("/subscriptions", body.clone()).await;
    overrides.push(own(&json!("00000000-0000-7000-8000-000000000000")));
    let mut body = body;
    body["overrides"] = json!(overrides);
    for path in ["/subscriptions", "/subscriptions/preview"] {
        let (status, answer) = world.owner.post(path, body.clone()).await;
        assert_eq!((status, fields(&answer)), (422, vec!["overrides"]), "{path}: {answer}");
    }

    // Each change keeps all prices of its own once more.
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    let mut changes = 0;
    let refused = loop {
        let body = json!({"quantity": changes + 3, "charge_id": charges[0]});
        let (status, answer) =
            world.owner.call(Method::POST, &format!("{path}/change-quantity"), Some(body)).await;
        if status != 200 {
            break (status, answer);
        }
        changes += 1;
        assert!(changes < 200, "never too much");
        // Terms of one instant take the place of each other.
        world.owner.local("clock", json!({"advance_to": format!("2025-01-01T00:00:{:02}Z", changes)})).await;
    };
    assert_eq!((refused.0, fields(&refused.1)), (422, vec!["at"]), "{}", refused.1);
    assert_eq!(changes, 25, "the first took the place of the terms it began with");
    assert_eq!(world.owner.get(&path).await["overrides"][0]["quantity"], changes + 2);
}

#[tokio::test]
async fn what_would_not_fit_on_an_invoice_is_no_price() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let plan = world.plan(&[]).await;
    let tiers = |count: usize| {
        let tier = |n: usize| json!({"up_to": if n == count { Value::Null } else { json!(n) }, "unit_price": "0.123456789012"});
        (1..=count).map(tier).collect::<Vec<_>>()
    };
    let priced = |filters: usize, count: usize| {
        let filter = |n: usize| json!({"match": {"model": [format!("model {n}")]}, "tiers": tiers(count)});
        json!({"type": "USAGE", "meter_id": meter["meter_id"], "charge_model": "graduated", "tiers": tiers(count),
            "filters": (0..filters).map(filter).collect::<Vec<_>>()})
    };
    let (status, answer) = charge(&world, &plan, priced(50, 100)).await;
    assert_eq!((status, fields(&answer)), (422, vec!["charges"]), "{answer}");
    assert_eq!(charge(&world, &plan, priced(0, 100)).await.0, 201);
    let (status, filtered) = charge(&world, &plan, priced(50, 10)).await;
    assert_eq!(status, 201, "{filtered}");
    let (status, answer) = charge(&world, &plan, priced(0, 100)).await;
    assert_eq!((status, fields(&answer)), (422, vec!["charges"]), "{answer}");

    let customer = world.customer().await;
    let mut body = priced(50, 20);
    let own = json!({"charge_id": filtered["id"], "tiers": body["tiers"].take(), "filters": body["filters"].take()});
    let mut body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
        "overrides": [own]});
    let (status, answer) = world.owner.post("/subscriptions", body.clone()).await;
    assert_eq!((status, fields(&answer)), (422, vec!["overrides"]), "{answer}");

    // All tiers of all filters are used, and are on the invoice.
    body.as_object_mut().unwrap().remove("overrides");
    world.owner.created("/subscriptions", body).await;
    for n in 0..50 {
        let event = json!({"meter_name": "calls", "customer_external_id": "acme", "timestamp": "2025-01-01T00:00:00Z",
            "properties": {"n": 1000, "model": format!("model {n}")}});
        world.owner.created("/usage", event).await;
    }
    world.drain().await;
    world.advance_to("2025-02-01T02:00:00Z").await;
    let invoice = world.owner.get("/invoices").await["data"][0].clone();
    let invoice = world.owner.get(&format!("/invoices/{}", text(&invoice["id"]))).await;
    assert_eq!(invoice["status"], "OPEN");
    let parts =
        invoice["line_items"].as_array().unwrap().iter().map(|line| line["parts"].as_array().unwrap().len());
    assert_eq!(parts.sum::<usize>(), 100 + 50 * 10 + 1);
}
