//! An invoice with all that is shown beside it.

use domain::{
    id::OrganizationId,
    invoice::Invoice,
    organization::{BankField, Organization},
};

use crate::{
    AppError, Platform,
    customers::{self, OpenCustomer},
    settings,
};

/// An invoice, who is to be paid and how, and who pays.
pub struct InvoiceView {
    /// The invoice.
    pub invoice: Invoice,
    /// Who is to be paid.
    pub seller: Organization,
    /// Where to, by transfer.
    pub bank_details: Vec<(BankField, String)>,
    /// Who pays.
    pub buyer: OpenCustomer,
}

/// An invoice as it is, with all that is shown beside it.
pub(crate) async fn view(
    platform: &Platform,
    organization: OrganizationId,
    invoice: Invoice,
) -> Result<InvoiceView, AppError> {
    let seller = platform.store.get_organization(organization).await?;
    let bank_details = settings::open_bank_details(platform, &seller).await?;
    let customer = platform.store.get_customer(organization, invoice.customer).await?;
    let buyer = customers::open(platform, organization, customer).await?;
    Ok(InvoiceView { invoice, seller, bank_details, buyer })
}
