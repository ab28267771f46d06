//! An invoice with all that is shown beside it.

use chrono_tz::Tz;
use domain::{
    id::OrganizationId,
    invoice::{Invoice, InvoiceStatus},
    invoice_parties::InvoiceParties,
    organization::{BankField, Organization},
};
use store::if_there;

use crate::{AppError, Platform, customers, settings};

/// An invoice, who is to be paid and how, and who pays.
pub struct InvoiceView {
    /// The invoice.
    pub invoice: Invoice,
    /// Who is to be paid and who pays: as they were when it was finalized, or as a draft finds them.
    pub parties: InvoiceParties,
    /// The tax id of who pays, in the clear.
    pub buyer_tax_id: Option<String>,
    /// Who is to be paid, as it is now.
    pub organization: Organization,
    /// Where to, by transfer, until it is paid or void.
    pub bank_details: Vec<(BankField, String)>,
}

/// An invoice with all that is shown beside it. What one says that is finalized depends on nothing that may
/// change, but for where it is paid and how its organization looks.
pub(crate) async fn view(
    platform: &Platform,
    organization: OrganizationId,
    invoice: Invoice,
) -> Result<InvoiceView, AppError> {
    let organization = platform.store.get_organization(organization).await?;
    let bank_details = match invoice.status {
        InvoiceStatus::Paid { .. } | InvoiceStatus::Void { .. } => Vec::new(), // there is nothing to transfer
        InvoiceStatus::Draft { .. } | InvoiceStatus::Open | InvoiceStatus::Uncollectible { .. } => {
            settings::open_bank_details(platform, &organization).await?
        }
    };
    let parties = match &invoice.parties {
        Some(parties) => parties.clone(),
        None => {
            let customer = platform.store.get_customer(organization.id, invoice.customer).await?;
            InvoiceParties::of(&organization, &customer, zone(platform, &organization, &invoice).await?)
        }
    };
    let tax_id = parties.buyer.tax_id.as_ref();
    let buyer_tax_id = customers::open_tax_id(platform, organization.id, invoice.customer, tax_id).await?;
    Ok(InvoiceView { invoice, parties, buyer_tax_id, organization, bank_details })
}

/// Whose days the dates of a draft are told in.
pub(crate) async fn zone(
    platform: &Platform,
    organization: &Organization,
    invoice: &Invoice,
) -> Result<Tz, AppError> {
    let Some((id, _)) = invoice.billed else { return Ok(organization.settings.zone) };
    // It may have been deleted since.
    let billed = if_there(platform.store.get_subscription_of(organization.id, invoice.customer, id).await)?;
    Ok(billed.map_or(organization.settings.zone, |subscription| subscription.schedule.zone))
}
