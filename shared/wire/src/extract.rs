//! From HTTP to what routes take: the caller, the body, the parameters.

use std::{str::FromStr, sync::Arc};

use app::{AppError, Platform, authenticate};
use auth::Actor;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query as Pairs, Request},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{json, problem::Problem, query::Query};

/// A JSON body, read strictly.
pub struct Body<T>(pub T);

/// A JSON body, or none, which is as one without fields.
pub struct OptionalBody<T>(pub T);

/// No body, or an object without fields.
pub struct NoBody;

/// A body of any type, for routes that take several.
pub struct AnyBody {
    /// Its media type in lower case, without parameters.
    pub kind: String,
    /// The body.
    pub bytes: Bytes,
}

/// The caller, by API key or session.
pub struct Caller {
    /// The platform, on the time of the caller's organization.
    pub platform: Platform,
    /// Who calls.
    pub actor: Actor,
}

/// The query parameters.
pub struct Parameters(pub Query);

/// The id in the path. One that cannot be is as absent as one that is not there.
pub struct PathId<T>(pub T);

/// Two ids in the path.
pub struct PathIds<T, U>(pub T, pub U);

/// The largest body: 1 MiB, as the largest message SQS may carry.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// That the body is of a type that is not read.
pub fn unsupported_media_type() -> Problem {
    let detail = "send the body as JSON, with `content-type: application/json`";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

/// What a header `Idempotency-Key` says.
///
/// Errors: if that is no key.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => {
            let detail = "the Idempotency-Key must have 1 to 255 characters of ASCII";
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail))
        }
    }
}

/// A body that was not read to its end.
fn unread(status: StatusCode) -> Problem {
    let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes, or was cut off");
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "body_too_large" } else { "malformed" };
    Problem::new(status, code, detail)
}

impl<S: Send + Sync> FromRequest<S> for AnyBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let bytes = Bytes::from_request(request, state).await;
        Ok(Self { kind, bytes: bytes.map_err(|rejection| unread(rejection.status()))? })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
            let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        });
        if !is_json {
            return Err(unsupported_media_type());
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| unread(rejection.status()))?;
        json::parse(&body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| unread(rejection.status()))?;
        let body = if body.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { body };
        json::parse(&body).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fieldless {}

        let OptionalBody(Fieldless {}) = OptionalBody::from_request(request, state).await?;
        Ok(Self)
    }
}

impl FromRequestParts<Arc<Platform>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Self, Problem> {
        let actor = match parts.extensions.get::<Actor>() {
            Some(actor) => actor.clone(), // found out before
            None => authenticate_request(platform, &parts.headers).await?,
        };
        parts.extensions.insert(actor.clone());
        Ok(Self { platform: platform.of(actor.organization).await?, actor })
    }
}

/// The caller behind the credential in `headers`. An API key goes before a cookie.
pub async fn authenticate_request(platform: &Platform, headers: &HeaderMap) -> Result<Actor, Problem> {
    let actor = match (api_key(headers), cookie(headers, "access_token")) {
        (Some(key), _) => authenticate::with_api_key(platform, key).await,
        (None, Some(token)) => authenticate::with_access_token(platform, token).await,
        (None, None) => Err(AppError::Unauthenticated("send an API key in X-API-Key, or sign in")),
    };
    Ok(actor?)
}

/// The API key of a request: in `X-API-Key`, or as a bearer token.
pub fn api_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = || headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ");
    headers.get("x-api-key").map(|value| value.to_str().unwrap_or_default()).or_else(bearer).map(str::trim)
}

/// A cookie of a request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, value)| *found == name && !value.is_empty()).map(|(_, value)| value)
}

/// Refuses a request from another site that would use the reader's cookies to change something.
///
/// Browsers say where a request comes from; a client that says nothing is no browser, and has no cookies
/// that it was not given on purpose.
pub fn check_same_origin(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() || api_key(headers).is_some() {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_same = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text("host")
        }
        (None, None) => true,
    };
    if is_same {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "cross_site_request",
        "requests from other sites need an API key",
    ))
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = Pairs::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Pairs(pairs) = pairs.map_err(|_| Problem::malformed("the query cannot be read"))?;
        Ok(Self(Query::new(pairs)))
    }
}

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let absent = || Problem::from(AppError::NotFound("thing"));
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| absent())?;
        text.parse().map(Self).map_err(|_| absent())
    }
}

impl<S: Send + Sync, T: FromStr, U: FromStr> FromRequestParts<S> for PathIds<T, U> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let absent = || Problem::from(AppError::NotFound("thing"));
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((first, second)) = path.map_err(|_| absent())?;
        Ok(Self(first.parse().map_err(|_| absent())?, second.parse().map_err(|_| absent())?))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn other_sites_cannot_use_a_readers_cookies() {
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            let found = check_same_origin(&Method::POST, &headers(pairs)).is_ok();
            assert_eq!(found, expected, "{pairs:?}");
        };
        check(&[], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "cross-site")], false);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("origin", "http://127.0.0.1:8787"), ("host", "127.0.0.1:8787")], true);
        check(&[("origin", "https://evil.example"), ("host", "127.0.0.1:8787")], false);
        check(&[("origin", "null"), ("host", "127.0.0.1:8787")], false);
        check(&[("origin", "https://evil.example"), ("x-api-key", "sk_live_1")], true);
        assert!(check_same_origin(&Method::GET, &headers(&[("sec-fetch-site", "cross-site")])).is_ok());
    }

    #[test]
    fn credentials_are_found_in_their_headers() {
        let given =
            headers(&[("cookie", "a=1; access_token=abc; refresh_token="), ("x-api-key", " sk_live_1 ")]);
        assert_eq!(cookie(&given, "access_token"), Some("abc"));
        assert_eq!(cookie(&given, "refresh_token"), None);
        assert_eq!(api_key(&given), Some("sk_live_1"));
        assert_eq!(api_key(&headers(&[("authorization", "Bearer sk_live_2")])), Some("sk_live_2"));
        assert_eq!(api_key(&headers(&[("authorization", "Basic abc")])), None);
    }
}
