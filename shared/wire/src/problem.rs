//! Problems: every answer that is not what was asked for, as RFC 9457 has them. The only place that knows
//! status codes.

use app::{AppError, FieldError};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::user::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api_key::scope_text;

/// An answer that is not what was asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Stable address of the documentation of this kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem it is, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request, for people. Always text.
    pub detail: String,
    /// What kind of problem it is, for programs.
    pub code: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
    /// Names the request in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A field at fault.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldProblem {
    /// Where it is: `tiers[0].up_to`.
    pub field: String,
    /// What is wrong, for programs.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
}

impl Problem {
    /// A problem of its own kind.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("https://fluxrate.dev/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            errors: Vec::new(),
            request_id: None,
        }
    }

    /// A body that is no JSON.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    fn with_errors(self, errors: Vec<FieldError>) -> Self {
        let problem = |error: FieldError| FieldProblem {
            field: error.field,
            code: error.code.to_owned(),
            detail: error.detail,
        };
        Self { errors: errors.into_iter().map(problem).collect(), ..self }
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let detail = error.to_string();
        match error {
            AppError::Invalid(errors) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).with_errors(errors)
            }
            AppError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            AppError::Conflict { code, field, .. } => {
                let errors = field.map(|field| FieldError::new(field, code, "is already taken"));
                Self::new(StatusCode::CONFLICT, code, detail).with_errors(Vec::from_iter(errors))
            }
            AppError::Unauthenticated(_) => Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail),
            AppError::Forbidden(scope) => Self::forbidden(scope),
            AppError::Unavailable(_) => {
                tracing::error!(error = ?error, "a request could not be served now");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
            AppError::Internal(_) => {
                tracing::error!(error = ?error, "a request met a defect");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

impl Problem {
    fn forbidden(scope: Scope) -> Self {
        let detail = format!("the API key lacks the scope `{}`", scope_text(scope));
        Self::new(StatusCode::FORBIDDEN, "missing_scope", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // Whoever knows the name of the request writes it into the body.
        response.extensions_mut().insert(self);
        response
    }
}
