//! Numbers, text and times as bytes.

use chrono::{DateTime, Utc};
use domain::quantity::Quantity;

/// Bytes that are no head or segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged {0}")]
pub struct Damaged(pub(crate) &'static str);

/// Appends to bytes. Times are told from `epoch` on, in milliseconds.
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
    epoch: i64,
}

impl Writer {
    pub(crate) fn new(epoch: DateTime<Utc>) -> Self {
        Self { bytes: Vec::new(), epoch: epoch.timestamp_millis() }
    }

    pub(crate) fn unsigned(&mut self, value: u128) {
        let Ok(mut small) = u64::try_from(value) else { return self.large(value) };
        while small >= 0x80 {
            self.bytes.push(small.to_le_bytes()[0] | 0x80);
            small >>= 7;
        }
        self.bytes.push(small.to_le_bytes()[0]);
    }

    fn large(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn signed(&mut self, value: i128) {
        self.unsigned(((value << 1) ^ (value >> 127)).cast_unsigned());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u128);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn time(&mut self, at: DateTime<Utc>) {
        self.signed((at.timestamp_millis() - self.epoch).into());
    }

    /// The digits without trailing zeros, and how many of those there were.
    pub(crate) fn quantity(&mut self, quantity: Quantity) {
        let zeros = trailing_zeros(quantity);
        self.bytes.push(zeros);
        self.signed(unscaled(quantity.units(), 10_i128.pow(zeros.into())));
    }
}

/// How many zeros the digits of `quantity` end in, in 10^-12.
pub(crate) fn trailing_zeros(quantity: Quantity) -> u8 {
    let units = quantity.units();
    let (mut digits, mut zeros) = match i64::try_from(units) {
        Ok(digits) => (digits, 0),
        // What has so many digits is nearly always whole, too.
        Err(_) if units % WHOLE == 0 => match i64::try_from(units / WHOLE) {
            Ok(digits) => (digits, 12),
            Err(_) => return zeros_of_large(units),
        },
        Err(_) => return zeros_of_large(units),
    };
    while digits != 0 && digits % 1_000_000 == 0 {
        digits /= 1_000_000;
        zeros += 6;
    }
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        zeros += 1;
    }
    zeros
}

const WHOLE: i128 = 10_i128.pow(Quantity::DECIMALS);

fn zeros_of_large(units: i128) -> u8 {
    let (mut digits, mut zeros) = (units, 0);
    while digits % 10 == 0 {
        digits /= 10;
        zeros += 1;
    }
    zeros
}

/// `units` / `scale`.
pub(crate) fn unscaled(units: i128, scale: i128) -> i128 {
    match (i64::try_from(units), i64::try_from(scale)) {
        (Ok(small), Ok(by)) if by > 0 => i128::from(small / by), // nearly all
        _ => units / scale,
    }
}

