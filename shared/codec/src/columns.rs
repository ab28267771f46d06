//! The columns of a segment, read as far as somebody looks.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use domain::{event::Revision, id::CorrectionId, property::Property, quantity::Quantity};
use uuid::Uuid;

use crate::{
    bytes::{Cursor, Damaged, add, instant, is_instant, scale, scaled},
    compression::decompressed,
    encode::flag,
    uuid_key,
};

/// A segment, up to its columns.
pub(crate) struct Packed<'a> {
    pub(crate) flags: u8,
    /// How many events there are.
    pub(crate) count: usize,
    uuids: &'a [[u8; 16]],
    columns: Cow<'a, [u8]>,
}

impl<'a> Packed<'a> {
    /// Reads what follows the format.
    pub(crate) fn open(bytes: &'a [u8], epoch: DateTime<Utc>) -> Result<Self, Damaged> {
        let mut head = Cursor::new(bytes, epoch);
        let flags = head.byte("flags")?;
        let count = usize::try_from(head.small("events")?).map_err(|_| Damaged("events"))?;
        let uuid_count = head.length("keys")?;
        let body_length = match flags & flag::COMPRESSED {
            0 => None,
            _ => Some(usize::try_from(head.small("length")?).map_err(|_| Damaged("length"))?),
        };
        let (uuids, _) = head.slice(uuid_count.saturating_mul(16), "keys")?.as_chunks();
        let columns = match body_length {
            Some(length) => Cow::Owned(decompressed(head.rest(), length)?),
            None => Cow::Borrowed(head.rest()),
        };
        // Every event has a byte at least in each of three columns.
        if count > columns.len() {
            return Err(Damaged("events"));
        }
        Ok(Self { flags, count, uuids, columns })
    }

    /// Its columns.
    pub(crate) fn body(&self, epoch: DateTime<Utc>) -> Cursor<'_> {
        Cursor::new(&self.columns, epoch)
    }
}

/// The keys of a segment, as they are kept there.
pub(crate) enum Keys<'a> {
    /// All are UUIDs.
    Uuids(&'a [[u8; 16]]),
    /// Some are text.
    Mixed(Vec<Key>, &'a str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Uuid([u8; 16]),
    Text { start: usize, length: usize },
}

/// A key that is looked for.
pub(crate) struct Name<'a> {
    text: &'a str,
    uuid: Option<[u8; 16]>,
}

impl<'a> Name<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, uuid: uuid_key::parsed(text) }
    }
}

impl Key {
    /// Whether it is this. Text is found in `texts`.
    pub(crate) fn is(&self, name: &Name<'_>, texts: &str) -> bool {
        match self {
            Self::Uuid(uuid) => name.uuid.as_ref() == Some(uuid),
            Self::Text { start, length } => texts.get(*start..start + length) == Some(name.text),
        }
    }
}

impl Keys<'_> {
    /// Whether the key of a row is this.
    pub(crate) fn is(&self, row: usize, name: &Name<'_>) -> bool {
        match self {
            Self::Uuids(uuids) => name.uuid.as_ref().is_some_and(|uuid| uuids.get(row) == Some(uuid)),
            Self::Mixed(keys, texts) => keys.get(row).is_some_and(|key| key.is(name, texts)),
        }
    }

    /// Those of `rows`, and their texts.
    pub(crate) fn of(&self, rows: &Rows) -> (Vec<Key>, String) {
        match (self, rows) {
            (Self::Uuids(uuids), Rows::All) => {
                (uuids.iter().copied().map(Key::Uuid).collect(), String::new())
            }
            (Self::Uuids(uuids), Rows::Some(rows)) => {
                let keys = rows.iter().filter_map(|row| uuids.get(*row).copied().map(Key::Uuid));
                (keys.collect(), String::new())
            }
            (Self::Mixed(keys, texts), rows) => (rows.of(keys.clone()), (*texts).to_owned()),
        }
    }
}

