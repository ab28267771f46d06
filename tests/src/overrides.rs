//! Prices of one subscription in place of its plan's: billed, previewed and shown alike.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, text};

/// A plan of 10 seats at 5 and calls by tiers, with the ids of its two charges.
async fn sold(world: &World) -> (Value, Value, [Value; 2]) {
    let meter = world.meter("SUM").await;
    let tiers = json!([{"up_to": 100, "unit_price": "0.10"}, {"up_to": null, "unit_price": "0.05"}]);
    let plan = world
        .plan(&[
            json!({"type": "FIXED", "unit_price": 5, "quantity": 10}),
            json!({"type": "USAGE", "meter_id": meter["meter_id"], "charge_model": "graduated", "tiers": tiers,
                "included_units": 20, "minimum_amount": 1}),
        ])
        .await;
    let plan = world.owner.get(&format!("/plans/{}", text(&plan["id"]))).await;
    let charges = [plan["charges"][0]["id"].clone(), plan["charges"][1]["id"].clone()];
    (meter, plan, charges)
}

async fn track(world: &World, meter: &Value, quantity: u32) {
    let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": quantity,
        "timestamp": "2025-01-01T00:00:00Z", "idempotency_key": "one"});
    world.owner.created("/sdk/track", body).await;
    world.drain().await;
}

fn amounts(invoice: &Value, lines: &str, amount: &str) -> String {
    let lines = invoice[lines].as_array().unwrap().iter();
    lines.map(|line| line[amount].to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn own_prices_are_billed_as_previewed() {
    for (overrides, shown, expected) in [
        (json!([]), json!([]), "50.00 14.00"), // 200 − 20: 100 × 0.10 + 80 × 0.05
        (json!([{"charge_id": 0, "unit_price": 4}]), json!([[10, 4]]), "40.00 14.00"),
        (json!([{"charge_id": 0, "quantity": "2.5"}]), json!([[2.5, 5]]), "12.50 14.00"),
        (
            json!([{"charge_id": 1, "tiers": [{"up_to": null, "unit_price": 0.02}]}]),
            json!([[null, null]]),
            "50.00 3.60",
        ),
        (json!([{"charge_id": 1, "included_units": 0}]), json!([[null, null]]), "50.00 15.00"),
        (
            json!([{"charge_id": 1, "charge_model": "standard", "unit_price": 0.001}, {"charge_id": 0, "unit_price": 0}]),
            json!([[10, 0], [null, 0.001]]),
            "0.00 1.00", // 180 × 0.001, raised to the plan's minimum
        ),
        (
            json!([{"charge_id": 1, "charge_model": "package", "unit_price": 3, "package_size": 50}]),
            json!([[null, 3]]),
            "50.00 12.00",
        ),
    ] {
        let mut world = World::new().await;
        let (meter, plan, charges) = sold(&world).await;
        let customer = world.customer().await;
        let mut overrides = overrides;
        for one in overrides.as_array_mut().unwrap() {
            one["charge_id"] = charges[one["charge_id"].as_u64().unwrap() as usize].clone();
        }
        let mut body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
            "overrides": overrides});
        let subscription = world.owner.created("/subscriptions", body.clone()).await;
        let again = world.owner.get(&format!("/subscriptions/{}", text(&subscription["id"]))).await;
        assert_eq!(again, subscription, "as stored");
        let own = subscription["overrides"].as_array().unwrap();
        let own = own.iter().map(|one| json!([one["quantity"], one["unit_price"]])).collect::<Vec<_>>();
        assert_eq!(json!(own).to_string(), shown.to_string(), "{overrides}");

        track(&world, &meter, 200).await;
        body["usage"] =
            json!([{"meter_id": meter["meter_id"], "timestamp": "2025-01-01T00:00:00Z", "quantity": 200}]);
        let (status, preview) = world.owner.post("/subscriptions/preview", body).await;
        assert_eq!((status, amounts(&preview["invoices"][0], "lines", "amount")), (200, expected.into()));
        let path = format!("/subscriptions/{}/preview-invoice", text(&subscription["id"]));
        let (_, next) = world.owner.call(Method::POST, &path, None).await;
        assert_eq!(amounts(&next, "lines", "amount"), expected, "{overrides}");
        world.advance_to("2025-02-01T02:00:00Z").await;
        let id = world.owner.get("/invoices").await["data"][0]["id"].clone();
        let invoice = world.owner.get(&format!("/invoices/{}", text(&id))).await;
        assert_eq!(invoice["status"], "OPEN");
        assert_eq!(amounts(&invoice, "line_items", "line_total"), expected, "{overrides}");
    }
}

