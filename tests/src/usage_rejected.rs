//! What was accepted and not counted: listed once, sent again, and lost under no interleaving.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use app::{
    Platform, Uncounted, UncountedEvent,
    ingest_usage::count,
    port::{Message, PortError, Queue, QueueName},
    usage_log::{self, UncountedFilter},
};
use async_trait::async_trait;
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use chrono::{DateTime, Utc};
use domain::{
    commit::{HeadWrite, Verdict},
    event::{Revision, TrackedEvent, UsageEvent},
    head::Head,
    id::CustomerId,
    meter::{Aggregation, DeduplicateBy, Meter},
    month::Month,
    property::Properties,
    quantity::Quantity,
    series::Range,
    totals::{Tally, Totals},
};
use fluxrate_bench::rig::Rig;
use store::{HeadId, PageRequest, Position};
use testkit::{Fault, Line};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A meter with one customer, whose events are of the 15th of January.
struct Scene {
    rig: Rig,
    meter: Meter,
    customer: CustomerId,
}

impl Scene {
    async fn new(aggregation: Aggregation) -> Self {
        let rig = Rig::new(at("2025-01-31T12:00:00Z"), Line::counting()).await.unwrap();
        let meter = rig.meter("calls", aggregation, DeduplicateBy::Key).await.unwrap();
        let customer = rig.customer("acme").await.unwrap();
        Self { rig, meter, customer }
    }

    fn event(&self, key: &str, quantity: &str, ingested_at: &str) -> TrackedEvent {
        TrackedEvent {
            organization: self.rig.organization,
            meter: self.meter.id,
            customer: self.customer,
            has_sender_key: true,
            event: UsageEvent {
                key: key.to_owned(),
                occurred_at: at("2025-01-15T00:00:00Z"),
                ingested_at: at(ingested_at),
                quantity: quantity.parse().unwrap(),
                properties: Properties::new(),
                metadata: Properties::new(),
                revision: Revision::First,
            },
        }
    }

    fn head(&self) -> HeadId {
        let (organization, meter, customer) = (self.rig.organization, self.meter.id, self.customer);
        HeadId { organization, meter, customer, month: Month::of(at("2025-01-01T00:00:00Z")) }
    }

    async fn count(&self, event: TrackedEvent) -> Verdict {
        count(&self.rig.platform, &[event]).await.remove(0).unwrap()
    }

    async fn members(&self) -> u64 {
        self.rig.platform.store.get_head(self.head()).await.unwrap().members
    }

    async fn listed(&self) -> Vec<UncountedEvent> {
        let range = Range { from: at("2024-12-01T00:00:00Z"), until: at("2025-03-01T00:00:00Z") };
        let filter = UncountedFilter { meter: Some(self.meter.id), customer: None, is_conflict: None, range };
        let page = PageRequest { position: Position::Number(1), size: 10 };
        let (platform, actor) = (&self.rig.platform, &self.rig.actor());
        usage_log::list_uncounted(platform, actor, &filter, &page).await.unwrap().rows
    }

    async fn by_id(&self, of: &UncountedEvent) -> usize {
        self.rig.platform.store.list_uncounted_of(self.rig.organization, of.id).await.unwrap().len()
    }

    /// Makes the month so full that nothing fits any more, or empties it again.
    async fn fill(&self, is_full: bool) {
        let store = &self.rig.platform.store;
        let head = store.get_head(self.head()).await.unwrap();
        let sum = if is_full { i128::MAX } else { 0 };
        let totals = Totals { events: 1, tally: Tally::Sum(Quantity::from_units(sum)) };
        let full = Head { days: [(1, totals)].into(), ..head };
        store.commit_head(self.head(), &HeadWrite::Put(full)).await.unwrap();
    }

    /// A queue whose worker counts a message so often before whoever sent it gets to know that it was taken.
    fn eager(&self, deliveries: usize) -> Platform {
        let mut platform = self.rig.platform.clone();
        platform.queue = Arc::new(Eager { worker: self.rig.platform.clone(), deliveries });
        platform
    }
}

struct Eager {
    worker: Platform,
    deliveries: usize,
}

#[async_trait]
impl Queue for Eager {
    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        for message in messages {
            for _ in 0..self.deliveries {
                assert!(deliver(&self.worker, message).await);
            }
        }
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn bury(&self, _: QueueName, _: &str, reason: &str) -> Result<(), PortError> {
        Err(PortError::new("the dead-letter queue", reason))
    }
}

/// Counts a message as the function does that takes it from the queue. `false` if it has to come again.
async fn deliver(platform: &Platform, message: &Message) -> bool {
    let mut record = SqsMessage::default();
    record.message_id = Some("m".into());
    record.body = Some(wire::message::encode(message));
    let mut event = SqsEvent::default();
    event.records = vec![record];
    ::ingest_usage::handle(platform, event).await.batch_item_failures.is_empty()
}

