//! Drafts of subscriptions: edited, rated anew, skipped; and what is not paid in time.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{World, fields, figures, text};

/// A subscription of 49 a month and 0.001 a call, in the hour after its first month of 10,000 calls.
async fn in_grace() -> (World, Value, String) {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let usage = json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 0.001});
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 49}), usage]).await;
    let customer = world.customer().await;
    world.subscribe(&customer, &plan).await;
    world.advance_to("2025-01-15T00:00:00Z").await;
    track(&world, &meter, 10_000, "first").await;
    world.advance_to("2025-02-01T00:10:00Z").await;
    let invoices = world.owner.get("/invoices").await;
    let path = format!("/invoices/{}", text(&invoices["data"][0]["id"]));
    (world, meter, path)
}

async fn track(world: &World, meter: &Value, quantity: u32, key: &str) {
    let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": quantity,
        "timestamp": "2025-01-10T00:00:00Z", "idempotency_key": key});
    world.owner.created("/sdk/track", body).await;
    world.drain().await;
}

#[tokio::test]
async fn lines_written_on_a_draft_stay_until_it_is_recomputed() {
    let (mut world, meter, path) = in_grace().await;
    assert_eq!(figures(&world.owner.get(&path).await), "59.00 0.00 59.00 59.00");
    let noted = world.owner.changed(Method::PUT, &path, json!({"memo": "January"})).await;
    assert_eq!((&noted["has_edited_lines"], &noted["memo"]), (&json!(false), &json!("January")));
    track(&world, &meter, 1_000, "late").await;
    assert_eq!(figures(&world.owner.get(&path).await), "60.00 0.00 60.00 60.00", "usage still counts");

    let lines = json!([{"description": "Base", "quantity": 1, "unit_amount": 49.00},
        {"description": "Calls", "quantity": 12000, "unit_amount": 0.001}]);
    let edited = world.owner.changed(Method::PUT, &path, json!({"line_items": lines})).await;
    assert_eq!(
        (figures(&edited), &edited["has_edited_lines"]),
        ("61.00 0.00 61.00 61.00".into(), &json!(true))
    );
    track(&world, &meter, 5_000, "later").await;
    assert_eq!(figures(&world.owner.get(&path).await), figures(&edited), "usage no longer changes it");

    let recomputed = world.owner.changed(Method::POST, &format!("{path}/recompute"), json!({})).await;
    assert_eq!(
        (figures(&recomputed), &recomputed["has_edited_lines"]),
        ("65.00 0.00 65.00 65.00".into(), &json!(false))
    );
    assert_eq!(recomputed["memo"], "January", "only the lines are given up");
    assert_eq!(world.owner.get(&path).await, recomputed);

    world.owner.changed(Method::PUT, &path, json!({"line_items": lines})).await;
    for (body, field) in [
        (json!({"customer_id": "00000000-0000-7000-8000-000000000000"}), "customer_id"),
        (json!({"currency": "EUR"}), "currency"),
    ] {
        let (status, answer) = world.owner.call(Method::PUT, &path, Some(body)).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]), "it stays the subscription's");
    }
    world.advance_to("2025-02-01T01:00:00Z").await;
    let open = world.owner.get(&path).await;
    assert_eq!((&open["status"], figures(&open)), (&json!("OPEN"), figures(&edited)));
}

#[tokio::test]
async fn lines_given_as_they_stand_keep_what_they_cost() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let tiers = json!([{"up_to": 1000, "unit_price": 0.01}, {"up_to": null, "unit_price": 0.005}]);
    let usage = json!({"type": "USAGE", "meter_id": meter["meter_id"], "charge_model": "graduated",
        "tiers": tiers, "display_name": "Calls"});
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 60, "in_advance": true}), usage]).await;
    let customer = world.customer().await;
    let subscription = world.subscribe(&customer, &plan).await;
    world.advance_to("2025-01-16T00:00:00Z").await;
    track(&world, &meter, 2_000, "first").await;
    let change = format!("/subscriptions/{}/change-quantity", text(&subscription["id"]));
    world.owner.changed(Method::POST, &change, json!({"quantity": 2})).await;
    world.advance_to("2025-02-01T00:10:00Z").await;
    let draft = world.owner.get("/invoices?status=DRAFT").await["data"][0].clone();
    let path = format!("/invoices/{}", text(&draft["id"]));
    let lines = draft["line_items"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["line_total"].to_string().starts_with('-')), "{lines:?}");
    assert!(lines.iter().any(|line| line["unit_amount"].is_null()), "{lines:?}");

    let given = |line: &Value| json!({"description": line["description"], "quantity": line["quantity"], "unit_amount": line["unit_amount"]});
    let own = lines.iter().map(given).collect::<Vec<_>>();
    let same = world.owner.changed(Method::PUT, &path, json!({"line_items": own})).await;
    assert_eq!((&same["line_items"], figures(&same)), (&draft["line_items"], figures(&draft)));
    assert_eq!(same["has_edited_lines"], false, "nothing was edited");

    let mut with_more = own.clone();
    with_more.push(json!({"description": "Help", "quantity": 2, "unit_amount": 5}));
    let more = world.owner.changed(Method::PUT, &path, json!({"line_items": with_more})).await;
    let [kept @ .., help] = more["line_items"].as_array().unwrap().as_slice() else { panic!("{more}") };
    assert_eq!((kept, help["line_total"].to_string()), (lines.as_slice(), "10.00".into()));
    assert_eq!(more["has_edited_lines"], true);

    let mut without_price = own;
    without_price.push(json!({"description": "Help", "quantity": 0, "unit_amount": null}));
    let (status, answer) =
        world.owner.call(Method::PUT, &path, Some(json!({"line_items": without_price}))).await;
    assert_eq!(
        (status, fields(&answer)),
        (422, vec![format!("line_items[{}].quantity", lines.len()).as_str()])
    );
    world.advance_to("2025-02-01T01:00:00Z").await;
    assert_eq!(figures(&world.owner.get(&path).await), figures(&more), "it is finalized as it was edited");
}

