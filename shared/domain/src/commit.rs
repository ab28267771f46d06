//! The one decision by which events become members of a head.
//!
//! It goes in steps, since what must be read depends on what came before: which windows could hold repeats
//! ([`Head::lookup`]), which events are new ([`Head::sift`]), which totals have to be folded anew
//! ([`Sifted::refolds`]), what the head becomes ([`Sifted::admit`]), and, if it does not fit, which segments
//! its tail becomes ([`Draft::seal`]). An event becomes a member in the very write that changes the totals, so
//! the two never differ, and a repeat always meets the first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

use crate::{
    event::{Event, Identity, Revision, UsageEvent},
    head::Head,
    hours::Hours,
    meter::{Aggregation, Counting},
    month::Month,
    quantity::{Quantity, QuantityOverflow},
    revision::visible_of,
    series::Range,
    totals::{Tally, Totals},
    window::{WindowRun, runs},
};

mod seal;

pub use seal::{HoursSource, SegmentWrite};

/// What became of an event that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a member now, and in the totals unless the meter's filters leave it out.
    Counted,
    /// It was a member already.
    Duplicate,
    /// Its key was a member already, with other content; the first is kept.
    Conflict,
    /// The totals could not be computed exactly with it. It is no member.
    Overflow,
}

/// What has to be looked for in segments to tell whether events are repeats.
#[derive(Clone, Debug)]
pub struct Lookup<'e> {
    /// The windows they may lie in.
    pub runs: Vec<WindowRun>,
    /// Whether corrections may be among what is looked for.
    pub reads_corrections: bool,
    /// What is looked for.
    pub wanted: BTreeSet<Identity<'e>>,
}

/// A part of a month whose totals have to be folded anew: a day, or an hour of a day that has hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// From 1.
    pub day: u32,
    /// From 0.
    pub hour: Option<u32>,
}

/// The events of a batch with a verdict each, those new among them set apart.
#[derive(Clone, Debug)]
pub struct Sifted<'a> {
    head: &'a Head,
    verdicts: Vec<Verdict>,
    fresh: Vec<Fresh<'a>>,
}

/// A new event, with what counted under its identity before, and what does now.
#[derive(Clone, Copy, Debug)]
struct Fresh<'a> {
    index: usize,
    event: &'a UsageEvent,
    before: Option<&'a UsageEvent>,
    after: Option<&'a UsageEvent>,
    is_first: bool,
}

/// A head with new members in its tail.
#[derive(Clone, Debug)]
pub struct Draft {
    head: Head,
    verdicts: Vec<Verdict>,
    hours: BTreeMap<(u32, u32), Totals>,
    must_seal: bool,
}

/// The one write that a commit comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadWrite {
    /// Every event was a member already.
    Nothing,
    /// Put this head, if the stored one still has the version before it.
    Put(Head),
    /// In one transaction, put these segments and totals by hour, and this head with an empty tail under the
    /// same condition.
    Seal {
        /// The head to put.
        head: Head,
        /// The tail and the new events.
        segments: Vec<SegmentWrite>,
        /// Totals by hour, by day.
        hours: BTreeMap<u32, Hours>,
    },
}

/// A tail of more events than this is sealed without asking whether it fits into a head.
const TAIL_EVENTS_MAX: usize = 250;

impl Bucket {
    /// The time it covers.
    pub fn range(self, month: Month) -> Range {
        match self.hour {
            Some(hour) => Head::hour_range(month, self.day, hour),
            None => {
                let from = month.day_start(self.day);
                Range { from, until: from + TimeDelta::days(1) }
            }
        }
    }

    fn contains(self, at: DateTime<Utc>) -> bool {
        self.day == at.day() && self.hour.is_none_or(|hour| hour == at.hour())
    }
}

impl Lookup<'_> {
    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && !self.reads_corrections
    }
}

