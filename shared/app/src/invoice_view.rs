//! An invoice with all that is shown beside it.

use chrono_tz::Tz;
use domain::{
    id::OrganizationId,
    invoice::Invoice,
    organization::{BankField, Organization},
};
use store::StoreError;

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
    /// Whose days its dates are told in: as the subscription is billed, or as its organization counts.
    pub zone: Tz,
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
    let zone = match invoice.billed {
        Some((id, _)) => match platform.store.get_subscription_of(organization, invoice.customer, id).await {
            Ok(subscription) => subscription.schedule.zone,
            Err(StoreError::NotFound(_)) => seller.settings.zone, // deleted since
            Err(error) => return Err(error.into()),
        },
        None => seller.settings.zone,
    };
    Ok(InvoiceView { invoice, seller, bank_details, buyer, zone })
}
