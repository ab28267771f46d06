//! What cannot be billed exactly: it is said, told once, keeps nothing else from being done, and can be mended.

use app::sweep;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{PASSWORD, World, fields, text};

/// A subscription of 30 a month and 1,000 a call.
struct Dear {
    world: World,
    meter: Value,
    customer: Value,
    plan: Value,
    subscription: String,
}

const DETAIL: &str = "`Calls`: the amount is too large to be computed exactly";

impl Dear {
    async fn new() -> Self {
        let mut world = World::new().await;
        let meter = world.meter("SUM").await;
        let usage = json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 1000,
            "display_name": "Calls"});
        let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30}), usage]).await;
        let customer = world.customer().await;
        let subscription = world.subscribe(&customer, &plan).await;
        world.advance_to("2025-01-15T00:00:00Z").await;
        let subscription = format!("/subscriptions/{}", text(&subscription["id"]));
        Self { world, meter, customer, plan, subscription }
    }

    async fn track(&self, quantity: &str, key: &str) {
        let body = json!({"meter_token": self.meter["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "timestamp": "2025-01-10T00:00:00Z", "idempotency_key": key});
        self.world.owner.created("/sdk/track", body).await;
        self.world.drain().await;
    }

    /// Takes back the call that nobody can pay.
    async fn mend(&self) {
        let body = json!({"meter_id": self.meter["meter_id"], "customer_external_id": "acme",
            "idempotency_key": "huge", "action": "void"});
        assert_eq!(self.world.owner.post("/usage/corrections", body).await.0, 202);
        self.world.drain().await;
    }

    async fn refused(&self, path: &str, body: Option<Value>) {
        let (status, problem) = self.world.owner.call(Method::POST, path, body).await;
        assert_eq!((status, &problem["code"]), (409, &json!("cannot_be_billed")), "{path}: {problem}");
        assert_eq!(problem["detail"], DETAIL);
    }

    async fn error(&self) -> Value {
        self.world.owner.get(&self.subscription).await["billing_error"].clone()
    }

    async fn told(&self, name: &str) -> usize {
        self.world.drain().await;
        self.world.told_by(name).len()
    }

    async fn invoices(&self) -> Value {
        self.world.owner.get("/invoices").await["data"].clone()
    }
}

#[tokio::test]
async fn a_bill_that_cannot_be_made_is_marked_and_put_off_until_it_can() {
    let mut dear = Dear::new().await;
    dear.track("1e22", "huge").await;
    assert_eq!(dear.error().await, Value::Null, "nothing is due");
    dear.world.advance_to("2025-02-01T00:02:00Z").await;
    let error = dear.error().await;
    let expected = json!({"code": "cannot_be_billed", "detail": DETAIL, "since": "2025-02-01T00:00:00Z",
        "period_start": "2025-01-01T00:00:00Z", "period_end": "2025-02-01T00:00:00Z",
        "next_attempt_at": "2025-02-01T00:05:00Z"});
    assert_eq!(error, expected);
    assert_eq!(dear.told("subscription.billing_failed").await, 1);
    let queued = sweep::close_periods(&dear.world.running.platform).await.unwrap();
    assert_eq!(queued, 0, "no sweep finds it before it is tried again");
    assert!(!dear.world.owner.get_local("queues").await.to_string().contains("reason"), "no dead letter");

    dear.world.advance_to("2025-02-01T00:06:00Z").await;
    assert_eq!(dear.error().await["next_attempt_at"], "2025-02-01T00:10:00Z");
    dear.world.advance_to("2025-02-05T00:00:00Z").await;
    let error = dear.error().await;
    assert_eq!((&error["since"], &error["detail"]), (&expected["since"], &expected["detail"]));
    assert_eq!(error["next_attempt_at"], "2025-02-05T18:40:00Z", "once a day");
    assert_eq!(dear.told("subscription.billing_failed").await, 1, "told once");
    assert_eq!(dear.invoices().await, json!([]));
    let generate = format!("{}/generate-invoice", dear.subscription);
    dear.refused(&generate, None).await;

    dear.mend().await;
    let (status, draft) = dear.world.owner.call(Method::POST, &generate, None).await;
    assert_eq!((status, draft["total"].to_string()), (201, "30.00".into()), "at once");
    assert_eq!(dear.error().await, Value::Null);
    dear.world.advance_to("2025-03-01T00:01:00Z").await;
    assert_eq!(dear.invoices().await.as_array().unwrap().len(), 2, "it goes on as ever");
}

#[tokio::test]
async fn a_change_makes_it_tried_again_at_once() {
    let mut dear = Dear::new().await;
    dear.track("1e22", "huge").await;
    dear.world.advance_to("2025-02-03T00:00:00Z").await;
    dear.mend().await;
    assert!(dear.error().await.is_object(), "not before it is tried again");
    let body = json!({"plan_id": dear.plan["id"], "at_period_end": true});
    let path = format!("{}/change-plan", dear.subscription);
    let changed = dear.world.owner.changed(Method::POST, &path, body).await;
    assert_eq!(
        (&changed["billing_error"], &changed["current_period_start"]),
        (&Value::Null, &json!("2025-02-01T00:00:00Z"))
    );
    assert_eq!(dear.invoices().await[0]["total"].to_string(), "30.00");

    // A change that does not mend it is made all the same.
    let mut dear = Dear::new().await;
    dear.track("1e22", "huge").await;
    dear.world.advance_to("2025-02-03T00:00:00Z").await;
    let path = format!("{}/cancel", dear.subscription);
    let canceled = dear.world.owner.changed(Method::POST, &path, json!({})).await;
    assert_eq!(canceled["billing_error"]["since"], "2025-02-01T00:00:00Z");
    assert_eq!(canceled["end_date"], "2025-02-03T00:00:00Z");
    dear.mend().await;
    dear.world.advance_to("2025-02-04T00:00:00Z").await;
    assert_eq!(dear.world.owner.get(&dear.subscription).await["status"], "CANCELED", "by itself");
    assert_eq!(dear.invoices().await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn previews_say_which_charge_it_is() {
    let dear = Dear::new().await;
    dear.track("1e22", "huge").await;
    let path = &dear.subscription;
    dear.refused(&format!("{path}/preview-invoice"), None).await;
    let body = json!({"plan_id": dear.plan["id"], "at_period_end": true});
    dear.refused(&format!("{path}/preview-change"), Some(body)).await;
    let plan = format!("/plans/{}", text(&dear.plan["id"]));
    let setup = json!({"type": "FIXED", "unit_price": 1});
    dear.world.owner.created(&format!("{plan}/charges"), setup).await;
    let (_, migrated) = dear.world.owner.post(&format!("{plan}/migrate/preview"), json!({})).await;
    let row = &migrated["data"][0];
    assert_eq!((&row["verdict"], &row["detail"]), (&json!("migrated"), &json!(DETAIL)));
    assert_eq!(row["migrated_invoices"], Value::Null);

    // What the request itself has is a fault of its own.
    dear.mend().await;
    let body = json!({"meter_token": dear.meter["meter_token"], "customer_external_id": "acme", "quantity": "1e13",
        "timestamp": "2025-01-15T12:00:00Z"});
    dear.world.owner.created("/sdk/track", body).await;
    dear.world.drain().await;
    let charges = dear.world.owner.get(&plan).await["charges"].clone();
    let body = json!({"overrides": [{"charge_id": charges[1]["id"], "unit_price": "1e12"}]});
    let (status, problem) = dear.world.owner.post(&format!("{path}/preview-change"), body).await;
    assert_eq!((status, fields(&problem)), (422, vec!["overrides"]), "{problem}");
    let mut body = json!({"plan_id": dear.plan["id"], "start_date": "2025-01-01", "usage": [
        {"meter_id": dear.meter["meter_id"], "timestamp": "2025-01-10T00:00:00Z", "quantity": "1e22"}]});
    let (status, problem) = dear.world.owner.post("/subscriptions/preview", body.clone()).await;
    assert_eq!((status, fields(&problem)), (422, vec!["usage"]));
    assert_eq!(problem["errors"][0]["detail"], DETAIL);
    body["usage"] = json!([]);
    body["overrides"] = json!([{"charge_id": charges[0]["id"], "unit_price": "1e12", "quantity": "1e12"}]);
    let (status, problem) = dear.world.owner.post("/subscriptions/preview", body).await;
    assert_eq!((status, fields(&problem)), (422, vec!["overrides"]));
}

#[tokio::test]
async fn a_draft_that_cannot_be_computed_stays_one_until_it_can() {
    let mut dear = Dear::new().await;
    dear.track("2", "fair").await;
    dear.world.advance_to("2025-02-01T00:10:00Z").await;
    dear.track("1e22", "huge").await;
    let draft = dear.invoices().await[0].clone();
    assert_eq!(draft["total"].to_string(), "2030.00", "listed as it was drafted");
    let path = format!("/invoices/{}", text(&draft["id"]));
    for what in ["", "/explain", "/pdf"] {
        let (status, problem) = dear.world.owner.call(Method::GET, &format!("{path}{what}"), None).await;
        assert_eq!((status, &problem["detail"]), (409, &json!(DETAIL)), "{what}");
    }
    for what in ["finalize", "recompute", "send-email"] {
        dear.refused(&format!("{path}/{what}"), None).await;
    }
    dear.world.advance_to("2025-02-02T00:00:00Z").await;
    assert_eq!(dear.told("invoice.finalization_failed").await, 1, "told once");
    let late = dear.invoices().await[0].clone();
    assert_eq!((&late["status"], &late["billing_error"]["detail"]), (&json!("DRAFT"), &json!(DETAIL)));
    assert_eq!(late["billing_error"]["since"], "2025-02-01T01:00:00Z");
    assert_eq!(late["scheduled_finalize_at"], late["billing_error"]["next_attempt_at"]);
    dear.world.advance_to("2025-03-02T00:00:00Z").await;
    let invoices = dear.invoices().await;
    assert_eq!(invoices[0]["status"], "OPEN", "the month after is not kept from being finalized");
    assert_eq!(invoices[1]["status"], "DRAFT");

    dear.mend().await;
    let opened = dear.world.owner.call(Method::POST, &format!("{path}/finalize"), None).await.1;
    assert_eq!((&opened["status"], &opened["billing_error"]), (&json!("OPEN"), &Value::Null));
    assert_eq!(opened["total"].to_string(), "2030.00");

    // Or it is given up.
    let mut dear = Dear::new().await;
    dear.track("2", "fair").await;
    dear.world.advance_to("2025-02-01T00:10:00Z").await;
    dear.track("1e22", "huge").await;
    dear.world.advance_to("2025-02-01T03:00:00Z").await;
    let path = format!("/invoices/{}", text(&dear.invoices().await[0]["id"]));
    let noted = dear.world.owner.changed(Method::PUT, &path, json!({"memo": "Sorry"})).await;
    assert_eq!(noted["memo"], "Sorry");
    let void = json!({"status": "VOID"});
    let void = dear.world.owner.changed(Method::PATCH, &format!("{path}/status"), void).await;
    assert_eq!((void["total"].to_string(), &void["billing_error"]), ("2030.00".into(), &Value::Null));
}

#[tokio::test]
async fn a_test_clock_goes_past_it() {
    let world = World::new().await;
    let body =
        json!({"email": "t@example.com", "password": PASSWORD, "organization_name": "Test", "mode": "TEST"});
    assert_eq!(world.anonymous().post("/auth/signup", body).await.0, 201);
    let caller = world.anonymous().logged_in("t@example.com").await;
    let meter = json!({"name": "Calls", "lookup_key": "calls", "type": "meter", "meter_name": "calls",
        "property_name": "n", "aggregation_type": "SUM"});
    let meter = caller.created("/features", meter).await;
    let plan = json!({"name": "Pro", "type": "USAGE", "billing_interval": "month", "currency": "USD"});
    let plan = caller.created("/plans", plan).await;
    let charge = json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 1000});
    caller.created(&format!("/plans/{}/charges", text(&plan["id"])), charge).await;
    let customer = json!({"name": "Acme", "email": "a@acme.example", "external_id": "acme"});
    let customer = caller.created("/customers", customer).await;
    let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01"});
    let subscription = caller.created("/subscriptions", body).await;
    let body = json!({"meter_name": "calls", "customer_external_id": "acme", "quantity": "1e22"});
    caller.created("/usage", body).await;
    world.drain().await;
    let (status, clock) = caller.post("/test-clock", json!({"advance_to": "2025-02-10T00:00:00Z"})).await;
    assert_eq!((status, &clock["now"]), (200, &json!("2025-02-10T00:00:00Z")), "{clock}");
    let subscription = caller.get(&format!("/subscriptions/{}", text(&subscription["id"]))).await;
    assert_eq!(subscription["billing_error"]["since"], "2025-02-01T00:00:00Z");
}

#[tokio::test]
async fn an_alert_looks_past_it() {
    let mut dear = Dear::new().await;
    dear.track("1e22", "huge").await;
    let fair = dear
        .world
        .owner
        .created(
            "/plans",
            json!({"name": "Fair", "type": "FIXED", "billing_interval": "month", "currency": "USD"}),
        )
        .await;
    dear.world
        .owner
        .created(&format!("/plans/{}/charges", text(&fair["id"])), json!({"type": "FIXED", "unit_price": 20}))
        .await;
    let fair = dear.world.subscribe(&dear.customer, &fair).await;
    let alert =
        json!({"name": "Spent", "type": "amount", "customer_id": dear.customer["id"], "thresholds": [10]});
    dear.world.owner.created("/alerts", alert).await;
    dear.world.drain().await;
    dear.world.advance_to("2025-01-16T00:00:00Z").await;
    let told = dear.world.told_by("alert.triggered");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["data"]["subscription_id"], fair["id"]);
}
