//! Plans.

use app::{
    migrate_plan,
    plans::{self, PlanFilter},
};
use axum::http::StatusCode;
use domain::id::PlanId;
use futures::future::try_join_all;
use wire::{
    Problem,
    extract::{Body, Caller, OptionalBody, Parameters, PathId},
    list::List,
    migration::{MigrateBody, MigratedBody},
    plan::{NewPlanBody, PlanBody, PlanChangesBody, PlanTypeName},
    routes::Routes,
};

use crate::{
    answer::{Answer, created, ok},
    routes::entitlement::features,
};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/plans", create)
        .get("/api/v1/plans", list)
        .get("/api/v1/plans/{id}", get)
        .put("/api/v1/plans/{id}", update)
        .delete("/api/v1/plans/{id}", delete)
        .post("/api/v1/plans/{id}/migrate", migrate)
        .post("/api/v1/plans/{id}/migrate/preview", preview_migration)
}

async fn create(Caller { platform, actor }: Caller, Body(body): Body<NewPlanBody>) -> Answer<PlanBody> {
    created(PlanBody::from_domain(plans::create(&platform, &actor, body.into_domain()?).await?))
}

async fn list(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<List<PlanBody>> {
    let page = query.page();
    let plan_type = query.choice("type", &PlanTypeName::CHOICES);
    let is_active = query.choice("is_active", &[("true", true), ("false", false)]);
    query.finish()?;
    let plans = plans::list(&platform, &actor, PlanFilter { plan_type, is_active }, &page).await?;
    let features = plans.rows.iter().map(|plan| features(&platform, &actor, plan.plan.id));
    let mut features = try_join_all(features).await?.into_iter();
    ok(List::from_page(plans, &page, |plan| PlanBody {
        features: features.next().unwrap_or_default(),
        ..PlanBody::from_domain(plan)
    }))
}

async fn get(Caller { platform, actor }: Caller, PathId(id): PathId<PlanId>) -> Answer<PlanBody> {
    let plan = PlanBody::from_domain(plans::get(&platform, &actor, id).await?);
    ok(PlanBody { features: features(&platform, &actor, id).await?, ..plan })
}

async fn update(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<PlanId>,
    Body(body): Body<PlanChangesBody>,
) -> Answer<PlanBody> {
    let plan = PlanBody::from_domain(plans::update(&platform, &actor, id, body.into_domain()?).await?);
    ok(PlanBody { features: features(&platform, &actor, id).await?, ..plan })
}

async fn delete(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<PlanId>,
) -> Result<StatusCode, Problem> {
    plans::delete(&platform, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn migrate(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<PlanId>,
    OptionalBody(body): OptionalBody<MigrateBody>,
) -> Answer<MigratedBody> {
    let (asking, is_preview, size) = body.into_domain()?;
    let migrated = match is_preview {
        true => migrate_plan::preview(&platform, &actor, id, asking).await?,
        false => migrate_plan::migrate(&platform, &actor, id, asking).await?,
    };
    ok(MigratedBody::from_domain(migrated, is_preview, size)?)
}

async fn preview_migration(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<PlanId>,
    OptionalBody(body): OptionalBody<MigrateBody>,
) -> Answer<MigratedBody> {
    let (asking, _, size) = body.into_domain()?;
    let migrated = migrate_plan::preview(&platform, &actor, id, asking).await?;
    ok(MigratedBody::from_domain(migrated, true, size)?)
}
