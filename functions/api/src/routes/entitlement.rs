//! Entitlements: what plans grant, and what customers may use.

use app::{
    Platform,
    entitlements::{self, Allowance, Whose},
};
use auth::Actor;
use axum::{extract::Path, http::StatusCode};
use domain::{
    id::{CustomerId, FeatureId, PlanId, SubscriptionId},
    subscription::Subscription,
};
use rust_decimal::Decimal;
use wire::{
    Problem, QuantityIn,
    entitlement::{EntitlementBody, GrantChangesBody, NewPlanFeatureBody, PlanFeatureBody},
    extract::{Body, Caller, Parameters, PathId, PathIds},
    list::List,
    query::Query,
    routes::Routes,
};

use crate::answer::{Answer, created, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/plans/{id}/features", add_to_plan)
        .put("/api/v1/plans/{id}/features/{feature_id}", change_in_plan)
        .delete("/api/v1/plans/{id}/features/{feature_id}", remove_from_plan)
        .get("/api/v1/customers/{id}/entitlements", of_customer)
        .get("/api/v1/customers/{id}/entitlements/{lookup_key}", check)
        .get("/api/v1/entitlements/check", check_by_query)
        .get("/api/v1/subscriptions/{id}/entitlements", of_subscription)
        .put("/api/v1/subscriptions/{id}/entitlements/{feature_id}", override_grant)
        .delete("/api/v1/subscriptions/{id}/entitlements/{feature_id}", delete_override)
}

async fn add_to_plan(
    Caller { platform, actor }: Caller,
    PathId(plan): PathId<PlanId>,
    Body(body): Body<NewPlanFeatureBody>,
) -> Answer<PlanFeatureBody> {
    let (feature, changes) = body.into_domain()?;
    let granted = entitlements::add_to_plan(&platform, &actor, plan, feature, changes).await?;
    created(PlanFeatureBody::from_domain(granted))
}

async fn change_in_plan(
    Caller { platform, actor }: Caller,
    PathIds(plan, feature): PathIds<PlanId, FeatureId>,
    Body(body): Body<GrantChangesBody>,
) -> Answer<PlanFeatureBody> {
    let changes = body.into_domain()?;
    let granted = entitlements::change_in_plan(&platform, &actor, plan, feature, changes).await?;
    ok(PlanFeatureBody::from_domain(granted))
}

async fn remove_from_plan(
    Caller { platform, actor }: Caller,
    PathIds(plan, feature): PathIds<PlanId, FeatureId>,
) -> Result<StatusCode, Problem> {
    entitlements::remove_from_plan(&platform, &actor, plan, feature).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn of_customer(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<CustomerId>,
    Parameters(mut query): Parameters,
) -> Answer<List<EntitlementBody>> {
    let page = query.page();
    query.finish()?;
    let allowances = entitlements::of_customer(&platform, &actor, id, &page).await?;
    ok(List::from_page(allowances, &page, body))
}

async fn of_subscription(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<SubscriptionId>,
    Parameters(mut query): Parameters,
) -> Answer<List<EntitlementBody>> {
    let page = query.page();
    query.finish()?;
    let allowances = entitlements::of_subscription(&platform, &actor, id, &page).await?;
    ok(List::from_page(allowances, &page, body))
}

fn body(allowance: Allowance) -> EntitlementBody {
    EntitlementBody::from_domain(allowance, None)
}

async fn check(
    Caller { platform, actor }: Caller,
    Path((customer, lookup_key)): Path<(String, String)>,
    Parameters(mut query): Parameters,
) -> Answer<EntitlementBody> {
    let wanted = quantity(&mut query);
    query.finish()?;
    let absent = |_| Problem::from(app::AppError::NotFound("customer"));
    let whose = Whose::Id(customer.parse().map_err(absent)?);
    let allowance = entitlements::check(&platform, &actor, whose, &lookup_key).await?;
    ok(EntitlementBody::from_domain(allowance, wanted))
}

async fn check_by_query(
    Caller { platform, actor }: Caller,
    Parameters(mut query): Parameters,
) -> Answer<EntitlementBody> {
    let wanted = quantity(&mut query);
    let lookup_key = query.required("feature");
    let whose = match (query.parse("customer_id"), query.text("customer_external_id")) {
        (Some(id), None) => Whose::Id(id),
        (None, Some(external_id)) => Whose::ExternalId(external_id),
        (Some(id), Some(_)) => {
            query.invalid("customer_id", "says the same as `customer_external_id`: give one of them");
            Whose::Id(id)
        }
        (None, None) => {
            query.invalid("customer_external_id", "is required, or `customer_id`");
            Whose::ExternalId(String::new())
        }
    };
    query.finish()?;
    let allowance = entitlements::check(&platform, &actor, whose, &lookup_key).await?;
    ok(EntitlementBody::from_domain(allowance, wanted))
}

/// How much of a feature is asked for.
fn quantity(query: &mut Query) -> Option<Decimal> {
    let quantity = query.parse::<QuantityIn>("quantity")?.0.to_decimal().ok();
    if quantity.is_none_or(|quantity| quantity < Decimal::ZERO) {
        query.invalid("quantity", "must be a number from 0 on, of at most 28 digits");
    }
    quantity
}

/// What a plan grants.
pub(crate) async fn features(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
) -> Result<Vec<PlanFeatureBody>, Problem> {
    let granted = entitlements::of_plan(platform, actor, plan).await?;
    Ok(granted.into_iter().map(PlanFeatureBody::from_domain).collect())
}

/// What a subscription grants.
pub(crate) async fn granted(
    platform: &Platform,
    actor: &Actor,
    subscription: &Subscription,
) -> Result<Vec<PlanFeatureBody>, Problem> {
    let granted = entitlements::granted_by(platform, actor, subscription).await?;
    Ok(granted.into_iter().map(PlanFeatureBody::from_domain).collect())
}

async fn override_grant(
    Caller { platform, actor }: Caller,
    PathIds(subscription, feature): PathIds<SubscriptionId, FeatureId>,
    Body(body): Body<GrantChangesBody>,
) -> Answer<PlanFeatureBody> {
    let changes = body.into_domain()?;
    let granted = entitlements::override_grant(&platform, &actor, subscription, feature, changes).await?;
    ok(PlanFeatureBody::from_domain(granted))
}

async fn delete_override(
    Caller { platform, actor }: Caller,
    PathIds(subscription, feature): PathIds<SubscriptionId, FeatureId>,
) -> Result<StatusCode, Problem> {
    entitlements::delete_override(&platform, &actor, subscription, feature).await?;
    Ok(StatusCode::NO_CONTENT)
}
