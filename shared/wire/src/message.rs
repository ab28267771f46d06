//! Messages between functions, and what listeners are told. ASCII only: SQS refuses some characters that
//! JSON allows.

#![allow(
    clippy::disallowed_types,
    reason = "serde's derive for a tagged enum names the type; no value is one"
)]

use std::collections::{BTreeMap, HashSet};

use app::port::Message;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use chrono::{DateTime, Utc};
use domain::{
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CustomerId, MeterId, OrganizationId},
    outbox::{InvoiceEvent, OneOffEvent, OutboxEntry, OutboxMessage, SubscriptionEvent},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{NumberOut, TimeOut, alert::TriggerBody, one_off::OneOffChargeBody, properties};

/// The version of the shapes below. Readers take this one.
const VERSION: u8 = 1;

/// A message that no function can read.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read: {0}")]
pub struct Unreadable(String);

#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u8,
    #[serde(flatten)]
    body: Body,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Body {
    /// How events were written at first: one by one. Still read.
    CountUsage {
        events: Vec<EventBody>,
    },
    /// Events as the bytes of segments, which take a tenth of the room.
    CountSegments {
        organization: String,
        segments: Vec<SegmentBody>,
        /// Whether they were set aside before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    ClosePeriod {
        organization: String,
        subscription: String,
    },
    DeliverEmail {
        organization: String,
        customer: String,
        entry: String,
    },
}

/// The events of one customer on one meter.
#[derive(Serialize, Deserialize)]
struct SegmentBody {
    meter: String,
    customer: String,
    has_sender_key: bool,
    /// A segment whose times count from 1970, in base64.
    events: String,
}

#[derive(Serialize, Deserialize)]
struct EventBody {
    organization: String,
    meter: String,
    customer: String,
    has_sender_key: bool,
    key: String,
    occurred_at: DateTimeText,
    ingested_at: DateTimeText,
    quantity: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    properties: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
}

type DateTimeText = String;

/// The body of a message.
pub fn encode(message: &Message) -> String {
    let body = match message {
        Message::CountUsage(events) => segments(events, false),
        Message::RecountUsage(events) => segments(events, true),
        Message::ClosePeriod { organization, subscription } => Body::ClosePeriod {
            organization: organization.to_string(),
            subscription: subscription.to_string(),
        },
        Message::DeliverEmail { organization, customer, entry } => Body::DeliverEmail {
            organization: organization.to_string(),
            customer: customer.to_string(),
            entry: entry.to_string(),
        },
    };
    ascii(&json!(Envelope { version: VERSION, body }))
}

/// Reads the body of a message. Errors: if it is none of ours.
pub fn decode(text: &str) -> Result<Message, Unreadable> {
    // Read in two steps: numbers of arbitrary precision do not pass through a flattened body.
    let mut value: Value = serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
    let fields = value.as_object_mut().ok_or_else(|| Unreadable("it is no object".into()))?;
    let version = fields.remove("version").and_then(|version| version.as_u64());
    if version != Some(VERSION.into()) {
        return Err(Unreadable("it is of no known version".into()));
    }
    let body = serde_json::from_value(value).map_err(|error| Unreadable(error.to_string()))?;
    match body {
        Body::CountUsage { events } => {
            events.into_iter().map(tracked).collect::<Result<_, _>>().map(Message::CountUsage)
        }
        Body::CountSegments { organization, segments, again } => {
            let organization = read(&organization)?;
            let mut events = Vec::new();
            for segment in &segments {
                add_events(organization, segment, &mut events)?;
            }
            Ok(if again { Message::RecountUsage(events) } else { Message::CountUsage(events) })
        }
        Body::ClosePeriod { organization, subscription } => Ok(Message::ClosePeriod {
            organization: read(&organization)?,
            subscription: read(&subscription)?,
        }),
        Body::DeliverEmail { organization, customer, entry } => Ok(Message::DeliverEmail {
            organization: read(&organization)?,
            customer: read(&customer)?,
            entry: read(&entry)?,
        }),
    }
}

