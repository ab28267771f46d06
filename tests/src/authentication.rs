//! Sessions and API keys.

use reqwest::{Method, header};
use serde_json::json;

use crate::client::{Caller, PASSWORD, World, text};

/// Refreshes with a cookie header, and returns the status and the new cookie header.
async fn refreshed(caller: &Caller) -> (u16, String) {
    let answer = caller.request(Method::POST, "/auth/refresh").send().await.unwrap();
    let status = answer.status().as_u16();
    let cookies = answer.headers().get_all(header::SET_COOKIE).into_iter();
    let cookies = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
    (status, cookies.collect::<Vec<_>>().join("; "))
}

fn refresh_token(cookies: &str) -> &str {
    cookies.split("; ").find(|cookie| cookie.starts_with("refresh_token=")).unwrap()
}

#[tokio::test]
async fn a_session_lasts_a_quarter_of_an_hour_and_can_be_refreshed() {
    let world = World::new().await;
    let owner = world.owner.clone();
    assert_eq!(owner.get("/auth/me").await["user"]["email"], "owner@example.com");
    owner.local("clock", json!({"advance_to": "2025-01-01T00:15:00Z"})).await;
    assert_eq!(owner.call(Method::GET, "/auth/me", None).await.0, 401);

    let (status, cookies) = refreshed(&owner).await;
    assert_eq!(status, 200);
    let (next, next_cookies) = (owner.with(("cookie", cookies.clone())), cookies);
    assert_eq!(next.get("/auth/me").await["role"], "OWNER");

    // The replaced token within seconds is a lost answer, which is given again; later it is a thief, and ends the session.
    let (status, again) = refreshed(&owner).await;
    assert_eq!((status, refresh_token(&again)), (200, refresh_token(&next_cookies)));
    owner.local("clock", json!({"advance_to": "2025-01-01T00:16:00Z"})).await;
    assert_eq!(refreshed(&owner).await.0, 401);
    assert_eq!(next.call(Method::GET, "/auth/me", None).await.0, 401);
    assert_eq!(refreshed(&next).await.0, 401);
}

#[tokio::test]
async fn tabs_that_refresh_at_once_stay_signed_in() {
    let world = World::new().await;
    let mut owner = world.owner.clone();
    for _ in 0..3 {
        let tabs = futures::future::join_all((0..8).map(|_| refreshed(&owner))).await;
        let (_, cookies) = tabs[0].clone();
        for (status, other) in &tabs {
            assert_eq!((*status, refresh_token(other)), (200, refresh_token(&cookies)));
        }
        owner = owner.with(("cookie", cookies));
    }
    // Once the replacement is used, the one before is a thief's, however soon.
    assert_eq!(refreshed(&world.owner).await.0, 401);
    assert_eq!(refreshed(&owner).await.0, 401);
}

#[tokio::test]
async fn logging_out_ends_the_session_at_once() {
    let world = World::new().await;
    assert_eq!(world.owner.call(Method::POST, "/auth/logout", None).await.0, 204);
    assert_eq!(world.owner.call(Method::GET, "/auth/me", None).await.0, 401);
    assert_eq!(refreshed(&world.owner).await.0, 401);
}

#[tokio::test]
async fn unknown_addresses_and_wrong_passwords_look_alike() {
    let world = World::new().await;
    let log_in = async |email: &str, password: &str| {
        let login = json!({"email": email, "password": password});
        let (status, mut body) = world.anonymous().post("/auth/login", login).await;
        body.as_object_mut().unwrap().remove("request_id"); // each has its own
        (status, body)
    };
    let wrong = log_in("owner@example.com", "not the right password").await;
    assert_eq!(wrong.0, 401);
    assert_eq!(wrong, log_in("nobody@example.com", "not the right password").await);
    assert_eq!(log_in("OWNER@example.com", PASSWORD).await.0, 200, "addresses have no case");
    let again = json!({"email": "Owner@example.com", "password": PASSWORD, "organization_name": "Twice"});
    let (status, body) = world.anonymous().post("/auth/signup", again).await;
    assert_eq!((status, &body["errors"][0]["field"]), (409, &json!("email")));
}

#[tokio::test]
async fn cookies_are_kept_from_scripts_and_other_sites() {
    let world = World::new().await;
    let body = json!({"email": "owner@example.com", "password": PASSWORD});
    let answer = world.anonymous().request(Method::POST, "/auth/login").json(&body).send().await.unwrap();
    let cookies = answer.headers().get_all(header::SET_COOKIE).into_iter().collect::<Vec<_>>();
    assert_eq!(cookies.len(), 2);
    for cookie in cookies {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    }
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let request = world.owner.request(Method::POST, "/customers").header(name, value);
        let answer = request.json(&json!({"name": "x", "email": "x@example.com"})).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}");
    }
    assert_eq!(world.owner.get("/customers").await["meta"]["total"], 0);
}

#[tokio::test]
async fn an_api_key_does_what_its_scopes_say_until_it_is_deleted() {
    let world = World::new().await;
    let meter = world.meter("SUM").await;
    let writer = world.owner.with_key(&["usage.write"]).await;
    let reader = world.owner.with_key(&["usage.read"]).await;
    let track = json!({"meter_token": meter["meter_token"], "customer_external_id": "acme", "quantity": 1});
    let usage = format!("/meters/{}/usage", text(&meter["meter_id"]));
    assert_eq!(writer.post("/sdk/track", track.clone()).await.0, 201);
    assert_eq!(reader.call(Method::GET, &usage, None).await.0, 200);
    for (caller, method, path, body) in [
        (&reader, Method::POST, "/sdk/track", Some(track.clone())),
        (&writer, Method::GET, usage.as_str(), None),
        (&writer, Method::GET, "/customers", None),
        (&reader, Method::POST, "/api-keys", Some(json!({"name": "more", "scopes": ["billing.write"]}))),
    ] {
        let (status, body) = caller.call(method, path, body).await;
        assert_eq!((status, &body["code"]), (403, &json!("missing_scope")), "{path}");
    }
    let keys = world.owner.get("/api-keys").await;
    assert_eq!(keys["meta"]["total"], 2);
    for key in keys["data"].as_array().unwrap() {
        assert!(key.get("key").is_none(), "{key}");
        let path = format!("/api-keys/{}", text(&key["id"]));
        assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 204);
        assert_eq!(world.owner.call(Method::DELETE, &path, None).await.0, 404);
    }
    assert_eq!(writer.post("/sdk/track", track).await.0, 401);
    assert_eq!(reader.call(Method::GET, &usage, None).await.0, 401);
}
