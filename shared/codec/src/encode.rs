//! Events to columns.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{
    event::{Revision, UsageEvent},
    property::Property,
    quantity::Quantity,
};

use crate::{
    FORMAT,
    bytes::{Writer, trailing_zeros, unscaled},
    compression::compressed,
    uuid_key,
};

/// Events as the bytes of a segment, in order of time. `epoch` is the start of their month.
pub fn encode_events<'a>(events: impl IntoIterator<Item = &'a UsageEvent>, epoch: DateTime<Utc>) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    append_events(&mut bytes, events, epoch);
    bytes
}

/// No segment of `event` alone has more bytes than this, nor does it add more to one.
pub fn raw_bytes(event: &UsageEvent) -> usize {
    let properties = event.properties.iter().chain(&event.metadata);
    let properties = properties.map(|(name, value)| name.len() + text_of(value).len() + 16);
    event.key.len() + 64 + properties.sum::<usize>()
}

/// Whether the body is compressed, whether all keys are UUIDs, and how the times of acceptance are told.
pub(crate) mod flag {
    pub(crate) const COMPRESSED: u8 = 1;
    pub(crate) const ALL_UUIDS: u8 = 2;
    pub(crate) const NO_UUIDS: u8 = 4;
    /// As the difference to the event before; else to the event's own timestamp.
    pub(crate) const INGESTED_BY_ROW: u8 = 8;
}

pub(crate) fn append_events<'a>(
    bytes: &mut Vec<u8>,
    events: impl IntoIterator<Item = &'a UsageEvent>,
    epoch: DateTime<Utc>,
) {
    let mut events = events.into_iter().collect::<Vec<_>>();
    events.sort_by(|left, right| left.by_identity(right));
    let millis = |at: DateTime<Utc>| at.timestamp_millis();
    let times = events.iter().map(|event| (millis(event.occurred_at), millis(event.ingested_at)));
    let times = times.collect::<Vec<_>>();
    let (mut flags, mut uuids) = (0, Vec::new());
    let mut body = Writer::new(epoch);
    occurred(&mut body, millis(epoch), &times);
    flags |= keys(&mut body, &mut uuids, &events);
    flags |= ingested(&mut body, &times);
    quantities(&mut body, &events);
    revisions(&mut body, &events);
    properties(&mut body, &events);

    let compressed = compressed(&body.bytes);
    let mut out = Writer::new(epoch);
    out.bytes.push(if compressed.is_some() { flags | flag::COMPRESSED } else { flags });
    out.unsigned(events.len() as u128);
    out.unsigned(uuids.len() as u128 / 16);
    if compressed.is_some() {
        out.unsigned(body.bytes.len() as u128);
    }
    bytes.append(&mut out.bytes);
    bytes.append(&mut uuids);
    bytes.extend_from_slice(compressed.as_deref().unwrap_or(&body.bytes));
}

/// Each by the difference to the one before, the first by that to `epoch`.
fn occurred(body: &mut Writer, epoch: i64, times: &[(i64, i64)]) {
    let mut last = None::<i64>;
    for (occurred, _) in times {
        match last {
            None => body.signed((occurred - epoch).into()),
            Some(last) => body.unsigned((occurred - last).unsigned_abs().into()),
        }
        last = Some(*occurred);
    }
}

/// A UUID in its usual form takes its 16 bytes, beside the columns since it does not compress; any other key
/// its text, with a length.
fn keys(body: &mut Writer, uuids: &mut Vec<u8>, events: &[&UsageEvent]) -> u8 {
    let parsed = events.iter().map(|event| uuid_key::parsed(&event.key)).collect::<Vec<_>>();
    uuids.reserve(parsed.len() * 16);
    parsed.iter().flatten().for_each(|uuid| uuids.extend_from_slice(uuid));
    let count = parsed.iter().flatten().count();
    if count == events.len() {
        return flag::ALL_UUIDS;
    }
    let texts = events.iter().zip(&parsed).map(|(event, uuid)| uuid.is_none().then_some(event.key.as_str()));
    for text in texts.clone() {
        // No key is empty: a length of 0 says that it is a UUID.
        body.unsigned(text.map_or(0, str::len) as u128);
    }
    texts.flatten().for_each(|text| body.bytes.extend_from_slice(text.as_bytes()));
    if count == 0 { flag::NO_UUIDS } else { 0 }
}

/// Batches are accepted at one instant, single events soon after they happen: told by whichever is shorter.
fn ingested(body: &mut Writer, times: &[(i64, i64)]) -> u8 {
    let by_row = |last: Option<i64>, (occurred, ingested): &(i64, i64)| ingested - last.unwrap_or(*occurred);
    let (mut changes, mut last) = (0, None);
    for both in times {
        changes += usize::from(by_row(last, both) != 0);
        last = Some(both.1);
    }
    if changes * 2 > times.len() {
        times.iter().for_each(|(occurred, ingested)| body.signed((ingested - occurred).into()));
        return 0;
    }
    last = None;
    for both in times {
        body.signed(by_row(last, both).into());
        last = Some(both.1);
    }
    flag::INGESTED_BY_ROW
}

