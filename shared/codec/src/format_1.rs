//! The first format, which kept events one by one. Only read.

use std::collections::BTreeMap;

use domain::{
    event::{Revision, UsageEvent},
    head::Head,
    property::Properties,
    totals::Totals,
    window::Level,
};
use uuid::Uuid;

use crate::{
    bytes::{Cursor, Damaged, add, instant},
    columns::property,
    totals::read_tally,
};

pub(crate) fn head(bytes: &mut Cursor<'_>, version: u64) -> Result<Head, Damaged> {
    let members = bytes.small("members")?;
    let mut head = Head { version, members, ..Head::default() };
    head.days = days(bytes)?;
    let sealed_until = optional_time(bytes)?;
    let span = optional_time(bytes)?.zip(optional_time(bytes)?);
    if let (Some(until), Some((first, _))) = (sealed_until, span) {
        head.sealed.extend(Level::Month, first.min(until), until);
    }
    head.tail = events(bytes)?;
    Ok(head)
}

fn days(bytes: &mut Cursor<'_>) -> Result<BTreeMap<u32, Totals>, Damaged> {
    let mut days = BTreeMap::new();
    for _ in 0..bytes.length("days")? {
        let day = u32::try_from(bytes.small("day")?).map_err(|_| Damaged("day"))?;
        let events = bytes.small("totals")?;
        let tag = bytes.byte("totals")?;
        if tag > 5 {
            return Err(Damaged("totals"));
        }
        days.insert(day, Totals { events, tally: tally(bytes, tag)? });
    }
    Ok(days)
}

/// As it is now, but for LAST, whose time of acceptance counted from the month.
fn tally(bytes: &mut Cursor<'_>, tag: u8) -> Result<domain::totals::Tally, Damaged> {
    use domain::totals::{Latest, Tally};
    if tag != 4 {
        return read_tally(bytes, tag);
    }
    match bytes.byte("quantity")? {
        0 => Ok(Tally::Last(None)),
        1 => {
            let quantity = bytes.quantity()?;
            let (occurred_at, ingested_at) = (bytes.time()?, bytes.time()?);
            Ok(Tally::Last(Some(Latest { occurred_at, ingested_at, quantity })))
        }
        _ => Err(Damaged("quantity")),
    }
}

fn optional_time(bytes: &mut Cursor<'_>) -> Result<Option<chrono::DateTime<chrono::Utc>>, Damaged> {
    match bytes.byte("time")? {
        0 => Ok(None),
        1 => bytes.time().map(Some),
        _ => Err(Damaged("time")),
    }
}

pub(crate) fn events(bytes: &mut Cursor<'_>) -> Result<Vec<UsageEvent>, Damaged> {
    let events = (0..bytes.length("events")?).map(|_| event(bytes)).collect::<Result<_, _>>()?;
    bytes.end()?;
    Ok(events)
}

fn event(bytes: &mut Cursor<'_>) -> Result<UsageEvent, Damaged> {
    let key = match bytes.byte("key")? {
        0 => bytes.text("key")?,
        1 => Uuid::from_slice(bytes.slice(16, "key")?).map_err(|_| Damaged("key"))?.to_string(),
        _ => return Err(Damaged("key")),
    };
    let occurred_at = bytes.time()?;
    let delay = i64::try_from(bytes.signed("time")?).map_err(|_| Damaged("time"))?;
    Ok(UsageEvent {
        key,
        occurred_at,
        ingested_at: instant(add(occurred_at.timestamp_millis(), delay)?)?,
        quantity: bytes.quantity()?,
        properties: properties(bytes)?,
        metadata: properties(bytes)?,
        revision: Revision::First,
    })
}

fn properties(bytes: &mut Cursor<'_>) -> Result<Properties, Damaged> {
    let mut properties = Properties::new();
    for _ in 0..bytes.length("properties")? {
        let name = bytes.text("property")?;
        properties.insert(name, property(bytes)?);
    }
    Ok(properties)
}
