//! Usage over HTTP: every way in, every way out, and what becomes of single events.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Caller, World, text};

/// A world in the middle of January with one meter and one customer.
async fn world(aggregation: &str) -> (World, Value, Caller) {
    let mut world = World::new().await;
    let meter = world.meter(aggregation).await;
    world.customer().await;
    world.advance_to("2025-01-20T12:00:00Z").await;
    let caller = world.owner.with_key(&["usage.write", "usage.read"]).await;
    (world, meter, caller)
}

fn event(meter: &Value, key: &str, at: &str, quantity: Value) -> Value {
    json!({"meter_id": meter["meter_id"], "customer_external_id": "acme", "quantity": quantity,
        "timestamp": at, "idempotency_key": key})
}

async fn usage(caller: &Caller, query: &str) -> Value {
    caller.get(&format!("/usage?start_date=2025-01-01&end_date=2025-01-31&{query}")).await
}

#[tokio::test]
async fn a_batch_gets_a_verdict_for_each_event() {
    let (world, meter, caller) = world("SUM").await;
    let at = "2025-01-15T10:00:00Z";
    let good = (0..500).map(|n| event(&meter, &format!("k{n}"), at, json!(2)));
    let (status, answer) = caller.post("/usage/batch", json!({"events": good.collect::<Vec<_>>()})).await;
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (202, &json!(500), &json!(0)));

    let mut unknown = event(&meter, "x", at, json!(1));
    unknown["quantty"] = json!(1);
    let track =
        json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": "0.5"});
    let mixed = json!({"events": [
        event(&meter, "k0", at, json!(2)),
        event(&meter, "bad", at, json!(-1)),
        unknown,
        {"meter_name": "nothing", "customer_external_id": "acme", "quantity": 1},
        track,
        event(&meter, "late", "2025-02-20T00:00:00Z", json!(1)),
    ]});
    let (status, answer) = caller.post("/usage/batch", mixed).await;
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (207, &json!(2), &json!(4)));
    let results = answer["results"].as_array().unwrap();
    let shown = |result: &Value| {
        let field = result["error"]["errors"][0]["field"].as_str().unwrap_or("-").to_owned();
        format!("{} {} {field}", text(&result["status"]), result["error"]["status"])
    };
    assert_eq!(
        results.iter().map(shown).collect::<Vec<_>>(),
        [
            "accepted null -",
            "rejected 422 events[1].quantity",
            "rejected 422 events[2].quantty",
            "rejected 404 -",
            "accepted null -",
            "rejected 422 events[5].timestamp",
        ]
    );
    world.drain().await;
    let found = usage(&caller, &format!("meter_id={}", text(&meter["meter_id"]))).await;
    assert_eq!((found["total_usage"].to_string().as_str(), &found["event_count"]), ("1000.5", &json!(501)));

    let too_many = vec![event(&meter, "k", at, json!(1)); 1001];
    for (events, field) in [(json!([]), "events"), (json!(too_many), "events"), (json!({}), "events")] {
        let (status, problem) = caller.post("/usage/batch", json!({"events": events})).await;
        assert_eq!((status, text(&problem["errors"][0]["field"])), (422, field));
    }
}

