//! An invoice in the words that the templates show.

use chrono::NaiveDate;
use serde::Serialize;

use crate::{InvoiceDocument, Line, Party};

/// What the templates see. All of it is text.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    /// The title of the document.
    pub(crate) title: String,
    /// "Invoice" or "Draft invoice".
    pub(crate) kind: &'static str,
    pub(crate) number: Option<String>,
    /// "Invoice INV-2025-0042"
    pub(crate) heading: String,
    /// Set across every page.
    pub(crate) mark: Option<String>,
    /// What is expected of the reader: "Due on 13 February 2025".
    pub(crate) standing: String,
    pub(crate) currency: String,
    pub(crate) amount_due: String,
    pub(crate) seller: PartyView,
    pub(crate) buyer: PartyView,
    /// Names and what they stand for.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) lines: Vec<LineView>,
    /// Names and amounts, down to the total.
    pub(crate) sums: Vec<(String, String)>,
    pub(crate) bank_details: Vec<(String, String)>,
    /// Line by line.
    pub(crate) memo: Vec<String>,
    pub(crate) payment_link: Option<String>,
    pub(crate) page_link: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PartyView {
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) address: Vec<String>,
    pub(crate) tax_id: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LineView {
    pub(crate) description: String,
    pub(crate) detail: Vec<String>,
    pub(crate) quantity: String,
    /// Empty where there is no one price.
    pub(crate) unit_price: String,
    pub(crate) amount: String,
}

impl View {
    pub(crate) fn new(document: &InvoiceDocument) -> Self {
        let kind = if document.is_draft { "Draft invoice" } else { "Invoice" };
        let number = document.number.as_deref().map(one_line);
        let heading = number.as_ref().map_or(kind.to_owned(), |number| format!("{kind} {number}"));
        let dates = [("Issued", document.issued_on), ("Due", document.due_on)];
        let mut facts = dates
            .into_iter()
            .filter_map(|(name, date)| date.map(|date| (name, long_date(date))))
            .collect::<Vec<_>>();
        facts.extend(document.period.map(|(first, last)| ("Period", days(first, last))));
        facts.push(("Status", one_line(&document.status)));
        let mut sums = vec![("Subtotal".to_owned(), document.subtotal.clone())];
        sums.extend(document.taxes.iter().cloned());
        sums.push(("Total".to_owned(), document.total.clone()));
        Self {
            title: format!("{heading} from {}", one_line(&document.seller.name)),
            kind,
            heading,
            mark: document.is_draft.then(|| "DRAFT".to_owned()),
            standing: standing(document),
            number,
            currency: document.currency.clone(),
            amount_due: document.amount_due.clone(),
            seller: PartyView::new(&document.seller),
            buyer: PartyView::new(&document.buyer),
            facts,
            lines: document.lines.iter().map(LineView::new).collect(),
            sums,
            bank_details: document.bank_details.clone(),
            memo: document.memo.iter().flat_map(|memo| memo.lines()).map(one_line).collect(),
            payment_link: document.payment_link.clone(),
            page_link: document.page_link.clone(),
        }
    }
}

impl PartyView {
    fn new(party: &Party) -> Self {
        Self {
            name: one_line(&party.name),
            email: party.email.as_deref().map(one_line),
            address: party.address.iter().map(|line| one_line(line)).collect(),
            tax_id: party.tax_id.as_deref().map(one_line),
        }
    }
}

impl LineView {
    fn new(line: &Line) -> Self {
        Self {
            description: one_line(&line.description),
            detail: line.detail.iter().map(|detail| one_line(detail)).collect(),
            quantity: line.quantity.clone(),
            unit_price: line.unit_price.clone().unwrap_or_default(),
            amount: line.amount.clone(),
        }
    }
}

/// What is expected of the reader.
fn standing(document: &InvoiceDocument) -> String {
    match document.due_on {
        _ if document.is_draft => "Draft, not to be paid yet".to_owned(),
        Some(due_on) => format!("Due on {}", long_date(due_on)),
        None => one_line(&document.status),
    }
}

/// Text without line breaks and control characters, which could start a header or a paragraph of its own.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|character: char| character.is_control() || character.is_whitespace());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `13 February 2025`
fn long_date(date: NaiveDate) -> String {
    date.format("%-d %B %Y").to_string()
}

/// `10 Dec 2024 – 9 Jan 2025`
fn days(first: NaiveDate, last: NaiveDate) -> String {
    if first == last {
        return long_date(first);
    }
    format!("{} – {}", first.format("%-d %b %Y"), last.format("%-d %b %Y"))
}
