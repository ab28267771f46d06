//! Alerts.

use app::alerts;
use axum::http::StatusCode;
use domain::id::AlertId;
use wire::{
    Problem,
    alert::{AlertBody, AlertChangesBody, NewAlertBody, TriggerBody},
    extract::{Body, Caller, Parameters, PathId},
    list::List,
    routes::Routes,
};

use crate::answer::{Answer, created, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/alerts", create)
        .get("/api/v1/alerts", list)
        .get("/api/v1/alerts/{id}", get)
        .put("/api/v1/alerts/{id}", update)
        .delete("/api/v1/alerts/{id}", delete)
        .get("/api/v1/alerts/{id}/triggers", triggers)
}

async fn create(Caller { platform, actor }: Caller, Body(body): Body<NewAlertBody>) -> Answer<AlertBody> {
    created(AlertBody::from_domain(alerts::create(&platform, &actor, body.into_domain()?).await?))
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<AlertBody>> {
    let page = query.page();
    query.finish()?;
    let alerts = alerts::list(&platform, &actor, &page).await?;
    ok(List::from_page(alerts, &page, AlertBody::from_domain))
}

async fn get(Caller { platform, actor }: Caller, PathId(id): PathId<AlertId>) -> Answer<AlertBody> {
    ok(AlertBody::from_domain(alerts::get(&platform, &actor, id).await?))
}

async fn update(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<AlertId>,
    Body(body): Body<AlertChangesBody>,
) -> Answer<AlertBody> {
    ok(AlertBody::from_domain(alerts::update(&platform, &actor, id, body.into_domain()?).await?))
}

async fn delete(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<AlertId>,
) -> Result<StatusCode, Problem> {
    alerts::delete(&platform, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn triggers(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<AlertId>,
    Parameters(mut query): Parameters,
) -> Answer<List<TriggerBody>> {
    let page = query.page();
    query.finish()?;
    let triggers = alerts::triggers(&platform, &actor, id, &page).await?;
    ok(List::from_page(triggers, &page, TriggerBody::from_domain))
}
