//! Migration: a subscription goes over to another version of its plan's prices. Nothing else changes of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    charge::{FixedPrice, Price},
    id::{ChargeId, PlanId},
    plan::PricedPlan,
    subscription::{Subscription, SubscriptionTerms},
    subscription_change::recurring,
};

#[cfg(test)]
pub(crate) mod tests;

/// From what to what subscriptions of a plan are migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The plan.
    pub plan: PlanId,
    /// Only those on this version of its prices; on any, if not given.
    pub from: Option<u32>,
    /// The version they go to.
    pub to: u32,
}

/// What a migration means for one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the version.
    Migrates,
    /// It is on the version already, or was decided to be by then.
    AlreadyOnVersion,
    /// It is over.
    Canceled,
    /// Something else was decided for later: another plan or quantity, or an end by then.
    PendingChange,
    /// It is on another plan.
    NotOnPlan,
    /// It is on another version than those that are migrated.
    OtherVersion,
}

impl Migration {
    /// What it means for `subscription` if it counts from `at`, as decided at `now`.
    ///
    /// A migration that was decided for later is no obstacle: the new one takes its place.
    pub fn verdict(&self, subscription: &Subscription, at: DateTime<Utc>, now: DateTime<Utc>) -> Verdict {
        let Some(current) = subscription.terms_at(now).filter(|_| subscription.is_live()) else {
            return Verdict::Canceled;
        };
        let later = || subscription.terms.iter().filter(|terms| now.max(current.from) < terms.from);
        if current.plan != self.plan {
            let comes = later().any(|terms| terms.plan == self.plan);
            return if comes { Verdict::PendingChange } else { Verdict::NotOnPlan };
        }
        let is_there = |terms: &SubscriptionTerms| terms.plan == self.plan && terms.price_version == self.to;
        let after = later().filter(|terms| at < terms.from);
        if subscription.terms_at(at).into_iter().chain(after).all(is_there) {
            return Verdict::AlreadyOnVersion;
        }
        let mut version = current.price_version;
        for terms in later() {
            if terms.plan != self.plan || terms.price_version == version {
                return Verdict::PendingChange;
            }
            version = terms.price_version;
        }
        if self.from.is_some_and(|from| from != current.price_version) {
            return Verdict::OtherVersion;
        }
        let end = [subscription.ends_at, subscription.schedule.end].into_iter().flatten().min();
        if end.is_some_and(|end| end <= at) { Verdict::PendingChange } else { Verdict::Migrates }
    }
}

/// `terms` under another version of the plan's prices. Own prices of charges that it still has stay. Of a
/// fixed charge that it no longer has, an own quantity goes to the one that took its place: the only new
/// one of the same name.
pub(crate) fn migrated(
    terms: SubscriptionTerms,
    plan: Option<&PricedPlan>,
    version: u32,
) -> SubscriptionTerms {
    let prices = plan.map(|plan| carried(&terms, plan, version)).unwrap_or_default();
    SubscriptionTerms { price_version: version, prices, ..terms }
}

fn carried(terms: &SubscriptionTerms, plan: &PricedPlan, version: u32) -> BTreeMap<ChargeId, Price> {
    let own = |(id, price): (&ChargeId, &Price)| {
        if plan.charges_in(version).any(|charge| charge.id == *id) {
            return Some((*id, price.clone()));
        }
        let Price::Fixed(FixedPrice { quantity, .. }) = price else { return None };
        let retired = plan.charges.iter().find(|charge| charge.id == *id)?;
        if recurring(retired)?.quantity == *quantity {
            return None;
        }
        let mut heirs = plan.charges_in(version).filter(|charge| {
            charge.display_name == retired.display_name && !charge.is_in(terms.price_version)
        });
        let heir = heirs.next().filter(|_| heirs.next().is_none())?;
        Some((heir.id, Price::Fixed(FixedPrice { quantity: *quantity, ..recurring(heir)? })))
    };
    terms.prices.iter().filter_map(own).collect()
}
