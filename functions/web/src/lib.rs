//! Pages for people.

use std::sync::Arc;

use app::{AppError, Platform, public_invoices};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

/// The function's routes on a platform.
pub fn router(platform: Arc<Platform>) -> Router {
    Router::new().route("/", get(home)).route("/p/{token}", get(invoice)).with_state(platform)
}

/// Where everything is.
async fn home() -> Response {
    page(StatusCode::OK, include_str!("../pages/home.html").to_owned())
}

/// An invoice, for whoever has its token. Nobody keeps it: the next token takes this one away.
async fn invoice(State(platform): State<Arc<Platform>>, Path(token): Path<String>) -> Response {
    let mut response = match public_invoices::get_page(&platform, &token).await {
        Ok(html) => page(StatusCode::OK, html),
        Err(AppError::NotFound(_)) => notice(StatusCode::NOT_FOUND, "This invoice cannot be found"),
        Err(error) => {
            tracing::error!(error = ?error, "the page of an invoice could not be shown");
            notice(StatusCode::SERVICE_UNAVAILABLE, "This invoice cannot be shown right now")
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page with one sentence.
fn notice(status: StatusCode, sentence: &str) -> Response {
    page(status, include_str!("../pages/notice.html").replace("{sentence}", sentence))
}

/// A page that runs no script, and loads nothing from elsewhere but a logo.
fn page(status: StatusCode, html: String) -> Response {
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; img-src https:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
