//! Subscriptions that change while they live: what is billed is what was previewed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Caller, World, fields, text};

async fn call(caller: &Caller, subscription: &Value, action: &str, body: Option<Value>) -> (u16, Value) {
    caller.call(Method::POST, &format!("/subscriptions/{}/{action}", text(&subscription["id"])), body).await
}

async fn done(caller: &Caller, subscription: &Value, action: &str, body: Option<Value>) -> Value {
    let (status, answer) = call(caller, subscription, action, body).await;
    assert_eq!(status, 200, "{action}: {answer}");
    answer
}

async fn named(world: &World, name: &str, charges: &[Value]) -> Value {
    let body = json!({"name": name, "type": "HYBRID", "billing_interval": "month", "currency": "USD"});
    let plan = world.owner.created("/plans", body).await;
    for charge in charges {
        world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), charge.clone()).await;
    }
    plan
}

async fn subscribed(world: &World, plan: &Value, fields: Value) -> Value {
    let customer = world.customer().await;
    let mut body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01",
        "proration": {"unit": "day"}});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    world.owner.created("/subscriptions", body).await
}

fn lines(invoice: &Value, lines: &str, amount: &str) -> String {
    let line = |line: &Value| format!("  {}: {}\n", text(&line["description"]), line[amount]);
    invoice[lines].as_array().unwrap().iter().map(line).collect()
}

/// All invoices, oldest first, each as last computed.
async fn invoices(world: &World) -> String {
    let list = world.owner.get("/invoices").await;
    let mut shown = String::new();
    for row in list["data"].as_array().unwrap().iter().rev() {
        let invoice = world.owner.get(&format!("/invoices/{}", text(&row["id"]))).await;
        let period = [&invoice["period_start"], &invoice["period_end"]].map(|time| &text(time)[..10]);
        shown += &format!("{} {} to {}\n", text(&invoice["status"]), period[0], period[1]);
        shown += &format!("{}  total {}\n", lines(&invoice, "line_items", "line_total"), invoice["total"]);
    }
    shown
}

fn coming(answer: &Value) -> String {
    let shown = |invoice: &Value| {
        let at = &text(&invoice["issue_date"])[..10];
        format!("{at}\n{}  total {}\n", lines(invoice, "lines", "amount"), invoice["total"])
    };
    answer["invoices"].as_array().unwrap().iter().map(shown).collect()
}

