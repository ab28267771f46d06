//! What a set of events comes to. Totals are monoids: they can be taken of any parts of the set and put
//! together in any order.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};

use crate::{
    event::Event,
    held::{self, Held},
    id::CustomerId,
    meter::{Aggregation, Counting},
    pass::Pass,
    quantity::{Quantity, QuantityOverflow},
    range::Range,
};

/// The quantity of the latest event: by its timestamp, then by when it was accepted, then by size, so
/// that the order in which events arrive never decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Latest {
    /// When the usage happened.
    pub occurred_at: DateTime<Utc>,
    /// When the event was accepted.
    pub ingested_at: DateTime<Utc>,
    /// Its quantity.
    pub quantity: Quantity,
}

impl Latest {
    /// What `event` says of its time.
    pub fn of(event: &impl Event) -> Self {
        Self {
            occurred_at: event.occurred_at(),
            ingested_at: event.ingested_at(),
            quantity: event.quantity(),
        }
    }
}

/// What the events of a bucket of time come to, as far as one small value can say it.
///
/// How many distinct values there are is not known from a bucket's own totals, so UNIQUE_COUNT is
/// [`Tally::Unique`] here and is folded from the events themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// COUNT: the number of events says it.
    Count,
    /// SUM so far.
    Sum(Quantity),
    /// MAX so far.
    Max(Option<Quantity>),
    /// MIN so far.
    Min(Option<Quantity>),
    /// LAST so far.
    Last(Option<Latest>),
    /// UNIQUE_COUNT.
    Unique,
    /// WEIGHTED_SUM: the level from its first change to its last.
    Held(Option<Held>),
}

/// The number of events in a bucket and what they come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Events that count, each once.
    pub events: u64,
    /// What they come to.
    pub tally: Tally,
}

impl Totals {
    /// The totals of no events.
    pub fn empty(aggregation: Aggregation) -> Self {
        let tally = match aggregation {
            Aggregation::Count => Tally::Count,
            Aggregation::Sum => Tally::Sum(Quantity::ZERO),
            Aggregation::Max => Tally::Max(None),
            Aggregation::Min => Tally::Min(None),
            Aggregation::Last => Tally::Last(None),
            Aggregation::UniqueCount => Tally::Unique,
            Aggregation::WeightedSum => Tally::Held(None),
        };
        Self { events: 0, tally }
    }

    /// Takes in one more event, which must be one that counts.
    ///
    /// Errors: if it cannot be computed exactly; then nothing has changed.
    pub fn add(&mut self, event: &impl Event) -> Result<(), QuantityOverflow> {
        let events = self.events.checked_add(1).ok_or(QuantityOverflow)?;
        let quantity = event.quantity();
        match &mut self.tally {
            Tally::Count | Tally::Unique => {}
            Tally::Sum(sum) => *sum = sum.checked_add(quantity)?,
            Tally::Max(max) => *max = (*max).max(Some(quantity)),
            Tally::Min(min) => *min = Some(min.map_or(quantity, |min| min.min(quantity))),
            Tally::Last(last) => *last = (*last).max(Some(Latest::of(event))),
            Tally::Held(held) => {
                let change = Held::of(Latest::of(event));
                *held = Some(held.map_or(Ok(change), |held| held.merge(change))?);
            }
        }
        self.events = events;
        Ok(())
    }

    /// These totals with one more event.
    ///
    /// Errors: as [`Totals::add`].
    pub fn with(mut self, event: &impl Event) -> Result<Self, QuantityOverflow> {
        self.add(event)?;
        Ok(self)
    }

    /// These totals without an event that is in them; `None` where that cannot be told without the others.
    pub fn without(self, event: &impl Event) -> Option<Self> {
        let events = self.events.checked_sub(1)?;
        let tally = match self.tally {
            Tally::Sum(sum) => Tally::Sum(sum.checked_sub(event.quantity()).ok()?),
            Tally::Count | Tally::Unique => self.tally,
            Tally::Max(_) | Tally::Min(_) | Tally::Last(_) | Tally::Held(_) => return None,
        };
        Some(Self { events, tally })
    }

