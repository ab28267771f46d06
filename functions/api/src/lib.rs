//! The management API: everything that is asked for with a session or an API key, apart from tracking
//! usage. One module per resource, in `routes/`.

use std::sync::Arc;

use app::Platform;
use axum::{Router, http::StatusCode, middleware};
use wire::{Problem, routes::Routes};

mod answer;
mod idempotency;
mod routes;

/// The function's routes on a platform.
pub fn router(platform: Arc<Platform>) -> Router {
    endpoints()
        .router()
        .layer(middleware::from_fn_with_state(platform.clone(), idempotency::replay))
        .with_state(platform)
        .merge(routes::docs::router())
}

/// The function's routes, as the OpenAPI document has them.
pub fn endpoints() -> Routes {
    let routes = Routes::default();
    let routes = routes::session::add(routes);
    let routes = routes::organization::add(routes);
    let routes = routes::api_key::add(routes);
    let routes = routes::feature::add(routes);
    let routes = routes::meter::add(routes);
    let routes = routes::plan::add(routes);
    let routes = routes::customer::add(routes);
    let routes = routes::subscription::add(routes);
    routes::invoice::add(routes)
}

/// The answer to a path that nobody serves.
pub async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}
