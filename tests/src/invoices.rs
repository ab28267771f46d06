//! Invoices written by hand, and the life of every invoice.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::{World, fields, figures, text},
    public_invoices::planted,
};

/// Two lines that come to 1,700.
fn lines() -> Value {
    json!([{"description": "Setup", "quantity": 1, "unit_amount": 500.00},
        {"description": "Hours", "quantity": "8", "unit_amount": "150"}])
}

/// An organization that has a customer in India, where tax is 18 %.
async fn in_india() -> (World, Value) {
    let world = World::new().await;
    world.settings(json!({"tax_rates": [{"name": "GST", "country": "in", "rate": 18}]})).await;
    let customer = world.customer_in("IN", "", json!({})).await;
    (world, customer)
}

async fn draft(world: &World, customer: &Value) -> String {
    let body = json!({"customer_id": customer["id"], "currency": "USD", "line_items": lines()});
    format!("/invoices/{}", text(&world.owner.created("/invoices", body).await["id"]))
}

#[tokio::test]
async fn a_date_to_pay_by_is_one_of_the_organization() {
    let (world, customer) = in_india().await;
    world.settings(json!({"time_zone": "America/New_York"})).await;
    let body = json!({"customer_id": customer["id"], "currency": "USD", "due_date": "2025-03-01", "line_items": lines()});
    let draft = world.owner.created("/invoices", body).await;
    assert_eq!(draft["due_date"], "2025-03-01T05:00:00Z");
    let path = format!("/invoices/{}", text(&draft["id"]));
    let edited = world.owner.changed(Method::PUT, &path, json!({"due_date": "2025-07-04"})).await;
    assert_eq!(edited["due_date"], "2025-07-04T04:00:00Z");
    world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    let token = world.owner.changed(Method::POST, &format!("{path}/generate-token"), json!({})).await;
    let page = reqwest::get(text(&token["public_url"])).await.unwrap().text().await.unwrap();
    assert!(page.contains("4 July 2025"), "{page}");
}

