//! What a check and an event at the door cost, and that nothing they remember is ever out of date.

use fluxrate_bench::{Scale, checks, report::Report};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Caller, World, text};

#[tokio::test]
async fn a_check_and_an_event_cost_what_is_documented() {
    let mut report = Report::default();
    checks::measure(&mut report, Scale::QUICK).await.unwrap();
    let lines = report.lines();
    let figure = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(&format!("bench {name} ")));
        line.unwrap_or_else(|| panic!("{name} is not measured")).to_owned()
    };
    for (name, units) in [
        ("rru_check_usage_dense", "1"),
        ("rru_check_usage_medium", "1"),
        ("rru_check_dense", "6"),
        ("rru_check_sparse", "6"),
        ("rru_check_external", "6"),
        ("rru_check_first", "8"),
        ("rru_check_first_external", "7"),
        ("rru_track", "3"),
    ] {
        assert_eq!(figure(name), format!("{units} units"), "{name}");
    }
}

/// Somebody who checks and tracks, over one process, which remembers.
struct Asked {
    world: World,
    feature: Value,
    plan: Value,
    customer: Value,
    asker: Caller,
}

impl Asked {
    async fn new() -> Self {
        let world = World::new().await;
        let feature = world.meter("SUM").await;
        let plan = world.plan(&[]).await;
        let grant = json!({"feature_id": feature["id"], "usage_limit": 100});
        world.owner.created(&format!("/plans/{}/features", text(&plan["id"])), grant).await;
        let customer = world.customer().await;
        world.subscribe(&customer, &plan).await;
        let asker = world.owner.with_key(&["usage.read", "usage.write"]).await;
        let asked = Self { world, feature, plan, customer, asker };
        assert_eq!(asked.limit().await, "100");
        assert_eq!(asked.track(&asked.feature).await, 201);
        asked
    }

    async fn checked(&self) -> Answer {
        let path = "/entitlements/check?customer_external_id=acme&feature=calls";
        self.asker.call(Method::GET, path, None).await
    }

    async fn limit(&self) -> String {
        let (status, answer) = self.checked().await;
        assert_eq!(status, 200, "{answer}");
        answer["limit"].to_string()
    }

    async fn track(&self, feature: &Value) -> u16 {
        let body = json!({"meter_token": feature["meter_token"], "customer_external_id": "acme",
            "quantity": 1, "timestamp": "2025-01-01T00:00:00Z"});
        self.asker.post("/sdk/track", body).await.0
    }

    fn granted(&self) -> String {
        format!("/plans/{}/features/{}", text(&self.plan["id"]), text(&self.feature["id"]))
    }
}

#[tokio::test]
async fn what_a_plan_or_a_subscription_grants_holds_at_once() {
    let asked = Asked::new().await;
    let owner = &asked.world.owner;
    owner.changed(Method::PUT, &asked.granted(), json!({"usage_limit": 7})).await;
    assert_eq!(asked.limit().await, "7");
    let list = owner.get(&format!("/customers/{}/subscriptions", text(&asked.customer["id"]))).await;
    let id = text(&list["data"][0]["id"]);
    let own = format!("/subscriptions/{id}/entitlements/{}", text(&asked.feature["id"]));
    owner.changed(Method::PUT, &own, json!({"usage_limit": 9})).await;
    assert_eq!(asked.limit().await, "9");
    assert_eq!(owner.call(Method::DELETE, &own, None).await.0, 204);
    assert_eq!(owner.call(Method::DELETE, &asked.granted(), None).await.0, 204);
    assert_eq!(asked.checked().await.1["allowed"], false);
    let path = format!("/features/{}", text(&asked.feature["id"]));
    owner.changed(Method::PUT, &path, json!({"name": "Requests"})).await;
    assert_eq!(asked.checked().await.1["name"], "Requests");
}

#[tokio::test]
async fn a_feature_that_took_the_place_of_another_is_the_one_that_is_checked() {
    let asked = Asked::new().await;
    let owner = &asked.world.owner;
    assert_eq!(owner.call(Method::DELETE, &asked.granted(), None).await.0, 204);
    let path = format!("/features/{}", text(&asked.feature["id"]));
    assert_eq!(owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(asked.checked().await.0, 404);
    assert_eq!(asked.track(&asked.feature).await, 404);
    let feature = asked.world.meter("COUNT").await;
    let (_, answer) = asked.checked().await;
    assert_eq!((&answer["feature_id"], &answer["used"]), (&feature["id"], &json!(0)));
    assert_eq!(asked.track(&feature).await, 201);
}

#[tokio::test]
async fn an_external_id_leads_to_the_customer_who_has_it_now() {
    let asked = Asked::new().await;
    let owner = &asked.world.owner;
    let path = format!("/customers/{}", text(&asked.customer["id"]));
    owner.changed(Method::PUT, &path, json!({"external_id": "acme-before"})).await;
    assert_eq!(asked.checked().await.0, 404);
    let other = owner
        .created("/customers", json!({"name": "Other", "email": "other@acme.example", "external_id": "acme"}))
        .await;
    assert_eq!(asked.checked().await.1["subscription_ids"], json!([]));
    let path = format!("/customers/{}", text(&other["id"]));
    assert_eq!(owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(asked.checked().await.0, 404);
}

#[tokio::test]
async fn a_key_that_was_deleted_fails_at_once() {
    let asked = Asked::new().await;
    let keys = asked.world.owner.get("/api-keys").await;
    let path = format!("/api-keys/{}", text(&keys["data"][0]["id"]));
    assert_eq!(asked.world.owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(asked.checked().await.0, 401);
    assert_eq!(asked.track(&asked.feature).await, 401);
}