    /// The totals of two sets that share no event. Both must be of one aggregation; of two different ones
    /// the first is kept, which no caller does.
    ///
    /// Errors: if the sum cannot be computed exactly.
    pub fn merge(self, other: Self) -> Result<Self, QuantityOverflow> {
        let tally = match (self.tally, other.tally) {
            (Tally::Sum(left), Tally::Sum(right)) => Tally::Sum(left.checked_add(right)?),
            (Tally::Max(left), Tally::Max(right)) => Tally::Max(left.max(right)),
            (Tally::Min(left), Tally::Min(right)) => Tally::Min(match (left, right) {
                (Some(left), Some(right)) => Some(left.min(right)),
                (left, right) => left.or(right),
            }),
            (Tally::Last(left), Tally::Last(right)) => Tally::Last(left.max(right)),
            (Tally::Held(Some(left)), Tally::Held(Some(right))) => Tally::Held(Some(left.merge(right)?)),
            (Tally::Held(left), Tally::Held(right)) => Tally::Held(left.or(right)),
            (tally, _) => tally,
        };
        Ok(Self { events: self.events.checked_add(other.events).ok_or(QuantityOverflow)?, tally })
    }

    /// The one number, where totals say it; `None` for UNIQUE_COUNT and WEIGHTED_SUM. MAX, MIN and LAST of nothing are 0.
    pub fn quantity(&self) -> Option<Quantity> {
        match self.tally {
            Tally::Count => Some(Quantity::from_count(self.events)),
            Tally::Sum(sum) => Some(sum),
            Tally::Max(quantity) | Tally::Min(quantity) => Some(quantity.unwrap_or_default()),
            Tally::Last(last) => Some(last.map(|last| last.quantity).unwrap_or_default()),
            Tally::Unique | Tally::Held(_) => None,
        }
    }
}

/// Usage over some range: the number that is billed, and how many events it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What the events come to.
    pub quantity: Quantity,
    /// How many events count.
    pub events: u64,
}

/// Folds events into [`Usage`], for every aggregation. Order does not matter; each event must come once, and once
/// more in every further pass.
#[derive(Clone, Debug)]
pub struct Fold<'a> {
    counting: Counting<'a>,
    totals: Totals,
    distinct: Distinct,
    /// WEIGHTED_SUM is taken for each customer and added up: of each a part per bucket or [settled](Fold::settle)
    /// range, and what changed in the slice of time that is being read.
    held: BTreeMap<CustomerId, Vec<Held>>,
}

/// The distinct values of UNIQUE_COUNT: those of the current pass, and the number of those before.
#[derive(Clone, Debug, Default)]
struct Distinct {
    pass: Pass,
    is_further: bool,
    values: HashSet<Box<str>>,
    bytes: usize,
    counted: u64,
}

/// What a distinct value takes beside its bytes, about.
const VALUE_BYTES: usize = 48;

impl Distinct {
    /// Returns how many bytes more are held.
    fn add(&mut self, value: &str) -> usize {
        if !self.pass.takes(value) || self.values.contains(value) {
            return 0;
        }
        self.values.insert(value.into());
        let bytes = value.len() + VALUE_BYTES;
        self.bytes += bytes;
        bytes
    }

    fn count(&self) -> u64 {
        self.counted + self.values.len() as u64
    }
}

/// The range that WEIGHTED_SUM is averaged over, with the level of each customer at its start.
#[derive(Clone, Copy, Debug)]
pub struct HeldOver<'a> {
    /// The start of the range.
    pub from: DateTime<Utc>,
    /// Its end, or now where that is earlier: nobody knows yet what holds then.
    pub until: DateTime<Utc>,
    /// Levels at the start.
    pub carried: &'a BTreeMap<CustomerId, Quantity>,
}

impl<'a> Fold<'a> {
    /// A fold of no events yet.
    pub fn new(counting: Counting<'a>) -> Self {
        Self {
            counting,
            totals: Totals::empty(counting.aggregation),
            distinct: Distinct::default(),
            held: BTreeMap::new(),
        }
    }

    /// Takes in one event of `customer`, unless the meter's filters leave it out. Returns about how many bytes of
    /// distinct values, or of changes of a level, are held more than before.
    ///
    /// Errors: if the sum cannot be computed exactly.
    pub fn add_of(&mut self, customer: CustomerId, event: &impl Event) -> Result<usize, QuantityOverflow> {
        if !self.counting.includes(event) {
            return Ok(0);
        }
        let bytes = match (self.counting.aggregation, self.counting.distinct_value(event)) {
            (Aggregation::UniqueCount, Some(value)) => self.distinct.add(value),
            _ => 0,
        };
        if self.distinct.is_further {
            return Ok(bytes);
        }
        match self.counting.aggregation {
            Aggregation::WeightedSum => {
                let part = Held::of(Latest::of(event));
                self.held.entry(customer).or_default().push(part);
                self.totals.events += 1;
                return Ok(size_of::<Held>());
            }
            Aggregation::Count
            | Aggregation::Sum
            | Aggregation::Max
            | Aggregation::Min
            | Aggregation::Last
            | Aggregation::UniqueCount => self.totals.add(event)?,
        }
        Ok(bytes)
    }

