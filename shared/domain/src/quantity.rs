//! Quantities of usage: exact decimals with twelve places, added without rounding.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;

/// A quantity of usage, exact to 10^-12.
///
/// A fixed-point number in 128 bits rather than a `Decimal`: adding two `Decimal`s of very different size
/// rounds silently, and this never does. It also folds several times faster.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    units: i128,
}

/// A sum that passes what a [`Quantity`] can hold. No event may be counted wrongly, so it is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quantity is too large to be computed exactly")]
pub struct QuantityOverflow;

/// Why text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// Not a decimal number.
    #[error("must be a decimal number")]
    NotANumber,
    /// More than [`Quantity::DECIMALS`] decimals.
    #[error("must have at most 12 decimals")]
    TooFine,
    /// Larger than [`Quantity::EVENT_MAX`] either way.
    #[error("must be between -1e22 and 1e22")]
    TooLarge,
}

/// What becomes of decimals after the twelfth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finer {
    Refused,
    Rounded,
}

impl Quantity {
    /// Decimals kept. Twelve leave room for 10^26 above the point, and fit the 28 digits of a price times
    /// a quantity in practice.
    pub const DECIMALS: u32 = 12;

    /// The largest quantity of one event, 10^22: ten thousand of them still add up exactly.
    pub const EVENT_MAX: Self = Self { units: 10_i128.pow(22 + Self::DECIMALS) };

    /// Nothing.
    pub const ZERO: Self = Self { units: 0 };

    /// One unit, what an event counts for a COUNT meter.
    pub const ONE: Self = Self { units: Self::SCALE };

    const SCALE: i128 = 10_i128.pow(Self::DECIMALS);

    /// A quantity of so many 10^-12.
    pub const fn from_units(units: i128) -> Self {
        Self { units }
    }

    /// The quantity in 10^-12.
    pub fn units(self) -> i128 {
        self.units
    }

    /// A whole number of things.
    pub fn from_count(count: u64) -> Self {
        Self { units: i128::from(count) * Self::SCALE }
    }

    /// The exact sum.
    ///
    /// Errors: past about 1.7 × 10^26 either way.
    pub fn checked_add(self, other: Self) -> Result<Self, QuantityOverflow> {
        self.units.checked_add(other.units).map(Self::from_units).ok_or(QuantityOverflow)
    }

    /// The exact difference.
    ///
    /// Errors: past about 1.7 × 10^26 either way.
    pub fn checked_sub(self, other: Self) -> Result<Self, QuantityOverflow> {
        self.units.checked_sub(other.units).map(Self::from_units).ok_or(QuantityOverflow)
    }

    /// Whether it is a [`Decimal`]: it has at most 28 significant digits, or few more.
    pub fn is_decimal(self) -> bool {
        // With all its decimals one takes 96 bits. Nearly every number does with fewer.
        self.units.unsigned_abs() < 1 << 96 || self.to_decimal().is_ok()
    }

    /// The same number as a `Decimal` without trailing zeros, for rating.
    ///
    /// Errors: if it has more than 28 significant digits.
    pub fn to_decimal(self) -> Result<Decimal, QuantityOverflow> {
        let (mut units, mut decimals) = (self.units, Self::DECIMALS);
        while decimals > 0 && units % 10 == 0 {
            units /= 10;
            decimals -= 1;
        }
        Decimal::try_from_i128_with_scale(units, decimals).map_err(|_| QuantityOverflow)
    }

    /// Reads as [`Quantity::from_str`] does, and rounds what has more decimals, half away from zero: floats are sent
    /// with up to 17 digits, such as `0.30000000000000004`.
    ///
    /// Errors: as there, but for those decimals.
    pub fn rounded(text: &str) -> Result<Self, InvalidQuantity> {
        Self::read(text, Finer::Rounded)
    }

    fn read(text: &str, finer: Finer) -> Result<Self, InvalidQuantity> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => {
                let (mantissa, exponent) = text.split_at(at);
                let exponent = exponent.get(1..).unwrap_or_default();
                if exponent.is_empty() || exponent.len() > 4 {
                    return Err(InvalidQuantity::NotANumber);
                }
                (mantissa, exponent.parse::<i32>().map_err(|_| InvalidQuantity::NotANumber)?)
            }
            None => (text, 0),
        };
        let (is_negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || digits.ends_with('.') {
            return Err(InvalidQuantity::NotANumber);
        }

        // The number is `significant` × 10^`shift`, in units of 10^-12.
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        let trailing_zeros = i32::try_from(all.len() - all.trim_end_matches('0').len());
        let (Ok(trailing_zeros), Ok(places), Ok(length)) =
            (trailing_zeros, i32::try_from(fraction.len()), i32::try_from(significant.len()))
        else {
            return Err(InvalidQuantity::TooLarge);
        };
        let shift = exponent - places + trailing_zeros + Self::DECIMALS.cast_signed();
        if shift < 0 && finer == Finer::Refused {
            return Err(InvalidQuantity::TooFine);
        }
        if length + shift > 22 + Self::DECIMALS.cast_signed() + 1 {
            return Err(InvalidQuantity::TooLarge);
        }
        // Of a number smaller than its finest digit nothing is left, and what is cut off begins with a zero.
        let kept = usize::try_from(length + shift.min(0)).ok();
        let (kept, cut) = kept.map_or(("", "0"), |kept| significant.split_at(kept));
        let kept = if kept.is_empty() { "0" } else { kept };
        let units = kept.parse::<i128>().ok().zip(10_i128.checked_pow(shift.max(0).unsigned_abs()));
        let units = units.and_then(|(digits, scale)| digits.checked_mul(scale));
        let units =
            units.ok_or(InvalidQuantity::TooLarge)? + i128::from(cut.starts_with(|digit| digit >= '5'));
        if units > Self::EVENT_MAX.units {
            return Err(InvalidQuantity::TooLarge);
        }
        Ok(Self { units: if is_negative { -units } else { units } })
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    /// Reads digit by digit, with an exponent if there is one: `4`, `0.25`, `1e-7`, `1E+21`.
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        Self::read(text, Finer::Refused)
    }
}

