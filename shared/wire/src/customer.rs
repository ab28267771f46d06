//! Bodies of customers.

use app::{
    AppError,
    customers::{CustomerDetails, OpenCustomer},
};
use domain::{customer::Address, id::OrganizationId, money::Money};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    check::Check,
    json::given,
    number::NumberOut,
    properties::{self, PropertiesIn},
    tax::TaxExemptName,
    time::TimeOut,
};

/// A customer to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCustomerBody {
    /// Who it is.
    name: String,
    /// Where invoices go.
    email: String,
    /// What your own systems call it; unique in the organization.
    external_id: Option<String>,
    /// For people to call.
    phone: Option<String>,
    /// Street and number.
    billing_address_line1: Option<String>,
    /// What does not fit there.
    billing_address_line2: Option<String>,
    /// City.
    billing_address_city: Option<String>,
    /// State, province or region.
    billing_address_state: Option<String>,
    /// Country, as two letters of ISO 3166.
    billing_address_country: Option<String>,
    /// Postal code.
    billing_address_postal_code: Option<String>,
    /// Its tax id. Kept encrypted.
    tax_id: Option<String>,
    /// What you decide about its tax; `none`, where the rules apply, if not given.
    tax_exempt: Option<TaxExemptName>,
    /// Whatever else you want to see again.
    metadata: Option<PropertiesIn>,
}

/// Changes to a customer. What is left out stays as it is; null takes away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerChangesBody {
    /// Who it is.
    name: Option<String>,
    /// Where invoices go.
    email: Option<String>,
    /// What your own systems call it; unique in the organization.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// For people to call.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    /// Street and number.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    billing_address_line1: Option<Option<String>>,
    /// What does not fit there.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    billing_address_line2: Option<Option<String>>,
    /// City.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    billing_address_city: Option<Option<String>>,
    /// State, province or region.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    billing_address_state: Option<Option<String>>,
    /// Country, as two letters of ISO 3166.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    billing_address_country: Option<Option<String>>,
    /// Postal code.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    billing_address_postal_code: Option<Option<String>>,
    /// Its tax id. Kept encrypted.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    tax_id: Option<Option<String>>,
    /// What you decide about its tax.
    tax_exempt: Option<TaxExemptName>,
    /// Whatever else you want to see again. Replaces what was there.
    metadata: Option<PropertiesIn>,
}

/// A customer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerBody {
    /// Its id.
    pub id: String,
    /// Whose customer it is.
    pub organization_id: String,
    /// Who it is.
    pub name: String,
    /// Where invoices go.
    pub email: Option<String>,
    /// What your own systems call it.
    pub external_id: Option<String>,
    /// For people to call.
    pub phone: Option<String>,
    /// Street and number.
    pub billing_address_line1: Option<String>,
    /// What does not fit there.
    pub billing_address_line2: Option<String>,
    /// City.
    pub billing_address_city: Option<String>,
    /// State, province or region.
    pub billing_address_state: Option<String>,
    /// Country, as two letters of ISO 3166.
    pub billing_address_country: Option<String>,
    /// Postal code.
    pub billing_address_postal_code: Option<String>,
    /// Its tax id.
    pub tax_id: Option<String>,
    /// What was decided about its tax.
    pub tax_exempt: TaxExemptName,
    /// What is taken off its next invoices, by currency.
    pub credit_balances: Vec<CreditBalanceBody>,
    /// Whatever else you wanted to see again.
    #[schema(value_type = PropertiesIn)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

/// What a customer has to its credit in a currency.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditBalanceBody {
    /// In which.
    pub currency: &'static str,
    /// How much.
    pub amount: NumberOut,
}

impl CreditBalanceBody {
    fn from_domain(balance: Money) -> Self {
        Self { currency: balance.currency().code(), amount: NumberOut(balance.amount()) }
    }
}

impl NewCustomerBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<CustomerDetails, AppError> {
        let details = CustomerDetails {
            name: self.name,
            email: Some(self.email),
            external_id: self.external_id,
            phone: self.phone,
            billing_address: Address {
                line1: self.billing_address_line1,
                line2: self.billing_address_line2,
                city: self.billing_address_city,
                state: self.billing_address_state,
                country: self.billing_address_country,
                postal_code: self.billing_address_postal_code,
            },
            tax_id: self.tax_id,
            tax_exemption: self.tax_exempt.map(TaxExemptName::into_domain).unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default().0,
        };
        checked(details)
    }
}

