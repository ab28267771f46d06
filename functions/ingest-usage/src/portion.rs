//! Messages whose events are counted together.

use std::ops::Range;

use app::{Platform, ingest_usage};
use domain::event::TrackedEvent;

use crate::Bounds;

/// Messages that are decoded, and not counted yet.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    messages: Vec<(String, Range<usize>)>,
    events: Vec<TrackedEvent>,
    bytes: usize,
}

impl Portion {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether the events of one more message go in. Those of the first always do.
    pub(crate) fn has_room_for(&self, events: &[TrackedEvent], bounds: Bounds) -> bool {
        let is_within = self.events.len() + events.len() <= bounds.events
            && self.bytes + bytes_of(events) <= bounds.bytes;
        is_within || self.is_empty()
    }

    /// Takes in a message.
    pub(crate) fn add(&mut self, id: String, events: Vec<TrackedEvent>) {
        self.messages.push((id, self.events.len()..self.events.len() + events.len()));
        self.bytes += bytes_of(&events);
        self.events.extend(events);
    }

    /// Counts all of it. Returns the messages that have to come again.
    pub(crate) async fn count(self, platform: &Platform) -> Vec<String> {
        let counted = ingest_usage::count(platform, &self.events).await;
        let mut again = Vec::new();
        for (id, range) in self.messages {
            match counted.get(range).map(|results| results.iter().find_map(|result| result.as_ref().err())) {
                Some(None) => {}
                Some(Some(error)) => {
                    tracing::warn!(message.id = %id, error = ?error, "message {id} has to come again");
                    again.push(id);
                }
                None => again.push(id), // without a verdict for each event, nothing is certain
            }
        }
        tracing::info!(
            events = self.events.len(),
            failed_messages = again.len(),
            "counted {} events",
            counted.iter().filter(|result| result.is_ok()).count()
        );
        again
    }
}

fn bytes_of(events: &[TrackedEvent]) -> usize {
    events.iter().map(|tracked| store::event_bytes(&tracked.event)).sum()
}
