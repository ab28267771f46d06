//! Workers: what Lambda does between a queue and a function.

use std::{collections::HashSet, sync::Arc, time::Duration};

use app::{Platform, port::QueueName};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::{FutureExt, future::BoxFuture};
use tokio::time::{sleep, timeout};

use crate::{
    queue::{LocalQueue, QueueError, queue_name},
    queue_file::Received,
    stop::Stop,
};

/// What a function may take for one batch before it is ended and the batch comes again.
const HANDLER_MAX: Duration = Duration::from_secs(300);
/// The pause after the queue itself failed.
const PAUSE: Duration = Duration::from_secs(1);

/// A function that handles messages.
type Handler = Arc<dyn Fn(SqsEvent) -> BoxFuture<'static, SqsBatchResponse> + Send + Sync>;

/// Feeds the messages of one queue to its function.
#[derive(Clone)]
pub(crate) struct Worker {
    queue: LocalQueue,
    name: QueueName,
    handler: Handler,
}

/// What of a batch was not handled, and why.
struct Failed {
    ids: HashSet<i64>,
    reason: String,
}

impl Worker {
    /// A worker that gives the messages of the queue `name` to `handler`.
    pub(crate) fn new(
        queue: &LocalQueue,
        name: QueueName,
        handler: impl Fn(SqsEvent) -> BoxFuture<'static, SqsBatchResponse> + Send + Sync + 'static,
    ) -> Self {
        Self { queue: queue.clone(), name, handler: Arc::new(handler) }
    }

    /// The workers of all queues of a platform.
    pub(crate) fn all(platform: &Arc<Platform>, queue: &LocalQueue) -> [Self; 3] {
        let (usage, periods, outbox) = (platform.clone(), platform.clone(), platform.clone());
        let count = move |event| {
            let platform = usage.clone();
            async move { ingest_usage::handle(&platform, event).await }.boxed()
        };
        let close = move |event| {
            let platform = periods.clone();
            async move { close_periods::handle_messages(&platform, event).await }.boxed()
        };
        let deliver = move |event| {
            let platform = outbox.clone();
            async move { send_email::handle(&platform, event).await }.boxed()
        };
        [
            Self::new(queue, QueueName::Usage, count),
            Self::new(queue, QueueName::Periods, close),
            Self::new(queue, QueueName::Outbox, deliver),
        ]
    }

    /// Works until told to stop, and then finishes the batch at hand.
    pub(crate) async fn run(self, stop: Stop) {
        while !stop.is_requested() {
            if let Err(error) = self.work_once(&stop).await {
                tracing::error!(cause = ?error, "the {} queue: {error}", queue_name(self.name));
                sleep(PAUSE).await;
            }
        }
    }

    /// Handles one batch, or waits until there may be one.
    async fn work_once(&self, stop: &Stop) -> Result<(), QueueError> {
        let batch = self.queue.receive(self.name, batch_max(self.name)).await?;
        if batch.is_empty() {
            return tokio::select! {
                waited = self.queue.wait(self.name) => waited,
                () = stop.requested() => Ok(()),
            };
        }
        let failed = self.handle(&batch).await;
        let ids = batch.iter().map(|message| message.id);
        let (failed_ids, handled_ids) = ids.partition::<Vec<_>, _>(|id| failed.ids.contains(id));
        if !failed_ids.is_empty() {
            tracing::warn!(
                failed = failed_ids.len(),
                "the {} queue: {}",
                queue_name(self.name),
                failed.reason
            );
            self.queue.retry(failed_ids, failed.reason).await?;
        }
        self.queue.delete(self.name, handled_ids).await
    }

    /// Calls the function in a task of its own, so that its panic is its own.
    async fn handle(&self, batch: &[Received]) -> Failed {
        let call = tokio::spawn((self.handler)(event(self.name, batch)));
        let abort = call.abort_handle();
        match timeout(HANDLER_MAX, call).await {
            Ok(Ok(response)) => reported(batch, &response),
            Ok(Err(error)) => everything(batch, format!("the function panicked: {error}")),
            Err(_) => {
                abort.abort();
                everything(batch, format!("the function took longer than {} s", HANDLER_MAX.as_secs()))
            }
        }
    }
}

/// Messages in one batch. Small where each takes long, as in `template.yaml`.
fn batch_max(queue: QueueName) -> usize {
    match queue {
        QueueName::Usage => 100,
        QueueName::Periods | QueueName::Outbox => 10,
    }
}