impl fmt::Display for Quantity {
    /// Plain digits without trailing zeros: `100`, `0.25`, `-3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.units / Self::SCALE, (self.units % Self::SCALE).unsigned_abs());
        if self.units < 0 {
            f.write_str("-")?;
        }
        write!(f, "{}", whole.unsigned_abs())?;
        if fraction != 0 {
            let digits = format!("{fraction:012}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_digit_by_digit() {
        for (text, shown) in [
            ("0", "0"),
            ("4", "4"),
            ("007.50", "7.5"),
            ("-3.25", "-3.25"),
            ("-0.5", "-0.5"),
            ("1e-7", "0.0000001"),
            ("1E+21", "1000000000000000000000"),
            ("1e22", "10000000000000000000000"),
            ("12.5e1", "125"),
            ("0.000000000001", "0.000000000001"),
            ("0.1000000000000000000", "0.1"),
            ("0e-400", "0"),
        ] {
            assert_eq!(
                text.parse::<Quantity>().map(|quantity| quantity.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_an_exact_quantity_is_refused() {
        use InvalidQuantity::{NotANumber, TooFine, TooLarge};
        for (text, error) in [
            ("", NotANumber),
            ("-", NotANumber),
            (".5", NotANumber),
            ("5.", NotANumber),
            ("1e", NotANumber),
            ("+1", NotANumber),
            ("0x10", NotANumber),
            ("1_000", NotANumber),
            ("NaN", NotANumber),
            ("٣", NotANumber),
            ("1e99999", NotANumber),
            ("0.0000000000001", TooFine),
            ("1e-13", TooFine),
            ("1e23", TooLarge),
            ("10000000000000000000001", TooLarge),
            ("1e9999", TooLarge),
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(error), "{text}");
        }
    }

    #[test]
    fn decimals_after_the_twelfth_are_rounded_half_away_from_zero() {
        for (text, shown) in [
            ("0.30000000000000004", "0.3"), // 0.1 + 0.2
            ("0.0000000000004", "0"),
            ("0.0000000000005", "0.000000000001"),
            ("-0.0000000000005", "-0.000000000001"),
            ("0.00000000000049999999999999999999999999999999999999999", "0"),
            ("0.0000000000015", "0.000000000002"),
            ("0.0000000000025", "0.000000000003"), // not to even
            ("-1.0000000000025", "-1.000000000003"),
            ("0.9999999999995", "1"),
            ("99.9999999999999999", "100"),
            ("5e-13", "0.000000000001"),
            ("9e-14", "0"),
            ("5e-324", "0"),
            ("12345678901234567890.1234567890125", "12345678901234567890.123456789013"),
            ("10000000000000000000000.0000000000004", "10000000000000000000000"),
            ("0.1", "0.1"),
        ] {
            let read = Quantity::rounded(text).map(|quantity| quantity.to_string());
            assert_eq!(read, Ok(shown.to_owned()), "{text}");
        }
        use InvalidQuantity::{NotANumber, TooLarge};
        for (text, error) in [
            ("10000000000000000000000.0000000000005", TooLarge),
            ("1e23", TooLarge),
            ("99999999999999999999999.99999999999999999", TooLarge),
            (" 1", NotANumber),
            ("", NotANumber),
        ] {
            assert_eq!(Quantity::rounded(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_number_of_too_many_digits_is_no_decimal() {
        for (text, expected) in [
            ("79228162514264337.593543950335", true),
            ("79228162514264337.593543950336", false),
            ("1e22", true),
            ("100000000000000000.000000000001", false),
        ] {
            let quantity = text.parse::<Quantity>().unwrap();
            assert_eq!(
                (quantity.is_decimal(), quantity.to_decimal().is_ok()),
                (expected, expected),
                "{text}"
            );
        }
    }

    proptest! {
        /// As another implementation of decimals rounds.
        #[test]
        fn rounding_is_that_of_decimals(mantissa in -10_i64.pow(18)..=10_i64.pow(18), scale in 0_u32..=28) {
            let number = Decimal::new(mantissa, scale);
            let strategy = rust_decimal::RoundingStrategy::MidpointAwayFromZero;
            let expected = number.round_dp_with_strategy(12, strategy).normalize();
            let rounded = Quantity::rounded(&number.to_string()).unwrap();
            prop_assert_eq!(rounded.to_decimal().unwrap(), expected);
        }

        #[test]
        fn parse_undoes_print(units in -10_i128.pow(34)..=10_i128.pow(34)) {
            let quantity = Quantity::from_units(units);
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
        }

        #[test]
        fn a_decimal_is_the_same_number(units in -10_i128.pow(27)..=10_i128.pow(27)) {
            let quantity = Quantity::from_units(units);
            prop_assert!(quantity.is_decimal());
            prop_assert_eq!(quantity.to_decimal().unwrap().to_string(), quantity.to_string());
        }
    }
}
