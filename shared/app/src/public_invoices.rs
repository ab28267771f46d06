//! Invoices as their customers see them, without signing in: whoever has the token may look.

use auth::{Actor, hash_public_token, new_public_token};
use document::page;
use domain::{id::InvoiceId, user::Scope};

use crate::{AppError, InvoiceView, Platform, document, invoice_view::view};

/// Gives an invoice a new public token, and takes away the one it had. The token is never shown again.
///
/// Errors: `Conflict` if the invoice is a draft, or was changed meanwhile.
pub async fn generate_token(platform: &Platform, actor: &Actor, id: InvoiceId) -> Result<String, AppError> {
    actor.require(Scope::BillingWrite)?;
    let invoice = platform.store.get_invoice(actor.organization, id).await?;
    if invoice.is_draft() {
        let detail = "a draft may still change, and has no page yet: finalize it first";
        return Err(AppError::conflict("invoice_not_final", detail));
    }
    let secret = new_public_token(platform.entropy());
    let change = platform.change(actor.organization, actor.name());
    platform.store.put_public_token(&change, &invoice, &secret.hash).await?;
    Ok(secret.text)
}

/// Where the page of a token is.
pub fn page_address(platform: &Platform, token: &str) -> String {
    format!("{}/p/{token}", platform.settings.public_url)
}

/// The invoice that a token leads to. Errors: `NotFound` for one that leads nowhere, no longer, or to a draft.
pub async fn get(platform: &Platform, token: &str) -> Result<InvoiceView, AppError> {
    let absent = || AppError::NotFound("invoice");
    let hash = hash_public_token(token).ok_or_else(absent)?;
    let found = platform.store.find_public_invoice(&hash).await?;
    let (organization, invoice) = found.filter(|(_, invoice)| !invoice.is_draft()).ok_or_else(absent)?;
    view(platform, organization, invoice).await
}

/// The page of the invoice that a token leads to, as HTML. Errors: as for [`get`].
pub async fn get_page(platform: &Platform, token: &str) -> Result<String, AppError> {
    page(&document(&get(platform, token).await?)?).map_err(AppError::internal)
}
