//! The outbox: what has to be told, due from the moment it happened until it was delivered.

use chrono::{DateTime, Utc};
use domain::{
    id::{CustomerId, OrganizationId, OutboxId},
    invoice::InvoiceNumber,
    money::Money,
    outbox::{InvoiceEvent, InvoiceFacts, OneOffEvent, OutboxEntry, OutboxMessage, SubscriptionEvent},
};

use crate::{
    alert::{trigger_from, trigger_item},
    client::Store,
    due::{Due, DueKind},
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    subscription::{one_off_from, one_off_item},
};

impl Store {
    /// An entry that is still to be delivered; `None` once it was.
    pub async fn find_outbox_entry(
        &self,
        organization: OrganizationId,
        customer: CustomerId,
        id: OutboxId,
    ) -> Result<Option<OutboxEntry>, StoreError> {
        let Some(item) = self.get(keys::outbox(organization, customer, id)).await? else { return Ok(None) };
        if item.contains_key("delivered_at") { Ok(None) } else { from_item(&item).map(Some) }
    }

    /// Puts off an entry: it is due again at `due_at`, should it not be delivered by then.
    pub async fn postpone_outbox_entry(
        &self,
        organization: OrganizationId,
        entry: &OutboxEntry,
        due_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // Not over a delivery that was recorded meanwhile.
        let (_, due) = keys::due(DueKind::Outbox, due_at, entry.id);
        let update = self
            .client
            .update_item()
            .table_name(&self.core_table)
            .set_key(Some(keys::outbox(organization, entry.customer, entry.id).attributes()))
            .update_expression("SET gsi2sk = :due")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(delivered_at)")
            .expression_attribute_values(":due", aws_sdk_dynamodb::types::AttributeValue::S(due));
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(failed) if failed.is_conditional_check_failed_exception() => Ok(()),
                _ => Err(crate::error::unavailable(error)),
            },
        }
    }

    /// Records that an entry was delivered. Nothing is due any more.
    pub async fn deliver_outbox_entry(
        &self,
        organization: OrganizationId,
        entry: &OutboxEntry,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let item = base_item(organization, entry).time("delivered_at", at);
        self.put(item.number("ttl", (at + KEPT).timestamp().unsigned_abs())).await
    }
}

/// How long a delivered entry is kept, to be looked at.
const KEPT: chrono::Duration = chrono::Duration::days(90);

/// An entry that is due at `due_at`.
pub(crate) fn outbox_item(organization: OrganizationId, entry: &OutboxEntry, due_at: DateTime<Utc>) -> Item {
    let due = Due { at: due_at, organization, customer: entry.customer, id: entry.id.uuid() };
    base_item(organization, entry).due(DueKind::Outbox, due)
}

fn base_item(organization: OrganizationId, entry: &OutboxEntry) -> Item {
    let message = match &entry.message {
        OutboxMessage::EmailInvoice { invoice } => {
            Item::default().text("kind", "email_invoice").display("invoice", invoice)
        }
        OutboxMessage::InvoiceEvent { event, invoice } => {
            let item = Item::default()
                .text("kind", "invoice_event")
                .text("event", invoice_event_text(*event))
                .display("invoice", invoice.id)
                .display("total", invoice.total.amount())
                .display("amount_due", invoice.amount_due.amount())
                .text("currency", invoice.total.currency().code())
                .text("status", invoice.status);
            match invoice.number {
                Some(number) => item.display("year", number.year).number("sequence", number.sequence),
                None => item,
            }
        }
        OutboxMessage::SubscriptionEvent { event, subscription, plan } => Item::default()
            .text("kind", "subscription_event")
            .text("event", subscription_event_text(*event))
            .display("subscription", subscription)
            .display("plan", plan),
        OutboxMessage::OneOffEvent { event, subscription, charge } => Item::default()
            .text("kind", "one_off_event")
            .text("event", one_off_event_text(*event))
            .display("subscription", subscription)
            .map("charge", one_off_item(charge)),
        OutboxMessage::AlertTriggered(trigger) => {
            trigger_item(Item::default().text("kind", "alert_triggered"), trigger)
        }
    };
    Item::new(keys::outbox(organization, entry.customer, entry.id), "outbox")
        .display("id", entry.id)
        .display("customer", entry.customer)
        .time("at", entry.at)
        .map("message", message)
}

