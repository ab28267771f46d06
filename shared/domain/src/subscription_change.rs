//! Changes of a subscription: to another plan or quantity, a pause, an end. Each makes new terms from an
//! instant on; what was before stays as it was, and the timeline settles the difference.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    charge::{Charge, FixedPrice, FixedTiming, Price},
    id::ChargeId,
    migration::migrated,
    plan::PricedPlan,
    proration::ProrationChoice,
    subscription::{OWN_PRICES_BYTES_MAX, PlansById, Subscription, SubscriptionTerms, TERMS_MAX},
};

#[cfg(test)]
mod tests;

/// What changes of a subscription.
#[derive(Clone, Debug)]
pub enum Change {
    /// Its plan, with another quantity than that has if one is given.
    Plan(Box<PricedPlan>, Option<Decimal>),
    /// The quantity of a fixed charge: the one that is named, or the one that is sold by quantity.
    Quantity(Option<ChargeId>, Decimal),
    /// Its own prices, in place of all it has.
    Prices(BTreeMap<ChargeId, Price>),
    /// The version of its plan's prices.
    Version(u32),
    /// It is paused.
    Pause,
    /// It is resumed.
    Resume,
    /// It ends.
    Cancel,
}

/// Why a subscription cannot be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The new plan is in another currency.
    #[error("is a plan in another currency")]
    Currency,
    /// The plan has several fixed charges, and nothing tells which is meant.
    #[error("is required: the plan has not exactly one charge that is sold by quantity")]
    WhichCharge,
    /// The plan has no such charge, or it is none that can be changed so.
    #[error("names no such charge of the plan")]
    NoSuchCharge,
    /// It is paused already.
    #[error("is of no use: the subscription is paused")]
    Paused,
    /// It is not paused.
    #[error("is of no use: the subscription is not paused")]
    NotPaused,
    /// It ended before.
    #[error("lies after the end of the subscription")]
    Ended,
    /// It was changed too often.
    #[error("is one change too many: a subscription may have 200")]
    TooMany,
    /// Its own prices of all its life would take too much room.
    #[error("is one change too many for a subscription with so many prices of its own")]
    TooLarge,
}

impl ChangeError {
    /// The field of a request that is at fault.
    pub fn field(self) -> &'static str {
        match self {
            Self::Currency => "plan_id",
            Self::WhichCharge | Self::NoSuchCharge => "charge_id",
            Self::Paused => "pause",
            Self::NotPaused => "resume",
            Self::Ended | Self::TooMany | Self::TooLarge => "at",
        }
    }
}

impl Subscription {
    /// This subscription changed at `at`, settled by its policy unless another is chosen. A change to another plan
    /// that was decided for later stays, unless the plan is changed anew; one of the same thing is given up for the
    /// new one. The next bill is not settled yet.
    ///
    /// Errors: if it cannot be changed so.
    pub fn changed(
        &self,
        change: &Change,
        chosen: Option<ProrationChoice>,
        at: DateTime<Utc>,
        plans: &PlansById,
    ) -> Result<Self, ChangeError> {
        let ends_at = [self.ends_at, self.schedule.end].into_iter().flatten().min();
        if ends_at.is_some_and(|ends_at| ends_at < at) {
            return Err(ChangeError::Ended);
        }
        let proration = chosen.map(|chosen| chosen.over(self.proration));
        let mut next = self.clone();
        if matches!(change, Change::Cancel) {
            next.ends_at = Some(at);
            next.end_proration = proration;
            return Ok(next);
        }
        let current = self.terms_at(at).ok_or(ChangeError::Ended)?;
        // Asked for again, it changes nothing now.
        let is_same = matches!(change, Change::Prices(prices) if *prices == current.prices);
        let plan = plans.get(&current.plan);
        let terms = SubscriptionTerms { from: at, proration, ..current.clone() };
        let terms = match change {
            Change::Plan(plan, quantity) => switched(&terms, plan, *quantity, self)?,
            Change::Quantity(charge, quantity) => {
                with_quantity(terms, plan.ok_or(ChangeError::NoSuchCharge)?, *charge, *quantity)?
            }
            Change::Prices(prices) => SubscriptionTerms { prices: prices.clone(), ..terms },
            Change::Version(version) => migrated(terms, plan, *version),
            Change::Pause if current.is_paused => return Err(ChangeError::Paused),
            Change::Pause => SubscriptionTerms { is_paused: true, ..terms },
            Change::Resume if !current.is_paused => return Err(ChangeError::NotPaused),
            Change::Resume | Change::Cancel => SubscriptionTerms { is_paused: false, ..terms },
        };
        let later = self.later(change, current, &terms, plans);
        next.terms.retain(|before| before.from < at || is_same && before.from == current.from);
        next.terms.extend((!is_same).then_some(terms));
        next.terms.extend(later);
        if next.terms.len() > TERMS_MAX {
            return Err(ChangeError::TooMany);
        }
        let own = next.terms.iter().flat_map(|terms| terms.prices.values()).map(Price::size);
        if own.sum::<usize>() > OWN_PRICES_BYTES_MAX { Err(ChangeError::TooLarge) } else { Ok(next) }
    }
}