#[tokio::test]
async fn a_change_of_quantity_keeps_the_price_and_a_change_of_plan_does_not() {
    let mut world = World::new().await;
    let (_, plan, [seats, _]) = sold(&world).await;
    let customer = world.customer().await;
    let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
        "overrides": [{"charge_id": seats, "unit_price": 4}]});
    let subscription = world.owner.created("/subscriptions", body).await;
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    world.advance_to("2025-01-02T00:00:00Z").await;
    let body = json!({"quantity": 3, "charge_id": seats});
    let changed = world.owner.changed(Method::POST, &format!("{path}/change-quantity"), body).await;
    let own = &changed["overrides"][0];
    assert_eq!((own["quantity"].to_string(), own["unit_price"].to_string()), ("3".into(), "4".into()));
    let body = json!({"plan_id": plan["id"]});
    let changed = world.owner.changed(Method::POST, &format!("{path}/change-plan"), body).await;
    assert_eq!(changed["overrides"], json!([]));
}

#[tokio::test]
async fn an_override_is_checked_with_its_charge() {
    let world = World::new().await;
    let (_, plan, [seats, calls]) = sold(&world).await;
    let unique = json!({"name": "Users", "lookup_key": "users", "type": "meter", "meter_name": "users",
        "property_name": "n", "aggregation_type": "UNIQUE_COUNT"});
    let unique = world.owner.created("/features", unique).await;
    let charge = json!({"type": "USAGE", "meter_id": unique["meter_id"], "unit_price": 1});
    let path = format!("/plans/{}/charges", text(&plan["id"]));
    let users = world.owner.created(&path, charge).await["id"].clone();
    let customer = world.customer().await;
    let nobody = json!("00000000-0000-7000-8000-000000000000");
    for (overrides, field) in [
        (json!([{"charge_id": nobody, "unit_price": 1}]), "overrides[0].charge_id"),
        (json!([{"charge_id": "x", "unit_price": 1}]), "overrides[0].charge_id"),
        (json!([{"unit_price": 1}]), "overrides[0].charge_id"),
        (json!([{"charge_id": seats}, {"charge_id": seats}]), "overrides[1].charge_id"),
        (json!([{"charge_id": seats, "price": 1}]), "overrides[0].price"),
        (json!([{"charge_id": seats, "unit_price": -1}]), "overrides[0].unit_price"),
        (json!([{"charge_id": seats, "rate": 1}]), "overrides[0].rate"),
        (json!([{"charge_id": seats, "filters": []}]), "overrides[0].filters"),
        (json!([{"charge_id": calls, "quantity": 1}]), "overrides[0].quantity"),
        (json!([{"charge_id": calls, "unit_price": 1}]), "overrides[0].unit_price"),
        (json!([{"charge_id": calls, "charge_model": "standard"}]), "overrides[0].unit_price"),
        (json!([{"charge_id": calls, "maximum_amount": "0.5"}]), "overrides[0].minimum_amount"),
        (
            json!([{"charge_id": seats}, {"charge_id": calls, "tiers": [{"up_to": 5, "unit_price": 1}]}]),
            "overrides[1].tiers[0].up_to",
        ),
        (json!([{"charge_id": users, "charge_model": "percentage", "rate": 1}]), "overrides[0].charge_model"),
    ] {
        let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "overrides": overrides});
        for path in ["/subscriptions", "/subscriptions/preview"] {
            let (status, answer) = world.owner.post(path, body.clone()).await;
            assert_eq!((status, fields(&answer)), (422, vec![field]), "{path} {body}: {answer}");
        }
    }
    assert_eq!(world.owner.get("/subscriptions").await["meta"]["total"], 0);
}

/// A subscription to 10 seats at 5 and calls, at 11 January, with what it is asked to change.
struct Running {
    world: World,
    path: String,
    charges: [Value; 2],
}