#[tokio::test]
async fn an_upgrade_is_billed_as_previewed() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let charges = |price: u32, rate: &str| {
        [
            json!({"type": "FIXED", "unit_price": price, "display_name": format!("Base {price}"), "in_advance": true}),
            json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": rate, "display_name": format!("Calls at {rate}")}),
        ]
    };
    let basic = named(&world, "Basic", &charges(31, "0.10")).await;
    let pro = named(&world, "Pro", &charges(62, "0.05")).await;
    let subscription = subscribed(&world, &basic, json!({})).await;
    assert_eq!(subscription["next_invoice_date"], "2025-01-01T00:00:00Z");
    world.advance_to("2025-01-11T00:00:00Z").await;
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN 2025-01-01 to 2025-02-01
      Base 31: 31.00
      total 31.00
    ");

    let change = json!({"plan_id": pro["id"]});
    let preview = done(&world.owner, &subscription, "preview-change", Some(change.clone())).await;
    insta::assert_snapshot!(coming(&preview), @"
    2025-02-01
      Calls at 0.10: 0.00
      Calls at 0.05: 0.00
      Unused time on Base 31: -21.00
      Remaining time on Base 62: 42.00
      Base 62: 62.00
      total 83.00
    2025-03-01
      Calls at 0.05: 0.00
      Base 62: 62.00
      total 62.00
    ");
    let changed = done(&world.owner, &subscription, "change-plan", Some(change)).await;
    assert_eq!((&changed["plan_name"], &changed["status"]), (&json!("Pro"), &json!("ACTIVE")));
    assert_eq!(changed["current_period_end"], "2025-02-01T00:00:00Z");

    world.advance_to("2025-01-31T00:00:00Z").await;
    let sender = world.owner.with_key(&["usage.write"]).await;
    let track = async |sender: &Caller, key: &str, at: &str, quantity: u32| {
        let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": quantity,
            "timestamp": at, "idempotency_key": key});
        sender.created("/sdk/track", body).await;
    };
    track(&sender, "1", "2025-01-10T23:59:59.999Z", 100).await;
    track(&sender, "2", "2025-01-11T00:00:00Z", 10).await;
    world.drain().await;
    let next = done(&world.owner, &subscription, "preview-invoice", None).await;
    world.advance_to("2025-02-01T00:01:00Z").await;
    // Late usage of the plan before comes to the draft, at the price of that plan.
    let sender = world.owner.with_key(&["usage.write"]).await;
    track(&sender, "3", "2025-01-02T00:00:00Z", 1000).await;
    world.drain().await;
    let before_late = lines(&next, "lines", "amount").replace("0.10: 10.00", "0.10: 110.00");
    let shown = invoices(&world).await;
    assert!(shown.contains(&before_late), "{shown} has not {before_late}");
    insta::assert_snapshot!(shown, @"
    OPEN 2025-01-01 to 2025-02-01
      Base 31: 31.00
      total 31.00
    DRAFT 2025-01-01 to 2025-02-01
      Calls at 0.10: 110.00
      Calls at 0.05: 0.50
      Unused time on Base 31: -21.00
      Remaining time on Base 62: 42.00
      Base 62: 62.00
      total 193.50
    ");
    world.advance_to("2025-02-01T02:00:00Z").await;
    assert_eq!(world.owner.get("/invoices?status=OPEN").await["meta"]["total"], 2);
    // Both plans are in use: the one billed the other's past.
    for plan in [&basic, &pro] {
        let path = format!("/plans/{}", text(&plan["id"]));
        assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 409);
    }
}

#[tokio::test]
async fn what_is_decided_for_later_can_be_given_up() {
    let mut world = World::new().await;
    let charge =
        |price: u32| json!({"type": "FIXED", "unit_price": price, "display_name": format!("Base {price}")});
    let basic = named(&world, "Basic", &[charge(30)]).await;
    let pro = named(&world, "Pro", &[charge(60)]).await;
    let subscription = subscribed(&world, &basic, json!({})).await;
    world.advance_to("2025-01-11T00:00:00Z").await;
    let change = json!({"plan_id": pro["id"], "at_period_end": true});
    assert_eq!(
        done(&world.owner, &subscription, "change-plan", Some(change.clone())).await["plan_name"],
        "Basic"
    );
    assert_eq!(done(&world.owner, &subscription, "undo", None).await["plan_name"], "Basic");
    let (status, answer) = call(&world.owner, &subscription, "undo", None).await;
    assert_eq!((status, &answer["code"]), (409, &json!("nothing_pending")));
    let end = json!({"cancel_at_period_end": true});
    let ending = done(&world.owner, &subscription, "cancel", Some(end)).await;
    assert_eq!(
        (&ending["cancel_at_period_end"], &ending["end_date"]),
        (&json!(true), &json!("2025-02-01T00:00:00Z"))
    );
    let going_on = done(&world.owner, &subscription, "undo", None).await;
    assert_eq!((&going_on["cancel_at_period_end"], &going_on["end_date"]), (&json!(false), &Value::Null));
    done(&world.owner, &subscription, "change-plan", Some(change)).await;
    world.advance_to("2025-03-02T00:00:00Z").await;
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN 2025-01-01 to 2025-02-01
      Base 30: 30.00
      total 30.00
    OPEN 2025-02-01 to 2025-03-01
      Base 60: 60.00
      total 60.00
    ");
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    assert_eq!(world.owner.get(&path).await["plan_name"], "Pro");
}

