//! Accepted usage on its way to the queue.

use std::collections::HashMap;

use domain::event::TrackedEvent;
use store::event_bytes;

use crate::{
    AppError, Platform,
    port::{Message, PortError},
    track_usage::Accepted,
};

/// Bytes of events in one message. A message body is of 256 KiB at most, and base64 makes four bytes of three.
const MESSAGE_BYTES_MAX: usize = 150 * 1024;

/// Sends what was accepted, in as few messages as there can be. What the queue did not take is no longer
/// accepted.
pub(crate) async fn send(platform: &Platform, verdicts: &mut [Result<Accepted, AppError>]) {
    let accepted = verdicts.iter().enumerate();
    let accepted = accepted.filter_map(|(index, verdict)| Some((index, &verdict.as_ref().ok()?.tracked)));
    let (indexes, messages): (Vec<_>, Vec<_>) = chunks(accepted, MESSAGE_BYTES_MAX)
        .into_iter()
        .map(|chunk| chunk.into_iter().map(|(index, tracked)| (index, tracked.clone())).unzip())
        .map(|(indexes, events): (Vec<_>, Vec<_>)| (indexes, Message::CountUsage(events)))
        .unzip();
    if messages.is_empty() {
        return;
    }
    let mut sent = platform.queue.send(&messages).await.into_iter();
    for indexes in indexes {
        let Err(error) = sent.next().unwrap_or_else(|| Err(PortError::new("sending", "not confirmed")))
        else {
            continue;
        };
        tracing::warn!(error = ?error, events = indexes.len(), "the queue did not take {} events", indexes.len());
        for index in indexes {
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = Err(AppError::Unavailable(error.to_string().into()));
            }
        }
    }
}

type Indexed<'a> = (usize, &'a TrackedEvent);

/// Events by message, each of about `bytes_max`. Messages overtake each other, so what is told under one key is told by
/// one, in order: the first counts. Only what fills more than a message by itself goes on in the next.
fn chunks<'a>(events: impl Iterator<Item = Indexed<'a>>, bytes_max: usize) -> Vec<Vec<Indexed<'a>>> {
    let mut by_key = Vec::<Vec<Indexed<'a>>>::new();
    let mut places = HashMap::new();
    for (index, tracked) in events {
        let place =
            *places.entry((tracked.meter, tracked.customer, &tracked.event.key)).or_insert(by_key.len());
        match by_key.get_mut(place) {
            Some(told) => told.push((index, tracked)),
            None => by_key.push(vec![(index, tracked)]),
        }
    }
    let bytes_of = |(_, tracked): &Indexed<'_>| event_bytes(&tracked.event);
    let mut chunks = Vec::<Vec<Indexed<'a>>>::new();
    let mut bytes = bytes_max;
    for told in by_key {
        let mut together = told.iter().map(bytes_of).sum::<usize>();
        for event in told {
            let own = bytes_of(&event);
            match chunks.last_mut() {
                Some(chunk) if bytes + own.max(together) <= bytes_max => chunk.push(event),
                _ => {
                    bytes = 0;
                    chunks.push(vec![event]);
                }
            }
            bytes += own;
            together = 0;
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::{
        event::{Revision, UsageEvent},
        id::Id,
        property::{Properties, Property},
        quantity::Quantity,
    };

    use super::*;

    /// An event of a key, of about so many bytes.
    fn event(key: &str, bytes: usize) -> TrackedEvent {
        let id = Id::from_uuid(uuid::Uuid::from_u128(1));
        let event = UsageEvent {
            key: key.into(),
            occurred_at: DateTime::UNIX_EPOCH,
            ingested_at: DateTime::UNIX_EPOCH,
            quantity: Quantity::ONE,
            properties: [("text".to_owned(), Property::Text("x".repeat(bytes)))].into(),
            metadata: Properties::new(),
            revision: Revision::First,
        };
        let organization = Id::from_uuid(uuid::Uuid::from_u128(1));
        TrackedEvent {
            organization,
            meter: Id::from_uuid(uuid::Uuid::from_u128(2)),
            customer: id,
            has_sender_key: true,
            event,
        }
    }

    #[test]
    fn what_is_told_under_one_key_is_told_by_one_message() {
        let check = |told: &[(&str, usize)], expected: &[&[usize]]| {
            let events = told.iter().map(|(key, bytes)| event(key, *bytes)).collect::<Vec<_>>();
            let chunks = chunks(events.iter().enumerate(), 10_000);
            let indexes =
                chunks.iter().map(|chunk| chunk.iter().map(|(index, _)| *index).collect::<Vec<_>>());
            assert_eq!(indexes.collect::<Vec<_>>(), expected, "{told:?}");
        };
        check(&[], &[]);
        check(&[("a", 10), ("b", 10), ("c", 10)], &[&[0, 1, 2]]);
        check(&[("a", 4_000), ("b", 4_000), ("c", 4_000)], &[&[0, 1], &[2]]);
        check(&[("a", 4_000), ("b", 4_000), ("c", 4_000), ("a", 4_000)], &[&[0, 3], &[1, 2]]);
        check(&[("a", 4_000), ("b", 3_000), ("c", 10), ("b", 4_000)], &[&[0], &[1, 3, 2]]);
        // Too much of one key for one message, and too much in one event.
        check(&[("a", 6_000), ("a", 6_000), ("b", 10), ("a", 6_000)], &[&[0], &[1], &[3, 2]]);
        check(&[("a", 20_000), ("b", 10)], &[&[0], &[1]]);
    }
}
