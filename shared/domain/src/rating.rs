//! Rating: from charges and the usage of a period to line items that show how they came about.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::{
    charge::{Charge, ChargeModel, Price, Tiers},
    currency::Currency,
    id::MeterId,
    invoice::{LineItem, LineSource, TierUse},
    money::{Money, MoneyError},
    period::BillingPeriod,
    quantity::QuantityOverflow,
    totals::Usage,
};

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

/// An amount, not rounded, and the tiers it was added up from.
struct Rated {
    amount: Money,
    unit_price: Option<Decimal>,
    tiers: Vec<TierUse>,
}

/// One line per charge, in the order of `charges`. Each line is rounded once.
///
/// Errors: if a quantity or an amount cannot be computed exactly.
pub fn line_items<'a>(
    charges: impl IntoIterator<Item = &'a Charge>,
    currency: Currency,
    usage: &UsageByMeter,
    period: BillingPeriod,
) -> Result<Vec<LineItem>, RatingError> {
    charges.into_iter().map(|charge| line_item(charge, currency, usage, period)).collect()
}

fn line_item(
    charge: &Charge,
    currency: Currency,
    usage: &UsageByMeter,
    period: BillingPeriod,
) -> Result<LineItem, RatingError> {
    let (quantity, source, rated) = match &charge.price {
        Price::Fixed { unit_price, quantity } => {
            let source = LineSource::Fixed { charge: charge.id };
            (*quantity, source, rate_standard(*unit_price, currency, *quantity)?)
        }
        Price::Usage { meter, model } => {
            let usage = usage.get(meter).copied().unwrap_or_default();
            let quantity = usage.quantity.to_decimal()?;
            let source = LineSource::Usage { charge: charge.id, meter: *meter, events: usage.events };
            (quantity, source, rate(model, currency, quantity)?)
        }
    };
    Ok(LineItem {
        description: charge.display_name.clone(),
        source,
        quantity,
        unit_price: rated.unit_price,
        tiers: rated.tiers,
        period: Some(period),
        amount: rated.amount.rounded(),
    })
}

fn rate(model: &ChargeModel, currency: Currency, quantity: Decimal) -> Result<Rated, RatingError> {
    match model {
        ChargeModel::Standard { unit_price } => rate_standard(*unit_price, currency, quantity),
        ChargeModel::Graduated(tiers) => rate_graduated(tiers, currency, quantity),
        ChargeModel::Volume(tiers) => rate_volume(tiers, currency, quantity),
    }
}

fn rate_standard(unit_price: Decimal, currency: Currency, quantity: Decimal) -> Result<Rated, RatingError> {
    let amount = Money::new(unit_price, currency).checked_mul(quantity)?;
    Ok(Rated { amount, unit_price: Some(unit_price), tiers: Vec::new() })
}

