//! What the model's messages say, and the few names and times that it has.

use super::*;
use crate::{event::tests::event, id::CorrectionId};

/// One event of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) key: usize,
    /// Minutes since the month began. A repeat may carry another than the first did.
    pub(super) minute: u16,
    pub(super) is_void: bool,
}

/// A message, and its events as they were sent.
pub(super) type Message = Vec<(Sent, UsageEvent)>;

pub(super) const KEYS: usize = 4;

pub(super) fn month() -> Month {
    Month::of(DateTime::UNIX_EPOCH)
}

pub(super) fn at(minute: u16) -> DateTime<Utc> {
    month().start() + TimeDelta::minutes(minute.into())
}

pub(super) fn minute_of(at: DateTime<Utc>) -> u16 {
    u16::try_from((at - month().start()).num_minutes()).unwrap()
}

pub(super) const NAMES: [&str; KEYS] = ["a", "b", "c", "d"];

pub(super) fn key_of(name: &str) -> usize {
    NAMES.iter().position(|other| *other == name).unwrap()
}

/// Reads a message of [`Model::messages`].
pub(super) fn parse((index, message): (usize, &&str)) -> Message {
    let parse = |text: &str| {
        let (key, rest) = text.split_once(' ').unwrap();
        let (day, time) = rest.split_once(' ').unwrap();
        let (hour, minute) = time.split_once(':').unwrap();
        let [day, hour, minute] = [day, hour, minute].map(|text| text.parse::<u16>().unwrap());
        let minute = ((day - 1) * 24 + hour) * 60 + minute;
        let is_void = key.starts_with('-');
        let key = key_of(key.trim_start_matches('-'));
        let first = event(NAMES[key], "1970-01-01T00:00:00Z", &(1 << key).to_string());
        let revision = if is_void { Revision::Void(correction(index)) } else { Revision::First };
        let event = UsageEvent { occurred_at: at(minute), ingested_at: at(minute), revision, ..first };
        (Sent { key, minute, is_void }, event)
    };
    message.split(", ").map(parse).collect()
}

/// The correction that a message is.
pub(super) fn correction(message: usize) -> CorrectionId {
    CorrectionId::from_uuid(uuid::Uuid::from_u128(message as u128 + 1))
}

impl Model {
    pub(super) fn counting(&self) -> Counting<'static> {
        Counting { aggregation: self.aggregation, property: "", filters: &[] }
    }
}
