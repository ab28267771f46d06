//! How a batch of messages is answered: SQS deletes what the answer does not name, so an answer that is empty
//! by accident loses messages. Here it is made from one verdict per message.

use std::panic::AssertUnwindSafe;

use app::{
    Platform,
    port::{Queue, QueueName},
};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::{
    FutureExt,
    stream::{self, StreamExt},
};

/// What became of one message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is handled, or was before.
    Done,
    /// It may succeed later.
    Retry,
    /// It never will, for this reason.
    Poison(String),
}

/// How many messages are handled at a time. They mostly wait for DynamoDB.
const CONCURRENT_MAX: usize = 8;

/// Handles each message of `event`, a few at a time, and answers with exactly those to be delivered again.
///
/// A poison message goes to the dead-letter queue of `queue` with its reason; if that fails, it is delivered
/// again. So is a message without a body, or one whose handling panics, until SQS itself sets it aside. If a message
/// without an id is to be delivered again, the whole batch is: its name is empty, which SQS takes for "all of them".
pub async fn each_message<F>(
    platform: &Platform,
    queue: QueueName,
    event: SqsEvent,
    handle: impl Fn(String) -> F,
) -> SqsBatchResponse
where
    F: Future<Output = Verdict>,
{
    answer(platform.queue.as_ref(), queue, event, handle).await
}

async fn answer<F>(
    port: &dyn Queue,
    queue: QueueName,
    event: SqsEvent,
    handle: impl Fn(String) -> F,
) -> SqsBatchResponse
where
    F: Future<Output = Verdict>,
{
    let mut under_way = Vec::new();
    for message in event.records {
        under_way.push(settle(port, queue, message, &handle));
    }
    let mut to_repeat = stream::iter(under_way).buffered(CONCURRENT_MAX);
    let mut response = SqsBatchResponse::default();
    while let Some(message) = to_repeat.next().await {
        if let Some(id) = message {
            response.add_failure(id);
        }
    }
    response
}

