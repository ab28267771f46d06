//! The main job from end to end: usage in, an exact invoice out.

use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::client::{World, text};

fn decimal(value: &Value) -> Decimal {
    value.to_string().parse().unwrap()
}

/// An invoice as a reader adds it up.
fn summary(invoice: &Value) -> String {
    let mut text = format!("{} {}", invoice["status"], invoice["invoice_number"]);
    for line in invoice["line_items"].as_array().unwrap() {
        text += &format!("\n{}: {} = {}", line["description"], line["quantity"], line["line_total"]);
        for tier in line["tiers"].as_array().unwrap() {
            text += &format!(
                "\n  {} x {} + {} = {}",
                tier["quantity"], tier["unit_price"], tier["flat_price"], tier["amount"]
            );
        }
    }
    text + &format!(
        "\ntotal {} due {} paid {}",
        invoice["total"], invoice["amount_due"], invoice["amount_paid"]
    )
}

#[tokio::test]
async fn a_month_of_usage_becomes_one_exact_invoice() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    let tiers = json!([{"up_to": 1000, "unit_price": 0.002}, {"up_to": 10000, "unit_price": "0.001"},
        {"up_to": null, "unit_price": 0.0005}]);
    let usage = |name: &str, model: &str| json!({"type": "USAGE", "meter_id": meter["meter_id"], "charge_model": model, "unit_price": 0, "tiers": tiers, "display_name": name});
    let plan = world
        .plan(&[
            json!({"type": "FIXED", "unit_price": 49.00, "display_name": "Base"}),
            json!({"type": "FIXED", "unit_price": 5, "quantity": 10, "display_name": "Seats"}),
            json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 0.0001, "display_name": "Per call"}),
            usage("Graduated", "graduated"),
            usage("Volume", "volume"),
        ])
        .await;
    let customer = world.customer().await;
    let subscription = world.subscribe(&customer, &plan).await;
    assert_eq!(subscription["current_period_end"], "2025-02-01T00:00:00Z");

    // A charge that comes later does not change what was sold.
    let later = json!({"type": "FIXED", "unit_price": 1000, "display_name": "Later"});
    world.owner.created(&format!("/plans/{}/charges", text(&plan["id"])), later).await;

    world.advance_to("2025-01-31T12:00:00Z").await;
    let sender = world.owner.with_key(&["usage.write"]).await;
    let track = async |key: &str, at: &str, quantity: Value| {
        let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": quantity,
            "timestamp": at, "idempotency_key": key});
        sender.created("/sdk/track", body).await
    };
    track("before", "2024-12-31T23:59:59.999Z", json!(7000)).await;
    track("first", "2025-01-01T00:00:00Z", json!(10000)).await;
    track("middle", "2025-01-15T00:00:00Z", json!("4999.5")).await;
    track("last", "2025-01-31T23:59:59.999Z", json!(0.25)).await;
    track("after", "2025-02-01T00:00:00Z", json!(9000)).await;
    world.drain().await;

    world.advance_to("2025-02-01T00:01:00Z").await;
    let invoices = world.owner.get("/invoices").await;
    assert_eq!(invoices["meta"]["total"], 1);
    let path = format!("/invoices/{}", text(&invoices["data"][0]["id"]));
    let draft = world.owner.get(&path).await;
    assert_eq!(draft["scheduled_finalize_at"], "2025-02-01T01:00:00Z");
    assert_eq!(draft["status"], "DRAFT");

    // An event that comes late, within the grace period, is on it.
    let sender = world.owner.with_key(&["usage.write"]).await;
    let late = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 0.25,
        "timestamp": "2025-01-20T00:00:00Z", "idempotency_key": "late"});
    sender.created("/sdk/track", late).await;
    world.drain().await;
    assert_eq!(decimal(&world.owner.get(&path).await["line_items"][2]["quantity"]), Decimal::from(15000));
    world.advance_to("2025-02-01T00:59:59Z").await;
    assert_eq!(world.owner.get(&path).await["status"], "DRAFT");

    world.advance_to("2025-02-01T01:05:00Z").await;
    world.drain().await;
    let invoice = world.owner.get(&path).await;
    insta::assert_snapshot!(summary(&invoice), @r#"
    "OPEN" "INV-2025-0001"
    "Base": 1 = 49.00
    "Seats": 10 = 50.00
    "Per call": 15000 = 1.50
    "Graduated": 15000 = 13.50
      1000 x 0.002 + 0 = 2.000
      9000 x 0.001 + 0 = 9.000
      5000 x 0.0005 + 0 = 2.5000
    "Volume": 15000 = 7.50
      15000 x 0.0005 + 0 = 7.5000
    total 121.50 due 121.50 paid 0.00
    "#);
    assert_eq!(invoice["due_date"], "2025-03-03T01:00:00Z");

    let mails = world.owner.get_local("outbox").await;
    let [mail] = mails.as_array().unwrap().as_slice() else { panic!("{mails}") };
    assert_eq!((&mail["to"], &mail["invoice_id"]), (&json!("billing@acme.example"), &invoice["id"]));
    let mime = std::fs::read_to_string(text(&mail["file"])).unwrap();
    for part in ["text/plain", "text/html", "application/pdf", "INV-2025-0001"] {
        assert!(mime.contains(part), "{part}");
    }
    assert_eq!(world.owner.call(Method::GET, &format!("{path}/pdf"), None).await.0, 200);

    let subscription = world.owner.get(&format!("/subscriptions/{}", text(&subscription["id"]))).await;
    assert_eq!(subscription["current_period_start"], "2025-02-01T00:00:00Z");
    assert_eq!(subscription["last_invoiced_date"], "2025-02-01T00:00:00Z");

    let (status, paid) = world.owner.call(Method::POST, &format!("{path}/pay"), None).await;
    assert_eq!((status, &paid["status"], decimal(&paid["amount_due"])), (200, &json!("PAID"), Decimal::ZERO));
    let (status, body) = world.owner.call(Method::POST, &format!("{path}/pay"), None).await;
    assert_eq!((status, &body["code"]), (409, &json!("invalid_transition")));
}

