//! What an invoice shows.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::Accent;

/// Everything an invoice shows, already in words and figures: no rule of billing is left to decide here.
///
/// Amounts are figures without their currency, such as `1,700.00`; the document writes the currency beside them.
/// Text may hold anything: it is shown as it is, less control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceDocument {
    /// Its number; none before it is finalized.
    pub number: Option<String>,
    /// Where it is in its life.
    pub status: Status,
    /// Its date.
    pub issued_on: Option<NaiveDate>,
    /// The last day to pay it; without one, an open invoice is due on receipt.
    pub due_on: Option<NaiveDate>,
    /// The first and the last day it covers.
    pub period: Option<(NaiveDate, NaiveDate)>,
    /// Who is to be paid.
    pub seller: Party,
    /// Who pays.
    pub buyer: Party,
    /// The code of ISO 4217.
    pub currency: String,
    /// What is billed.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub subtotal: String,
    /// Each tax by name, such as `VAT 19 %`, and its amount.
    pub taxes: Vec<(String, String)>,
    /// Subtotal and taxes together.
    pub total: String,
    /// What was paid or credited since, by name, each with its sign: `Paid on 3 March 2025`, `−500.00`.
    pub deductions: Vec<(String, String)>,
    /// What is left to pay.
    pub amount_due: String,
    /// A note of the seller, possibly of several lines.
    pub memo: Option<String>,
    /// Where to pay online. Shown while there is something to pay.
    pub payment_link: Option<String>,
    /// Where to transfer the amount to, by name: `IBAN`, `DE89…`. Shown unless paid or void.
    pub bank_details: Vec<(String, String)>,
    /// Where the invoice can be seen online.
    pub page_link: Option<String>,
    /// The seller's color.
    pub accent: Accent,
    /// Where the seller's logo is, for the page: documents that are stored or sent load nothing.
    pub logo_link: Option<String>,
    /// When the invoice was made. It becomes the date of the PDF, which therefore depends on no clock.
    pub created_at: DateTime<Utc>,
}

/// Where an invoice is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// May still change.
    Draft,
    /// To be paid.
    Open,
    /// Paid.
    Paid,
    /// Final, and less than nothing: what was paid in advance and is given back.
    Credit,
    /// Not to be paid.
    Void,
    /// Not expected to be paid, though still owed.
    Uncollectible,
}

/// Who is to be paid, or who pays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Party {
    /// Its name.
    pub name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// The lines of its postal address.
    pub address: Vec<String>,
    /// Its number for VAT, GST or the like.
    pub tax_id: Option<String>,
}

/// What is billed for one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is.
    pub description: String,
    /// The first and the last day it is for.
    #[serde(skip)]
    pub period: Option<(NaiveDate, NaiveDate)>,
    /// Small print, a row each: the tiers used, the days counted.
    pub detail: Vec<String>,
    /// How much of it.
    pub quantity: String,
    /// What one costs, or a word such as `tiered`.
    pub unit_price: String,
    /// What all of it costs.
    pub amount: String,
}

impl Line {
    /// How much at what price, in a row: `8 × 150.00`, or `2,000, tiered`.
    pub(crate) fn counted(&self) -> String {
        let is_price =
            self.unit_price.starts_with(|character: char| character.is_ascii_digit() || character == '−');
        let joint = if is_price { " × " } else { ", " };
        format!("{}{joint}{}", self.quantity, self.unit_price)
    }
}
