//! API keys.

use app::api_keys;
use axum::http::StatusCode;
use wire::{
    Problem,
    api_key::{ApiKeyBody, NewApiKeyBody},
    extract::{Body, Caller, Parameters, PathId},
    list::List,
    routes::Routes,
};

use crate::answer::{Answer, created, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/api-keys", create)
        .get("/api/v1/api-keys", list)
        .delete("/api/v1/api-keys/{id}", delete)
}

async fn create(Caller { platform, actor }: Caller, Body(body): Body<NewApiKeyBody>) -> Answer<ApiKeyBody> {
    let (name, scopes) = body.into_domain()?;
    let (key, text) = api_keys::create(&platform, &actor, name, scopes).await?;
    created(ApiKeyBody::from_domain(key, Some(text)))
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<ApiKeyBody>> {
    let page = query.page();
    query.finish()?;
    let keys = api_keys::list(&platform, &actor, &page).await?;
    ok(List::from_page(keys, &page, |key| ApiKeyBody::from_domain(key, None)))
}

async fn delete(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<domain::id::ApiKeyId>,
) -> Result<StatusCode, Problem> {
    api_keys::delete(&platform, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
