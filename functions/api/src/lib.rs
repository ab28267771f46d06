//! The management API: everything that is asked for with a session or an API key, apart from tracking
//! usage. One module per resource, in `routes/`.

use std::sync::Arc;

use app::Platform;
use axum::{
    Router,
    http::{StatusCode, Uri},
    middleware,
    response::{IntoResponse, Redirect, Response},
};
use wire::{
    Problem,
    routes::{Routes, guarded},
};

mod answer;
mod idempotency;
mod routes;

/// The function's routes on a platform.
pub fn router(platform: Arc<Platform>) -> Router {
    let replay = middleware::from_fn_with_state(platform.clone(), idempotency::replay);
    endpoints()
        .router_with(|router| router.layer(replay))
        .with_state(platform)
        .merge(routes::docs::router())
        .fallback_service(guarded(Router::new().fallback(elsewhere)))
}

/// The function's routes, as the OpenAPI document has them.
pub fn endpoints() -> Routes {
    let routes = Routes::default();
    let routes = routes::session::add(routes);
    let routes = routes::organization::add(routes);
    let routes = routes::test_clock::add(routes);
    let routes = routes::api_key::add(routes);
    let routes = routes::feature::add(routes);
    let routes = routes::meter::add(routes);
    let routes = routes::plan::add(routes);
    let routes = routes::charge::add(routes);
    let routes = routes::customer::add(routes);
    let routes = routes::subscription::add(routes);
    let routes = routes::usage::add(routes);
    let routes = routes::entitlement::add(routes);
    let routes = routes::alert::add(routes);
    routes::invoice::add(routes)
}

/// The answer to a path that nobody serves. One with a doubled slash, as clients make that join a base and
/// a path, leads to the same without; method and body are kept.
async fn elsewhere(uri: Uri) -> Response {
    let path = uri.path();
    if !path.contains("//") {
        let detail = "there is nothing at this path";
        return Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into_response();
    }
    let parts = path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("/{}{query}", parts.join("/"))).into_response()
}
