//! Bodies that make and change invoices.

use app::{AppError, draft_invoices::NewInvoice, invoices::Note};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::{
    invoice::PaymentDue,
    invoice_draft::{DraftEdit, GivenLine, MANUAL_LINES_MAX, ManualLine},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    invoice::InvoiceStatusName,
    json::given,
    number::NumberIn,
    properties::PropertiesIn,
    time::{LocalTimeIn, TimeIn},
};

/// An invoice to be written by hand. It stays a draft until it is finalized or mailed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvoiceBody {
    /// Who pays it. Needs a billing country, which decides on the tax.
    customer_id: String,
    /// What it is in, by ISO 4217.
    currency: String,
    /// When it has to be paid; by the payment terms once it is finalized, if not given.
    due_date: Option<LocalTimeIn>,
    /// Days from finalizing it to its due date, in place of the organization's.
    payment_terms_days: Option<u32>,
    /// What is billed.
    line_items: Vec<ManualLineBody>,
    /// A note to whoever pays it.
    memo: Option<String>,
    /// Whatever else you want to see again.
    meta_data: Option<PropertiesIn>,
}

/// Changes to a draft. What is left out stays as it is; null takes away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceChangesBody {
    /// Who pays it. A subscription's invoice stays with its customer.
    customer_id: Option<String>,
    /// What it is in; another currency comes with the line items in it.
    currency: Option<String>,
    /// When it has to be paid; null for the payment terms.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LocalTimeIn>)]
    due_date: Option<Option<LocalTimeIn>>,
    /// Days from finalizing it to its due date; null for the organization's.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    payment_terms_days: Option<Option<u32>>,
    /// What is billed: all of it. A line that is given as it stands is kept with all it has; others are
    /// written anew. On a subscription's draft they then stay as they are given, whatever usage arrives, until
    /// the draft is recomputed.
    line_items: Option<Vec<GivenLineBody>>,
    /// A note to whoever pays it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    memo: Option<Option<String>>,
    /// Whatever else you want to see again. Replaces what was there.
    meta_data: Option<PropertiesIn>,
}

/// A line to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManualLineBody {
    /// What is billed.
    description: String,
    /// How much, more than 0; 1 if not given.
    quantity: Option<NumberIn>,
    /// Price of one, in major units.
    unit_amount: NumberIn,
}

/// A line of a draft: one that it has, with the same description, quantity and unit_amount, or one to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenLineBody {
    /// What is billed.
    description: String,
    /// How much; 1 if not given. More than 0 on a line to be written.
    quantity: Option<NumberIn>,
    /// Price of one, in major units; null on a line that has no one price. Not negative on a line to be written.
    unit_amount: Option<NumberIn>,
}

/// A new state for an invoice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceStatusBody {
    /// `PAID`, `VOID`, `UNCOLLECTIBLE`, or `OPEN` for a draft.
    pub status: InvoiceStatusName,
    /// Why. Kept as `status_change_note` in `meta_data`.
    note: Option<String>,
}

/// Which invoice is asked for; without anything, what is due.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateInvoiceBody {
    /// The start of a period that was billed, whose draft was deleted: it is made again.
    period_start: Option<TimeIn>,
}

impl GenerateInvoiceBody {
    /// The start of the period that is asked for.
    pub fn period_start(&self) -> Option<DateTime<Utc>> {
        self.period_start.map(|TimeIn(start)| start)
    }
}

/// The token of an invoice's public page.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicTokenBody {
    /// The token. Shown only here; a new one invalidates it.
    pub public_token: String,
    /// Where the page is.
    pub public_url: String,
}

impl NewInvoiceBody {
    /// What was asked for. A date that it is due on is one of `zone`.
    pub fn into_domain(self, zone: Tz) -> Result<NewInvoice, AppError> {
        let mut check = Check::default();
        let customer = check.value("customer_id", self.customer_id.parse());
        let currency = check.value("currency", self.currency.parse());
        let lines = lines(&mut check, self.line_items);
        let payment_due =
            payment_due(&mut check, self.due_date.map(|due| due.start(zone)), self.payment_terms_days);
        let memo = check.optional_rows("memo", self.memo, 2000);
        let new = customer.zip(currency).map(|(customer, currency)| NewInvoice {
            customer,
            currency,
            lines,
            payment_due,
            memo,
            metadata: self.meta_data.unwrap_or_default().0,
        });
        check.finish_some(new)
    }
}

impl InvoiceChangesBody {
    /// What was asked for. A date that it is due on is one of `zone`.
    pub fn into_domain(self, zone: Tz) -> Result<DraftEdit, AppError> {
        let mut check = Check::default();
        let is_due_given = self.due_date.is_some() || self.payment_terms_days.is_some();
        let due_on = self.due_date.flatten().map(|due| due.start(zone));
        let payment_due = payment_due(&mut check, due_on, self.payment_terms_days.flatten());
        let edit = DraftEdit {
            customer: self.customer_id.and_then(|id| check.value("customer_id", id.parse())),
            currency: self.currency.and_then(|code| check.value("currency", code.parse())),
            lines: self.line_items.map(|items| given_lines(&mut check, items)),
            payment_due: is_due_given.then_some(payment_due),
            memo: self.memo.map(|memo| check.optional_rows("memo", memo, 2000)),
            metadata: self.meta_data.map(|properties| properties.0),
        };
        check.finish(edit)
    }
}