#[tokio::test]
async fn an_invoice_written_by_hand_has_the_documented_figures() {
    let (world, customer) = in_india().await;
    let body = json!({"customer_id": customer["id"], "currency": "USD", "due_date": "2025-02-15",
        "line_items": lines(), "memo": "Thank you", "meta_data": {"po": 7}});
    let draft = world.owner.created("/invoices", body).await;
    assert_eq!(figures(&draft), "1700.00 306.00 2006.00 2006.00");
    assert_eq!((&draft["status"], &draft["invoice_number"]), (&json!("DRAFT"), &Value::Null));
    assert_eq!(draft["scheduled_finalize_at"], Value::Null, "nobody finalizes it but its owner");
    assert_eq!(draft["line_items"][1]["line_total"].to_string(), "1200.00");
    assert_eq!(draft["taxes"].to_string(), r#"[{"amount":306.00,"name":"GST","rate":18}]"#);
    assert_eq!((&draft["due_date"], &draft["memo"]), (&json!("2025-02-15T00:00:00Z"), &json!("Thank you")));
    assert_eq!(draft["meta_data"], json!({"po": 7}));

    let path = format!("/invoices/{}", text(&draft["id"]));
    let setup = json!({"line_items": [{"description": "Setup fee", "quantity": 1, "unit_amount": 500}]});
    let edited = world.owner.changed(Method::PUT, &path, setup).await;
    assert_eq!(figures(&edited), "500.00 90.00 590.00 590.00");
    assert_eq!(edited["due_date"], draft["due_date"], "what is left out stays");

    let open = world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    assert_eq!((&open["status"], &open["invoice_number"]), (&json!("OPEN"), &json!("INV-2025-0001")));
    assert_eq!((figures(&open), &open["due_date"]), (figures(&edited), &draft["due_date"]));
    world.drain().await;
    assert_eq!(world.owner.get_local("outbox").await, json!([]), "finalizing by hand mails nothing");

    // What was finalized stays, whatever the rates become.
    world.settings(json!({"tax_rates": []})).await;
    assert_eq!(world.owner.get(&path).await, open);
    let paid = world.owner.changed(Method::POST, &format!("{path}/pay"), json!({})).await;
    assert_eq!(
        (figures(&paid), paid["amount_paid"].to_string()),
        ("500.00 90.00 590.00 0.00".into(), "590.00".into())
    );
}

#[tokio::test]
async fn what_cannot_be_on_an_invoice_is_refused_by_field() {
    let (world, customer) = in_india().await;
    let nowhere = world.customer().await;
    let line = json!({"description": "A", "quantity": 1, "unit_amount": 1});
    let with = |field: &str, value: Value| {
        let mut line = line.clone();
        line[field] = value;
        json!([line])
    };
    for (field, value, expected) in [
        ("customer_id", nowhere["id"].clone(), "customer_id"), // without a billing country
        ("customer_id", json!("00000000-0000-7000-8000-000000000000"), "customer_id"),
        ("customer_id", json!("x"), "customer_id"),
        ("currency", json!("XXX"), "currency"),
        ("due_date", json!("soon"), "due_date"),
        ("line_items", json!([]), "line_items"),
        ("line_items", with("quantity", json!(0)), "line_items[0].quantity"),
        ("line_items", with("quantity", json!(-1)), "line_items[0].quantity"),
        ("line_items", with("unit_amount", json!(-0.01)), "line_items[0].unit_amount"),
        ("line_items", with("unit_amount", json!("1e27")), "line_items[0].unit_amount"),
        ("line_items", with("unit_amount", json!("ten")), "line_items[0].unit_amount"),
        ("line_items", with("description", json!("")), "line_items[0].description"),
        ("line_items", with("amount", json!(1)), "line_items[0].amount"),
        ("total", json!(1), "total"),
    ] {
        let mut body = json!({"customer_id": customer["id"], "currency": "USD", "line_items": [line]});
        body[field] = value;
        let (status, answer) = world.owner.post("/invoices", body.clone()).await;
        assert_eq!((status, fields(&answer)), (422, vec![expected]), "{body}");
    }
    let huge = json!([{"description": "A", "quantity": "1e14", "unit_amount": "1e14"}]);
    let body = json!({"customer_id": customer["id"], "currency": "USD", "line_items": huge});
    assert_eq!(world.owner.post("/invoices", body).await.0, 422);
    assert_eq!(world.owner.get("/invoices").await["meta"]["total"], 0);

    let path = draft(&world, &customer).await;
    for (body, field) in [
        (json!({"customer_id": nowhere["id"]}), "customer_id"),
        (json!({"currency": "EUR"}), "currency"),
        (json!({"line_items": []}), "line_items"),
        (json!({"status": "PAID"}), "status"),
    ] {
        let (status, answer) = world.owner.call(Method::PUT, &path, Some(body)).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]));
    }
}

#[tokio::test]
async fn amounts_have_the_decimals_of_their_currency() {
    let (world, customer) = in_india().await;
    for (currency, quantity, unit_amount, expected) in [
        ("USD", "3", "0.335", "1.01 0.18 1.19 1.19"), // 1.005, then 0.1818
        ("JPY", "1", "10.5", "11 2 13 13"),           // 1.98
        ("KWD", "1", "1.0005", "1.001 0.180 1.181 1.181"), // 0.18018
        ("USD", "12000", "0.001", "12.00 2.16 14.16 14.16"),
    ] {
        let line = json!({"description": "A", "quantity": quantity, "unit_amount": unit_amount});
        let body = json!({"customer_id": customer["id"], "currency": currency, "line_items": [line]});
        let invoice = world.owner.created("/invoices", body).await;
        assert_eq!(figures(&invoice), expected, "{currency}");
    }
}

