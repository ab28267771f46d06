//! Invoices as items. An invoice is verified before every write and after every read.

use chrono::{DateTime, Utc};
use domain::{
    currency::Currency,
    id::OrganizationId,
    invoice::{
        Invoice, InvoiceMismatch, InvoiceNumber, InvoiceStatus, LineItem, LineSource, Metered, PaymentDue,
    },
    line_part::{LinePart, PartKind},
    money::Money,
    period::BillingPeriod,
    proration::{Proration, ProrationUnit},
    seen_usage::SeenUsage,
    tax::{Tax, TaxLine, TaxTreatment},
};
use rust_decimal::Decimal;

use crate::{
    billing_error::{billing_error_from, billing_error_item},
    due::{Due, DueKind},
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
};

pub(crate) const SHARDS: u32 = 4;

pub(crate) fn invoice_item(organization: OrganizationId, invoice: &Invoice) -> Result<Item, StoreError> {
    invoice.verify().map_err(damaged)?;
    let (status, at) = status_text(invoice.status);
    let shard = keys::shard(invoice.id, SHARDS);
    let mut item = Item::new(keys::invoice(organization, invoice.customer, invoice.id), "invoice")
        .listed(keys::list(organization, "INVOICES", shard), invoice.id)
        .number("version", invoice.version + 1)
        .display("id", invoice.id)
        .display("customer", invoice.customer)
        .text("status", status)
        .optional_time("status_at", at)
        .text("currency", invoice.currency.code())
        .list("lines", invoice.lines.iter().map(line_item))
        .flag("has_edited_lines", invoice.has_edited_lines)
        .map("tax", tax_item(&invoice.tax))
        .optional("credits_applied", credit_of(invoice))
        .map("payment_due", payment_due_item(invoice.payment_due))
        .optional("replaces", invoice.replaces)
        .optional("replaced_by", invoice.replaced_by)
        .optional("memo", invoice.memo.as_deref())
        .properties("metadata", &invoice.metadata)
        .optional("public_token_hash", invoice.public_token_hash.as_deref())
        .optional_time("past_due_at", invoice.past_due_at)
        .time("created_at", invoice.created_at)
        .time("updated_at", invoice.updated_at)
        .time("issued_at", invoice.issued_at)
        .time("due_at", invoice.due_at);
    if !invoice.seen.is_empty() {
        let seen = invoice.seen.iter();
        item = item.map(
            "seen",
            seen.fold(Item::default(), |map, seen| map.number(&seen.invoice.to_string(), seen.writes)),
        );
    }
    if let Some((subscription, period)) = invoice.billed {
        item = item.display("subscription", subscription).map("period", period_item(period));
    }
    if let Some(error) = &invoice.billing_error {
        item = item.map("billing_error", billing_error_item(error));
    }
    if let Some(InvoiceNumber { year, sequence }) = invoice.number {
        item = item.map("number", Item::default().display("year", year).number("sequence", sequence));
    }
    let due = |at| Due { at, organization, customer: invoice.customer, id: invoice.id.uuid() };
    if let Some(finalize_at) = invoice.finalize_at() {
        item = item.due(DueKind::GraceEnd, due(finalize_at));
    }
    if let Some(overdue_at) = invoice.overdue_at() {
        item = item.due(DueKind::PaymentDue, due(overdue_at));
    }
    Ok(item)
}