#[tokio::test]
async fn every_way_in_has_one_key_space() {
    let (world, meter, caller) = world("SUM").await;
    let from = |source: &str, id: &str, amount: Value| {
        json!({"specversion": "1.0", "id": id, "source": source, "type": "calls", "subject": "acme",
            "time": "2025-01-15T10:00:00Z", "data": {"n": amount, "region": "eu"}})
    };
    let cloud = |id: &str, amount: Value| from("/gateway", id, amount);
    let send = async |path: &str, kind: &str, body: Value| {
        let request = caller.request(Method::POST, path).header("content-type", kind);
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, first) = send("/usage", "application/cloudevents+json", cloud("e1", json!(5))).await;
    assert_eq!(status, 201, "{first}");
    let batch = json!([cloud("e2", json!("2.5")), cloud("e1", json!(5)), cloud("e3", json!("two"))]);
    let (status, answer) =
        send("/usage/batch", "application/cloudevents-batch+json; charset=utf-8", batch).await;
    assert_eq!((status, &answer["accepted"]), (207, &json!(2)), "{answer}");
    assert_eq!(answer["results"][1]["id"], first["id"]);
    assert_eq!(answer["results"][2]["error"]["errors"][0]["field"], "events[2].properties.n");

    // The same keys by way of the SDK's door, with another timestamp.
    for (key, quantity) in [("/gateway|e1", json!(5)), ("/gateway|e2", json!(2.5))] {
        let body = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme",
            "quantity": quantity, "idempotency_key": key, "timestamp": "2025-01-16T00:00:00Z",
            "metadata": {"region": "eu"}});
        caller.created("/sdk/track", body).await;
    }
    let (status, _) = send("/usage", "text/plain", json!({})).await;
    assert_eq!(status, 415);
    // Another source counts for itself, whatever ids it gives; so does who gives only an id.
    let (_, other) = send("/usage", "application/cloudevents+json", from("/other", "e1", json!(10))).await;
    assert_eq!(other["idempotency_key"], "/other|e1");
    assert_ne!(other["id"], first["id"]);
    let bare = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 100,
        "idempotency_key": "e1", "timestamp": "2025-01-15T10:00:00Z"});
    caller.created("/sdk/track", bare).await;
    world.drain().await;
    let found = usage(&caller, &format!("meter_id={}", text(&meter["meter_id"]))).await;
    assert_eq!((found["total_usage"].to_string().as_str(), &found["event_count"]), ("117.5", &json!(4)));
}

