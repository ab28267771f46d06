//! Heads, segments and totals as bytes: a format version, then numbers in as few bytes as they need.
//!
//! Whole numbers are LEB128 varints, signed ones zigzagged first; text is its length and UTF-8; times are
//! milliseconds since the start of the head's month. Events are kept by column, and compressed where that
//! makes them smaller. Readers check every length before they use it: damaged bytes give an error, never a
//! panic. What was written in an older format stays readable for ever.

mod block;
mod bytes;
mod columns;
mod compression;
mod encode;
mod format_1;
mod head;
mod totals;
mod uuid_key;

pub use block::{Block, Row};
pub use bytes::Damaged;
pub use encode::{encode_events, raw_bytes};
pub use head::{decode_head, decode_hours, encode_head, encode_hours};

/// The format written. Readers take all formats there ever were.
pub(crate) const FORMAT: u8 = 2;

#[cfg(test)]
mod tests;
