//! Entitlements over HTTP: what plans grant, what subscriptions have otherwise, and one check for it all.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Caller, World, fields, text};

/// A platform with a metered, a switched and a custom feature, a customer, and who asks.
struct Sold {
    world: World,
    calls: Value,
    sso: Value,
    region: Value,
    customer: Value,
}

impl Sold {
    async fn new() -> Self {
        let world = World::new().await;
        let calls = world.meter("SUM").await;
        let feature =
            |key: &str, kind: &str| json!({"name": key.to_uppercase(), "lookup_key": key, "type": kind});
        let sso = world.owner.created("/features", feature("sso", "switch")).await;
        let region = world.owner.created("/features", feature("region", "custom")).await;
        let customer = world.customer().await;
        Self { world, calls, sso, region, customer }
    }

    /// A plan that grants a feature, and a subscription to it.
    async fn subscribe(&self, grants: &[Value]) -> (Value, Value) {
        let name = format!("Plan {}", self.world.owner.get("/plans").await["meta"]["total"]);
        let body = json!({"name": name, "type": "FIXED", "billing_interval": "month", "currency": "USD"});
        let plan = self.world.owner.created("/plans", body).await;
        for grant in grants {
            let path = format!("/plans/{}/features", text(&plan["id"]));
            self.world.owner.created(&path, grant.clone()).await;
        }
        let subscription = self.world.subscribe(&self.customer, &plan).await;
        (plan, subscription)
    }