#[tokio::test]
async fn usage_is_shown_by_step_zone_property_and_filter() {
    let (world, meter, caller) = world("SUM").await;
    let rows = [
        ("a", "2025-01-01T22:30:00Z", 1, "eu", "x"),
        ("b", "2025-01-01T23:30:00Z", 2, "eu", "y"),
        ("c", "2025-01-02T10:00:00Z", 4, "us", "x"),
        ("d", "2025-01-10T10:00:00Z", 8, "ap", "x"),
    ];
    let events = rows.map(|(key, at, quantity, region, model)| {
        let mut event = event(&meter, key, at, json!(quantity));
        event["properties"] = json!({"region": region});
        event["metadata"] = json!({"model": model});
        event
    });
    let mut bare = event(&meter, "e", "2025-01-11T00:00:00Z", json!(16));
    bare["customer_external_id"] = json!("other");
    let all = [events.to_vec(), vec![bare]].concat();
    let (status, _) = caller.post("/usage/batch", json!({"events": all})).await;
    assert_eq!(status, 202);
    world.drain().await;

    let id = text(&meter["meter_id"]);
    let total = async |query: &str| {
        let found = usage(&caller, &format!("meter_id={id}&{query}")).await;
        found["total_usage"].to_string()
    };
    assert_eq!(total("").await, "31");
    assert_eq!(total("customer_external_id=acme").await, "15");
    assert_eq!(total("filter[region]=eu").await, "3");
    assert_eq!(total("filter[region][not_equals]=eu").await, "28");
    assert_eq!(total("filter[region][in]=eu,us").await, "7");
    assert_eq!(total("filter[region][not_in]=eu,us&filter[model]=x").await, "8");
    assert_eq!(total("filter[region][exists]=true").await, "15");
    let part = format!("/usage?meter_id={id}&start_date=2025-01-01T23:30:00Z&end_date=2025-01-02T10:00:00Z");
    assert_eq!(caller.get(&part).await["total_usage"].to_string(), "2", "the end is not inside");

    let groups = usage(&caller, &format!("meter_id={id}&group_by=region")).await;
    let shown = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| format!("{} {}", group["value"], group["usage"]));
    assert_eq!(shown.collect::<Vec<_>>(), [r#"null 16"#, r#""ap" 8"#, r#""us" 4"#, r#""eu" 3"#]);

    let steps = async |query: &str| {
        let found = caller.get(&format!("/meters/{id}/usage?{query}")).await;
        let steps = found["grouped_data"].as_array().unwrap().iter();
        let used = steps.filter(|step| step["event_count"] != 0);
        used.map(|step| format!("{} {}", text(&step["period"]), step["usage"])).collect::<Vec<_>>()
    };
    let days = "start_date=2025-01-01&end_date=2025-01-05&group_by=day";
    assert_eq!(steps(days).await, ["2025-01-01T00:00:00Z 3", "2025-01-02T00:00:00Z 4"]);
    assert_eq!(
        steps(&format!("{days}&time_zone=Europe/Berlin")).await,
        ["2024-12-31T23:00:00Z 1", "2025-01-01T23:00:00Z 6"],
        "half past eleven in London is tomorrow in Berlin"
    );
    let top = caller.get(&format!("/meters/{id}/top-customers?start_date=2025-01-01&limit=1")).await;
    assert_eq!(top["customers"].as_array().unwrap().len(), 1);
    assert_eq!(top["customers"][0]["usage"], 16);
    let all = usage(&caller, "customer_external_id=acme").await;
    assert_eq!((&all["meters"][0]["total_usage"], &all["event_count"]), (&json!(15), &json!(4)));
    let aggregate = format!("/usage/aggregate?meter_id={id}&start_date=2025-01-01&end_date=2025-01-31");
    assert_eq!(caller.get(&aggregate).await["total_usage"], 31);

    for (query, field) in [
        ("group_by=day&time_zone=Mars/Base", "time_zone"),
        ("filter[]=x", "filter[]"),
        ("filter[region][like]=x", "filter[region][like]"),
        ("start_date=2020-01-01", "start_date"),
        ("start_date=2024-01-01&group_by=hour", "group_by"),
    ] {
        let (status, problem) = caller.call(Method::GET, &format!("/meters/{id}/usage?{query}"), None).await;
        assert_eq!((status, text(&problem["errors"][0]["field"])), (422, field), "{query}");
    }
}

#[tokio::test]
async fn what_became_of_an_event_has_an_answer() {
    let (world, meter, caller) = world("SUM").await;
    let id = text(&meter["meter_id"]);
    let at = "2025-01-15T10:00:00Z";
    let first = caller.created("/usage", event(&meter, "k", at, json!(5))).await;
    world.drain().await;
    caller.created("/usage", event(&meter, "k", at, json!(5))).await;
    caller.created("/usage", event(&meter, "k", "2025-01-16T00:00:00Z", json!(7))).await;
    world.drain().await;

    let status = async |query: &str| {
        caller.get(&format!("/usage/events?meter_id={id}&customer_external_id=acme&{query}")).await
    };
    let found = status("idempotency_key=k").await;
    assert_eq!((&found["status"], &found["id"]), (&json!("counted"), &first["id"]));
    assert_eq!(found["counted_in"], json!({"month": "2025-01", "day": "2025-01-15", "place": "head"}));
    assert_eq!(found["not_counted"][0]["status"], "conflict");
    assert_eq!(found["not_counted"][0]["event"]["quantity"], "7");
    let repeat = status("idempotency_key=k&timestamp=2025-01-16T00:00:00Z").await;
    assert_eq!((&repeat["status"], &repeat["event"]["timestamp"]), (&json!("duplicate"), &json!(at)));
    assert_eq!(status("idempotency_key=other").await["status"], "unknown");

    // The log shows the conflict, the total does not count it.
    let log = caller.get(&format!("/meters/{id}/events")).await;
    let shown = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", text(&row["quantity"]), text(&row["status"])));
    assert_eq!(shown.collect::<Vec<_>>(), ["7 conflict", "5 counted"]);
    assert_eq!(usage(&caller, &format!("meter_id={id}")).await["total_usage"], 5);
    let rejected = caller.get("/usage/rejected?start_date=2025-01-01").await;
    assert_eq!((&rejected["meta"]["total"], &rejected["data"][0]["status"]), (&json!(1), &json!("conflict")));
    for (status, expected) in [("conflict", 1), ("rejected", 0)] {
        let listed = caller.get(&format!("/usage/rejected?start_date=2025-01-01&status={status}")).await;
        assert_eq!(listed["meta"]["total"], expected, "{status}");
    }
    let (status, problem) = caller.call(Method::GET, "/usage/rejected?status=counted", None).await;
    assert_eq!((status, text(&problem["errors"][0]["field"])), (422, "status"));

    // Sent again it is a conflict again: nothing is lost, nothing counted twice.
    let replay = format!("/usage/rejected/{}/replay", text(&first["id"]));
    assert_eq!(caller.call(Method::POST, &replay, None).await, (202, json!({"replayed": 1})));
    world.drain().await;
    assert_eq!(caller.get("/usage/rejected?start_date=2025-01-01").await["meta"]["total"], 1);
    assert_eq!(usage(&caller, &format!("meter_id={id}")).await["total_usage"], 5);
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let (world, meter, caller) = world("SUM").await;
    let id = text(&meter["meter_id"]);
    let events = (0..300).map(|n| {
        let at = format!("2025-01-{:02}T{:02}:00:{:02}Z", 1 + n % 19, n % 24, n % 60);
        let mut event = event(&meter, &format!("key {n}"), &at, json!(n + 1));
        event["customer_external_id"] = json!(format!("customer {}", n % 3));
        event
    });
    let (status, _) = caller.post("/usage/batch", json!({"events": events.collect::<Vec<_>>()})).await;
    assert_eq!(status, 202);
    world.drain().await;
    let log = async |query: &str| caller.get(&format!("/meters/{id}/events?{query}")).await;
    let page = log("page_size=7&page=3").await;
    assert_eq!((&page["meta"]["total"], &page["meta"]["total_pages"]), (&json!(300), &json!(43)));
    let mut seen = Vec::new();
    for number in 1..=43 {
        let page = log(&format!("page_size=7&page={number}")).await;
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| (row["timestamp"].to_string(), row["id"].to_string())),
        );
    }
    assert_eq!(seen.len(), 300);
    assert!(seen.windows(2).all(|pair| pair[0].0 >= pair[1].0), "newest first");
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 300);
    let total = async |query: &str| log(query).await["meta"]["total"].clone();
    assert_eq!(total("min_quantity=291").await, 10);
    assert_eq!(total("idempotency_key=key%20250").await, 1);
    assert_eq!(total("start_date=2025-01-03&end_date=2025-01-03").await, 16);
    let customers = caller.get(&format!("/meters/{id}/top-customers?start_date=2025-01-01")).await;
    let customer = text(&customers["customers"][0]["customer_id"]);
    assert_eq!(total(&format!("customer_id={customer}")).await, 100);
    assert_eq!(total(&format!("customer_id={customer}&min_quantity=291")).await, 4);
}

