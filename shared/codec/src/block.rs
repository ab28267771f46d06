//! Columns back to events, one row at a time and only as far as somebody looks.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use chrono::{DateTime, Utc};
use domain::{
    event::{Event, Identity, Revision, UsageEvent},
    id::CorrectionId,
    property::{Properties, Property},
    quantity::Quantity,
};
use uuid::Uuid;

use crate::{
    FORMAT,
    bytes::{Cursor, Damaged, add, instant, is_instant, scale, scaled},
    compression::decompressed,
    encode::flag,
    format_1,
};

/// The events of a segment, by column.
#[derive(Clone, Debug, Default)]
pub struct Block {
    times: Vec<i64>,
    ingested: Vec<i64>,
    quantities: Vec<Quantity>,
    keys: Vec<Key>,
    texts: String,
    revisions: Vec<(usize, Revision)>,
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    Uuid([u8; 16]),
    Text { start: usize, length: usize },
}

#[derive(Clone, Debug)]
struct Column {
    is_metadata: bool,
    name: String,
    values: Vec<Property>,
    /// By row: 0 for none, else one more than the place of its value. Empty if all have the one value.
    rows: Vec<usize>,
}

/// One event of a block.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    block: &'a Block,
    row: usize,
}

impl Block {
    /// Reads a segment. `epoch` is the start of its month.
    ///
    /// Errors: if the bytes are none.
    pub fn decode(bytes: &[u8], epoch: DateTime<Utc>) -> Result<Self, Damaged> {
        let mut cursor = Cursor::new(bytes, epoch);
        match cursor.byte("format")? {
            1 => Self::of(&format_1::events(&mut cursor)?),
            FORMAT => Self::read(cursor.rest(), epoch),
            _ => Err(Damaged("format")),
        }
    }

    /// Reads of a segment the events that are `wanted`, by time and key, and passes over the others.
    ///
    /// Errors: if the bytes are none.
    pub fn find(
        bytes: &[u8],
        epoch: DateTime<Utc>,
        wanted: &BTreeSet<Identity<'_>>,
    ) -> Result<Self, Damaged> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => Self::read_rows(rest, epoch, |keyed| Rows::Some(keyed.places(wanted))),
            _ => {
                let all = Self::decode(bytes, epoch)?;
                let places = all.places(wanted).into_iter();
                let found = places.map(|row| Row { block: &all, row }.to_event()).collect::<Vec<_>>();
                Self::of(&found)
            }
        }
    }

    /// The rows of events that are `wanted`, by time and key, in order.
    fn places(&self, wanted: &BTreeSet<Identity<'_>>) -> Vec<usize> {
        let Some((first, last)) = self.span() else { return Vec::new() };
        let wanted = wanted.range((first, Cow::Borrowed(""))..).take_while(|(at, _)| *at <= last);
        let places = wanted.flat_map(|(at, key)| self.rows_at(*at).filter(|row| row.has_key(key)));
        let mut places = places.map(|row| row.row).collect::<Vec<_>>();
        places.sort_unstable();
        places
    }

    /// Reads what follows the format, up to the end.
    pub(crate) fn read(bytes: &[u8], epoch: DateTime<Utc>) -> Result<Self, Damaged> {
        Self::read_rows(bytes, epoch, |_| Rows::All)
    }

    /// Reads the rows that `pick` picks, from a block that has times and keys only.
    fn read_rows(
        bytes: &[u8],
        epoch: DateTime<Utc>,
        pick: impl FnOnce(&Self) -> Rows,
    ) -> Result<Self, Damaged> {
        let mut head = Cursor::new(bytes, epoch);
        let flags = head.byte("flags")?;
        let count = usize::try_from(head.small("events")?).map_err(|_| Damaged("events"))?;
        let uuid_count = head.length("keys")?;
        let body_length = match flags & flag::COMPRESSED {
            0 => None,
            _ => Some(usize::try_from(head.small("length")?).map_err(|_| Damaged("length"))?),
        };
        let uuids = head.slice(uuid_count.saturating_mul(16), "keys")?;
        let columns = match body_length {
            Some(length) => Cow::Owned(decompressed(head.rest(), length)?),
            None => Cow::Borrowed(head.rest()),
        };
        // Every event has a byte at least in each of three columns.
        if count > columns.len() {
            return Err(Damaged("events"));
        }
        let mut body = Cursor::new(&columns, epoch);
        let times = times(&mut body, epoch, count)?;
        let (keys, texts) = keys(&mut body, uuids, flags, count)?;
        let keyed = Self { times, keys, texts, ..Self::default() };
        let rows = pick(&keyed);
        let ingested = ingested(&mut body, flags, &keyed.times, &rows)?;
        let quantities = quantities(&mut body, count, &rows)?;
        let revisions = revisions(&mut body, count, &rows)?;
        let count_of_columns = body.length("columns")?;
        let columns = (0..count_of_columns).map(|_| column(&mut body, count, &rows));
        let columns = columns.collect::<Result<_, _>>()?;
        body.end()?;
        let Self { times, keys, texts, .. } = keyed;
        let (times, keys) = (rows.of(times), rows.of(keys));
        Ok(Self { times, ingested, quantities, keys, texts, revisions, columns })
    }

    /// The block of events that were kept one by one.
    fn of(events: &[UsageEvent]) -> Result<Self, Damaged> {
        let epoch = DateTime::UNIX_EPOCH;
        let bytes = crate::encode::encode_events(events, epoch);
        Self::read(bytes.get(1..).unwrap_or_default(), epoch)
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The events, in order of time.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|row| Row { block: self, row })
    }

    /// The events themselves, in order of time. Those with the same properties share them.
    pub fn to_events(&self) -> impl Iterator<Item = UsageEvent> {
        let (mut properties, mut metadata) = (Shared::of(self, false), Shared::of(self, true));
        self.rows().map(move |row| row.event_with(properties.of_row(row), metadata.of_row(row)))
    }

    /// The events that occurred at `at`.
    pub fn rows_at(&self, at: DateTime<Utc>) -> impl Iterator<Item = Row<'_>> {
        let millis = at.timestamp_millis();
        let first = self.times.partition_point(|time| *time < millis);
        let same = self.times.iter().skip(first).take_while(move |time| **time == millis).count();
        (first..first + same).map(|row| Row { block: self, row })
    }

    /// The earliest and the latest timestamp.
    pub fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let at = |millis: Option<&i64>| millis.and_then(|millis| DateTime::from_timestamp_millis(*millis));
        at(self.times.first()).zip(at(self.times.last()))
    }
}

