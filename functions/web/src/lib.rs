//! Pages for people.

use std::sync::Arc;

use app::Platform;
use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

/// The function's routes on a platform.
pub fn router(platform: Arc<Platform>) -> Router {
    Router::new().route("/", get(home)).with_state(platform)
}

/// Where everything is.
async fn home() -> Response {
    page(StatusCode::OK, include_str!("../pages/home.html"))
}

/// A page that loads nothing from elsewhere and runs no script.
fn page(status: StatusCode, html: &'static str) -> Response {
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