impl Subscription {
    /// What was decided for after `terms`, which a change just made of those that are `current`: as far as that
    /// leaves anything of it.
    fn later(
        &self,
        change: &Change,
        current: &SubscriptionTerms,
        terms: &SubscriptionTerms,
        plans: &PlansById,
    ) -> Vec<SubscriptionTerms> {
        let plan = plans.get(&terms.plan);
        let mut kept = Vec::<SubscriptionTerms>::new();
        let later = self.terms.iter().filter(|later| terms.from < later.from && later.from != current.from);
        for later in later.cloned() {
            let later = match change {
                Change::Cancel => break,
                // Of what was decided on before, a pause means the same for any plan.
                Change::Plan(..) => SubscriptionTerms {
                    from: later.from,
                    proration: later.proration,
                    is_paused: later.is_paused,
                    ..terms.clone()
                },
                Change::Pause | Change::Resume => SubscriptionTerms { is_paused: terms.is_paused, ..later },
                Change::Quantity(..) | Change::Prices(_) | Change::Version(_) if later.plan != terms.plan => {
                    later
                }
                Change::Quantity(charge, quantity) if later.price_version == terms.price_version => {
                    requantified(current, later, plan, *charge, *quantity)
                }
                // To the version that was decided on, with what it has now.
                Change::Quantity(..) | Change::Prices(_) => SubscriptionTerms {
                    from: later.from,
                    proration: later.proration,
                    is_paused: later.is_paused,
                    ..migrated(terms.clone(), plan, later.price_version)
                },
                Change::Version(version) => migrated(later, plan, *version),
            };
            if !later.bills_as(kept.last().unwrap_or(terms)) {
                kept.push(later);
            }
        }
        kept
    }
}

/// Terms to come with a quantity that is changed now, at the price they have; as they are, if they have no such charge.
fn requantified(
    current: &SubscriptionTerms,
    later: SubscriptionTerms,
    plan: Option<&PricedPlan>,
    charge: Option<ChargeId>,
    quantity: Decimal,
) -> SubscriptionTerms {
    let changed = plan.and_then(|plan| {
        let (charge, _) = which(current, plan, charge).ok()?;
        with_quantity(later.clone(), plan, Some(charge), quantity).ok()
    });
    changed.unwrap_or(later)
}

fn switched(
    terms: &SubscriptionTerms,
    priced: &PricedPlan,
    quantity: Option<Decimal>,
    subscription: &Subscription,
) -> Result<SubscriptionTerms, ChangeError> {
    let plan = &priced.plan;
    if plan.currency != subscription.currency {
        return Err(ChangeError::Currency);
    }
    let terms = SubscriptionTerms {
        plan: plan.id,
        plan_name: plan.name.clone(),
        price_version: plan.price_version,
        interval: plan.billing_interval,
        prices: BTreeMap::new(),
        ..terms.clone()
    };
    match quantity {
        Some(quantity) => with_quantity(terms, priced, None, quantity),
        None => Ok(terms),
    }
}

fn with_quantity(
    mut terms: SubscriptionTerms,
    plan: &PricedPlan,
    charge: Option<ChargeId>,
    quantity: Decimal,
) -> Result<SubscriptionTerms, ChangeError> {
    let (id, price) = which(&terms, plan, charge)?;
    terms.prices.insert(id, Price::Fixed(FixedPrice { quantity, ..price }));
    Ok(terms)
}

/// The fixed charge whose quantity is meant: the one that is named, the only one, or the one sold by quantity.
fn which(
    terms: &SubscriptionTerms,
    plan: &PricedPlan,
    charge: Option<ChargeId>,
) -> Result<(ChargeId, FixedPrice), ChangeError> {
    let charges = SubscriptionTerms { is_paused: false, ..terms.clone() }.charges(plan);
    let fixed = charges.iter().filter_map(|charge| recurring(charge).map(|price| (charge.id, price)));
    let fixed = fixed.collect::<Vec<_>>();
    let found = match charge {
        Some(id) => fixed.iter().find(|(charge, _)| *charge == id).ok_or(ChangeError::NoSuchCharge)?,
        None => match fixed.as_slice() {
            [one] => one,
            several => {
                let mut sold = several.iter().filter(|(_, price)| price.quantity != Decimal::ONE);
                sold.next().filter(|_| sold.next().is_none()).ok_or(ChangeError::WhichCharge)?
            }
        },
    };
    Ok(*found)
}

pub(crate) fn recurring(charge: &Charge) -> Option<FixedPrice> {
    match &charge.price {
        Price::Fixed(price) => match price.timing {
            FixedTiming::Recurring { .. } => Some(*price),
            FixedTiming::Once => None,
        },
        Price::Usage(_) => None,
    }
}