#[tokio::test]
async fn a_plan_that_was_decided_on_survives_other_changes() {
    let mut world = World::new().await;
    let seats = json!({"type": "FIXED", "unit_price": 31, "quantity": 2, "display_name": "Seats"});
    let basic = named(&world, "Basic", &[seats]).await;
    let pro =
        named(&world, "Pro", &[json!({"type": "FIXED", "unit_price": 60, "display_name": "Base"})]).await;
    let subscription = subscribed(&world, &basic, json!({})).await;
    assert_eq!(subscription["pending_change"], Value::Null);
    world.advance_to("2025-01-11T00:00:00Z").await;
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    let change = json!({"plan_id": pro["id"], "at_period_end": true});
    let expected = json!({"at": "2025-02-01T00:00:00Z", "plan_id": pro["id"], "plan_name": "Pro",
        "price_version": pro["price_version"].as_u64().unwrap() + 1, "billing_interval": "month",
        "interval_count": 1, "quantity": null, "overrides": [], "is_paused": false});
    let changed = done(&world.owner, &subscription, "change-plan", Some(change)).await;
    assert_eq!((&changed["pending_change"], &changed["plan_name"]), (&expected, &json!("Basic")));

    let quantity = json!({"quantity": 4});
    let preview = done(&world.owner, &subscription, "preview-change", Some(quantity.clone())).await;
    assert_eq!(lines(&preview["invoices"][1], "lines", "amount"), "  Base: 60.00\n", "{preview}");
    done(&world.owner, &subscription, "change-quantity", Some(quantity)).await;
    let none = json!({"overrides": []});
    world.owner.changed(Method::PUT, &format!("{path}/overrides"), none).await;
    for (action, is_paused) in [("pause", true), ("resume", false)] {
        let answer = done(&world.owner, &subscription, action, None).await;
        let mut expected = expected.clone();
        expected["is_paused"] = is_paused.into();
        assert_eq!(answer["pending_change"], expected, "after {action}");
    }
    let end = json!({"cancel_at_period_end": true});
    let ending = done(&world.owner, &subscription, "cancel", Some(end)).await;
    assert_eq!(ending["pending_change"], Value::Null, "it ends before");
    let undone = done(&world.owner, &subscription, "undo", None).await;
    assert_eq!(undone["pending_change"], Value::Null, "all that is pending is given up");

    let later = json!({"quantity": 5, "at_period_end": true});
    let later = done(&world.owner, &subscription, "change-quantity", Some(later)).await;
    assert_eq!(
        (&later["pending_change"]["quantity"], &later["pending_change"]["plan_name"]),
        (&json!(5), &json!("Basic"))
    );
    assert_eq!(world.owner.get(&path).await["pending_change"], later["pending_change"]);
    let change = json!({"plan_id": pro["id"], "at_period_end": true});
    done(&world.owner, &subscription, "change-plan", Some(change)).await;
    done(&world.owner, &subscription, "change-quantity", Some(json!({"quantity": 3}))).await;
    world.advance_to("2025-03-02T00:00:00Z").await;
    let now = world.owner.get(&path).await;
    assert_eq!((&now["plan_name"], &now["pending_change"]), (&json!("Pro"), &Value::Null));
    assert!(invoices(&world).await.ends_with("Base: 60.00\n  total 60.00\n"), "{}", invoices(&world).await);
}

