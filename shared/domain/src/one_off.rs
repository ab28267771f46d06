//! One-off charges: what a subscription that runs is billed once, on the next bill after it was charged. Until
//! then it can be taken back. They stay with the subscription, so that the draft of that bill can be rated anew.

use chrono::{DateTime, Duration, Utc};

use crate::{
    charge::{Charge, FixedPrice, FixedTiming, Price},
    id::ChargeId,
    invoice_draft::ManualLine,
    subscription::{Subscription, SubscriptionStatus},
};

/// The most that a subscription may have at a time: its item has to stay readable in one piece.
pub const ONE_OFFS_MAX: usize = 100;

/// How long a charge is kept for sure, so that invoices can be made again. After that, one that was billed makes room
/// for others.
pub(crate) const KEPT: Duration = Duration::days(366);

/// Why a subscription cannot be charged once more, or what it was charged cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OneOffError {
    /// It has not begun, is on trial, or is over.
    #[error("the subscription has no next invoice that this could be on: write one by hand")]
    NotRunning,
    /// It has as many as it may.
    #[error("a subscription may have 100 one-off charges in a year")]
    TooMany,
    /// It was not charged that, or it is forgotten.
    #[error("the subscription has no such charge")]
    NoSuchCharge,
    /// It is on an invoice.
    #[error("the charge is billed already: edit the draft, or void the invoice")]
    Billed,
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
        if next.one_offs.len() >= ONE_OFFS_MAX {
            next.one_offs.retain(|charge| !self.has_billed(charge) || at - KEPT <= charge.created_at);
        }
        if next.one_offs.len() >= ONE_OFFS_MAX {
            return Err(OneOffError::TooMany);
        }
        next.one_offs.push(charge);
        Ok(next)
    }

    /// This subscription without something that was to be billed once, and what that was.
    ///
    /// Errors: if it has no such charge, or billed it already.
    pub fn without_one_off(&self, id: ChargeId) -> Result<(Self, Charge), OneOffError> {
        let charge = self.one_offs.iter().find(|charge| charge.id == id).ok_or(OneOffError::NoSuchCharge)?;
        if self.has_billed(charge) {
            return Err(OneOffError::Billed);
        }
        let mut next = self.clone();
        next.one_offs.retain(|other| other.id != id);
        Ok((next, charge.clone()))
    }

    /// Whether one of its one-off charges is on an invoice.
    pub fn has_billed(&self, charge: &Charge) -> bool {
        self.billed_until.is_some_and(|last| charge.created_at <= last)
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
    fn what_is_not_billed_yet_is_taken_back() {
        let subscription = billed(SubscriptionStatus::Active, Some("2025-02-01"))
            .with_one_off(charged("2025-01-20"))
            .unwrap();
        let [charge] = &subscription.one_offs[..] else { panic!("{subscription:?}") };
        let other = Id::from_uuid(uuid::Uuid::from_u128(2));
        for (last, id, expected) in [
            (None, charge.id, Ok(0)),
            (Some("2025-01-19"), charge.id, Ok(0)),
            (Some("2025-01-20"), charge.id, Err(OneOffError::Billed)), // by the bill of that instant
            (None, other, Err(OneOffError::NoSuchCharge)),
        ] {
            let subscription = Subscription { billed_until: last.map(at), ..subscription.clone() };
            let taken = subscription.without_one_off(id);
            assert_eq!(taken.map(|(next, _)| next.one_offs.len()), expected, "{last:?}");
        }
    }

    #[test]
    fn what_was_billed_long_ago_makes_room() {
        let full = Subscription {
            one_offs: vec![charged("2025-01-10"); ONE_OFFS_MAX],
            ..billed(SubscriptionStatus::Active, Some("2026-02-01"))
        };
        let billed = Subscription { billed_until: Some(at("2026-01-01")), ..full.clone() };
        let few = Subscription { one_offs: vec![charged("2025-01-10")], ..billed.clone() };
        for (subscription, day, expected) in [
            (&full, "2026-01-20", Err(OneOffError::TooMany)), // none of it is billed
            (&billed, "2026-01-11", Err(OneOffError::TooMany)), // of the last 366 days
            (&billed, "2026-01-12", Ok(1)),
            (&few, "2026-01-12", Ok(2)), // there is room enough
        ] {
            let charged = subscription.with_one_off(charged(day));
            assert_eq!(charged.map(|next| next.one_offs.len()), expected, "{day}");
        }
    }
}