    /// As [`Fold::add_of`], where it does not matter whose it is: all are of one customer.
    ///
    /// Errors: if the sum cannot be computed exactly.
    pub fn add(&mut self, event: &impl Event) -> Result<usize, QuantityOverflow> {
        self.add_of(ANYBODY, event)
    }

    /// Takes in the totals of events of `customer` that do not come one by one. Not for UNIQUE_COUNT, whose
    /// totals do not say which values they have seen.
    ///
    /// Errors: if the sum cannot be computed exactly.
    pub fn add_totals(&mut self, customer: CustomerId, totals: Totals) -> Result<(), QuantityOverflow> {
        if self.distinct.is_further {
            return Ok(());
        }
        if let Tally::Held(Some(held)) = totals.tally {
            self.held.entry(customer).or_default().push(held);
            let events = self.totals.events.checked_add(totals.events);
            self.totals.events = events.ok_or(QuantityOverflow)?;
        } else {
            self.totals = self.totals.merge(totals)?;
        }
        Ok(())
    }

    /// Begins a further pass, in which the same events come once more: only distinct values of its part count.
    pub fn begin(&mut self, pass: Pass) {
        let counted = self.distinct.count();
        self.distinct = Distinct { pass, is_further: true, counted, ..Distinct::default() };
    }

    /// Goes on with a smaller part of the distinct values, and lets go of the others. Returns about how many bytes of
    /// them are still held.
    pub fn narrow(&mut self, pass: Pass) -> usize {
        let Distinct { values, bytes, .. } = &mut self.distinct;
        values.retain(|value| pass.takes(value));
        values.shrink_to_fit();
        *bytes = values.iter().map(|value| value.len() + VALUE_BYTES).sum();
        self.distinct.pass = pass;
        self.distinct.bytes
    }

    /// Lets go of the changes of a customer's level in `ranges`: they come later. Returns about how many bytes less
    /// are held.
    pub fn leave_out(&mut self, customer: CustomerId, ranges: &[Range]) -> usize {
        let Some(parts) = self.held.get_mut(&customer) else { return 0 };
        let before = parts.len();
        parts.retain(|part| !ranges.iter().any(|range| range.contains(part.first_at)));
        let left_out = before - parts.len();
        self.totals.events -= left_out as u64;
        left_out * size_of::<Held>()
    }

    /// Puts the changes of a customer's level in `range` together: all of them are known now.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn settle(&mut self, customer: CustomerId, range: Range) -> Result<(), QuantityOverflow> {
        let Some(parts) = self.held.get_mut(&customer) else { return Ok(()) };
        let mut inside = parts.extract_if(.., |part| range.contains(part.first_at)).collect::<Vec<_>>();
        inside.sort_by_key(|part| part.last);
        let whole = inside.into_iter().map(Ok).reduce(|left, right| left?.merge(right?));
        parts.extend(whole.transpose()?);
        parts.shrink_to_fit();
        Ok(())
    }

    /// About how many bytes are held.
    #[cfg(test)]
    pub(crate) fn bytes_held(&self) -> usize {
        self.distinct.bytes + self.held.values().map(Vec::len).sum::<usize>() * size_of::<Held>()
    }

    /// How many events were taken in.
    pub fn events(&self) -> u64 {
        self.totals.events
    }

    /// What it all comes to. `over` matters to WEIGHTED_SUM alone.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn usage(&self, over: HeldOver<'_>) -> Result<Usage, QuantityOverflow> {
        let quantity = match self.counting.aggregation {
            Aggregation::WeightedSum => self.average(over)?,
            Aggregation::UniqueCount => Quantity::from_count(self.distinct.count()),
            Aggregation::Count
            | Aggregation::Sum
            | Aggregation::Max
            | Aggregation::Min
            | Aggregation::Last => self.totals.quantity().unwrap_or_default(),
        };
        Ok(Usage { quantity, events: self.totals.events })
    }

    /// What it all comes to, of any aggregation whose events say it alone; a level, WEIGHTED_SUM, needs a range.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn usage_of_events(&self) -> Result<Usage, QuantityOverflow> {
        let nobody = BTreeMap::new();
        let nothing = DateTime::UNIX_EPOCH;
        self.usage(HeldOver { from: nothing, until: nothing, carried: &nobody })
    }

    /// The average levels of all customers, added up.
    fn average(&self, over: HeldOver<'_>) -> Result<Quantity, QuantityOverflow> {
        let customers = self.held.keys().chain(over.carried.keys()).collect::<BTreeSet<_>>();
        customers.into_iter().try_fold(Quantity::ZERO, |sum, customer| {
            let mut parts = self.held.get(customer).cloned().unwrap_or_default();
            parts.sort_by_key(|part| part.last);
            let carried = over.carried.get(customer).copied();
            sum.checked_add(held::average(carried, &parts, over.from, over.until)?)
        })
    }

    /// The level of each customer after the last event, for the range that follows.
    pub fn levels(&self) -> BTreeMap<CustomerId, Quantity> {
        let last = |parts: &Vec<Held>| parts.iter().map(|part| part.last).max().map(|last| last.quantity);
        self.held.iter().filter_map(|(customer, parts)| Some((*customer, last(parts)?))).collect()
    }
}

