//! Whatever comes in where events are told: it is read, or refused as the sender's mistake, and nothing panics.

use app::port::Message;
use chrono::{DateTime, Utc};
use domain::{
    event::{Revision, TrackedEvent, UsageEvent},
    id::Id,
    property::{Properties, Property},
};
use proptest::{prelude::*, sample::Index};

use crate::{
    Problem, cloud_event, message, parse,
    usage::{TrackBody, UsageBody},
    usage_batch::UsageBatchBody,
};

const USAGE: &str = r#"{"meter_name": "calls", "customer_external_id": "acme \u00fc", "quantity": 1.50e2,
    "timestamp": "2025-01-15T10:00:00.123+05:30", "idempotency_key": "k1",
    "properties": {"region": "eu", "n": 4, "nested": {"a": [1, null]}}, "metadata": {"is_test": true}}"#;
const TRACK: &str = r#"{"meter_token": "0190a8d8-5b7c-7d3e-8f00-0123456789ab", "customer_external_id": "acme",
    "quantity": "0.25", "timestamp": "2025-01-15", "idempotency_key": "k1", "metadata": {"a": "b"}}"#;
const CLOUD: &str = r#"{"specversion": "1.0", "id": "e1", "source": "/api", "type": "calls", "subject": "acme",
    "time": "2025-01-15T10:00:00Z", "region": "eu", "datacontenttype": "application/json",
    "data": {"amount": 1.50, "model": "x"}}"#;

/// What is put into valid bodies, among other bytes.
const ODD: &[&str] = &[
    "null",
    "-0",
    "1e999999999",
    "-1e-999999999",
    "1E+2147483648",
    "170141183460469231731687303715884105728",
    "0.0000000000000000000000000000001",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\u{1F980}",
    "\"+262143-12-31T23:59:60Z\"",
    "\"9999-12-31T23:59:59.999999999999Z\"",
    "\"-0001-01-01\"",
    "\"0000-00-00\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "[[[[[[[[",
    "{\"a\":",
    "\"quantity\"",
    "\"\\",
    "\t",
    "\u{FEFF}",
    "NaN",
    "Infinity",
    "true",
    "é",
];

fn first_shape() -> String {
    let id = |n| format!("00000000-0000-0000-0000-{n:012}");
    format!(
        r#"{{"version":1,"kind":"count_usage","events":[{{"organization":"{}","meter":"{}","customer":"{}",
        "has_sender_key":true,"key":"k","occurred_at":"2025-01-02T03:04:05.678Z",
        "ingested_at":"2025-01-02T03:04:06Z","quantity":"4.25","properties":{{"n":1.50}}}}]}}"#,
        id(1),
        id(2),
        id(3)
    )
}

fn segments() -> String {
    let at: DateTime<Utc> = "2025-01-02T03:04:05.678Z".parse().unwrap();
    let id = |n| uuid::Uuid::from_u128(n);
    let event = |n: u32| TrackedEvent {
        organization: Id::from_uuid(id(1)),
        meter: Id::from_uuid(id(2)),
        customer: Id::from_uuid(id(3)),
        has_sender_key: true,
        event: UsageEvent {
            key: format!("key {n}"),
            occurred_at: at,
            ingested_at: at,
            quantity: "4.25".parse().unwrap(),
            properties: Properties::from([("a".into(), Property::Number(n.to_string()))]),
            metadata: Properties::new(),
            revision: Revision::First,
        },
    };
    message::encode(&Message::CountUsage((0..40).map(event).collect()))
}

/// Reads bytes in every way there is, and says how many took them.
fn read(bytes: &[u8]) -> Result<usize, TestCaseError> {
    let told = [
        parse::<UsageBody>(bytes).and_then(|body| Ok(body.into_domain(None)?)).map(drop),
        parse::<TrackBody>(bytes).and_then(|body| Ok(body.into_domain(Some("key".into()))?)).map(drop),
        parse::<UsageBatchBody>(bytes).and_then(|body| Ok(body.into_domain(None)?)).and_then(all_of),
        cloud_event::single(bytes).map(drop),
        cloud_event::batch(bytes).and_then(all_of),
    ];
    for problem in told.iter().filter_map(|told| told.as_ref().err()) {
        prop_assert!((400..500).contains(&problem.status), "{:?}", problem);
    }
    let message = std::str::from_utf8(bytes).is_ok_and(|text| message::decode(text).is_ok());
    Ok(told.iter().filter(|told| told.is_ok()).count() + usize::from(message))
}

/// Whether all events of a batch say something.
fn all_of(told: Vec<Result<app::track_usage::Usage, Problem>>) -> Result<(), Problem> {
    told.into_iter().try_for_each(|told| told.map(drop))
}

/// One change of a body.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Cut(Index, usize),
    Put(Index, Vec<u8>),
    Repeat(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        (place(), 1_u8..).prop_map(|(at, flip)| Change::Flip(at, flip)),
        (place(), 1_usize..40).prop_map(|(at, length)| Change::Cut(at, length)),
        (place(), prop::sample::select(ODD)).prop_map(|(at, odd)| Change::Put(at, odd.as_bytes().to_vec())),
        (place(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        (place(), 1_usize..60).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let part = |at: &Index, length: usize| {
            let from = at.index(bytes.len() + 1);
            from..(from + length).min(bytes.len())
        };
        match change {
            Change::Flip(at, flip) if !bytes.is_empty() => {
                let place = at.index(bytes.len());
                bytes[place] ^= flip;
            }
            Change::Flip(..) => {}
            Change::Cut(at, length) => drop(bytes.drain(part(at, *length))),
            Change::Put(at, odd) => drop(bytes.splice(part(at, 0), odd.iter().copied())),
            Change::Repeat(at, length) => {
                let part = part(at, *length);
                let again = bytes[part.clone()].to_vec();
                drop(bytes.splice(part.end..part.end, again));
            }
        }
    }
    bytes
}

fn bodies() -> Vec<String> {
    let one = [USAGE, TRACK, CLOUD].map(str::to_owned);
    let batch = format!(r#"{{"events": [{USAGE}, {USAGE}]}}"#);
    one.into_iter().chain([batch, format!("[{CLOUD}, {CLOUD}]"), first_shape(), segments()]).collect()
}

#[test]
fn what_is_valid_is_read() {
    for body in bodies() {
        assert_ne!(read(body.as_bytes()).unwrap(), 0, "{body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        read(&bytes)?;
        read(text.as_bytes())?;
    }

    #[test]
    fn changed_bodies_are_read_or_refused(
        body in prop::sample::select(bodies()),
        changes in prop::collection::vec(change(), 1..5),
    ) {
        read(&changed(body.into_bytes(), &changes))?;
    }

    /// A segment in a message that was damaged on the way, in base64 that is right.
    #[test]
    fn damaged_segments_in_messages_are_refused(changes in prop::collection::vec(change(), 1..4)) {
        use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
        let mut value: serde_json::Value = serde_json::from_str(&segments()).unwrap();
        let events = &mut value["segments"][0]["events"];
        let bytes = STANDARD_NO_PAD.decode(events.as_str().unwrap()).unwrap();
        *events = STANDARD_NO_PAD.encode(changed(bytes, &changes)).into();
        let _ = message::decode(&value.to_string());
    }
}
