//! A queue that takes some messages and not others: the answer to whoever told of them says which.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use app::{api_keys, port::Message};
use aws::{QueueUrls, SqsQueue};
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use axum::{Json, Router, extract::State, http::HeaderMap, routing};
use domain::{
    meter::{Aggregation, DeduplicateBy},
    user::Scope,
};
use fluxrate_bench::rig::Rig;
use serde_json::{Value, json};
use testkit::Line;
use tokio::net::TcpListener;

/// What a queue was sent, and the keys of events whose messages it does not take.
#[derive(Default)]
struct Sqs {
    refused: BTreeSet<&'static str>,
    /// Those that it says nothing of.
    unsaid: BTreeSet<&'static str>,
    /// How many entries each request had.
    requests: Vec<usize>,
    groups: HashSet<String>,
    taken: BTreeSet<String>,
}

type Shared = Arc<Mutex<Sqs>>;

/// `SendMessageBatch`, as SQS answers it.
async fn send_message_batch(State(sqs): State<Shared>, headers: HeaderMap, body: String) -> Json<Value> {
    assert_eq!(headers["x-amz-target"], "AmazonSQS.SendMessageBatch");
    let body = serde_json::from_str::<Value>(&body).unwrap();
    let entries = body["Entries"].as_array().unwrap();
    let mut sqs = sqs.lock().unwrap();
    sqs.requests.push(entries.len());
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let group = entry["MessageGroupId"].as_str().expect("every message is of a group");
        sqs.groups.insert(group.to_owned());
        let Message::CountUsage(events) =
            wire::message::decode(entry["MessageBody"].as_str().unwrap()).unwrap()
        else {
            panic!("another kind of message");
        };
        let keys = events.iter().map(|tracked| tracked.event.key.clone()).collect::<Vec<_>>();
        let has = |some: &BTreeSet<&str>| keys.iter().any(|key| some.contains(key.as_str()));
        if has(&sqs.refused) {
            failed.push(json!({"Id": entry["Id"], "Code": "InternalError", "SenderFault": false}));
        } else if !has(&sqs.unsaid) {
            successful.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e"}));
            sqs.taken.extend(keys);
        }
    }
    Json(json!({"Successful": successful, "Failed": failed}))
}

async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn of_a_batch_that_the_queue_takes_in_part_the_answer_says_which() {
    let rig = Rig::new("2025-01-15T12:00:00Z".parse().unwrap(), Line::counting()).await.unwrap();
    let meter = rig.meter("calls", Aggregation::Sum, DeduplicateBy::Key).await.unwrap();
    let (_, secret) =
        api_keys::create(&rig.platform, &rig.actor(), "test".into(), vec![Scope::UsageWrite]).await.unwrap();
    let sqs = Shared::default();
    let endpoint =
        served(Router::new().route("/", routing::post(send_message_batch)).with_state(sqs.clone())).await;
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(&endpoint)
        .build();
    let urls = QueueUrls { usage: Some(format!("{endpoint}/usage")), ..QueueUrls::default() };
    let mut platform = rig.platform.clone();
    platform.queue = Arc::new(SqsQueue::new(aws_sdk_sqs::Client::from_conf(config), urls));
    let door = served(track_usage::router(Arc::new(platform))).await;

    // Of 60 KB each, so that a message has two; they compress to little, so that a request has all messages.
    let metadata =
        (0..15).map(|n| (format!("text {n}"), json!("x".repeat(4_000)))).collect::<serde_json::Map<_, _>>();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let events = keys.map(|key| {
        json!({"meter_id": meter.id.to_string(), "customer_external_id": "acme", "quantity": 1, "idempotency_key": key,
            "metadata": metadata})
    });
    let http = reqwest::Client::new();
    let send = async |path: &str, body: Value| {
        let request = http.post(format!("{door}/api/v1{path}")).header("x-api-key", &secret).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let batch = async |refused: &[&'static str], unsaid: &[&'static str]| {
        let (refused, unsaid) = (refused.iter().copied().collect(), unsaid.iter().copied().collect());
        *sqs.lock().unwrap() = Sqs { refused, unsaid, ..Sqs::default() };
        let (status, answer) = send("/usage/batch", json!({"events": events})).await;
        let results = answer["results"].as_array().into_iter().flatten();
        let statuses =
            results.map(|result| result["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        (status, statuses, answer)
    };
    let (status, statuses, answer) = batch(&["c"], &["h"]).await;
    let accepted = |index: usize| if matches!(index, 2 | 3 | 6 | 7) { "unavailable" } else { "accepted" };
    assert_eq!((status, statuses), (207, (0..9).map(|index| accepted(index).to_owned()).collect()));
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(5), &json!(4)));
    assert_eq!(answer["results"][2]["error"]["status"], 503);
    {
        let sqs = sqs.lock().unwrap();
        assert_eq!(sqs.requests, [5], "one request, of which some entries fail");
        assert_eq!(sqs.groups, HashSet::from([rig.organization.to_string()]));
        assert_eq!(sqs.taken, ["a", "b", "e", "f", "i"].map(str::to_owned).into());
    }
    // None of it, and then all of it, which is the same events.
    let (status, _, problem) = batch(&keys, &[]).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    let (status, _, again) = batch(&[], &[]).await;
    assert_eq!((status, &again["results"][0]["id"]), (202, &answer["results"][0]["id"]));
    assert_eq!(sqs.lock().unwrap().taken, keys.map(str::to_owned).into());

    sqs.lock().unwrap().refused.insert("a");
    let (status, problem) = send("/usage", events[0].clone()).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
}
