//! One-off charges on the next invoice of a subscription.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, checked, fields, text};

async fn running(fields: Value) -> (World, Value, String) {
    let world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30, "display_name": "Base"})]).await;
    let customer = world.customer().await;
    let mut body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
        "proration": {"unit": "day"}});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let subscription = world.owner.created("/subscriptions", body).await;
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    (world, subscription, path)
}

fn lines(invoice: &Value, lines: &str, amount: &str) -> String {
    let line = |line: &Value| {
        format!("  {}: {} for {}\n", text(&line["description"]), line["quantity"], line[amount])
    };
    invoice[lines].as_array().unwrap().iter().map(line).collect()
}

async fn invoices(world: &World) -> String {
    let list = world.owner.get("/invoices").await;
    let mut shown = String::new();
    for row in list["data"].as_array().unwrap().iter().rev() {
        let invoice = world.owner.get(&format!("/invoices/{}", text(&row["id"]))).await;
        let end = &text(&invoice["period_end"])[..10];
        let lines = lines(&invoice, "line_items", "line_total");
        shown += &format!("{} until {end}\n{lines}", text(&invoice["status"]));
    }
    shown
}

#[tokio::test]
async fn a_one_off_charge_is_on_the_next_invoice_once() {
    let (mut world, _, path) = running(json!({})).await;
    let charges = format!("{path}/one-off-charges");
    world.advance_to("2025-01-20T00:00:00Z").await;
    let body = json!({"description": "Onboarding", "quantity": 2, "unit_amount": 50});
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request =
            world.owner.request(Method::POST, &charges).header("idempotency-key", "once").json(&body);
        answers.push(checked(&Method::POST, &charges, request).await);
    }
    assert_eq!((answers[0].0, &answers[0].1), (201, &answers[1].1), "sent again");
    assert_eq!(answers[0].1["created_at"], "2025-01-20T00:00:00Z");
    let (_, next) = world.owner.call(Method::POST, &format!("{path}/preview-invoice"), None).await;
    assert_eq!(lines(&next, "lines", "amount"), "  Base: 1 for 30.00\n  Onboarding: 2 for 100.00\n");

    world.advance_to("2025-02-01T00:10:00Z").await;
    world.owner.created(&charges, json!({"description": "Workshop", "unit_amount": "12.5"})).await;
    let draft = world.owner.get("/invoices").await["data"][0]["id"].clone();
    let recompute = format!("/invoices/{}/recompute", text(&draft));
    let (status, draft) = world.owner.call(Method::POST, &recompute, None).await;
    assert_eq!((status, &draft["line_items"][1]["charge_id"]), (200, &answers[0].1["id"]));

    // What is paused is billed what it is charged all the same.
    world.advance_to("2025-03-01T02:00:00Z").await;
    let (status, _) = world.owner.call(Method::POST, &format!("{path}/pause"), None).await;
    assert_eq!(status, 200);
    world.advance_to("2025-04-10T00:00:00Z").await;
    world.owner.created(&charges, json!({"description": "Parking", "unit_amount": 5})).await;
    world.advance_to("2025-06-01T02:00:00Z").await;
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN until 2025-02-01
      Base: 1 for 30.00
      Onboarding: 2 for 100.00
    OPEN until 2025-03-01
      Base: 1 for 30.00
      Workshop: 1 for 12.50
    OPEN until 2025-05-01
      Parking: 1 for 5.00
    ");
}

#[tokio::test]
async fn an_end_in_the_instant_of_a_bill_bills_what_was_charged_since() {
    let (mut world, _, path) = running(json!({})).await;
    let charges = format!("{path}/one-off-charges");
    world.advance_to("2025-02-01T00:00:00Z").await;
    world.owner.created(&charges, json!({"description": "Export", "unit_amount": 9})).await;
    world.owner.changed(Method::POST, &format!("{path}/cancel"), json!({})).await;
    let (status, answer) = world.owner.post(&charges, json!({"description": "More", "unit_amount": 9})).await;
    assert_eq!((status, &answer["code"]), (409, &json!("subscription_not_running")));
    world.advance_to("2025-02-02T00:00:00Z").await;
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN until 2025-02-01
      Base: 1 for 30.00
    OPEN until 2025-02-01
      Export: 1 for 9.00
    ");
}

