//! Columns back to events, one row at a time and only as far as somebody looks.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use chrono::{DateTime, Utc};
use domain::{
    event::{Event, Identity, Revision, UsageEvent},
    property::{Properties, Property},
    quantity::Quantity,
};

use crate::{
    FORMAT,
    bytes::{Cursor, Damaged},
    columns::{self, Column, Key, Keys, Name, Packed, Rows},
    format_1, uuid_key,
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
            Some((&FORMAT, rest)) => {
                let packed = Packed::open(rest, epoch)?;
                let mut body = packed.body(epoch);
                let times = columns::times(&mut body, epoch, packed.count)?;
                let keys = columns::keys(&mut body, &packed)?;
                let rows = places(&times, &keys, wanted);
                if rows.is_empty() {
                    return Ok(Self::default());
                }
                Self::read_rows(&packed, body, times, &keys, &Rows::Some(rows))
            }
            _ => {
                let all = Self::decode(bytes, epoch)?;
                let is_wanted = |row: &Row<'_>| wanted.contains(&(row.occurred_at(), row.key()));
                let found = all.rows().filter(is_wanted).map(|row| row.to_event()).collect::<Vec<_>>();
                Self::of(&found)
            }
        }
    }

    /// Reads what follows the format, up to the end.
    pub(crate) fn read(bytes: &[u8], epoch: DateTime<Utc>) -> Result<Self, Damaged> {
        let packed = Packed::open(bytes, epoch)?;
        let mut body = packed.body(epoch);
        let times = columns::times(&mut body, epoch, packed.count)?;
        let keys = columns::keys(&mut body, &packed)?;
        Self::read_rows(&packed, body, times, &keys, &Rows::All)
    }

    /// Reads `rows` of what follows times and keys.
    fn read_rows(
        packed: &Packed<'_>,
        mut body: Cursor<'_>,
        times: Vec<i64>,
        keys: &Keys<'_>,
        rows: &Rows,
    ) -> Result<Self, Damaged> {
        let count = packed.count;
        let ingested = columns::ingested(&mut body, packed.flags, &times, rows)?;
        let quantities = columns::quantities(&mut body, count, rows)?;
        let revisions = columns::revisions(&mut body, count, rows)?;
        let count_of_columns = body.length("columns")?;
        let columns = (0..count_of_columns).map(|_| columns::column(&mut body, count, rows));
        let columns = columns.collect::<Result<_, _>>()?;
        body.end()?;
        let (keys, texts) = keys.of(rows);
        Ok(Self { times: rows.of(times), ingested, quantities, keys, texts, revisions, columns })
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
        places_at(&self.times, at).map(|row| Row { block: self, row })
    }

    /// The earliest and the latest timestamp.
    pub fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        span(&self.times)
    }
}

/// The rows of events that are `wanted`, by time and key, in order.
fn places(times: &[i64], keys: &Keys<'_>, wanted: &BTreeSet<Identity<'_>>) -> Vec<usize> {
    let Some((first, last)) = span(times) else { return Vec::new() };
    let wanted = wanted.range((first, Cow::Borrowed(""))..).take_while(|(at, _)| *at <= last);
    let places = wanted.flat_map(|(at, key)| {
        let name = Name::of(key);
        places_at(times, *at).filter(move |row| keys.is(*row, &name))
    });
    let mut places = places.collect::<Vec<_>>();
    places.sort_unstable();
    places
}

/// The rows that have `at`, of times in order.
fn places_at(times: &[i64], at: DateTime<Utc>) -> Range<usize> {
    let millis = at.timestamp_millis();
    let first = times.partition_point(|time| *time < millis);
    let same = times.iter().skip(first).take_while(|time| **time == millis).count();
    first..first + same
}

/// The first and the last of times in order.
fn span(times: &[i64]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let at = |millis: Option<&i64>| millis.and_then(|millis| DateTime::from_timestamp_millis(*millis));
    at(times.first()).zip(at(times.last()))
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
        self.block.keys.get(self.row).is_some_and(|known| known.is(&Name::of(key), &self.block.texts))
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
            Some(Key::Uuid(bytes)) => Cow::Owned(uuid_key::text(*bytes)),
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
