//! Routes that know themselves: what a router serves can be held against the OpenAPI document.

use std::sync::Arc;

use app::Platform;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    handler::Handler,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};

use tracing::Instrument;

use crate::{
    extract::{BODY_BYTES_MAX, check_same_origin},
    problem::Problem,
};

/// The routes of a function, and a list of them.
#[derive(Default)]
pub struct Routes {
    router: Router<Arc<Platform>>,
    endpoints: Vec<(Method, &'static str)>,
}

impl Routes {
    /// Adds a route.
    #[must_use]
    pub fn on<H, T>(mut self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        self.router = self.router.route(path, on(filter, handler));
        self.endpoints.push((method, path));
        self
    }

    /// Adds a `GET` route.
    #[must_use]
    pub fn get<H: Handler<T, Arc<Platform>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::GET, path, handler)
    }

    /// Adds a `POST` route.
    #[must_use]
    pub fn post<H: Handler<T, Arc<Platform>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::POST, path, handler)
    }

    /// Adds a `PUT` route.
    #[must_use]
    pub fn put<H: Handler<T, Arc<Platform>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::PUT, path, handler)
    }

    /// Adds a `PATCH` route.
    #[must_use]
    pub fn patch<H: Handler<T, Arc<Platform>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::PATCH, path, handler)
    }

    /// Adds a `DELETE` route.
    #[must_use]
    pub fn delete<H: Handler<T, Arc<Platform>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::DELETE, path, handler)
    }

    /// Method and path of every route.
    pub fn endpoints(&self) -> &[(Method, &'static str)] {
        &self.endpoints
    }

    /// The router, [`guarded`].
    pub fn router(self) -> Router<Arc<Platform>> {
        guarded(self.router)
    }

    /// The router with layers of its own inside, [`guarded`].
    pub fn router_with(
        self,
        layers: impl FnOnce(Router<Arc<Platform>>) -> Router<Arc<Platform>>,
    ) -> Router<Arc<Platform>> {
        guarded(layers(self.router))
    }
}

/// A router whose bodies are bounded, that other sites are kept out of, and whose answers are named, and marked for
/// nobody to keep or to look into.
pub fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn(guard)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// What names a request, in its answer and in the logs: what the caller named it, or a name of ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name that is taken over.
const REQUEST_ID_MAX: usize = 100;

async fn guard(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", request.id = %id);
    let mut response = answer(request, next).instrument(span).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let named = Problem { request_id: Some(id.clone()), ..problem }.into_response();
        let headers = std::mem::take(response.headers_mut());
        response = named;
        for (name, value) in headers.into_iter().filter_map(|(name, value)| Some((name?, value))) {
            if name != header::CONTENT_LENGTH {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response.headers_mut().extend(HeaderValue::try_from(id).ok().map(|id| (REQUEST_ID, id)));
    response
}

fn request_id(headers: &HeaderMap) -> String {
    let is_taken = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len()) && id.chars().all(|letter| letter.is_ascii_graphic())
    };
    let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_taken);
    given.map_or_else(new_request_id, str::to_owned)
}

fn new_request_id() -> String {
    let mut bytes = [0; 16];
    // Without random bytes a request has no name of its own, and is served all the same.
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

async fn answer(request: Request, next: Next) -> Response {
    if let Err(problem) = check_same_origin(request.method(), request.headers()) {
        return problem.into_response();
    }
    let mut response = next.run(request).await;
    // Not a fallback of the router: two functions may share a path, and their routers are merged locally.
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let detail = "this path does not take this method";
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.into_response();
        response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
