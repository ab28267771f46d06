//! What the templates read: an invoice with its text made plain and its dates in words.

use chrono::{Datelike, NaiveDate};
use serde::Serialize;

use crate::{DocumentError, InvoiceDocument, Line, Party, Status, plain};

/// An invoice as all templates read it; for Typst it is written as JSON.
#[derive(Serialize)]
pub(crate) struct View {
    /// `Invoice INV-2025-0042 from Northwind`.
    pub(crate) title: String,
    /// `Invoice INV-2025-0042`, or only `Draft invoice`.
    pub(crate) heading: String,
    /// `Invoice` or `Draft invoice`.
    pub(crate) kind: &'static str,
    pub(crate) number: Option<String>,
    /// What is written across an invoice that must not be paid.
    pub(crate) mark: Option<&'static str>,
    pub(crate) status: &'static str,
    /// The amount in large type: what is due, or what the total was.
    pub(crate) headline: String,
    /// What the headline means: `Due on 13 February 2025`.
    pub(crate) standing: String,
    pub(crate) currency: String,
    pub(crate) seller: Party,
    pub(crate) buyer: Party,
    /// Dates and the status, by name.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) lines: Vec<Line>,
    /// The way from the lines to the amount due, by name.
    pub(crate) sums: Vec<(String, String)>,
    pub(crate) amount_due: String,
    pub(crate) memo: Vec<String>,
    pub(crate) payment_link: Option<String>,
    pub(crate) bank_details: Vec<(String, String)>,
    pub(crate) page_link: Option<String>,
    pub(crate) logo_link: Option<String>,
    pub(crate) accent: String,
    pub(crate) accent_on_dark: String,
}

impl View {
    /// Errors: `Link` if a link is not one that a reader may follow.
    pub(crate) fn new(invoice: &InvoiceDocument) -> Result<Self, DocumentError> {
        let kind = if invoice.status == Status::Draft { "Draft invoice" } else { "Invoice" };
        let number = invoice.number.as_deref().map(plain::row);
        let heading = number.as_ref().map_or_else(|| kind.to_owned(), |number| format!("{kind} {number}"));
        let seller = plain_party(&invoice.seller);
        let payment_link = plain::link("payment_link", invoice.payment_link.as_deref())?;
        let mut sums = vec![("Subtotal".to_owned(), plain::row(&invoice.subtotal))];
        sums.extend(plain_pairs(&invoice.taxes));
        sums.push(("Total".to_owned(), plain::row(&invoice.total)));
        sums.extend(plain_pairs(&invoice.deductions));
        Ok(Self {
            title: format!("{heading} from {}", seller.name),
            heading,
            kind,
            number,
            mark: mark(invoice.status),
            status: status_name(invoice.status),
            headline: plain::row(if is_settled(invoice.status) {
                &invoice.total
            } else {
                &invoice.amount_due
            }),
            standing: standing(invoice),
            currency: plain::row(&invoice.currency),
            seller,
            buyer: plain_party(&invoice.buyer),
            facts: facts(invoice),
            lines: invoice.lines.iter().map(plain_line).collect(),
            sums,
            amount_due: plain::row(&invoice.amount_due),
            memo: invoice.memo.as_deref().map(plain::rows).unwrap_or_default(),
            payment_link: payment_link.filter(|_| is_payable(invoice.status)),
            bank_details: if is_settled(invoice.status) {
                vec![]
            } else {
                plain_pairs(&invoice.bank_details)
            },
            page_link: plain::link("page_link", invoice.page_link.as_deref())?,
            logo_link: plain::link("logo_link", invoice.logo_link.as_deref())?,
            accent: invoice.accent.on_light().to_owned(),
            accent_on_dark: invoice.accent.on_dark().to_owned(),
        })
    }

    /// What is left to pay, with its currency.
    pub(crate) fn due(&self) -> String {
        format!("{} {}", self.currency, self.amount_due)
    }
}

/// `13 February 2025`.
fn date_in_words(date: NaiveDate) -> String {
    date.format("%-d %B %Y").to_string()
}

/// `10 Dec 2024 – 9 Jan 2025`; the first year is left out where it is the same.
fn period_in_words((first, last): (NaiveDate, NaiveDate)) -> String {
    if first == last {
        return date_in_words(first);
    }
    let start = if first.year() == last.year() { first.format("%-d %b") } else { first.format("%-d %b %Y") };
    format!("{start} – {}", last.format("%-d %b %Y"))
}

fn standing(invoice: &InvoiceDocument) -> String {
    match (invoice.status, invoice.due_on) {
        (Status::Draft, _) => "Draft, may still change".to_owned(),
        (Status::Open | Status::Uncollectible, Some(due)) => format!("Due on {}", date_in_words(due)),
        (Status::Open | Status::Uncollectible, None) => "Due on receipt".to_owned(),
        (Status::Paid, _) => "Paid, thank you".to_owned(),
        (Status::Credit, _) => "Credit, nothing is to be paid".to_owned(),
        (Status::Void, _) => "Void, nothing is to be paid".to_owned(),
    }
}

fn facts(invoice: &InvoiceDocument) -> Vec<(&'static str, String)> {
    let dates = [
        ("Issued", invoice.issued_on.map(date_in_words)),
        ("Due", invoice.due_on.map(date_in_words)),
        ("Period", invoice.period.map(period_in_words)),
        ("Status", Some(status_name(invoice.status).to_owned())),
    ];
    dates.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Draft => "Draft",
        Status::Open => "Open",
        Status::Paid => "Paid",
        Status::Credit => "Credit",
        Status::Void => "Void",
        Status::Uncollectible => "Uncollectible",
    }
}

fn mark(status: Status) -> Option<&'static str> {
    match status {
        Status::Draft => Some("DRAFT"),
        Status::Void => Some("VOID"),
        Status::Open | Status::Paid | Status::Credit | Status::Uncollectible => None,
    }
}

fn is_payable(status: Status) -> bool {
    match status {
        Status::Open | Status::Uncollectible => true,
        Status::Draft | Status::Paid | Status::Credit | Status::Void => false,
    }
}

fn is_settled(status: Status) -> bool {
    match status {
        Status::Paid | Status::Credit | Status::Void => true,
        Status::Draft | Status::Open | Status::Uncollectible => false,
    }
}

fn plain_party(party: &Party) -> Party {
    Party {
        name: plain::row(&party.name),
        email: party.email.as_deref().map(plain::row),
        address: plain_rows(&party.address),
        tax_id: party.tax_id.as_deref().map(plain::row),
    }
}

fn plain_line(line: &Line) -> Line {
    let period = line.period.map(period_in_words);
    Line {
        description: plain::row(&line.description),
        period: line.period,
        detail: period.into_iter().chain(plain_rows(&line.detail)).collect(),
        quantity: plain::row(&line.quantity),
        unit_price: plain::row(&line.unit_price),
        amount: plain::row(&line.amount),
    }
}

/// Each as a row, less those that are empty.
fn plain_rows(rows: &[String]) -> Vec<String> {
    rows.iter().map(|row| plain::row(row)).filter(|row| !row.is_empty()).collect()
}

fn plain_pairs(pairs: &[(String, String)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (plain::row(name), plain::row(value))).collect()
}