impl Head {
    /// What has to be looked for in segments to tell which of `events` are repeats. What is in the tail is
    /// known already.
    pub fn lookup<'e>(&self, events: &'e [UsageEvent]) -> Lookup<'e> {
        let firsts = self.tail.iter().filter(|event| event.revision == Revision::First);
        let tail = firsts.map(UsageEvent::identity).collect::<BTreeSet<_>>();
        let mut windows = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        let mut reads_corrections = false;
        for event in events {
            let is_first = event.revision == Revision::First;
            if is_first && tail.contains(&event.identity()) {
                continue; // a correction also asks what it corrects
            }
            let possible = self.windows_of(event.occurred_at).collect::<Vec<_>>();
            reads_corrections |= self.has_sealed_corrections;
            if !possible.is_empty() || self.has_sealed_corrections {
                windows.extend(possible);
                wanted.insert(event.identity());
            }
        }
        Lookup { runs: runs(&windows), reads_corrections, wanted }
    }

    /// Tells which of `events` are new. `found` are the members and corrections in segments that
    /// [`Head::lookup`] asked for.
    pub fn sift<'a>(&'a self, found: &'a [UsageEvent], events: &'a [UsageEvent]) -> Sifted<'a> {
        let members = found.iter().chain(&self.tail).map(|member| (None, member));
        let told = events.iter().enumerate().map(|(index, event)| (Some(index), event));
        let mut all = members.chain(told).collect::<Vec<_>>();
        // What is the same stays in this order: members, then events as they came. Both come in few runs that
        // are in order already, so this is quicker than to hash every key.
        all.sort_by(|(_, left), (_, right)| left.by_identity(right));
        let mut verdicts = vec![Verdict::Counted; events.len()];
        let mut fresh = Vec::with_capacity(events.len());
        for same in all.chunk_by(|(_, left), (_, right)| left.by_identity(right).is_eq()) {
            if let [(Some(index), event)] = *same {
                let (after, is_first) = (visible_of([event]), event.revision == Revision::First);
                fresh.push(Fresh { index, event, before: None, after, is_first });
                continue;
            }
            let mut known = Vec::with_capacity(same.len());
            for (index, event) in same {
                let Some(index) = *index else {
                    known.push(*event);
                    continue;
                };
                let is_first = event.revision == Revision::First;
                let repeated = known.iter().find(|known| known.revision == event.revision);
                if let Some(repeated) = repeated {
                    let differs = is_first && repeated.conflicts_with(event);
                    if let Some(verdict) = verdicts.get_mut(index) {
                        *verdict = if differs { Verdict::Conflict } else { Verdict::Duplicate };
                    }
                    continue;
                }
                let before = visible_of(known.iter().copied());
                known.push(*event);
                let after = visible_of(known.iter().copied());
                fresh.push(Fresh { index, event, before, after, is_first });
            }
        }
        fresh.sort_by_key(|fresh| fresh.index);
        Sifted { head: self, verdicts, fresh }
    }
}

impl<'a> Sifted<'a> {
    /// The parts whose totals have to be folded anew, from all their members and corrections: what is taken
    /// out of a maximum, or told in between the changes of a level, cannot be computed from totals alone.
    pub fn refolds(&self, counting: Counting<'_>) -> BTreeSet<Bucket> {
        let out_of_order = self.levels_out_of_order(counting);
        let needs = |fresh: &&Fresh<'a>| {
            let day = fresh.event.occurred_at.day();
            if fresh.before.is_some() || !fresh.is_first {
                let inverts = match counting.aggregation {
                    Aggregation::Count | Aggregation::Sum | Aggregation::UniqueCount => true,
                    Aggregation::Max | Aggregation::Min | Aggregation::Last | Aggregation::WeightedSum => {
                        false
                    }
                };
                return self.head.hourly.contains(day) || !inverts;
            }
            out_of_order.contains(&day)
        };
        let bucket = |fresh: &Fresh<'a>| {
            let (day, hour) = (fresh.event.occurred_at.day(), fresh.event.occurred_at.hour());
            Bucket { day, hour: self.head.hourly.contains(day).then_some(hour) }
        };
        self.fresh.iter().filter(needs).map(bucket).collect()
    }

    /// The days in which a level changes in between changes that are known.
    fn levels_out_of_order(&self, counting: Counting<'_>) -> BTreeSet<u32> {
        if counting.aggregation != Aggregation::WeightedSum {
            return BTreeSet::new();
        }
        let span = |totals: &Totals| match totals.tally {
            Tally::Held(held) => held.map(|held| (held.first_at, held.last.occurred_at)),
            _ => None,
        };
        let spans = self.head.days.iter().filter_map(|(day, totals)| Some((*day, span(totals)?)));
        let mut spans = spans.collect::<HashMap<_, _>>();
        let mut days = BTreeSet::new();
        for at in self.fresh.iter().map(|fresh| fresh.event.occurred_at) {
            let (first, last) = spans.entry(at.day()).or_insert((at, at));
            if *first <= at && at < *last {
                days.insert(at.day());
            }
            (*first, *last) = ((*first).min(at), (*last).max(at));
        }
        days
    }

    /// Everything new, and in the tail, that lies in `bucket`.
    pub fn unsealed_in(&self, bucket: Bucket) -> impl Iterator<Item = &'a UsageEvent> {
        let fresh = self.fresh.iter().map(|fresh| fresh.event);
        let all = self.head.tail.iter().chain(fresh);
        all.filter(move |event| bucket.contains(event.occurred_at))
    }

    /// The head with the new events in its tail. `refolded` has what [`Sifted::refolds`] asked for.
    pub fn admit(
        self,
        counting: Counting<'_>,
        refolded: &BTreeMap<Bucket, Result<Totals, QuantityOverflow>>,
    ) -> Draft {
        let Self { head: before, mut verdicts, fresh } = self;
        let mut head = before.clone();
        let mut hours = BTreeMap::new();
        let mut month = MonthSum::of(&head);
        for fresh in fresh {
            let at = fresh.event.occurred_at;
            let bucket = refolded.iter().find(|(bucket, _)| bucket.contains(at));
            let admitted = match bucket {
                Some((_, Err(QuantityOverflow))) => false,
                Some((Bucket { day, hour: None }, Ok(totals))) => {
                    head.days.insert(*day, *totals);
                    true
                }
                Some((Bucket { day, hour: Some(hour) }, Ok(totals))) => {
                    hours.insert((*day, *hour), *totals);
                    true
                }
                None => head.count(counting, &fresh, &mut month),
            };
            if admitted {
                if fresh.is_first {
                    head.members += 1;
                } else {
                    head.corrections += 1;
                }
                head.tail.push(fresh.event.clone());
            } else if let Some(verdict) = verdicts.get_mut(fresh.index) {
                *verdict = Verdict::Overflow;
            }
        }
        head.days.retain(|_, totals| totals.events > 0);
        let must_seal = !hours.is_empty() || head.tail.len() > TAIL_EVENTS_MAX;
        Draft { head, verdicts, hours, must_seal }
    }
}

