//! Rating: from charges and the usage of a period to line items that show how they came about.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;

use crate::{
    charge::{FixedPrice, Limits, Price, UsagePrice},
    charge_usage::ChargeUsage,
    currency::Currency,
    id::MeterId,
    invoice::{LineItem, LineSource},
    line_part::{LinePart, PartKind},
    money::{Money, MoneyError},
    period::BillingPeriod,
    quantity::QuantityOverflow,
    timeline::{Bill, Due, DueKind, Reason},
    totals::Usage,
};

mod model;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

/// What a customer used in a period, by meter. A meter that is missing was not used.
pub type UsageByMeter = BTreeMap<MeterId, Usage>;

/// Why a charge could not be rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// The quantity has too many digits.
    #[error(transparent)]
    Quantity(#[from] QuantityOverflow),
    /// The amount has too many digits.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Which charge could not be rated, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{charge}`: {error}")]
pub struct UnratedCharge {
    /// What it is called.
    pub charge: String,
    /// Why.
    pub error: RatingError,
}

/// What a charge comes to: a quantity, and the parts of the amount, none of them rounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rated {
    /// How much, over all parts.
    pub quantity: Decimal,
    /// Price of one, where there is one price.
    pub unit_price: Option<Decimal>,
    /// What the amount is added up from.
    pub parts: Vec<LinePart>,
    /// The sum of the parts, not rounded.
    pub amount: Money,
}

/// The lines of a bill, in its order. `usage` is that of its usage charges, in the same order; what is
/// missing was not used. Each line is rounded once.
///
/// Errors: with the charge whose quantity or amount cannot be computed exactly.
pub fn lines(bill: &Bill, currency: Currency, usage: &[ChargeUsage]) -> Result<Vec<LineItem>, UnratedCharge> {
    let mut usage = usage.iter();
    let mut rated = |due: &Due| {
        let line = line(due, bill.at, currency, &mut usage);
        line.map_err(|error| UnratedCharge::of(&due.charge.display_name, error))
    };
    let lines = bill.dues.iter().map(|due| Ok((due, rated(due)?)));
    let lines = lines.collect::<Result<Vec<_>, UnratedCharge>>()?;
    Ok(lines.into_iter().filter(|(due, line)| !is_empty_instant(due, line)).map(|(_, line)| line).collect())
}

/// Whether a line is of an instant alone, in which a subscription ended right after a bill, and nothing was used.
fn is_empty_instant(due: &Due, line: &LineItem) -> bool {
    let (DueKind::Usage(ranges, _), LineSource::Usage { events: 0, .. }) = (&due.kind, &line.source) else {
        return false;
    };
    ranges.iter().all(|range| range.end() - range.start() <= TimeDelta::milliseconds(2))
}

impl UnratedCharge {
    /// That the charge of this name could not be rated.
    pub fn of(charge: &str, error: impl Into<RatingError>) -> Self {
        Self { charge: charge.to_owned(), error: error.into() }
    }
}

fn line<'a>(
    due: &Due,
    at: DateTime<Utc>,
    currency: Currency,
    usage: &mut impl Iterator<Item = &'a ChargeUsage>,
) -> Result<LineItem, RatingError> {
    let charge = &due.charge;
    let (source, metered, rated) = match &charge.price {
        Price::Fixed(price) => {
            (LineSource::Fixed { charge: charge.id }, None, fixed(price, price.quantity, currency)?)
        }
        Price::Usage(price) => {
            let usage = usage.next().cloned().unwrap_or_default();
            let (meter, events) = (price.meter, usage.events());
            let source = LineSource::Usage { charge: charge.id, meter, events };
            let rated = by_usage(price, &usage, currency)?;
            (source, usage.metered, rated)
        }
    };
    let name = &charge.display_name;
    let (description, period, proration) = match &due.kind {
        DueKind::Usage(ranges, _) => (name.clone(), whole_range(ranges, at), None),
        DueKind::Once => (name.clone(), None, None),
        DueKind::Fixed(period, proration, reason) => {
            let description = match reason {
                Reason::Interval => name.clone(),
                Reason::Remaining => format!("Remaining time on {name}"),
                Reason::Unused => format!("Unused time on {name}"),
            };
            let is_plain = proration.is_whole() && !proration.is_credit;
            (description, Some(*period), Some(*proration).filter(|_| !is_plain))
        }
    };
    let amount = proration.map_or(Ok(rated.amount), |proration| proration.of(rated.amount))?;
    Ok(LineItem {
        description,
        source,
        metered,
        quantity: rated.quantity,
        unit_price: rated.unit_price,
        parts: rated.parts,
        proration,
        period,
        amount: amount.rounded(),
    })
}