#[tokio::test]
async fn months_that_were_missed_are_closed_once_each() {
    let mut world = World::new().await;
    world.settings(json!({"payment_terms_days": 365})).await; // else it is past due by May
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-31"});
    let subscription = world.owner.created("/subscriptions", body).await;
    world.advance_to("2025-05-01T02:00:00Z").await;
    let path = format!("/customers/{}/invoices", text(&customer["id"]));
    let invoices = world.owner.get(&path).await;
    let rows = invoices["data"].as_array().unwrap().iter().rev();
    let rows =
        rows.map(|row| format!("{} {} {}", row["invoice_number"], row["period_start"], row["period_end"]));
    insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @r#"
    "INV-2025-0001" "2025-01-31T00:00:00Z" "2025-02-28T00:00:00Z"
    "INV-2025-0002" "2025-02-28T00:00:00Z" "2025-03-31T00:00:00Z"
    "INV-2025-0003" "2025-03-31T00:00:00Z" "2025-04-30T00:00:00Z"
    "#);
    let path = format!("/subscriptions/{}/cancel", text(&subscription["id"]));
    let (status, canceled) =
        world.owner.post(&path, json!({"cancel_at_period_end": true, "reason": "moving"})).await;
    assert_eq!(
        (status, &canceled["status"], &canceled["canceled_at"]),
        (200, &json!("ACTIVE"), &json!("2025-05-01T02:00:00Z"))
    );
    world.advance_to("2025-09-01T00:00:00Z").await;
    assert_eq!(world.owner.get("/invoices?status=OPEN").await["meta"]["total"], 4);
    let canceled = world.owner.get(&format!("/subscriptions/{}", text(&subscription["id"]))).await;
    assert_eq!(canceled["status"], "CANCELED");
    assert_eq!(world.owner.call(Method::DELETE, &format!("/plans/{}", text(&plan["id"])), None).await.0, 204);
}

#[tokio::test]
async fn a_trial_is_not_billed() {
    let mut world = World::new().await;
    let plan = world.plan(&[json!({"type": "FIXED", "unit_price": 30})]).await;
    let customer = world.customer().await;
    let body = json!({"customer_id": customer["id"], "plan_id": plan["id"], "start_date": "2025-01-01T00:00:00Z",
        "trial_end_date": "2025-01-15T00:00:00Z"});
    let subscription = world.owner.created("/subscriptions", body).await;
    assert_eq!(subscription["status"], "TRIAL");
    let path = format!("/subscriptions/{}", text(&subscription["id"]));
    world.advance_to("2025-01-20T00:00:00Z").await;
    let subscription = world.owner.get(&path).await;
    assert_eq!(subscription["status"], "ACTIVE");
    assert_eq!(subscription["current_period_start"], "2025-01-15T00:00:00Z");
    assert_eq!(world.owner.get("/invoices").await["meta"]["total"], 0);
    let (status, body) =
        world.owner.call(Method::DELETE, &format!("/plans/{}", text(&plan["id"])), None).await;
    assert_eq!((status, &body["code"]), (409, &json!("plan_in_use")));
    assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(world.owner.call(Method::DELETE, &format!("/plans/{}", text(&plan["id"])), None).await.0, 204);
}