/// What the function reported. As with SQS, naming a message it was not given fails the whole batch.
fn reported(batch: &[Received], response: &SqsBatchResponse) -> Failed {
    let known: HashSet<i64> = batch.iter().map(|message| message.id).collect();
    let named = response.batch_item_failures.iter().map(|failure| failure.item_identifier.parse().ok());
    match named.collect::<Option<HashSet<i64>>>() {
        Some(ids) if ids.is_subset(&known) => {
            Failed { ids, reason: "the function reported a failure (the log says which)".to_owned() }
        }
        _ => everything(batch, "the function reported a message that it was not given".to_owned()),
    }
}

fn everything(batch: &[Received], reason: String) -> Failed {
    Failed { ids: batch.iter().map(|message| message.id).collect(), reason }
}

/// The event that Lambda would make of these messages.
fn event(queue: QueueName, batch: &[Received]) -> SqsEvent {
    let record = |message: &Received| {
        let mut record = SqsMessage::default();
        record.message_id = Some(message.id.to_string());
        record.receipt_handle = Some(message.id.to_string());
        record.body = Some(message.body.clone());
        record.event_source = Some("aws:sqs".to_owned());
        record.event_source_arn = Some(format!("arn:aws:sqs:local:000000000000:{}", queue_name(queue)));
        record.aws_region = Some("local".to_owned());
        record.attributes = [
            ("ApproximateReceiveCount", Some(message.receives.to_string())),
            ("SentTimestamp", Some(message.enqueued_at_ms.to_string())),
            ("MessageGroupId", message.organization.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
        record
    };
    let mut event = SqsEvent::default();
    event.records = batch.iter().map(record).collect();
    event
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What the function does with a message, by its body.
    fn respond(event: &SqsEvent) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        for record in &event.records {
            match record.body.as_deref() {
                Some(body) if body.contains("panic") => panic!("as asked"),
                Some(body) if body.contains("fail") => {
                    response.add_failure(record.message_id.clone().unwrap());
                }
                _ => {}
            }
        }
        response
    }

    /// Sends `first`, and `last` once that is worked off. Returns every body the function saw, and the dead
    /// letters with their reasons.
    async fn work_off(first: &[&str], last: &str) -> (Vec<String>, Vec<(String, String)>) {
        let folder = tempfile::tempdir().unwrap();
        let queue = LocalQueue::open(&folder.path().join("queue.db")).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let worker = Worker::new(&queue, QueueName::Outbox, move |event| {
            let bodies = event.records.iter().map(|record| record.body.clone().unwrap());
            log.lock().unwrap().extend(bodies);
            async move { respond(&event) }.boxed()
        });
        let (request, stop) = Stop::new();
        let running = tokio::spawn(worker.run(stop));
        for bodies in [first, &[last]] {
            queue.send_bodies(QueueName::Outbox, bodies).await;
            assert!(queue.wait_until_empty(Duration::from_secs(30)).await.unwrap());
        }
        request.send(true).unwrap();
        running.await.unwrap();

        let state = queue.state().await.unwrap();
        let letters = state.into_iter().flat_map(|state| state.dead_letters);
        let seen = seen.lock().unwrap().clone();
        (seen, letters.map(|letter| (letter.body, letter.reason)).collect())
    }

    #[tokio::test]
    async fn a_message_fails_alone() {
        let (seen, letters) = work_off(&["fine", "fail", "fine too"], "last").await;
        assert_eq!(seen, ["fine", "fail", "fine too", "fail", "fail", "fail", "fail", "last"]);
        let reason = "the function reported a failure (the log says which)";
        assert_eq!(letters, [("fail".to_owned(), reason.to_owned())]);
    }

    #[tokio::test]
    async fn a_panic_fails_its_batch_and_the_worker_goes_on() {
        let (seen, letters) = work_off(&["panic"], "last").await;
        assert_eq!(seen, ["panic", "panic", "panic", "panic", "panic", "last"]);
        let [(body, reason)] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!(body, "panic");
        assert!(reason.contains("panicked") && reason.contains("as asked"), "{reason}");
    }

    #[test]
    fn naming_an_unknown_message_fails_the_whole_batch() {
        let message =
            |id| Received { id, organization: None, enqueued_at_ms: 0, receives: 1, body: "{}".into() };
        let check = |named: &[&str], failed: &[i64]| {
            let mut response = SqsBatchResponse::default();
            named.iter().for_each(|id| response.add_failure(*id));
            assert_eq!(reported(&[message(1), message(2)], &response).ids, failed.iter().copied().collect());
        };
        check(&[], &[]);
        check(&["2"], &[2]);
        check(&["1", "2"], &[1, 2]);
        check(&["3"], &[1, 2]);
        check(&["2", ""], &[1, 2]);
    }
}
