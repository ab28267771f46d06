//! No organization reaches another's things, whatever ids it knows.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{DOCUMENT, World, fields, text};

#[tokio::test]
async fn foreign_ids_are_as_absent_as_ids_that_do_not_exist() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 49})]).await;
    let charge = world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await["charges"][0]["id"].clone();
    let customer = world.customer().await;
    let subscription = world.subscribe(&customer, &plan).await;
    let granted = json!({"feature_id": meter["id"], "usage_limit": 10});
    world.owner.created(&format!("/plans/{}/features", text(&plan["id"])), granted).await;
    let key = world.owner.created("/api-keys", json!({"name": "k", "scopes": ["usage.read"]})).await;
    let alert = json!({"name": "Busy", "type": "usage", "meter_id": meter["meter_id"], "thresholds": [1]});
    let alert = world.owner.created("/alerts", alert).await;
    world.advance_to("2025-02-01T00:01:00Z").await;
    let invoices = world.owner.get("/invoices").await;
    let invoice = &invoices["data"][0];
    let told = |quantity: u32| {
        json!({"meter_id": meter["meter_id"], "customer_id": customer["id"], "quantity": quantity,
               "timestamp": "2025-01-20T00:00:00Z", "idempotency_key": "k"})
    };
    let counted = world.owner.created("/usage", told(1)).await;
    world.drain().await;
    world.owner.created("/usage", told(2)).await;
    world.drain().await;
    assert_eq!(world.owner.get("/usage/rejected").await["meta"]["total"], 1, "of the same key, set aside");
    let other = world.anonymous().signed_up("other@example.com").await;
    let other_key = other.with_key(&["usage.write", "usage.read", "billing.read", "billing.write"]).await;

    let id_of = |path: &str| {
        let owned = [
            ("/features/", &meter["id"]),
            ("/meters/", &meter["meter_id"]),
            ("/plans/", &plan["id"]),
            ("/customers/", &customer["id"]),
            ("/subscriptions/", &subscription["id"]),
            ("/invoices/", &invoice["id"]),
            ("/api-keys/", &key["id"]),
            ("/usage/rejected/", &counted["id"]),
            ("/alerts/", &alert["id"]),
        ];
        owned.into_iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, id)| text(id).to_owned())
    };
    let mut tried = 0;
    for (template, item) in DOCUMENT["paths"].as_object().unwrap() {
        let template = template.trim_start_matches("/api/v1");
        if !template.contains("{id}") {
            continue;
        }
        let id = id_of(template).unwrap_or_else(|| panic!("no id for {template}: add one"));
        let path = template.replace("{id}", &id).replace("{charge_id}", text(&charge));
        let path = path.replace("{feature_id}", text(&meter["id"])).replace("{lookup_key}", "calls");
        for method in item.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let body = body_for(&method, template);
            for caller in [&other, &other_key] {
                let (status, answer) = caller.call(method.clone(), &path, body.clone()).await;
                assert_eq!((status, &answer["code"]), (404, &json!("not_found")), "{method} {path}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 50, "{tried}");

    // Ids in bodies and queries are no way in either.
    let (status, _) =
        other.post("/subscriptions", json!({"customer_id": customer["id"], "plan_id": plan["id"]})).await;
    assert_eq!(status, 422);
    let track = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 1});
    assert_eq!(other_key.post("/sdk/track", track).await.0, 404);
    let usage = json!({"meter_id": meter["meter_id"], "customer_id": customer["id"], "quantity": 1});
    assert_eq!(other.post("/usage", usage).await.0, 404);
    for list in ["features", "meters", "plans", "customers", "subscriptions", "invoices", "alerts"] {
        assert_eq!(other.get(&format!("/{list}")).await["meta"]["total"], 0, "{list}");
    }
    for list in ["subscriptions", "invoices"] {
        let path = format!("/{list}?customer_id={}", text(&customer["id"]));
        assert_eq!(other.call(Method::GET, &path, None).await.0, 404);
    }

    for query in ["customer_external_id=acme".to_owned(), format!("customer_id={}", text(&customer["id"]))] {
        let path = format!("/entitlements/check?feature=calls&{query}");
        assert_eq!(other_key.call(Method::GET, &path, None).await.0, 404);
    }

    for (kind, field, id) in [
        ("amount", "customer_id", &customer["id"]),
        ("amount", "subscription_id", &subscription["id"]),
        ("usage", "meter_id", &meter["meter_id"]),
        ("limit_percent", "feature_id", &meter["id"]),
    ] {
        let body = json!({"name": "Spy", "type": kind, field: id, "thresholds": [1]});
        let (status, answer) = other.post("/alerts", body).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]));
    }

    // And nothing was changed by trying.
    assert_eq!(
        world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await["charges"][0]["status"],
        "ACTIVE"
    );
    assert_eq!(world.owner.get(&format!("/invoices/{}", text(&invoice["id"]))).await["status"], "DRAFT");
    let plan = world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await;
    assert_eq!(plan["features"][0]["usage_limit"], 10);
    assert_eq!(world.owner.get(&format!("/alerts/{}", text(&alert["id"]))).await["name"], "Busy");
    assert_eq!(world.owner.get("/api-keys").await["meta"]["total"], 1);
    assert_eq!(world.owner.get("/usage/rejected").await["meta"]["total"], 1);
}

/// A body that would be accepted of the owner.
fn body_for(method: &Method, template: &str) -> Option<Value> {
    match (method.as_str(), template) {
        ("POST", "/plans/{id}/features") => {
            Some(json!({"feature_id": "00000000-0000-7000-8000-000000000000"}))
        }
        ("PUT", path) if path.ends_with("/{feature_id}") => Some(json!({"usage_limit": null})),
        ("PUT", "/invoices/{id}") => Some(json!({"memo": "Stolen"})),
        ("PUT", "/subscriptions/{id}/overrides") => Some(json!({"overrides": []})),
        ("PUT", _) => Some(json!({"name": "Stolen"})),
        ("POST", "/plans/{id}/charges") => Some(json!({"type": "FIXED", "unit_price": 1})),
        ("POST", "/subscriptions/{id}/cancel") => Some(json!({"cancel_at_period_end": true})),
        ("POST", "/subscriptions/{id}/change-plan" | "/subscriptions/{id}/preview-change") => {
            Some(json!({"plan_id": "00000000-0000-7000-8000-000000000000"}))
        }
        ("POST", "/subscriptions/{id}/one-off-charges") => {
            Some(json!({"description": "Stolen", "unit_amount": 1}))
        }
        ("POST", "/subscriptions/{id}/change-quantity") => Some(json!({"quantity": 2})),
        ("POST", "/plans/{id}/migrate" | "/plans/{id}/migrate/preview") => Some(json!({})),
        ("PATCH", "/plans/{id}/charges/{charge_id}") => Some(json!({"status": "INACTIVE"})),
        ("PATCH", "/invoices/{id}/status") => Some(json!({"status": "VOID"})),
        _ => None,
    }
}