/// Events of one organization, by what they have in common. A segment is in order of time, so what is told under a
/// key once more goes into another one behind: the first that was told stays the first.
fn segments(events: &[TrackedEvent], again: bool) -> Body {
    let mut groups = BTreeMap::<_, Vec<&UsageEvent>>::new();
    let mut keys = HashSet::new();
    for tracked in events {
        let TrackedEvent { meter, customer, has_sender_key, ref event, .. } = *tracked;
        let is_repeat = !keys.insert((meter, customer, &event.key));
        groups.entry((is_repeat, meter, customer, has_sender_key)).or_default().push(event);
    }
    let segment = |((_, meter, customer, has_sender_key), events): ((_, MeterId, CustomerId, _), Vec<_>)| {
        let bytes = codec::encode_events(events, DateTime::UNIX_EPOCH);
        let (meter, customer) = (meter.to_string(), customer.to_string());
        SegmentBody { meter, customer, has_sender_key, events: STANDARD_NO_PAD.encode(bytes) }
    };
    let organization = events.first().map(|event| event.organization.to_string()).unwrap_or_default();
    Body::CountSegments { organization, segments: groups.into_iter().map(segment).collect(), again }
}

fn add_events(
    organization: OrganizationId,
    segment: &SegmentBody,
    events: &mut Vec<TrackedEvent>,
) -> Result<(), Unreadable> {
    let bytes = STANDARD_NO_PAD.decode(&segment.events).map_err(|error| Unreadable(error.to_string()))?;
    let block = codec::Block::decode(&bytes, DateTime::UNIX_EPOCH);
    let block = block.map_err(|error| Unreadable(error.to_string()))?;
    let (meter, customer) = (read(&segment.meter)?, read(&segment.customer)?);
    let has_sender_key = segment.has_sender_key;
    let tracked = |event| TrackedEvent { organization, meter, customer, has_sender_key, event };
    events.extend(block.to_events().map(tracked));
    Ok(())
}

fn tracked(body: EventBody) -> Result<TrackedEvent, Unreadable> {
    let map = |map: Map<String, Value>| {
        map.into_iter().map(|(name, value)| (name, properties::property(value))).collect()
    };
    Ok(TrackedEvent {
        organization: read(&body.organization)?,
        meter: read(&body.meter)?,
        customer: read(&body.customer)?,
        has_sender_key: body.has_sender_key,
        event: UsageEvent {
            key: body.key,
            occurred_at: read::<DateTime<Utc>>(&body.occurred_at)?,
            ingested_at: read::<DateTime<Utc>>(&body.ingested_at)?,
            quantity: read(&body.quantity)?,
            properties: map(body.properties),
            metadata: map(body.metadata),
            revision: Revision::First,
        },
    })
}

fn read<T: std::str::FromStr>(text: &str) -> Result<T, Unreadable>
where
    T::Err: ToString,
{
    text.parse().map_err(|error: T::Err| Unreadable(error.to_string()))
}

/// What listeners are told: `{event, timestamp, data}`.
pub fn event(organization: OrganizationId, entry: &OutboxEntry) -> String {
    let (name, mut data) = match &entry.message {
        OutboxMessage::EmailInvoice { invoice } => {
            ("invoice.emailed", json!({"invoice_id": invoice.to_string()}))
        }
        OutboxMessage::InvoiceEvent { event, invoice } => {
            let data = json!({
                "invoice_id": invoice.id.to_string(),
                "invoice_number": invoice.number.map(|number| number.to_string()),
                "total": NumberOut(invoice.total.amount()),
                "amount_due": NumberOut(invoice.amount_due.amount()),
                "currency": invoice.total.currency().code(),
                "status": invoice.status,
            });
            (invoice_event_name(*event), data)
        }
        OutboxMessage::SubscriptionEvent { event, subscription, plan } => {
            let data = json!({"subscription_id": subscription.to_string(), "plan_id": plan.to_string()});
            (subscription_event_name(*event), data)
        }
        OutboxMessage::OneOffEvent { event, subscription, charge } => {
            (one_off_event_name(*event), json!(OneOffChargeBody::from_domain(*subscription, charge, false)))
        }
        OutboxMessage::AlertTriggered(trigger) => {
            ("alert.triggered", json!(TriggerBody::from_domain((**trigger).clone())))
        }
    };
    if let Some(data) = data.as_object_mut() {
        data.insert("customer_id".into(), entry.customer.to_string().into());
        data.insert("organization_id".into(), organization.to_string().into());
    }
    let body = json!({
        "id": entry.id.to_string(),
        "event": name,
        "timestamp": TimeOut(entry.at).text(),
        "data": data,
    });
    ascii(&body)
}