#[tokio::test]
async fn a_one_off_charge_is_checked() {
    let (world, subscription, path) = running(json!({"trial_end_date": "2025-01-15"})).await;
    assert_eq!(subscription["status"], "TRIAL");
    let charges = format!("{path}/one-off-charges");
    for (body, expected) in [
        (json!({"description": " ", "unit_amount": -1}), vec!["description", "unit_amount"]),
        (json!({"description": "A", "unit_amount": 1, "quantity": 0}), vec!["quantity"]),
        (json!({"description": "A", "unit_amount": "1e20", "quantity": "1e20"}), vec!["unit_amount"]),
        (json!({"description": "A"}), vec!["unit_amount"]),
    ] {
        let (status, answer) = world.owner.post(&charges, body.clone()).await;
        assert_eq!((status, fields(&answer)), (422, expected), "{body}");
    }
    let (status, answer) = world.owner.post(&charges, json!({"description": "A", "unit_amount": 1})).await;
    assert_eq!((status, &answer["code"]), (409, &json!("subscription_not_running")), "a trial is not billed");
}

#[tokio::test]
async fn what_is_charged_once_is_listed_and_taken_back_until_it_is_billed() {
    let (mut world, subscription, path) = running(json!({})).await;
    let charges = format!("{path}/one-off-charges");
    world.advance_to("2025-01-20T00:00:00Z").await;
    let mut made = Vec::new();
    for n in 1..=3 {
        let body = json!({"description": format!("Day {n}"), "quantity": n, "unit_amount": 100});
        made.push(world.owner.created(&charges, body).await);
    }
    assert!(made.iter().all(|charge| charge["is_billed"] == false));
    let first = world.owner.get(&format!("{charges}?page_size=2")).await;
    assert_eq!(first["data"], json!([made[2], made[1]]), "newest first");
    assert_eq!((&first["meta"]["total"], &first["meta"]["total_pages"]), (&json!(3), &json!(2)));
    let cursor = text(&first["meta"]["next_cursor"]);
    let second = world.owner.get(&format!("{charges}?page_size=2&cursor={cursor}")).await;
    assert_eq!(second["data"], json!([made[0]]));
    assert_eq!(world.owner.get(&format!("{charges}?page=2&page_size=2")).await["data"], json!([made[0]]));

    let one = |charge: &Value| format!("{charges}/{}", text(&charge["id"]));
    let take_back = async |world: &World, path: &str| {
        let (status, answer) = world.owner.call(Method::DELETE, path, None).await;
        (status, answer["code"].clone())
    };
    let reader = world.owner.with_key(&["billing.read"]).await;
    assert_eq!(reader.get(&charges).await["meta"]["total"], 3);
    assert_eq!(reader.call(Method::DELETE, &one(&made[1]), None).await.0, 403);
    let [customer, plan] = ["customer_id", "plan_id"].map(|name| json!({"id": subscription[name]}));
    let other = world.subscribe(&customer, &plan).await;
    let other = format!("/subscriptions/{}/one-off-charges", text(&other["id"]));
    assert_eq!(world.owner.get(&other).await["data"], json!([]));
    let foreign = format!("{other}/{}", text(&made[1]["id"]));
    assert_eq!(take_back(&world, &foreign).await, (404, json!("not_found")), "of another subscription");
    assert_eq!(take_back(&world, &one(&made[1])).await, (204, Value::Null));
    assert_eq!(take_back(&world, &one(&made[1])).await, (404, json!("not_found")), "it is gone");
    assert_eq!(world.owner.get(&charges).await["data"], json!([made[2], made[0]]));
    let (_, next) = world.owner.call(Method::POST, &format!("{path}/preview-invoice"), None).await;
    let billed = "  Base: 1 for 30.00\n  Day 1: 1 for 100.00\n  Day 3: 3 for 300.00\n";
    assert_eq!(lines(&next, "lines", "amount"), billed);

    world.advance_to("2025-02-01T00:10:00Z").await;
    assert_eq!(take_back(&world, &one(&made[0])).await, (409, json!("charge_billed")));
    let listed = world.owner.get(&charges).await;
    assert!(listed["data"].as_array().unwrap().iter().all(|charge| charge["is_billed"] == true), "{listed}");
    world.advance_to("2025-02-01T02:00:00Z").await;
    assert!(invoices(&world).await.contains(billed));

    let told = |name: &str| {
        let told = world.told_by(name).into_iter();
        let data = told.map(|event| event["data"].clone());
        let mut data = data.map(|data| (text(&data["description"]).to_owned(), data)).collect::<Vec<_>>();
        data.sort_by(|(a, _), (b, _)| a.cmp(b)); // those of one instant are told in no order
        data
    };
    let added = told("subscription.charge_added");
    assert_eq!(added.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Day 1", "Day 2", "Day 3"]);
    let [(_, removed)] = &told("subscription.charge_removed")[..] else { panic!("told once") };
    for (name, value) in [
        ("id", &made[1]["id"]),
        ("subscription_id", &subscription["id"]),
        ("customer_id", &subscription["customer_id"]),
        ("quantity", &json!(2)),
        ("unit_amount", &json!(100)),
    ] {
        assert_eq!((&removed[name], &added[1].1[name]), (value, value), "{name}");
    }
}
