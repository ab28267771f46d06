//! Charges of plans, and what a charge would cost.

use app::{estimate, plans};
use domain::id::{ChargeId, PlanId};
use wire::{
    charge::{ChargeBody, ChargeChangesBody, NewChargeBody},
    estimate::{EstimateBody, NewEstimateBody},
    extract::{Body, Caller, PathId, PathIds},
    routes::Routes,
};

use crate::answer::{Answer, created, ok};

pub(crate) fn add(routes: Routes) -> Routes {
    routes
        .post("/api/v1/plans/{id}/charges", add_charge)
        .patch("/api/v1/plans/{id}/charges/{charge_id}", retire_charge)
        .post("/api/v1/charges/estimate", estimate_charge)
}

async fn add_charge(
    Caller { platform, actor }: Caller,
    PathId(id): PathId<PlanId>,
    Body(body): Body<NewChargeBody>,
) -> Answer<ChargeBody> {
    let charge = plans::add_charge(&platform, &actor, id, body.into_domain()?).await?;
    created(ChargeBody::from_domain(id, charge))
}

async fn retire_charge(
    Caller { platform, actor }: Caller,
    PathIds(plan, charge): PathIds<PlanId, ChargeId>,
    Body(_): Body<ChargeChangesBody>,
) -> Answer<ChargeBody> {
    let charge = plans::retire_charge(&platform, &actor, plan, charge).await?;
    ok(ChargeBody::from_domain(plan, charge))
}

async fn estimate_charge(
    Caller { platform, actor }: Caller,
    Body(body): Body<NewEstimateBody>,
) -> Answer<EstimateBody> {
    let (currency, asked) = body.into_domain()?;
    let rated = estimate::estimate(&platform, &actor, currency, asked).await?;
    ok(EstimateBody::from_domain(currency, rated))
}
