//! The organization and its settings.

use app::settings;
use wire::{
    extract::{Body, Caller},
    organization::{OrganizationBody, OrganizationChangesBody},
    routes::Routes,
};

use crate::answer::{Answer, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes.get("/api/v1/organization", get).patch("/api/v1/organization", update)
}

async fn get(Caller { platform, actor }: Caller) -> Answer<OrganizationBody> {
    ok(OrganizationBody::from_domain(settings::get(&platform, &actor).await?))
}

async fn update(
    Caller { platform, actor }: Caller,
    Body(body): Body<OrganizationChangesBody>,
) -> Answer<OrganizationBody> {
    let organization = settings::update(&platform, &actor, body.into_domain()?).await?;
    ok(OrganizationBody::from_domain(organization))
}
