//! Organizations: who bills with us.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{
    customer::{Address, Customer, Sealed},
    id::OrganizationId,
    invoice_draft::InvoiceTerms,
    proration::ProrationPolicy,
    tax::TaxPolicy,
};

/// An organization and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, as on its invoices.
    pub name: String,
    /// What it has decided.
    pub settings: Settings,
    /// When it signed up.
    pub created_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// What an organization decides about how it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether usage of an unknown external id makes the customer. Otherwise it is refused.
    pub creates_customers_on_track: bool,
    /// Whether an invoice is mailed when its grace period ends.
    pub emails_invoices: bool,
    /// Days from finalizing an invoice to its due date.
    pub payment_terms_days: u32,
    /// Where replies to its e-mails go.
    pub email: Option<String>,
    /// Where it has its seat. The country decides on tax.
    pub address: Address,
    /// Its number for VAT, GST or the like, as on its invoices.
    pub tax_id: Option<String>,
    /// How its customers are taxed.
    pub tax: TaxPolicy,
    /// What becomes of a subscription's draft that comes to nothing.
    pub zero_invoices: ZeroInvoices,
    /// What becomes of usage that comes after the invoice of its period was final.
    pub late_usage: LateUsage,
    /// Whose midnights and months count, where a subscription does not say.
    pub zone: Tz,
    /// How parts of intervals are billed, where a subscription does not say.
    pub proration: ProrationPolicy,
    /// A note on every invoice.
    pub invoice_notes: Option<String>,
    /// How it looks.
    pub branding: Branding,
    /// Where it is paid by transfer, sealed: only `app` can open it.
    pub bank_details: BTreeMap<BankField, Sealed>,
}

/// What becomes of a subscription's draft that comes to nothing when its grace period ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroInvoices {
    /// It is finalized like any other, and is paid at once.
    #[default]
    Create,
    /// It is deleted, and takes no number. Finalizing it by hand still makes it.
    Skip,
}

/// What becomes of usage that comes after the invoice of its period was final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateUsage {
    /// It is billed on the subscription's next invoice, as a line that names its period.
    #[default]
    BillNext,
    /// It is counted and reported, and never billed.
    Ignore,
}

/// How an organization looks to its customers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// Where its logo is.
    pub logo_url: Option<String>,
    /// Its color, as `#0f5f5c`.
    pub color: Option<String>,
    /// Its website.
    pub website: Option<String>,
}

/// A part of what a bank has to know for a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BankField {
    /// Whose account it is.
    AccountHolder,
    /// The bank.
    BankName,
    /// The number of the account.
    AccountNumber,
    /// The international number of the account.
    Iban,
    /// The code of the bank for transfers from abroad.
    SwiftCode,
    /// The code of the bank in the United States.
    RoutingNumber,
    /// The code of the bank in the United Kingdom.
    SortCode,
    /// The code of the bank in India.
    IfscCode,
    /// Whatever else helps.
    Instructions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            creates_customers_on_track: true,
            emails_invoices: true,
            payment_terms_days: 30,
            email: None,
            address: Address::default(),
            tax_id: None,
            tax: TaxPolicy { applies_reverse_charge: true, ..TaxPolicy::default() },
            zero_invoices: ZeroInvoices::default(),
            late_usage: LateUsage::default(),
            zone: Tz::UTC,
            proration: ProrationPolicy::DEFAULT,
            invoice_notes: None,
            branding: Branding::default(),
            bank_details: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// What a customer's drafts take over.
    pub fn invoice_terms(&self, customer: &Customer) -> InvoiceTerms {
        InvoiceTerms {
            tax: self.tax.terms(self.address.country.as_deref(), customer.taxpayer()),
            payment_terms_days: self.payment_terms_days,
        }
    }
}

impl BankField {
    /// All of them, in the order they are shown in.
    pub const ALL: [Self; 9] = [
        Self::AccountHolder,
        Self::BankName,
        Self::AccountNumber,
        Self::Iban,
        Self::SwiftCode,
        Self::RoutingNumber,
        Self::SortCode,
        Self::IfscCode,
        Self::Instructions,
    ];

    /// What programs call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccountHolder => "account_holder",
            Self::BankName => "bank_name",
            Self::AccountNumber => "account_number",
            Self::Iban => "iban",
            Self::SwiftCode => "swift_code",
            Self::RoutingNumber => "routing_number",
            Self::SortCode => "sort_code",
            Self::IfscCode => "ifsc_code",
            Self::Instructions => "instructions",
        }
    }

    /// What people call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::AccountHolder => "Account holder",
            Self::BankName => "Bank",
            Self::AccountNumber => "Account number",
            Self::Iban => "IBAN",
            Self::SwiftCode => "SWIFT/BIC",
            Self::RoutingNumber => "Routing number",
            Self::SortCode => "Sort code",
            Self::IfscCode => "IFSC",
            Self::Instructions => "Instructions",
        }
    }
}