/// Stands for the one customer of a fold that has but one.
const ANYBODY: CustomerId = CustomerId::from_uuid(uuid::Uuid::nil());

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::{UsageEvent, tests::event},
        property::Property,
    };

    const NOBODY: &BTreeMap<CustomerId, Quantity> = &BTreeMap::new();
    const OVER: HeldOver<'static> =
        HeldOver { from: DateTime::UNIX_EPOCH, until: DateTime::UNIX_EPOCH, carried: NOBODY };

    fn counting(aggregation: Aggregation) -> Counting<'static> {
        Counting { aggregation, property: "user_id", filters: &[] }
    }

    fn fold(aggregation: Aggregation, events: &[UsageEvent]) -> String {
        let mut fold = Fold::new(counting(aggregation));
        for event in events {
            fold.add(event).unwrap();
        }
        fold.usage(OVER).unwrap().quantity.to_string()
    }

    fn of(quantities: &[&str]) -> Vec<UsageEvent> {
        let at = |n: usize| format!("2025-01-01T00:00:{n:02}Z");
        quantities.iter().enumerate().map(|(n, quantity)| event(&n.to_string(), &at(n), quantity)).collect()
    }

    #[test]
    fn the_documented_numbers_come_out() {
        assert_eq!(fold(Aggregation::Sum, &of(&["100", "250", "50", "600"])), "1000");
        assert_eq!(fold(Aggregation::Sum, &of(&["1", "1", "5"])), "7");
        assert_eq!(fold(Aggregation::Max, &of(&["15", "42", "7", "38", "55", "12"])), "55");
        assert_eq!(fold(Aggregation::Min, &of(&["15", "42", "7"])), "7");
        assert_eq!(fold(Aggregation::Last, &of(&["15", "42", "7"])), "7");
        assert_eq!(fold(Aggregation::Count, &of(&["15", "42", "7"])), "3");
        let mut events = of(&["1"; 5]);
        for (event, user) in events.iter_mut().zip(["a", "b", "a", "c", "b"]) {
            event.metadata.insert("user_id".into(), Property::Text(user.into()));
        }
        assert_eq!(fold(Aggregation::UniqueCount, &events), "3");
    }

    #[test]
    fn nothing_comes_to_nothing() {
        use Aggregation::{Count, Last, Max, Min, Sum, UniqueCount, WeightedSum};
        for aggregation in [Count, Sum, Max, Min, Last, UniqueCount, WeightedSum] {
            assert_eq!(fold(aggregation, &[]), "0", "{aggregation:?}");
        }
    }

    #[test]
    fn a_sum_too_large_is_an_error() {
        let mut fold = Fold::new(counting(Aggregation::Sum));
        let large = of(&["1e22"]).remove(0);
        let added = (0..20_000).take_while(|_| fold.add(&large).is_ok()).count();
        assert_eq!(added, 17_014, "1.7014e26 is the limit");
    }

    fn arbitrary_events() -> impl Strategy<Value = Vec<UsageEvent>> {
        prop::collection::vec((0_i64..50, -1000_i128..1000), 0..40).prop_map(|rows| {
            rows.into_iter()
                .enumerate()
                .map(|(n, (second, units))| {
                    let mut event = event(&n.to_string(), "2025-01-01T00:00:00Z", "0");
                    event.occurred_at += chrono::Duration::seconds(second);
                    event.quantity = Quantity::from_units(units);
                    event
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn any_split_in_any_order_gives_the_same(events in arbitrary_events(), at in 0_usize..40, which in 0..5) {
            use Aggregation::{Count, Last, Max, Min, Sum};
            let aggregation = [Count, Sum, Max, Min, Last][which as usize];
            let total = |events: &[UsageEvent]| {
                events.iter().try_fold(Totals::empty(aggregation), |totals, event| totals.with(event)).unwrap()
            };
            let (left, right) = events.split_at(at.min(events.len()));
            prop_assert_eq!(total(right).merge(total(left)).unwrap(), total(&events));
            let mut reversed = events.clone();
            reversed.reverse();
            prop_assert_eq!(total(&reversed), total(&events));
        }
    }
}
