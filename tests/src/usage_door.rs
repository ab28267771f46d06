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
