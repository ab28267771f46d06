//! The OpenAPI document and what is served.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{DOCUMENT, World};

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let served = [api::endpoints(), track_usage::endpoints()];
    let served = served.iter().flat_map(|routes| routes.endpoints());
    let served = served.map(|(method, path)| format!("{method} {path}")).collect::<BTreeSet<_>>();
    let documented = DOCUMENT["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    assert_eq!(served, documented.collect::<BTreeSet<_>>());
}

#[test]
fn the_document_is_openapi_3_1_and_refers_to_nothing_that_is_not_there() {
    assert!(DOCUMENT["openapi"].as_str().unwrap().starts_with("3.1"), "{}", DOCUMENT["openapi"]);
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    let mut references = Vec::new();
    collect(&DOCUMENT, &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").unwrap_or_else(|| panic!("{reference}"));
        assert!(schemas.contains_key(name), "{reference} leads nowhere");
    }
}

#[test]
fn cloud_events_are_documented_with_what_makes_their_key() {
    let content = |path: &str| &DOCUMENT["paths"][path]["post"]["requestBody"]["content"];
    let one = "#/components/schemas/CloudEventBody";
    let single = &content("/api/v1/usage")["application/cloudevents+json"]["schema"];
    assert_eq!(single["$ref"], one, "{single}");
    for path in ["/api/v1/usage", "/api/v1/usage/batch"] {
        let list = &content(path)["application/cloudevents-batch+json"]["schema"];
        assert_eq!(list["items"]["$ref"], one, "{path}: {list}");
    }
    let body = &DOCUMENT["components"]["schemas"]["CloudEventBody"];
    assert_eq!(body["required"], json!(["specversion", "id", "source", "type", "subject"]));
    let source = body["properties"]["source"]["description"].as_str().unwrap();
    assert!(source.contains("`source|id`"), "{source}");
}

#[test]
fn every_post_says_what_its_idempotency_key_does() {
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let mut headers = parameters.filter(|parameter| parameter["name"] == "Idempotency-Key");
            let says = headers.next().map(|header| header["description"].as_str().unwrap());
            let is_kept = method == "post" && operation.get("security").is_some();
            assert_eq!(says.is_some(), is_kept, "{method} {path}");
            let is_of_events = path.starts_with("/api/v1/sdk/track") || path == "/api/v1/usage";
            let is_of_events = is_of_events || path == "/api/v1/usage/batch";
            assert!(
                says.is_none_or(|says| says.contains("event that has none") == is_of_events),
                "{path}: {says:?}"
            );
        }
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_reference_is_served_from_here() {
    let world = World::new().await;
    let http = reqwest::Client::new();
    let get = async |path: &str| {
        let answer = http.get(format!("{}{path}", world.owner.base())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, page) = get("/docs").await;
    assert_eq!(status, 200);
    assert!(page.contains("swagger-ui"), "{page}");
    assert!(!page.contains("https://"), "it loads something from elsewhere: {page}");
    let (status, document) = get("/openapi.json").await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), *DOCUMENT);
    assert_eq!(get("/health").await, (200, json!({"status": "ok"}).to_string()));
    assert_eq!(get("/").await.0, 200);
}

#[tokio::test]
async fn every_protected_route_asks_who_calls() {
    let world = World::new().await;
    let stranger = world.anonymous();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("security").is_none() {
                continue;
            }
            let path = path.trim_start_matches("/api/v1");
            let path = path.replace("{id}", NOBODY).replace("{charge_id}", NOBODY);
            let path = path.replace("{feature_id}", NOBODY);
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let (status, body) = stranger.call(method.clone(), &path, Some(json!({}))).await;
            assert_eq!((status, &body["code"]), (401, &json!("unauthenticated")), "{method} {path}");
        }
    }
}

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";