pub(crate) fn from_item(item: &Attributes) -> Result<Invoice, StoreError> {
    let item = Reader::new("invoice", item)?;
    let currency = item.parse::<Currency>("currency")?;
    let billed = match item.optional_map("period")? {
        Some(period) => Some((item.parse("subscription")?, period_from(period)?)),
        None => None,
    };
    let number = item.optional_map("number")?.map(|number| {
        Ok::<_, StoreError>(InvoiceNumber {
            year: number.parse("year")?,
            sequence: number.number("sequence")?,
        })
    });
    let lines = item.list("lines")?.into_iter().map(|line| line_from(line, currency));
    let invoice = Invoice {
        id: item.parse("id")?,
        customer: item.parse("customer")?,
        billed,
        replaces: item.optional("replaces")?,
        replaced_by: item.optional("replaced_by")?,
        number: number.transpose()?,
        status: status_from(item)?,
        currency,
        lines: lines.collect::<Result<_, _>>()?,
        seen: item.optional_map("seen")?.map(seen_from).transpose()?.unwrap_or_default(),
        has_edited_lines: item.flag("has_edited_lines")?,
        tax: tax_from(item.map("tax")?, currency)?,
        // Older items, and drafts, have none.
        credits_applied: Money::new(item.optional("credits_applied")?.unwrap_or_default(), currency)
            .rounded(),
        payment_due: payment_due_from(item.map("payment_due")?)?,
        memo: item.owned("memo")?,
        metadata: item.properties("metadata")?,
        public_token_hash: item.owned("public_token_hash")?,
        billing_error: item.optional_map("billing_error")?.map(billing_error_from).transpose()?,
        past_due_at: item.optional_time("past_due_at")?,
        created_at: item.time("created_at")?,
        updated_at: item.time("updated_at")?,
        issued_at: item.time("issued_at")?,
        due_at: item.time("due_at")?,
        version: item.number("version")?,
    };
    invoice.verify().map_err(damaged)?;
    Ok(invoice)
}

/// The credit that was taken for an invoice. A draft takes it when it is finalized.
fn credit_of(invoice: &Invoice) -> Option<Decimal> {
    Some(invoice.credits_applied.amount()).filter(|amount| !amount.is_zero() && !invoice.is_draft())
}

fn seen_from(map: Reader<'_>) -> Result<Vec<SeenUsage>, StoreError> {
    let read = |id: &str| {
        let invoice = id.parse().map_err(|_| map.corrupt("seen"))?;
        Ok(SeenUsage { invoice, writes: map.number(id)? })
    };
    map.names().map(read).collect()
}

fn damaged(mismatch: InvoiceMismatch) -> StoreError {
    StoreError::Corrupt { kind: "invoice", reason: mismatch.to_string() }
}

/// The state as on the wire, so that lists can be filtered by it, and the instant that goes with it.
pub(crate) fn status_text(status: InvoiceStatus) -> (&'static str, Option<DateTime<Utc>>) {
    match status {
        InvoiceStatus::Draft { finalize_at } => ("DRAFT", finalize_at),
        InvoiceStatus::Open => ("OPEN", None),
        InvoiceStatus::Paid { at } => ("PAID", Some(at)),
        InvoiceStatus::Void { at } => ("VOID", Some(at)),
        InvoiceStatus::Uncollectible { at } => ("UNCOLLECTIBLE", Some(at)),
    }
}

fn status_from(item: Reader<'_>) -> Result<InvoiceStatus, StoreError> {
    Ok(match item.text("status")? {
        "DRAFT" => InvoiceStatus::Draft { finalize_at: item.optional_time("status_at")? },
        "OPEN" => InvoiceStatus::Open,
        "PAID" => InvoiceStatus::Paid { at: item.time("status_at")? },
        "VOID" => InvoiceStatus::Void { at: item.time("status_at")? },
        "UNCOLLECTIBLE" => InvoiceStatus::Uncollectible { at: item.time("status_at")? },
        _ => return Err(item.corrupt("status")),
    })
}

const TREATMENTS: [(TaxTreatment, &str); 4] = [
    (TaxTreatment::Taxed, "taxed"),
    (TaxTreatment::NoRate, "no_rate"),
    (TaxTreatment::Exempt, "exempt"),
    (TaxTreatment::ReverseCharge, "reverse_charge"),
];

fn tax_item(tax: &Tax) -> Item {
    let treatment = TREATMENTS.into_iter().find(|(treatment, _)| *treatment == tax.treatment);
    let line = |line: &TaxLine| {
        Item::default()
            .text("name", &line.name)
            .display("percent", line.percent)
            .display("amount", line.amount.amount())
    };
    Item::default()
        .optional("treatment", treatment.map(|(_, text)| text))
        .flag("is_included", tax.is_included)
        .list("lines", tax.lines.iter().map(line))
}

