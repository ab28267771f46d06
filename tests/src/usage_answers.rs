//! What usage is answered with where the answer is not plain.

use domain::{
    commit::HeadWrite,
    head::Head,
    month::Month,
    quantity::Quantity,
    totals::{Tally, Totals},
};
use reqwest::Method;
use serde_json::{Value, json};
use store::HeadId;

use crate::client::{World, text};

fn event(meter: &Value, customer: &str, key: &str, at: &str, quantity: Value) -> Value {
    json!({"meter_id": meter["meter_id"], "customer_external_id": customer, "quantity": quantity,
        "timestamp": at, "idempotency_key": key})
}

/// Makes the month of a customer come to 1.5 × 10^26, which is as much as a sum can be, nearly.
async fn fill(world: &World, meter: &Value, customer: &Value, at: &str) {
    let me = world.owner.get("/auth/me").await;
    let id = HeadId {
        organization: text(&me["organization"]["id"]).parse().unwrap(),
        meter: text(&meter["meter_id"]).parse().unwrap(),
        customer: text(&customer["id"]).parse().unwrap(),
        month: Month::of(at.parse().unwrap()),
    };
    let store = &world.running.platform.store;
    let head = store.get_head(id).await.unwrap();
    let sum = Quantity::from_units(15 * 10_i128.pow(25 + Quantity::DECIMALS));
    let days = [(1, Totals { events: 1, tally: Tally::Sum(sum) })].into();
    store.commit_head(id, &HeadWrite::Put(Head { days, ..head })).await.unwrap();
}

#[tokio::test]
async fn a_total_that_is_not_exact_any_more_is_refused_with_what_to_do() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let plan = world.plan(&[]).await;
    let body = json!({"feature_id": meter["id"], "is_enabled": true, "usage_limit": 10, "usage_reset_period": "year"});
    world.owner.created(&format!("/plans/{}/features", text(&plan["id"])), body).await;
    let acme = world.customer().await;
    let subscription = json!({"customer_id": acme["id"], "plan_id": plan["id"], "start_date": "2025-01-01"});
    let subscription = world.owner.created("/subscriptions", subscription).await;
    let body = json!({"name": "Other", "email": "o@example.com", "external_id": "other"});
    let other = world.owner.created("/customers", body).await;
    world.advance_to("2025-02-20T12:00:00Z").await;
    let heads =
        [(&acme, "acme", "2025-01-01"), (&acme, "acme", "2025-02-01"), (&other, "other", "2025-02-01")];
    for (customer, external_id, day) in heads {
        let at = format!("{day}T00:00:00Z");
        world.owner.created("/usage", event(&meter, external_id, day, &at, json!(1))).await;
        world.drain().await;
        fill(&world, &meter, customer, &at).await;
    }
    let (id, acme) = (text(&meter["meter_id"]), text(&acme["id"]));
    let months = "start_date=2025-01-01&end_date=2025-02-28";
    let february = "start_date=2025-02-01&end_date=2025-02-28";
    for path in [
        format!("/usage?meter_id={id}&{february}"),
        format!("/usage?meter_id={id}&{months}&customer_id={acme}"),
        format!("/usage?{months}&customer_id={acme}"),
        format!("/usage/aggregate?meter_id={id}&customer_id={acme}&{months}"),
        format!("/usage?subscription_id={}&meter_id={id}&{months}", text(&subscription["id"])),
        format!("/meters/{id}/usage?{months}"),
        format!("/meters/{id}/usage?{february}&group_by=month"),
        format!("/meters/{id}/top-customers?{months}"),
        format!("/meters/{id}/stats"),
        format!("/customers/{acme}/usage?{months}"),
        format!("/customers/{acme}/entitlements/calls"),
        "/entitlements/check?customer_external_id=acme&feature=calls".into(),
    ] {
        let (status, problem) = world.owner.call(Method::GET, &path, None).await;
        assert_eq!((status, &problem["code"]), (409, &json!("usage_too_large")), "{path}: {problem}");
        assert!(text(&problem["detail"]).contains("shorter range"), "{path}");
    }
    let path = format!("/meters/{id}/usage?{february}&customer_id={acme}");
    assert_eq!(world.owner.get(&path).await["total_usage"].to_string(), "150000000000000000000000000");
}

