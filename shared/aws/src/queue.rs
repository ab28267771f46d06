//! The queues between functions, on SQS.

use app::port::{Message, PortError, Queue, QueueName};
use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    operation::send_message_batch::SendMessageBatchOutput,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use futures::stream::{self, StreamExt};

use crate::error::{failed, not_configured};

/// Where the queues are. A function is given only those it uses.
#[derive(Clone, Debug, Default)]
pub struct QueueUrls {
    /// From track-usage to ingest-usage.
    pub usage: Option<String>,
    /// From the sweep to the closing of one subscription's periods.
    pub periods: Option<String>,
    /// From the outbox to send-email.
    pub outbox: Option<String>,
    /// The dead-letter queue of the one queue that this function consumes.
    pub dead_letters: Option<String>,
}

/// Queues on SQS. Standard ones: they deliver at least once, in any order, and with the organization as their
/// message group none can keep the others waiting.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    urls: QueueUrls,
}

/// SQS takes ten messages in one request.
const BATCH_MESSAGES_MAX: usize = 10;

/// A queue takes messages, and requests, of 256 KiB, unless it is set to take more.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// How many requests one call has under way. A sweep may find thousands of messages to send.
const REQUESTS_MAX: usize = 8;

/// Enough to see what is wrong with a message; a message attribute could hold far more.
const REASON_CHARACTERS_MAX: usize = 1000;

const SEND: &str = "sending to SQS";
const BURY: &str = "sending to the dead-letter queue";

impl SqsQueue {
    /// Queues at these places.
    pub fn new(client: Client, urls: QueueUrls) -> Self {
        Self { client, urls }
    }

    fn url(&self, queue: QueueName) -> Result<&str, PortError> {
        let (url, name) = match queue {
            QueueName::Usage => (&self.urls.usage, "the URL of the usage queue"),
            QueueName::Periods => (&self.urls.periods, "the URL of the periods queue"),
            QueueName::Outbox => (&self.urls.outbox, "the URL of the outbox queue"),
        };
        url.as_deref().ok_or_else(|| not_configured(SEND, name))
    }

    /// Sends one batch. The verdicts are those of its messages, by their index.
    async fn send_batch(&self, batch: Batch) -> Vec<(usize, Result<(), PortError>)> {
        let indexes: Vec<usize> = batch.messages.iter().map(|message| message.index).collect();
        let output = self.try_batch(batch).await;
        let verdict = |index: usize| match &output {
            Ok(output) => verdict(output, &index.to_string()),
            Err(error) => Err(PortError::new(error.what, error.cause.to_string())),
        };
        indexes.into_iter().map(|index| (index, verdict(index))).collect()
    }

    async fn try_batch(&self, batch: Batch) -> Result<SendMessageBatchOutput, PortError> {
        let mut request = self.client.send_message_batch().queue_url(self.url(batch.queue)?);
        for message in batch.messages {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(message.index.to_string())
                .message_body(message.body)
                .set_message_group_id(message.group);
            request = request.entries(entry.build().map_err(|error| PortError::new(SEND, error))?);
        }
        request.send().await.map_err(|error| failed(SEND, &error))
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let mut verdicts: Vec<_> = messages.iter().map(|_| Err(unconfirmed())).collect();
        let mut requests = Vec::new();
        for batch in batches(messages) {
            requests.push(self.send_batch(batch));
        }
        let mut requests = stream::iter(requests).buffer_unordered(REQUESTS_MAX);
        while let Some(done) = requests.next().await {
            for (index, verdict) in done {
                if let Some(place) = verdicts.get_mut(index) {
                    *place = verdict;
                }
            }
        }
        verdicts
    }

    async fn bury(&self, _queue: QueueName, body: &str, reason: &str) -> Result<(), PortError> {
        let url = self.urls.dead_letters.as_deref();
        let url = url.ok_or_else(|| not_configured(BURY, "the URL of the dead-letter queue"))?;
        let reason = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(sendable(reason))
            .build()
            .map_err(|error| PortError::new(BURY, error))?;
        let request = self.client.send_message().queue_url(url).message_body(body);
        request.message_attributes("reason", reason).send().await.map_err(|error| failed(BURY, &error))?;
        Ok(())
    }
}

/// A message on its way, under its index among all that are sent.
struct Outgoing {
    index: usize,
    body: String,
    group: Option<String>,
}

/// Messages that go to one queue in one request.
struct Batch {
    queue: QueueName,
    messages: Vec<Outgoing>,
    bytes: usize,
}

/// As few batches as the order allows, each of one queue and within what SQS takes. A message that is too
/// large by itself goes alone, and SQS refuses only it.
fn batches(messages: &[Message]) -> Vec<Batch> {
    let mut full = Vec::new();
    let mut open: Vec<Batch> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let queue = message.queue();
        let body = wire::message::encode(message);
        let fits = |batch: &Batch| {
            batch.messages.len() < BATCH_MESSAGES_MAX && batch.bytes + body.len() <= BATCH_BYTES_MAX
        };
        if let Some(place) = open.iter().position(|batch| batch.queue == queue && !fits(batch)) {
            full.push(open.swap_remove(place));
        }
        let group = message.organization().map(|organization| organization.to_string());
        let bytes = body.len();
        let outgoing = Outgoing { index, body, group };
        match open.iter_mut().find(|batch| batch.queue == queue) {
            Some(batch) => {
                batch.bytes += bytes;
                batch.messages.push(outgoing);
            }
            None => open.push(Batch { queue, messages: vec![outgoing], bytes }),
        }
    }
    full.extend(open);
    full
}

