//! The charge models: what each makes of the usage that one price takes.

use rust_decimal::Decimal;

use super::{RatingError, add};
use crate::{
    charge::Pricing,
    charge_model::{ChargeModel, Package, Percentage},
    charge_usage::{PaidEvents, PricedUsage},
    currency::Currency,
    line_part::{LinePart, PartKind},
    money::{Money, MoneyError},
    tiers::{Tier, Tiers},
};

/// The parts that `used` comes to, without the limits of `pricing`.
pub(super) fn parts(
    pricing: &Pricing,
    used: &PricedUsage,
    currency: Currency,
) -> Result<Vec<LinePart>, RatingError> {
    let quantity = used.usage.quantity.to_decimal()?;
    if let ChargeModel::Percentage(percentage) = &pricing.model {
        return by_percentage(percentage, pricing.included_units, used, quantity, currency);
    }
    let free = pricing.included_units.min(quantity).max(Decimal::ZERO);
    let mut parts = Vec::new();
    if !free.is_zero() {
        parts.push(included(free, currency));
    }
    parts.extend(priced(&pricing.model, quantity - free, currency)?);
    Ok(parts)
}

/// The price of one, where there is one price.
pub(super) fn unit_price(model: &ChargeModel) -> Option<Decimal> {
    match model {
        ChargeModel::Standard { unit_price } => Some(*unit_price),
        ChargeModel::Graduated(_)
        | ChargeModel::Volume(_)
        | ChargeModel::Stairstep(_)
        | ChargeModel::Package(_)
        | ChargeModel::Percentage(_) => None,
    }
}

/// `quantity` at one price.
pub(super) fn units(
    quantity: Decimal,
    unit_price: Decimal,
    currency: Currency,
) -> Result<LinePart, RatingError> {
    part(PartKind::Units, quantity, unit_price, Decimal::ZERO, currency)
}

/// `quantity` at no price.
pub(super) fn included(quantity: Decimal, currency: Currency) -> LinePart {
    LinePart {
        filter: None,
        kind: PartKind::Included,
        quantity,
        unit_price: Some(Decimal::ZERO),
        flat_price: Decimal::ZERO,
        amount: Money::zero(currency),
    }
}

fn part(
    kind: PartKind,
    quantity: Decimal,
    unit_price: Decimal,
    flat_price: Decimal,
    currency: Currency,
) -> Result<LinePart, RatingError> {
    let flat = Money::new(flat_price, currency);
    let amount = Money::new(unit_price, currency).checked_mul(quantity)?.checked_add(flat)?;
    Ok(LinePart { filter: None, kind, quantity, unit_price: Some(unit_price), flat_price, amount })
}

fn priced(model: &ChargeModel, quantity: Decimal, currency: Currency) -> Result<Vec<LinePart>, RatingError> {
    match model {
        ChargeModel::Standard { unit_price } => Ok(vec![units(quantity, *unit_price, currency)?]),
        ChargeModel::Graduated(tiers) => graduated(tiers, quantity, currency),
        ChargeModel::Volume(tiers) => {
            let one = |(after, tier): (Decimal, &Tier)| {
                part(tier_kind(after, tier), quantity, tier.unit_price, tier.flat_price, currency)
            };
            tiers.reached(quantity).map(one).into_iter().collect()
        }
        ChargeModel::Stairstep(tiers) => {
            // The price of a step may be written either way; only one of the two is not 0.
            let one = |(after, tier): (Decimal, &Tier)| {
                let price = add(tier.unit_price, tier.flat_price)?;
                part(tier_kind(after, tier), quantity, Decimal::ZERO, price, currency)
            };
            tiers.reached(quantity).map(one).into_iter().collect()
        }
        ChargeModel::Package(package) => by_package(package, quantity, currency),
        // Rated from its events, above.
        ChargeModel::Percentage(_) => Ok(Vec::new()),
    }
}

fn tier_kind(after: Decimal, tier: &Tier) -> PartKind {
    PartKind::Tier { after, up_to: tier.up_to }
}

fn graduated(tiers: &Tiers, quantity: Decimal, currency: Currency) -> Result<Vec<LinePart>, RatingError> {
    let used = tiers.iter().take_while(|(after, _)| after.is_zero() || *after < quantity);
    used.map(|(after, tier)| {
        let last = tier.up_to.map_or(quantity, |up_to| up_to.min(quantity));
        part(tier_kind(after, tier), last - after, tier.unit_price, tier.flat_price, currency)
    })
    .collect()
}

fn by_package(
    package: &Package,
    quantity: Decimal,
    currency: Currency,
) -> Result<Vec<LinePart>, RatingError> {
    let free = package.free_units.min(quantity).max(Decimal::ZERO);
    let units = quantity - free;
    let mut parts = Vec::new();
    if !free.is_zero() {
        parts.push(included(free, currency));
    }
    let kind = PartKind::Packages { size: package.size, units };
    parts.push(part(kind, begun(units, package.size)?, package.unit_price, Decimal::ZERO, currency)?);
    Ok(parts)
}

/// How many packages of `size` are begun by `units`. By the remainder: a quotient might round up to a
/// whole number that it does not reach.
fn begun(units: Decimal, size: Decimal) -> Result<Decimal, RatingError> {
    if units <= Decimal::ZERO {
        return Ok(Decimal::ZERO);
    }
    let remainder = units.checked_rem(size).ok_or(MoneyError::Overflow)?;
    let whole = (units - remainder).checked_div(size).ok_or(MoneyError::Overflow)?.round();
    Ok(if remainder.is_zero() { whole } else { add(whole, Decimal::ONE)? })
}

fn by_percentage(
    percentage: &Percentage,
    included_units: Decimal,
    used: &PricedUsage,
    quantity: Decimal,
    currency: Currency,
) -> Result<Vec<LinePart>, RatingError> {
    let free_amount = percentage.free_amount(included_units).unwrap_or_default();
    let paid = used.paid.unwrap_or_else(|| PaidEvents {
        events: used.usage.events,
        quantity: (quantity - free_amount).max(Decimal::ZERO),
        ..PaidEvents::default()
    });
    let mut parts = Vec::new();
    let free = quantity - paid.quantity;
    if !free.is_zero() {
        parts.push(included(free, currency));
    }
    let rate = percentage.rate / Decimal::ONE_HUNDRED;
    parts.push(part(PartKind::Percentage, paid.quantity, rate, Decimal::ZERO, currency)?);
    if !percentage.fixed_fee.is_zero() {
        let events = Decimal::from(paid.events);
        parts.push(part(PartKind::EventFees, events, percentage.fixed_fee, Decimal::ZERO, currency)?);
    }
    let bounds = [
        percentage.minimum_per_event.map(|minimum| (PartKind::EventMinimum { minimum }, paid.raised)),
        percentage
            .maximum_per_event
            .map(|maximum| (PartKind::EventMaximum { maximum }, (paid.lowered.0, -paid.lowered.1))),
    ];
    for (kind, (events, amount)) in bounds.into_iter().flatten().filter(|(_, (events, _))| *events > 0) {
        let (quantity, flat_price) = (Decimal::from(events), Decimal::ZERO);
        let amount = Money::new(amount, currency);
        parts.push(LinePart { filter: None, kind, quantity, unit_price: None, flat_price, amount });
    }
    Ok(parts)
}
