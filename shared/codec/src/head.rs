//! Heads, and totals by hour, as bytes.

use domain::{
    event::Event,
    head::{DaySet, Head},
    hours::Hours,
    month::Month,
    window::Level,
};

use crate::{
    FORMAT,
    block::Block,
    bytes::{Cursor, Damaged, Writer},
    encode::append_events,
    format_1, totals,
};

/// A head as bytes, without its version.
pub fn encode_head(head: &Head, month: Month) -> Vec<u8> {
    let mut bytes = Writer::new(month.start());
    bytes.bytes.push(FORMAT);
    bytes.unsigned(head.members.into());
    bytes.unsigned(head.corrections.into());
    bytes.bytes.push(level_byte(head.finest) | u8::from(head.has_sealed_corrections) << 4);
    bytes.unsigned(head.hourly.0.into());
    let levels = head.sealed.iter().fold(0, |levels, (level, _)| levels | 1 << level_byte(level));
    bytes.bytes.push(levels | u8::from(head.filling.is_some()) << 5);
    for (_, (first, last)) in head.sealed.iter() {
        bytes.time(first);
        bytes.unsigned((last - first).num_milliseconds().unsigned_abs().into());
    }
    if let Some((start, filled)) = head.filling {
        bytes.time(start);
        bytes.unsigned(filled.into());
    }
    totals::write(&mut bytes, &head.days);
    let mut bytes = bytes.bytes;
    append_events(&mut bytes, &head.tail, month.start());
    bytes
}

/// Reads a head; its version is kept beside the bytes.
///
/// Errors: if the bytes are none.
pub fn decode_head(bytes: &[u8], month: Month, version: u64) -> Result<Head, Damaged> {
    let mut bytes = Cursor::new(bytes, month.start());
    match bytes.byte("format")? {
        1 => format_1::head(&mut bytes, version),
        FORMAT => head(&mut bytes, month, version),
        _ => Err(Damaged("format")),
    }
}

fn head(bytes: &mut Cursor<'_>, month: Month, version: u64) -> Result<Head, Damaged> {
    let (members, corrections) = (bytes.small("members")?, bytes.small("corrections")?);
    let mut head = Head { version, members, corrections, ..Head::default() };
    let finest = bytes.byte("level")?;
    head.finest = level(finest & 0x0f)?;
    head.has_sealed_corrections = finest >> 4 == 1;
    head.hourly = DaySet(u32::try_from(bytes.small("hours")?).map_err(|_| Damaged("hours"))?);
    let levels = bytes.byte("levels")?;
    for level in Level::ALL.into_iter().filter(|level| levels >> level_byte(*level) & 1 == 1) {
        let first = bytes.time()?;
        let length = i64::try_from(bytes.small("time")?).map_err(|_| Damaged("time"))?;
        let length = chrono::TimeDelta::try_milliseconds(length).ok_or(Damaged("time"))?;
        head.sealed.extend(level, first, first.checked_add_signed(length).ok_or(Damaged("time"))?);
    }
    if levels >> 5 & 1 == 1 {
        head.filling = Some((bytes.time()?, bytes.small("filling")?));
    }
    head.days = totals::read(bytes)?;
    let tail = Block::read(bytes.rest(), month.start())?;
    head.tail = tail.rows().map(|row| row.to_event()).collect();
    Ok(head)
}

/// Totals by hour as bytes.
pub fn encode_hours(hours: &Hours, month: Month) -> Vec<u8> {
    let mut bytes = Writer::new(month.start());
    bytes.bytes.push(FORMAT);
    totals::write(&mut bytes, &hours.totals);
    bytes.bytes
}

/// Reads totals by hour.
///
/// Errors: if the bytes are none.
pub fn decode_hours(bytes: &[u8], month: Month) -> Result<Hours, Damaged> {
    let mut bytes = Cursor::new(bytes, month.start());
    if bytes.byte("format")? != FORMAT {
        return Err(Damaged("format"));
    }
    let totals = totals::read(&mut bytes)?;
    bytes.end()?;
    Ok(Hours { totals })
}

fn level_byte(level: Level) -> u8 {
    match level {
        Level::Month => 0,
        Level::Day => 1,
        Level::Hour => 2,
        Level::Minute => 3,
        Level::Second => 4,
    }
}

fn level(byte: u8) -> Result<Level, Damaged> {
    Level::ALL.into_iter().find(|level| level_byte(*level) == byte).ok_or(Damaged("level"))
}