impl CustomerChangesBody {
    /// Checks what was asked for on its own, before anything is read.
    ///
    /// Errors: `Invalid` with every field at fault.
    pub fn check(self) -> Result<Self, AppError> {
        let blank = CustomerDetails {
            name: "name".to_owned(),
            email: None,
            external_id: None,
            phone: None,
            billing_address: Address::default(),
            tax_id: None,
            tax_exemption: Default::default(),
            metadata: Default::default(),
        };
        let details = checked(self.over(blank))?;
        let address = details.billing_address;
        let normalized = |given: Option<Option<String>>, value: Option<String>| given.map(|_| value);
        Ok(Self {
            name: self.name.map(|_| details.name),
            email: self.email.and(details.email),
            external_id: normalized(self.external_id, details.external_id),
            phone: normalized(self.phone, details.phone),
            billing_address_line1: normalized(self.billing_address_line1, address.line1),
            billing_address_line2: normalized(self.billing_address_line2, address.line2),
            billing_address_city: normalized(self.billing_address_city, address.city),
            billing_address_state: normalized(self.billing_address_state, address.state),
            billing_address_country: normalized(self.billing_address_country, address.country),
            billing_address_postal_code: normalized(self.billing_address_postal_code, address.postal_code),
            tax_id: normalized(self.tax_id, details.tax_id),
            tax_exempt: self.tax_exempt,
            metadata: self.metadata,
        })
    }

    /// The details of a customer with these changes.
    pub fn apply(&self, before: OpenCustomer) -> CustomerDetails {
        let customer = before.customer;
        self.over(CustomerDetails {
            name: customer.name,
            email: customer.email,
            external_id: customer.external_id,
            phone: customer.phone,
            billing_address: customer.billing_address,
            tax_id: before.tax_id,
            tax_exemption: customer.tax_exemption,
            metadata: customer.metadata,
        })
    }

    fn over(&self, before: CustomerDetails) -> CustomerDetails {
        let or = |change: &Option<Option<String>>, before: Option<String>| change.clone().unwrap_or(before);
        let address = before.billing_address;
        CustomerDetails {
            name: self.name.clone().unwrap_or(before.name),
            email: self.email.clone().or(before.email),
            external_id: or(&self.external_id, before.external_id),
            phone: or(&self.phone, before.phone),
            billing_address: Address {
                line1: or(&self.billing_address_line1, address.line1),
                line2: or(&self.billing_address_line2, address.line2),
                city: or(&self.billing_address_city, address.city),
                state: or(&self.billing_address_state, address.state),
                country: or(&self.billing_address_country, address.country),
                postal_code: or(&self.billing_address_postal_code, address.postal_code),
            },
            tax_id: or(&self.tax_id, before.tax_id),
            tax_exemption: self.tax_exempt.map_or(before.tax_exemption, TaxExemptName::into_domain),
            metadata: self.metadata.clone().map_or(before.metadata, |metadata| metadata.0),
        }
    }
}

fn checked(details: CustomerDetails) -> Result<CustomerDetails, AppError> {
    let mut check = Check::default();
    let name = check.text("name", details.name, 200);
    let email = details.email.map(|email| check.email("email", email));
    let external_id = check.optional_text("external_id", details.external_id, 255);
    let phone = check.optional_text("phone", details.phone, 50);
    let address = details.billing_address;
    let billing_address = Address {
        line1: check.optional_text("billing_address_line1", address.line1, 200),
        line2: check.optional_text("billing_address_line2", address.line2, 200),
        city: check.optional_text("billing_address_city", address.city, 100),
        state: check.optional_text("billing_address_state", address.state, 100),
        country: check.optional_country("billing_address_country", address.country),
        postal_code: check.optional_text("billing_address_postal_code", address.postal_code, 20),
    };
    let tax_id = check.optional_text("tax_id", details.tax_id, 50);
    check.finish(CustomerDetails { name, email, external_id, phone, billing_address, tax_id, ..details })
}

impl CustomerBody {
    /// The body of a customer.
    pub fn from_domain(organization: OrganizationId, open: OpenCustomer) -> Self {
        let customer = open.customer;
        let address = customer.billing_address;
        Self {
            id: customer.id.to_string(),
            organization_id: organization.to_string(),
            name: customer.name,
            email: customer.email,
            external_id: customer.external_id,
            phone: customer.phone,
            billing_address_line1: address.line1,
            billing_address_line2: address.line2,
            billing_address_city: address.city,
            billing_address_state: address.state,
            billing_address_country: address.country,
            billing_address_postal_code: address.postal_code,
            tax_id: open.tax_id,
            tax_exempt: TaxExemptName::from_domain(customer.tax_exemption),
            credit_balances: customer.credits.iter().map(CreditBalanceBody::from_domain).collect(),
            metadata: properties::to_json(&customer.metadata),
            created_at: TimeOut(customer.created_at),
            updated_at: TimeOut(customer.updated_at),
        }
    }
}