fn tax_from(tax: Reader<'_>, currency: Currency) -> Result<Tax, StoreError> {
    let text = tax.text("treatment")?;
    let treatment = TREATMENTS.into_iter().find(|(_, name)| *name == text);
    let line = |line: Reader<'_>| {
        Ok(TaxLine {
            name: line.text("name")?.to_owned(),
            percent: line.parse("percent")?,
            amount: Money::new(line.parse("amount")?, currency),
        })
    };
    Ok(Tax {
        treatment: treatment.ok_or_else(|| tax.corrupt("treatment"))?.0,
        is_included: tax.flag("is_included")?,
        lines: tax.list("lines")?.into_iter().map(line).collect::<Result<_, StoreError>>()?,
    })
}

fn payment_due_item(due: PaymentDue) -> Item {
    match due {
        PaymentDue::AsSet => Item::default().text("kind", "as_set"),
        PaymentDue::Days(days) => Item::default().text("kind", "days").number("days", days.into()),
        PaymentDue::On(at) => Item::default().text("kind", "on").time("at", at),
    }
}

fn payment_due_from(due: Reader<'_>) -> Result<PaymentDue, StoreError> {
    match due.text("kind")? {
        "as_set" => Ok(PaymentDue::AsSet),
        "days" => Ok(PaymentDue::Days(due.small("days")?)),
        "on" => Ok(PaymentDue::On(due.time("at")?)),
        _ => Err(due.corrupt("kind")),
    }
}

fn line_item(line: &LineItem) -> Item {
    let source = match line.source {
        LineSource::Fixed { charge } => Item::default().text("kind", "fixed").display("charge", charge),
        LineSource::Usage { charge, meter, events } => Item::default()
            .text("kind", "usage")
            .display("charge", charge)
            .display("meter", meter)
            .number("events", events),
        LineSource::LateUsage { charge, meter, events, whole_quantity, whole_amount } => Item::default()
            .text("kind", "late_usage")
            .display("charge", charge)
            .display("meter", meter)
            .number("events", events)
            .display("whole_quantity", whole_quantity)
            .display("whole_amount", whole_amount.amount()),
        LineSource::Manual => Item::default().text("kind", "manual"),
    };
    let item = Item::default()
        .text("description", &line.description)
        .map("source", source)
        .display("quantity", line.quantity)
        .optional("unit_price", line.unit_price)
        .list("parts", line.parts.iter().map(part_item))
        .display("amount", line.amount.amount());
    let item = match &line.metered {
        Some(Metered { by, unit }) => {
            item.map("metered", Item::default().text("by", by).optional("unit", unit.as_deref()))
        }
        None => item,
    };
    let item = match line.period {
        Some(period) => item.map("period", period_item(period)),
        None => item,
    };
    match line.proration {
        Some(proration) => item.map("proration", share_item(proration)),
        None => item,
    }
}

fn line_from(line: Reader<'_>, currency: Currency) -> Result<LineItem, StoreError> {
    let source = line.map("source")?;
    let parts: Result<_, StoreError> = match line.has("parts") {
        true => line.list("parts")?.into_iter().map(|part| part_from(part, currency)).collect(),
        false => line.list("tiers")?.into_iter().map(|tier| tier_from(tier, currency)).collect(),
    };
    Ok(LineItem {
        description: line.text("description")?.to_owned(),
        source: match source.text("kind")? {
            "fixed" => LineSource::Fixed { charge: source.parse("charge")? },
            "usage" => LineSource::Usage {
                charge: source.parse("charge")?,
                meter: source.parse("meter")?,
                events: source.number("events")?,
            },
            "late_usage" => LineSource::LateUsage {
                charge: source.parse("charge")?,
                meter: source.parse("meter")?,
                events: source.number("events")?,
                whole_quantity: source.parse("whole_quantity")?,
                whole_amount: Money::new(source.parse("whole_amount")?, currency),
            },
            "manual" => LineSource::Manual,
            _ => return Err(source.corrupt("kind")),
        },
        metered: line.optional_map("metered")?.map(metered_from).transpose()?,
        quantity: line.parse("quantity")?,
        unit_price: line.optional("unit_price")?,
        parts: parts?,
        proration: line.optional_map("proration")?.map(share_from).transpose()?,
        period: line.optional_map("period")?.map(period_from).transpose()?,
        amount: Money::new(line.parse("amount")?, currency),
    })
}

fn metered_from(metered: Reader<'_>) -> Result<Metered, StoreError> {
    Ok(Metered { by: metered.text("by")?.to_owned(), unit: metered.owned("unit")? })
}