/// The name of what happened, as listeners know it.
pub fn event_name(entry: &OutboxEntry) -> &'static str {
    match &entry.message {
        OutboxMessage::EmailInvoice { .. } => "invoice.emailed",
        OutboxMessage::InvoiceEvent { event, .. } => invoice_event_name(*event),
        OutboxMessage::SubscriptionEvent { event, .. } => subscription_event_name(*event),
        OutboxMessage::OneOffEvent { event, .. } => one_off_event_name(*event),
        OutboxMessage::AlertTriggered(_) => "alert.triggered",
    }
}

fn invoice_event_name(event: InvoiceEvent) -> &'static str {
    match event {
        InvoiceEvent::Created => "invoice.created",
        InvoiceEvent::Finalized => "invoice.finalized",
        InvoiceEvent::Paid => "invoice.paid",
        InvoiceEvent::Voided => "invoice.voided",
        InvoiceEvent::MarkedUncollectible => "invoice.marked_uncollectible",
        InvoiceEvent::FinalizationFailed => "invoice.finalization_failed",
    }
}

fn one_off_event_name(event: OneOffEvent) -> &'static str {
    match event {
        OneOffEvent::Added => "subscription.charge_added",
        OneOffEvent::Removed => "subscription.charge_removed",
    }
}

fn subscription_event_name(event: SubscriptionEvent) -> &'static str {
    match event {
        SubscriptionEvent::Created => "subscription.created",
        SubscriptionEvent::Activated => "subscription.activated",
        SubscriptionEvent::Canceled => "subscription.canceled",
        SubscriptionEvent::PlanChanged => "subscription.plan_changed",
        SubscriptionEvent::Updated => "subscription.updated",
        SubscriptionEvent::Paused => "subscription.paused",
        SubscriptionEvent::Resumed => "subscription.resumed",
        SubscriptionEvent::PastDue => "subscription.past_due",
        SubscriptionEvent::Recovered => "subscription.recovered",
        SubscriptionEvent::BillingFailed => "subscription.billing_failed",
    }
}