/// The rows of a segment that somebody looks at.
pub(crate) enum Rows {
    /// All.
    All,
    /// Some, in order.
    Some(Vec<usize>),
}

impl Rows {
    /// What a column of `count` numbers has for them, each read by `read`.
    fn read<T>(
        &self,
        body: &mut Cursor<'_>,
        count: usize,
        what: &'static str,
        mut read: impl FnMut(&mut Cursor<'_>, usize) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Damaged> {
        match self {
            Self::All => {
                let mut values = Vec::with_capacity(count);
                for row in 0..count {
                    values.push(read(body, row)?);
                }
                Ok(values)
            }
            Self::Some(rows) => {
                let (mut values, mut next) = (Vec::with_capacity(rows.len()), 0);
                for row in rows {
                    body.pass_over(row.saturating_sub(next), what)?;
                    values.push(read(body, *row)?);
                    next = row + 1;
                }
                body.pass_over(count.saturating_sub(next), what)?;
                Ok(values)
            }
        }
    }

    /// Theirs of the values of all rows.
    pub(crate) fn of<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
        match self {
            Self::All => values,
            Self::Some(rows) => rows.iter().filter_map(|row| values.get(*row).copied()).collect(),
        }
    }

    /// The place of a row among them.
    fn place(&self, row: usize) -> Option<usize> {
        match self {
            Self::All => Some(row),
            Self::Some(rows) => rows.binary_search(&row).ok(),
        }
    }
}

pub(crate) fn times(body: &mut Cursor<'_>, epoch: DateTime<Utc>, count: usize) -> Result<Vec<i64>, Damaged> {
    let mut times = Vec::with_capacity(count);
    let mut last = epoch.timestamp_millis();
    for row in 0..count {
        let step = if row == 0 {
            body.small_signed("time")?
        } else {
            i64::try_from(body.small("time")?).map_err(|_| Damaged("time"))?
        };
        last = add(last, step)?;
        times.push(last);
    }
    // Both ends are instants, so all between are.
    instant(times.first().copied().unwrap_or_default())?;
    instant(last)?;
    Ok(times)
}

pub(crate) fn keys<'a>(body: &mut Cursor<'a>, packed: &Packed<'a>) -> Result<Keys<'a>, Damaged> {
    let (uuids, count) = (packed.uuids, packed.count);
    if packed.flags & flag::ALL_UUIDS != 0 {
        return if uuids.len() == count { Ok(Keys::Uuids(uuids)) } else { Err(Damaged("key")) };
    }
    let mut uuids = uuids.iter().copied();
    let mut keys = Vec::with_capacity(count);
    let mut length = 0_usize;
    for _ in 0..count {
        let text = usize::try_from(body.small("key")?).map_err(|_| Damaged("key"))?;
        if text == 0 {
            keys.push(Key::Uuid(uuids.next().ok_or(Damaged("key"))?));
        } else {
            keys.push(Key::Text { start: length, length: text });
            length = length.checked_add(text).ok_or(Damaged("key"))?;
        }
    }
    if uuids.next().is_some() {
        return Err(Damaged("key"));
    }
    let texts = std::str::from_utf8(body.slice(length, "key")?).map_err(|_| Damaged("key"))?;
    let is_whole = keys.iter().all(|key| match key {
        Key::Uuid(_) => true,
        Key::Text { start, length } => texts.get(*start..start + length).is_some(),
    });
    if is_whole { Ok(Keys::Mixed(keys, texts)) } else { Err(Damaged("key")) }
}

