//! Who an invoice is from and whom it is to, as it says.

use chrono_tz::Tz;

use crate::{
    customer::{Address, Customer, Sealed},
    organization::Organization,
};

/// What an invoice says of its two parties, and in whose days it tells its dates. A draft follows them; since an
/// invoice was finalized it says what they were then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceParties {
    /// Who is to be paid.
    pub seller: Seller,
    /// Who pays.
    pub buyer: Buyer,
    /// Whose days its dates are told in: as the subscription is billed, or as its organization counts.
    pub zone: Tz,
}

/// Who is to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seller {
    /// Its name.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Where it has its seat.
    pub address: Address,
    /// Its number for VAT, GST or the like.
    pub tax_id: Option<String>,
    /// Its note on every invoice.
    pub notes: Option<String>,
}

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buyer {
    /// Its name.
    pub name: String,
    /// Where invoices go.
    pub email: Option<String>,
    /// Where it is billed.
    pub address: Address,
    /// Its tax id, as it is sealed for the customer: only `app` can open it.
    pub tax_id: Option<Sealed>,
}

impl InvoiceParties {
    /// What an invoice says of an organization and its customer as they are.
    pub fn of(organization: &Organization, customer: &Customer, zone: Tz) -> Self {
        let settings = &organization.settings;
        Self {
            seller: Seller {
                name: organization.name.clone(),
                email: settings.email.clone(),
                address: settings.address.clone(),
                tax_id: settings.tax_id.clone(),
                notes: settings.invoice_notes.clone(),
            },
            buyer: Buyer {
                name: customer.name.clone(),
                email: customer.email.clone(),
                address: customer.billing_address.clone(),
                tax_id: customer.tax_id.clone(),
            },
            zone,
        }
    }
}