#[tokio::test]
async fn a_deleted_or_voided_draft_is_not_made_again() {
    let (mut world, _, path) = in_grace().await;
    assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 204);
    world.advance_to("2025-03-01T00:10:00Z").await;
    let invoices = world.owner.get("/invoices").await;
    assert_eq!(invoices["meta"]["total"], 1);
    assert_eq!(invoices["data"][0]["period_start"], "2025-02-01T00:00:00Z", "only the next month's");
    let path = format!("/invoices/{}", text(&invoices["data"][0]["id"]));
    let void = world.owner.changed(Method::PATCH, &format!("{path}/status"), json!({"status": "VOID"})).await;
    assert_eq!(figures(&void), "49.00 0.00 49.00 0.00");
    world.advance_to("2025-03-02T00:00:00Z").await;
    let void = world.owner.get(&path).await;
    assert_eq!((&void["status"], &void["invoice_number"]), (&json!("VOID"), &Value::Null));
}

#[tokio::test]
async fn an_invoice_of_nothing_is_paid_at_once_or_skipped() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let plan = world.plan(&[json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 1})]).await;
    let customer = world.customer().await;
    world.subscribe(&customer, &plan).await;
    let mails = async |world: &World| {
        let mails = world.owner.get_local("outbox").await;
        let of = |mail: &Value| text(&mail["invoice_id"]).to_owned();
        mails.as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    world.advance_to("2025-02-01T02:00:00Z").await;
    let invoice = world.owner.get("/invoices").await["data"][0].clone();
    assert_eq!((&invoice["status"], &invoice["invoice_number"]), (&json!("PAID"), &json!("INV-2025-0001")));
    assert_eq!(mails(&world).await, [""; 0], "there is nothing to be told");
    let send = format!("/invoices/{}/send-email", text(&invoice["id"]));
    assert_eq!(world.owner.call(Method::POST, &send, None).await.0, 200);
    world.drain().await;
    assert_eq!(mails(&world).await, [text(&invoice["id"])], "who wants it sent gets it sent");
    assert_eq!(
        (figures(&invoice), &invoice["amount_paid"].to_string()),
        ("0.00 0.00 0.00 0.00".into(), &"0.00".into())
    );

    assert_eq!(world.settings(json!({"zero_invoices": "skip"})).await["zero_invoices"], "skip");
    world.advance_to("2025-03-01T00:10:00Z").await;
    assert_eq!(
        world.owner.get("/invoices?status=DRAFT").await["meta"]["total"],
        1,
        "late usage may still come"
    );
    world.advance_to("2025-03-01T02:00:00Z").await;
    assert_eq!(world.owner.get("/invoices").await["meta"]["total"], 1);

    // What is used is billed, with the next number.
    let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 3});
    world.owner.created("/sdk/track", body).await;
    world.advance_to("2025-04-01T02:00:00Z").await;
    let invoice = world.owner.get("/invoices").await["data"][0].clone();
    assert_eq!((&invoice["status"], &invoice["invoice_number"]), (&json!("OPEN"), &json!("INV-2025-0002")));
    assert_eq!(mails(&world).await.len(), 2, "it is mailed");
}

