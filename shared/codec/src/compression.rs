//! Compression of what is worth it.

use std::cell::RefCell;

use crate::bytes::Damaged;

/// Fast, and for columns of small numbers as good as higher levels.
const LEVEL: i32 = 3;

/// Fewer bytes than this are not tried: a frame has a dozen of its own.
const WORTH_TRYING: usize = 48;

/// The most bytes that decompress from a segment. Writers make segments of far less.
const BYTES_MAX: usize = 16 << 20;

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `bytes` compressed, if that makes them smaller.
pub(crate) fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < WORTH_TRYING {
        return None;
    }
    let compressed = COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            let mut compressor = zstd::bulk::Compressor::new(LEVEL).ok()?;
            compressor.include_contentsize(false).ok()?;
            compressor.include_checksum(false).ok()?;
            *slot = Some(compressor);
        }
        slot.as_mut()?.compress(bytes).ok()
    })?;
    (compressed.len() + 2 < bytes.len()).then_some(compressed)
}

/// The `length` bytes that were compressed to `bytes`.
pub(crate) fn decompressed(bytes: &[u8], length: usize) -> Result<Vec<u8>, Damaged> {
    const DAMAGED: Damaged = Damaged("compressed columns");
    if length > BYTES_MAX {
        return Err(DAMAGED);
    }
    let columns = DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        slot.as_mut()?.decompress(bytes, length).ok()
    });
    columns.filter(|columns| columns.len() == length).ok_or(DAMAGED)
}
