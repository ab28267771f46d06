//! Counts queued usage: each event exactly once, whatever is delivered again.

mod portion;

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use app::{
    Platform, ingest_usage,
    port::{Message, QueueName},
};
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};

use crate::portion::Portion;

/// What one call takes on: a batch may have a thousand messages of a thousand events each.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Events that are decoded and counted together, unless one message alone has more.
    pub events: usize,
    /// Their bytes, as they are counted at the door.
    pub bytes: usize,
    /// No further portion is begun after so long: its messages come again.
    pub time: Duration,
}

impl Default for Bounds {
    /// A portion takes some 20 MiB of the function's 512, and the last one the rest of its 30 s.
    fn default() -> Self {
        Self { events: 20_000, bytes: 16 << 20, time: Duration::from_secs(20) }
    }
}

/// Counts the events of a batch, those of many messages together, so that each head is written once. Answers with
/// the messages that have to come again: those with an event that is not certain to be counted.
pub async fn handle(platform: &Platform, event: SqsEvent) -> SqsBatchResponse {
    handle_within(platform, event, Bounds::default()).await
}

/// The same within other bounds.
pub async fn handle_within(platform: &Platform, event: SqsEvent, bounds: Bounds) -> SqsBatchResponse {
    let begun = Instant::now();
    let mut records = event.records;
    // What there was no time for goes first when it comes again.
    records.sort_by_key(|record| Reverse(receives(record)));
    let mut again = Vec::new();
    let mut portion = Portion::default();
    let mut has_counted = false;
    for record in records {
        let id = record.message_id.unwrap_or_default();
        if has_counted && portion.is_empty() && begun.elapsed() >= bounds.time {
            again.push(id);
            continue;
        }
        let body = record.body.unwrap_or_default();
        match wire::message::decode(&body).map_err(|error| error.to_string()) {
            Ok(Message::CountUsage(events)) => {
                if !portion.has_room_for(&events, bounds) {
                    again.extend(std::mem::take(&mut portion).count(platform).await);
                    has_counted = true;
                    if begun.elapsed() >= bounds.time {
                        again.push(id);
                        continue;
                    }
                }
                portion.add(id, events);
            }
            Ok(Message::RecountUsage(events)) => again.extend(recounted(platform, id, &events).await),
            Ok(Message::ClosePeriod { .. } | Message::DeliverEmail { .. }) => {
                again.extend(buried(platform, id, &body, "it is no usage").await);
            }
            Err(reason) => again.extend(buried(platform, id, &body, &reason).await),
        }
    }
    if !portion.is_empty() {
        again.extend(portion.count(platform).await);
    }
    let failure = |id| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        failure
    };
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = again.into_iter().map(failure).collect();
    response
}

/// How often a message was delivered.
fn receives(record: &SqsMessage) -> u32 {
    let count = record.attributes.get("ApproximateReceiveCount");
    count.and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Counts what was set aside before. The message's id if it has to come again.
async fn recounted(
    platform: &Platform,
    id: String,
    events: &[domain::event::TrackedEvent],
) -> Option<String> {
    let counted = ingest_usage::recount(platform, events).await;
    let error = counted.into_iter().find_map(Result::err)?;
    tracing::warn!(message.id = %id, error = ?error, "message {id} has to come again");
    Some(id)
}

/// Sets a message aside that can never be handled, with the reason. Its id if that fails: it comes again.
async fn buried(platform: &Platform, id: String, body: &str, reason: &str) -> Option<String> {
    tracing::error!(message.id = %id, reason, "message {id} cannot be handled");
    platform.queue.bury(QueueName::Usage, body, reason).await.err().map(|_| id)
}
