//! Explanations: how a line came about, step by step, so that anyone can add it up by hand.

use rust_decimal::Decimal;

use crate::{
    invoice::{Invoice, LineItem, LineSource},
    line_part::{LinePart, PartKind},
    money::{Money, MoneyError},
    proration::{Proration, ProrationUnit},
};

/// The computation of a line, one step each: what was used, every part of the amount, and the rounding.
pub fn steps(line: &LineItem) -> Vec<String> {
    let mut steps = Vec::new();
    if let LineSource::Usage { events, .. } = line.source {
        let s = if events == 1 { "" } else { "s" };
        steps.push(format!("usage of {} from {events} event{s}", number(line.quantity)));
    }
    if let LineSource::LateUsage { whole_quantity, whole_amount, .. } = line.source {
        steps.extend(late(line, whole_quantity, whole_amount));
        return steps;
    }
    match Money::sum(line.amount.currency(), line.parts.iter().map(|part| part.amount)) {
        Ok(exact) if !line.parts.is_empty() => match line.proration {
            None => steps.extend(of_parts(&line.parts, exact)),
            Some(proration) => {
                steps.extend(line.parts.iter().map(part));
                if line.parts.len() > 1 {
                    steps.push(sum_step(&line.parts, exact));
                }
                steps.push(share(proration, exact, line.amount));
            }
        },
        _ => steps.push(match line.unit_price {
            Some(price) => {
                format!("{} × {} = {}", number(line.quantity), number(price), line.amount.amount())
            }
            None => line.amount.amount().to_string(),
        }),
    }
    steps
}

/// Every part of an amount, then their sum, `exact`, and how it is rounded.
pub fn of_parts(parts: &[LinePart], exact: Money) -> Vec<String> {
    let rounded = format!("{}, rounded to {}", sum_step(parts, exact), exact.rounded());
    parts.iter().map(part).chain([rounded]).collect()
}

/// The whole as it is known now, part by part, what of it was billed before, and the difference.
fn late(line: &LineItem, whole_quantity: Decimal, whole_amount: Money) -> Vec<String> {
    let parts = line.parts.iter().filter(|part| part.kind != PartKind::BilledBefore).cloned();
    let parts = parts.collect::<Vec<_>>();
    let (whole, amount) = (whole_amount.amount(), line.amount.amount());
    let (billed_quantity, billed) = (whole_quantity - line.quantity, whole - amount);
    let difference = sum_of([whole, -billed].map(|amount| amount.to_string()));
    let used = format!("usage of {} in the whole period, known by now", number(whole_quantity));
    let mut steps = match Money::sum(line.amount.currency(), parts.iter().map(|part| part.amount)) {
        Ok(exact) if !parts.is_empty() => [used].into_iter().chain(of_parts(&parts, exact)).collect(),
        _ => vec![format!("{used}: {whole}")], // lines once had no parts
    };
    steps.push(format!("usage of {} billed before: {billed}", number(billed_quantity)));
    steps.push(format!("{difference} = {}", line.amount));
    steps
}

fn sum_step(parts: &[LinePart], exact: Money) -> String {
    match parts {
        [_] => number(exact.amount()),
        parts => {
            let amounts = parts.iter().map(|part| number(part.amount.amount()));
            format!("{} = {}", sum_of(amounts), number(exact.amount()))
        }
    }
}

/// `17 of 31 days: 30 × 17 / 31, rounded to USD 16.45`
fn share(proration: Proration, exact: Money, amount: Money) -> String {
    let Proration { part, whole, is_credit, .. } = proration;
    let (given_back, sign) = if is_credit { (", given back", "−") } else { ("", "") };
    let exact = number(exact.amount());
    format!("{}{given_back}: {sign}{exact} × {part} / {whole}, rounded to {amount}", fraction(proration))
}

