//! `Idempotency-Key`: a repeated POST gets the answer of the first, and does nothing.

use std::sync::Arc;

use app::{Platform, idempotency};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use wire::{
    Problem,
    extract::{BODY_BYTES_MAX, authenticate_request, idempotency_key},
};

/// Answers a repeat, or carries out the request and keeps its answer.
pub(crate) async fn replay(State(platform): State<Arc<Platform>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    match idempotency_key(request.headers()) {
        Ok(Some(key)) => {
            replayed(&platform, key, request, next).await.unwrap_or_else(IntoResponse::into_response)
        }
        Ok(None) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn replayed(
    platform: &Platform,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    // Signing up and in has no organization yet, and is not repeated by key.
    let Ok(actor) = authenticate_request(platform, &parts.headers).await else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large")
    })?;
    let request_hash = idempotency::request_hash(parts.uri.path(), &body);
    if let Some(answer) = idempotency::claim(platform, &actor, &key, &request_hash).await? {
        let mut response = stored(answer.status, answer.body);
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        return Ok(response);
    }
    parts.extensions.insert(actor.clone());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer was lost"));
    };
    // What was refused changed nothing, and may be sent again, corrected.
    let kept = head.status.is_success().then(|| body.to_vec());
    idempotency::settle(platform, &actor, &key, &request_hash, head.status.as_u16(), kept).await;
    Ok(Response::from_parts(head, Body::from(body)))
}

fn stored(status: u16, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