fn part_item(part: &LinePart) -> Item {
    let (kind, bounds): (&str, &[(&str, Option<Decimal>)]) = match part.kind {
        PartKind::Units => ("units", &[]),
        PartKind::Included => ("included", &[]),
        PartKind::Tier { after, up_to } => ("tier", &[("after", Some(after)), ("up_to", up_to)]),
        PartKind::Packages { size, units } => ("packages", &[("size", Some(size)), ("units", Some(units))]),
        PartKind::Percentage => ("percentage", &[]),
        PartKind::EventFees => ("event_fees", &[]),
        PartKind::EventMinimum { minimum } => ("event_minimum", &[("bound", Some(minimum))]),
        PartKind::EventMaximum { maximum } => ("event_maximum", &[("bound", Some(maximum))]),
        PartKind::Minimum { minimum } => ("minimum", &[("bound", Some(minimum))]),
        PartKind::Maximum { maximum } => ("maximum", &[("bound", Some(maximum))]),
        PartKind::BilledBefore => ("billed_before", &[]),
    };
    let item = Item::default()
        .text("kind", kind)
        .optional("filter", part.filter.as_deref())
        .display("quantity", part.quantity)
        .optional("unit_price", part.unit_price)
        .display("flat_price", part.flat_price)
        .display("amount", part.amount.amount());
    bounds.iter().fold(item, |item, (name, bound)| item.optional(name, *bound))
}

fn part_from(part: Reader<'_>, currency: Currency) -> Result<LinePart, StoreError> {
    let kind = match part.text("kind")? {
        "units" => PartKind::Units,
        "included" => PartKind::Included,
        "tier" => PartKind::Tier { after: part.parse("after")?, up_to: part.optional("up_to")? },
        "packages" => PartKind::Packages { size: part.parse("size")?, units: part.parse("units")? },
        "percentage" => PartKind::Percentage,
        "billed_before" => PartKind::BilledBefore,
        "event_fees" => PartKind::EventFees,
        "event_minimum" => PartKind::EventMinimum { minimum: part.parse("bound")? },
        "event_maximum" => PartKind::EventMaximum { maximum: part.parse("bound")? },
        "minimum" => PartKind::Minimum { minimum: part.parse("bound")? },
        "maximum" => PartKind::Maximum { maximum: part.parse("bound")? },
        _ => return Err(part.corrupt("kind")),
    };
    Ok(LinePart {
        filter: part.owned("filter")?,
        kind,
        quantity: part.parse("quantity")?,
        unit_price: part.optional("unit_price")?,
        flat_price: part.parse("flat_price")?,
        amount: Money::new(part.parse("amount")?, currency),
    })
}

/// A part of a line as it was written when lines had tiers alone.
fn tier_from(tier: Reader<'_>, currency: Currency) -> Result<LinePart, StoreError> {
    Ok(LinePart {
        filter: None,
        kind: PartKind::Tier { after: tier.parse("after")?, up_to: tier.optional("up_to")? },
        quantity: tier.parse("quantity")?,
        unit_price: Some(tier.parse("unit_price")?),
        flat_price: tier.parse("flat_price")?,
        amount: Money::new(tier.parse("amount")?, currency),
    })
}

fn share_item(proration: Proration) -> Item {
    let unit = match proration.unit {
        ProrationUnit::Second => "second",
        ProrationUnit::Day => "day",
    };
    Item::default()
        .number("part", proration.part)
        .number("whole", proration.whole)
        .text("unit", unit)
        .flag("is_credit", proration.is_credit)
}

fn share_from(proration: Reader<'_>) -> Result<Proration, StoreError> {
    Ok(Proration {
        part: proration.number("part")?,
        whole: proration.number("whole")?,
        unit: match proration.text("unit")? {
            "second" => ProrationUnit::Second,
            "day" => ProrationUnit::Day,
            _ => return Err(proration.corrupt("unit")),
        },
        is_credit: proration.flag("is_credit")?,
    })
}

pub(crate) fn period_item(period: BillingPeriod) -> Item {
    Item::default().time("start", period.start()).time("end", period.end())
}

pub(crate) fn period_from(period: Reader<'_>) -> Result<BillingPeriod, StoreError> {
    BillingPeriod::new(period.time("start")?, period.time("end")?).map_err(|_| period.corrupt("period"))
}
