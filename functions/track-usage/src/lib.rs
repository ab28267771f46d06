//! The door for usage: checks it, names it, and hands it to the queue.

use std::sync::Arc;

use app::{Platform, track_usage};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use wire::{
    Problem,
    extract::{Body, Caller},
    routes::Routes,
    usage::{AcceptedBody, TrackBody, UsageBody},
};

/// The function's routes on a platform.
pub fn router(platform: Arc<Platform>) -> Router {
    endpoints().router().with_state(platform)
}

/// The function's routes, as the OpenAPI document has them.
pub fn endpoints() -> Routes {
    Routes::default().post("/api/v1/sdk/track", track).post("/api/v1/usage", usage)
}

type Accepted = Result<(StatusCode, Json<AcceptedBody>), Problem>;

async fn track(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    headers: HeaderMap,
    Body(body): Body<TrackBody>,
) -> Accepted {
    let accepted =
        track_usage::track(&platform, &actor, body.into_domain(idempotency_key(&headers))?).await?;
    Ok((StatusCode::CREATED, Json(AcceptedBody::from_domain(&accepted))))
}

async fn usage(
    State(platform): State<Arc<Platform>>,
    Caller(actor): Caller,
    headers: HeaderMap,
    Body(body): Body<UsageBody>,
) -> Accepted {
    let accepted =
        track_usage::track(&platform, &actor, body.into_domain(idempotency_key(&headers))?).await?;
    Ok((StatusCode::CREATED, Json(AcceptedBody::from_domain(&accepted))))
}

/// A key in the header is as good as one in the body.
fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    headers.get("idempotency-key")?.to_str().ok().map(str::to_owned)
}
