//! Signing up, in, out, and staying signed in.

use std::sync::Arc;

use app::{
    AppError, Platform, authenticate,
    sessions::{self, SignedIn},
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use wire::{
    Problem,
    extract::{Body, Caller, NoBody, cookie},
    routes::Routes,
    session::{LogInBody, MeBody, SignUpBody},
};

use crate::answer::{Answer, Json, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/auth/signup", sign_up)
        .post("/api/v1/auth/login", log_in)
        .post("/api/v1/auth/refresh", refresh)
        .post("/api/v1/auth/logout", log_out)
        .get("/api/v1/auth/me", me)
}

async fn sign_up(
    State(platform): State<Arc<Platform>>,
    Body(body): Body<SignUpBody>,
) -> Result<Response, Problem> {
    let signed_in = sessions::sign_up(&platform, body.into_domain()?).await?;
    answer(&platform, StatusCode::CREATED, signed_in).await
}

async fn log_in(
    State(platform): State<Arc<Platform>>,
    Body(body): Body<LogInBody>,
) -> Result<Response, Problem> {
    let signed_in = sessions::log_in(&platform, &body.email, body.password).await?;
    answer(&platform, StatusCode::OK, signed_in).await
}

async fn refresh(
    State(platform): State<Arc<Platform>>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<Response, Problem> {
    let token = cookie(&headers, "refresh_token");
    let token = token.ok_or(AppError::Unauthenticated("there is no refresh token: sign in"))?;
    let signed_in = sessions::refresh(&platform, token).await?;
    answer(&platform, StatusCode::OK, signed_in).await
}

async fn log_out(
    State(platform): State<Arc<Platform>>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<Response, Problem> {
    if let Some(token) = cookie(&headers, "refresh_token") {
        sessions::log_out(&platform, token).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&platform, &mut response, "access_token", "", 0);
    set_cookie(&platform, &mut response, "refresh_token", "", 0);
    Ok(response)
}

async fn me(Caller { platform, actor }: Caller) -> Answer<MeBody> {
    let (user, organization) = authenticate::who_am_i(&platform, &actor).await?;
    ok(MeBody::from_domain(user, organization))
}

async fn answer(platform: &Platform, status: StatusCode, signed_in: SignedIn) -> Result<Response, Problem> {
    let organization = sessions::organization(platform, &signed_in.user).await?;
    let mut response = Json(status, MeBody::from_domain(signed_in.user, organization)).into_response();
    let access_seconds = sessions::ACCESS_TOKEN_VALID.num_seconds();
    set_cookie(platform, &mut response, "access_token", &signed_in.access_token, access_seconds);
    let refresh_seconds = sessions::REFRESH_TOKEN_VALID.num_seconds();
    set_cookie(platform, &mut response, "refresh_token", &signed_in.refresh_token, refresh_seconds);
    Ok(response)
}

/// Sets a cookie that no script can read and no other site can use. Over plain HTTP, which is only ever a
/// laptop's own, it cannot be `Secure`.
fn set_cookie(platform: &Platform, response: &mut Response, name: &str, value: &str, seconds: i64) {
    let secure = if platform.settings.public_url.starts_with("http://") { "" } else { "; Secure" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
