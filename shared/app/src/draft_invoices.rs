//! Drafts of invoices: written by hand, edited, rated anew, deleted.

use auth::Actor;
use domain::{
    currency::Currency,
    customer::Customer,
    id::{CustomerId, InvoiceId},
    invoice::{Invoice, PaymentDue},
    invoice_draft::{DraftEdit, EditError, ManualLine, manual_lines},
    outbox::{InvoiceEvent, OutboxEntry},
    property::Properties,
    user::Scope,
};
use store::StoreError;

use crate::{
    AppError, Platform,
    finalize_invoice::{recomputed, recomputed_or_kept},
    outbox::relay_now,
};

/// An invoice to be written by hand.
pub struct NewInvoice {
    /// Who pays it.
    pub customer: CustomerId,
    /// What it is in.
    pub currency: Currency,
    /// What is billed.
    pub lines: Vec<ManualLine>,
    /// When it is to be paid by.
    pub payment_due: PaymentDue,
    /// A note to whoever pays it.
    pub memo: Option<String>,
    /// Whatever else is to be seen again.
    pub metadata: Properties,
}

/// Writes an invoice by hand. It stays a draft until it is finalized or mailed.
///
/// Errors: `Invalid` if its customer does not exist or has no billing country.
pub async fn create(platform: &Platform, actor: &Actor, new: NewInvoice) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let now = platform.now();
    let customer = billable_customer(platform, actor, new.customer).await?;
    let draft = Invoice {
        lines: manual_lines(new.lines, new.currency).map_err(refused)?,
        payment_due: new.payment_due,
        memo: new.memo,
        metadata: new.metadata,
        ..Invoice::draft(platform.new_id(), customer.id, new.currency, now)
    };
    let draft = under_terms(platform, actor, &customer, &draft).await?;
    let created = OutboxEntry::invoice_event(InvoiceEvent::Created, &draft, "DRAFT", now);
    let outbox = [created.map_err(AppError::internal)?];
    let change = platform.change(actor.organization, actor.name());
    platform.store.create_invoice(&change, &draft, &outbox).await?;
    relay_now(platform, actor.organization, &outbox).await;
    Ok(draft)
}

/// Edits a draft.
///
/// Errors: `Conflict` if it is none, or was changed meanwhile; `Invalid` if it cannot be as it is told.
pub async fn edit(
    platform: &Platform,
    actor: &Actor,
    id: InvoiceId,
    edit: DraftEdit,
) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let before = platform.store.get_invoice(actor.organization, id).await?;
    // Lines are given by somebody who saw them as they are now.
    let shown = match edit.lines {
        Some(_) => recomputed_or_kept(platform, actor.organization, &before).await?,
        None => before.clone(),
    };
    let edited = shown.edited(edit, platform.now()).map_err(refused)?;
    let customer = if edited.customer == before.customer {
        platform.store.get_customer(actor.organization, edited.customer).await?
    } else {
        billable_customer(platform, actor, edited.customer).await?
    };
    let edited = under_terms(platform, actor, &customer, &edited).await?;
    let change = platform.change(actor.organization, actor.name());
    platform.store.update_draft(&change, &before, &edited).await?;
    recomputed_or_kept(platform, actor.organization, &edited).await
}

/// Rates a draft anew. Lines that somebody wrote on a subscription's draft are given up for those that the
/// usage known by now makes; on an invoice that was written by hand the lines stay, and tax is computed anew.
///
/// Errors: `Conflict` if it is no draft, or was changed meanwhile.
pub async fn recompute(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<Invoice, AppError> {
    actor.require(Scope::BillingWrite)?;
    let draft = get_draft(platform, actor, id).await?;
    let unedited = Invoice { has_edited_lines: false, updated_at: platform.now(), ..draft };
    let rated = recomputed(platform, actor.organization, &unedited).await?;
    let change = platform.change(actor.organization, actor.name());
    platform.store.update_invoice(&change, "recompute invoice", &rated, &[]).await?;
    Ok(rated)
}

/// Deletes a draft. Errors: `Conflict` if it is none, or was changed meanwhile.
pub async fn delete(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let draft = get_draft(platform, actor, id).await?;
    let change = platform.change(actor.organization, actor.name());
    Ok(platform.store.delete_draft(&change, "delete invoice", &draft).await?)
}

async fn get_draft(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<Invoice, AppError> {
    let invoice = platform.store.get_invoice(actor.organization, id).await?;
    if invoice.is_draft() { Ok(invoice) } else { Err(refused(EditError::NotDraft(invoice.status.name()))) }
}

/// A customer that an invoice can be written to.
async fn billable_customer(platform: &Platform, actor: &Actor, id: CustomerId) -> Result<Customer, AppError> {
    match platform.store.get_customer(actor.organization, id).await {
        Ok(customer) if customer.billing_address.country.is_some() => Ok(customer),
        Ok(_) => Err(AppError::invalid(
            "customer_id",
            "names a customer without `billing_address_country`, which decides on its tax",
        )),
        Err(StoreError::NotFound(_)) => Err(AppError::invalid("customer_id", "names no customer")),
        Err(error) => Err(error.into()),
    }
}

async fn under_terms(
    platform: &Platform,
    actor: &Actor,
    customer: &Customer,
    draft: &Invoice,
) -> Result<Invoice, AppError> {
    let settings = platform.store.get_organization(actor.organization).await?.settings;
    let draft = draft.with_terms(&settings.invoice_terms(customer));
    let draft = draft.and_then(|draft| draft.with_credit(&customer.credits));
    draft.map_err(|_| refused(EditError::Total))
}

fn refused(error: EditError) -> AppError {
    let detail = error.to_string();
    match error {
        EditError::NotDraft(_) => AppError::conflict("invoice_not_draft", detail),
        EditError::SubscriptionCustomer => AppError::invalid("customer_id", detail),
        EditError::SubscriptionCurrency | EditError::LinesMissing => AppError::invalid("currency", detail),
        EditError::NoQuantity(index) => AppError::invalid(format!("line_items[{index}].quantity"), detail),
        EditError::NoPrice(index) | EditError::NegativePrice(index) | EditError::Line(index) => {
            AppError::invalid(format!("line_items[{index}].unit_amount"), detail)
        }
        EditError::Total => AppError::invalid("line_items", detail),
    }
}