/// Reads bytes from their start.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    epoch: i64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], epoch: DateTime<Utc>) -> Self {
        Self { bytes, epoch: epoch.timestamp_millis() }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn end(&self) -> Result<(), Damaged> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Damaged("end")) }
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, Damaged> {
        let (first, rest) = self.bytes.split_first().ok_or(Damaged(what))?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(crate) fn slice(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], Damaged> {
        let (slice, rest) = self.bytes.split_at_checked(length).ok_or(Damaged(what))?;
        self.bytes = rest;
        Ok(slice)
    }

    pub(crate) fn unsigned(&mut self, what: &'static str) -> Result<u128, Damaged> {
        if let Some(small) = self.short() {
            return Ok(small.into());
        }
        let mut value = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte(what)?;
            let low = u128::from(byte & 0x7f);
            if low.checked_shl(shift).map(|part| part >> shift) != Some(low) {
                return Err(Damaged(what));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged(what))
    }

    /// A number of at most 64 bits, as nearly all are.
    #[inline]
    pub(crate) fn small(&mut self, what: &'static str) -> Result<u64, Damaged> {
        match self.short() {
            Some(value) => Ok(value),
            None => u64::try_from(self.unsigned(what)?).map_err(|_| Damaged(what)),
        }
    }

    /// A number of at most nine bytes, which are 63 bits; `None`, and nothing read, if it has more.
    #[inline]
    fn short(&mut self) -> Option<u64> {
        if let Some((first, rest)) = self.bytes.split_first()
            && *first < 0x80
        {
            self.bytes = rest;
            return Some((*first).into());
        }
        let mut value = 0;
        for (place, byte) in self.bytes.iter().take(9).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.bytes = self.bytes.get(place + 1..)?;
                return Some(value);
            }
        }
        None
    }

    /// Passes over so many numbers.
    pub(crate) fn pass_over(&mut self, numbers: usize, what: &'static str) -> Result<(), Damaged> {
        let mut left = numbers;
        let mut passed = 0;
        // The last byte of a number is below 0x80. Eight at once, as long as more are left.
        for eight in self.bytes.as_chunks::<8>().0 {
            let ends = ends_in(*eight);
            if ends >= left {
                break;
            }
            left -= ends;
            passed += 8;
        }
        self.bytes = self.bytes.get(passed..).unwrap_or_default();
        if left == 0 {
            return Ok(());
        }
        for (place, byte) in self.bytes.iter().enumerate() {
            left -= usize::from(byte & 0x80 == 0);
            if left == 0 {
                self.bytes = self.bytes.get(place + 1..).unwrap_or_default();
                return Ok(());
            }
        }
        Err(Damaged(what))
    }

    pub(crate) fn signed(&mut self, what: &'static str) -> Result<i128, Damaged> {
        let value = self.unsigned(what)?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub(crate) fn small_signed(&mut self, what: &'static str) -> Result<i64, Damaged> {
        let value = self.small(what)?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// How many things follow. Each takes a byte at least, so more than there are bytes cannot be.
    pub(crate) fn length(&mut self, what: &'static str) -> Result<usize, Damaged> {
        let length = usize::try_from(self.small(what)?).map_err(|_| Damaged(what))?;
        if length <= self.bytes.len() { Ok(length) } else { Err(Damaged(what)) }
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, Damaged> {
        let length = self.length(what)?;
        let text = std::str::from_utf8(self.slice(length, what)?).map_err(|_| Damaged(what))?;
        Ok(text.to_owned())
    }

    pub(crate) fn time(&mut self) -> Result<DateTime<Utc>, Damaged> {
        instant(add(self.epoch, self.small_signed("time")?)?)
    }

    pub(crate) fn quantity(&mut self) -> Result<Quantity, Damaged> {
        let zeros = self.byte("quantity")?;
        let digits = self.signed("quantity")?;
        scaled(digits, scale(zeros)?)
    }
}

/// How many of eight bytes are below 0x80.
fn ends_in(eight: [u8; 8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let ends = (!u64::from_le_bytes(eight) >> 7) & ONES;
    usize::from(ends.wrapping_mul(ONES).to_be_bytes()[0])
}

/// 10^`zeros`.
pub(crate) fn scale(zeros: u8) -> Result<i128, Damaged> {
    10_i128.checked_pow(zeros.into()).ok_or(Damaged("quantity"))
}

/// `digits` × `scale`.
pub(crate) fn scaled(digits: i128, scale: i128) -> Result<Quantity, Damaged> {
    let units = match (i64::try_from(digits), i64::try_from(scale)) {
        // Nearly all, and always exact.
        (Ok(digits), Ok(scale)) => Some(i128::from(digits) * i128::from(scale)),
        _ => digits.checked_mul(scale),
    };
    units.map(Quantity::from_units).ok_or(Damaged("quantity"))
}

pub(crate) fn add(millis: i64, more: i64) -> Result<i64, Damaged> {
    millis.checked_add(more).ok_or(Damaged("time"))
}

pub(crate) fn instant(millis: i64) -> Result<DateTime<Utc>, Damaged> {
    DateTime::from_timestamp_millis(millis).ok_or(Damaged("time"))
}

/// Whether there is such an instant, without making it.
pub(crate) fn is_instant(millis: i64) -> bool {
    const FIRST: i64 = DateTime::<Utc>::MIN_UTC.timestamp_millis();
    const LAST: i64 = DateTime::<Utc>::MAX_UTC.timestamp_millis();
    (FIRST..=LAST).contains(&millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_from_a_number_that_is_none() {
        let ends = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC].map(|end| end.timestamp_millis());
        for millis in ends.into_iter().flat_map(|end| [end - 1, end, end + 1]).chain([0, i64::MIN, i64::MAX])
        {
            assert_eq!(is_instant(millis), instant(millis).is_ok(), "{millis}");
        }
    }

    #[test]
    fn zeros_are_counted_in_any_number() {
        for power in 0..=37 {
            for digits in [1, 7, 12, 1_000_001, 123_456_789] {
                let Some(units) = 10_i128.pow(power).checked_mul(digits) else { continue };
                for units in [units, -units] {
                    let quantity = Quantity::from_units(units);
                    assert_eq!(u32::from(trailing_zeros(quantity)), power, "{units}");
                    for scale in [1, 10_i128.pow(power)] {
                        assert_eq!(unscaled(units, scale), units / scale);
                    }
                }
            }
        }
        assert_eq!(trailing_zeros(Quantity::ZERO), 0);
    }

    #[test]
    fn a_number_of_any_length_is_read() {
        for bits in 0..128 {
            for value in [1_u128 << bits, (1_u128 << bits) - 1, u128::MAX >> bits] {
                let mut writer = Writer::new(DateTime::UNIX_EPOCH);
                writer.unsigned(value);
                let length = writer.bytes.len();
                writer.bytes.push(7);
                let mut cursor = Cursor::new(&writer.bytes, DateTime::UNIX_EPOCH);
                assert_eq!(cursor.unsigned("number"), Ok(value), "in {length} bytes");
                assert_eq!(cursor.rest(), [7]);
                let mut cursor = Cursor::new(&writer.bytes, DateTime::UNIX_EPOCH);
                assert_eq!(cursor.small("number").ok(), u64::try_from(value).ok(), "in {length} bytes");
                for before in 0..20 {
                    let bytes = [vec![1; before], writer.bytes.clone()].concat();
                    let mut cursor = Cursor::new(&bytes, DateTime::UNIX_EPOCH);
                    assert_eq!(cursor.pass_over(before + 1, "number"), Ok(()));
                    assert_eq!(cursor.rest(), [7], "{before} before {length} bytes");
                }
                let cut = writer.bytes.get(..length - 1).unwrap();
                assert!(Cursor::new(cut, DateTime::UNIX_EPOCH).unsigned("number").is_err());
            }
        }
    }
}