    async fn track(&self, quantity: u32, at: &str) {
        let body = json!({"meter_token": self.calls["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "timestamp": at});
        self.world.owner.created("/sdk/track", body).await;
        self.world.drain().await;
    }

    async fn asker(&self) -> Caller {
        self.world.owner.with_key(&["usage.read"]).await
    }

    async fn check(&self, feature: &str) -> Value {
        let path = format!("/customers/{}/entitlements/{feature}", text(&self.customer["id"]));
        self.asker().await.get(&path).await
    }
}

/// Whether it is allowed, and what was used, of how much, and is left.
fn summary(check: &Value) -> String {
    ["allowed", "used", "limit", "remaining"].map(|name| check[name].to_string()).join(" ")
}

#[tokio::test]
async fn a_limit_is_counted_down_and_begins_anew() {
    let mut sold = Sold::new().await;
    let (plan, subscription) = sold
        .subscribe(&[json!({"feature_id": sold.calls["id"], "usage_limit": 100, "usage_reset_period": "day",
            "is_enabled": true, "is_soft_limit": false, "static_value": null})])
        .await;
    let shown = sold.world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await["features"][0].clone();
    assert_eq!(
        shown,
        json!({"feature_id": sold.calls["id"], "name": "Calls", "lookup_key": "calls", "type": "meter",
            "meter_id": sold.calls["meter_id"], "is_enabled": true, "usage_limit": 100, "usage_reset_period": "day",
            "is_soft_limit": false, "rollover_limit": null, "static_value": null, "is_overridden": false})
    );
    assert_eq!(subscription["entitlements"], json!([shown]));
    assert_eq!(sold.world.owner.get("/plans").await["data"][0]["features"], json!([shown]));

    sold.world.advance_to("2025-01-03T12:00:00Z").await;
    sold.track(7, "2025-01-02T23:59:59.999Z").await; // of the day before
    assert_eq!(summary(&sold.check("calls").await), "true 0 100 100");
    sold.track(60, "2025-01-03T00:00:00Z").await;
    sold.track(39, "2025-01-03T11:00:00Z").await;
    let check = sold.check("calls").await;
    assert_eq!(summary(&check), "true 99 100 1");
    assert_eq!(
        (&check["period_start"], &check["resets_at"]),
        (&json!("2025-01-03T00:00:00Z"), &json!("2025-01-04T00:00:00Z"))
    );
    assert_eq!(check["subscription_ids"], json!([subscription["id"]]));
    sold.track(1, "2025-01-03T12:00:00Z").await;
    assert_eq!(summary(&sold.check("calls").await), "false 100 100 0");

    // So much of it.
    let asker = sold.asker().await;
    for (quantity, feature, allowed) in [("0", "calls", true), ("1", "calls", false), ("0.5", "calls", false)]
    {
        let path =
            format!("/entitlements/check?customer_external_id=acme&feature={feature}&quantity={quantity}");
        assert_eq!(asker.get(&path).await["allowed"], allowed, "{quantity}");
    }
    sold.world.advance_to("2025-01-04T00:00:00Z").await;
    assert_eq!(summary(&sold.check("calls").await), "true 0 100 100");

    // What a plan grants is changed for its subscriptions at once.
    let path = format!("/plans/{}/features/{}", text(&plan["id"]), text(&sold.calls["id"]));
    let soft = sold
        .world
        .owner
        .changed(Method::PUT, &path, json!({"is_soft_limit": true, "usage_reset_period": null}))
        .await;
    assert_eq!((&soft["usage_limit"], &soft["usage_reset_period"]), (&json!(100), &Value::Null));
    let check = sold.check("calls").await;
    assert_eq!(summary(&check), "true 107 100 0", "with the billing period, and past a soft limit");
    assert_eq!(check["resets_at"], "2025-02-01T00:00:00Z");
    sold.world.owner.changed(Method::PUT, &path, json!({"usage_limit": null})).await;
    let check = sold.check("calls").await;
    assert_eq!((summary(&check), &check["is_unlimited"]), ("true 107 null null".into(), &json!(true)));
    sold.world.owner.changed(Method::PUT, &path, json!({"is_enabled": false})).await;
    assert_eq!(summary(&sold.check("calls").await), "false 0 0 0");
    assert_eq!(sold.world.owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(sold.world.owner.call(Method::DELETE, &path, None).await.0, 404);
    assert_eq!(summary(&sold.check("calls").await), "false 0 0 0");
}

#[tokio::test]
async fn what_is_left_rolls_over_to_the_next_window() {
    let mut sold = Sold::new().await;
    let grant = json!({"feature_id": sold.calls["id"], "usage_limit": 100, "usage_reset_period": "day", "rollover_limit": 30});
    sold.subscribe(&[grant]).await;
    sold.track(80, "2025-01-01T00:00:00Z").await;
    let check = sold.check("calls").await;
    assert_eq!((summary(&check), check["rolled_over"].to_string()), ("true 80 100 20".into(), "0".into()));
    sold.world.advance_to("2025-01-02T00:00:00Z").await;
    let check = sold.check("calls").await;
    assert_eq!((summary(&check), check["rolled_over"].to_string()), ("true 0 120 120".into(), "20".into()));
    sold.track(110, "2025-01-02T00:00:00Z").await;
    assert_eq!(summary(&sold.check("calls").await), "true 110 120 10");
    sold.world.advance_to("2025-01-03T00:00:00Z").await;
    assert_eq!(summary(&sold.check("calls").await), "true 0 100 100", "the day's own limit was used up");
    sold.world.advance_to("2025-01-04T00:00:00Z").await;
    assert_eq!(summary(&sold.check("calls").await), "true 0 130 130", "no more than its bound");
}

#[tokio::test]
async fn several_subscriptions_are_merged() {
    let mut sold = Sold::new().await;
    let grants = |sold: &Sold, limit: u32, sso: bool, region: &str| {
        [
            json!({"feature_id": sold.calls["id"], "usage_limit": limit}),
            json!({"feature_id": sold.sso["id"], "is_enabled": sso}),
            json!({"feature_id": sold.region["id"], "static_value": region}),
        ]
    };
    let (_, first) = sold.subscribe(&grants(&sold, 100, true, "eu")).await;
    let (_, second) = sold.subscribe(&grants(&sold, 50, false, "us")).await;
    sold.track(120, "2025-01-01T00:00:00Z").await;
    assert_eq!(summary(&sold.check("calls").await), "true 120 150 30");
    let sso = sold.check("sso").await;
    assert_eq!(
        (summary(&sso), &sso["subscription_ids"]),
        ("true null null null".into(), &json!([first["id"]]))
    );
    assert_eq!(sold.check("region").await["static_value"], "us", "the newest says");

    let asker = sold.asker().await;
    let all = asker.get(&format!("/customers/{}/entitlements", text(&sold.customer["id"]))).await;
    let keys = all["data"].as_array().unwrap().iter().map(|row| text(&row["lookup_key"]));
    assert_eq!(
        (keys.collect::<Vec<_>>(), &all["meta"]["total"]),
        (vec!["region", "sso", "calls"], &json!(3))
    );
    assert_eq!(all["data"][2], sold.check("calls").await);
    let one =
        asker.get(&format!("/subscriptions/{}/entitlements?page_size=1&page=3", text(&first["id"]))).await;
    assert_eq!(summary(&one["data"][0]), "false 120 100 0", "by itself");

    let cancel = format!("/subscriptions/{}/cancel", text(&second["id"]));
    sold.world.owner.changed(Method::POST, &cancel, json!({"cancel_at_period_end": true})).await;
    assert_eq!(sold.check("region").await["static_value"], "us", "it runs to its end");
    sold.world.advance_to("2025-02-01T00:00:00Z").await;
    assert_eq!(sold.check("region").await["static_value"], "eu");
    assert_eq!(summary(&sold.check("calls").await), "true 0 100 100");
}

#[tokio::test]
async fn one_subscription_can_have_it_otherwise() {
    let sold = Sold::new().await;
    let (plan, subscription) =
        sold.subscribe(&[json!({"feature_id": sold.calls["id"], "usage_limit": 100})]).await;
    let path = |feature: &Value| {
        format!("/subscriptions/{}/entitlements/{}", text(&subscription["id"]), text(&feature["id"]))
    };
    let more = sold.world.owner.changed(Method::PUT, &path(&sold.calls), json!({"usage_limit": 500})).await;
    assert_eq!((&more["usage_limit"], &more["is_overridden"]), (&json!(500), &json!(true)));
    assert_eq!(summary(&sold.check("calls").await), "true 0 500 500");
    // What is left out follows the plan.
    let of_plan = format!("/plans/{}/features/{}", text(&plan["id"]), text(&sold.calls["id"]));
    sold.world.owner.changed(Method::PUT, &of_plan, json!({"usage_limit": 7, "is_soft_limit": true})).await;
    let check = sold.check("calls").await;
    assert_eq!((summary(&check), &check["is_soft_limit"]), ("true 0 500 500".into(), &json!(true)));
    sold.world.owner.changed(Method::PUT, &path(&sold.calls), json!({"usage_limit": null})).await;
    assert_eq!(summary(&sold.check("calls").await), "true 0 null null");

    // It can have what the plan does not.
    assert_eq!(sold.check("sso").await["allowed"], false);
    sold.world.owner.changed(Method::PUT, &path(&sold.sso), json!({})).await;
    sold.world.owner.changed(Method::PUT, &path(&sold.region), json!({"static_value": 7})).await;
    assert_eq!(sold.check("sso").await["allowed"], true);
    assert_eq!(sold.check("region").await["static_value"], 7);
    let shown = sold.world.owner.get(&format!("/subscriptions/{}", text(&subscription["id"]))).await;
    assert_eq!(shown["entitlements"].as_array().unwrap().len(), 3);

    for feature in [&sold.calls, &sold.sso] {
        assert_eq!(sold.world.owner.call(Method::DELETE, &path(feature), None).await.0, 204);
        assert_eq!(sold.world.owner.call(Method::DELETE, &path(feature), None).await.0, 404);
    }
    assert_eq!(summary(&sold.check("calls").await), "true 0 7 7");
    assert_eq!(sold.check("sso").await["allowed"], false);
}

#[tokio::test]
async fn asking_needs_the_scope_and_names_what_there_is() {
    let sold = Sold::new().await;
    let asker = sold.asker().await;
    let id = text(&sold.customer["id"]);
    for (path, expected) in [
        (format!("/customers/{id}/entitlements/calls"), 200), // not granted, and said so
        (format!("/customers/{id}/entitlements/tennis"), 404),
        ("/customers/00000000-0000-7000-8000-000000000000/entitlements/calls".into(), 404),
        ("/customers/acme/entitlements/calls".into(), 404),
        ("/entitlements/check?customer_external_id=acme&feature=calls".into(), 200),
        (format!("/entitlements/check?customer_id={id}&feature=calls"), 200),
        ("/entitlements/check?customer_external_id=nobody&feature=calls".into(), 404),
        ("/entitlements/check?customer_external_id=acme&feature=tennis".into(), 404),
    ] {
        let (status, answer) = asker.call(Method::GET, &path, None).await;
        assert_eq!(status, expected, "{path}: {answer}");
        if status == 200 {
            assert_eq!(summary(&answer), "false 0 0 0", "{path}");
        }
    }
    for (query, expected) in [
        ("feature=calls", "customer_external_id"),
        ("customer_external_id=acme", "feature"),
        ("customer_external_id=acme&feature=calls&quantity=-1", "quantity"),
        ("customer_external_id=acme&feature=calls&quantity=x", "quantity"),
        ("customer_external_id=acme&feature=calls&amount=1", "amount"),
    ] {
        let (status, answer) = asker.call(Method::GET, &format!("/entitlements/check?{query}"), None).await;
        assert_eq!((status, fields(&answer)), (422, vec![expected]));
    }
    let sender = sold.world.owner.with_key(&["usage.write"]).await;
    let path = "/entitlements/check?customer_external_id=acme&feature=calls";
    assert_eq!(sender.call(Method::GET, path, None).await.0, 403);
    let (plan, _) = sold.subscribe(&[]).await;
    let path = format!("/plans/{}/features", text(&plan["id"]));
    assert_eq!(asker.post(&path, json!({"feature_id": sold.calls["id"]})).await.0, 403);
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_by_field() {
    let sold = Sold::new().await;
    let (plan, _) = sold.subscribe(&[json!({"feature_id": sold.calls["id"]})]).await;
    let path = format!("/plans/{}/features", text(&plan["id"]));
    for (body, expected) in [
        (json!({}), "feature_id"),
        (json!({"feature_id": "x"}), "feature_id"),
        (json!({"feature_id": plan["id"]}), "feature_id"),
        (json!({"feature_id": sold.sso["id"], "usage_limit": 1}), "usage_limit"),
        (json!({"feature_id": sold.sso["id"], "static_value": "on"}), "static_value"),
        (json!({"feature_id": sold.region["id"]}), "static_value"),
        (json!({"feature_id": sold.region["id"], "static_value": {"a": 1}}), "static_value"),
        (json!({"feature_id": sold.sso["id"], "usage_limit": -1}), "usage_limit"),
        (json!({"feature_id": sold.sso["id"], "rollover_limit": 1}), "usage_limit"),
        (json!({"feature_id": sold.sso["id"], "usage_reset_period": "hour"}), "usage_reset_period"),
        (json!({"feature_id": sold.sso["id"], "limit": 1}), "limit"),
    ] {
        let (status, answer) = sold.world.owner.post(&path, body.clone()).await;
        assert_eq!((status, fields(&answer)), (422, vec![expected]), "{body}");
    }
    let (status, answer) = sold.world.owner.post(&path, json!({"feature_id": sold.calls["id"]})).await;
    assert_eq!((status, fields(&answer)), (409, vec!["feature_id"]), "it has it already");
    let feature = format!("/features/{}", text(&sold.calls["id"]));
    let (status, answer) = sold.world.owner.call(Method::DELETE, &feature, None).await;
    assert_eq!((status, &answer["code"]), (409, &json!("feature_in_use")));
    let features = sold.world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await["features"].clone();
    assert_eq!(features.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_feature_that_is_gone_is_worth_nothing_and_breaks_nothing() {
    let sold = Sold::new().await;
    let (_, subscription) =
        sold.subscribe(&[json!({"feature_id": sold.region["id"], "static_value": "eu"})]).await;
    let owner = &sold.world.owner;
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    let feature = text(&sold.sso["id"]);
    owner.changed(Method::PUT, &format!("{path}/entitlements/{feature}"), json!({"is_enabled": true})).await;
    let keys = |list: &Value| {
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| text(&one["lookup_key"]).to_owned())
            .collect::<Vec<_>>()
    };
    let lists =
        [format!("{path}/entitlements"), format!("/customers/{}/entitlements", text(&sold.customer["id"]))];
    for list in &lists {
        assert_eq!(keys(&owner.get(list).await), ["region", "sso"]);
    }
    assert_eq!(owner.call(Method::DELETE, &format!("/features/{feature}"), None).await.0, 204);
    for list in &lists {
        assert_eq!(keys(&owner.get(list).await), ["region"]);
    }
    assert_eq!(owner.get("/subscriptions").await["meta"]["total"], 1);
    let shown = owner.get(&path).await["entitlements"].clone();
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "{shown}");
    for action in ["pause", "resume", "cancel"] {
        owner.changed(Method::POST, &format!("{path}/{action}"), json!({})).await;
    }
}
