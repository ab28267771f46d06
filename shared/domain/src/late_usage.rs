//! Late usage: what came of a period after its invoice was final, billed on the subscription's next invoice.
//!
//! The bill of the period is rated again as a whole, so that tiers, minimums and free units come out as if
//! the usage had been in time. What differs from all that was billed of it so far is one line.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use crate::{
    charge_usage::ChargeUsage,
    id::{ChargeId, InvoiceId},
    invoice::{Invoice, InvoiceStatus, LineItem, LineSource},
    line_part::{LinePart, PartKind},
    money::{Money, MoneyError},
    period::{BillingPeriod, PeriodError},
    period_close::invoice_id,
    rating::{self, RatingError, UnratedCharge},
    seen_usage::SeenUsage,
    subscription::{PlansById, Subscription},
    timeline::Bill,
};

#[cfg(test)]
mod tests;

/// How many bills a draft looks back at.
pub const BILLS_MAX: usize = 3;

/// A bill with the invoice that was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// The bill.
    pub bill: Bill,
    /// Its invoice.
    pub invoice: Invoice,
}

/// Bills of a subscription in order of time, each with the id its first invoice has if there is one.
pub type Bills = Vec<(InvoiceId, Bill)>;

/// The last bills before the one at `at`, and those after it that fell due already, which only one has that was made
/// again or is finalized late. Bills on which nothing was due do not count, as of months of a plan whose usage is billed
/// by the quarter.
///
/// Errors: `OutOfRange` past the calendar.
pub fn bills_around(
    subscription: &Subscription,
    plans: &PlansById,
    at: DateTime<Utc>,
) -> Result<(Bills, Bills), PeriodError> {
    let timeline = subscription.timeline(plans);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut last = None;
    // From the start on, since only from there it is known when something was due.
    while let Some(next) = timeline.next(last)?
        && (next <= at || subscription.billed_until.is_some_and(|until| next <= until))
    {
        if next < at {
            before.push((last, next));
        } else if next > at {
            after.push((last, next));
        }
        last = Some(next);
    }
    let some = |times: &mut dyn Iterator<Item = (Option<DateTime<Utc>>, DateTime<Utc>)>| {
        let mut bills = Vec::new();
        for (last, at) in times {
            let bill = timeline.bill(last, at)?;
            if !bill.dues.is_empty() {
                bills.push((invoice_id(subscription, at, 0), bill));
            }
            if bills.len() == BILLS_MAX {
                break;
            }
        }
        Ok::<_, PeriodError>(bills)
    };
    let mut newest_first = some(&mut before.into_iter().rev())?;
    newest_first.reverse();
    Ok((newest_first, some(&mut after.into_iter())?))
}

/// Those of some bills, oldest first, whose late usage comes to the draft after them.
///
/// None while one of them is a draft itself: only the oldest draft of a subscription bills late usage, so
/// that no two do. None up to one whose lines somebody wrote: nobody knows what those lines settled.
pub fn looked_back_at(mut before: Vec<Billed>) -> Vec<Billed> {
    if before.iter().any(|billed| billed.invoice.is_draft()) {
        return Vec::new();
    }
    let written = before.iter().rposition(|billed| billed.invoice.has_edited_lines);
    before.split_off(written.map_or(0, |place| place + 1))
}

impl Billed {
    /// Whether usage that is late for it is billed: it is final, and was not given up.
    pub fn is_rated_again(&self) -> bool {
        match self.invoice.status {
            InvoiceStatus::Open | InvoiceStatus::Paid { .. } | InvoiceStatus::Uncollectible { .. } => true,
            InvoiceStatus::Draft { .. } | InvoiceStatus::Void { .. } => false,
        }
    }
}

/// Whether all of a bill's usage is on some invoices, whose lines were rated when its heads had been written as
/// often as now.
pub fn is_seen<'a>(billed: &Billed, invoices: impl IntoIterator<Item = &'a Invoice>, writes: u64) -> bool {
    let now = SeenUsage { invoice: billed.invoice.id, writes };
    invoices.into_iter().any(|invoice| invoice.seen.contains(&now))
}