impl Running {
    async fn new() -> Self {
        let mut world = World::new().await;
        let (meter, plan, charges) = sold(&world).await;
        let customer = world.customer().await;
        let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
            "proration": {"unit": "day"}});
        let subscription = world.owner.created("/subscriptions", body).await;
        track(&world, &meter, 200).await;
        world.advance_to("2025-01-11T00:00:00Z").await;
        Self { world, path: format!("/subscriptions/{}", text(&subscription["id"])), charges }
    }

    async fn replace(&self, body: Value) -> Value {
        self.world.owner.changed(Method::PUT, &format!("{}/overrides", self.path), body).await
    }

    async fn previewed(&self, action: &str, body: Value) -> String {
        let path = format!("{}/{action}", self.path);
        let preview = self.world.owner.changed(Method::POST, &path, body).await;
        let first = preview["invoices"].get(0).unwrap_or(&preview);
        amounts(first, "lines", "amount")
    }

    async fn newest(&self) -> String {
        let id = self.world.owner.get("/invoices").await["data"][0]["id"].clone();
        let invoice = self.world.owner.get(&format!("/invoices/{}", text(&id))).await;
        amounts(&invoice, "line_items", "line_total")
    }
}

#[tokio::test]
async fn own_prices_of_a_running_subscription_are_replaced() {
    for (fields, expected) in [
        (json!({}), "16.13 67.74 14.00"), // 50 × 10/31, 100 × 21/31
        (json!({"proration": {"mode": "none"}}), "50.00 14.00"),
        (json!({"proration": {"mode": "full"}}), "100.00 14.00"),
        (json!({"when": "period_end"}), "50.00 14.00"),
    ] {
        let mut running = Running::new().await;
        let own = json!([{"charge_id": running.charges[0], "unit_price": 10}]);
        let mut body = json!({"overrides": own});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let mut asked = body.clone();
        if asked["when"] == "period_end" {
            asked["at_period_end"] = json!(true);
            asked.as_object_mut().unwrap().remove("when");
        }
        assert_eq!(running.previewed("preview-change", asked).await, expected, "{fields}");
        let replaced = running.replace(body.clone()).await;
        let is_later = fields["when"] == "period_end";
        assert_eq!(replaced["overrides"].as_array().unwrap().len(), usize::from(!is_later));
        assert_eq!(running.world.told_by("subscription.updated").len(), 0, "not relayed yet");
        running.world.drain().await;
        running.world.advance_to("2025-01-12T00:00:00Z").await;
        assert_eq!(running.world.told_by("subscription.updated").len(), 1);
        running.replace(body).await;
        running.world.advance_to("2025-01-13T00:00:00Z").await;
        let told = running.world.told_by("subscription.updated").len();
        assert_eq!(told, 1, "asked for again, it is as it was");
        assert_eq!(running.previewed("preview-invoice", json!({})).await, expected);
        running.world.advance_to("2025-02-01T02:00:00Z").await;
        assert_eq!(running.newest().await, expected, "{fields}");
        let next = running.previewed("preview-invoice", json!({})).await;
        assert_eq!(next, "100.00 1.00", "from then on");
        // None at all: the plan's again.
        let ended = running.replace(json!({"overrides": [], "proration": {"mode": "full"}})).await;
        assert_eq!(ended["overrides"], json!([]));
        assert_eq!(running.previewed("preview-invoice", json!({})).await, "50.00 1.00");
    }
}

#[tokio::test]
async fn own_prices_that_cannot_be_replace_nothing() {
    let running = Running::new().await;
    let before = running.world.owner.get(&running.path).await;
    let charge = &running.charges[0];
    for (body, field) in [
        (json!({}), "overrides"),
        (json!({"overrides": [], "at": "2025-01-11"}), "at"),
        (
            json!({"overrides": [{"charge_id": running.path[15..], "unit_price": 1}]}),
            "overrides[0].charge_id",
        ),
        (json!({"overrides": [{"charge_id": charge, "rate": 1}]}), "overrides[0].rate"),
        (json!({"overrides": [{"charge_id": charge}, {"charge_id": charge}]}), "overrides[1].charge_id"),
        (json!({"overrides": [], "when": "later"}), "when"),
    ] {
        let path = format!("{}/overrides", running.path);
        let (status, answer) = running.world.owner.call(Method::PUT, &path, Some(body.clone())).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]), "{body}: {answer}");
    }
    let both = json!({"overrides": [], "cancel": true});
    let (status, answer) = running.world.owner.post(&format!("{}/preview-change", running.path), both).await;
    assert_eq!((status, fields(&answer)), (422, vec!["overrides"]));
    assert_eq!(running.world.owner.get(&running.path).await, before);
}
