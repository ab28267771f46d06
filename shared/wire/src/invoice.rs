//! Bodies of invoices.

use app::AppError;
use domain::{
    invoice::{Invoice, InvoiceStatus, LineItem},
    line_part::{LinePart, PartKind},
    money::Money,
    period::BillingPeriod,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    billing_error::BillingErrorBody,
    line::{LinePartBody, LineTypeName, Origin, ShareBody},
    number::NumberOut,
    properties::{self, PropertiesIn},
    tax::{TaxLineBody, TaxTreatmentName},
    time::TimeOut,
};

/// Where an invoice is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum InvoiceStatusName {
    /// May still change.
    Draft,
    /// Final, and to be paid.
    Open,
    /// Paid.
    Paid,
    /// Not to be paid.
    Void,
    /// Not expected to be paid.
    Uncollectible,
}

/// An invoice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceBody {
    /// Its id.
    pub id: String,
    /// Its number, given when it is finalized.
    pub invoice_number: Option<String>,
    /// Who pays it.
    pub customer_id: String,
    /// The subscription it bills.
    pub subscription_id: Option<String>,
    /// The void invoice of the same bill that it was made in place of.
    pub replaces_invoice_id: Option<String>,
    /// The invoice of the same bill that was made in place of it, once it was void.
    pub replaced_by_invoice_id: Option<String>,
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
    /// Both.
    pub total: NumberOut,
    /// What is taken off that of what the customer has to its credit; of a draft, what would be.
    pub credits_applied: NumberOut,
    /// What is still to be paid.
    pub amount_due: NumberOut,
    /// What was paid.
    pub amount_paid: NumberOut,
    /// Its date.
    pub issue_date: TimeOut,
    /// When it has to be paid.
    pub due_date: TimeOut,
    /// When a draft is finalized by itself.
    pub scheduled_finalize_at: Option<TimeOut>,
    /// Why a draft is not finalized although its time came; null if nothing is wrong.
    pub billing_error: Option<BillingErrorBody>,
    /// When it was paid.
    pub paid_at: Option<TimeOut>,
    /// When it was found not to be paid in time. Only a subscription's invoices are watched.
    pub past_due_at: Option<TimeOut>,
    /// The start of the period it bills.
    pub period_start: Option<TimeOut>,
    /// The first instant after that period.
    pub period_end: Option<TimeOut>,
    /// What is billed.
    pub line_items: Vec<LineItemBody>,
    /// Whether somebody wrote the lines of a subscription's draft anew: usage no longer changes them.
    pub has_edited_lines: bool,
    /// A note to whoever pays it.
    pub memo: Option<String>,
    /// Whatever else is to be seen again, and the note of the last change of status.
    #[schema(value_type = PropertiesIn)]
    pub meta_data: Map<String, Value>,
    /// When it was drafted.
    pub created_at: TimeOut,
    /// When it was last changed.
    pub updated_at: TimeOut,
}

/// A line of an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineItemBody {
    /// What is billed.
    pub description: String,
    /// Where it comes from.
    #[serde(rename = "type")]
    pub line_type: LineTypeName,
    /// The charge it comes from.
    pub charge_id: Option<String>,
    /// The meter that counted.
    pub meter_id: Option<String>,
    /// Its name when the line was rated.
    pub meter_name: Option<String>,
    /// How many events there were; for late usage, how many more.
    pub event_count: Option<u64>,
    /// How much.
    pub quantity: NumberOut,
    /// What the meter counts, such as `GB`.
    pub unit: Option<String>,
    /// Price of one, where there is one price.
    pub unit_amount: Option<NumberOut>,
    /// What it costs.
    pub line_total: NumberOut,
    /// The tiers it was added up from, where there are tiers.
    pub tiers: Vec<TierUseBody>,
    /// All it was added up from; empty for a line that somebody wrote.
    pub parts: Vec<LinePartBody>,
    /// What part of that is billed; null for all of it.
    pub proration: Option<ShareBody>,
    /// The start of the time it was used in.
    pub period_start: Option<TimeOut>,
    /// The first instant after that.
    pub period_end: Option<TimeOut>,
}

/// The part of a quantity that fell into one tier.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierUseBody {
    /// The bound it begins after.
    pub after: NumberOut,
    /// Its own bound; null if it never ends.
    pub up_to: Option<NumberOut>,
    /// How much fell into it.
    pub quantity: NumberOut,
    /// Price of one.
    pub unit_price: NumberOut,
    /// Charged once.
    pub flat_price: NumberOut,
    /// What it comes to, exactly.
    pub amount: NumberOut,
}

/// What became of mailing an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SentBody {
    /// Whether it is on its way.
    pub success: bool,
    /// In words.
    pub message: String,
    /// Where it can be paid, once a payment provider is connected.
    pub payment_link: Option<String>,
}

impl InvoiceStatusName {
    /// The words that lists are filtered by.
    pub const CHOICES: [(&'static str, &'static str); 5] = [
        ("DRAFT", "DRAFT"),
        ("OPEN", "OPEN"),
        ("PAID", "PAID"),
        ("VOID", "VOID"),
        ("UNCOLLECTIBLE", "UNCOLLECTIBLE"),
    ];

