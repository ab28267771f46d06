//! Invoices that are not paid in time, and what that means for their subscription.

use chrono::{DateTime, Utc};

use crate::{
    invoice::{Invoice, InvoiceStatus},
    subscription::{Subscription, SubscriptionStatus},
};

impl Invoice {
    /// When it will count as not paid in time; `None` if it never will, or does already. Only what a
    /// subscription owes is watched.
    pub fn overdue_at(&self) -> Option<DateTime<Utc>> {
        match self.status {
            InvoiceStatus::Open if self.billed.is_some() && self.past_due_at.is_none() => Some(self.due_at),
            InvoiceStatus::Open
            | InvoiceStatus::Draft { .. }
            | InvoiceStatus::Paid { .. }
            | InvoiceStatus::Void { .. }
            | InvoiceStatus::Uncollectible { .. } => None,
        }
    }

    /// Whether it holds its subscription past due: it is open, and was not paid in time.
    pub fn is_past_due(&self) -> bool {
        matches!(self.status, InvoiceStatus::Open) && self.past_due_at.is_some()
    }

    /// This invoice as not paid in time. `None` unless it is so at `now`.
    pub fn past_due(&self, now: DateTime<Utc>) -> Option<Self> {
        self.overdue_at().filter(|at| *at <= now)?;
        Some(Self { past_due_at: Some(now), ..self.changed(now) })
    }
}

/// A subscription one of whose invoices was not paid in time: an active one becomes past due.
pub fn fallen_behind(subscription: &Subscription, now: DateTime<Utc>) -> Subscription {
    let status = match subscription.status {
        SubscriptionStatus::Active => SubscriptionStatus::PastDue,
        other @ (SubscriptionStatus::Trial { .. }
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled { .. }) => other,
    };
    Subscription { status, updated_at: now, ..subscription.clone() }
}

/// A subscription one of whose late invoices was settled. It is active again once none of `others`, its
/// other invoices, holds it back.
pub fn caught_up<'a>(
    subscription: &Subscription,
    others: impl IntoIterator<Item = &'a Invoice>,
    now: DateTime<Utc>,
) -> Subscription {
    let is_held = others.into_iter().any(Invoice::is_past_due);
    let status = match subscription.status {
        SubscriptionStatus::PastDue if !is_held => SubscriptionStatus::Active,
        other @ (SubscriptionStatus::Trial { .. }
        | SubscriptionStatus::Active
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Paused
        | SubscriptionStatus::Canceled { .. }) => other,
    };
    Subscription { status, updated_at: now, ..subscription.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        currency::Currency,
        id::Id,
        invoice::{InvoiceNumber, LineItem},
        period::BillingPeriod,
    };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn open() -> Invoice {
        let (start, end) = (at("2025-01-01T00:00:00Z"), at("2025-02-01T00:00:00Z"));
        let id = |n| Id::from_uuid(uuid::Uuid::from_u128(n));
        let line = LineItem::manual("Base".into(), 1.into(), 30.into(), Currency::USD).unwrap();
        let draft = Invoice {
            billed: Some((Id::from_uuid(uuid::Uuid::from_u128(3)), BillingPeriod::new(start, end).unwrap())),
            lines: vec![line],
            ..Invoice::draft(id(1), Id::from_uuid(uuid::Uuid::from_u128(2)), Currency::USD, end)
        };
        draft.finalized(InvoiceNumber::next(0, end), end, 10).unwrap()
    }

    #[test]
    fn an_invoice_is_past_due_from_its_due_date_until_it_is_settled() {
        let open = open();
        let due = at("2025-02-11T00:00:00Z");
        assert_eq!(open.overdue_at(), Some(due));
        assert_eq!(open.past_due(due - chrono::Duration::milliseconds(1)), None);
        let late = open.past_due(due).unwrap();
        assert!(late.is_past_due() && !open.is_past_due());
        assert_eq!((late.overdue_at(), late.past_due(due)), (None, None), "once");
        assert!(!late.paid(due).unwrap().is_past_due());
        assert!(!late.voided(due).unwrap().is_past_due());
        assert!(!late.written_off(due).unwrap().is_past_due());
        assert_eq!(open.paid(due).unwrap().past_due(due), None);
        assert!(!open.paid(due).unwrap().is_past_due());
        let by_hand = Invoice { billed: None, ..open };
        assert_eq!(by_hand.past_due(due), None, "no subscription hangs on it");
    }

    #[test]
    fn only_an_active_subscription_falls_behind_and_only_a_late_one_catches_up() {
        use crate::{
            period::{BillingInterval, IntervalUnit},
            proration::ProrationPolicy,
            schedule::BillingSchedule,
        };
        let now = at("2025-02-11T00:00:00Z");
        let of = |status| Subscription {
            id: Id::from_parts(now, [3; 10]),
            customer: Id::from_parts(now, [1; 10]),
            plan: Id::from_parts(now, [2; 10]),
            plan_name: String::new(),
            price_version: 1,
            interval: BillingInterval::every(IntervalUnit::Month),
            currency: Currency::USD,
            status,
            schedule: BillingSchedule::anniversary(now),
            proration: ProrationPolicy::DEFAULT,
            terms: Vec::new(),
            one_offs: Vec::new(),
            billed_until: None,
            next_bill_at: None,
            billing_error: None,
            start: now,
            trial_end: None,
            ends_at: None,
            end_proration: None,
            cancellation: None,
            last_invoiced_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let late = open().past_due(now).unwrap();
        let settled = late.paid(now).unwrap();
        use SubscriptionStatus::{Active, Canceled, PastDue, Paused};
        // status | once it falls behind, once it settled all, once it settled but one
        for (status, expected) in [
            (Active, [PastDue, Active, Active]),
            (PastDue, [PastDue, Active, PastDue]),
            (Paused, [Paused; 3]),
            (Canceled { at: now }, [Canceled { at: now }; 3]),
        ] {
            let found = [
                fallen_behind(&of(status), now).status,
                caught_up(&of(status), [&settled, &open()], now).status,
                caught_up(&of(status), [&settled, &late], now).status,
            ];
            assert_eq!(found, expected);
        }
    }
}
