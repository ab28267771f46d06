//! Counts queued usage: each event exactly once, whatever is delivered again.

use app::{
    Platform, ingest_usage,
    port::{Message, QueueName},
};
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};

/// Counts the events of all messages together, so that each head is written once. Answers with the
/// messages that have to come again: those with an event that is not certain to be counted.
pub async fn handle(platform: &Platform, event: SqsEvent) -> SqsBatchResponse {
    let mut events = Vec::new();
    let mut messages = Vec::new();
    let mut set_aside = Vec::new();
    let mut again = Vec::new();
    for record in event.records {
        let id = record.message_id.unwrap_or_default();
        let body = record.body.unwrap_or_default();
        let decoded = wire::message::decode(&body).map_err(|error| error.to_string());
        match decoded {
            Ok(Message::CountUsage(chunk)) => {
                messages.push((id, events.len()..events.len() + chunk.len()));
                events.extend(chunk);
            }
            Ok(Message::RecountUsage(chunk)) => set_aside.push((id, chunk)),
            Ok(Message::ClosePeriod { .. } | Message::DeliverEmail { .. }) => {
                again.extend(buried(platform, id, &body, "it is no usage").await);
            }
            Err(reason) => again.extend(buried(platform, id, &body, &reason).await),
        }
    }
    let counted = ingest_usage::count(platform, &events).await;
    for (id, range) in messages {
        match counted.get(range).map(|results| results.iter().find_map(|result| result.as_ref().err())) {
            Some(None) => {}
            Some(Some(error)) => {
                tracing::warn!(message.id = %id, error = ?error, "message {id} has to come again");
                again.push(id);
            }
            None => again.push(id), // without a verdict for each event, nothing is certain
        }
    }
    for (id, events) in set_aside {
        let counted = ingest_usage::recount(platform, &events).await;
        if let Some(error) = counted.iter().find_map(|result| result.as_ref().err()) {
            tracing::warn!(message.id = %id, error = ?error, "message {id} has to come again");
            again.push(id);
        }
    }
    tracing::info!(
        events = events.len(),
        failed_messages = again.len(),
        "counted {} events",
        counted.iter().filter(|result| result.is_ok()).count()
    );
    let failure = |id| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        failure
    };
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = again.into_iter().map(failure).collect();
    response
}

/// Sets a message aside that can never be handled, with the reason. Its id if that fails: it comes again.
async fn buried(platform: &Platform, id: String, body: &str, reason: &str) -> Option<String> {
    tracing::error!(message.id = %id, reason, "message {id} cannot be handled");
    platform.queue.bury(QueueName::Usage, body, reason).await.err().map(|_| id)
}
