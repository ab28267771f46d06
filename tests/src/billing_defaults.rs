//! What an organization sets for subscriptions that do not say: whose midnights count, and how parts are billed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, text};

fn billed(subscription: &Value) -> [String; 4] {
    let proration = &subscription["proration"];
    [
        text(&subscription["time_zone"]).to_owned(),
        format!("{} {}", text(&proration["unit"]), text(&proration["mode"])),
        text(&subscription["current_period_start"]).to_owned(),
        text(&subscription["current_period_end"]).to_owned(),
    ]
}

#[tokio::test]
async fn a_subscription_that_does_not_say_is_billed_as_the_organization_set() {
    let mut world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-15",
        "billing_time": "calendar"});
    let before = world.owner.created("/subscriptions", body.clone()).await;
    let utc = ["UTC", "second prorate", "2025-01-15T00:00:00Z", "2025-02-01T00:00:00Z"];
    assert_eq!(billed(&before), utc);

    let set = json!({"time_zone": "Asia/Tokyo", "proration": {"unit": "day", "mode": "full"}});
    let organization = world.settings(set.clone()).await;
    assert_eq!(
        (&organization["time_zone"], &organization["proration"]),
        (&set["time_zone"], &set["proration"])
    );
    assert_eq!(world.owner.get("/organization").await, organization);
    let half = world.settings(json!({"proration": {"mode": "full"}})).await;
    assert_eq!(half["proration"], set["proration"], "the unit stays");
    let other = world.settings(json!({"name": "Renamed"})).await;
    assert_eq!((&other["time_zone"], &other["proration"]), (&set["time_zone"], &set["proration"]));
    let tokyo = ["Asia/Tokyo", "day full", "2025-01-14T15:00:00Z", "2025-01-31T15:00:00Z"];
    for (own, expected, total) in [
        (json!({}), tokyo, "30.00"),
        (json!({"time_zone": "UTC"}), ["UTC", "day full", utc[2], utc[3]], "30.00"),
        (json!({"proration": {"unit": "day"}}), tokyo, "30.00"),
        (
            json!({"proration": {"mode": "prorate"}}),
            ["Asia/Tokyo", "day prorate", tokyo[2], tokyo[3]],
            "16.45",
        ),
        (
            json!({"time_zone": "UTC", "proration": {"mode": "none"}}),
            ["UTC", "day none", utc[2], utc[3]],
            "null",
        ),
    ] {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let (status, preview) = world.owner.post("/subscriptions/preview", body.clone()).await;
        assert_eq!(status, 200);
        let period = &preview["periods"][0];
        let previewed = [text(&period["start"]), text(&period["end"])];
        assert_eq!(
            (previewed, preview["invoices"][0]["total"].to_string()),
            ([expected[2], expected[3]], total.into()),
            "{own}"
        );
        let subscription = world.owner.created("/subscriptions", body).await;
        assert_eq!(billed(&subscription), expected, "{own}");
    }
    let path = format!("/subscriptions/{}", text(&before["id"]));
    assert_eq!(billed(&world.owner.get(&path).await), utc, "what was there stays");
    world.advance_to("2025-02-01T00:01:00Z").await;
    let list = world.owner.get(&format!("{path}/invoices")).await;
    assert_eq!(list["data"][0]["total"].to_string(), "16.45");
}

#[tokio::test]
async fn what_cannot_be_set_is_named() {
    let world = World::new().await;
    let organization = world.owner.get("/organization").await;
    assert_eq!(organization["time_zone"], "UTC");
    assert_eq!(organization["proration"], json!({"unit": "second", "mode": "prorate"}));
    for (body, field) in [
        (json!({"time_zone": "Mars/Olympus"}), "time_zone"),
        (json!({"time_zone": "+02:00"}), "time_zone"),
        (json!({"time_zone": ""}), "time_zone"),
        (json!({"proration": {"unit": "hour"}}), "proration.unit"),
        (json!({"proration": []}), "proration"),
        (json!({"proration": {"mode": "half"}}), "proration.mode"),
        (json!({"proration": "day"}), "proration"),
    ] {
        let (status, answer) = world.owner.call(Method::PATCH, "/organization", Some(body.clone())).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]), "{body}");
    }
    assert_eq!(world.owner.get("/organization").await, organization);
}
