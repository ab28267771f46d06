//! Customers.

use auth::Actor;
use domain::{
    credit::CreditBalances,
    customer::{Address, Customer, Sealed},
    id::{CustomerId, OrganizationId},
    property::Properties,
    tax::TaxExemption,
    user::Scope,
};
use store::{InvoiceFilter, Page, PageRequest, Position, StoreError};

pub use store::CustomerFilter;

use crate::{AppError, Platform};

/// What is said of a customer when it is made or changed as a whole.
pub struct CustomerDetails {
    /// Who it is.
    pub name: String,
    /// Where invoices go.
    pub email: Option<String>,
    /// What the organization's own systems call it.
    pub external_id: Option<String>,
    /// For people to call.
    pub phone: Option<String>,
    /// Where it is billed.
    pub billing_address: Address,
    /// Its tax id, in the clear.
    pub tax_id: Option<String>,
    /// What was decided about its tax by hand.
    pub tax_exemption: TaxExemption,
    /// Whatever else.
    pub metadata: Properties,
}

/// A customer with its tax id in the clear.
pub struct OpenCustomer {
    /// The customer.
    pub customer: Customer,
    /// Its tax id.
    pub tax_id: Option<String>,
}

/// Makes a customer. Errors: `Conflict` if its external id is taken.
pub async fn create(
    platform: &Platform,
    actor: &Actor,
    details: CustomerDetails,
) -> Result<OpenCustomer, AppError> {
    actor.require(Scope::BillingWrite)?;
    let customer = with_details(platform, actor.organization, blank(platform), details).await?;
    let change = platform.change(actor.organization, actor.name());
    platform.store.create_customer(&change, &customer.customer).await?;
    Ok(customer)
}

/// The id of the customer that the organization calls `external_id`, made if there is none: usage is never
/// lost to a missing record.
pub(crate) async fn find_or_create(
    platform: &Platform,
    actor: &Actor,
    external_id: &str,
) -> Result<CustomerId, AppError> {
    let organization = actor.organization;
    if let Some(id) = platform.store.find_customer_by_external_id(organization, external_id).await? {
        return Ok(id);
    }
    let settings = platform.store.get_organization(organization).await?.settings;
    if !settings.creates_customers_on_track {
        return Err(AppError::NotFound("customer"));
    }
    let customer = Customer {
        name: external_id.to_owned(),
        external_id: Some(external_id.to_owned()),
        ..blank(platform)
    };
    match platform.store.create_customer(&platform.change(organization, actor.name()), &customer).await {
        Ok(()) => Ok(customer.id),
        // Another event of the same customer came first.
        Err(StoreError::Taken { .. } | StoreError::Conflict) => {
            let found = platform.store.find_customer_by_external_id(organization, external_id).await?;
            found.ok_or_else(|| AppError::Unavailable("the customer is being made".into()))
        }
        Err(error) => Err(error.into()),
    }
}

/// A new customer of whom nothing is known yet.
fn blank(platform: &Platform) -> Customer {
    let now = platform.now();
    Customer {
        id: platform.new_id(),
        name: String::new(),
        email: None,
        external_id: None,
        phone: None,
        billing_address: Address::default(),
        tax_id: None,
        tax_exemption: TaxExemption::None,
        credits: CreditBalances::default(),
        metadata: Properties::new(),
        created_at: now,
        updated_at: now,
        version: 0,
    }
}

/// A customer.
pub async fn get(platform: &Platform, actor: &Actor, id: CustomerId) -> Result<OpenCustomer, AppError> {
    actor.require(Scope::BillingRead)?;
    let customer = platform.store.get_customer(actor.organization, id).await?;
    open(platform, actor.organization, customer).await
}

/// The organization's customers that fit `filter`.
pub async fn list(
    platform: &Platform,
    actor: &Actor,
    filter: &CustomerFilter,
    page: &PageRequest,
) -> Result<Page<OpenCustomer>, AppError> {
    actor.require(Scope::BillingRead)?;
    let found = platform.store.list_customers(actor.organization, filter, page).await?;
    let opened = found.rows.into_iter().map(|customer| open(platform, actor.organization, customer));
    let rows = futures::future::try_join_all(opened).await?;
    Ok(Page { rows, total: found.total, next_cursor: found.next_cursor })
}

/// Changes a customer as a whole. Errors: `Conflict` if its external id is taken.
pub async fn update(
    platform: &Platform,
    actor: &Actor,
    id: CustomerId,
    change: impl FnOnce(OpenCustomer) -> CustomerDetails,
) -> Result<OpenCustomer, AppError> {
    actor.require(Scope::BillingWrite)?;
    let before = platform.store.get_customer(actor.organization, id).await?;
    let details = change(open(platform, actor.organization, before.clone()).await?);
    let after = Customer { updated_at: platform.now(), ..before.clone() };
    let after = with_details(platform, actor.organization, after, details).await?;
    let change = platform.change(actor.organization, actor.name());
    platform.store.update_customer(&change, &before, &after.customer).await?;
    Ok(after)
}

/// Deletes a customer. Errors: `Conflict` if it has subscriptions or invoices.
pub async fn delete(platform: &Platform, actor: &Actor, id: CustomerId) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let organization = actor.organization;
    let customer = platform.store.get_customer(organization, id).await?;
    let one = PageRequest { position: Position::Number(1), size: 1 };
    let invoices = platform
        .store
        .list_invoices(organization, &InvoiceFilter { customer: Some(id), ..InvoiceFilter::default() }, &one)
        .await?;
    let subscriptions = platform.store.list_subscriptions_of(organization, id).await?;
    if invoices.total > 0 || !subscriptions.is_empty() {
        return Err(AppError::conflict("customer_in_use", "the customer has subscriptions or invoices"));
    }
    Ok(platform.store.delete_customer(&platform.change(organization, actor.name()), &customer).await?)
}

pub(crate) async fn open(
    platform: &Platform,
    organization: OrganizationId,
    customer: Customer,
) -> Result<OpenCustomer, AppError> {
    let tax_id = open_tax_id(platform, organization, customer.id, customer.tax_id.as_ref()).await?;
    Ok(OpenCustomer { customer, tax_id })
}

/// A tax id that was sealed for a customer, in the clear.
pub(crate) async fn open_tax_id(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    sealed: Option<&Sealed>,
) -> Result<Option<String>, AppError> {
    let Some(sealed) = sealed else { return Ok(None) };
    let key = platform.field_key(organization).await?;
    key.open(&tax_id_place(customer), sealed).map(Some).map_err(AppError::internal)
}

async fn with_details(
    platform: &Platform,
    organization: OrganizationId,
    customer: Customer,
    details: CustomerDetails,
) -> Result<OpenCustomer, AppError> {
    let sealed = match &details.tax_id {
        None => None,
        Some(tax_id) => {
            Some(platform.field_key(organization).await?.seal(&tax_id_place(customer.id), tax_id))
        }
    };
    let customer = Customer {
        name: details.name,
        email: details.email,
        external_id: details.external_id,
        phone: details.phone,
        billing_address: details.billing_address,
        tax_id: sealed,
        tax_exemption: details.tax_exemption,
        metadata: details.metadata,
        ..customer
    };
    Ok(OpenCustomer { customer, tax_id: details.tax_id })
}

fn tax_id_place(id: CustomerId) -> String {
    format!("customer/{id}/tax_id")
}
