//! Prices of one subscription alone, in place of those of its plan.

use std::collections::BTreeMap;

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::{
    charge::{Charge, Price},
    id::ChargeId,
    plan::{PRICES_BYTES_MAX, PricedPlan},
    subscription::{PlansById, Subscription},
};

use crate::{AppError, FieldError, Platform, estimate::priced_meter};

/// A price to be put in place of a charge's.
pub struct PriceOverride {
    /// Which charge of the plan.
    pub charge: ChargeId,
    /// What is made of its price.
    pub price: MakePrice,
}

/// Makes a price of the one in the plan. Errors: `Invalid` if that cannot be made of it.
pub type MakePrice = Box<dyn Fn(&Price) -> Result<Price, AppError> + Send + Sync>;

/// The prices that `overrides` make of a version of a plan's.
///
/// Errors: `Invalid` if the plan has no such charge, or its price cannot be changed so.
pub(crate) async fn prices(
    platform: &Platform,
    actor: &Actor,
    (priced, version): (&PricedPlan, u32),
    overrides: &[PriceOverride],
) -> Result<BTreeMap<ChargeId, Price>, AppError> {
    let charges = priced.charges_in(version).collect::<Vec<&Charge>>();
    let mut prices = BTreeMap::new();
    for (index, PriceOverride { charge, price }) in overrides.iter().enumerate() {
        let field = |name: &str| format!("overrides[{index}].{name}");
        let own = charges.iter().find(|one| one.id == *charge);
        let own = own.ok_or_else(|| AppError::invalid(field("charge_id"), "names no charge of the plan"))?;
        let price = price(&own.price)?;
        if let Price::Usage(usage) = &price {
            priced_meter(platform, actor, usage.meter, usage).await.map_err(|error| within(error, field))?;
        }
        prices.insert(*charge, price);
    }
    if prices.values().map(Price::size).sum::<usize>() > PRICES_BYTES_MAX {
        return Err(AppError::invalid("overrides", "have more tiers and filters than fit on an invoice"));
    }
    Ok(prices)
}

/// The prices that `overrides` make of those a subscription is billed by at `at`.
///
/// Errors: as for [`prices`].
pub(crate) async fn prices_at(
    platform: &Platform,
    actor: &Actor,
    (subscription, plans): (&Subscription, &PlansById),
    overrides: &[PriceOverride],
    at: DateTime<Utc>,
) -> Result<BTreeMap<ChargeId, Price>, AppError> {
    let terms = subscription.terms_at(at);
    let priced = terms.and_then(|terms| Some((plans.get(&terms.plan)?, terms.price_version)));
    let priced = priced.ok_or_else(|| AppError::invalid("overrides", "are of a plan that is gone"))?;
    prices(platform, actor, priced, overrides).await
}

/// The error with its fields named by `field`.
pub(crate) fn within(error: AppError, field: impl Fn(&str) -> String) -> AppError {
    match error {
        AppError::Invalid(errors) => {
            let named = |error: FieldError| FieldError { field: field(&error.field), ..error };
            AppError::Invalid(errors.into_iter().map(named).collect())
        }
        error @ (AppError::NotFound(_)
        | AppError::Conflict { .. }
        | AppError::Unauthenticated(_)
        | AppError::Forbidden(_)
        | AppError::Unavailable(_)
        | AppError::Internal(_)) => error,
    }
}