/// From the first of some ranges to the last, which are billed at `at`.
fn whole_range(ranges: &[BillingPeriod], at: DateTime<Utc>) -> Option<BillingPeriod> {
    let (first, last) = ranges.first().zip(ranges.last())?;
    BillingPeriod::new(first.start(), last.end().min(at)).ok()
}

/// What `quantity` of a fixed charge comes to for a whole interval.
///
/// Errors: if a quantity or an amount cannot be computed exactly.
pub fn fixed(price: &FixedPrice, quantity: Decimal, currency: Currency) -> Result<Rated, RatingError> {
    let included = price.included_units.min(quantity);
    let mut parts = Vec::new();
    if !included.is_zero() {
        parts.push(model::included(included, currency));
    }
    parts.push(model::units(quantity - included, price.unit_price, currency)?);
    bound(&mut parts, price.limits, currency)?;
    rated(quantity, Some(price.unit_price), parts, currency)
}

/// What usage comes to.
///
/// Errors: as for [`fixed`].
pub fn by_usage(price: &UsagePrice, usage: &ChargeUsage, currency: Currency) -> Result<Rated, RatingError> {
    let mut parts = Vec::new();
    let mut quantity = Decimal::ZERO;
    for (filter, used) in price.filters.iter().zip(&usage.filtered) {
        if used.usage.events > 0 {
            let mut of_filter = model::parts(&filter.pricing, used, currency)?;
            bound(&mut of_filter, filter.pricing.limits, currency)?;
            let name = filter.name();
            of_filter.iter_mut().for_each(|part| part.filter = Some(name.clone()));
            quantity = add(quantity, used.usage.quantity.to_decimal()?)?;
            parts.extend(of_filter);
        }
    }
    let is_filtered = !parts.is_empty();
    parts.extend(model::parts(&price.pricing, &usage.rest, currency)?);
    quantity = add(quantity, usage.rest.usage.quantity.to_decimal()?)?;
    bound(&mut parts, price.pricing.limits, currency)?;
    let unit_price = model::unit_price(&price.pricing.model).filter(|_| !is_filtered);
    rated(quantity, unit_price, parts, currency)
}

fn rated(
    quantity: Decimal,
    unit_price: Option<Decimal>,
    parts: Vec<LinePart>,
    currency: Currency,
) -> Result<Rated, RatingError> {
    let amount = Money::sum(currency, parts.iter().map(|part| part.amount))?;
    Ok(Rated { quantity, unit_price, parts, amount })
}

/// Adds the part that brings the sum of `parts` within `limits`, if one is needed.
fn bound(parts: &mut Vec<LinePart>, limits: Limits, currency: Currency) -> Result<(), RatingError> {
    let sum = Money::sum(currency, parts.iter().map(|part| part.amount))?;
    let (kind, bound) = match (limits.minimum, limits.maximum) {
        (Some(minimum), _) if sum.amount() < minimum => (PartKind::Minimum { minimum }, minimum),
        (_, Some(maximum)) if sum.amount() > maximum => (PartKind::Maximum { maximum }, maximum),
        _ => return Ok(()),
    };
    let amount = Money::new(bound, currency).checked_sub(sum)?;
    let (quantity, flat_price) = (Decimal::ONE, Decimal::ZERO);
    parts.push(LinePart { filter: None, kind, quantity, unit_price: None, flat_price, amount });
    Ok(())
}

fn add(left: Decimal, right: Decimal) -> Result<Decimal, QuantityOverflow> {
    left.checked_add(right).ok_or(QuantityOverflow)
}