#[tokio::test]
async fn an_invoice_goes_only_where_it_may_and_keeps_the_note() {
    let (world, customer) = in_india().await;
    let to = async |path: &str, status: &str| {
        let body = json!({"status": status, "note": format!("to {status}")});
        world.owner.call(Method::PATCH, &format!("{path}/status"), Some(body)).await
    };
    let states = ["DRAFT", "OPEN", "PAID", "VOID", "UNCOLLECTIBLE"];
    for (way, allowed) in [
        (vec![], vec!["OPEN", "VOID"]),
        (vec!["OPEN"], vec!["PAID", "VOID", "UNCOLLECTIBLE"]),
        (vec!["OPEN", "UNCOLLECTIBLE"], vec!["PAID", "VOID"]),
        (vec!["OPEN", "PAID"], vec![]),
        (vec!["OPEN", "VOID"], vec![]),
        (vec!["VOID"], vec![]),
    ] {
        for target in states {
            let path = draft(&world, &customer).await;
            for step in &way {
                assert_eq!(to(&path, step).await.0, 200, "{way:?}");
            }
            let before = world.owner.get(&path).await;
            let (status, answer) = to(&path, target).await;
            if !allowed.contains(&target) {
                assert_eq!(
                    (status, &answer["code"]),
                    (409, &json!("invalid_transition")),
                    "{way:?} to {target}"
                );
                assert_eq!(world.owner.get(&path).await, before, "{way:?} to {target}");
                continue;
            }
            assert_eq!((status, text(&answer["status"])), (200, target), "{way:?} to {target}");
            let expected = json!({"previous_status": before["status"], "status_change_note": format!("to {target}"),
                "status_change_timestamp": "2025-01-01T00:00:00Z"});
            assert_eq!(answer["meta_data"], expected);
            assert_eq!(world.owner.get(&path).await["meta_data"], expected);
        }
    }
    // Numbers are given when invoices open, and none is left out.
    let numbers = world.owner.get("/invoices?page_size=100").await;
    let numbers = numbers["data"].as_array().unwrap().iter().filter_map(|row| row["invoice_number"].as_str());
    let numbers = numbers.map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let expected = (1..=numbers.len()).map(|n| format!("INV-2025-{n:04}"));
    assert_eq!(numbers, expected.collect());

    // A note that is not there takes away the one of another change.
    let path = draft(&world, &customer).await;
    to(&path, "OPEN").await;
    let paid = world.owner.changed(Method::PATCH, &format!("{path}/status"), json!({"status": "PAID"})).await;
    assert_eq!(
        (&paid["meta_data"]["status_change_note"], &paid["meta_data"]["previous_status"]),
        (&Value::Null, &json!("OPEN"))
    );
    let path = draft(&world, &customer).await;
    to(&path, "OPEN").await;
    to(&path, "UNCOLLECTIBLE").await;
    let paid = world.owner.changed(Method::POST, &format!("{path}/pay"), json!({})).await;
    let expected =
        json!({"previous_status": "UNCOLLECTIBLE", "status_change_timestamp": "2025-01-01T00:00:00Z"});
    assert_eq!(paid["meta_data"], expected, "of the change that was made, by whichever route");
    let (status, answer) =
        world.owner.call(Method::PATCH, &format!("{path}/status"), Some(json!({"status": "LOST"}))).await;
    assert_eq!((status, fields(&answer)), (422, vec!["status"]));
}

#[tokio::test]
async fn only_drafts_are_edited_and_deleted() {
    let (world, customer) = in_india().await;
    let path = draft(&world, &customer).await;
    assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(world.owner.call(Method::GET, &path, None).await.0, 404);
    assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 404);
    assert_eq!(world.owner.get("/invoices").await["meta"]["total"], 0);

    let path = draft(&world, &customer).await;
    let sent = world.owner.changed(Method::POST, &format!("{path}/send-email"), json!({})).await;
    assert_eq!(
        sent,
        json!({"success": true, "message": "INV-2025-0001 is on its way", "payment_link": null})
    );
    world.drain().await;
    assert_eq!(world.owner.get_local("outbox").await.as_array().unwrap().len(), 1);
    let before = world.owner.get(&path).await;
    assert_eq!(before["status"], "OPEN", "mailing opens a draft");
    for (method, path, body) in [
        (Method::PUT, path.clone(), json!({"memo": "late"})),
        (Method::DELETE, path.clone(), json!({})),
        (Method::POST, format!("{path}/recompute"), json!({})),
    ] {
        let (status, answer) = world.owner.call(method.clone(), &path, Some(body)).await;
        assert_eq!((status, &answer["code"]), (409, &json!("invoice_not_draft")), "{method} {path}");
    }
    let (status, _) = world.owner.post(&format!("{path}/finalize"), json!({})).await;
    assert_eq!((status, world.owner.get(&path).await), (409, before));
}