/// `17 of 31 days`
pub fn fraction(Proration { part, whole, unit, .. }: Proration) -> String {
    let unit = match unit {
        ProrationUnit::Second => "seconds",
        ProrationUnit::Day => "days",
    };
    format!("{part} of {whole} {unit}")
}

/// How the lines of an invoice come to its total.
///
/// Errors: if a sum cannot be computed, which no stored invoice lets happen.
pub fn total_steps(invoice: &Invoice) -> Result<Vec<String>, MoneyError> {
    let (subtotal, total) = (invoice.subtotal()?.rounded(), invoice.total()?.rounded());
    let (sum, tax) = (invoice.line_sum()?, invoice.tax.total(invoice.currency)?);
    let name = if invoice.tax.is_included { "sum of the lines" } else { "subtotal" };
    let amounts = invoice.lines.iter().map(|line| line.amount.amount().to_string());
    let mut steps = vec![match invoice.lines.len() {
        0 | 1 => format!("{name} {}", sum.amount()),
        _ => format!("{name} {} = {}", sum_of(amounts), sum.amount()),
    }];
    let taxes = &invoice.tax.lines;
    let all = taxes.iter().map(|line| line.percent).sum::<Decimal>();
    steps.extend(taxes.iter().map(|line| {
        let part = match invoice.tax.is_included {
            true => format!("{} ÷ {} of", number(line.percent), number(Decimal::ONE_HUNDRED + all)),
            false => format!("{} % of", number(line.percent)),
        };
        format!("{} {part} {}, rounded to {}", line.name, sum.amount(), line.amount.amount())
    }));
    if taxes.len() != 1 {
        steps.push(format!("tax {}", tax.amount()));
    }
    if invoice.tax.is_included {
        steps.push(format!("subtotal {} − {} = {}", sum.amount(), tax.amount(), subtotal.amount()));
    }
    let both = [subtotal, tax].map(|money| money.amount().to_string());
    steps.push(format!("total {} = {total}", sum_of(both)));
    Ok(steps)
}

fn sum_of(amounts: impl IntoIterator<Item = String>) -> String {
    amounts.into_iter().collect::<Vec<_>>().join(" + ").replace("+ -", "− ")
}

/// A part in words and figures.
pub fn part(part: &LinePart) -> String {
    let text = computation(part);
    match &part.filter {
        Some(filter) => format!("{filter}: {text}"),
        None => text,
    }
}

/// What a part is of, without its figures.
pub fn label(part: &LinePart) -> String {
    let text = match part.kind {
        PartKind::Units => "units".to_owned(),
        PartKind::Included => "included".to_owned(),
        PartKind::Tier { after, up_to: Some(up_to) } if after.is_zero() => {
            format!("tier up to {}", number(up_to))
        }
        PartKind::Tier { after, up_to: Some(up_to) } => {
            format!("tier above {} up to {}", number(after), number(up_to))
        }
        PartKind::Tier { after, up_to: None } => format!("tier above {}", number(after)),
        PartKind::Packages { size, .. } => format!("packages of {}", number(size)),
        PartKind::Percentage => "percentage".to_owned(),
        PartKind::EventFees => "fee for each event".to_owned(),
        PartKind::EventMinimum { minimum } => format!("events raised to {} each", number(minimum)),
        PartKind::EventMaximum { maximum } => format!("events lowered to {} each", number(maximum)),
        PartKind::Minimum { minimum } => format!("raised to the minimum of {}", number(minimum)),
        PartKind::Maximum { maximum } => format!("lowered to the maximum of {}", number(maximum)),
        PartKind::BilledBefore => "billed before".to_owned(),
    };
    match &part.filter {
        Some(filter) => format!("{filter}: {text}"),
        None => text,
    }
}

