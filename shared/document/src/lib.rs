//! Invoices as people get them: a typeset PDF, a letter in HTML and in text.
//!
//! Pure: words and figures in, bytes out. The PDF is set by Typst as a library, since it breaks tables over
//! pages, aligns figures and embeds fonts as a printer would, from a template that anyone can read, without
//! a browser or a process beside the function. What customers wrote is only ever a value in a template,
//! never part of its text.

mod letter;
mod pdf;
mod view;
mod world;

use chrono::{DateTime, NaiveDate, Utc};

pub use letter::{Email, email};
pub use pdf::pdf;

/// Everything that an invoice shows, already in words and figures: no rule of billing is left to decide
/// here.
#[derive(Clone, Debug)]
pub struct InvoiceDocument {
    /// Its number. A draft has none yet.
    pub number: Option<String>,
    /// Where it is in its life, in a word.
    pub status: String,
    /// Whether it is a draft, and marked as one.
    pub is_draft: bool,
    /// Its date.
    pub issued_on: Option<NaiveDate>,
    /// When it has to be paid; `None` if it has not.
    pub due_on: Option<NaiveDate>,
    /// The first and the last day it covers.
    pub period: Option<(NaiveDate, NaiveDate)>,
    /// Who wants to be paid.
    pub seller: Party,
    /// Who pays.
    pub buyer: Party,
    /// The currency of all amounts.
    pub currency: String,
    /// What is billed.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub subtotal: String,
    /// Taxes by name.
    pub taxes: Vec<(String, String)>,
    /// All of it.
    pub total: String,
    /// What is still to be paid.
    pub amount_due: String,
    /// A word to the customer.
    pub memo: Option<String>,
    /// Where it can be paid.
    pub payment_link: Option<String>,
    /// Where money can be sent to, by name.
    pub bank_details: Vec<(String, String)>,
    /// Where it can be seen.
    pub page_link: Option<String>,
    /// When it was issued. The date of the PDF, so that the same invoice is always the same bytes.
    pub created_at: DateTime<Utc>,
}

/// Who sells, or who buys.
#[derive(Clone, Debug)]
pub struct Party {
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Address, line by line.
    pub address: Vec<String>,
    /// Tax id.
    pub tax_id: Option<String>,
}

/// A line of an invoice.
#[derive(Clone, Debug)]
pub struct Line {
    /// What is billed.
    pub description: String,
    /// How that came about, in small print.
    pub detail: Vec<String>,
    /// How much.
    pub quantity: String,
    /// Price of one; `None` where there is no one price.
    pub unit_price: Option<String>,
    /// What it costs.
    pub amount: String,
}

/// Why a document could not be made: always a defect of a template.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Typst did not take its template.
    #[error("typesetting failed: {0}")]
    Typesetting(String),
    /// Askama did not take its template.
    #[error(transparent)]
    Letter(#[from] askama::Error),
    /// The view could not be written as JSON.
    #[error(transparent)]
    View(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests;
