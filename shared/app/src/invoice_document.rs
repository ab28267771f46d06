//! Invoices in words and figures, as customers see them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use document::{Accent, InvoiceDocument, Line, Party, Status};
use domain::{
    currency::Currency,
    customer::Address,
    explanation,
    invoice::{Invoice, InvoiceStatus, LineItem, LineSource},
    invoice_parties::InvoiceParties,
    line_part::PartKind,
    money::{Money, MoneyError},
    period::BillingPeriod,
    tax::TaxTreatment,
};
use rust_decimal::Decimal;

use crate::{AppError, InvoiceView};

/// The document of an invoice.
///
/// Errors: if a sum cannot be computed, which no stored invoice lets happen.
pub fn document(view: &InvoiceView) -> Result<InvoiceDocument, AppError> {
    let InvoiceView { invoice, parties, buyer_tax_id, organization, bank_details } = view;
    let InvoiceParties { seller, buyer, zone } = parties;
    let branding = &organization.settings.branding;
    let date = |at: DateTime<Utc>| date(at, *zone);
    let total = invoice.total().map_err(AppError::internal)?;
    let is_draft = matches!(invoice.status, InvoiceStatus::Draft { .. });
    let is_payable = matches!(invoice.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible { .. });
    Ok(InvoiceDocument {
        number: invoice.number.map(|number| number.to_string()),
        status: status(invoice.status, total),
        issued_on: Some(date(invoice.issued_at)).filter(|_| !is_draft),
        due_on: Some(date(invoice.due_at)).filter(|_| is_payable),
        period: invoice.billed.map(|(_, period)| days(period, *zone)),
        seller: Party {
            name: seller.name.clone(),
            email: seller.email.clone(),
            address: address_lines(&seller.address),
            tax_id: seller.tax_id.clone(),
        },
        buyer: Party {
            name: buyer.name.clone(),
            email: buyer.email.clone(),
            address: address_lines(&buyer.address),
            tax_id: buyer_tax_id.clone(),
        },
        currency: invoice.currency.code().to_owned(),
        lines: invoice.lines.iter().map(|item| line(item, *zone)).collect(),
        subtotal: money(invoice.subtotal().map_err(AppError::internal)?),
        taxes: taxes(invoice),
        total: money(total),
        deductions: deductions(invoice, *zone).map_err(AppError::internal)?,
        amount_due: money(invoice.amount_due().map_err(AppError::internal)?),
        memo: memo(invoice.memo.as_deref(), seller.notes.as_deref()),
        payment_link: None,
        bank_details: bank_details
            .iter()
            .map(|(field, value)| (field.label().to_owned(), value.clone()))
            .collect(),
        page_link: None,
        accent: branding.color.as_deref().and_then(Accent::of_brand).unwrap_or_default(),
        logo_link: branding.logo_url.clone(),
        created_at: invoice.issued_at,
    })
}

/// Each tax by name, or why there is none.
fn taxes(invoice: &Invoice) -> Vec<(String, String)> {
    let nothing = || money(Money::zero(invoice.currency).rounded());
    match invoice.tax.treatment {
        TaxTreatment::NoRate => Vec::new(),
        TaxTreatment::Exempt => vec![("Exempt from tax".to_owned(), nothing())],
        TaxTreatment::ReverseCharge => {
            vec![("Reverse charge: the recipient owes the tax".to_owned(), nothing())]
        }
        TaxTreatment::Taxed => {
            let included = if invoice.tax.is_included { ", included in the prices" } else { "" };
            let lines = invoice.tax.lines.iter();
            let line = lines.map(|line| {
                (format!("{} {} %{included}", line.name, number(line.percent)), money(line.amount))
            });
            line.collect()
        }
    }
}

/// The note on this invoice, then the one on every invoice.
fn memo(memo: Option<&str>, notes: Option<&str>) -> Option<String> {
    let both = [memo, notes].into_iter().flatten().collect::<Vec<_>>();
    (!both.is_empty()).then(|| both.join("\n"))
}

fn status(status: InvoiceStatus, total: Money) -> Status {
    match status {
        InvoiceStatus::Paid { .. } if total.amount() < Decimal::ZERO => Status::Credit,
        InvoiceStatus::Draft { .. } => Status::Draft,
        InvoiceStatus::Open => Status::Open,
        InvoiceStatus::Paid { .. } => Status::Paid,
        InvoiceStatus::Void { .. } => Status::Void,
        InvoiceStatus::Uncollectible { .. } => Status::Uncollectible,
    }
}

