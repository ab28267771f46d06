//! Plans: every how many units of time they are billed.

use reqwest::Method;
use serde_json::json;

use crate::client::{World, fields, text};

#[tokio::test]
async fn a_plan_may_be_billed_every_so_many_units() {
    let world = World::new().await;
    let body = json!({"name": "Quarterly", "type": "FIXED", "billing_interval": "month", "interval_count": 3,
        "currency": "USD"});
    let plan = world.owner.created("/plans", body).await;
    assert_eq!((&plan["billing_interval"], &plan["interval_count"]), (&json!("month"), &json!(3)));
    assert_eq!(world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await["interval_count"], 3);
    let charge = json!({"type": "FIXED", "unit_price": 90});
    world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
    let customer = world.customer().await;
    for (own, count, end) in [
        (json!({}), 3, "2025-04-01T00:00:00Z"),
        (json!({"interval_count": 2}), 2, "2025-03-01T00:00:00Z"),
        (json!({"billing_interval": "month"}), 3, "2025-04-01T00:00:00Z"),
        (json!({"billing_interval": "month", "interval_count": 1}), 1, "2025-02-01T00:00:00Z"),
        (json!({"billing_interval": "week"}), 1, "2025-01-08T00:00:00Z"),
        (json!({"billing_interval": "week", "interval_count": 2}), 2, "2025-01-15T00:00:00Z"),
    ] {
        let mut body =
            json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01"});
        body.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let subscription = world.owner.created("/subscriptions", body).await;
        assert_eq!(
            (&subscription["interval_count"], text(&subscription["current_period_end"])),
            (&json!(count), end)
        );
        let own = json!({"plan_id": plan["id"], "start_date": "2025-01-01", "periods": 1,
            "billing_interval": own["billing_interval"], "interval_count": own["interval_count"]});
        let preview = world.owner.changed(Method::POST, "/subscriptions/preview", own).await;
        let invoice = &preview["invoices"][0];
        assert_eq!((text(&invoice["issue_date"]), &invoice["total"].to_string()[..]), (end, "90.00"));
    }
    for (count, name) in [(json!(0), "none"), (json!(1001), "many"), (json!("x"), "text")] {
        let body = json!({"name": name, "type": "FIXED", "billing_interval": "month", "interval_count": count,
            "currency": "USD"});
        let (status, answer) = world.owner.post("/plans", body).await;
        assert_eq!((status, fields(&answer)), (422, vec!["interval_count"]));
    }
    let plan = world.plan(&[]).await;
    assert_eq!(plan["interval_count"], 1);
}

#[tokio::test]
async fn a_plan_has_a_lookup_id_of_its_own_in_any_script() {
    let world = World::new().await;
    let make = async |name: &str| {
        let body = json!({"name": name, "type": "FIXED", "billing_interval": "month", "currency": "JPY"});
        let (status, plan) = world.owner.post("/plans", body).await;
        (status, plan["lookup_id"].as_str().map(str::to_owned), plan["id"].clone())
    };
    for _ in 0..2 {
        let (status, lookup_id, id) = make("スタンダード").await;
        assert_eq!((status, lookup_id), (201, Some(format!("plan-{}", text(&id)))));
    }
    assert_eq!(make("Pro (東京)").await.1.as_deref(), Some("pro"));
    assert_eq!(make("Pro").await.0, 409, "named alike");
}