#[tokio::test]
async fn what_is_sent_again_and_not_counted_stays_listed() {
    let scene = Scene::new(Aggregation::Sum).await;
    let actor = &scene.rig.actor();
    assert_eq!(scene.count(scene.event("k", "1", "2025-01-15T00:00:01Z")).await, Verdict::Counted);
    assert_eq!(scene.count(scene.event("k", "2", "2025-01-15T00:00:02Z")).await, Verdict::Conflict);
    let before = scene.listed().await;
    let [conflict] = before.as_slice() else { panic!("{before:?}") };
    for deliveries in [0, 1, 2] {
        let platform = scene.eager(deliveries);
        assert_eq!(usage_log::replay(&platform, actor, conflict.id).await.unwrap(), 1);
        assert_eq!(scene.listed().await, before, "{deliveries} deliveries");
        assert_eq!((scene.by_id(conflict).await, scene.members().await), (1, 1));
    }
    // Two who send it again at once, and a worker that comes late.
    let (one, two) = (scene.eager(1), scene.rig.platform.clone());
    let both = futures::join!(
        usage_log::replay(&one, actor, conflict.id),
        usage_log::replay(&two, actor, conflict.id)
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    for message in scene.rig.take_sent() {
        assert!(deliver(&scene.rig.platform, &message).await);
    }
    assert_eq!(scene.listed().await, before);
    assert_eq!(scene.members().await, 1);
}

#[tokio::test]
async fn what_counts_when_it_is_sent_again_is_not_listed_any_more() {
    let scene = Scene::new(Aggregation::Sum).await;
    scene.fill(true).await;
    assert_eq!(scene.count(scene.event("k", "1", "2025-01-15T00:00:01Z")).await, Verdict::Overflow);
    let rejected = scene.listed().await.remove(0);
    assert!(matches!(rejected.why, Uncounted::Rejected { .. }));
    scene.fill(false).await;
    let platform = scene.eager(2);
    assert_eq!(usage_log::replay(&platform, &scene.rig.actor(), rejected.id).await.unwrap(), 1);
    assert_eq!((scene.listed().await.len(), scene.by_id(&rejected).await, scene.members().await), (0, 0, 1));
}

#[tokio::test]
async fn a_worker_that_dies_at_any_request_loses_nothing_that_is_sent_again() {
    let mut deaths = 0;
    for request in 0.. {
        let scene = Scene::new(Aggregation::Sum).await;
        scene.fill(true).await;
        scene.count(scene.event("k", "1", "2025-01-15T00:00:01Z")).await;
        let rejected = scene.listed().await.remove(0);
        scene.fill(false).await;
        usage_log::replay(&scene.rig.platform, &scene.rig.actor(), rejected.id).await.unwrap();
        let message = scene.rig.take_sent().remove(0);

        let seen = Arc::new(AtomicUsize::new(0));
        let counter = seen.clone();
        let dying = scene.rig.over(Line::new(move |_, _| {
            if counter.fetch_add(1, Ordering::Relaxed) == request { Fault::KilledAfter } else { Fault::None }
        }));
        let worker = dying.platform.clone();
        let again = message.clone();
        let died = tokio::spawn(async move { deliver(&worker, &again).await }).await.is_err();
        assert!(scene.members().await + scene.listed().await.len() as u64 >= 1, "lost at request {request}");
        assert!(deliver(&scene.rig.platform, &message).await);
        assert_eq!((scene.listed().await.len(), scene.members().await), (0, 1), "request {request}");
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 4, "{deaths} requests");
}

#[tokio::test]
async fn the_same_conflict_told_at_two_times_is_one() {
    let scene = Scene::new(Aggregation::Sum).await;
    scene.count(scene.event("k", "1", "2025-01-15T00:00:01Z")).await;
    for told in ["2025-01-15T00:00:02Z", "2025-01-15T00:00:03Z", "2025-02-01T00:00:00Z"] {
        assert_eq!(scene.count(scene.event("k", "2", told)).await, Verdict::Conflict);
    }
    assert_eq!(scene.count(scene.event("k", "3", "2025-01-15T00:00:04Z")).await, Verdict::Conflict);
    let listed = scene.listed().await;
    let shown = listed.iter().map(|row| format!("{} {}", row.event.quantity, row.event.ingested_at));
    assert_eq!(shown.collect::<Vec<_>>(), ["3 2025-01-15 00:00:04 UTC", "2 2025-01-15 00:00:02 UTC"]);
    assert_eq!(scene.by_id(&listed[0]).await, 2);
}