#[tokio::test]
async fn a_draft_can_go_to_another_customer() {
    let (world, customer) = in_india().await;
    let other = world.customer_in("US", "", json!({"name": "Other"})).await;
    let path = draft(&world, &customer).await;
    let token = planted(&world, &world.owner.get(&path).await).await;
    let moved = world.owner.changed(Method::PUT, &path, json!({"customer_id": other["id"]})).await;
    assert_eq!(
        (&moved["customer_id"], figures(&moved)),
        (&other["id"], "1700.00 0.00 1700.00 1700.00".into())
    );
    assert_eq!(world.owner.get(&path).await, moved);
    let of = async |customer: &Value| {
        world.owner.get(&format!("/customers/{}/invoices", text(&customer["id"]))).await["meta"]["total"]
            .clone()
    };
    assert_eq!((of(&customer).await, of(&other).await), (json!(0), json!(1)));
    let euros = json!({"currency": "EUR", "line_items": lines(), "payment_terms_days": 7});
    let euros = world.owner.changed(Method::PUT, &path, euros).await;
    assert_eq!((&euros["currency"], &euros["due_date"]), (&json!("EUR"), &json!("2025-01-08T00:00:00Z")));
    world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    let public = world.anonymous().get(&format!("/invoices/public/{token}")).await;
    assert_eq!(public["customer"]["name"], "Other", "a token leads to it still");
}

#[tokio::test]
async fn finalizing_and_editing_at_once_is_one_after_the_other() {
    let (world, customer) = in_india().await;
    for round in 0..10 {
        let path = draft(&world, &customer).await;
        let edits = (0..3).map(|n| {
            let (owner, path) = (world.owner.clone(), path.clone());
            let line = json!([{"description": "A", "quantity": n + 2, "unit_amount": 100}]);
            async move { owner.call(Method::PUT, &path, Some(json!({"line_items": line}))).await }
        });
        let edits = edits.map(tokio::spawn).collect::<Vec<_>>();
        let finalized = world.owner.post(&format!("{path}/finalize"), json!({})).await;
        let mut edited = Vec::new();
        for edit in edits {
            edited.push(edit.await.unwrap());
        }
        let invoice = world.owner.get(&path).await;
        for (status, answer) in edited.iter().chain([&finalized]) {
            let code = answer["code"].as_str().unwrap_or_default();
            assert!(
                *status == 200
                    || (*status == 409 && ["changed_meanwhile", "invoice_not_draft"].contains(&code)),
                "round {round}: {status} {answer}"
            );
        }
        // Whoever won last is what is there, and nothing in between.
        if finalized.0 == 200 {
            assert_eq!(invoice, finalized.1, "no edit came after finalizing");
        } else {
            assert_eq!(invoice["status"], "DRAFT");
            let won = edited.iter().filter(|(status, _)| *status == 200);
            assert!(won.map(|(_, answer)| figures(answer)).any(|won| won == figures(&invoice)));
        }
    }
}

#[tokio::test]
async fn invoices_are_found_by_customer_status_and_date() {
    let (mut world, customer) = in_india().await;
    let other = world.customer_in("US", "", json!({})).await;
    draft(&world, &customer).await;
    world.advance_to("2025-01-02T23:59:59Z").await;
    let path = draft(&world, &other).await;
    world.owner.changed(Method::POST, &format!("{path}/finalize"), json!({})).await;
    world.advance_to("2025-01-03T00:00:00Z").await;
    draft(&world, &customer).await;
    let id = text(&customer["id"]);
    for (query, expected) in [
        (String::new(), 3),
        ("status=DRAFT".into(), 2),
        ("status=OPEN".into(), 1),
        (format!("customer_id={id}"), 2),
        (format!("customer_id={id}&status=OPEN"), 0),
        ("start_date=2025-01-02".into(), 2),
        ("start_date=2025-01-02&end_date=2025-01-02".into(), 1),
        ("end_date=2025-01-02".into(), 2),
        ("end_date=2025-01-02T23:59:59Z".into(), 1),
        ("start_date=2025-01-02&status=DRAFT&page_size=1".into(), 1),
        (format!("customer_id={id}&start_date=2025-01-03"), 1),
        (format!("customer_id={id}&end_date=2025-01-01"), 1),
        ("start_date=2025-01-04".into(), 0),
    ] {
        let total = &world.owner.get(&format!("/invoices?{query}")).await["meta"]["total"];
        assert_eq!(*total, expected, "{query}");
    }
    for (query, field) in
        [("status=LATE", "status"), ("start_date=x", "start_date"), ("customer_id=x", "customer_id")]
    {
        let (status, answer) = world.owner.call(Method::GET, &format!("/invoices?{query}"), None).await;
        assert_eq!((status, fields(&answer)), (422, vec![field]));
    }
}