/// Handles one message. The answer is its id if it is to be delivered again.
async fn settle<F>(
    port: &dyn Queue,
    queue: QueueName,
    message: SqsMessage,
    handle: &impl Fn(String) -> F,
) -> Option<String>
where
    F: Future<Output = Verdict>,
{
    let id = message.message_id.unwrap_or_default();
    let Some(body) = message.body else {
        tracing::error!(message.id = id, ?queue, "message {id} has no body");
        return Some(id);
    };
    // What the handling of a message has in memory goes with it. What it shares with others is only held for a
    // moment under locks that nobody minds to be poisoned, or lies in the tables, where nothing is half done.
    let handled = AssertUnwindSafe(async { handle(body.clone()).await }).catch_unwind().await;
    let verdict = handled.unwrap_or_else(|_| {
        tracing::error!(message.id = id, ?queue, "handling message {id} panicked");
        Verdict::Retry
    });
    match verdict {
        Verdict::Done => None,
        Verdict::Retry => Some(id),
        Verdict::Poison(reason) => match port.bury(queue, &body, &reason).await {
            Ok(()) => {
                tracing::error!(message.id = id, ?queue, reason, "set message {id} aside");
                None
            }
            Err(error) => {
                tracing::error!(message.id = id, ?queue, reason, cause = %error.cause, "could not set message {id} aside");
                Some(id)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use app::port::{Message, PortError};
    use async_trait::async_trait;
    use serde_json::{Value, json};
    use tokio::task::yield_now;

    use super::*;

    /// A dead-letter queue that may refuse.
    #[derive(Default)]
    struct Graveyard {
        is_closed: bool,
        buried: Mutex<Vec<(String, String)>>,
    }

    #[async_trait]
    impl Queue for Graveyard {
        async fn send(&self, _messages: &[Message]) -> Vec<Result<(), PortError>> {
            Vec::new()
        }

        async fn bury(&self, queue: QueueName, body: &str, reason: &str) -> Result<(), PortError> {
            assert_eq!(queue, QueueName::Usage);
            if self.is_closed {
                return Err(PortError::new("burying", "closed"));
            }
            self.buried.lock().unwrap().push((body.to_owned(), reason.to_owned()));
            Ok(())
        }
    }

    /// Done, retry, a panic, or poison, as the body says.
    async fn obey(body: String) -> Verdict {
        yield_now().await;
        match body.as_str() {
            "done" => Verdict::Done,
            "retry" => Verdict::Retry,
            "panic" => panic!("as asked"),
            other => Verdict::Poison(format!("it says {other}")),
        }
    }

    /// What the answer to `records` is on the wire.
    async fn answered(graveyard: &Graveyard, records: Value) -> Value {
        let event = serde_json::from_value(json!({ "Records": records })).unwrap();
        serde_json::to_value(answer(graveyard, QueueName::Usage, event, obey).await).unwrap()
    }

    #[tokio::test]
    async fn the_answer_names_exactly_the_messages_to_be_delivered_again() {
        let check = async |records: Value, expected: &[&str]| {
            let failures: Vec<_> = expected.iter().map(|id| json!({ "itemIdentifier": id })).collect();
            let answer = answered(&Graveyard::default(), records).await;
            assert_eq!(answer, json!({ "batchItemFailures": failures }));
        };
        check(json!([]), &[]).await;
        check(json!([{ "messageId": "1", "body": "done" }]), &[]).await;
        check(json!([{ "messageId": "1", "body": "retry" }]), &["1"]).await;
        check(json!([{ "messageId": "1", "body": "poison" }]), &[]).await;
        check(json!([{ "messageId": "1", "body": null }]), &["1"]).await;
        let one = json!([{ "messageId": "1", "body": "done" }, { "messageId": "2", "body": "panic" },
            { "messageId": "3", "body": "retry" }, { "messageId": "4", "body": "done" }]);
        check(one, &["2", "3"]).await; // a panic takes nobody with it
        check(json!([{ "messageId": "1" }, { "messageId": "2", "body": "done" }]), &["1"]).await;
        check(json!([{ "body": "done" }]), &[]).await;
        check(json!([{ "body": "retry" }]), &[""]).await; // all of them
        check(json!([{}]), &[""]).await;
        let many: Vec<_> = (0..1000)
            .map(|i| json!({ "messageId": i.to_string(), "body": if i % 3 == 0 { "retry" } else { "done" } }))
            .collect();
        let expected: Vec<_> = (0..1000).step_by(3).map(|i| i.to_string()).collect();
        check(json!(many), &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    #[tokio::test]
    async fn a_poison_message_is_buried_with_its_reason() {
        let graveyard = Graveyard::default();
        let records = json!([{ "messageId": "1", "body": "nonsense" }, { "messageId": "2", "body": "done" }]);
        assert_eq!(answered(&graveyard, records).await, json!({ "batchItemFailures": [] }));
        assert_eq!(
            *graveyard.buried.lock().unwrap(),
            [("nonsense".to_owned(), "it says nonsense".to_owned())]
        );
    }

    #[tokio::test]
    async fn a_poison_message_that_cannot_be_buried_is_delivered_again() {
        let graveyard = Graveyard { is_closed: true, ..Graveyard::default() };
        let answer = answered(&graveyard, json!([{ "messageId": "1", "body": "nonsense" }])).await;
        assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "1" }] }));
    }

    #[tokio::test]
    async fn only_a_few_messages_are_handled_at_a_time() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let handle = |_body| async {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            yield_now().await;
            now.fetch_sub(1, Ordering::Relaxed);
            Verdict::Done
        };
        let records: Vec<_> = (0..100).map(|i| json!({ "messageId": i.to_string(), "body": "x" })).collect();
        let event = serde_json::from_value(json!({ "Records": records })).unwrap();
        answer(&Graveyard::default(), QueueName::Usage, event, handle).await;
        assert_eq!(most.into_inner(), CONCURRENT_MAX);
    }
}
