//! The outbox: what has to be told to the world, kept in the same write as the change it tells of.

use chrono::{DateTime, Utc};

use crate::{
    id::{CustomerId, InvoiceId, OutboxId, PlanId, SubscriptionId},
    invoice::{Invoice, InvoiceNumber},
    money::{Money, MoneyError},
    subscription::Subscription,
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
        let facts = InvoiceFacts { id: invoice.id, number: invoice.number, total: invoice.total()?, status };
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
        Self {
            id: derived(subscription.id.uuid(), at, 0x80 | event as u8),
            customer: subscription.customer,
            at,
            message: OutboxMessage::SubscriptionEvent {
                event,
                subscription: subscription.id,
                plan: subscription.plan,
            },
        }
    }
}

/// An id that follows from what the entry is about, when, and of which kind it is.
fn derived(subject: uuid::Uuid, at: DateTime<Utc>, kind: u8) -> OutboxId {
    let mut entropy = [0; 10];
    for (to, from) in entropy.iter_mut().zip(subject.as_bytes().iter().skip(6)) {
        *to = *from;
    }
    // The invoices of a subscription differ by their time alone, and may be drafted at the same instant.
    for (to, from) in entropy.iter_mut().skip(4).zip(subject.as_bytes()) {
        *to ^= *from;
    }
    if let Some(last) = entropy.last_mut() {
        *last ^= kind;
    }
    OutboxId::from_parts(at, entropy)
}
