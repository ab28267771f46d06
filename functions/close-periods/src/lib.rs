//! Closes periods that ended. The schedule's tick hands each subscription that is due to the queue; the
//! queue's messages close them, one by one.

use app::{
    AppError, Platform, close_period,
    port::{Message, QueueName},
    sweep,
};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use runtime::batch::{Verdict, each_message};
use serde_json::Value;

/// Handles a tick of the schedule, or messages of the queue.
pub async fn handle(platform: &Platform, event: Value) -> Result<Value, AppError> {
    if event.get("Records").is_none() {
        tick(platform).await?;
        return Ok(Value::Null);
    }
    let event = serde_json::from_value(event).map_err(AppError::internal)?;
    serde_json::to_value(handle_messages(platform, event).await).map_err(AppError::internal)
}

/// Hands everything that is due to the queue. A tick carries nothing: a lost one is made up by the next.
pub async fn tick(platform: &Platform) -> Result<(), AppError> {
    let due = sweep::close_periods(platform).await?;
    if due > 0 {
        tracing::info!(due, "{due} subscriptions are due");
    }
    Ok(())
}

/// Closes what the messages name.
pub async fn handle_messages(platform: &Platform, event: SqsEvent) -> SqsBatchResponse {
    each_message(platform, QueueName::Periods, event, |body| async move {
        let (organization, subscription) = match wire::message::decode(&body) {
            Ok(Message::ClosePeriod { organization, subscription }) => (organization, subscription),
            Ok(Message::CountUsage(_) | Message::RecountUsage(_) | Message::DeliverEmail { .. }) => {
                return Verdict::Poison("it names no period".to_owned());
            }
            Err(error) => return Verdict::Poison(error.to_string()),
        };
        let close = async {
            close_period::close(&platform.of(organization).await?, organization, subscription).await
        };
        match close.await {
            Ok(_) => Verdict::Done,
            Err(error) => {
                let id = subscription;
                tracing::error!(subscription.id = %id, error = ?error, "the period of {id} is not closed");
                if error.is_retryable() { Verdict::Retry } else { Verdict::Poison(error.to_string()) }
            }
        }
    })
    .await
}