    fn from_domain(status: InvoiceStatus) -> Self {
        match status {
            InvoiceStatus::Draft { .. } => Self::Draft,
            InvoiceStatus::Open => Self::Open,
            InvoiceStatus::Paid { .. } => Self::Paid,
            InvoiceStatus::Void { .. } => Self::Void,
            InvoiceStatus::Uncollectible { .. } => Self::Uncollectible,
        }
    }
}

impl InvoiceBody {
    /// The body of an invoice. Errors: if it does not add up, which no stored one fails to.
    pub fn from_domain(invoice: Invoice) -> Result<Self, AppError> {
        let amount = |money: Result<Money, domain::money::MoneyError>| {
            money.map(|money| NumberOut(money.rounded().amount())).map_err(AppError::internal)
        };
        let (period_start, period_end) = bounds(invoice.billed.map(|(_, period)| period));
        Ok(Self {
            id: invoice.id.to_string(),
            invoice_number: invoice.number.map(|number| number.to_string()),
            customer_id: invoice.customer.to_string(),
            subscription_id: invoice.billed.map(|(subscription, _)| subscription.to_string()),
            replaces_invoice_id: invoice.replaces.map(|id| id.to_string()),
            replaced_by_invoice_id: invoice.replaced_by.map(|id| id.to_string()),
            status: InvoiceStatusName::from_domain(invoice.status),
            currency: invoice.currency.code().to_owned(),
            subtotal: amount(invoice.subtotal())?,
            tax: amount(invoice.tax.total(invoice.currency))?,
            taxes: invoice.tax.lines.iter().map(TaxLineBody::from_domain).collect(),
            tax_treatment: TaxTreatmentName::from_domain(invoice.tax.treatment),
            prices_include_tax: invoice.tax.is_included,
            total: amount(invoice.total())?,
            credits_applied: amount(Ok(invoice.credits_applied))?,
            amount_due: amount(invoice.amount_due())?,
            amount_paid: amount(invoice.amount_paid())?,
            issue_date: TimeOut(invoice.issued_at),
            due_date: TimeOut(invoice.due_at),
            scheduled_finalize_at: invoice.finalize_at().map(TimeOut),
            billing_error: invoice.billing_error.map(BillingErrorBody::from_domain),
            paid_at: match invoice.status {
                InvoiceStatus::Paid { at } => Some(TimeOut(at)),
                InvoiceStatus::Draft { .. }
                | InvoiceStatus::Open
                | InvoiceStatus::Void { .. }
                | InvoiceStatus::Uncollectible { .. } => None,
            },
            past_due_at: invoice.past_due_at.map(TimeOut),
            period_start,
            period_end,
            has_edited_lines: invoice.has_edited_lines,
            memo: invoice.memo,
            meta_data: properties::to_json(&invoice.metadata),
            line_items: invoice.lines.into_iter().map(LineItemBody::from_domain).collect(),
            created_at: TimeOut(invoice.created_at),
            updated_at: TimeOut(invoice.updated_at),
        })
    }
}

impl LineItemBody {
    fn from_domain(line: LineItem) -> Self {
        let Origin { line_type, charge_id, meter_id, event_count } = Origin::from_domain(line.source);
        let (meter_name, unit) = line.metered.map(|metered| (metered.by, metered.unit)).unzip();
        let (period_start, period_end) = bounds(line.period);
        Self {
            description: line.description,
            line_type,
            charge_id,
            meter_id,
            meter_name,
            event_count,
            quantity: NumberOut(line.quantity),
            unit: unit.flatten(),
            unit_amount: line.unit_price.map(NumberOut),
            line_total: NumberOut(line.amount.amount()),
            tiers: TierUseBody::from_parts(&line.parts),
            parts: line.parts.into_iter().map(LinePartBody::from_domain).collect(),
            proration: line.proration.map(ShareBody::from_domain),
            period_start,
            period_end,
        }
    }
}

impl TierUseBody {
    /// The tiers among the parts of a line.
    fn from_parts(parts: &[LinePart]) -> Vec<Self> {
        let tier = |part: &LinePart| match part.kind {
            PartKind::Tier { after, up_to } => Some(Self {
                after: NumberOut(after),
                up_to: up_to.map(NumberOut),
                quantity: NumberOut(part.quantity),
                unit_price: NumberOut(part.unit_price.unwrap_or_default()),
                flat_price: NumberOut(part.flat_price),
                amount: NumberOut(part.amount.amount()),
            }),
            PartKind::Units
            | PartKind::Included
            | PartKind::Packages { .. }
            | PartKind::Percentage
            | PartKind::EventFees
            | PartKind::EventMinimum { .. }
            | PartKind::EventMaximum { .. }
            | PartKind::Minimum { .. }
            | PartKind::Maximum { .. }
            | PartKind::BilledBefore => None,
        };
        parts.iter().filter_map(tier).collect()
    }
}

fn bounds(period: Option<BillingPeriod>) -> (Option<TimeOut>, Option<TimeOut>) {
    period.map(|period| (TimeOut(period.start()), TimeOut(period.end()))).unzip()
}
