//! Nothing ran for months: what fell due meanwhile is made up for, each period once.

use serde_json::{Value, json};

use crate::client::{World, text};

/// All invoices, oldest first, with what `of` says of each.
async fn invoices(world: &World, of: impl Fn(&Value) -> String) -> Vec<String> {
    let list = world.owner.get("/invoices?page_size=100").await;
    let mut rows = list["data"].as_array().unwrap().iter().map(of).collect::<Vec<_>>();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn months_without_a_tick_are_closed_once_each() {
    let world = World::on_disk().await;
    let meter = world.meter("SUM").await;
    let fixed = json!({"type": "FIXED", "unit_price": 30, "in_advance": true});
    let usage = json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 1});
    let plan = world.plan(&[fixed, usage]).await;
    let customer = world.customer().await;
    for (start, fields) in [
        ("2025-01-31", json!({})),
        ("2025-01-01", json!({"trial_end_date": "2025-02-10"})),
        ("2025-01-01", json!({"end_date": "2025-03-09"})),
    ] {
        let mut body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": start});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        world.owner.created("/subscriptions", body).await;
    }
    let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 5});
    world.owner.created("/sdk/track", body).await;
    world.drain().await;

    let mut world = world.asleep_until("2025-04-15T00:00:30Z").await;
    let closed = |invoice: &Value| {
        let period =
            ["period_start", "period_end"].map(|name| text(&invoice[name]).trim_end_matches("T00:00:00Z"));
        format!("{} to {}: {}", period[0], period[1], invoice["total"])
    };
    let expected = [
        // opened at the start, month by month, and what is left at the end
        "2025-01-01 to 2025-02-01: 30.00",
        "2025-01-01 to 2025-02-01: 35.00",
        "2025-01-31 to 2025-02-28: 30.00",
        "2025-01-31 to 2025-02-28: 30.00",
        "2025-02-01 to 2025-03-01: 8.71",
        "2025-02-10 to 2025-03-10: 30.00",
        "2025-02-10 to 2025-03-10: 30.00",
        "2025-02-28 to 2025-03-31: 30.00",
        "2025-03-01 to 2025-03-10: 0.00",
        "2025-03-10 to 2025-04-10: 30.00",
    ];
    for at in ["2025-04-15T00:02:00Z", "2025-04-15T00:30:00Z", "2025-04-15T01:10:00Z", "2025-04-16T00:00:00Z"]
    {
        world.advance_to(at).await;
        assert_eq!(invoices(&world, closed).await, expected, "{at}");
    }
    let numbers = invoices(&world, |invoice| text(&invoice["invoice_number"]).to_owned()).await;
    let gapless = (1..=expected.len()).map(|n| format!("INV-2025-{n:04}")).collect::<Vec<_>>();
    assert_eq!(numbers, gapless);
}
