//! Finalizing: a draft becomes an open invoice with a number, rated anew from the usage known by then.

use domain::{
    id::{CustomerId, InvoiceId, OrganizationId},
    invoice::{Invoice, InvoiceNumber, InvoiceStatus},
    invoice_draft::InvoiceTerms,
    money::Money,
    organization::{Settings, ZeroInvoices},
    outbox::{InvoiceEvent, OutboxEntry},
    period_close::bill_of,
    rating::lines,
};
use store::StoreError;

use crate::{AppError, Platform, charge_usage, close_period::plans_of, late_usage};

/// How often a number is tried for that others take at the same time.
const ATTEMPTS_MAX: u32 = 50;

/// What a finalized invoice is sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailing {
    /// By mail, if the organization wants that.
    AsSet,
    /// Not at all.
    No,
    /// By mail, whatever the organization's setting is.
    Yes,
}

/// Finalizes a draft whose grace period is over, or deletes it if it comes to nothing and the organization
/// wants no such invoices. Anything else is left as it is: it was done already, or is not due. `true` if it
/// was finalized now.
pub async fn finalize_due(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    id: InvoiceId,
) -> Result<bool, AppError> {
    for _ in 0..ATTEMPTS_MAX {
        let draft = match platform.store.get_invoice_of(organization, customer, id).await {
            Ok(invoice) => invoice,
            Err(StoreError::NotFound(_)) => return Ok(false), // deleted since it fell due
            Err(error) => return Err(error.into()),
        };
        if draft.finalize_at().is_none_or(|finalize_at| platform.now() < finalize_at) {
            return Ok(false);
        }
        let by = "finalize-invoices";
        let settings = platform.store.get_organization(organization).await?.settings;
        let is_done = match is_skipped(platform, organization, &settings, &draft).await? {
            true => {
                let change = platform.change(organization, by);
                let deleted = platform.store.delete_draft(&change, "skip empty invoice", &draft).await;
                deleted.map(|()| false).map_err(AppError::from)
            }
            false => {
                finalize(platform, organization, by, (draft, &settings), Mailing::AsSet).await.map(|_| true)
            }
        };
        match is_done {
            Err(error) if error.is_changed_meanwhile() => {} // somebody edited it: look again
            other => return other,
        }
    }
    Err(AppError::Unavailable("the draft is changed again and again".into()))
}

/// Whether a draft of a subscription is not to become an invoice, since there is nothing on it to pay.
async fn is_skipped(
    platform: &Platform,
    organization: OrganizationId,
    settings: &Settings,
    draft: &Invoice,
) -> Result<bool, AppError> {
    match settings.zero_invoices {
        ZeroInvoices::Create => Ok(false),
        ZeroInvoices::Skip => {
            let total = recomputed(platform, organization, draft).await?.total();
            total.map(Money::is_zero).map_err(AppError::internal)
        }
    }
}

