//! The API reference: the OpenAPI document, and pages that let readers try it, served from here.

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// `/health`, `/openapi.json` and `/docs`.
pub(crate) fn router() -> Router {
    let config = Config::from("/openapi.json").try_it_out_enabled(true).persist_authorization(false);
    let reference = SwaggerUi::new("/docs").config(config).url("/openapi.json", wire::openapi::document());
    Router::new().route("/health", get(health)).merge(reference)
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}
