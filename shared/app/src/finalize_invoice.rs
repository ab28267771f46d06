//! Finalizing: a draft becomes an open invoice with a number, rated anew from the usage known by then.

use domain::{
    id::{CustomerId, InvoiceId, OrganizationId},
    invoice::{Invoice, InvoiceNumber, InvoiceStatus},
    outbox::{InvoiceEvent, OutboxEntry},
    period_close::bill_of,
    rating::lines,
};
use store::StoreError;

use crate::{AppError, Platform, charge_usage, close_period::plans_of};

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

/// Finalizes a draft whose grace period is over. Anything else is left as it is: it was done already, or
/// is not due. `true` if it was finalized now.
pub async fn finalize_due(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    id: InvoiceId,
) -> Result<bool, AppError> {
    let invoice = match platform.store.get_invoice_of(organization, customer, id).await {
        Ok(invoice) => invoice,
        Err(StoreError::NotFound(_)) => return Ok(false), // deleted since it fell due
        Err(error) => return Err(error.into()),
    };
    if invoice.finalize_at().is_none_or(|finalize_at| platform.now() < finalize_at) {
        return Ok(false);
    }
    finalize(platform, organization, "finalize-invoices", invoice, Mailing::AsSet).await.map(|_| true)
}

/// Finalizes a draft now. Returns the open invoice and what is to be told of it.
///
/// Errors: `Conflict` if it is no draft.
pub(crate) async fn finalize(
    platform: &Platform,
    organization: OrganizationId,
    by: &str,
    mut draft: Invoice,
    mailing: Mailing,
) -> Result<(Invoice, Vec<OutboxEntry>), AppError> {
    let settings = platform.store.get_organization(organization).await?.settings;
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
        let finalized = OutboxEntry::invoice_event(InvoiceEvent::Finalized, &invoice, "OPEN", now);
        let mut outbox = vec![finalized.map_err(AppError::internal)?];
        if is_mailed {
            outbox.push(OutboxEntry::invoice_email(&invoice, now));
        }
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
            // The number was taken, or the draft changed: look again.
            Err(StoreError::Conflict) => {
                draft = platform.store.get_invoice_of(organization, draft.customer, draft.id).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppError::Unavailable("too many invoices are numbered at once".into()))
}

/// A draft of a subscription as the usage known by now makes it; any other invoice as it is.
pub(crate) async fn recomputed(
    platform: &Platform,
    organization: OrganizationId,
    invoice: &Invoice,
) -> Result<Invoice, AppError> {
    let (InvoiceStatus::Draft { .. }, Some((subscription, _))) = (invoice.status, invoice.billed) else {
        return Ok(invoice.clone());
    };
    let subscription = platform.store.get_subscription(organization, subscription).await?;
    let plans = plans_of(platform, organization, &subscription).await?;
    if subscription.plans().any(|plan| !plans.contains_key(&plan)) {
        return Ok(invoice.clone()); // deleted since the subscription ended: what was drafted stands
    }
    let bill = bill_of(&subscription, &plans, invoice).map_err(AppError::internal)?;
    let usage = charge_usage::of_bill(platform, organization, invoice.customer, &bill).await?;
    let lines = lines(&bill, invoice.currency, &usage).map_err(AppError::internal)?;
    Ok(Invoice { lines, ..invoice.clone() })
}