#[tokio::test]
async fn a_subscription_is_past_due_until_all_its_late_invoices_are_settled() {
    let mut world = World::new().await;
    world.settings(json!({"payment_terms_days": 10})).await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    let subscription = world.subscribe(&customer, &plan).await;
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    let invoices_path = format!("/invoices?subscription_id={}", text(&subscription["id"]));
    let status = async |world: &World| text(&world.owner.get(&path).await["status"]).to_owned();

    world.advance_to("2025-02-11T00:59:59Z").await;
    assert_eq!(status(&world).await, "ACTIVE", "due on 11 February at 1:00");
    world.advance_to("2025-02-11T01:00:00Z").await;
    assert_eq!(status(&world).await, "PAST_DUE");
    let invoice = world.owner.get(&invoices_path).await["data"][0].clone();
    assert_eq!(
        (&invoice["status"], &invoice["past_due_at"]),
        (&json!("OPEN"), &json!("2025-02-11T01:00:00Z"))
    );
    let pay = async |world: &World, invoice: &Value, how: Value| {
        let path = format!("/invoices/{}/status", text(&invoice["id"]));
        world.owner.changed(Method::PATCH, &path, how).await
    };
    pay(&world, &invoice, json!({"status": "PAID"})).await;
    assert_eq!(status(&world).await, "ACTIVE", "paid");

    // It is billed on while it is past due. Two late invoices hold it until both are settled.
    world.advance_to("2025-04-20T00:00:00Z").await;
    assert_eq!(status(&world).await, "PAST_DUE");
    let late = world.owner.get(&format!("{invoices_path}&status=OPEN")).await;
    assert_eq!(late["meta"]["total"], 2);
    assert_eq!(world.owner.get(&format!("{path}/invoices")).await["meta"]["total"], 3);
    pay(&world, &late["data"][0], json!({"status": "UNCOLLECTIBLE"})).await;
    assert_eq!(status(&world).await, "PAST_DUE", "one is left");
    pay(&world, &late["data"][1], json!({"status": "VOID"})).await;
    assert_eq!(status(&world).await, "ACTIVE", "nothing more is awaited");

    // Both at once.
    world.advance_to("2025-06-20T00:00:00Z").await;
    let late = world.owner.get(&format!("{invoices_path}&status=OPEN")).await;
    let [first, second] = late["data"].as_array().unwrap().as_slice() else { panic!("{late}") };
    let paid = json!({"status": "PAID"});
    tokio::join!(pay(&world, first, paid.clone()), pay(&world, second, paid));
    assert_eq!(status(&world).await, "ACTIVE");
}

#[tokio::test]
async fn an_invoice_paid_in_time_never_becomes_late() {
    let mut world = World::new().await;
    world.settings(json!({"payment_terms_days": 10})).await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    let subscription = world.subscribe(&customer, &plan).await;
    world.advance_to("2025-02-05T00:00:00Z").await;
    let invoice = world.owner.get("/invoices").await["data"][0].clone();
    world.owner.changed(Method::POST, &format!("/invoices/{}/pay", text(&invoice["id"])), json!({})).await;
    world.advance_to("2025-02-20T00:00:00Z").await;
    let subscription = world.owner.get(&format!("/subscriptions/{}", text(&subscription["id"]))).await;
    assert_eq!(subscription["status"], "ACTIVE");
    assert_eq!(world.owner.get("/invoices").await["data"][0]["past_due_at"], Value::Null);
}

#[tokio::test]
async fn a_last_invoice_may_be_a_credit() {
    let mut world = World::new().await;
    let rates = json!([{"name": "VAT", "country": "DE", "rate": 19}]);
    world.settings(json!({"tax_rates": rates, "zero_invoices": "skip", "email_invoices": true})).await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 31, "in_advance": true})]).await;
    let customer = world.customer_in("DE", "", json!({})).await;
    let subscription = world.subscribe(&customer, &plan).await;
    world.advance_to("2025-01-11T00:00:00Z").await;
    let cancel = format!("/subscriptions/{}/cancel", text(&subscription["id"]));
    world.owner.changed(Method::POST, &cancel, json!({})).await;
    let id = world.owner.get("/invoices").await["data"][0]["id"].clone();
    let path = format!("/invoices/{}", text(&id));
    let draft = world.owner.get(&path).await;
    assert_eq!((&draft["status"], figures(&draft)), (&json!("DRAFT"), "-21.00 -3.99 -24.99 0.00".into()));
    world.advance_to("2025-01-11T02:00:00Z").await;
    let credit = world.owner.get(&path).await;
    assert_eq!((&credit["status"], figures(&credit)), (&json!("PAID"), "-21.00 -3.99 -24.99 0.00".into()));
    assert_eq!(credit["amount_paid"].to_string(), "0.00");
    assert_eq!(credit["invoice_number"], "INV-2025-0002");
    assert_eq!(world.owner.call(Method::POST, &format!("{path}/pay"), None).await.0, 409);
    assert_eq!(world.owner.call(Method::GET, &format!("{path}/pdf"), None).await.0, 200);
    let mails = world.owner.get_local("outbox").await;
    let mail = mails.as_array().unwrap().iter().find(|mail| mail["invoice_id"] == id).unwrap();
    assert_eq!(mail["subject"], "Credit: Invoice INV-2025-0002 from Org of owner@example.com, USD −24.99");
    world.advance_to("2025-04-01T00:00:00Z").await;
    assert_eq!(world.owner.get(&path).await, credit, "never late");
    assert_eq!(world.owner.get("/invoices").await["meta"]["total"], 2);
}