impl ManualLineBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<ManualLine, AppError> {
        let mut check = Check::default();
        let line = self.checked(&mut check);
        check.finish_some(line)
    }

    fn checked(self, check: &mut Check) -> Option<ManualLine> {
        let description = check.text("description", self.description, 500);
        let quantity = match self.quantity {
            Some(quantity) => check.value("quantity", quantity.decimal()),
            None => Some(Decimal::ONE),
        };
        if quantity.is_some_and(|quantity| quantity <= Decimal::ZERO) {
            check.refuse("quantity", "must be greater than 0");
        }
        let unit_price = check.value("unit_amount", self.unit_amount.decimal());
        if unit_price.is_some_and(|unit_price| unit_price < Decimal::ZERO) {
            check.refuse("unit_amount", "must not be negative");
        }
        Some(ManualLine { description, quantity: quantity?, unit_price: unit_price? })
    }
}

impl GivenLineBody {
    fn checked(self, check: &mut Check) -> Option<GivenLine> {
        let description = check.text("description", self.description, 500);
        let quantity = match self.quantity {
            Some(quantity) => check.value("quantity", quantity.decimal()),
            None => Some(Decimal::ONE),
        };
        let unit_price = match self.unit_amount {
            Some(amount) => check.value("unit_amount", amount.decimal()).map(Some),
            None => Some(None),
        };
        Some(GivenLine { description, quantity: quantity?, unit_price: unit_price? })
    }
}

impl InvoiceStatusBody {
    /// The words on the change.
    pub fn note(&self) -> Result<Note, AppError> {
        let mut check = Check::default();
        let note = check.optional_rows("note", self.note.clone(), 2000);
        check.finish(Note(note))
    }
}

fn payment_due(check: &mut Check, on: Option<DateTime<Utc>>, days: Option<u32>) -> PaymentDue {
    if days.is_some_and(|days| days > 365) {
        check.refuse("payment_terms_days", "must be at most 365");
    }
    match (on, days) {
        (None, None) => PaymentDue::AsSet,
        (None, Some(days)) => PaymentDue::Days(days),
        (Some(at), None) => PaymentDue::On(at),
        (Some(at), Some(_)) => {
            check.refuse("payment_terms_days", "says the same as `due_date`: give one of them");
            PaymentDue::On(at)
        }
    }
}

fn lines(check: &mut Check, items: Vec<ManualLineBody>) -> Vec<ManualLine> {
    each_line(check, items, ManualLineBody::checked)
}

fn given_lines(check: &mut Check, items: Vec<GivenLineBody>) -> Vec<GivenLine> {
    each_line(check, items, GivenLineBody::checked)
}

fn each_line<B, T>(check: &mut Check, items: Vec<B>, checked: impl Fn(B, &mut Check) -> Option<T>) -> Vec<T> {
    if items.is_empty() {
        check.refuse("line_items", "must not be empty");
    } else if items.len() > MANUAL_LINES_MAX {
        check.refuse("line_items", format!("must be at most {MANUAL_LINES_MAX}"));
    }
    let items = items.into_iter().enumerate();
    let read = |(index, item): (usize, B)| {
        check.within(&format!("line_items[{index}]"), |check| checked(item, check))
    };
    items.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_is_checked_field_by_field() {
        let check = |json: &str, expected: &[&str]| {
            let id = r#""customer_id":"01946a5c-9f00-7abc-8def-0123456789ab","currency":"USD""#;
            let body = format!("{{{id},{json}}}");
            let body = crate::parse::<NewInvoiceBody>(body.as_bytes()).unwrap();
            let fields = match body.into_domain(Tz::UTC) {
                Ok(_) => Vec::new(),
                Err(AppError::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(fields, expected, "{json}");
        };
        let line = |rest: &str| format!(r#""line_items":[{{"description":"A","unit_amount":1}},{{{rest}}}]"#);
        check(&line(r#""description":"B","quantity":0.5,"unit_amount":"0""#), &[]);
        check(r#""line_items":[]"#, &["line_items"]);
        check(&line(r#""description":" ","quantity":1,"unit_amount":1"#), &["line_items[1].description"]);
        check(&line(r#""description":"B","quantity":0,"unit_amount":1"#), &["line_items[1].quantity"]);
        check(
            &line(r#""description":"B","quantity":-1,"unit_amount":-1"#),
            &["line_items[1].quantity", "line_items[1].unit_amount"],
        );
        let due = |rest: &str| format!("{},{rest}", line(r#""description":"B","unit_amount":1"#));
        check(&due(r#""due_date":"2025-03-01""#), &[]);
        check(&due(r#""due_date":null,"payment_terms_days":0"#), &[]);
        check(&due(r#""payment_terms_days":366"#), &["payment_terms_days"]);
        check(&due(r#""due_date":"2025-03-01","payment_terms_days":7"#), &["payment_terms_days"]);
    }
}