/// The zeros that all quantities end in, once, and the digits before them.
fn quantities(body: &mut Writer, events: &[&UsageEvent]) {
    let some = events.iter().map(|event| event.quantity).filter(|quantity| *quantity != Quantity::ZERO);
    let zeros = some.map(trailing_zeros).min().unwrap_or_default();
    body.bytes.push(zeros);
    let scale = 10_i128.pow(zeros.into());
    events.iter().for_each(|event| body.signed(unscaled(event.quantity.units(), scale)));
}

/// The few that are corrections, each by its row.
fn revisions(body: &mut Writer, events: &[&UsageEvent]) {
    let rows = events.iter().enumerate();
    let corrections =
        rows.filter_map(|(row, event)| Some((row, event.revision, event.revision.correction()?)));
    let corrections = corrections.collect::<Vec<_>>();
    body.unsigned(corrections.len() as u128);
    for (row, revision, id) in corrections {
        body.unsigned(row as u128);
        body.bytes.push(u8::from(matches!(revision, Revision::Void(_))));
        body.bytes.extend_from_slice(id.uuid().as_bytes());
    }
}

/// One column of `properties` or `metadata`: each value once, and by row which one it is.
struct Column<'a> {
    is_metadata: bool,
    name: &'a str,
    values: Vec<&'a Property>,
    places: HashMap<&'a Property, usize>,
    /// By row: 0 for none, else one more than the place of its value.
    rows: Vec<usize>,
}

/// Among so few values it is quicker to look than to hash.
const FEW_VALUES: usize = 8;

impl<'a> Column<'a> {
    fn new((is_metadata, name): (bool, &'a str)) -> Self {
        Self { is_metadata, name, values: Vec::new(), places: HashMap::new(), rows: Vec::new() }
    }

    fn add(&mut self, row: usize, value: &'a Property) {
        let known = match self.values.len() {
            0..=FEW_VALUES => self.values.iter().position(|known| *known == value),
            _ => self.places.get(value).copied(),
        };
        let place = known.unwrap_or_else(|| {
            self.values.push(value);
            self.places.insert(value, self.values.len() - 1);
            self.values.len() - 1
        });
        self.rows.resize(row, 0);
        self.rows.push(place + 1);
    }
}

fn properties(body: &mut Writer, events: &[&UsageEvent]) {
    let mut columns = Vec::<Column<'_>>::new();
    let mut places = HashMap::<(bool, &str), usize>::new();
    for (row, event) in events.iter().enumerate() {
        let properties = event.properties.iter().map(|(name, value)| ((false, name.as_str()), value));
        let metadata = event.metadata.iter().map(|(name, value)| ((true, name.as_str()), value));
        // Most events name the same, in the same order.
        let mut next = 0;
        for (name, value) in properties.chain(metadata) {
            let is_next = columns.get(next).is_some_and(|column| (column.is_metadata, column.name) == name);
            let place = if is_next { next } else { *places.entry(name).or_insert(columns.len()) };
            if place == columns.len() {
                columns.push(Column::new(name));
            }
            if let Some(column) = columns.get_mut(place) {
                column.add(row, value);
            }
            next = place + 1;
        }
    }
    body.unsigned(columns.len() as u128);
    for column in &mut columns {
        column.rows.resize(events.len(), 0);
        body.bytes.push(column.is_metadata.into());
        body.text(column.name);
        body.unsigned(column.values.len() as u128);
        column.values.iter().for_each(|value| property(body, value));
        let is_constant = column.rows.iter().all(|place| *place == 1);
        body.bytes.push(is_constant.into());
        if !is_constant {
            column.rows.iter().for_each(|place| body.unsigned(*place as u128));
        }
    }
}

fn property(body: &mut Writer, property: &Property) {
    body.bytes.push(kind_of(property));
    if !matches!(property, Property::Null | Property::Bool(_)) {
        body.text(text_of(property));
    }
}

fn kind_of(property: &Property) -> u8 {
    match property {
        Property::Null => 0,
        Property::Bool(false) => 1,
        Property::Bool(true) => 2,
        Property::Number(_) => 3,
        Property::Text(_) => 4,
        Property::Nested(_) => 5,
    }
}

fn text_of(property: &Property) -> &str {
    match property {
        Property::Null | Property::Bool(_) => "",
        Property::Number(text) | Property::Text(text) | Property::Nested(text) => text,
    }
}
