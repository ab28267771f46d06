//! Heads and segments as bytes: a format version, then numbers in as few bytes as they need.
//!
//! Whole numbers are LEB128 varints, signed ones zigzagged first; text is its length and UTF-8; times are
//! milliseconds since the start of the head's month; quantities are their digits and a power of ten.
//! Readers check every length before they use it: damaged bytes give an error, never a panic.

use chrono::{DateTime, Utc};
use domain::{
    event::UsageEvent,
    head::Head,
    month::Month,
    property::{Properties, Property},
    quantity::Quantity,
    totals::{Latest, Tally, Totals},
};
use uuid::Uuid;

/// The format written. Readers take all formats there ever were.
const FORMAT: u8 = 1;

/// Bytes that are no head or segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged {0}")]
pub(crate) struct Damaged(&'static str);

pub(crate) fn encode_head(head: &Head, month: Month) -> Vec<u8> {
    let mut bytes = Writer::new(month);
    bytes.unsigned(head.members.into());
    bytes.unsigned(head.days.len() as u128);
    for (day, totals) in &head.days {
        bytes.unsigned((*day).into());
        bytes.totals(*totals);
    }
    bytes.optional_time(head.sealed_until);
    bytes.optional_time(head.span.map(|(first, _)| first));
    bytes.optional_time(head.span.map(|(_, last)| last));
    bytes.events(&head.tail);
    bytes.bytes
}

/// Reads a head; its version is kept beside the bytes.
pub(crate) fn decode_head(bytes: &[u8], month: Month, version: u64) -> Result<Head, Damaged> {
    let mut bytes = Cursor::new(bytes, month)?;
    let members = bytes.unsigned("members")?.try_into().map_err(|_| Damaged("members"))?;
    let mut head = Head { version, members, ..Head::default() };
    for _ in 0..bytes.length("days")? {
        let day = bytes.unsigned("day")?.try_into().map_err(|_| Damaged("day"))?;
        head.days.insert(day, bytes.totals()?);
    }
    head.sealed_until = bytes.optional_time()?;
    head.span = bytes.optional_time()?.zip(bytes.optional_time()?);
    head.tail = bytes.events()?;
    bytes.end()?;
    Ok(head)
}

pub(crate) fn encode_segment(events: &[UsageEvent], month: Month) -> Vec<u8> {
    let mut bytes = Writer::new(month);
    bytes.events(events);
    bytes.bytes
}

pub(crate) fn decode_segment(bytes: &[u8], month: Month) -> Result<Vec<UsageEvent>, Damaged> {
    let mut bytes = Cursor::new(bytes, month)?;
    let events = bytes.events()?;
    bytes.end()?;
    Ok(events)
}

/// How many bytes `event` takes in a head or segment.
pub(crate) fn event_length(event: &UsageEvent, month: Month) -> usize {
    let mut bytes = Writer::new(month);
    let before = bytes.bytes.len();
    bytes.event(event);
    bytes.bytes.len() - before
}

struct Writer {
    bytes: Vec<u8>,
    epoch: i64,
}

impl Writer {
    fn new(month: Month) -> Self {
        Self { bytes: vec![FORMAT], epoch: month.start().timestamp_millis() }
    }

    fn unsigned(&mut self, mut value: u128) {
        loop {
            let low = value.to_le_bytes()[0];
            value >>= 7;
            if value == 0 {
                return self.bytes.push(low & 0x7f);
            }
            self.bytes.push(low | 0x80);
        }
    }

    fn signed(&mut self, value: i128) {
        self.unsigned(((value << 1) ^ (value >> 127)).cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u128);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn time(&mut self, at: DateTime<Utc>) {
        self.signed((at.timestamp_millis() - self.epoch).into());
    }

    fn optional_time(&mut self, at: Option<DateTime<Utc>>) {
        self.bytes.push(at.is_some().into());
        if let Some(at) = at {
            self.time(at);
        }
    }

    /// The digits without trailing zeros, and how many of those there were.
    fn quantity(&mut self, quantity: Quantity) {
        let (mut digits, mut zeros) = (quantity.units(), 0);
        while digits != 0 && digits % 10 == 0 {
            digits /= 10;
            zeros += 1;
        }
        self.bytes.push(zeros);
        self.signed(digits);
    }

    fn optional_quantity(&mut self, quantity: Option<Quantity>) {
        self.bytes.push(quantity.is_some().into());
        if let Some(quantity) = quantity {
            self.quantity(quantity);
        }
    }

    fn totals(&mut self, totals: Totals) {
        self.unsigned(totals.events.into());
        match totals.tally {
            Tally::Count => self.bytes.push(0),
            Tally::Sum(sum) => {
                self.bytes.push(1);
                self.quantity(sum);
            }
            Tally::Max(max) => {
                self.bytes.push(2);
                self.optional_quantity(max);
            }
            Tally::Min(min) => {
                self.bytes.push(3);
                self.optional_quantity(min);
            }
            Tally::Last(last) => {
                self.bytes.push(4);
                self.optional_quantity(last.map(|last| last.quantity));
                if let Some(last) = last {
                    self.time(last.occurred_at);
                    self.time(last.ingested_at);
                }
            }
            Tally::Unique => self.bytes.push(5),
        }
    }

    fn events(&mut self, events: &[UsageEvent]) {
        self.unsigned(events.len() as u128);
        events.iter().for_each(|event| self.event(event));
    }

    fn event(&mut self, event: &UsageEvent) {
        self.key(&event.key);
        self.time(event.occurred_at);
        self.signed((event.ingested_at - event.occurred_at).num_milliseconds().into());
        self.quantity(event.quantity);
        self.properties(&event.properties);
        self.properties(&event.metadata);
    }

    /// A UUID in its usual form takes its 16 bytes; anything else its text.
    fn key(&mut self, key: &str) {
        match Uuid::try_parse(key) {
            Ok(uuid) if uuid.to_string() == key => {
                self.bytes.push(1);
                self.bytes.extend_from_slice(uuid.as_bytes());
            }
            _ => {
                self.bytes.push(0);
                self.text(key);
            }
        }
    }

    fn properties(&mut self, properties: &Properties) {
        self.unsigned(properties.len() as u128);
        for (name, property) in properties {
            self.text(name);
            match property {
                Property::Null => self.bytes.push(0),
                Property::Bool(false) => self.bytes.push(1),
                Property::Bool(true) => self.bytes.push(2),
                Property::Number(text) => {
                    self.bytes.push(3);
                    self.text(text);
                }
                Property::Text(text) => {
                    self.bytes.push(4);
                    self.text(text);
                }
                Property::Nested(text) => {
                    self.bytes.push(5);
                    self.text(text);
                }
            }
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    epoch: i64,
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8], month: Month) -> Result<Self, Damaged> {
        let mut cursor = Self { bytes, epoch: month.start().timestamp_millis() };
        match cursor.byte("format")? {
            FORMAT => Ok(cursor),
            _ => Err(Damaged("format")),
        }
    }

    fn end(&self) -> Result<(), Damaged> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Damaged("end")) }
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, Damaged> {
        let (first, rest) = self.bytes.split_first().ok_or(Damaged(what))?;
        self.bytes = rest;
        Ok(*first)
    }

    fn slice(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], Damaged> {
        let (slice, rest) = self.bytes.split_at_checked(length).ok_or(Damaged(what))?;
        self.bytes = rest;
        Ok(slice)
    }

    fn unsigned(&mut self, what: &'static str) -> Result<u128, Damaged> {
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

    fn signed(&mut self, what: &'static str) -> Result<i128, Damaged> {
        let value = self.unsigned(what)?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// How many things follow. Each takes a byte at least, so more than there are bytes cannot be.
    fn length(&mut self, what: &'static str) -> Result<usize, Damaged> {
        let length = usize::try_from(self.unsigned(what)?).map_err(|_| Damaged(what))?;
        if length <= self.bytes.len() { Ok(length) } else { Err(Damaged(what)) }
    }

    fn text(&mut self, what: &'static str) -> Result<String, Damaged> {
        let length = self.length(what)?;
        let text = std::str::from_utf8(self.slice(length, what)?).map_err(|_| Damaged(what))?;
        Ok(text.to_owned())
    }

    fn millis(&mut self, since: i64) -> Result<DateTime<Utc>, Damaged> {
        let offset = i64::try_from(self.signed("time")?).map_err(|_| Damaged("time"))?;
        let millis = since.checked_add(offset).ok_or(Damaged("time"))?;
        DateTime::from_timestamp_millis(millis).ok_or(Damaged("time"))
    }

    fn time(&mut self) -> Result<DateTime<Utc>, Damaged> {
        self.millis(self.epoch)
    }

    fn optional_time(&mut self) -> Result<Option<DateTime<Utc>>, Damaged> {
        match self.byte("time")? {
            0 => Ok(None),
            1 => self.time().map(Some),
            _ => Err(Damaged("time")),
        }
    }

    fn quantity(&mut self) -> Result<Quantity, Damaged> {
        let zeros = self.byte("quantity")?;
        let digits = self.signed("quantity")?;
        let units = 10_i128.checked_pow(zeros.into()).and_then(|scale| digits.checked_mul(scale));
        units.map(Quantity::from_units).ok_or(Damaged("quantity"))
    }

    fn optional_quantity(&mut self) -> Result<Option<Quantity>, Damaged> {
        match self.byte("quantity")? {
            0 => Ok(None),
            1 => self.quantity().map(Some),
            _ => Err(Damaged("quantity")),
        }
    }

    fn totals(&mut self) -> Result<Totals, Damaged> {
        let events = self.unsigned("totals")?.try_into().map_err(|_| Damaged("totals"))?;
        let tally = match self.byte("totals")? {
            0 => Tally::Count,
            1 => Tally::Sum(self.quantity()?),
            2 => Tally::Max(self.optional_quantity()?),
            3 => Tally::Min(self.optional_quantity()?),
            4 => Tally::Last(match self.optional_quantity()? {
                Some(quantity) => {
                    Some(Latest { occurred_at: self.time()?, ingested_at: self.time()?, quantity })
                }
                None => None,
            }),
            5 => Tally::Unique,
            _ => return Err(Damaged("totals")),
        };
        Ok(Totals { events, tally })
    }

    fn events(&mut self) -> Result<Vec<UsageEvent>, Damaged> {
        (0..self.length("events")?).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Result<UsageEvent, Damaged> {
        let key = match self.byte("key")? {
            0 => self.text("key")?,
            1 => Uuid::from_slice(self.slice(16, "key")?).map_err(|_| Damaged("key"))?.to_string(),
            _ => return Err(Damaged("key")),
        };
        let occurred_at = self.time()?;
        Ok(UsageEvent {
            key,
            occurred_at,
            ingested_at: self.millis(occurred_at.timestamp_millis())?,
            quantity: self.quantity()?,
            properties: self.properties()?,
            metadata: self.properties()?,
        })
    }

    fn properties(&mut self) -> Result<Properties, Damaged> {
        let mut properties = Properties::new();
        for _ in 0..self.length("properties")? {
            let name = self.text("property")?;
            let property = match self.byte("property")? {
                0 => Property::Null,
                1 => Property::Bool(false),
                2 => Property::Bool(true),
                3 => Property::Number(self.text("property")?),
                4 => Property::Text(self.text("property")?),
                5 => Property::Nested(self.text("property")?),
                _ => return Err(Damaged("property")),
            };
            properties.insert(name, property);
        }
        Ok(properties)
    }
}

#[cfg(test)]
mod tests {
    use domain::meter::{Aggregation, Counting};
    use proptest::prelude::*;

    use super::*;

    fn month() -> Month {
        Month::of("2025-01-15T00:00:00Z".parse().unwrap())
    }

    fn property() -> impl Strategy<Value = Property> {
        prop_oneof![
            Just(Property::Null),
            any::<bool>().prop_map(Property::Bool),
            "[0-9]{1,5}".prop_map(Property::Number),
            ".{0,9}".prop_map(Property::Text),
            Just(Property::Nested("[1,2]".into())),
        ]
    }

    fn event() -> impl Strategy<Value = UsageEvent> {
        let key = prop_oneof![".{1,12}", any::<u128>().prop_map(|n| Uuid::from_u128(n).to_string())];
        let properties = || prop::collection::btree_map(".{0,6}", property(), 0..4);
        let limit = Quantity::EVENT_MAX.units();
        (key, 0_i64..2_678_400_000, -90_000_000_i64..9_000_000_000, -limit..limit, properties(), properties())
            .prop_map(|(key, at, delay, units, properties, metadata)| {
                let occurred_at = month().start() + chrono::Duration::milliseconds(at);
                UsageEvent {
                    key,
                    occurred_at,
                    ingested_at: occurred_at + chrono::Duration::milliseconds(delay),
                    quantity: Quantity::from_units(units),
                    properties,
                    metadata,
                }
            })
    }

    proptest! {
        #[test]
        fn heads_and_segments_survive_being_stored(
            events in prop::collection::vec(event(), 0..12),
            which in 0_usize..6,
            is_sealed in any::<bool>(),
        ) {
            use Aggregation::{Count, Last, Max, Min, Sum, UniqueCount};
            let aggregation = [Count, Sum, Max, Min, Last, UniqueCount][which];
            let counting = Counting { aggregation, property: "user", filters: &[] };
            let commit = Head::default().commit(counting, &[], &events, |_| !is_sealed);
            let head = match commit.write {
                domain::head::HeadWrite::Nothing => Head::default(),
                domain::head::HeadWrite::Put(head) | domain::head::HeadWrite::Seal { head, .. } => head,
            };
            prop_assert_eq!(decode_head(&encode_head(&head, month()), month(), 0), Ok(head));
            let segment = encode_segment(&events, month());
            prop_assert_eq!(decode_segment(&segment, month()), Ok(events.clone()));
            let lengths = events.iter().map(|event| event_length(event, month())).sum::<usize>();
            prop_assert_eq!(segment.len(), 2 + lengths);
        }

        #[test]
        fn damaged_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_head(&bytes, month(), 1);
            let mut formatted = vec![FORMAT];
            formatted.extend(&bytes);
            let _ = decode_head(&formatted, month(), 1);
            let _ = decode_segment(&formatted, month());
        }

        #[test]
        fn cut_or_flipped_bytes_never_panic(
            events in prop::collection::vec(event(), 1..6),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let mut bytes = encode_segment(&events, month());
            let at = at.index(bytes.len());
            prop_assert!(decode_segment(&bytes[..at], month()).is_err());
            bytes[at] ^= flip;
            let _ = decode_segment(&bytes, month());
        }
    }

    /// Format 1 as it was first stored. It has to stay readable for ever.
    #[test]
    fn format_1_is_read_for_ever() {
        let event = UsageEvent {
            key: "request_1".into(),
            occurred_at: "2025-01-02T03:04:05.678Z".parse().unwrap(),
            ingested_at: "2025-01-02T03:04:06Z".parse().unwrap(),
            quantity: "4.25".parse().unwrap(),
            properties: Properties::from([("region".into(), Property::Text("eu".into()))]),
            metadata: Properties::from([("n".into(), Property::Number("1.0".into()))]),
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let written = encode_segment(std::slice::from_ref(&event), month());
        assert_eq!(
            hex(&written),
            "01010009726571756573745f31dc9cf75c84050ad2060106726567696f6e04026575\
             01016e0303312e30"
        );
        assert_eq!(decode_segment(&written, month()), Ok(vec![event]));
    }
}
