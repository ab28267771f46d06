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
        self.signed(quantity.units() / 10_i128.pow(zeros.into()));
    }
}

/// How many zeros the digits of `quantity` end in, in 10^-12.
pub(crate) fn trailing_zeros(quantity: Quantity) -> u8 {
    let (mut digits, mut zeros) = (quantity.units(), 0);
    // Whole numbers are what there is most of.
    let whole = 10_i128.pow(Quantity::DECIMALS);
    if digits != 0 && digits % whole == 0 {
        (digits, zeros) = (digits / whole, 12);
    }
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        zeros += 1;
    }
    zeros
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
    pub(crate) fn small(&mut self, what: &'static str) -> Result<u64, Damaged> {
        match self.bytes.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.bytes = rest;
                Ok(u64::from(*byte))
            }
            _ => u64::try_from(self.unsigned(what)?).map_err(|_| Damaged(what)),
        }
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
        scaled(digits, zeros)
    }
}

/// `digits` × 10^`zeros`.
pub(crate) fn scaled(digits: i128, zeros: u8) -> Result<Quantity, Damaged> {
    let units = 10_i128.checked_pow(zeros.into()).and_then(|scale| digits.checked_mul(scale));
    units.map(Quantity::from_units).ok_or(Damaged("quantity"))
}

pub(crate) fn add(millis: i64, more: i64) -> Result<i64, Damaged> {
    millis.checked_add(more).ok_or(Damaged("time"))
}

pub(crate) fn instant(millis: i64) -> Result<DateTime<Utc>, Damaged> {
    DateTime::from_timestamp_millis(millis).ok_or(Damaged("time"))
}
