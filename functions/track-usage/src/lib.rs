//! The door for usage: checks it, names it, and hands it to the queue.

use std::sync::Arc;

use app::{AppError, Platform, track_usage};
use auth::Actor;
use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
};
use wire::{
    Problem, cloud_event,
    extract::{AnyBody, Body, Caller, idempotency_key},
    routes::Routes,
    usage::{AcceptedBody, TrackBody, UsageBody},
    usage_batch::{Told, UsageBatchAnswerBody, UsageBatchBody},
};

/// The function's routes on a platform.
pub fn router(platform: Arc<Platform>) -> Router {
    endpoints().router().with_state(platform)
}

/// The function's routes, as the OpenAPI document has them.
pub fn endpoints() -> Routes {
    Routes::default()
        .post("/api/v1/sdk/track", track)
        .post("/api/v1/usage", usage)
        .post("/api/v1/usage/batch", batch)
}

async fn track(
    Caller { platform, actor }: Caller,
    headers: HeaderMap,
    Body(body): Body<TrackBody>,
) -> Result<(StatusCode, Json<AcceptedBody>), Problem> {
    accept_one(&platform, &actor, body.into_domain(idempotency_key(&headers)?)?).await
}

/// One event as JSON or as a CloudEvent, or CloudEvents in a batch.
async fn usage(
    Caller { platform, actor }: Caller,
    headers: HeaderMap,
    body: AnyBody,
) -> Result<Answer, Problem> {
    let told = match body.kind.as_str() {
        cloud_event::SINGLE => cloud_event::single(&body.bytes)?,
        cloud_event::BATCH => {
            return accept_all(&platform, &actor, cloud_event::batch(&body.bytes)?).await.map(Answer::Batch);
        }
        "application/json" => {
            wire::parse::<UsageBody>(&body.bytes)?.into_domain(idempotency_key(&headers)?)?
        }
        _ => return Err(wire::extract::unsupported_media_type()),
    };
    accept_one(&platform, &actor, told).await.map(Answer::One)
}

/// Many events as JSON or as CloudEvents.
async fn batch(
    Caller { platform, actor }: Caller,
    headers: HeaderMap,
    body: AnyBody,
) -> Result<(StatusCode, Json<UsageBatchAnswerBody>), Problem> {
    let told = match body.kind.as_str() {
        cloud_event::BATCH => cloud_event::batch(&body.bytes)?,
        "application/json" => {
            wire::parse::<UsageBatchBody>(&body.bytes)?.into_domain(idempotency_key(&headers)?.as_deref())?
        }
        _ => return Err(wire::extract::unsupported_media_type()),
    };
    accept_all(&platform, &actor, told).await
}

async fn accept_one(
    platform: &Platform,
    actor: &Actor,
    usage: track_usage::Usage,
) -> Result<(StatusCode, Json<AcceptedBody>), Problem> {
    let accepted = track_usage::track(platform, actor, usage).await?;
    Ok((StatusCode::CREATED, Json(AcceptedBody::from_domain(&accepted))))
}

/// 202 if everything was accepted, 207 with a verdict for each event if not.
async fn accept_all(
    platform: &Platform,
    actor: &Actor,
    told: Told,
) -> Result<(StatusCode, Json<UsageBatchAnswerBody>), Problem> {
    let (mut outcomes, mut events) = (Vec::with_capacity(told.len()), Vec::with_capacity(told.len()));
    for told in told {
        outcomes.push(told.map(|usage| events.push(usage)));
    }
    let accepted = track_usage::track_all(platform, actor, events).await?;
    let body = UsageBatchAnswerBody::new(outcomes, accepted);
    if body.is_unavailable() {
        return Err(AppError::Unavailable("the queue took none of the events".into()).into());
    }
    let status = if body.is_whole() { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
    Ok((status, Json(body)))
}

/// The answer to one event, or to a batch.
enum Answer {
    One((StatusCode, Json<AcceptedBody>)),
    Batch((StatusCode, Json<UsageBatchAnswerBody>)),
}

impl axum::response::IntoResponse for Answer {
    fn into_response(self) -> axum::response::Response {
        match self {
            Self::One(answer) => answer.into_response(),
            Self::Batch(answer) => answer.into_response(),
        }
    }
}
