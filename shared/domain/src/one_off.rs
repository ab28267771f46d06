//! One-off charges: what a subscription that runs is billed once, on the next bill after it was charged. They
//! stay with the subscription, so that the draft of that bill can be rated anew.

use chrono::{DateTime, Duration, Utc};

use crate::{
    charge::{Charge, FixedPrice, FixedTiming, Price},
    id::ChargeId,
    invoice_draft::ManualLine,
    subscription::{Subscription, SubscriptionStatus},
};

/// The most that a subscription may have at a time: its item has to stay readable in one piece.
pub const ONE_OFFS_MAX: usize = 100;

/// How long a charge is kept after it was billed. Drafts are final long before that.
const KEPT: Duration = Duration::days(366);

/// Why a subscription cannot be charged once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OneOffError {
    /// It has not begun, is on trial, or is over.
    #[error("the subscription has no next invoice that this could be on: write one by hand")]
    NotRunning,
    /// It has as many as it may.
    #[error("a subscription may have 100 one-off charges in a year")]
    TooMany,
}

impl Charge {
    /// What is billed once, since `at`.
    pub fn one_off(id: ChargeId, line: ManualLine, at: DateTime<Utc>) -> Self {
        let price = FixedPrice::of(line.unit_price, line.quantity);
        Self {
            id,
            display_name: line.description,
            price: Price::Fixed(FixedPrice { timing: FixedTiming::Once, ..price }),
            added_in: 0,
            retired_in: None,
            created_at: at,
        }
    }
}

impl Subscription {
    /// This subscription with something that is billed once, after what it was billed until now.
    ///
    /// Errors: if there is no bill it could be on, or if there are too many.
    pub fn with_one_off(&self, charge: Charge) -> Result<Self, OneOffError> {
        let at = charge.created_at;
        let is_billed = match self.status {
            SubscriptionStatus::Active | SubscriptionStatus::PastDue | SubscriptionStatus::Paused => {
                self.schedule.start <= at && self.next_bill_at.is_some()
            }
            SubscriptionStatus::Trial { .. } | SubscriptionStatus::Canceled { .. } => false,
        };
        let end = [self.ends_at, self.schedule.end].into_iter().flatten().min();
        if !is_billed || end.is_some_and(|end| end < at) {
            return Err(OneOffError::NotRunning);
        }
        let mut next = self.clone();
        let is_open = |charge: &Charge| self.billed_until.is_none_or(|last| last < charge.created_at);
        next.one_offs.retain(|charge| is_open(charge) || at - KEPT <= charge.created_at);
        if next.one_offs.len() >= ONE_OFFS_MAX {
            return Err(OneOffError::TooMany);
        }
        next.one_offs.push(charge);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::{entitlement::tests::subscription, id::Id};

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    fn charged(day: &str) -> Charge {
        let (quantity, unit_price) = (Decimal::TWO, Decimal::ONE);
        let line = ManualLine { description: "Onboarding".into(), quantity, unit_price };
        Charge::one_off(Id::from_uuid(uuid::Uuid::from_u128(1)), line, at(day))
    }

    fn billed(status: SubscriptionStatus, next_bill_at: Option<&str>) -> Subscription {
        Subscription { next_bill_at: next_bill_at.map(at), ..subscription(1, at("2025-01-01"), status) }
    }

    #[test]
    fn only_what_runs_is_charged() {
        let next = Some("2025-02-01");
        for (status, next, day, is_taken) in [
            (SubscriptionStatus::Active, next, "2025-01-01", true),
            (SubscriptionStatus::PastDue, next, "2025-01-20", true),
            (SubscriptionStatus::Paused, next, "2025-01-20", true),
            (SubscriptionStatus::Active, next, "2024-12-31", false), // not begun
            (SubscriptionStatus::Active, None, "2025-01-20", false),
            (SubscriptionStatus::Trial { until: at("2025-02-01") }, next, "2025-01-20", false),
            (SubscriptionStatus::Canceled { at: at("2025-01-10") }, None, "2025-01-20", false),
        ] {
            let expected = if is_taken { Ok(1) } else { Err(OneOffError::NotRunning) };
            let charged = billed(status, next).with_one_off(charged(day));
            assert_eq!(charged.map(|next| next.one_offs.len()), expected, "{status:?} {day}");
        }
        let next = billed(SubscriptionStatus::Active, next);
        for (ends_at, is_taken) in [("2025-01-20", true), ("2025-01-19", false)] {
            let ending = Subscription { ends_at: Some(at(ends_at)), ..next.clone() };
            assert_eq!(ending.with_one_off(charged("2025-01-20")).is_ok(), is_taken, "{ends_at}");
        }
    }

    #[test]
    fn what_was_billed_long_ago_makes_room() {
        let full = Subscription {
            one_offs: vec![charged("2025-01-10"); ONE_OFFS_MAX],
            ..billed(SubscriptionStatus::Active, Some("2026-02-01"))
        };
        let billed = Subscription { billed_until: Some(at("2026-01-01")), ..full.clone() };
        for (subscription, day, expected) in [
            (&full, "2026-01-20", Err(OneOffError::TooMany)), // none of it is billed
            (&billed, "2026-01-11", Err(OneOffError::TooMany)), // of the last 366 days
            (&billed, "2026-01-12", Ok(1)),
        ] {
            let charged = subscription.with_one_off(charged(day));
            assert_eq!(charged.map(|next| next.one_offs.len()), expected, "{day}");
        }
    }
}