/// What was taken off the total, and what was paid since, by name.
fn deductions(invoice: &Invoice, zone: Tz) -> Result<Vec<(String, String)>, MoneyError> {
    let taken = |amount: Money| format!("−{}", money(amount));
    let credit = Some(invoice.credits_applied).filter(|credit| !credit.is_zero());
    let mut deductions = Vec::from_iter(credit.map(|credit| ("Credit applied".to_owned(), taken(credit))));
    let paid = invoice.amount_paid()?;
    match invoice.status {
        InvoiceStatus::Paid { at } if !paid.is_zero() => {
            deductions.push((format!("Paid on {}", date(at, zone).format("%-d %B %Y")), taken(paid)));
        }
        InvoiceStatus::Paid { .. } // nobody had to pay
        | InvoiceStatus::Draft { .. }
        | InvoiceStatus::Open
        | InvoiceStatus::Void { .. }
        | InvoiceStatus::Uncollectible { .. } => {}
    }
    Ok(deductions)
}

fn line(line: &LineItem, zone: Tz) -> Line {
    // One part says no more than quantity and price do, unless it is a tier or some packages.
    let is_plain = matches!(line.parts.as_slice(), [part] if part.kind == PartKind::Units);
    let parts = line.parts.iter().filter(|_| !is_plain).map(explanation::part);
    Line {
        description: line.description.clone(),
        period: line.period.map(|period| days(period, zone)),
        detail: counted(line)
            .into_iter()
            .chain(parts)
            .chain(line.proration.map(explanation::fraction))
            .collect(),
        quantity: match line.metered.as_ref().and_then(|metered| metered.unit.as_deref()) {
            Some(unit) => format!("{} {unit}", number(line.quantity)),
            None => number(line.quantity),
        },
        unit_price: line
            .unit_price
            .map_or_else(|| "as shown".to_owned(), |price| unit_price(price, line.amount.currency())),
        amount: money(line.amount),
    }
}

/// `3 events, counted by api-calls`, on a line of usage.
fn counted(line: &LineItem) -> Option<String> {
    let (LineSource::Usage { events, .. } | LineSource::LateUsage { events, .. }) = line.source else {
        return None;
    };
    let s = if events == 1 { "" } else { "s" };
    let by = line.metered.as_ref().map(|metered| format!(", counted by {}", metered.by));
    Some(format!("{} event{s}{}", grouped(&events.to_string()), by.unwrap_or_default()))
}

fn address_lines(address: &Address) -> Vec<String> {
    let join = |parts: [&Option<String>; 3]| {
        let parts = parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        parts.join(" ")
    };
    let city = join([&address.postal_code, &address.city, &address.state]);
    [address.line1.clone(), address.line2.clone(), Some(city), address.country.clone()]
        .into_iter()
        .flatten()
        .filter(|line| !line.is_empty())
        .collect()
}

/// `1,234.50`: all decimals of the currency, thousands apart. The currency is named once, on top.
fn money(money: Money) -> String {
    grouped(&money.amount().to_string())
}

/// `49.00`, `0.0005`: as precise as it is, and no less than the currency.
fn unit_price(price: Decimal, currency: Currency) -> String {
    let mut price = price.normalize();
    price.rescale(price.scale().max(currency.decimals()));
    grouped(&price.to_string())
}

/// `1,234.5`: no more decimals than there are.
fn number(number: Decimal) -> String {
    grouped(&number.normalize().to_string())
}

fn grouped(digits: &str) -> String {
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("−", whole));
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// The first and the last day of a period.
fn days(period: BillingPeriod, zone: Tz) -> (NaiveDate, NaiveDate) {
    (date(period.start(), zone), date(period.end() - chrono::Duration::milliseconds(1), zone))
}

fn date(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_by_thousands() {
        for (text, expected) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.50", "−1,234,567.50"),
            ("0.0005", "0.0005"),
        ] {
            assert_eq!(grouped(text), expected);
        }
        assert_eq!(number("1500.000".parse().unwrap()), "1,500");
        assert_eq!(unit_price("49".parse().unwrap(), Currency::USD), "49.00");
        assert_eq!(unit_price("0.0005".parse().unwrap(), Currency::USD), "0.0005");
    }
}
