//! The outbox: what has to be told to the world, kept in the same write as the change it tells of.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    alert::Trigger,
    charge::Charge,
    id::{CustomerId, InvoiceId, OutboxId, PlanId, SubscriptionId},
    invoice::{Invoice, InvoiceNumber},
    money::{Money, MoneyError},
    subscription::{Subscription, SubscriptionStatus},
};

/// One thing to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its id, the same on every delivery. Follows from what happened, so that it is told of once.
    pub id: OutboxId,
    /// The customer it is about.
    pub customer: CustomerId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What is to be told.
    pub message: OutboxMessage,
}

/// What is to be told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxMessage {
    /// Mail an invoice to its customer.
    EmailInvoice {
        /// Which.
        invoice: InvoiceId,
    },
    /// Tell whoever listens what happened to an invoice.
    InvoiceEvent {
        /// What happened.
        event: InvoiceEvent,
        /// Which invoice, as it was then.
        invoice: InvoiceFacts,
    },
    /// Tell whoever listens what happened to a subscription.
    SubscriptionEvent {
        /// What happened.
        event: SubscriptionEvent,
        /// Which.
        subscription: SubscriptionId,
        /// To which plan.
        plan: PlanId,
    },
    /// Tell whoever listens what happened to a one-off charge.
    OneOffEvent {
        /// What happened.
        event: OneOffEvent,
        /// Of which subscription.
        subscription: SubscriptionId,
        /// The charge.
        charge: Box<Charge>,
    },
    /// Tell whoever listens that a threshold was reached.
    AlertTriggered(Box<Trigger>),
}

/// What can happen to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceEvent {
    /// Drafted.
    Created,
    /// Opened.
    Finalized,
    /// Paid.
    Paid,
    /// Voided.
    Voided,
    /// Given up on.
    MarkedUncollectible,
    /// It cannot be computed, and stays a draft.
    FinalizationFailed,
}

/// What can happen to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// Made.
    Created,
    /// Its trial ended.
    Activated,
    /// Over.
    Canceled,
    /// It is billed by another plan, or another version of its prices, from now on.
    PlanChanged,
    /// Something else was changed, or decided for later.
    Updated,
    /// Paused.
    Paused,
    /// Resumed.
    Resumed,
    /// An invoice of it was not paid in time.
    PastDue,
    /// All its late invoices are settled.
    Recovered,
    /// A bill of it that fell due cannot be computed.
    BillingFailed,
}

/// What can happen to a one-off charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneOffEvent {
    /// Charged: it is on the next bill.
    Added,
    /// Taken back before that.
    Removed,
}

/// What listeners are told of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceFacts {
    /// Its id.
    pub id: InvoiceId,
    /// Its number, if it has one yet.
    pub number: Option<InvoiceNumber>,
    /// Its total.
    pub total: Money,
    /// What is to be paid of it.
    pub amount_due: Money,
    /// Its status, as on the wire.
    pub status: &'static str,
}

impl OutboxEntry {
    /// That `event` happened to `invoice`. Errors: if its total cannot be computed.
    pub fn invoice_event(
        event: InvoiceEvent,
        invoice: &Invoice,
        status: &'static str,
        at: DateTime<Utc>,
    ) -> Result<Self, MoneyError> {
        let (total, amount_due) = (invoice.total()?, invoice.amount_due()?);
        let facts = InvoiceFacts { id: invoice.id, number: invoice.number, total, amount_due, status };
        Ok(Self {
            id: derived(invoice.id.uuid(), at, event as u8),
            customer: invoice.customer,
            at,
            message: OutboxMessage::InvoiceEvent { event, invoice: facts },
        })
    }

    /// That `invoice` is to be mailed.
    pub fn invoice_email(invoice: &Invoice, at: DateTime<Utc>) -> Self {
        Self {
            id: derived(invoice.id.uuid(), at, 0x40),
            customer: invoice.customer,
            at,
            message: OutboxMessage::EmailInvoice { invoice: invoice.id },
        }
    }

    /// That `event` happened to `subscription`.
    pub fn subscription_event(
        event: SubscriptionEvent,
        subscription: &Subscription,
        at: DateTime<Utc>,
    ) -> Self {
        // Several changes may be made in one instant: each is of another version. The last byte is the kind's.
        let subject =
            uuid::Uuid::from_u128(subscription.id.uuid().as_u128() ^ (u128::from(subscription.version) << 8));
        Self {
            id: derived(subject, at, 0x80 | event as u8),
            customer: subscription.customer,
            at,
            message: OutboxMessage::SubscriptionEvent {
                event,
                subscription: subscription.id,
                plan: subscription.plan,
            },
        }
    }

    /// That `event` happened to a one-off charge of `subscription`.
    pub fn one_off_event(
        event: OneOffEvent,
        subscription: &Subscription,
        charge: &Charge,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            id: derived(charge.id.uuid(), at, 0x20 | event as u8),
            customer: subscription.customer,
            at,
            message: OutboxMessage::OneOffEvent {
                event,
                subscription: subscription.id,
                charge: Box::new(charge.clone()),
            },
        }
    }

    /// That an alert reached a threshold.
    pub fn alert_triggered(trigger: &Trigger) -> Self {
        let reading = &trigger.reading;
        let subject =
            reading.subscription.map_or(reading.customer.uuid(), |subscription| subscription.uuid());
        // One subject reaches several thresholds at once, and the same ones in each period.
        let period = reading.period.start().timestamp_millis().unsigned_abs().into();
        let threshold =
            trigger.threshold.mantissa().unsigned_abs() ^ (u128::from(trigger.threshold.scale()) << 96);
        let parts = [trigger.alert.uuid().as_u128(), subject.as_u128(), period, threshold << 8];
        let about = parts.into_iter().fold(0, |about, part| about ^ part);
        Self {
            id: derived(uuid::Uuid::from_u128(about), trigger.at, 0xc0),
            customer: reading.customer,
            at: trigger.at,
            message: OutboxMessage::AlertTriggered(Box::new(trigger.clone())),
        }
    }
}