/// JSON with everything above `~` escaped.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if (' '..='~').contains(&character) {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use domain::{
        id::Id,
        property::{Properties, Property},
        quantity::Quantity,
    };
    use proptest::prelude::*;

    use super::*;

    fn id<K>(n: u128) -> Id<K> {
        Id::from_uuid(uuid::Uuid::from_u128(n))
    }

    proptest! {
        #[test]
        fn a_message_survives_the_queue(key in ".+", text in any::<String>(), millis in 0_i64..4_000_000_000_000) {
            let at = DateTime::from_timestamp_millis(millis).unwrap();
            let events = vec![TrackedEvent {
                organization: id(1),
                meter: id(2),
                customer: id(3),
                has_sender_key: true,
                event: UsageEvent {
                    key,
                    occurred_at: at,
                    ingested_at: at,
                    quantity: "0.25".parse().unwrap(),
                    properties: Properties::from([
                        ("a".into(), Property::Text(text)),
                        ("b".into(), Property::Number("1.50".into())),
                        ("c".into(), Property::Null),
                    ]),
                    metadata: Properties::from([("d".into(), Property::Nested("[1,{}]".into()))]),
                    revision: Revision::First,
                },
            }];
            for message in [Message::CountUsage(events.clone()), Message::RecountUsage(events)] {
                let body = encode(&message);
                prop_assert!(body.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", body);
                prop_assert_eq!(decode(&body).unwrap(), message);
            }
        }
    }

    proptest! {
        /// Two that are told under one key keep their order, whichever happened earlier.
        #[test]
        fn what_was_told_first_under_a_key_stays_the_first(
            told in prop::collection::vec((0_u128..2, 0_u128..2, 0_u8..3, any::<bool>(), 0_i64..5), 1..20),
        ) {
            let event = |(n, (meter, customer, key, has_sender_key, at)): (usize, &(u128, u128, u8, bool, i64))| {
                let at = DateTime::from_timestamp_millis(*at).unwrap();
                let event = UsageEvent {
                    key: key.to_string(),
                    occurred_at: at,
                    ingested_at: at,
                    quantity: Quantity::from_count(n as u64),
                    properties: Properties::new(),
                    metadata: Properties::new(),
                    revision: Revision::First,
                };
                let (meter, customer, has_sender_key) = (id(*meter), id(*customer), *has_sender_key);
                TrackedEvent { organization: id(9), meter, customer, has_sender_key, event }
            };
            let events = told.iter().enumerate().map(event).collect::<Vec<_>>();
            let firsts = |events: &[TrackedEvent]| {
                let mut firsts = BTreeMap::new();
                for told in events {
                    firsts.entry((told.meter, told.customer, told.event.key.clone())).or_insert_with(|| told.clone());
                }
                firsts
            };
            let Message::CountUsage(decoded) = decode(&encode(&Message::CountUsage(events.clone()))).unwrap() else {
                panic!("another kind of message");
            };
            prop_assert_eq!(firsts(&decoded), firsts(&events));
            prop_assert_eq!(decoded.len(), events.len());
        }
    }

    fn event(meter: u128, has_sender_key: bool, event: UsageEvent) -> TrackedEvent {
        TrackedEvent { organization: id(1), meter: id(meter), customer: id(3), has_sender_key, event }
    }

    /// An event with something of everything, and a number that is written as `n`.
    fn first(n: &str) -> UsageEvent {
        UsageEvent {
            key: "request ü".into(),
            occurred_at: "2025-01-02T03:04:05.678Z".parse().unwrap(),
            ingested_at: "2025-01-02T03:04:06Z".parse().unwrap(),
            quantity: "4.25".parse().unwrap(),
            properties: Properties::from([
                ("region".into(), Property::Text("eu".into())),
                ("n".into(), Property::Number(n.into())),
                ("none".into(), Property::Null),
                ("list".into(), Property::Nested("[1,{}]".into())),
            ]),
            metadata: Properties::from([("is_test".into(), Property::Bool(false))]),
            revision: Revision::First,
        }
    }

    /// Events one by one, as they were first written. They have to stay readable for ever.
    #[test]
    fn the_first_shape_is_read_for_ever() {
        let body = r#"{"version":1,"kind":"count_usage","events":[{
            "organization":"00000000-0000-0000-0000-000000000001","meter":"00000000-0000-0000-0000-000000000002",
            "customer":"00000000-0000-0000-0000-000000000003","has_sender_key":true,"key":"request \u00fc",
            "occurred_at":"2025-01-02T03:04:05.678Z","ingested_at":"2025-01-02T03:04:06Z","quantity":"4.25",
            "properties":{"region":"eu","n":1.50,"none":null,"list":[1,{}]},"metadata":{"is_test":false}},{
            "organization":"00000000-0000-0000-0000-000000000001","meter":"00000000-0000-0000-0000-000000000002",
            "customer":"00000000-0000-0000-0000-000000000003","has_sender_key":false,"key":"k",
            "occurred_at":"2025-01-02T03:04:05.678Z","ingested_at":"2025-01-02T03:04:06Z","quantity":"0"}]}"#;
        let first = first("1.5");
        let second = UsageEvent {
            key: "k".into(),
            quantity: "0".parse().unwrap(),
            properties: Properties::new(),
            metadata: Properties::new(),
            ..first.clone()
        };
        let expected = Message::CountUsage(vec![event(2, true, first), event(2, false, second)]);
        assert_eq!(decode(body).unwrap(), expected);
    }

    /// Events as the bytes of segments, as they are written now. Messages of it wait in queues while functions are deployed.
    #[test]
    fn the_shape_of_today_is_read_for_ever() {
        let first = first("1.50");
        let plain =
            UsageEvent { properties: Properties::new(), metadata: Properties::new(), ..first.clone() };
        let made = UsageEvent {
            key: uuid::Uuid::from_u128(7).to_string(),
            quantity: Quantity::ZERO,
            ..plain.clone()
        };
        let earlier =
            UsageEvent { occurred_at: "2024-12-31T23:59:59.999Z".parse().unwrap(), ..plain.clone() };
        let voided = UsageEvent { revision: Revision::Void(id(8)), ..first.clone() };
        let replaced = UsageEvent { revision: Revision::Replacement(id(9)), ..earlier.clone() };
        let counted = [event(2, true, first), event(4, false, made), event(2, true, earlier)];
        let recounted = [event(2, false, voided), event(4, false, replaced)];
        let body = r#"{"kind":"count_segments","organization":"00000000-0000-0000-0000-000000000001","segments":[
            {"customer":"00000000-0000-0000-0000-000000000003",
            "events":"AgQBANyMw8+EZQpyZXF1ZXN0IMO8hAUK0gYABQAEbGlzdAEFBlsxLHt9XQEAAW4BAwQxLjUwAQAEbm9uZQEAAQAGcmVnaW9uAQQCZXUBAQdpc190ZXN0AQEB",
            "has_sender_key":true,"meter":"00000000-0000-0000-0000-000000000002"},
            {"customer":"00000000-0000-0000-0000-000000000003",
            "events":"AgIBAQAAAAAAAAAAAAAAAAAAAAfcjMPPhGWEBQAAAAA",
            "has_sender_key":false,"meter":"00000000-0000-0000-0000-000000000004"},
            {"customer":"00000000-0000-0000-0000-000000000003",
            "events":"AgQBAP7vy/KDZQpyZXF1ZXN0IMO84qH3XArSBgAA",
            "has_sender_key":true,"meter":"00000000-0000-0000-0000-000000000002"}],"version":1}"#;
        assert_eq!(decode(body).unwrap(), Message::CountUsage(counted.to_vec()));
        let body = r#"{"again":true,"kind":"count_segments","organization":"00000000-0000-0000-0000-000000000001","segments":[
            {"customer":"00000000-0000-0000-0000-000000000003",
            "events":"AgQBANyMw8+EZQpyZXF1ZXN0IMO8hAUK0gYBAAEAAAAAAAAAAAAAAAAAAAAIBQAEbGlzdAEFBlsxLHt9XQEAAW4BAwQxLjUwAQAEbm9uZQEAAQAGcmVnaW9uAQQCZXUBAQdpc190ZXN0AQEB",
            "has_sender_key":false,"meter":"00000000-0000-0000-0000-000000000002"},
            {"customer":"00000000-0000-0000-0000-000000000003",
            "events":"AgQBAP7vy/KDZQpyZXF1ZXN0IMO84qH3XArSBgEAAAAAAAAAAAAAAAAAAAAAAAkA",
            "has_sender_key":false,"meter":"00000000-0000-0000-0000-000000000004"}],"version":1}"#;
        assert_eq!(decode(body).unwrap(), Message::RecountUsage(recounted.to_vec()));
    }

    #[test]
    fn other_messages_survive_the_queue_and_nothing_else_is_read() {
        for message in [
            Message::ClosePeriod { organization: id(1), subscription: id(2) },
            Message::DeliverEmail { organization: id(1), customer: id(2), entry: id(3) },
        ] {
            assert_eq!(decode(&encode(&message)).unwrap(), message);
        }
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"version":2,"kind":"close_period","organization":"x","subscription":"y"}"#,
            r#"{"version":1,"kind":"close_period","organization":"x","subscription":"y"}"#,
            r#"{"version":1,"kind":"other"}"#,
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }
}
