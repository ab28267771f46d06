//! What the door makes of what senders tell: of its numbers, and of requests that are repeated.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Caller, World, checked, fields, text};

const AT: &str = "2025-01-15T10:00:00Z";

/// A sum of calls, while it is noon of a day in January.
async fn world(aggregation: &str) -> (World, Value) {
    let mut world = World::new().await;
    let meter = world.meter(aggregation).await;
    world.customer().await;
    world.advance_to("2025-01-20T12:00:00Z").await;
    (world, meter)
}

/// The quantities in the log, with how many were told that were not counted.
async fn log(world: &World, meter: &Value) -> Vec<String> {
    world.drain().await;
    let log = world.owner.get(&format!("/meters/{}/events", text(&meter["meter_id"]))).await;
    let row = |row: &Value| format!("{} {}", text(&row["quantity"]), text(&row["status"]));
    let mut rows = log["data"].as_array().unwrap().iter().map(row).collect::<Vec<_>>();
    rows.sort();
    rows
}

/// Sends a body whose numbers no float may touch, and returns status and answer.
async fn sent(caller: &Caller, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let request = caller.request(Method::POST, path).header("content-type", kind).body(body.to_owned());
    checked(&Method::POST, path, request).await
}

#[tokio::test]
async fn quantities_are_rounded_to_twelve_decimals_by_every_way_in() {
    let (world, meter) = world("SUM").await;
    let json = "application/json";
    let (id, token) = (text(&meter["meter_id"]), text(&meter["meter_token"]));
    let ways = |number: &str| {
        let usage = format!(r#""meter_id": "{id}", "customer_external_id": "acme", "timestamp": "{AT}""#);
        let cloud = format!(
            r#"{{"specversion": "1.0", "id": "{number}", "source": "/a", "type": "calls", "subject": "acme",
            "time": "{AT}", "data": {{"n": {number}}}}}"#
        );
        [
            (
                "/sdk/track",
                json,
                format!(
                    r#"{{"meter_token": "{token}", "customer_external_id": "acme", "quantity": {number}}}"#
                ),
            ),
            ("/usage", json, format!(r#"{{{usage}, "quantity": {number}}}"#)),
            ("/usage", json, format!(r#"{{{usage}, "properties": {{"n": {number}}}}}"#)),
            ("/usage/batch", json, format!(r#"{{"events": [{{{usage}, "quantity": {number}}}]}}"#)),
            ("/usage", "application/cloudevents+json", cloud.clone()),
            ("/usage/batch", "application/cloudevents-batch+json", format!("[{cloud}]")),
        ]
    };
    // A Go or JavaScript sender adds 0.1 and 0.2. Two of the ways have the same key, and count once.
    for (path, kind, body) in ways("0.30000000000000004") {
        let (status, answer) = sent(&world.owner, path, kind, &body).await;
        assert!(matches!(status, 201 | 202), "{path} {kind}: {answer}");
        if status == 201 {
            assert_eq!(answer["quantity"], "0.3", "{path} {kind}");
        }
    }
    for (path, kind, body) in ways("0.0000000000005") {
        let (status, answer) = sent(&world.owner, path, kind, &body).await;
        assert!(matches!(status, 201 | 202), "{path} {kind}: {answer}");
    }
    assert_eq!(log(&world, &meter).await, [["0.000000000001 counted"; 5], ["0.3 counted"; 5]].concat());
    // Nothing is left of these; those are too large, or have blanks about them.
    for number in
        ["4e-13", "1e-300", "1e23", "10000000000000000000000.0000000000005", "\" 1\"", "\"1 \"", "\"\""]
    {
        for (path, kind, body) in ways(number).into_iter().filter(|(_, kind, _)| *kind == json) {
            let (status, answer) = sent(&world.owner, path, kind, &body).await;
            let answer = if status == 207 { &answer["results"][0]["error"] } else { &answer };
            assert_eq!(answer["status"], 422, "{path} {number}: {answer}");
            let field = fields(answer).concat();
            let field = field.strip_prefix("events[0].").unwrap_or(&field);
            assert!(matches!(field, "quantity" | "properties.n"), "{path} {number}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_correction_is_rounded_as_what_it_corrects() {
    let (world, meter) = world("SUM").await;
    let body = json!({"meter_id": meter["meter_id"], "customer_external_id": "acme", "quantity": 7,
        "timestamp": AT, "idempotency_key": "k"});
    world.owner.created("/usage", body).await;
    world.drain().await;
    let correct = async |number: &str| {
        let body = format!(
            r#"{{"meter_id": {}, "customer_external_id": "acme", "idempotency_key": "k", "action": "replace", {number}}}"#,
            meter["meter_id"]
        );
        let (status, answer) = sent(&world.owner, "/usage/corrections", "application/json", &body).await;
        (status, fields(&answer).concat(), log(&world, &meter).await.concat())
    };
    let of = |status: u16, field: &str, log: &str| (status, field.to_owned(), log.to_owned());
    assert_eq!(correct(r#""quantity": 0.7999999999999999"#).await, of(202, "", "0.8 replaced"));
    assert_eq!(correct(r#""properties": {"n": 1.2000000000000002}"#).await, of(202, "", "1.2 replaced"));
    assert_eq!(correct(r#""quantity": 1e30"#).await, of(422, "quantity", "1.2 replaced"));
    assert_eq!(correct(r#""quantity": " 1""#).await, of(422, "quantity", "1.2 replaced"));
}

#[tokio::test]
async fn of_two_events_of_one_key_in_a_request_the_first_counts() {
    let (world, meter) = world("SUM").await;
    let event = |key: &str, at: &str, quantity: u32| {
        json!({"meter_id": meter["meter_id"], "customer_external_id": "acme", "quantity": quantity,
            "timestamp": format!("2025-01-{at}:00:00Z"), "idempotency_key": key})
    };
    let events = [
        event("k", "15T10", 5),
        event("other", "14T00", 1),
        event("k", "15T09", 9), // other content, earlier
        event("k", "12T00", 5), // the same, earlier still
        event("late", "01T00", 2),
        event("late", "10T00", 7), // other content, later
    ];
    let batch = json!({"events": events});
    for _ in 0..2 {
        assert_eq!(world.owner.post("/usage/batch", batch.clone()).await.0, 202);
        let rows = ["1 counted", "2 counted", "5 counted", "7 conflict", "9 conflict"];
        assert_eq!(log(&world, &meter).await, rows);
    }
    let path = format!("/meters/{}/usage?start_date=2025-01-15T09:30:00Z", text(&meter["meter_id"]));
    assert_eq!(world.owner.get(&path).await["total_usage"].to_string(), "5", "when it was told first");
    let listed = world.owner.get("/usage/rejected?status=conflict").await;
    let listed = listed["data"].as_array().unwrap().iter();
    let mut listed = listed.map(|row| [text(&row["quantity"]), text(&row["timestamp"])]).collect::<Vec<_>>();
    listed.sort_unstable();
    let as_told = [["7", "2025-01-10T00:00:00Z"], ["9", "2025-01-15T09:00:00Z"]];
    assert_eq!(listed, as_told);
}

#[tokio::test]
async fn a_request_with_a_key_counts_once_whatever_its_events_have() {
    let (world, meter) = world("COUNT").await;
    let event = json!({"meter_id": meter["meter_id"], "customer_external_id": "acme"});
    let mut keyed = event.clone();
    keyed["idempotency_key"] = json!("own");
    let batch = json!({"events": [event, keyed, event, {"quantity": 1}]}).to_string();
    let track = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 1})
        .to_string();
    let send = async |path: &str, key: &str, body: &str| {
        let request = world.owner.request(Method::POST, path).header("content-type", "application/json");
        let request = request.header("idempotency-key", key).body(body.to_owned());
        checked(&Method::POST, path, request).await
    };
    let count = async || {
        world.drain().await;
        let stats = world.owner.get(&format!("/meters/{}/stats", text(&meter["meter_id"]))).await;
        assert_eq!((&stats["conflicts"], &stats["rejected"]), (&json!(0), &json!(0)));
        stats["total_events"].clone()
    };
    // Sent again once everything was counted, and before.
    for _ in 0..3 {
        let (status, answer) = send("/usage/batch", "r1", &batch).await;
        let keys = answer["results"].as_array().unwrap().iter().map(|result| &result["idempotency_key"]);
        let expected = [json!("r1#0"), json!("own"), json!("r1#2"), Value::Null];
        assert_eq!((status, keys.collect::<Vec<_>>()), (207, expected.iter().collect()));
        assert_eq!(count().await, 3);
    }
    send("/usage/batch", "r2", &batch).await;
    send("/usage/batch", "r2", &batch).await;
    assert_eq!(count().await, 5, "`own` is the same event in every request");
    for (path, body) in [("/sdk/track", &track), ("/usage", &event.to_string())] {
        let first = send(path, path, body).await;
        assert_eq!((first.0, &first.1["idempotency_key"]), (201, &json!(path)));
        assert_eq!(send(path, path, body).await.1["id"], first.1["id"]);
    }
    assert_eq!(count().await, 7);
    for (path, body) in [("/sdk/track", &track), ("/usage", &event.to_string()), ("/usage/batch", &batch)] {
        let (status, answer) = send(path, &"k".repeat(256), body).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_idempotency_key")), "{path}");
    }
}