/// What is to be told of a subscription that was as `before`, and is changed at `at`: nothing, if it only
/// went on.
pub fn subscription_events(
    before: &Subscription,
    after: &Subscription,
    at: DateTime<Utc>,
) -> Vec<OutboxEntry> {
    use SubscriptionStatus::{Active, Canceled, PastDue, Paused, Trial};
    let moved = match (before.status, after.status) {
        (Trial { .. } | Active | PastDue | Paused, Canceled { .. }) => Some(SubscriptionEvent::Canceled),
        (Trial { .. }, Active | PastDue) => Some(SubscriptionEvent::Activated),
        (Trial { .. } | Active | PastDue, Paused) => Some(SubscriptionEvent::Paused),
        (Paused, Active | PastDue) => Some(SubscriptionEvent::Resumed),
        (Active, PastDue) => Some(SubscriptionEvent::PastDue),
        (PastDue, Active) => Some(SubscriptionEvent::Recovered),
        (Trial { .. }, Trial { .. })
        | (Active, Active)
        | (PastDue, PastDue)
        | (Paused, Paused)
        | (Active | PastDue | Paused, Trial { .. })
        | (Canceled { .. }, _) => None,
    };
    let prices = |subscription: &Subscription| (subscription.plan, subscription.price_version);
    let is_other = after.is_live() && prices(before) != prices(after);
    let decided = |subscription: &Subscription| {
        (subscription.terms.clone(), subscription.ends_at, subscription.cancellation.clone())
    };
    // An end at once is told as such, when it is billed.
    let is_ending = after.ends_at.is_some_and(|ends_at| ends_at <= at + TimeDelta::milliseconds(1));
    let is_updated = moved.is_none() && !is_other && !is_ending && decided(before) != decided(after);
    let events = [
        moved,
        Some(SubscriptionEvent::PlanChanged).filter(|_| is_other),
        Some(SubscriptionEvent::Updated).filter(|_| is_updated),
    ];
    events.into_iter().flatten().map(|event| OutboxEntry::subscription_event(event, after, at)).collect()
}

/// An id that follows from what the entry is about, when, and of which kind it is.
fn derived(subject: uuid::Uuid, at: DateTime<Utc>, kind: u8) -> OutboxId {
    let mut entropy = [0; 10];
    for (to, from) in entropy.iter_mut().zip(subject.as_bytes().iter().skip(6)) {
        *to = *from;
    }
    // The invoices of one subscription differ in their time alone.
    for (to, time) in entropy.iter_mut().zip(subject.as_bytes().iter().take(6)) {
        *to ^= *time;
    }
    if let Some(last) = entropy.last_mut() {
        *last ^= kind;
    }
    OutboxId::from_parts(at, entropy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alert::{Reading, Watch},
        currency::Currency,
        id::Id,
        period::BillingPeriod,
    };

    #[test]
    fn what_an_alert_reaches_is_told_apart() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let id = |threshold: &str, start: &str, subscription: Option<u8>| {
            let now = at("2025-03-01T00:00:00Z");
            let reading = Reading {
                customer: Id::from_parts(now, [1; 10]),
                subscription: subscription.map(|n| Id::from_parts(now, [n; 10])),
                period: BillingPeriod::new(at(start), at("2025-04-01T00:00:00Z")).unwrap(),
                value: 100.into(),
                limit: None,
                currency: None,
            };
            let trigger = Trigger {
                alert: Id::from_parts(now, [9; 10]),
                name: "Busy".into(),
                watch: Watch::Amount,
                threshold: threshold.parse().unwrap(),
                reading,
                at: now,
            };
            OutboxEntry::alert_triggered(&trigger).id
        };
        let start = "2025-02-01T00:00:00Z";
        let ids = [
            id("80", start, Some(2)),
            id("100", start, Some(2)),
            id("8", start, Some(2)),
            id("0.8", start, Some(2)),
            id("80", "2025-03-01T00:00:00Z", Some(2)),
            id("80", start, Some(3)),
            id("80", start, None),
        ];
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        assert_eq!(ids[0], id("80", start, Some(2)));
    }

    #[test]
    fn what_happens_to_two_invoices_at_once_is_told_twice() {
        let at: DateTime<Utc> = "2025-03-01T00:00:00Z".parse().unwrap();
        let customer = Id::from_parts(at, [1; 10]);
        // Of one subscription: their ids differ in the period's end alone.
        let entry = |end: &str| {
            let id = Id::from_parts(end.parse().unwrap(), [2; 10]);
            let invoice = Invoice::draft(id, customer, Currency::USD, at);
            OutboxEntry::invoice_event(InvoiceEvent::Paid, &invoice, "PAID", at).unwrap().id
        };
        assert_ne!(entry("2025-02-01T00:00:00Z"), entry("2025-03-01T00:00:00Z"));
        assert_eq!(entry("2025-02-01T00:00:00Z"), entry("2025-02-01T00:00:00Z"));
    }
}
