//! Mails invoices.

use app::{
    Platform,
    port::{Message, QueueName},
    send_email,
};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use runtime::batch::{Verdict, each_message};

/// Sends what the messages name, unless it was sent already.
pub async fn handle(platform: &Platform, event: SqsEvent) -> SqsBatchResponse {
    each_message(platform, QueueName::Outbox, event, |body| async move {
        let (organization, customer, entry) = match wire::message::decode(&body) {
            Ok(Message::DeliverEmail { organization, customer, entry }) => (organization, customer, entry),
            Ok(Message::CountUsage(_) | Message::RecountUsage(_) | Message::ClosePeriod { .. }) => {
                return Verdict::Poison("it names no e-mail".to_owned());
            }
            Err(error) => return Verdict::Poison(error.to_string()),
        };
        match send_email::deliver(platform, organization, customer, entry).await {
            Ok(_) => Verdict::Done,
            Err(error) => {
                tracing::error!(outbox.id = %entry, error = ?error, "e-mail {entry} is not sent");
                if error.is_retryable() { Verdict::Retry } else { Verdict::Poison(error.to_string()) }
            }
        }
    })
    .await
}
