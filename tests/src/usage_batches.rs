//! What the worker takes on at once: a batch from the queue is counted in portions, and in the time there is.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use app::port::Message;
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use chrono::{DateTime, Utc};
use domain::{
    event::{Revision, TrackedEvent, UsageEvent},
    id::Id,
    meter::{Aggregation, DeduplicateBy, Meter},
    month::Month,
    property::{Properties, Property},
    quantity::Quantity,
};
use fluxrate_bench::rig::Rig;
use ingest_usage::{Bounds, handle_within};
use testkit::{Fault, Line};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn rig() -> (Rig, Meter) {
    let rig = Rig::new(at("2025-01-31T12:00:00Z"), Line::counting()).await.unwrap();
    let meter = rig.meter("calls", Aggregation::Count, DeduplicateBy::KeyAndTimestamp).await.unwrap();
    (rig, meter)
}

/// Message `n`: four events of a customer of its own, with so many bytes of metadata each.
fn message(rig: &Rig, meter: &Meter, n: u8, bytes: usize, receives: u32) -> SqsMessage {
    let event = |index: u32| TrackedEvent {
        organization: rig.organization,
        meter: meter.id,
        customer: Id::from_parts(at("2025-01-01T00:00:00Z"), [n; 10]),
        has_sender_key: true,
        event: UsageEvent {
            key: index.to_string(),
            occurred_at: at("2025-01-15T00:00:00Z"),
            ingested_at: at("2025-01-15T00:00:00Z"),
            quantity: Quantity::ONE,
            properties: Properties::new(),
            metadata: Properties::from([("text".into(), Property::Text("x".repeat(bytes)))]),
            revision: Revision::First,
        },
    };
    let mut message = SqsMessage::default();
    message.message_id = Some(n.to_string());
    message.body = Some(wire::message::encode(&Message::CountUsage((0..4).map(event).collect())));
    message.attributes = [("ApproximateReceiveCount".to_owned(), receives.to_string())].into();
    message
}

/// The messages that have to come again.
async fn handled(rig: &Rig, messages: &[SqsMessage], bounds: Bounds) -> BTreeSet<u8> {
    let mut event = SqsEvent::default();
    event.records = messages.to_vec();
    let answer = handle_within(&rig.platform, event, bounds).await;
    answer.batch_item_failures.iter().map(|failure| failure.item_identifier.parse().unwrap()).collect()
}

/// Whose events are counted.
async fn counted(rig: &Rig, meter: &Meter) -> BTreeSet<u8> {
    let month = Month::of(at("2025-01-01T00:00:00Z"));
    let heads = rig.platform.store.list_heads(rig.organization, meter.id, month).await.unwrap();
    assert!(heads.iter().all(|(_, head)| head.members == 4));
    heads.iter().map(|(customer, _)| *customer.uuid().as_bytes().last().unwrap()).collect()
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_batch_is_counted_in_portions_with_a_verdict_for_each_message() {
    let (calm, meter) = rig().await;
    let small = (1..=6).map(|n| message(&calm, &meter, n, 0, 1)).collect::<Vec<_>>();
    let large = (7..=9).map(|n| message(&calm, &meter, n, 1000, 1)).collect::<Vec<_>>();
    let unbounded = Bounds { events: 1000, bytes: 1 << 20, time: HOUR };
    // How many portions there are shows in how often heads are read; from the `fails`th time on they are not.
    let portions = async |messages: &[SqsMessage], bounds: Bounds, fails: usize| {
        let reads = Arc::new(AtomicUsize::new(0));
        let seen = reads.clone();
        let rig = calm.over(Line::new(move |operation, _| {
            let is_read = operation == "BatchGetItem";
            if is_read && seen.fetch_add(1, Ordering::Relaxed) >= fails {
                Fault::LostRequest
            } else {
                Fault::None
            }
        }));
        let again = handled(&rig, messages, bounds).await;
        (again, reads.load(Ordering::Relaxed))
    };
    let by_events = Bounds { events: 8, ..unbounded };
    let (again, reads) = portions(&small, by_events, 1).await;
    assert_eq!(again, BTreeSet::from([3, 4, 5, 6]));
    assert!(reads >= 3, "{reads}");
    assert_eq!(counted(&calm, &meter).await, BTreeSet::from([1, 2]));
    assert_eq!(portions(&small, by_events, 9).await, (BTreeSet::new(), 3));
    assert_eq!(counted(&calm, &meter).await, (1..=6).collect());
    assert_eq!(portions(&small, unbounded, 9).await, (BTreeSet::new(), 1));
    // More than a portion may have, in one message; and by bytes.
    assert_eq!(portions(&small, Bounds { events: 3, ..unbounded }, 9).await, (BTreeSet::new(), 6));
    assert_eq!(portions(&large, Bounds { bytes: 10_000, ..unbounded }, 9).await, (BTreeSet::new(), 2));
    assert_eq!(counted(&calm, &meter).await, (1..=9).collect());
}

#[tokio::test]
async fn what_there_is_no_time_for_comes_again_and_goes_first() {
    let (rig, meter) = rig().await;
    let bounds = Bounds { events: 4, bytes: 1 << 20, time: Duration::ZERO };
    let mut waiting = (1..=5).map(|n| message(&rig, &meter, n, 0, 1)).collect::<Vec<_>>();
    let again = handled(&rig, &waiting, bounds).await;
    assert_eq!(again, BTreeSet::from([2, 3, 4, 5]), "one portion is always counted");
    // 6 is new, and 4 was put off once more than the others.
    waiting = [2, 6, 3, 4, 5].map(|n| message(&rig, &meter, n, 0, if n == 6 { 1 } else { 2 })).to_vec();
    waiting[3] = message(&rig, &meter, 4, 0, 3);
    assert_eq!(handled(&rig, &waiting, bounds).await, BTreeSet::from([2, 3, 5, 6]));
    assert_eq!(counted(&rig, &meter).await, BTreeSet::from([1, 4]));
    assert_eq!(handled(&rig, &waiting, Bounds { time: HOUR, ..bounds }).await, BTreeSet::new());
    assert_eq!(counted(&rig, &meter).await, (1..=6).collect());
}