fn computation(part: &LinePart) -> String {
    let (quantity, amount) = (number(part.quantity), number(part.amount.amount()));
    let price = number(part.unit_price.unwrap_or_default());
    let flat = match part.flat_price {
        flat if flat.is_zero() => String::new(),
        flat => format!(" + {}", number(flat)),
    };
    let plain = LinePart { filter: None, ..part.clone() };
    let label = label(&plain);
    match part.kind {
        PartKind::Units => format!("{quantity} × {price}{flat} = {amount}"),
        PartKind::Included => format!("{quantity} included, at no charge"),
        PartKind::Tier { .. } if part.unit_price.is_some_and(|price| price.is_zero()) && !flat.is_empty() => {
            format!("{label}: {quantity} for {amount}")
        }
        PartKind::Tier { .. } => format!("{label}: {quantity} × {price}{flat} = {amount}"),
        PartKind::Packages { units, size } => {
            let begin = if units == Decimal::ONE { "unit begins" } else { "units begin" };
            let packages = if part.quantity == Decimal::ONE { "package" } else { "packages" };
            let (units, size) = (number(units), number(size));
            format!("{units} {begin} {quantity} {packages} of {size}: {quantity} × {price} = {amount}")
        }
        PartKind::Percentage => {
            let percent = part.unit_price.unwrap_or_default() * Decimal::ONE_HUNDRED;
            format!("{} % of {quantity} = {amount}", number(percent))
        }
        PartKind::EventFees => format!("{label}: {quantity} × {price} = {amount}"),
        PartKind::EventMinimum { minimum: to } | PartKind::EventMaximum { maximum: to }
            if part.quantity == Decimal::ONE =>
        {
            let is_raised = matches!(part.kind, PartKind::EventMinimum { .. });
            format!("1 event {} to {}: {amount}", if is_raised { "raised" } else { "lowered" }, number(to))
        }
        PartKind::EventMinimum { .. } | PartKind::EventMaximum { .. } => {
            format!("{quantity} {label}: {amount}")
        }
        PartKind::Minimum { .. } | PartKind::Maximum { .. } => format!("{label}: {amount}"),
        PartKind::BilledBefore => format!("{} {label}: {amount}", number(-part.quantity)),
    }
}

/// No more decimals than there are.
fn number(number: Decimal) -> String {
    number.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        currency::Currency,
        id::Id,
        tax::{TaxTerms, TaxTreatment},
    };

    #[test]
    fn the_way_to_the_total_can_be_added_up() {
        let at = chrono::DateTime::UNIX_EPOCH;
        let check = |percents: &[i64], is_included: bool, expected: &[&str]| {
            let mut invoice =
                Invoice::draft(Id::from_parts(at, [1; 10]), Id::from_parts(at, [2; 10]), Currency::USD, at);
            let line = |price: i64| LineItem::manual("A".into(), 1.into(), price.into(), Currency::USD);
            invoice.lines = vec![line(100).unwrap(), line(18).unwrap()];
            let rates = percents.iter().map(|percent| ("GST".to_owned(), Decimal::from(*percent)));
            let terms = TaxTerms { treatment: TaxTreatment::Taxed, is_included, rates: rates.collect() };
            invoice.tax = terms.tax_on(invoice.line_sum().unwrap()).unwrap();
            assert_eq!(total_steps(&invoice).unwrap(), expected);
        };
        check(
            &[],
            false,
            &["subtotal 100.00 + 18.00 = 118.00", "tax 0.00", "total 118.00 + 0.00 = USD 118.00"],
        );
        check(
            &[18],
            false,
            &[
                "subtotal 100.00 + 18.00 = 118.00",
                "GST 18 % of 118.00, rounded to 21.24",
                "total 118.00 + 21.24 = USD 139.24",
            ],
        );
        check(
            &[10, 8],
            true,
            &[
                "sum of the lines 100.00 + 18.00 = 118.00",
                "GST 10 ÷ 118 of 118.00, rounded to 10.00",
                "GST 8 ÷ 118 of 118.00, rounded to 8.00",
                "tax 18.00",
                "subtotal 118.00 − 18.00 = 100.00",
                "total 100.00 + 18.00 = USD 118.00",
            ],
        );
    }
}