#[tokio::test]
async fn those_whose_level_is_carried_on_are_among_the_top_customers() {
    let mut world = World::new().await;
    let meter = world.meter("WEIGHTED_SUM").await;
    world.advance_to("2025-03-15T00:00:00Z").await;
    let rows = [
        ("a", "acme", "2025-01-10T00:00:00Z", 20), // and nothing since
        ("b", "other", "2025-01-10T00:00:00Z", 5),
        ("c", "other", "2025-03-01T00:00:00Z", 8),
        ("d", "third", "2025-01-10T00:00:00Z", 7),
        ("e", "third", "2025-02-10T00:00:00Z", 0),  // gone
        ("f", "late", "2025-03-14T00:00:00Z", 100), // not yet, then
    ];
    let events = rows.map(|(key, customer, at, quantity)| event(&meter, customer, key, at, json!(quantity)));
    assert_eq!(world.owner.post("/usage/batch", json!({"events": events})).await.0, 202);
    world.drain().await;
    let id = text(&meter["meter_id"]);
    let top = async |query: &str| {
        let top = world.owner.get(&format!("/meters/{id}/top-customers?{query}")).await;
        let rows = top["customers"].as_array().unwrap().iter();
        let shown = rows.map(|row| format!("{} of {}", row["usage"], row["event_count"])).collect::<Vec<_>>();
        let total = world.owner.get(&format!("/meters/{id}/usage?{query}")).await["total_usage"].to_string();
        (shown, total)
    };
    let march = top("start_date=2025-03-01&end_date=2025-03-13").await;
    assert_eq!(march, (vec!["20 of 0".into(), "8 of 1".into()], "28".into()));
    let february = top("start_date=2025-02-01&end_date=2025-02-28").await.0;
    assert_eq!(february, ["20 of 0", "5 of 0", "2.25 of 1"]);
    let december = top("start_date=2024-12-01&end_date=2024-12-31").await;
    assert_eq!(december, (vec![], "0".into()));
}

#[tokio::test]
async fn the_log_is_filtered_by_the_quantity_that_counts() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    world.customer().await;
    world.advance_to("2025-01-20T12:00:00Z").await;
    let at = "2025-01-15T10:00:00Z";
    for (key, quantity) in [("up", 3), ("down", 300), ("gone", 300), ("kept", 200)] {
        world.owner.created("/usage", event(&meter, "acme", key, at, json!(quantity))).await;
    }
    world.drain().await;
    let id = text(&meter["meter_id"]);
    for (key, correction) in [
        ("up", json!({"action": "replace", "quantity": 500})),
        ("down", json!({"action": "replace", "quantity": 1})),
        ("gone", json!({"action": "void"})),
    ] {
        let mut body = json!({"meter_id": id, "customer_external_id": "acme", "idempotency_key": key});
        body.as_object_mut().unwrap().extend(correction.as_object().unwrap().clone());
        assert_eq!(world.owner.post("/usage/corrections", body).await.0, 202);
    }
    world.drain().await;
    let log = async |least: u32| {
        let log = world.owner.get(&format!("/meters/{id}/events?min_quantity={least}")).await;
        let row = |row: &Value| format!("{} {}", text(&row["quantity"]), text(&row["status"]));
        let rows = log["data"].as_array().unwrap().iter().map(row).collect::<Vec<_>>();
        assert_eq!(log["meta"]["total"], rows.len(), "{least}");
        rows
    };
    assert_eq!(log(1).await, ["500 replaced", "200 counted", "300 voided", "1 replaced"]);
    assert_eq!(log(2).await, ["500 replaced", "200 counted", "300 voided"]);
    assert_eq!(log(400).await, ["500 replaced"]);
}