#[tokio::test]
async fn an_event_is_corrected_and_taken_back_while_its_period_is_open() {
    let mut world = World::new().await;
    let meter = world.meter("MAX").await;
    let plan = world.plan(&[json!({"type": "USAGE", "meter_id": meter["meter_id"], "unit_price": 1})]).await;
    let customer = world.customer().await;
    world.subscribe(&customer, &plan).await;
    world.advance_to("2025-01-20T12:00:00Z").await;
    let caller = world.owner.with_key(&["usage.write", "usage.read"]).await;
    let id = text(&meter["meter_id"]);
    for (key, quantity) in [("a", 10), ("b", 30), ("c", 20)] {
        caller.created("/usage", event(&meter, key, "2025-01-15T10:00:00Z", json!(quantity))).await;
    }
    world.drain().await;
    let max = async || usage(&caller, &format!("meter_id={id}")).await["total_usage"].to_string();
    let correct = async |key: &str, more: Value| {
        let mut body = json!({"meter_id": id, "customer_external_id": "acme", "idempotency_key": key});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = caller.post("/usage/corrections", body).await;
        world.drain().await;
        answer
    };
    assert_eq!(max().await, "30");
    assert_eq!(correct("b", json!({"action": "replace", "quantity": 15})).await.0, 202);
    assert_eq!(max().await, "20");
    assert_eq!(correct("c", json!({"action": "void"})).await.0, 202);
    assert_eq!(max().await, "15");
    assert_eq!(correct("b", json!({"action": "replace", "quantity": "40.5"})).await.0, 202);
    assert_eq!(max().await, "40.5");
    let log = caller.get(&format!("/meters/{id}/events")).await;
    let shown = log["data"].as_array().unwrap().iter().map(|row| {
        format!("{} {} {}", text(&row["idempotency_key"]), text(&row["quantity"]), text(&row["status"]))
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["c 20 voided", "b 40.5 replaced", "a 10 counted"]);
    let status = format!("/usage/events?meter_id={id}&customer_external_id=acme&idempotency_key=b");
    let status = caller.get(&status).await;
    assert_eq!(status["corrections"].as_array().unwrap().len(), 2);
    assert_eq!((&status["status"], &status["event"]["quantity"]), (&json!("replaced"), &json!("30")));

    assert_eq!(correct("nobody", json!({"action": "void"})).await.0, 404);
    assert_eq!(correct("a", json!({"action": "replace", "quantity": -1})).await.0, 422);
    assert_eq!(correct("a", json!({"action": "void", "quantity": 1})).await.0, 422);

    // Billed is billed.
    drop(caller);
    world.advance_to("2025-02-01T01:05:00Z").await;
    let caller = world.owner.with_key(&["usage.write"]).await;
    let body =
        json!({"meter_id": id, "customer_external_id": "acme", "idempotency_key": "a", "action": "void"});
    let (status, problem) = caller.post("/usage/corrections", body).await;
    assert_eq!((status, &problem["code"]), (409, &json!("period_closed")));
    let invoice = &world.owner.get("/invoices").await["data"][0];
    assert_eq!(invoice["total"].to_string(), "40.50");
}

#[tokio::test]
async fn a_level_is_averaged_over_time_and_carried_on() {
    let mut world = World::new().await;
    let meter = world.meter("WEIGHTED_SUM").await;
    world.customer().await;
    world.advance_to("2025-03-15T00:00:00Z").await;
    let caller = world.owner.with_key(&["usage.write", "usage.read"]).await;
    let id = text(&meter["meter_id"]);
    // 10 from the start of the second day, 20 from noon of the third, then nothing any more.
    for (key, at, quantity) in [
        ("c", "2025-01-04T00:00:00Z", 0),
        ("a", "2025-01-02T00:00:00Z", 10),
        ("b", "2025-01-03T12:00:00Z", 20),
        ("d", "2025-01-31T00:00:00Z", 6),
    ] {
        caller.created("/usage", event(&meter, key, at, json!(quantity))).await;
        world.drain().await;
    }
    let level = async |from: &str, until: &str| {
        caller.get(&format!("/usage?meter_id={id}&start_date={from}&end_date={until}")).await["total_usage"]
            .to_string()
    };
    assert_eq!(level("2025-01-02T00:00:00Z", "2025-01-03T00:00:00Z").await, "10");
    assert_eq!(level("2025-01-03T00:00:00Z", "2025-01-04T00:00:00Z").await, "15");
    assert_eq!(level("2025-01-01T00:00:00Z", "2025-01-05T00:00:00Z").await, "6.25");
    assert_eq!(level("2025-01-04", "2025-01-30").await, "0");
    assert_eq!(level("2025-02-01", "2025-02-28").await, "6", "it holds on into the next month");
    assert_eq!(level("2025-03-10", "2025-03-31").await, "6", "and until now");
    let series = format!("/meters/{id}/usage?start_date=2025-01-01&end_date=2025-01-04");
    let series = caller.get(&series).await;
    let days = series["grouped_data"].as_array().unwrap().iter().map(|day| day["usage"].to_string());
    assert_eq!(days.collect::<Vec<_>>(), ["0", "10", "15", "0"]);
}

#[tokio::test]
async fn days_are_those_of_the_time_zone_that_is_asked_by() {
    let mut world = World::new().await;
    let meter = world.meter("COUNT").await;
    world.customer().await;
    world.advance_to("2025-11-15T00:00:00Z").await;
    let caller = world.owner.with_key(&["usage.write", "usage.read"]).await;
    let id = text(&meter["meter_id"]);
    // One event at the start of every hour around both changes of clocks in Berlin.
    for (day, hours) in [("2025-03-28", 120), ("2025-10-24", 120)] {
        let first = format!("{day}T00:00:00Z").parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        let events = (0..hours).map(|hour| {
            let at = wire::TimeOut(first + chrono::Duration::hours(hour)).text();
            event(&meter, &at, &at, json!(1))
        });
        let (status, _) = caller.post("/usage/batch", json!({"events": events.collect::<Vec<_>>()})).await;
        assert_eq!(status, 202);
    }
    world.drain().await;
    let asked = async |path: &str, days: &str| {
        let series = caller.get(&format!("{path}group_by=day&time_zone=Europe/Berlin&{days}")).await;
        let steps = series["grouped_data"].as_array().unwrap().iter();
        let steps = steps.map(|step| format!("{} {}", text(&step["period"]), step["usage"]));
        (steps.collect::<Vec<_>>(), text(&series["period_end"]).to_owned(), series["total_usage"].clone())
    };
    for path in [format!("/usage?meter_id={id}&"), format!("/meters/{id}/usage?")] {
        let (days, end, total) = asked(&path, "start_date=2025-03-29&end_date=2025-03-31").await;
        let expected = ["2025-03-28T23:00:00Z 24", "2025-03-29T23:00:00Z 23", "2025-03-30T22:00:00Z 24"];
        assert_eq!(
            (days, end, total),
            (expected.map(str::to_owned).to_vec(), "2025-03-31T21:59:59Z".into(), json!(71))
        );
        let (days, _, total) = asked(&path, "start_date=2025-10-25&end_date=2025-10-27").await;
        let expected = ["2025-10-24T22:00:00Z 24", "2025-10-25T22:00:00Z 25", "2025-10-26T23:00:00Z 24"];
        assert_eq!((days, total), (expected.map(str::to_owned).to_vec(), json!(73)));
        let (days, _, _) = asked(&path, "start_date=2025-10-26&end_date=2025-10-26").await;
        assert_eq!(days, ["2025-10-25T22:00:00Z 25"]);
    }
    let day = "start_date=2025-03-30&end_date=2025-03-30&time_zone=Europe/Berlin";
    let log = caller.get(&format!("/meters/{id}/events?{day}")).await;
    assert_eq!(log["meta"]["total"], 23);
    let top = caller.get(&format!("/meters/{id}/top-customers?{day}")).await;
    assert_eq!(top["customers"][0]["usage"], 23);
    let customer = text(&top["customers"][0]["customer_id"]);
    let all = caller.get(&format!("/customers/{customer}/usage?{day}")).await;
    assert_eq!(all["meters"][0]["total_usage"], 23);
}

#[tokio::test]
async fn a_meter_tells_what_it_has_seen() {
    // 20 January 2025 is a Monday.
    let (mut world, meter, _) = world("SUM").await;
    world.advance_to("2025-02-05T12:00:00Z").await; // a Wednesday
    let caller = world.owner.with_key(&["usage.write", "usage.read"]).await;
    let rows = [
        ("a", "2025-01-20T08:00:00Z", 1, "acme"),
        ("b", "2025-02-01T00:00:00Z", 2, "acme"),
        ("c", "2025-02-02T23:59:59Z", 4, "other"),
        ("d", "2025-02-03T00:00:00Z", 8, "acme"),
        ("e", "2025-02-04T23:59:59.999Z", 16, "acme"),
        ("f", "2025-02-05T00:00:00Z", 32, "acme"),
        ("g", "2025-02-05T12:00:00Z", 64, "third"),
    ];
    let events = rows.map(|(key, at, quantity, customer)| {
        let mut event = event(&meter, key, at, json!(quantity));
        event["customer_external_id"] = json!(customer);
        event
    });
    let (status, _) = caller.post("/usage/batch", json!({"events": events})).await;
    assert_eq!(status, 202);
    world.drain().await;
    // The same keys with other content: two conflicts.
    for key in ["a", "b", "b"] {
        caller.created("/usage", event(&meter, key, "2025-02-05T00:00:00Z", json!(1000))).await;
        world.drain().await;
    }
    let id = text(&meter["meter_id"]);
    let stats = caller.get(&format!("/meters/{id}/stats")).await;
    let expected = json!({"meter_id": id, "total_events": 7, "unique_customers": 3,
        "first_event_date": "2025-01-20T08:00:00Z", "last_event_date": "2025-02-05T12:00:00Z",
        "today_usage": 96, "this_week_usage": 120, "this_month_usage": 126, "conflicts": 2, "rejected": 0});
    assert_eq!(stats, expected);
}