/// What SQS said of the message `id`. Saying nothing is not a yes.
fn verdict(output: &SendMessageBatchOutput, id: &str) -> Result<(), PortError> {
    if let Some(refused) = output.failed().iter().find(|entry| entry.id() == id) {
        return Err(PortError::new(SEND, format!("refused (code {})", refused.code())));
    }
    if output.successful().iter().any(|entry| entry.id() == id) { Ok(()) } else { Err(unconfirmed()) }
}

fn unconfirmed() -> PortError {
    PortError::new(SEND, "not confirmed")
}

/// `reason` as a message attribute takes it: not empty, not long, of printable ASCII.
fn sendable(reason: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let reason: String = reason.chars().take(REASON_CHARACTERS_MAX).map(printable).collect();
    if reason.is_empty() { "unknown".to_owned() } else { reason }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchResultEntry};
    use domain::{
        event::{TrackedEvent, UsageEvent},
        id::Id,
        property::Property,
    };

    use super::*;

    fn period() -> Message {
        Message::ClosePeriod { organization: id(), subscription: id() }
    }

    fn email() -> Message {
        Message::DeliverEmail { organization: id(), customer: id(), entry: id() }
    }

    /// A message whose body is a little longer than `bytes`: 16 random hexadecimal digits are 8 bytes however
    /// they are compressed, and those are 11 in base64.
    fn usage(bytes: usize) -> Message {
        let text = (0..bytes as u64 / 10).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let at = "2025-01-15T10:00:00Z".parse().unwrap();
        Message::CountUsage(vec![TrackedEvent {
            organization: id(),
            meter: id(),
            customer: id(),
            has_sender_key: true,
            event: UsageEvent {
                key: "key".into(),
                occurred_at: at,
                ingested_at: at,
                quantity: "1".parse().unwrap(),
                properties: [("text".to_owned(), Property::Text(text.collect()))].into(),
                metadata: [].into(),
                revision: domain::event::Revision::First,
            },
        }])
    }

    fn id<K>() -> Id<K> {
        Id::from_parts("2025-01-15T10:00:00Z".parse().unwrap(), [7; 10])
    }

    #[test]
    fn batches_are_of_one_queue_and_within_ten_messages_and_256_kib() {
        let shape = |messages: &[Message]| {
            let shape = |batch: &Batch| (batch.queue, batch.messages.iter().map(|m| m.index).collect());
            batches(messages).iter().map(shape).collect::<Vec<(QueueName, Vec<usize>)>>()
        };
        assert_eq!(shape(&[]), []);
        assert_eq!(
            shape(&[period(), email(), period()]),
            [(QueueName::Periods, vec![0, 2]), (QueueName::Outbox, vec![1])]
        );
        assert_eq!(
            shape(&vec![period(); 21]),
            [(0..10), (10..20), (20..21)].map(|range| (QueueName::Periods, range.collect()))
        );
        // Two of 100 KiB fit, a third does not; one of 300 KiB goes alone.
        let large = usage(100 << 10);
        assert_eq!(
            shape(&[large.clone(), large.clone(), large.clone(), usage(300 << 10), large]),
            [vec![0, 1], vec![2], vec![3], vec![4]].map(|indexes| (QueueName::Usage, indexes))
        );
    }

    #[test]
    fn only_a_confirmed_message_counts_as_sent() {
        let sent = SendMessageBatchResultEntry::builder().id("1").message_id("m").md5_of_message_body("m");
        let refused =
            BatchResultErrorEntry::builder().id("2").sender_fault(true).code("InvalidMessageContents");
        let output = SendMessageBatchOutput::builder()
            .successful(sent.build().unwrap())
            .failed(refused.build().unwrap())
            .build()
            .unwrap();
        assert!(verdict(&output, "1").is_ok());
        let cause = |id| verdict(&output, id).unwrap_err().cause.to_string();
        assert_eq!(cause("2"), "refused (code InvalidMessageContents)");
        assert_eq!(cause("3"), "not confirmed");
    }

    #[tokio::test]
    async fn a_function_without_a_queue_says_which() {
        let config = aws_sdk_sqs::Config::builder().behavior_version_latest().build();
        let queue = SqsQueue::new(Client::from_conf(config), QueueUrls::default());
        let verdicts = queue.send(&[period(), email()]).await;
        let causes = verdicts.into_iter().map(|verdict| verdict.unwrap_err().cause.to_string());
        assert_eq!(
            causes.collect::<Vec<_>>(),
            ["periods", "outbox"]
                .map(|name| format!("the URL of the {name} queue is not set for this function"))
        );
        let error = queue.bury(QueueName::Usage, "body", "reason").await.unwrap_err();
        assert_eq!(error.cause.to_string(), "the URL of the dead-letter queue is not set for this function");
    }

    #[test]
    fn a_reason_is_cut_and_printable() {
        assert_eq!(sendable("`quantity` is not a number"), "`quantity` is not a number");
        assert_eq!(sendable("a\u{0}b\nc\u{fffe}d"), "a?b?c?d");
        assert_eq!(sendable(""), "unknown");
        assert_eq!(sendable(&"é".repeat(2000)).len(), REASON_CHARACTERS_MAX);
    }
}