/// Finalizes a draft now. Returns the open invoice and what is to be told of it.
///
/// Errors: `Conflict` if it is no draft, or was changed since it was read.
pub(crate) async fn finalize(
    platform: &Platform,
    organization: OrganizationId,
    by: &str,
    (draft, settings): (Invoice, &Settings),
    mailing: Mailing,
) -> Result<(Invoice, Vec<OutboxEntry>), AppError> {
    let is_mailed = match mailing {
        Mailing::AsSet => settings.emails_invoices,
        Mailing::No => false,
        Mailing::Yes => true,
    };
    for _ in 0..ATTEMPTS_MAX {
        let now = platform.now();
        let rated = recomputed(platform, organization, &draft).await?;
        let year = InvoiceNumber::next(0, now).year;
        let last = platform.store.last_invoice_sequence(organization, year).await?;
        let invoice = rated
            .finalized(InvoiceNumber::next(last, now), now, settings.payment_terms_days)
            .map_err(|error| AppError::conflict("invalid_transition", error.to_string()))?;
        let outbox = told_of(&invoice, is_mailed, now).map_err(AppError::internal)?;
        match platform.store.commit_finalized(&platform.change(organization, by), &invoice, &outbox).await {
            Ok(()) => {
                let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
                tracing::info!(
                    organization.id = %organization,
                    invoice.id = %invoice.id,
                    invoice.number = %number,
                    line_items = invoice.lines.len(),
                    "finalized invoice {number}"
                );
                let invoice = Invoice { version: invoice.version + 1, ..invoice };
                return Ok((invoice, outbox));
            }
            Err(StoreError::Conflict) => {
                let stored = platform.store.get_invoice_of(organization, draft.customer, draft.id).await?;
                if stored.version != draft.version {
                    return Err(StoreError::Conflict.into());
                }
                // The number was taken: try the next.
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppError::Unavailable("too many invoices are numbered at once".into()))
}

/// What is to be told of an invoice that was just finalized.
fn told_of(
    invoice: &Invoice,
    is_mailed: bool,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<OutboxEntry>, domain::money::MoneyError> {
    let mut outbox = Vec::new();
    match invoice.status {
        InvoiceStatus::Paid { .. } => {
            outbox.push(OutboxEntry::invoice_event(InvoiceEvent::Finalized, invoice, "PAID", now)?);
            outbox.push(OutboxEntry::invoice_event(InvoiceEvent::Paid, invoice, "PAID", now)?);
        }
        InvoiceStatus::Draft { .. }
        | InvoiceStatus::Open
        | InvoiceStatus::Void { .. }
        | InvoiceStatus::Uncollectible { .. } => {
            outbox.push(OutboxEntry::invoice_event(InvoiceEvent::Finalized, invoice, "OPEN", now)?);
        }
    }
    if is_mailed {
        outbox.push(OutboxEntry::invoice_email(invoice, now));
    }
    Ok(outbox)
}

/// A draft under the terms of its organization and customer, rated from the usage known by now unless
/// somebody wrote its lines; any other invoice as it is.
pub(crate) async fn recomputed(
    platform: &Platform,
    organization: OrganizationId,
    invoice: &Invoice,
) -> Result<Invoice, AppError> {
    if !invoice.is_draft() {
        return Ok(invoice.clone());
    }
    let rated = match invoice.is_rated() {
        true => rated(platform, organization, invoice).await?,
        false => invoice.clone(),
    };
    let terms = terms(platform, organization, invoice.customer).await?;
    rated.with_terms(&terms).map_err(AppError::internal)
}

/// What the drafts of a customer take over.
pub(crate) async fn terms(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
) -> Result<InvoiceTerms, AppError> {
    let settings = platform.store.get_organization(organization).await?.settings;
    let customer = platform.store.get_customer(organization, customer).await?;
    Ok(settings.invoice_terms(&customer))
}

/// A subscription's draft with the lines that the usage known by now makes.
async fn rated(
    platform: &Platform,
    organization: OrganizationId,
    invoice: &Invoice,
) -> Result<Invoice, AppError> {
    let Some((subscription, _)) = invoice.billed else { return Ok(invoice.clone()) };
    let subscription = platform.store.get_subscription(organization, subscription).await?;
    let plans = plans_of(platform, organization, &subscription).await?;
    if subscription.plans().any(|plan| !plans.contains_key(&plan)) {
        return Ok(invoice.clone()); // deleted since the subscription ended: what was drafted stands
    }
    let bill = bill_of(&subscription, &plans, invoice).map_err(AppError::internal)?;
    let usage = charge_usage::of_bill(platform, organization, invoice.customer, &bill).await?;
    let mut lines = lines(&bill, invoice.currency, &usage).map_err(AppError::internal)?;
    lines.extend(late_usage::lines(platform, organization, &subscription, &plans, bill.at).await?);
    Ok(Invoice { lines, ..invoice.clone() })
}
