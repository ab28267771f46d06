//! The body of an invoice as whoever has its public token may see it.

use app::{AppError, InvoiceView};
use domain::invoice_parties::InvoiceParties;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    invoice::{InvoiceBody, InvoiceStatusName, LineItemBody},
    number::NumberOut,
    organization::{AddressBody, BankDetailsBody, BrandingBody},
    tax::{TaxLineBody, TaxTreatmentName},
    time::TimeOut,
};

/// An invoice as its customer sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicInvoiceBody {
    /// Its id.
    pub id: String,
    /// Its number, given when it is finalized.
    pub invoice_number: Option<String>,
    /// Where it is in its life.
    pub status: InvoiceStatusName,
    /// What it is in.
    pub currency: String,
    /// The sum of the lines, without tax.
    pub subtotal: NumberOut,
    /// Tax on it.
    pub tax: NumberOut,
    /// Each rate of tax and what it comes to.
    pub taxes: Vec<TaxLineBody>,
    /// How it is taxed, and why.
    pub tax_treatment: TaxTreatmentName,
    /// Whether the amounts of the lines contain the tax.
    pub prices_include_tax: bool,
    /// Subtotal and tax.
    pub total: NumberOut,
    /// What is taken off that of what the customer has to its credit.
    pub credits_applied: NumberOut,
    /// What is still to be paid.
    pub amount_due: NumberOut,
    /// What was paid.
    pub amount_paid: NumberOut,
    /// Its date.
    pub issue_date: TimeOut,
    /// When it has to be paid.
    pub due_date: TimeOut,
    /// When it was paid.
    pub paid_at: Option<TimeOut>,
    /// The start of the period it bills.
    pub period_start: Option<TimeOut>,
    /// The first instant after that period.
    pub period_end: Option<TimeOut>,
    /// What is billed.
    pub line_items: Vec<LineItemBody>,
    /// A note to whoever pays it.
    pub memo: Option<String>,
    /// The note on every invoice of the organization.
    pub notes: Option<String>,
    /// Who is to be paid.
    pub organization: PublicOrganizationBody,
    /// How the organization looks.
    pub branding: BrandingBody,
    /// Who pays.
    pub customer: PublicCustomerBody,
    /// Where to transfer the amount to, until it is paid or void.
    pub bank_details: BankDetailsBody,
    /// Where it can be paid, once a payment provider is connected.
    pub payment_link: Option<String>,
}

/// Who is to be paid.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicOrganizationBody {
    /// Its name.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Where it has its seat.
    pub address: AddressBody,
    /// Its number for VAT, GST or the like.
    pub tax_id: Option<String>,
}

/// Who pays.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicCustomerBody {
    /// Its name.
    pub name: String,
    /// Where invoices go.
    pub email: Option<String>,
    /// Where it is billed.
    pub address: AddressBody,
    /// Its number for VAT, GST or the like.
    pub tax_id: Option<String>,
}

impl PublicInvoiceBody {
    /// The body of an invoice. Errors: if it does not add up, which no stored one fails to.
    pub fn from_domain(view: InvoiceView) -> Result<Self, AppError> {
        let invoice = InvoiceBody::from_domain(view.invoice)?;
        let InvoiceParties { seller, buyer, .. } = view.parties;
        Ok(Self {
            id: invoice.id,
            invoice_number: invoice.invoice_number,
            status: invoice.status,
            currency: invoice.currency,
            subtotal: invoice.subtotal,
            tax: invoice.tax,
            taxes: invoice.taxes,
            tax_treatment: invoice.tax_treatment,
            prices_include_tax: invoice.prices_include_tax,
            total: invoice.total,
            credits_applied: invoice.credits_applied,
            amount_due: invoice.amount_due,
            amount_paid: invoice.amount_paid,
            issue_date: invoice.issue_date,
            due_date: invoice.due_date,
            paid_at: invoice.paid_at,
            period_start: invoice.period_start,
            period_end: invoice.period_end,
            line_items: invoice.line_items,
            memo: invoice.memo,
            notes: seller.notes,
            organization: PublicOrganizationBody {
                name: seller.name,
                email: seller.email,
                address: AddressBody::from_domain(seller.address),
                tax_id: seller.tax_id,
            },
            branding: BrandingBody::from_domain(view.organization.settings.branding),
            customer: PublicCustomerBody {
                name: buyer.name,
                email: buyer.email,
                address: AddressBody::from_domain(buyer.address),
                tax_id: view.buyer_tax_id,
            },
            bank_details: BankDetailsBody::from_domain(view.bank_details),
            payment_link: None,
        })
    }
}