/// The lines of late usage for bills that were looked back at, each with its usage as it is known now; `None` if it
/// is not rated again, or all of it is billed. What they and `later` invoices have of it counts as billed, also if one
/// is void, since nothing of that is to be paid; but not once that one was made again, even if the new draft is gone.
///
/// Errors: as for [`rating::lines`].
pub fn lines(
    before: &[(Billed, Option<Vec<ChargeUsage>>)],
    later: &[Invoice],
    zone: Tz,
) -> Result<Vec<LineItem>, UnratedCharge> {
    let all = || before.iter().map(|(billed, _)| &billed.invoice).chain(later);
    let invoices = || all().filter(|invoice| invoice.replaced_by.is_none());
    let mut late = Vec::new();
    for (billed, usage) in before {
        let Some(usage) = usage else { continue };
        for whole in rating::lines(&billed.bill, billed.invoice.currency, usage)? {
            let line = line(&whole, &billed.invoice, invoices(), zone);
            late.extend(line.map_err(|error| UnratedCharge::of(&whole.description, error))?);
        }
    }
    Ok(late)
}

/// What `whole`, a line as it would be now, differs by from what is on its `original` and in later lines.
fn line<'a>(
    whole: &LineItem,
    original: &'a Invoice,
    invoices: impl Iterator<Item = &'a Invoice>,
    zone: Tz,
) -> Result<Option<LineItem>, RatingError> {
    let LineSource::Usage { charge, meter, events } = whole.source else { return Ok(None) };
    let Some(period) = whole.period else { return Ok(None) };
    let first = original.lines.iter().find(|line| is_of(line, charge, period, Kind::First));
    let Some(first) = first else { return Ok(None) };
    let later = invoices.flat_map(|invoice| &invoice.lines);
    let billed = later.filter(|line| is_of(line, charge, period, Kind::Late)).chain([first]);
    let billed = billed.collect::<Vec<_>>();
    let billed_amount = Money::sum(whole.amount.currency(), billed.iter().map(|line| line.amount))?;
    let amount = whole.amount.checked_sub(billed_amount)?;
    if amount.is_zero() {
        return Ok(None);
    }
    let billed_quantity = billed.iter().map(|line| line.quantity).sum::<Decimal>();
    let before = billed_before(billed_quantity, billed_amount)?;
    let date = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
    let (start, end) = (date(period.start()), date(period.end()));
    Ok(Some(LineItem {
        description: format!("{}, late usage of {start} to {end}", whole.description),
        source: LineSource::LateUsage {
            charge,
            meter,
            events: events.saturating_sub(billed.iter().map(|line| events_of(line)).sum()),
            whole_quantity: whole.quantity,
            whole_amount: whole.amount,
        },
        metered: whole.metered.clone(),
        quantity: whole.quantity - billed_quantity,
        unit_price: None,
        parts: whole.parts.iter().cloned().chain([before]).collect(),
        proration: None,
        period: Some(period),
        amount: amount.rounded(),
    }))
}

/// What is taken off the whole, as a part of the line.
fn billed_before(quantity: Decimal, amount: Money) -> Result<LinePart, MoneyError> {
    let amount = Money::zero(amount.currency()).checked_sub(amount)?.rounded();
    let (filter, unit_price, flat_price) = (None, None, amount.amount());
    Ok(LinePart { filter, kind: PartKind::BilledBefore, quantity: -quantity, unit_price, flat_price, amount })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    First,
    Late,
}

fn is_of(line: &LineItem, of: ChargeId, period: BillingPeriod, kind: Kind) -> bool {
    let is_of_charge = match line.source {
        LineSource::Usage { charge, .. } => charge == of && kind == Kind::First,
        LineSource::LateUsage { charge, .. } => charge == of && kind == Kind::Late,
        LineSource::Fixed { .. } | LineSource::Manual => false,
    };
    is_of_charge && line.period == Some(period)
}

fn events_of(line: &LineItem) -> u64 {
    match line.source {
        LineSource::Usage { events, .. } | LineSource::LateUsage { events, .. } => events,
        LineSource::Fixed { .. } | LineSource::Manual => 0,
    }
}
