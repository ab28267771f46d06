//! Customers: who is billed.

use chrono::{DateTime, Utc};

use crate::{
    credit::CreditBalances,
    id::CustomerId,
    property::Properties,
    tax::{TaxExemption, Taxpayer},
};

/// A customer of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// Who it is.
    pub name: String,
    /// Where invoices go. A customer that was made by its first usage has none yet.
    pub email: Option<String>,
    /// What the organization's own systems call it; unique in the organization.
    pub external_id: Option<String>,
    /// For people to call.
    pub phone: Option<String>,
    /// Where it is billed.
    pub billing_address: Address,
    /// Its tax id, sealed: only `app` can open it.
    pub tax_id: Option<Sealed>,
    /// What was decided about its tax by hand.
    pub tax_exemption: TaxExemption,
    /// What is taken off its next invoices.
    pub credits: CreditBalances,
    /// Whatever else the organization wants to see again.
    pub metadata: Properties,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

impl Customer {
    /// What its tax depends on.
    pub fn taxpayer(&self) -> Taxpayer<'_> {
        Taxpayer {
            country: self.billing_address.country.as_deref(),
            state: self.billing_address.state.as_deref(),
            has_tax_id: self.tax_id.is_some(),
            exemption: self.tax_exemption,
        }
    }
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Street and number.
    pub line1: Option<String>,
    /// What does not fit there.
    pub line2: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State, province or region.
    pub state: Option<String>,
    /// Country, as two letters of ISO 3166.
    pub country: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
}

/// A sensitive value under encryption, as the text of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(pub String);
