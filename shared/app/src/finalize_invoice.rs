//! Finalizing: a draft becomes an open invoice with a number, rated anew from the usage known by then.

use chrono_tz::Tz;
use domain::{
    customer::Customer,
    id::{CustomerId, InvoiceId, OrganizationId},
    invoice::{Invoice, InvoiceNumber, InvoiceStatus},
    invoice_parties::InvoiceParties,
    money::Money,
    organization::{Organization, Settings, ZeroInvoices},
    outbox::{InvoiceEvent, OutboxEntry},
    period_close::bill_of,
    rating::lines,
    subscription::{PlansById, Subscription},
    timeline::Bill,
};
use store::StoreError;

use crate::{
    AppError, Platform, charge_usage,
    close_period::plans_of,
    invoice_view,
    late_usage::{self, OwnLines},
};

/// How often a number is tried for that others take at the same time.
const ATTEMPTS_MAX: u32 = 50;

/// What a finalized invoice is sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailing {
    /// By mail, if the organization wants that and it does not come to nothing.
    AsSet,
    /// Not at all.
    No,
    /// By mail, whatever the organization's setting is.
    Yes,
}

/// A draft whose grace period is over, rated from the usage known by now.
pub(crate) struct DueDraft {
    draft: Invoice,
    rated: Rated,
    seller: Organization,
}

/// A draft with the lines that the usage known by now makes.
pub(crate) struct Rated {
    invoice: Invoice,
    /// The time zone of the subscription it was rated from.
    zone: Option<Tz>,
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
        let Some(due) = rate_due(platform, organization, customer, id).await? else { return Ok(false) };
        match settle_due(platform, organization, due).await {
            Err(error) if error.is_changed_meanwhile() => {} // somebody edited it: look again
            other => return other,
        }
    }
    Err(AppError::Unavailable("the draft is changed again and again".into()))
}