fn rate_graduated(tiers: &Tiers, currency: Currency, quantity: Decimal) -> Result<Rated, RatingError> {
    let used = tiers.iter().take_while(|(after, _)| after.is_zero() || *after < quantity);
    let tiers = used
        .map(|(after, tier)| {
            let last = tier.up_to.map_or(quantity, |up_to| up_to.min(quantity));
            tier_use(after, tier, currency, last - after)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Rated { amount: Money::sum(currency, tiers.iter().map(|tier| tier.amount))?, unit_price: None, tiers })
}

fn rate_volume(tiers: &Tiers, currency: Currency, quantity: Decimal) -> Result<Rated, RatingError> {
    let reached = tiers.iter().take_while(|(after, _)| after.is_zero() || *after < quantity).last();
    let tiers = reached.map(|(after, tier)| tier_use(after, tier, currency, quantity)).transpose()?;
    let amount = tiers.as_ref().map_or(Money::zero(currency), |tier| tier.amount);
    Ok(Rated { amount, unit_price: None, tiers: Vec::from_iter(tiers) })
}

fn tier_use(
    after: Decimal,
    tier: &crate::charge::Tier,
    currency: Currency,
    quantity: Decimal,
) -> Result<TierUse, RatingError> {
    let flat = Money::new(tier.flat_price, currency);
    let amount = Money::new(tier.unit_price, currency).checked_mul(quantity)?.checked_add(flat)?;
    let (up_to, unit_price, flat_price) = (tier.up_to, tier.unit_price, tier.flat_price);
    Ok(TierUse { after, up_to, quantity, unit_price, flat_price, amount })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        charge::Tier,
        id::{ChargeId, Id},
    };

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    /// Tiers from `up_to at unit_price + flat_price`, comma separated.
    fn tiers(text: &str) -> Tiers {
        let tier = |text: &str| {
            let (bound, prices) = text.trim().split_once(" at ").unwrap();
            let (unit_price, flat_price) = prices.split_once(" + ").unwrap_or((prices, "0"));
            Tier {
                up_to: (bound != "more").then(|| decimal(bound)),
                unit_price: decimal(unit_price),
                flat_price: decimal(flat_price),
            }
        };
        Tiers::new(text.split(',').map(tier).collect()).unwrap()
    }

    fn amount(model: &ChargeModel, quantity: &str) -> String {
        let rated = rate(model, Currency::USD, decimal(quantity)).unwrap();
        rated.amount.amount().normalize().to_string()
    }

    #[test]
    fn each_unit_pays_the_price_of_its_tier() {
        let model = ChargeModel::Graduated(tiers("1000 at 0.002, 10000 at 0.001, more at 0.0005"));
        let check = |quantity, expected| assert_eq!(amount(&model, quantity), expected, "{quantity}");
        check("0", "0");
        check("0.5", "0.001");
        check("1000", "2"); // last unit of the first tier
        check("1001", "2.001"); // first unit of the second
        check("1000.5", "2.0005"); // between two units
        check("10000", "11");
        check("15000", "13.5");
        check("1e9", "500006");
    }

    #[test]
    fn all_units_pay_the_price_of_the_last_tier_reached() {
        let model = ChargeModel::Volume(tiers("1000 at 0.002, 10000 at 0.001, more at 0.0005"));
        let check = |quantity, expected| assert_eq!(amount(&model, quantity), expected, "{quantity}");
        check("0", "0");
        check("1000", "2");
        check("1001", "1.001");
        check("10000", "10");
        check("15000", "7.5");
    }

    #[test]
    fn flat_prices_are_charged_once_per_tier_reached() {
        let steps = tiers("10 at 1 + 5, 20 at 2 + 7, more at 3 + 9");
        let graduated = ChargeModel::Graduated(steps.clone());
        let volume = ChargeModel::Volume(steps);
        let check = |quantity, expected: [&str; 2]| {
            assert_eq!([amount(&graduated, quantity), amount(&volume, quantity)], expected, "{quantity}");
        };
        check("0", ["5", "5"]);
        check("10", ["15", "15"]);
        check("11", ["24", "29"]); // 10 × 1 + 5 + 1 × 2 + 7; 11 × 2 + 7
        check("21", ["54", "72"]); // 15 + 20 + 7 + 3 + 9; 21 × 3 + 9
    }

    #[test]
    fn the_first_thousand_may_be_free() {
        let model = ChargeModel::Graduated(tiers("1000 at 0, more at 0.001"));
        assert_eq!(amount(&model, "1500"), "0.5");
    }

    #[test]
    fn a_line_rounds_once_and_says_how_it_came_about() {
        let meter = Id::from_uuid(uuid::Uuid::from_u128(1));
        let charge = Charge {
            id: ChargeId::from_uuid(uuid::Uuid::from_u128(2)),
            display_name: "Calls".into(),
            price: Price::Usage { meter, model: ChargeModel::Graduated(tiers("1 at 0.004, more at 0.004")) },
            added_in: 1,
            retired_in: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
        };
        let at = |text: &str| text.parse().unwrap();
        let period = BillingPeriod::new(at("2025-01-01T00:00:00Z"), at("2025-02-01T00:00:00Z")).unwrap();
        let used = Usage { quantity: "2".parse().unwrap(), events: 2 };
        let lines =
            line_items([&charge], Currency::USD, &UsageByMeter::from([(meter, used)]), period).unwrap();
        let [line] = lines.as_slice() else { panic!("one charge gives one line") };
        assert_eq!(line.amount.to_string(), "USD 0.01", "0.004 + 0.004, not 0.00 + 0.00");
        assert_eq!(line.source, LineSource::Usage { charge: charge.id, meter, events: 2 });
        assert_eq!(line.tiers.iter().map(|tier| tier.quantity).sum::<Decimal>(), line.quantity);
    }

    #[test]
    fn an_amount_too_large_is_an_error() {
        let model = ChargeModel::Standard { unit_price: decimal("1e15") };
        assert!(rate(&model, Currency::USD, decimal("1e20")).is_err());
    }

    proptest! {
        #[test]
        fn graduated_never_falls_and_its_parts_add_up(
            bounds in prop::collection::btree_set(1_i64..5000, 0..6),
            prices in prop::collection::vec((0_i64..1000, 0_i64..100), 7),
            quantity in 0_i64..6000,
        ) {
            let open = std::iter::once(None);
            let tiers = bounds.into_iter().map(Some).chain(open).zip(prices).map(|(up_to, (unit, flat))| Tier {
                up_to: up_to.map(Decimal::from),
                unit_price: Decimal::new(unit, 4),
                flat_price: Decimal::new(flat, 2),
            });
            let tiers = Tiers::new(tiers.collect()).unwrap();
            let at = |quantity: i64| rate_graduated(&tiers, Currency::USD, Decimal::from(quantity)).unwrap();
            let rated = at(quantity);
            prop_assert!(at(quantity + 1).amount.amount() >= rated.amount.amount());
            prop_assert_eq!(rated.tiers.iter().map(|tier| tier.quantity).sum::<Decimal>(), Decimal::from(quantity));
            // Unit by unit, the slow way.
            let naive = (1..=quantity).map(|unit| {
                let (_, tier) = tiers.iter().find(|(_, tier)| tier.up_to.is_none_or(|up_to| Decimal::from(unit) <= up_to)).unwrap();
                tier.unit_price
            }).sum::<Decimal>();
            let reached = tiers.iter().filter(|(after, _)| after.is_zero() || *after < Decimal::from(quantity));
            prop_assert_eq!(rated.amount.amount(), naive + reached.map(|(_, tier)| tier.flat_price).sum::<Decimal>());
        }
    }
}
