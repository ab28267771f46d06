//! What cannot be billed exactly: it is said where people look, told once, and tried again ever more seldom.

use chrono::{DateTime, Duration, Utc};

use crate::{
    invoice::{Invoice, InvoiceStatus},
    money::MoneyError,
    outbox::{InvoiceEvent, OutboxEntry, SubscriptionEvent},
    period::BillingPeriod,
    subscription::Subscription,
};

/// That a bill that fell due cannot be computed, until its usage or its prices are corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingError {
    /// Of which period.
    pub period: BillingPeriod,
    /// Why, in words.
    pub detail: String,
    /// When that was found.
    pub since: DateTime<Utc>,
    /// When it is tried again by itself.
    pub retry_at: DateTime<Utc>,
}

/// How soon it is tried again at first.
const RETRY_MIN: Duration = Duration::minutes(5);

/// How seldom it is tried again at last.
const RETRY_MAX: Duration = Duration::days(1);

impl BillingError {
    /// That a bill of `period` could not be computed at `now`, after what was found of it `before`. It is tried
    /// again after as long as it has failed by then, so that each gap is about twice the one before.
    pub fn found(before: Option<&Self>, period: BillingPeriod, detail: String, now: DateTime<Utc>) -> Self {
        let since = before.filter(|before| before.period == period).map_or(now, |before| before.since);
        let retry_at = now + (now - since).clamp(RETRY_MIN, RETRY_MAX);
        Self { period, detail, since, retry_at }
    }
}

impl Subscription {
    /// When it is to be looked at next by itself: when something falls due, or when what could not be billed is
    /// tried again.
    pub fn attended_at(&self) -> Option<DateTime<Utc>> {
        let retry_at = self.billing_error.as_ref().map(|error| error.retry_at);
        self.due_at().map(|due_at| retry_at.map_or(due_at, |retry_at| retry_at.max(due_at)))
    }

    /// This subscription with the bill of a period put off that cannot be computed, and what is to be told of it:
    /// nothing, if that was found before.
    pub fn put_off(
        &self,
        period: BillingPeriod,
        detail: String,
        now: DateTime<Utc>,
    ) -> (Self, Option<OutboxEntry>) {
        let before = self.billing_error.as_ref();
        let error = BillingError::found(before, period, detail, now);
        let is_new = before.is_none_or(|before| before.since != error.since);
        let updated_at = if is_new { now } else { self.updated_at };
        let next = Self { billing_error: Some(error), updated_at, ..self.clone() };
        let event = || OutboxEntry::subscription_event(SubscriptionEvent::BillingFailed, &next, now);
        let told = is_new.then(event);
        (next, told)
    }
}

impl Invoice {
    /// This draft of a period with its finalizing put off, since it cannot be computed, and what is to be told of
    /// it: nothing, if that was found before.
    ///
    /// Errors: if what it came to before cannot be computed either, which none that is stored fails to.
    pub fn put_off(
        &self,
        period: BillingPeriod,
        detail: String,
        now: DateTime<Utc>,
    ) -> Result<(Self, Option<OutboxEntry>), MoneyError> {
        let error = BillingError::found(self.billing_error.as_ref(), period, detail, now);
        let status = InvoiceStatus::Draft { finalize_at: Some(error.retry_at) };
        let is_new = self.billing_error.is_none();
        let next = Self { status, billing_error: Some(error), ..self.clone() };
        if !is_new {
            return Ok((next, None));
        }
        let next = Self { updated_at: now, ..next };
        let told = OutboxEntry::invoice_event(InvoiceEvent::FinalizationFailed, &next, "DRAFT", now)?;
        Ok((next, Some(told)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entitlement::tests::subscription, subscription::SubscriptionStatus};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn period(month: u32) -> BillingPeriod {
        let start = |month: u32| at(&format!("2025-{month:02}-01T00:00:00Z"));
        BillingPeriod::new(start(month), start(month + 1)).unwrap()
    }

    #[test]
    fn the_gaps_grow_up_to_a_day() {
        let mut now = at("2025-02-01T00:00:30Z");
        let mut error = BillingError::found(None, period(1), "too large".into(), now);
        let mut gaps = Vec::new();
        for _ in 0..13 {
            gaps.push((error.retry_at - now).num_minutes());
            now = error.retry_at;
            error = BillingError::found(Some(&error), period(1), "too large".into(), now);
        }
        assert_eq!(gaps, [5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
        assert_eq!(error.since, at("2025-02-01T00:00:30Z"));
        let other = BillingError::found(Some(&error), period(2), "too large".into(), now);
        assert_eq!((other.since, other.retry_at), (now, now + RETRY_MIN), "another period begins anew");
    }

    #[test]
    fn it_is_told_once_and_looked_at_when_it_is_tried_again() {
        let due_at = at("2025-02-01T00:00:00Z");
        let due = Subscription {
            next_bill_at: Some(due_at),
            ..subscription(1, at("2025-01-01T00:00:00Z"), SubscriptionStatus::Active)
        };
        assert_eq!(due.attended_at(), Some(due_at));
        let now = at("2025-02-01T00:00:30Z");
        let (first, told) = due.put_off(period(1), "too large".into(), now);
        assert!(told.is_some());
        assert_eq!((first.attended_at(), first.due_at()), (Some(now + RETRY_MIN), Some(due_at)));
        let again = now + RETRY_MIN;
        let (second, told) = first.put_off(period(1), "still too large".into(), again);
        assert_eq!((told, second.updated_at), (None, now));
        assert_eq!(second.billing_error.as_ref().unwrap().detail, "still too large");
        let (_, told) = second.put_off(period(2), "too large".into(), again);
        assert!(told.is_some(), "of another period");
        let over = Subscription { status: SubscriptionStatus::Canceled { at: now }, ..second };
        assert_eq!(over.attended_at(), None);
    }
}
