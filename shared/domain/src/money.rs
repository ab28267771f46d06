//! Amounts of money: decimal, never without a currency, rounded in one place.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

use crate::currency::Currency;

/// An amount in major units of one currency: `12.50` EUR is twelve euros fifty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

/// Why an amount could not be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Two amounts of different currencies met.
    #[error("{left} and {right} cannot be added")]
    CurrencyMismatch {
        /// Currency of the first amount.
        left: Currency,
        /// Currency of the second amount.
        right: Currency,
    },
    /// The amount reaches 10^24.
    #[error("the amount is too large to be computed exactly")]
    Overflow,
}

impl Money {
    /// An amount of `currency` in major units. Nothing has no sign.
    pub fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount: unsigned_zero(amount), currency }
    }

    /// Nothing, in `currency`.
    pub fn zero(currency: Currency) -> Self {
        Self::new(Decimal::ZERO, currency)
    }

    /// Major units.
    pub fn amount(self) -> Decimal {
        self.amount
    }

    /// The currency the amount is in.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether the amount is 0.
    pub fn is_zero(self) -> bool {
        self.amount.is_zero()
    }

    /// Errors: `CurrencyMismatch` if the currencies differ, `Overflow` from 10^24.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency });
        }
        self.with(self.amount.checked_add(other.amount))
    }

    /// Errors: as for [`Money::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.checked_add(Self { amount: -other.amount, ..other })
    }

    /// The price of `quantity` units at this price each, not rounded.
    ///
    /// Errors: `Overflow` from 10^24.
    pub fn checked_mul(self, quantity: Decimal) -> Result<Self, MoneyError> {
        self.with(self.amount.checked_mul(quantity))
    }

    /// A `Decimal` keeps 28 digits and drops what comes after them without a word. Below 10^24 the four
    /// decimals that a currency may have are never among those.
    fn with(self, amount: Option<Decimal>) -> Result<Self, MoneyError> {
        let limit = Decimal::from_i128_with_scale(10_i128.pow(24), 0);
        let amount = amount.filter(|amount| amount.abs() < limit).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(amount, self.currency))
    }

    /// Rounds to the currency's minor unit, halves away from zero, and shows all its decimals: `9` USD
    /// becomes `9.00`. Lines round once, here.
    pub fn rounded(self) -> Self {
        let decimals = self.currency.decimals();
        let mut amount = self.amount.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
        amount.rescale(decimals);
        Self::new(amount, self.currency)
    }

    /// Whether the amount can be paid: it has no more decimals than the currency.
    pub fn is_rounded(self) -> bool {
        self.rounded().amount == self.amount
    }

    /// The sum of `amounts`, which all have to be in `currency`; zero for none.
    ///
    /// Errors: as for [`Money::checked_add`].
    pub fn sum(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::checked_add)
    }
}

/// The number, and 0 for −0, which a `Decimal` tells apart where it is written.
fn unsigned_zero(mut number: Decimal) -> Decimal {
    if number.is_zero() {
        number.set_sign_positive(true);
    }
    number
}

impl fmt::Display for Money {
    /// `USD 12.50`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.amount)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &str) {
        let [code, exact, rounded] = row.split('|').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        let money = Money::new(exact.parse().unwrap(), code.parse().unwrap());
        assert_eq!(money.rounded().amount().to_string(), rounded, "{row}");
        assert!(money.rounded().is_rounded(), "{row}");
    }

    #[test]
    fn nothing_has_no_sign() {
        let credit = Money::new("-0.001".parse().unwrap(), Currency::USD);
        let none = credit.checked_mul(Decimal::ZERO).unwrap();
        for nothing in [credit.rounded(), none, none.rounded(), Money::new(-Decimal::ZERO, Currency::USD)] {
            assert!(!nothing.to_string().contains('-'), "{nothing}");
        }
        assert_eq!(Money::new("-0.005".parse().unwrap(), Currency::USD).rounded().to_string(), "USD -0.01");
    }

    #[test]
    fn amounts_round_half_away_from_zero_to_the_minor_unit() {
        check("USD | 1.004     | 1.00");
        check("USD | 1.005     | 1.01");
        check("USD | -1.005    | -1.01");
        check("USD | 1.0049999 | 1.00");
        check("USD | 9         | 9.00");
        check("JPY | 0.5       | 1");
        check("JPY | 0.4999    | 0");
        check("KWD | 0.0005    | 0.001");
    }

    #[test]
    fn currencies_do_not_mix() {
        let euros = Money::zero("EUR".parse().unwrap());
        assert!(matches!(
            Money::zero(Currency::USD).checked_add(euros),
            Err(MoneyError::CurrencyMismatch { .. })
        ));
    }
}
