//! Totals as bytes: which aggregation they are of once, then only what it needs.

use std::collections::BTreeMap;

use domain::{
    held::Held,
    totals::{Latest, Tally, Totals},
};

use crate::bytes::{Cursor, Damaged, Writer, add, instant};

/// Totals by a small number, all of one aggregation.
pub(crate) fn write(bytes: &mut Writer, totals: &BTreeMap<u32, Totals>) {
    bytes.unsigned(totals.len() as u128);
    let Some(first) = totals.values().next() else { return };
    bytes.bytes.push(tag(first.tally));
    let mut last = 0;
    for (place, totals) in totals {
        bytes.unsigned((place - last).into());
        last = *place;
        bytes.unsigned(totals.events.into());
        tally(bytes, totals.tally);
    }
}

pub(crate) fn read(bytes: &mut Cursor<'_>) -> Result<BTreeMap<u32, Totals>, Damaged> {
    let mut totals = BTreeMap::new();
    let count = bytes.length("totals")?;
    if count == 0 {
        return Ok(totals);
    }
    let tag = bytes.byte("totals")?;
    let mut place = 0_u32;
    for _ in 0..count {
        let step = u32::try_from(bytes.small("totals")?).map_err(|_| Damaged("totals"))?;
        place = place.checked_add(step).ok_or(Damaged("totals"))?;
        let events = bytes.small("totals")?;
        totals.insert(place, Totals { events, tally: read_tally(bytes, tag)? });
    }
    Ok(totals)
}

fn tag(tally: Tally) -> u8 {
    match tally {
        Tally::Count => 0,
        Tally::Sum(_) => 1,
        Tally::Max(_) => 2,
        Tally::Min(_) => 3,
        Tally::Last(_) => 4,
        Tally::Unique => 5,
        Tally::Held(_) => 6,
    }
}

fn tally(bytes: &mut Writer, tally: Tally) {
    match tally {
        Tally::Count | Tally::Unique => {}
        Tally::Sum(sum) => bytes.quantity(sum),
        Tally::Max(quantity) | Tally::Min(quantity) => {
            bytes.bytes.push(quantity.is_some().into());
            quantity.iter().for_each(|quantity| bytes.quantity(*quantity));
        }
        Tally::Last(last) => {
            bytes.bytes.push(last.is_some().into());
            last.iter().for_each(|last| latest(bytes, last));
        }
        Tally::Held(held) => {
            bytes.bytes.push(held.is_some().into());
            if let Some(held) = held {
                latest(bytes, &held.last);
                bytes.signed((held.last.occurred_at - held.first_at).num_milliseconds().into());
                bytes.signed(held.area);
            }
        }
    }
}

fn latest(bytes: &mut Writer, latest: &Latest) {
    bytes.quantity(latest.quantity);
    bytes.time(latest.occurred_at);
    bytes.signed((latest.ingested_at - latest.occurred_at).num_milliseconds().into());
}

pub(crate) fn read_tally(bytes: &mut Cursor<'_>, tag: u8) -> Result<Tally, Damaged> {
    let is_there = |bytes: &mut Cursor<'_>| match bytes.byte("totals")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damaged("totals")),
    };
    Ok(match tag {
        0 => Tally::Count,
        1 => Tally::Sum(bytes.quantity()?),
        2 => Tally::Max(if is_there(bytes)? { Some(bytes.quantity()?) } else { None }),
        3 => Tally::Min(if is_there(bytes)? { Some(bytes.quantity()?) } else { None }),
        4 => Tally::Last(if is_there(bytes)? { Some(read_latest(bytes)?) } else { None }),
        5 => Tally::Unique,
        6 => Tally::Held(if is_there(bytes)? { Some(read_held(bytes)?) } else { None }),
        _ => return Err(Damaged("totals")),
    })
}

fn read_latest(bytes: &mut Cursor<'_>) -> Result<Latest, Damaged> {
    let quantity = bytes.quantity()?;
    let occurred_at = bytes.time()?;
    let ingested_at = instant(add(occurred_at.timestamp_millis(), bytes.small_signed("time")?)?)?;
    Ok(Latest { occurred_at, ingested_at, quantity })
}

fn read_held(bytes: &mut Cursor<'_>) -> Result<Held, Damaged> {
    let last = read_latest(bytes)?;
    let before = bytes.small_signed("time")?.checked_neg().ok_or(Damaged("time"))?;
    let first_at = instant(add(last.occurred_at.timestamp_millis(), before)?)?;
    Ok(Held { first_at, last, area: bytes.signed("area")? })
}