/// The sum over the month, so that no month becomes too large to be exact.
struct MonthSum(Option<Quantity>);

impl MonthSum {
    fn of(head: &Head) -> Self {
        let sums = head.days.values().map(|totals| match totals.tally {
            Tally::Sum(sum) => Ok(sum),
            _ => Err(QuantityOverflow),
        });
        let sum = sums.reduce(|left, right| left?.checked_add(right?));
        Self(sum.unwrap_or(Ok(Quantity::ZERO)).ok())
    }

    /// The sum with `change` counted once more, `None` if that has more digits than can be priced exactly. Only of
    /// sums. What is taken back always is.
    fn with(&self, before: Option<Quantity>, after: Option<Quantity>) -> Option<Quantity> {
        let without = self.0?.checked_sub(before.unwrap_or_default()).ok()?;
        let Some(after) = after else { return Some(without) };
        without.checked_add(after).ok().filter(|sum| sum.is_decimal())
    }
}

impl Head {
    /// Takes a new event into the totals of its day. `false`, with nothing changed, if they would not be exact.
    fn count(&mut self, counting: Counting<'_>, fresh: &Fresh<'_>, month: &mut MonthSum) -> bool {
        let before = fresh.before.filter(|event| counting.includes(*event));
        let after = fresh.after.filter(|event| counting.includes(*event));
        let is_sum = counting.aggregation == Aggregation::Sum;
        let next = month.with(before.map(Event::quantity), after.map(Event::quantity));
        if is_sum && next.is_none() {
            return false;
        }
        if before.is_none() && after.is_none() {
            return true;
        }
        let day = fresh.event.occurred_at.day();
        let mut totals = self.days.get(&day).copied().unwrap_or(Totals::empty(counting.aggregation));
        if let Some(before) = before {
            let Some(without) = totals.without(before) else { return false };
            totals = without;
        }
        if after.is_some_and(|after| totals.add(after).is_err()) {
            return false;
        }
        self.days.insert(day, totals);
        month.0 = next;
        true
    }
}

impl Draft {
    /// The head as it would be put with its tail as it is.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether nothing was new.
    pub fn is_unchanged(&self) -> bool {
        !self.verdicts.contains(&Verdict::Counted)
    }

    /// Whether the tail has to become segments, even if it would fit.
    pub fn must_seal(&self) -> bool {
        self.must_seal
    }

    /// One verdict per event, in the order they came in.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
