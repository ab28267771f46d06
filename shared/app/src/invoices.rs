//! Invoices: read, finalized, paid, voided, mailed.

use auth::Actor;
use document::InvoiceDocument;
use domain::{
    id::InvoiceId,
    invoice::Invoice,
    outbox::{InvoiceEvent, OutboxEntry},
    user::Scope,
};
use store::{Page, PageRequest};

pub use store::Filter;

use crate::{
    AppError, Platform, customers, document,
    finalize_invoice::{Mailing, finalize, recomputed},
    outbox::relay_now,
};

/// Where an invoice is told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// To paid.
    Pay,
    /// To void.
    Void,
    /// To uncollectible.
    WriteOff,
}

/// An invoice. A draft of a subscription is shown as the usage known by now makes it.
pub async fn get(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingRead)?;
    let invoice = platform.store.get_invoice(actor.organization, id).await?;
    recomputed(platform, actor.organization, &invoice).await
}

/// The organization's invoices, as they were last written.
pub async fn list(
    platform: &Platform,
    actor: &Actor,
    filter: &Filter,
    page: &PageRequest,
) -> Result<Page<Invoice>, AppError> {
    actor.require(Scope::BillingRead)?;
    if let Some(customer) = filter.customer {
        platform.store.get_customer(actor.organization, customer).await?;
    }
    Ok(platform.store.list_invoices(actor.organization, filter, page).await?)
}

/// An invoice as its customer sees it.
pub async fn get_document(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
) -> Result<InvoiceDocument, AppError> {
    let invoice = get(platform, actor, id).await?;
    let seller = platform.store.get_organization(actor.organization).await?;
    let customer = platform.store.get_customer(actor.organization, invoice.customer).await?;
    document(&seller, &customers::open(platform, actor.organization, customer).await?, &invoice)
}

/// An invoice as PDF, with the name its file should have.
pub async fn get_pdf(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
) -> Result<(String, Vec<u8>), AppError> {
    let document = get_document(platform, actor, id).await?;
    let name = format!("{}.pdf", document.number.as_deref().unwrap_or("draft"));
    let pdf =
        tokio::task::spawn_blocking(move || document::pdf(&document)).await.map_err(AppError::internal)?;
    Ok((name, pdf.map_err(AppError::internal)?))
}

/// Opens a draft without mailing it. Errors: `Conflict` if it is no draft.
pub async fn finalize_now(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<Invoice, AppError> {
    open(platform, actor, id, Mailing::No).await
}

/// Mails an invoice, and opens it first if it is a draft.
///
/// Errors: `Invalid` if its customer has no e-mail address; `Conflict` if the invoice is void.
pub async fn send_email(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let invoice = platform.store.get_invoice(actor.organization, id).await?;
    let customer = platform.store.get_customer(actor.organization, invoice.customer).await?;
    if customer.email.is_none() {
        return Err(AppError::conflict("customer_without_email", "the customer has no e-mail address"));
    }
    match invoice.status {
        domain::invoice::InvoiceStatus::Draft { .. } => open(platform, actor, id, Mailing::Yes).await,
        domain::invoice::InvoiceStatus::Void { .. } => {
            Err(AppError::conflict("invoice_void", "a void invoice is not mailed"))
        }
        domain::invoice::InvoiceStatus::Open
        | domain::invoice::InvoiceStatus::Paid { .. }
        | domain::invoice::InvoiceStatus::Uncollectible { .. } => {
            let outbox = [OutboxEntry::invoice_email(&invoice, platform.now())];
            let change = platform.change(actor.organization, actor.name());
            platform.store.update_invoice(&change, "mail invoice", &invoice, &outbox).await?;
            relay_now(platform, actor.organization, &outbox).await;
            Ok(invoice)
        }
    }
}

async fn open(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
    mailing: Mailing,
) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let invoice = platform.store.get_invoice(actor.organization, id).await?;
    let (invoice, outbox) = finalize(platform, actor.organization, &actor.name(), invoice, mailing).await?;
    relay_now(platform, actor.organization, &outbox).await;
    Ok(invoice)
}

/// Moves an invoice on. Errors: `Conflict` if it cannot go there from where it is.
pub async fn move_to(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
    to: Move,
) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let now = platform.now();
    let invoice = platform.store.get_invoice(actor.organization, id).await?;
    let (moved, event, status, action) = match to {
        Move::Pay => (invoice.paid(now), InvoiceEvent::Paid, "PAID", "pay invoice"),
        Move::Void => (invoice.voided(now), InvoiceEvent::Voided, "VOID", "void invoice"),
        Move::WriteOff => {
            let event = InvoiceEvent::MarkedUncollectible;
            (invoice.written_off(now), event, "UNCOLLECTIBLE", "write off invoice")
        }
    };
    let moved = moved.map_err(|error| AppError::conflict("invalid_transition", error.to_string()))?;
    let entry = OutboxEntry::invoice_event(event, &moved, status, now).map_err(AppError::internal)?;
    let change = platform.change(actor.organization, actor.name());
    platform.store.update_invoice(&change, action, &moved, std::slice::from_ref(&entry)).await?;
    relay_now(platform, actor.organization, &[entry]).await;
    Ok(moved)
}
