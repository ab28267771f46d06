//! A naive list of usage: every event and correction once, and every number from one pass over all of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::{
    event::{Event, Revision, UsageEvent},
    meter::Aggregation,
    quantity::Quantity,
    series::Range,
};

/// What was told under each key, by its correction: `None` of the event itself.
#[derive(Default)]
pub(crate) struct Naive {
    told: BTreeMap<String, BTreeMap<Option<u128>, UsageEvent>>,
}

impl Naive {
    /// Takes in an event or correction, unless it is there.
    pub(crate) fn tell(&mut self, event: &UsageEvent) {
        let correction = event.revision.correction().map(|id| id.uuid().as_u128());
        self.told.entry(event.key.clone()).or_default().entry(correction).or_insert_with(|| event.clone());
    }

    /// Moves what was told under a key.
    pub(crate) fn place(&mut self, key: &str, at: DateTime<Utc>) {
        self.told.get_mut(key).unwrap().values_mut().for_each(|event| event.occurred_at = at);
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> u64 {
        self.told.len() as u64
    }

    /// What counts: the latest of each key, unless it takes back.
    fn counted(&self) -> impl Iterator<Item = &UsageEvent> {
        let latest = self.told.values().map(|told| told.values().next_back().unwrap());
        latest.filter(|event| !matches!(event.revision, Revision::Void(_)))
    }

    /// In 10^-12, what `range` comes to as known at `now`, and how many events that is of.
    pub(crate) fn total(&self, aggregation: Aggregation, range: Range, now: DateTime<Utc>) -> (i128, u64) {
        let inside = self.counted().filter(|event| range.contains(event.occurred_at)).collect::<Vec<_>>();
        let units = inside.iter().map(|event| event.quantity.units());
        let one = Quantity::ONE.units();
        let total = match aggregation {
            Aggregation::Count => inside.len() as i128 * one,
            Aggregation::Sum => units.sum(),
            Aggregation::Max => units.max().unwrap_or_default(),
            Aggregation::Min => units.min().unwrap_or_default(),
            Aggregation::Last => {
                inside.iter().max_by_key(|event| order(event)).map_or(0, |event| event.quantity.units())
            }
            Aggregation::UniqueCount => {
                let distinct = inside.iter().filter_map(|event| event.property("n"));
                distinct.collect::<BTreeSet<_>>().len() as i128 * one
            }
            Aggregation::WeightedSum => self.level(Range { from: range.from, until: range.until.min(now) }),
        };
        (total, inside.len() as u64)
    }

    /// The average of what holds in `range`, to 10^-12, halves away from zero.
    fn level(&self, range: Range) -> i128 {
        let mut changes = self.counted().filter(|event| event.occurred_at < range.until).collect::<Vec<_>>();
        changes.sort_by_key(order);
        let (mut level, mut since, mut area) = (0, range.from, 0);
        for change in changes {
            let at = change.occurred_at.max(range.from);
            area += level * i128::from((at - since).num_milliseconds());
            (level, since) = (change.quantity.units(), at);
        }
        area += level * i128::from((range.until - since).num_milliseconds());
        let millis = i128::from((range.until - range.from).num_milliseconds());
        (2 * area + area.signum() * millis) / (2 * millis)
    }
}

/// Of two changes at one instant, the later one said holds, or else the larger.
fn order(event: &&UsageEvent) -> (DateTime<Utc>, DateTime<Utc>, i128) {
    (event.occurred_at, event.ingested_at, event.quantity.units())
}