#[tokio::test]
async fn seats_and_pauses_are_prorated() {
    let mut world = World::new().await;
    let plan = named(
        &world,
        "Team",
        &[
            json!({"type": "FIXED", "unit_price": 199, "display_name": "Base"}),
            json!({"type": "FIXED", "unit_price": 31, "quantity": 10, "display_name": "Seats"}),
        ],
    )
    .await;
    let subscription = subscribed(&world, &plan, json!({})).await;
    world.advance_to("2025-01-11T00:00:00Z").await;
    done(&world.owner, &subscription, "change-quantity", Some(json!({"quantity": 13}))).await;
    world.advance_to("2025-02-15T00:00:00Z").await;
    let preview = done(&world.owner, &subscription, "preview-change", Some(json!({"pause": true}))).await;
    insta::assert_snapshot!(coming(&preview), @"
    2025-03-01
      Base: 99.50
      Seats: 201.50
      total 301.00
    ");
    for (body, status, expected) in [
        (json!({"resume": true}), 409, "invalid_transition"),
        (json!({"resume": true, "at_period_end": true}), 422, "at_period_end"),
        (json!({"pause": true, "resume": true}), 422, "plan_id"),
        (json!({"pause": true, "quantity": 2}), 422, "plan_id"),
        (json!({"pause": false}), 422, "plan_id"),
    ] {
        let answer = call(&world.owner, &subscription, "preview-change", Some(body.clone())).await;
        let named = if status == 422 { &answer.1["errors"][0]["field"] } else { &answer.1["code"] };
        assert_eq!((answer.0, named), (status, &json!(expected)), "{body}");
    }
    let paused = done(&world.owner, &subscription, "pause", None).await;
    assert_eq!(paused["status"], "PAUSED");
    let (status, answer) = call(&world.owner, &subscription, "pause", None).await;
    assert_eq!((status, &answer["code"]), (409, &json!("invalid_transition")));
    world.advance_to("2025-04-16T00:00:00Z").await;
    let preview = done(&world.owner, &subscription, "preview-change", Some(json!({"resume": true}))).await;
    insta::assert_snapshot!(coming(&preview), @"
    2025-05-01
      Base: 99.50
      Seats: 201.50
      total 301.00
    2025-06-01
      Base: 199.00
      Seats: 403.00
      total 602.00
    ");
    let resumed = done(&world.owner, &subscription, "resume", None).await;
    assert_eq!(resumed["status"], "PAST_DUE", "January is not paid");
    world.advance_to("2025-05-02T00:00:00Z").await;
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN 2025-01-01 to 2025-02-01
      Base: 199.00
      Seats: 100.00
      Seats: 273.00
      total 572.00
    OPEN 2025-02-01 to 2025-03-01
      Base: 99.50
      Seats: 201.50
      total 301.00
    OPEN 2025-04-01 to 2025-05-01
      Base: 99.50
      Seats: 201.50
      total 301.00
    ");
}

#[tokio::test]
async fn an_end_at_once_is_billed_at_once() {
    let mut world = World::new().await;
    let plan = named(
        &world,
        "Pro",
        &[
            json!({"type": "FIXED", "unit_price": 31, "display_name": "Base", "in_advance": true}),
            json!({"type": "FIXED", "unit_price": 62, "display_name": "Support"}),
        ],
    )
    .await;
    let subscription = subscribed(&world, &plan, json!({})).await;
    world.advance_to("2025-01-11T00:00:00Z").await;
    let preview = done(&world.owner, &subscription, "preview-change", Some(json!({"cancel": true}))).await;
    insta::assert_snapshot!(coming(&preview), @"
    2025-01-11
      Support: 20.00
      Unused time on Base: -21.00
      total -1.00
    ");
    let canceled = done(&world.owner, &subscription, "cancel", None).await; // no body is an empty one
    assert_eq!(
        (&canceled["status"], &canceled["canceled_at"]),
        (&json!("CANCELED"), &json!("2025-01-11T00:00:00Z"))
    );
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN 2025-01-01 to 2025-02-01
      Base: 31.00
      total 31.00
    DRAFT 2025-01-01 to 2025-01-11
      Support: 20.00
      Unused time on Base: -21.00
      total -1.00
    ");
    // A plan may go with its last subscription, and what it billed stands.
    let path = format!("/plans/{}", text(&plan["id"]));
    assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 204);
    for (action, body) in [
        ("cancel", Some(json!({"reason": "moving"}))),
        ("pause", None),
        ("change-quantity", Some(json!({"quantity": 1}))),
    ] {
        let (status, answer) = call(&world.owner, &subscription, action, body).await;
        assert_eq!((status, &answer["code"]), (409, &json!("subscription_canceled")), "{action}");
    }
    world.advance_to("2025-06-01T00:00:00Z").await;
    assert_eq!(world.owner.get("/invoices").await["meta"]["total"], 2);
    assert!(invoices(&world).await.ends_with("total -1.00\n"));
}

#[tokio::test]
async fn a_trial_that_is_canceled_costs_nothing() {
    for body in [json!({}), json!({"cancel_at_period_end": true})] {
        let mut world = World::new().await;
        let plan =
            named(&world, "Pro", &[json!({"type": "FIXED", "unit_price": 31, "in_advance": true})]).await;
        let subscription = subscribed(&world, &plan, json!({"trial_end_date": "2025-01-15"})).await;
        world.advance_to("2025-01-10T00:00:00Z").await;
        let answer = done(&world.owner, &subscription, "cancel", Some(body.clone())).await;
        let at_once = if body == json!({}) { "CANCELED" } else { "TRIAL" };
        assert_eq!(answer["status"], at_once);
        world.advance_to("2025-03-01T00:00:00Z").await;
        let path = format!("/subscriptions/{}", text(&subscription["id"]));
        assert_eq!(world.owner.get(&path).await["status"], "CANCELED");
        assert_eq!(world.owner.get("/invoices").await["meta"]["total"], 0);
    }
}

#[tokio::test]
async fn a_subscription_keeps_how_it_is_billed() {
    let mut world = World::new().await;
    let plan =
        named(&world, "Pro", &[json!({"type": "FIXED", "unit_price": 30, "display_name": "Base"})]).await;
    let fields = json!({"start_date": "2025-01-15", "billing_time": "calendar", "time_zone": "America/New_York",
        "end_date": "2025-03-09", "proration": {"unit": "day", "mode": "prorate"}});
    let subscription = subscribed(&world, &plan, fields).await;
    assert_eq!(subscription["start_date"], "2025-01-15T05:00:00Z");
    assert_eq!(subscription["current_period_end"], "2025-02-01T05:00:00Z");
    assert_eq!(subscription["end_date"], "2025-03-10T04:00:00Z"); // the clocks went forward on its last day
    assert_eq!(subscription["billing_time"], "calendar");
    world.advance_to("2025-04-01T00:00:00Z").await;
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN 2025-01-15 to 2025-02-01
      Base: 16.45
      total 16.45
    OPEN 2025-02-01 to 2025-03-01
      Base: 30.00
      total 30.00
    OPEN 2025-03-01 to 2025-03-10
      Base: 8.71
      total 8.71
    ");
}

#[tokio::test]
async fn a_start_in_the_past_is_caught_up_with_at_once() {
    let mut world = World::new().await;
    let plan = named(
        &world,
        "Pro",
        &[json!({"type": "FIXED", "unit_price": 30, "display_name": "Base", "in_advance": true})],
    )
    .await;
    subscribed(&world, &plan, json!({"start_date": "2024-10-31"})).await;
    world.advance_to("2025-01-01T00:01:00Z").await;
    insta::assert_snapshot!(invoices(&world).await, @"
    DRAFT 2024-10-31 to 2024-11-30
      Base: 30.00
      total 30.00
    DRAFT 2024-10-31 to 2024-11-30
      Base: 30.00
      total 30.00
    DRAFT 2024-11-30 to 2024-12-31
      Base: 30.00
      total 30.00
    ");
}

#[tokio::test]
async fn a_change_in_the_instant_of_a_bill_is_settled_too() {
    let mut world = World::new().await;
    let charge = |price: u32| json!({"type": "FIXED", "unit_price": price, "display_name": format!("Base {price}"), "in_advance": true});
    let basic = named(&world, "Basic", &[charge(30)]).await;
    let pro = named(&world, "Pro", &[charge(60)]).await;
    let subscription = subscribed(&world, &basic, json!({})).await;
    world.advance_to("2025-02-01T00:00:00Z").await;
    let changed = done(&world.owner, &subscription, "change-plan", Some(json!({"plan_id": pro["id"]}))).await;
    assert_eq!(changed["plan_name"], "Pro");
    world.advance_to("2025-03-01T00:00:00Z").await;
    let canceled = done(&world.owner, &subscription, "cancel", Some(json!({}))).await;
    assert_eq!(canceled["status"], "CANCELED");
    insta::assert_snapshot!(invoices(&world).await, @"
    OPEN 2025-01-01 to 2025-02-01
      Base 30: 30.00
      total 30.00
    OPEN 2025-01-01 to 2025-02-01
      Base 30: 30.00
      total 30.00
    DRAFT 2025-02-01 to 2025-03-01
      Unused time on Base 30: -30.00
      Remaining time on Base 60: 60.00
      Base 60: 60.00
      total 90.00
    DRAFT 2025-03-01 to 2025-03-01
      Unused time on Base 60: -60.00
      total -60.00
    ");
}

#[tokio::test]
async fn lists_are_narrowed_by_plan_status_and_number() {
    let mut world = World::new().await;
    let charge = |price: u32| json!({"type": "FIXED", "unit_price": price});
    let basic = named(&world, "Basic", &[charge(30)]).await;
    let pro = named(&world, "Pro", &[charge(60)]).await;
    let first = subscribed(&world, &basic, json!({})).await;
    let customer = json!({"id": first["customer_id"]});
    let [second, third] = [world.subscribe(&customer, &pro).await, world.subscribe(&customer, &pro).await];
    world.advance_to("2025-01-11T00:00:00Z").await;
    done(&world.owner, &third, "pause", None).await;
    world.advance_to("2025-02-01T02:00:00Z").await;
    let found = async |path: String| {
        let list = world.owner.get(&path).await;
        let rows = list["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        assert_eq!(list["meta"]["total"], rows.len());
        rows
    };
    let of = text(&customer["id"]);
    let ids =
        |subscriptions: &[&Value]| subscriptions.iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    let (basic, pro) = (text(&basic["id"]), text(&pro["id"]));
    for (path, expected) in [
        (format!("/subscriptions?plan_id={basic}"), ids(&[&first])),
        (format!("/subscriptions?plan_id={pro}"), ids(&[&third, &second])),
        (format!("/subscriptions?plan_id={pro}&status=PAUSED"), ids(&[&third])),
        (format!("/subscriptions?plan_id={pro}&customer_id={of}&status=ACTIVE"), ids(&[&second])),
        (format!("/subscriptions?plan_id={of}"), ids(&[])),
        (format!("/customers/{of}/subscriptions?status=PAUSED"), ids(&[&third])),
        (format!("/customers/{of}/subscriptions?status=CANCELED"), ids(&[])),
    ] {
        assert_eq!(found(path.clone()).await, expected, "{path}");
    }
    let newest = world.owner.get("/invoices").await["data"][0].clone();
    let number = text(&newest["invoice_number"]);
    for narrowed in ["", "&status=OPEN", "&start_date=2025-02-01", &format!("&customer_id={of}")] {
        let path = format!("/invoices?invoice_number={number}{narrowed}");
        assert_eq!(found(path.clone()).await, ids(&[&newest]), "{path}");
    }
    assert_eq!(found("/invoices?invoice_number=INV-2025-0099".into()).await, ids(&[]));
    assert_eq!(found(format!("/customers/{of}/invoices?status=OPEN")).await.len(), 3);
    assert_eq!(found(format!("/customers/{of}/invoices?status=PAID")).await.len(), 0);
    for (path, field) in [
        ("/invoices?invoice_number=42".to_owned(), "invoice_number"),
        ("/subscriptions?plan_id=basic".to_owned(), "plan_id"),
        (format!("/customers/{of}/invoices?status=LATE"), "status"),
    ] {
        let (status, answer) = world.owner.call(Method::GET, &path, None).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]), "{path}");
    }
}