fn from_item(item: &Attributes) -> Result<OutboxEntry, StoreError> {
    let item = Reader::new("outbox", item)?;
    let message = item.map("message")?;
    Ok(OutboxEntry {
        id: item.parse("id")?,
        customer: item.parse("customer")?,
        at: item.time("at")?,
        message: match message.text("kind")? {
            "email_invoice" => OutboxMessage::EmailInvoice { invoice: message.parse("invoice")? },
            "invoice_event" => OutboxMessage::InvoiceEvent {
                event: INVOICE_EVENTS
                    .into_iter()
                    .find(|event| message.text("event").is_ok_and(|text| invoice_event_text(*event) == text))
                    .ok_or_else(|| message.corrupt("event"))?,
                invoice: InvoiceFacts {
                    id: message.parse("invoice")?,
                    number: match message.optional("year")? {
                        Some(year) => Some(InvoiceNumber { year, sequence: message.number("sequence")? }),
                        None => None,
                    },
                    total: Money::new(message.parse("total")?, message.parse("currency")?),
                    // Older entries are of invoices without credit.
                    amount_due: match message.optional("amount_due")? {
                        Some(amount) => Money::new(amount, message.parse("currency")?),
                        None => Money::new(message.parse("total")?, message.parse("currency")?),
                    },
                    status: STATUSES
                        .into_iter()
                        .find(|status| message.text("status").is_ok_and(|text| text == *status))
                        .ok_or_else(|| message.corrupt("status"))?,
                },
            },
            "subscription_event" => OutboxMessage::SubscriptionEvent {
                event: SUBSCRIPTION_EVENTS
                    .into_iter()
                    .find(|event| {
                        message.text("event").is_ok_and(|text| subscription_event_text(*event) == text)
                    })
                    .ok_or_else(|| message.corrupt("event"))?,
                subscription: message.parse("subscription")?,
                plan: message.parse("plan")?,
            },
            "one_off_event" => OutboxMessage::OneOffEvent {
                event: [OneOffEvent::Added, OneOffEvent::Removed]
                    .into_iter()
                    .find(|event| message.text("event").is_ok_and(|text| one_off_event_text(*event) == text))
                    .ok_or_else(|| message.corrupt("event"))?,
                subscription: message.parse("subscription")?,
                charge: Box::new(one_off_from(message.map("charge")?)?),
            },
            "alert_triggered" => OutboxMessage::AlertTriggered(Box::new(trigger_from(message)?)),
            _ => return Err(message.corrupt("kind")),
        },
    })
}

const STATUSES: [&str; 5] = ["DRAFT", "OPEN", "PAID", "VOID", "UNCOLLECTIBLE"];

const INVOICE_EVENTS: [InvoiceEvent; 6] = [
    InvoiceEvent::Created,
    InvoiceEvent::Finalized,
    InvoiceEvent::Paid,
    InvoiceEvent::Voided,
    InvoiceEvent::MarkedUncollectible,
    InvoiceEvent::FinalizationFailed,
];

fn invoice_event_text(event: InvoiceEvent) -> &'static str {
    match event {
        InvoiceEvent::Created => "created",
        InvoiceEvent::Finalized => "finalized",
        InvoiceEvent::Paid => "paid",
        InvoiceEvent::Voided => "voided",
        InvoiceEvent::MarkedUncollectible => "marked_uncollectible",
        InvoiceEvent::FinalizationFailed => "finalization_failed",
    }
}

const SUBSCRIPTION_EVENTS: [SubscriptionEvent; 10] = [
    SubscriptionEvent::Created,
    SubscriptionEvent::Activated,
    SubscriptionEvent::Canceled,
    SubscriptionEvent::PlanChanged,
    SubscriptionEvent::Updated,
    SubscriptionEvent::Paused,
    SubscriptionEvent::Resumed,
    SubscriptionEvent::PastDue,
    SubscriptionEvent::Recovered,
    SubscriptionEvent::BillingFailed,
];

fn subscription_event_text(event: SubscriptionEvent) -> &'static str {
    match event {
        SubscriptionEvent::Created => "created",
        SubscriptionEvent::Activated => "activated",
        SubscriptionEvent::Canceled => "canceled",
        SubscriptionEvent::PlanChanged => "plan_changed",
        SubscriptionEvent::Updated => "updated",
        SubscriptionEvent::Paused => "paused",
        SubscriptionEvent::Resumed => "resumed",
        SubscriptionEvent::PastDue => "past_due",
        SubscriptionEvent::Recovered => "recovered",
        SubscriptionEvent::BillingFailed => "billing_failed",
    }
}

fn one_off_event_text(event: OneOffEvent) -> &'static str {
    match event {
        OneOffEvent::Added => "added",
        OneOffEvent::Removed => "removed",
    }
}
