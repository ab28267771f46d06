//! Answers: JSON with a status.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use wire::Problem;

/// What a route answers with.
pub(crate) type Answer<T> = Result<Json<T>, Problem>;

/// A JSON body with its status.
pub(crate) struct Json<T>(pub(crate) StatusCode, pub(crate) T);

pub(crate) fn ok<T>(body: T) -> Answer<T> {
    Ok(Json(StatusCode::OK, body))
}

pub(crate) fn created<T>(body: T) -> Answer<T> {
    Ok(Json(StatusCode::CREATED, body))
}

pub(crate) fn accepted<T>(body: T) -> Answer<T> {
    Ok(Json(StatusCode::ACCEPTED, body))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.1) {
            Ok(body) => (self.0, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Problem::from(app::AppError::internal(error)).into_response(),
        }
    }
}