/// The first half of [`finalize_due`], which takes no number yet. `None` if there is nothing to be done, or the
/// draft cannot be computed.
pub(crate) async fn rate_due(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    id: InvoiceId,
) -> Result<Option<DueDraft>, AppError> {
    let draft = match platform.store.get_invoice_of(organization, customer, id).await {
        Ok(invoice) => invoice,
        Err(StoreError::NotFound(_)) => return Ok(None), // deleted since it fell due
        Err(error) => return Err(error.into()),
    };
    if draft.finalize_at().is_none_or(|finalize_at| platform.now() < finalize_at) {
        return Ok(None);
    }
    let seller = platform.store.get_organization(organization).await?;
    match recomputed_under(platform, &seller, &draft).await {
        Ok(rated) => Ok(Some(DueDraft { draft, rated, seller })),
        Err(error) if error.is_cannot_be_billed() => {
            put_off(platform, organization, &draft, error).await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Puts off a draft that cannot be computed, and says so.
///
/// Errors: `Conflict` if the draft was changed since it was read.
async fn put_off(
    platform: &Platform,
    organization: OrganizationId,
    draft: &Invoice,
    error: AppError,
) -> Result<(), AppError> {
    let Some((_, period)) = draft.billed else { return Err(error) };
    let next = draft.put_off(period, error.to_string(), platform.now());
    let (next, told) = next.map_err(AppError::internal)?;
    let outbox = Vec::from_iter(told);
    let change = platform.change(organization, "finalize-invoices");
    platform.store.update_invoice(&change, "put off invoice", &next, &outbox).await?;
    if !outbox.is_empty() {
        let id = draft.id;
        tracing::error!(organization.id = %organization, invoice.id = %id, error = %error, "{id} cannot be finalized");
    }
    Ok(())
}

/// The second half of [`finalize_due`].
///
/// Errors: `Conflict` if the draft was changed since it was read.
pub(crate) async fn settle_due(
    platform: &Platform,
    organization: OrganizationId,
    DueDraft { draft, rated, seller }: DueDraft,
) -> Result<bool, AppError> {
    let by = "finalize-invoices";
    let is_skipped = match seller.settings.zero_invoices {
        ZeroInvoices::Create => false,
        ZeroInvoices::Skip => rated.invoice.total().map(Money::is_zero).map_err(AppError::internal)?,
    };
    if is_skipped {
        let change = platform.change(organization, by);
        platform.store.delete_draft(&change, "skip empty invoice", &draft).await?;
        return Ok(false);
    }
    finalize(platform, &seller, by, rated, Mailing::AsSet).await?;
    Ok(true)
}

/// Finalizes a draft now, with the lines it has: [`recomputed`] gives it those. What the customer has to its credit is
/// taken off; what is less than nothing is added to it. From now on the invoice says who both parties are at this moment.
/// Returns the open invoice and what is to be told of it.
///
/// Errors: `Conflict` if it is no draft, or was changed since it was read.
pub(crate) async fn finalize(
    platform: &Platform,
    seller: &Organization,
    by: &str,
    Rated { invoice: rated, zone }: Rated,
    mailing: Mailing,
) -> Result<(Invoice, Vec<OutboxEntry>), AppError> {
    let (organization, settings) = (seller.id, &seller.settings);
    let zone = match zone {
        Some(zone) => zone,
        None => invoice_view::zone(platform, seller, &rated).await?,
    };
    let is_mailed = match mailing {
        // Of nothing there is nothing to be told.
        Mailing::AsSet => settings.emails_invoices && !rated.total().map_err(AppError::internal)?.is_zero(),
        Mailing::No => false,
        Mailing::Yes => true,
    };
    for _ in 0..ATTEMPTS_MAX {
        let now = platform.now();
        let local = now.with_timezone(&zone); // as the invoice says when it was issued
        let year = InvoiceNumber::next(0, local).year;
        let last = platform.store.last_invoice_sequence(organization, year).await?;
        let customer = platform.store.get_customer(organization, rated.customer).await?;
        let invoice = rated
            .clone()
            .with_terms(&settings.invoice_terms(&customer)) // of the customer that it will say it is to
            .and_then(|rated| rated.with_credit(&customer.credits))
            .map_err(AppError::cannot_be_billed)?
            .finalized(InvoiceNumber::next(last, local), now, settings.payment_terms_days)
            .map_err(|error| AppError::conflict("invalid_transition", error.to_string()))?;
        let invoice = Invoice { parties: Some(InvoiceParties::of(seller, &customer, zone)), ..invoice };
        let credits = invoice.credit_left(&customer.credits).map_err(AppError::cannot_be_billed)?;
        let credited = (credits != customer.credits).then_some(Customer { credits, ..customer });
        let outbox = told_of(&invoice, is_mailed, now).map_err(AppError::internal)?;
        let change = platform.change(organization, by);
        match platform.store.commit_finalized(&change, &invoice, credited.as_ref(), &outbox).await {
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
                let stored = platform.store.get_invoice_of(organization, rated.customer, rated.id).await?;
                if stored.version != rated.version {
                    return Err(StoreError::Conflict.into());
                }
                // The number was taken, or the credit changed: try again.
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
///
/// Errors: `cannot_be_billed` if its lines or its total cannot be computed exactly.
pub(crate) async fn recomputed(
    platform: &Platform,
    organization: OrganizationId,
    invoice: &Invoice,
) -> Result<Invoice, AppError> {
    if !invoice.is_draft() {
        return Ok(invoice.clone());
    }
    let seller = platform.store.get_organization(organization).await?;
    Ok(recomputed_under(platform, &seller, invoice).await?.invoice)
}

/// A draft as [`recomputed`], or as it was drafted where it cannot be computed.
pub(crate) async fn recomputed_or_kept(
    platform: &Platform,
    organization: OrganizationId,
    invoice: &Invoice,
) -> Result<Invoice, AppError> {
    match recomputed(platform, organization, invoice).await {
        Err(error) if error.is_cannot_be_billed() => Ok(invoice.clone()),
        other => other,
    }
}

/// A draft, as [`recomputed`], of an organization that is known.
pub(crate) async fn recomputed_under(
    platform: &Platform,
    seller: &Organization,
    draft: &Invoice,
) -> Result<Rated, AppError> {
    let Rated { invoice, zone } = match draft.is_rated() {
        true => rated(platform, (seller.id, &seller.settings), draft).await?,
        false => Rated { invoice: draft.clone(), zone: None },
    };
    let customer = platform.store.get_customer(seller.id, draft.customer).await?;
    let invoice = invoice
        .with_terms(&seller.settings.invoice_terms(&customer))
        .and_then(|draft| draft.with_credit(&customer.credits))
        .map_err(AppError::cannot_be_billed)?;
    Ok(Rated { invoice, zone })
}

/// A subscription's draft with the lines that the usage known by now makes.
async fn rated(
    platform: &Platform,
    (organization, settings): (OrganizationId, &Settings),
    invoice: &Invoice,
) -> Result<Rated, AppError> {
    let Some((subscription, _)) = invoice.billed else {
        return Ok(Rated { invoice: invoice.clone(), zone: None });
    };
    let subscription =
        platform.store.get_subscription_of(organization, invoice.customer, subscription).await?;
    let zone = Some(subscription.schedule.zone);
    let plans = plans_of(platform, organization, &subscription).await?;
    if subscription.plans().any(|plan| !plans.contains_key(&plan)) {
        // Deleted since the subscription ended: what was drafted stands.
        return Ok(Rated { invoice: invoice.clone(), zone });
    }
    let bill = bill_of(&subscription, &plans, invoice).map_err(AppError::internal)?;
    let of = (&subscription, &plans);
    let invoice = rate(platform, (organization, settings), of, &bill, invoice.clone()).await?;
    Ok(Rated { invoice, zone })
}

/// The draft of a bill with the lines that the usage known by now makes.
///
/// Errors: `cannot_be_billed` if they cannot be computed exactly.
pub(crate) async fn rate(
    platform: &Platform,
    (organization, settings): (OrganizationId, &Settings),
    (subscription, plans): (&Subscription, &PlansById),
    bill: &Bill,
    draft: Invoice,
) -> Result<Invoice, AppError> {
    let usage = charge_usage::of_bill(platform, organization, draft.customer, bill).await?;
    let lines = lines(bill, draft.currency, &usage.charges).map_err(AppError::cannot_be_billed)?;
    let draft = Invoice { lines, ..draft };
    let own = OwnLines { bill, draft: &draft, usage: &usage };
    let of = (subscription, plans);
    let late = late_usage::lines(platform, (organization, settings), of, bill.at, Some(own)).await?;
    let lines = draft.lines.clone();
    Ok(draft.with_lines(lines, &usage, late))
}
