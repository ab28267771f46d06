//! What happens when a period ends: the whole decision, for one write.

use chrono::{DateTime, Utc};

use crate::{
    charge_usage::UsageByCharge,
    id::InvoiceId,
    invoice::{GRACE_PERIOD, Invoice, InvoiceStatus},
    money::MoneyError,
    outbox::{InvoiceEvent, OutboxEntry, SubscriptionEvent},
    period::{BillingPeriod, PeriodError},
    plan::PricedPlan,
    rating::{RatingError, line_items},
    subscription::{Subscription, SubscriptionStatus},
};

/// A period that ended: the draft, if the period is billed, the subscription as it goes on, and what is
/// to be told. One transaction commits it all, so a period is never closed halfway, or twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodClose {
    /// The draft invoice. A trial ends without one.
    pub invoice: Option<Invoice>,
    /// The subscription in its next period.
    pub subscription: Subscription,
    /// What is to be told.
    pub outbox: Vec<OutboxEntry>,
}

/// Why a period cannot be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// It has not ended yet, or nothing ever ends. A repeated tick comes here, and changes nothing.
    #[error("nothing is due")]
    NotDue,
    /// The next period lies outside the calendar.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// A charge cannot be rated.
    #[error(transparent)]
    Rating(#[from] RatingError),
    /// The total cannot be computed.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl PeriodClose {
    /// Decides what the end of the current period means at `now`. `usage` is that of the current period.
    pub fn decide(
        subscription: &Subscription,
        plan: &PricedPlan,
        usage: &UsageByCharge,
        now: DateTime<Utc>,
    ) -> Result<Self, CloseError> {
        if subscription.due_at().is_none_or(|due_at| now < due_at) {
            return Err(CloseError::NotDue);
        }
        let mut next = Subscription { updated_at: now, ..subscription.clone() };
        let mut outbox = Vec::new();
        let mut invoice = None;
        match subscription.status {
            SubscriptionStatus::Trial { until } => {
                next.status = SubscriptionStatus::Active;
                next.schedule.anchor = until;
                next.period_number = 0;
                outbox.push(OutboxEntry::subscription_event(SubscriptionEvent::Activated, &next, now));
            }
            SubscriptionStatus::Active | SubscriptionStatus::PastDue => {
                let period = subscription.current_period()?;
                let draft = draft(subscription, plan, usage, period, now)?;
                outbox.push(OutboxEntry::invoice_event(InvoiceEvent::Created, &draft, "DRAFT", now)?);
                invoice = Some(draft);
                next.last_invoiced_at = Some(now);
                if subscription.cancels_at_period_end {
                    next.status = SubscriptionStatus::Canceled { at: period.end() };
                    outbox.push(OutboxEntry::subscription_event(SubscriptionEvent::Canceled, &next, now));
                } else {
                    next.period_number = next.period_number.checked_add(1).ok_or(PeriodError::OutOfRange)?;
                    next.current_period()?;
                }
            }
            SubscriptionStatus::Paused | SubscriptionStatus::Canceled { .. } => {
                return Err(CloseError::NotDue);
            }
        }
        Ok(Self { invoice, subscription: next, outbox })
    }
}

/// The draft for one period, rated from `usage`. The same period always gives the same id.
fn draft(
    subscription: &Subscription,
    plan: &PricedPlan,
    usage: &UsageByCharge,
    period: BillingPeriod,
    now: DateTime<Utc>,
) -> Result<Invoice, CloseError> {
    let finalize_at = now + GRACE_PERIOD;
    let lines =
        line_items(plan.charges_in(subscription.price_version), subscription.currency, usage, period)?;
    Ok(Invoice {
        billed: Some((subscription.id, period)),
        status: InvoiceStatus::Draft { finalize_at: Some(finalize_at) },
        lines,
        ..Invoice::draft(invoice_id(subscription, period), subscription.customer, subscription.currency, now)
    })
}

/// The id of a subscription's invoice for `period`. Its time is the period's end; its bytes are those that
/// tell subscriptions apart.
fn invoice_id(subscription: &Subscription, period: BillingPeriod) -> InvoiceId {
    let mut entropy = [0; 10];
    for (to, from) in entropy.iter_mut().zip(subscription.id.uuid().as_bytes().iter().skip(6)) {
        *to = *from;
    }
    InvoiceId::from_parts(period.end(), entropy)
}