pub(crate) fn ingested(
    body: &mut Cursor<'_>,
    flags: u8,
    times: &[i64],
    rows: &Rows,
) -> Result<Vec<i64>, Damaged> {
    let checked = |at| if is_instant(at) { Ok(at) } else { Err(Damaged("time")) };
    if flags & flag::INGESTED_BY_ROW == 0 {
        return rows.read(body, times.len(), "ingested", |body, row| {
            let time = times.get(row).copied().unwrap_or_default();
            checked(add(time, body.small_signed("ingested")?)?)
        });
    }
    let (mut ingested, mut last) = (Vec::with_capacity(times.len()), None);
    for time in times {
        let at = checked(add(last.unwrap_or(*time), body.small_signed("ingested")?)?)?;
        ingested.push(at);
        last = Some(at);
    }
    Ok(rows.of(ingested))
}

pub(crate) fn quantities(body: &mut Cursor<'_>, count: usize, rows: &Rows) -> Result<Vec<Quantity>, Damaged> {
    let zeros = body.byte("quantity")?;
    let scale = if count == 0 { 1 } else { scale(zeros)? };
    rows.read(body, count, "quantity", |body, _| scaled(body.signed("quantity")?, scale))
}

pub(crate) fn revisions(
    body: &mut Cursor<'_>,
    count: usize,
    rows: &Rows,
) -> Result<Vec<(usize, Revision)>, Damaged> {
    let corrections = body.length("revisions")?;
    let mut read = || {
        let row = usize::try_from(body.small("revision")?).map_err(|_| Damaged("revision"))?;
        let kind = body.byte("revision")?;
        let id = Uuid::from_slice(body.slice(16, "revision")?).map_err(|_| Damaged("revision"))?;
        let id = CorrectionId::from_uuid(id);
        match kind {
            _ if row >= count => Err(Damaged("revision")),
            0 => Ok((row, Revision::Replacement(id))),
            1 => Ok((row, Revision::Void(id))),
            _ => Err(Damaged("revision")),
        }
    };
    let placed = (0..corrections).map(|_| read()).collect::<Result<Vec<_>, _>>()?.into_iter();
    Ok(placed.filter_map(|(row, revision)| Some((rows.place(row)?, revision))).collect())
}

pub(crate) fn column(body: &mut Cursor<'_>, count: usize, rows: &Rows) -> Result<Column, Damaged> {
    let is_metadata = match body.byte("column")? {
        0 => false,
        1 => true,
        _ => return Err(Damaged("column")),
    };
    let name = body.text("column")?;
    let values = (0..body.length("column")?).map(|_| property(body)).collect::<Result<Vec<_>, _>>()?;
    let place = |body: &mut Cursor<'_>| {
        let place = usize::try_from(body.small("column")?).map_err(|_| Damaged("column"))?;
        if place <= values.len() { Ok(place) } else { Err(Damaged("column")) }
    };
    let rows = match place(body)? {
        0 => rows.read(body, count, "column", |body, _| place(body))?,
        1 => Vec::new(),
        _ => return Err(Damaged("column")),
    };
    Ok(Column { is_metadata, name, values, rows })
}

pub(crate) fn property(body: &mut Cursor<'_>) -> Result<Property, Damaged> {
    Ok(match body.byte("property")? {
        0 => Property::Null,
        1 => Property::Bool(false),
        2 => Property::Bool(true),
        3 => Property::Number(body.text("property")?),
        4 => Property::Text(body.text("property")?),
        5 => Property::Nested(body.text("property")?),
        _ => return Err(Damaged("property")),
    })
}

/// A property, or a part of metadata, of all rows.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) is_metadata: bool,
    pub(crate) name: String,
    pub(crate) values: Vec<Property>,
    /// By row: 0 for none, else one more than the place of its value. Empty if all have the one value.
    rows: Vec<usize>,
}

impl Column {
    /// 0 if the row has no value, else one more than the place of its value.
    pub(crate) fn place(&self, row: usize) -> usize {
        if self.rows.is_empty() { 1 } else { self.rows.get(row).copied().unwrap_or_default() }
    }

    pub(crate) fn value(&self, row: usize) -> Option<&Property> {
        self.values.get(self.place(row).checked_sub(1)?)
    }
}
