//! Traffic as it comes: some events are repeated within minutes, some are late.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CustomerId, Id, MeterId, OrganizationId},
    property::{Properties, Property},
    quantity::Quantity,
};
use uuid::Uuid;

/// Numbers that are random enough, and the same in every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for every seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number (SplitMix64).
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any() % end.max(1)
    }
}

/// A stream of events of some customers on one meter.
pub struct Traffic {
    organization: OrganizationId,
    meter: MeterId,
    customers: Vec<CustomerId>,
    random: Random,
    recent: Vec<TrackedEvent>,
    /// How many distinct events it has told so far.
    pub distinct: u64,
}

/// Of a hundred events so many are told once more, within the next minutes.
const REPEATED_PERCENT: u64 = 5;

/// Of a hundred events so many are late: by five minutes on average, one in fifty of them by days.
const LATE_PERCENT: u64 = 1;

/// Events that may still be repeated.
const RECENT_MAX: usize = 200_000;

impl Traffic {
    /// Events of `customers` customers.
    pub fn new(organization: OrganizationId, meter: MeterId, customers: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let customers = (0..customers).map(|_| {
            let id = u128::from(random.any()) << 64 | u128::from(random.any());
            Id::from_uuid(Uuid::from_u128(id))
        });
        let customers = customers.collect();
        Self { organization, meter, customers, random, recent: Vec::new(), distinct: 0 }
    }

    /// The customers.
    pub fn customers(&self) -> &[CustomerId] {
        &self.customers
    }

    /// What is told of `each` events of every customer from `from` on, over `length`: with the repeats and the
    /// late events among them, in the order of their timestamps.
    pub fn batch(&mut self, from: DateTime<Utc>, length: TimeDelta, each: u64) -> Vec<TrackedEvent> {
        let millis = length.num_milliseconds().unsigned_abs();
        let mut batch = Vec::new();
        for customer in self.customers.clone() {
            for _ in 0..each {
                let offset = self.random.below(millis);
                let mut at = from + TimeDelta::milliseconds(offset.cast_signed());
                if self.random.below(100) < LATE_PERCENT {
                    at -= self.lateness();
                }
                batch.push(self.event(customer, at, from + length));
                self.distinct += 1;
            }
        }
        let repeats = batch.len() as u64 * REPEATED_PERCENT / 100;
        let extra = batch.len() as u64 * REPEATED_PERCENT % 100;
        let repeats = repeats + u64::from(self.random.below(100) < extra);
        self.recent.extend(batch.iter().cloned());
        let excess = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..excess);
        for _ in 0..repeats {
            let place = self.random.below(self.recent.len() as u64);
            let place = usize::try_from(place).unwrap_or_default();
            batch.extend(self.recent.get(place).cloned());
        }
        batch.sort_by_key(|tracked| tracked.event.occurred_at);
        batch
    }

    /// Exponential with a mean of five minutes, told in halvings; a few by up to three days.
    fn lateness(&mut self) -> TimeDelta {
        if self.random.below(50) == 0 {
            return TimeDelta::milliseconds(self.random.below(3 * 86_400_000).cast_signed());
        }
        let halvings = i64::from(self.random.any().trailing_zeros());
        let within = self.random.below(208_000).cast_signed();
        TimeDelta::milliseconds(halvings * 208_000 + within)
    }

    fn event(&mut self, customer: CustomerId, at: DateTime<Utc>, now: DateTime<Utc>) -> TrackedEvent {
        let key = u128::from(self.random.any()) << 64 | u128::from(self.random.any());
        let region = ["eu-central-1", "us-east-1", "ap-south-1"]
            .get(usize::try_from(self.random.below(3)).unwrap_or_default())
            .copied()
            .unwrap_or_default();
        TrackedEvent {
            organization: self.organization,
            meter: self.meter,
            customer,
            has_sender_key: true,
            event: UsageEvent {
                key: uuid::Builder::from_random_bytes(key.to_be_bytes()).into_uuid().to_string(),
                occurred_at: at,
                ingested_at: now.max(at),
                quantity: Quantity::from_count(1 + self.random.below(100)),
                properties: Properties::from([("region".into(), Property::Text(region.to_owned()))]),
                metadata: Properties::new(),
                revision: Revision::First,
            },
        }
    }
}