#[tokio::test]
async fn aggregations_and_filters_count_what_they_say() {
    let world = World::new().await;
    let sender = world.owner.with_key(&["usage.write", "usage.read"]).await;
    for (aggregation, expected) in
        [("SUM", "127"), ("COUNT", "5"), ("MAX", "55"), ("MIN", "7"), ("LAST", "12"), ("UNIQUE_COUNT", "3")]
    {
        let name = aggregation.to_lowercase();
        let body = json!({"name": name, "lookup_key": name, "type": "meter", "meter_name": name,
            "property_name": if aggregation == "UNIQUE_COUNT" { "user" } else { "n" }, "aggregation_type": aggregation,
            "filters": [{"property": "region", "operator": "in", "values": ["eu", "us"]}]});
        let feature = world.owner.created("/features", body).await;
        for (n, (value, user, region)) in [
            (15, "a", "eu"),
            (38, "b", "us"),
            (7, "a", "eu"),
            (55, "c", "us"),
            (12, "b", "eu"),
            (1000, "x", "asia"),
        ]
        .into_iter()
        .enumerate()
        {
            // Sent backwards: only timestamps decide what is last.
            let body = json!({"customer_external_id": "acme", "meter_name": name, "idempotency_key": format!("{n}"),
                "timestamp": format!("2024-12-{:02}T00:00:00Z", 10 + n),
                "properties": {"n": value.to_string(), "user": user, "region": region}});
            sender.created("/usage", body).await;
        }
        world.drain().await;
        let path =
            format!("/meters/{}/usage?start_date=2024-12-01&group_by=month", text(&feature["meter_id"]));
        let usage = sender.get(&path).await;
        assert_eq!(usage["total_usage"].to_string(), expected, "{aggregation}");
        assert_eq!(usage["event_count"], 5, "{aggregation}");
        assert_eq!(usage["unique_customers"], 1, "{aggregation}");
    }
    // The customer was made by its first event, and has no address yet.
    let customers = world.owner.get("/customers").await;
    assert_eq!(
        (&customers["meta"]["total"], &customers["data"][0]["external_id"]),
        (&json!(1), &json!("acme"))
    );
    assert_eq!(customers["data"][0]["email"], Value::Null);
}

#[tokio::test]
async fn usage_of_a_busy_month_is_sealed_and_still_found() {
    let mut world = World::new().await;
    let meter = world.meter("SUM").await;
    world.advance_to("2025-01-20T00:00:00Z").await;
    let sender = world.owner.with_key(&["usage.write", "usage.read"]).await;
    for n in 0..120 {
        let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 2,
            "timestamp": format!("2025-01-{:02}T{:02}:30:00Z", 1 + n % 19, n % 24), "idempotency_key": format!("event number {n}")});
        sender.created("/sdk/track", body).await;
    }
    world.drain().await;
    let usage = |query: &str| {
        let path = format!("/meters/{}/usage?{query}", text(&meter["meter_id"]));
        let sender = sender.clone();
        async move { sender.get(&path).await }
    };
    assert_eq!(usage("start_date=2025-01-01&end_date=2025-01-31").await["total_usage"].to_string(), "240");
    // A range that cuts days is folded from the events.
    let naive = (0..120).filter(|n| {
        let (day, hour) = (1 + n % 19, n % 24);
        (day, hour) >= (3, 12) && (day, hour) < (7, 4)
    });
    let expected = naive.count() * 2;
    let part = usage("start_date=2025-01-03T12:00:00Z&end_date=2025-01-07T04:00:00Z&group_by=hour").await;
    assert_eq!(part["total_usage"].to_string(), expected.to_string());
    let steps = part["grouped_data"].as_array().unwrap();
    assert_eq!(steps.len(), 88);
    assert_eq!(steps.iter().map(|step| decimal(&step["usage"])).sum::<Decimal>(), Decimal::from(expected));

    let mut keys = std::collections::BTreeSet::new();
    let mut path = format!("/meters/{}/events?page_size=50", text(&meter["meter_id"]));
    loop {
        let page = sender.get(&path).await;
        assert_eq!(page["meta"]["total"], 120);
        keys.extend(page["data"].as_array().unwrap().iter().map(|row| row["idempotency_key"].to_string()));
        let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
        path = format!("/meters/{}/events?page_size=50&cursor={cursor}", text(&meter["meter_id"]));
    }
    assert_eq!(keys.len(), 120);
}

#[tokio::test]
async fn a_burst_of_a_hundred_requests_at_once_is_counted() {
    let world = World::new().await;
    let meter = world.meter("SUM").await;
    let sender = world.owner.with_key(&["usage.write", "usage.read"]).await;
    let burst = (0..100).map(|n| {
        // All of one customer that nobody knows yet.
        let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "new", "quantity": 1,
            "idempotency_key": format!("burst {n}")});
        let sender = sender.clone();
        tokio::spawn(async move { sender.created("/sdk/track", body).await["customer_id"].clone() })
    });
    let mut customers = std::collections::BTreeSet::new();
    for request in burst.collect::<Vec<_>>() {
        customers.insert(request.await.unwrap().to_string());
    }
    assert_eq!(customers.len(), 1, "one customer is made");
    world.drain().await;
    let usage =
        sender.get(&format!("/meters/{}/usage?start_date=2024-12-31", text(&meter["meter_id"]))).await;
    assert_eq!((usage["total_usage"].to_string(), &usage["event_count"]), ("100".into(), &json!(100)));
}
