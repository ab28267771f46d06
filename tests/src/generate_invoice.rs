//! Invoices asked for: of what is due, at once; of nothing else, and of nothing twice.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, figures, text};

async fn generate(world: &World, subscription: &Value) -> (u16, Value) {
    let path = format!("/subscriptions/{}/generate-invoice", text(&subscription["id"]));
    world.owner.call(Method::POST, &path, None).await
}

async fn subscribed(world: &World, plan: &Value, fields: Value) -> Value {
    let customer = world.customer().await;
    let mut body = json!({"customer_id": customer["id"], "plan_id": plan["id"]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    world.owner.created("/subscriptions", body).await
}

async fn count(world: &World) -> Value {
    world.owner.get("/invoices").await["meta"]["total"].clone()
}

#[tokio::test]
async fn what_is_due_is_invoiced_at_once_and_once() {
    let mut world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 31, "in_advance": true})]).await;
    let subscription = subscribed(&world, &plan, json!({"start_date": "2025-01-01"})).await;
    let (status, invoice) = generate(&world, &subscription).await;
    assert_eq!(
        (status, &invoice["status"], figures(&invoice)),
        (201, &json!("DRAFT"), "31.00 0.00 31.00 31.00".into())
    );
    assert_eq!(invoice["subscription_id"], subscription["id"]);
    let (status, again) = generate(&world, &subscription).await;
    assert_eq!((status, &again), (200, &invoice), "the same draft");

    world.advance_to("2025-01-10T00:00:00Z").await;
    assert_eq!(count(&world).await, 1, "the tick found nothing to do");
    let (status, problem) = generate(&world, &subscription).await;
    assert_eq!((status, &problem["code"]), (409, &json!("nothing_due")));
    assert_eq!(problem["detail"], "nothing is due: the next bill falls due at 2025-02-01T00:00:00Z");
    world.advance_to("2025-02-01T00:00:00Z").await;
    assert_eq!(count(&world).await, 2, "the month after is billed as ever");
}

#[tokio::test]
async fn all_that_fell_due_is_caught_up_with() {
    let world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 10})]).await;
    let subscription = subscribed(&world, &plan, json!({"start_date": "2024-10-15"})).await;
    let (status, newest) = generate(&world, &subscription).await;
    assert_eq!((status, &newest["period_start"]), (201, &json!("2024-11-15T00:00:00Z")));
    assert_eq!(count(&world).await, 2, "October's and November's");
}

#[tokio::test]
async fn what_is_not_due_is_not_billed() {
    let mut world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 10})]).await;
    let trial = json!({"start_date": "2025-01-01", "trial_end_date": "2025-01-15"});
    let subscription = subscribed(&world, &plan, trial).await;
    let detail = async |world: &World| {
        let (status, problem) = generate(world, &subscription).await;
        assert_eq!((status, &problem["code"]), (409, &json!("nothing_due")));
        text(&problem["detail"]).to_owned()
    };
    assert_eq!(detail(&world).await, "nothing is due: the trial ends at 2025-01-15T00:00:00Z");
    let cancel = format!("/subscriptions/{}/cancel", text(&subscription["id"]));
    world.advance_to("2025-01-16T00:00:00Z").await;
    assert_eq!(detail(&world).await, "nothing is due: the next bill falls due at 2025-02-15T00:00:00Z");
    world.owner.changed(Method::POST, &cancel, json!({})).await;
    world.advance_to("2025-01-17T00:00:00Z").await;
    assert_eq!(detail(&world).await, "there is nothing to be invoiced any more");
    assert_eq!(count(&world).await, 1, "the last one, of a day");
    let reader = world.owner.with_key(&["billing.read"]).await;
    let path = format!("/subscriptions/{}/generate-invoice", text(&subscription["id"]));
    assert_eq!(reader.call(Method::POST, &path, None).await.0, 403);
}
