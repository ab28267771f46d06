//! Features.

use app::catalog;
use axum::http::StatusCode;
use domain::id::FeatureId;
use wire::{
    Problem,
    extract::{Body, Caller, Parameters, PathId},
    feature::{FeatureBody, FeatureChangesBody, NewFeatureBody},
    list::List,
    routes::Routes,
};

use crate::answer::{Answer, created, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/features", create)
        .get("/api/v1/features", list)
        .get("/api/v1/features/{id}", get)
        .put("/api/v1/features/{id}", update)
        .delete("/api/v1/features/{id}", delete)
}

async fn create(Caller { platform, actor }: Caller, Body(body): Body<NewFeatureBody>) -> Answer<FeatureBody> {
    let (feature, meter) = catalog::create_feature(&platform, &actor, body.into_domain()?).await?;
    created(FeatureBody::from_domain(feature, meter))
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<FeatureBody>> {
    let page = query.page();
    query.finish()?;
    let features = catalog::list_features(&platform, &actor, &page).await?;
    ok(List::from_page(features, &page, |(feature, meter)| FeatureBody::from_domain(feature, meter)))
}

async fn get(Caller { platform, actor }: Caller, PathId(id): PathId<FeatureId>) -> Answer<FeatureBody> {
    let (feature, meter) = catalog::get_feature(&platform, &actor, id).await?;
    ok(FeatureBody::from_domain(feature, meter))
}

async fn update(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<FeatureId>,
    Body(body): Body<FeatureChangesBody>,
) -> Answer<FeatureBody> {
    let (feature, meter) = catalog::update_feature(&platform, &actor, id, body.into_domain()?).await?;
    ok(FeatureBody::from_domain(feature, meter))
}

async fn delete(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<FeatureId>,
) -> Result<StatusCode, Problem> {
    catalog::delete_feature(&platform, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
