//! Corrections: of the events under one key and timestamp, the latest correction decides what counts.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::event::{Event, Revision, UsageEvent};

/// The latest correction of each identity that has any. Events pass through it on their way to a fold.
#[derive(Clone, Debug, Default)]
pub struct Corrections {
    latest: HashMap<DateTime<Utc>, Vec<UsageEvent>>,
    met: HashSet<(DateTime<Utc>, String)>,
}

/// What counts in the place of an event.
#[derive(Clone, Copy, Debug)]
pub enum Visible<'a, E> {
    /// The event itself.
    Itself(&'a E),
    /// Its latest correction.
    Replacement(&'a UsageEvent),
    /// Nothing.
    Nothing,
}

impl Corrections {
    /// The corrections among `events`.
    pub fn among<'e>(events: impl IntoIterator<Item = &'e UsageEvent>) -> Self {
        let mut corrections = Self::default();
        for event in events.into_iter().filter(|event| event.revision != Revision::First) {
            let same_time = corrections.latest.entry(event.occurred_at).or_default();
            match same_time.iter_mut().find(|other| other.key == event.key) {
                Some(other) if other.revision.correction() < event.revision.correction() => {
                    *other = event.clone();
                }
                Some(_) => {}
                None => same_time.push(event.clone()),
            }
        }
        corrections
    }

    fn of(&self, at: DateTime<Utc>, key: &str) -> Option<&UsageEvent> {
        self.latest.get(&at)?.iter().find(|correction| correction.key == key)
    }

    /// What counts in the place of `event`, which must not be a correction itself.
    pub fn visible<'a, E: Event>(&'a mut self, event: &'a E) -> Visible<'a, E> {
        if self.latest.is_empty() {
            return Visible::Itself(event);
        }
        let (at, key) = (event.occurred_at(), event.key());
        if self.of(at, &key).is_none() {
            return Visible::Itself(event);
        }
        self.met.insert((at, key.clone().into_owned()));
        match self.of(at, &key) {
            Some(correction) => match correction.revision {
                Revision::Void(_) => Visible::Nothing,
                Revision::First | Revision::Replacement(_) => Visible::Replacement(correction),
            },
            None => Visible::Itself(event),
        }
    }

    /// The replacements whose event did not pass by: they count by themselves.
    pub fn unmet(&self) -> impl Iterator<Item = &UsageEvent> {
        self.latest.values().flatten().filter(|correction| {
            matches!(correction.revision, Revision::Replacement(_))
                && !self.met.contains(&(correction.occurred_at, correction.key.clone()))
        })
    }
}

/// What counts of the events of one identity: the latest correction, else the event.
pub fn visible_of<'a>(events: impl IntoIterator<Item = &'a UsageEvent>) -> Option<&'a UsageEvent> {
    let latest = events.into_iter().max_by_key(|event| event.revision.correction())?;
    match latest.revision {
        Revision::First | Revision::Replacement(_) => Some(latest),
        Revision::Void(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::tests::event, id::CorrectionId};

    fn id(n: u128) -> CorrectionId {
        CorrectionId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn the_latest_correction_decides() {
        let first = event("a", "2025-01-01T00:00:00Z", "1");
        let two =
            UsageEvent { revision: Revision::Replacement(id(2)), ..event("a", "2025-01-01T00:00:00Z", "2") };
        let void = UsageEvent { revision: Revision::Void(id(3)), ..first.clone() };
        let back =
            UsageEvent { revision: Revision::Replacement(id(4)), ..event("a", "2025-01-01T00:00:00Z", "9") };
        let check = |events: &[&UsageEvent], expected: Option<&str>| {
            let direct = visible_of(events.iter().copied()).map(|event| event.quantity.to_string());
            assert_eq!(direct.as_deref(), expected);
            let mut corrections = Corrections::among(events.iter().copied());
            let through = match corrections.visible(&first) {
                Visible::Itself(event) | Visible::Replacement(event) => Some(event.quantity.to_string()),
                Visible::Nothing => None,
            };
            assert_eq!(through.as_deref(), expected);
            assert_eq!(corrections.unmet().count(), 0);
        };
        check(&[&first], Some("1"));
        check(&[&first, &two], Some("2"));
        check(&[&void, &two, &first], None);
        check(&[&back, &void, &first, &two], Some("9"));
    }

    #[test]
    fn a_replacement_of_nothing_counts_by_itself() {
        let at = "2025-01-01T00:00:00Z";
        let replacement = UsageEvent { revision: Revision::Replacement(id(1)), ..event("a", at, "2") };
        let void = UsageEvent { revision: Revision::Void(id(1)), ..event("b", at, "2") };
        let mut corrections = Corrections::among([&replacement, &void]);
        let other = event("c", at, "5");
        assert!(matches!(corrections.visible(&other), Visible::Itself(_)));
        assert_eq!(corrections.unmet().map(|event| event.key.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
