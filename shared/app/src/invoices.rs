//! Invoices: read, finalized, paid, voided, mailed.

use auth::Actor;
use chrono::{DateTime, SecondsFormat, Utc};
use document::InvoiceDocument;
use domain::{
    id::InvoiceId,
    invoice::{Invoice, InvoiceStatus},
    outbox::{InvoiceEvent, OutboxEntry},
    property::Property,
    user::Scope,
};
use futures::{StreamExt, stream};
use store::{Page, PageRequest};

pub use store::InvoiceFilter;

use crate::{
    AppError, Platform, document,
    finalize_invoice::{Mailing, finalize, recomputed, recomputed_or_kept, recomputed_under},
    invoice_view::view,
    outbox::relay_now,
    overdue,
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

/// That somebody changes the status of an invoice, perhaps with words on it.
pub struct Note(pub Option<String>);

/// An invoice. A draft of a subscription is shown as the usage known by now makes it.
pub async fn get(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingRead)?;
    let invoice = platform.store.get_invoice(actor.organization, id).await?;
    recomputed(platform, actor.organization, &invoice).await
}

/// Drafts of a page that are rated at once.
const RATED_AT_ONCE: usize = 8;

/// The organization's invoices. Drafts are shown as the usage known by now makes them.
pub async fn list(
    platform: &Platform,
    actor: &Actor,
    filter: InvoiceFilter,
    page: &PageRequest,
) -> Result<Page<Invoice>, AppError> {
    actor.require(Scope::BillingRead)?;
    let mut filter = filter;
    if let Some(customer) = filter.customer {
        platform.store.get_customer(actor.organization, customer).await?;
    }
    if let Some(subscription) = filter.subscription {
        let of = platform.store.get_subscription(actor.organization, subscription).await?.customer;
        if filter.customer.is_some_and(|customer| customer != of) {
            return Ok(Page { rows: Vec::new(), total: 0, next_cursor: None });
        }
        filter.customer = Some(of);
    }
    let page = platform.store.list_invoices(actor.organization, &filter, page).await?;
    let rows = page.rows.into_iter().map(|invoice| async move {
        // One that cannot be rated does not hide the others.
        recomputed(platform, actor.organization, &invoice).await.unwrap_or_else(|error| {
            tracing::warn!(invoice.id = %invoice.id, error = ?error, "draft {} is listed as it was", invoice.id);
            invoice
        })
    });
    let rows = stream::iter(rows.collect::<Vec<_>>()).buffered(RATED_AT_ONCE).collect().await;
    Ok(Page { rows, ..page })
}

/// An invoice as its customer sees it.
pub async fn get_document(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
) -> Result<InvoiceDocument, AppError> {
    let invoice = get(platform, actor, id).await?;
    document(&view(platform, actor.organization, invoice).await?)
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
        InvoiceStatus::Draft { .. } => open(platform, actor, id, Mailing::Yes).await,
        InvoiceStatus::Void { .. } => Err(AppError::conflict("invoice_void", "a void invoice is not mailed")),
        InvoiceStatus::Open | InvoiceStatus::Paid { .. } | InvoiceStatus::Uncollectible { .. } => {
            let outbox = [OutboxEntry::invoice_email(&invoice, platform.real_now())];
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
    open_draft(platform, actor, invoice, mailing).await
}

async fn open_draft(
    platform: &Platform,
    actor: &Actor,
    invoice: Invoice,
    mailing: Mailing,
) -> Result<Invoice, AppError> {
    let seller = platform.store.get_organization(actor.organization).await?;
    let rated = recomputed_under(platform, &seller, &invoice).await?;
    let (invoice, outbox) = finalize(platform, &seller, &actor.name(), rated, mailing).await?;
    relay_now(platform, actor.organization, &outbox).await;
    Ok(invoice)
}

/// Moves an invoice on; a draft is opened by [`finalize_now`]. That it was, and the `note`, is kept with it.
///
/// Errors: `Conflict` if it cannot go there from where it is, or was changed meanwhile.
pub async fn move_to(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
    to: Move,
    note: &Note,
) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let now = platform.now();
    let before = platform.store.get_invoice(actor.organization, id).await?;
    // A draft that is voided keeps the figures it would have had.
    let invoice = recomputed_or_kept(platform, actor.organization, &before).await?;
    let (moved, event, status, action) = match to {
        Move::Pay => (invoice.paid(now), InvoiceEvent::Paid, "PAID", "pay invoice"),
        Move::Void => (invoice.voided(now), InvoiceEvent::Voided, "VOID", "void invoice"),
        Move::WriteOff => {
            let event = InvoiceEvent::MarkedUncollectible;
            (invoice.written_off(now), event, "UNCOLLECTIBLE", "write off invoice")
        }
    };
    let mut moved = moved.map_err(|error| AppError::conflict("invalid_transition", error.to_string()))?;
    note.keep(&mut moved, before.status, now);
    let entry = OutboxEntry::invoice_event(event, &moved, status, now).map_err(AppError::internal)?;
    let change = || platform.change(actor.organization, actor.name());
    let outbox = overdue::settle(platform, change, action, (&before, &moved), entry).await?;
    relay_now(platform, actor.organization, &outbox).await;
    Ok(moved)
}

/// Opens a draft as [`finalize_now`] does, and keeps a note of it.
///
/// Errors: `Conflict` if it is no draft.
pub async fn open_with_note(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
    note: &Note,
) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let mut invoice = platform.store.get_invoice(actor.organization, id).await?;
    let status = invoice.status;
    note.keep(&mut invoice, status, platform.now());
    open_draft(platform, actor, invoice, Mailing::No).await
}

impl Note {
    /// Keeps with an invoice that it left the state `from` at `now`.
    fn keep(&self, invoice: &mut Invoice, from: InvoiceStatus, now: DateTime<Utc>) {
        let mut keep = |name: &str, text: String| {
            invoice.metadata.insert(name.to_owned(), Property::Text(text));
        };
        keep("previous_status", from.name().to_uppercase());
        keep("status_change_timestamp", now.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        match &self.0 {
            Some(note) => keep("status_change_note", note.clone()),
            None => _ = invoice.metadata.remove("status_change_note"), // it was of another change
        }
    }
}