/// The rows of a segment that somebody looks at.
enum Rows {
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
    fn of<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
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

fn times(body: &mut Cursor<'_>, epoch: DateTime<Utc>, count: usize) -> Result<Vec<i64>, Damaged> {
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

fn keys(body: &mut Cursor<'_>, uuids: &[u8], flags: u8, count: usize) -> Result<(Vec<Key>, String), Damaged> {
    let (uuids, _) = uuids.as_chunks::<16>();
    if flags & flag::ALL_UUIDS != 0 {
        let keys = uuids.iter().copied().map(Key::Uuid).collect::<Vec<_>>();
        return if keys.len() == count { Ok((keys, String::new())) } else { Err(Damaged("key")) };
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
    if is_whole { Ok((keys, texts.to_owned())) } else { Err(Damaged("key")) }
}

fn ingested(body: &mut Cursor<'_>, flags: u8, times: &[i64], rows: &Rows) -> Result<Vec<i64>, Damaged> {
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

fn quantities(body: &mut Cursor<'_>, count: usize, rows: &Rows) -> Result<Vec<Quantity>, Damaged> {
    let zeros = body.byte("quantity")?;
    let scale = if count == 0 { 1 } else { scale(zeros)? };
    rows.read(body, count, "quantity", |body, _| scaled(body.signed("quantity")?, scale))
}

fn revisions(body: &mut Cursor<'_>, count: usize, rows: &Rows) -> Result<Vec<(usize, Revision)>, Damaged> {
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

fn column(body: &mut Cursor<'_>, count: usize, rows: &Rows) -> Result<Column, Damaged> {
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

impl Column {
    /// 0 if the row has no value, else one more than the place of its value.
    fn place(&self, row: usize) -> usize {
        if self.rows.is_empty() { 1 } else { self.rows.get(row).copied().unwrap_or_default() }
    }

    fn value(&self, row: usize) -> Option<&Property> {
        self.values.get(self.place(row).checked_sub(1)?)
    }
}

/// The properties, or the metadata, of the rows of a block, made once for all rows that have the same.
struct Shared<'a> {
    is_metadata: bool,
    columns: Vec<&'a Column>,
    /// By the places of the values, where there is one column: no values are told apart more often.
    of_one: Vec<Option<Properties>>,
    of_many: HashMap<Vec<usize>, Properties>,
}

impl<'a> Shared<'a> {
    fn of(block: &'a Block, is_metadata: bool) -> Self {
        let columns = block.columns.iter().filter(|column| column.is_metadata == is_metadata);
        let columns = columns.collect::<Vec<_>>();
        let of_one = match columns.as_slice() {
            [column] => vec![None; column.values.len() + 1],
            _ => Vec::new(),
        };
        Self { is_metadata, columns, of_one, of_many: HashMap::new() }
    }

    fn of_row(&mut self, row: Row<'_>) -> Properties {
        let make = || row.properties(self.is_metadata);
        match self.columns.as_slice() {
            [] => Properties::new(),
            [column] => match self.of_one.get_mut(column.place(row.row)) {
                Some(known) => known.get_or_insert_with(make).clone(),
                None => make(),
            },
            columns => {
                let places = columns.iter().map(|column| column.place(row.row)).collect();
                self.of_many.entry(places).or_insert_with(make).clone()
            }
        }
    }
}

impl Row<'_> {
    /// Whether its key is `key`, without making text of it.
    pub fn has_key(&self, key: &str) -> bool {
        match self.block.keys.get(self.row) {
            Some(Key::Text { start, length }) => {
                self.block.texts.get(*start..start + length).is_some_and(|text| text == key)
            }
            Some(Key::Uuid(bytes)) => {
                let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
                Uuid::from_bytes(*bytes).hyphenated().encode_lower(&mut buffer) == key
            }
            None => false,
        }
    }

    fn properties(&self, is_metadata: bool) -> Properties {
        let columns = self.block.columns.iter().filter(|column| column.is_metadata == is_metadata);
        let value = |column: &Column| Some((column.name.clone(), column.value(self.row)?.clone()));
        columns.filter_map(value).collect()
    }

    fn event_with(&self, properties: Properties, metadata: Properties) -> UsageEvent {
        let revision = self.block.revisions.iter().find(|(row, _)| *row == self.row);
        UsageEvent {
            key: self.key().into_owned(),
            occurred_at: self.occurred_at(),
            ingested_at: self.ingested_at(),
            quantity: self.quantity(),
            properties,
            metadata,
            revision: revision.map(|(_, revision)| *revision).unwrap_or_default(),
        }
    }

    fn time(column: &[i64], row: usize) -> DateTime<Utc> {
        // Checked when the block was read.
        column.get(row).and_then(|millis| DateTime::from_timestamp_millis(*millis)).unwrap_or_default()
    }
}

impl Event for Row<'_> {
    fn occurred_at(&self) -> DateTime<Utc> {
        Self::time(&self.block.times, self.row)
    }

    fn ingested_at(&self) -> DateTime<Utc> {
        Self::time(&self.block.ingested, self.row)
    }

    fn quantity(&self) -> Quantity {
        self.block.quantities.get(self.row).copied().unwrap_or_default()
    }

    fn key(&self) -> Cow<'_, str> {
        match self.block.keys.get(self.row) {
            Some(Key::Text { start, length }) => {
                Cow::Borrowed(self.block.texts.get(*start..start + length).unwrap_or_default())
            }
            Some(Key::Uuid(bytes)) => Cow::Owned(Uuid::from_bytes(*bytes).to_string()),
            None => Cow::Borrowed(""),
        }
    }

    fn property(&self, name: &str) -> Option<&str> {
        let of = |is_metadata: bool| {
            let mut columns = self.block.columns.iter().filter(|column| column.is_metadata == is_metadata);
            columns.find(|column| column.name == name)?.value(self.row)
        };
        of(false).or_else(|| of(true)).and_then(Property::as_text)
    }

    fn to_event(&self) -> UsageEvent {
        self.event_with(self.properties(false), self.properties(true))
    }
}
