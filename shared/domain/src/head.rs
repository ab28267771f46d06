//! The head of a month of usage, and the one decision by which events become members of it.
//!
//! A head holds totals per day and the newest events (its tail); older events lie in immutable segments.
//! An event becomes a member in the very write that changes the totals, so the two never differ, and a
//! repeat always meets the first. `docs/ARCHITECTURE.md` tells why this survives a crash at any point.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike, Utc};

use crate::{event::UsageEvent, meter::Counting, totals::Totals};

/// The month of one customer on one meter: totals of all its events, and the newest of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// 0 when it was never stored; writes are conditional on it and put the next one.
    pub version: u64,
    /// How many events are members, in the tail and in segments, counted or left out by a filter.
    pub members: u64,
    /// Totals by day of the month, over members in the tail and in segments alike.
    pub days: BTreeMap<u32, Totals>,
    /// The newest members, not in a segment yet.
    pub tail: Vec<UsageEvent>,
    /// The latest timestamp of any member in a segment. Later events cannot be repeats of those.
    pub sealed_until: Option<DateTime<Utc>>,
    /// The earliest and the latest timestamp of all members.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

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

/// The one write that a commit comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadWrite {
    /// Every event was a member already.
    Nothing,
    /// Put this head, if the stored one still has the version before it.
    Put(Head),
    /// In one transaction, put these events as segments, and this head with an empty tail under the same
    /// condition. The events are sorted by time.
    Seal {
        /// The head to put.
        head: Head,
        /// The tail and the new events.
        events: Vec<UsageEvent>,
    },
}

/// A commit, decided: what to write, and what that makes of each event, in the order they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The write to make.
    pub write: HeadWrite,
    /// One verdict per event.
    pub verdicts: Vec<Verdict>,
}

impl Head {
    /// Whether members in segments have to be looked at to tell if one of `events` is a repeat.
    pub fn may_have_sealed(&self, events: &[UsageEvent]) -> bool {
        self.sealed_until.is_some_and(|until| events.iter().any(|event| event.occurred_at <= until))
    }

    /// Decides how `events` become members. `sealed` holds the members in segments that could be the same
    /// events, all of them if [`Head::may_have_sealed`]; `fits` tells whether a head can be stored with its
    /// tail as it is.
    pub fn commit(
        &self,
        counting: Counting<'_>,
        sealed: &[UsageEvent],
        events: &[UsageEvent],
        fits: impl Fn(&Self) -> bool,
    ) -> Commit {
        let mut members: HashMap<_, &UsageEvent> =
            sealed.iter().chain(&self.tail).map(|member| (member.identity(), member)).collect();
        let mut head = self.clone();
        let verdicts = events
            .iter()
            .map(|event| match members.get(&event.identity()) {
                Some(member) if member.conflicts_with(event) => Verdict::Conflict,
                Some(_) => Verdict::Duplicate,
                None if head.admit(counting, event) => {
                    members.insert(event.identity(), event);
                    Verdict::Counted
                }
                None => Verdict::Overflow,
            })
            .collect::<Vec<_>>();
        let write = if !verdicts.contains(&Verdict::Counted) {
            HeadWrite::Nothing
        } else if fits(&head) {
            HeadWrite::Put(head)
        } else {
            let mut events = std::mem::take(&mut head.tail);
            events.sort_by(|left, right| left.identity().cmp(&right.identity()));
            head.sealed_until = head.sealed_until.max(events.last().map(|event| event.occurred_at));
            HeadWrite::Seal { head, events }
        };
        Commit { write, verdicts }
    }

    /// Makes `event` a member in the tail. `false`, with nothing changed, if the totals overflow.
    fn admit(&mut self, counting: Counting<'_>, event: &UsageEvent) -> bool {
        if counting.includes(event) {
            let day = event.occurred_at.day();
            let totals = self.days.get(&day).copied().unwrap_or(Totals::empty(counting.aggregation));
            let Ok(totals) = totals.with(event) else { return false };
            let month = self.days.iter().filter(|(other, _)| **other != day);
            if month.map(|(_, totals)| *totals).try_fold(totals, Totals::merge).is_err() {
                return false;
            }
            self.days.insert(day, totals);
        }
        let at = event.occurred_at;
        self.members += 1;
        self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        self.tail.push(event.clone());
        true
    }
}

impl UsageEvent {
    /// What makes two events of one head the same. Where keys are pinned, equal keys have equal times.
    fn identity(&self) -> (DateTime<Utc>, &str) {
        (self.occurred_at, &self.key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{event::tests::event, meter::Aggregation, quantity::Quantity};

    const SUM: Counting<'static> = Counting { aggregation: Aggregation::Sum, property: "", filters: &[] };

    /// A stored month: a head with room for four events, and its segments.
    #[derive(Default)]
    struct Stored {
        head: Head,
        sealed: Vec<UsageEvent>,
    }

    impl Stored {
        fn commit(&mut self, events: &[UsageEvent]) -> Vec<Verdict> {
            let needed = if self.head.may_have_sealed(events) { self.sealed.as_slice() } else { &[] };
            let commit = self.head.commit(SUM, needed, events, |head| head.tail.len() <= 4);
            match commit.write {
                HeadWrite::Nothing => {}
                HeadWrite::Put(head) => self.head = head,
                HeadWrite::Seal { head, events } => {
                    self.head = head;
                    self.sealed.extend(events);
                }
            }
            commit.verdicts
        }

        fn total(&self) -> Totals {
            self.head.days.values().copied().try_fold(Totals::empty(Aggregation::Sum), Totals::merge).unwrap()
        }
    }

    #[test]
    fn a_repeat_meets_the_first_wherever_it_lies() {
        let mut stored = Stored::default();
        let at = |n: u32| event(&format!("k{n}"), &format!("2025-01-{n:02}T00:00:00Z"), "2");
        for n in 1..=12 {
            assert_eq!(stored.commit(&[at(n)]), [Verdict::Counted]);
        }
        for n in 1..=12 {
            assert_eq!(stored.commit(&[at(n)]), [Verdict::Duplicate], "event {n}");
        }
        let late = event("late", "2025-01-01T12:00:00Z", "1");
        assert_eq!(stored.commit(&[late.clone(), late]), [Verdict::Counted, Verdict::Duplicate]);
        let other = UsageEvent { quantity: Quantity::ONE, ..at(3) };
        assert_eq!(stored.commit(&[other]), [Verdict::Conflict]);
        assert_eq!(stored.total().quantity().unwrap().to_string(), "25");
        assert_eq!(stored.total().events, 13);
    }

    #[test]
    fn an_event_that_overflows_the_month_is_left_out() {
        let mut stored = Stored::default();
        let large = |n: usize| UsageEvent {
            occurred_at: "2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap()
                + chrono::Duration::days((n % 28) as i64),
            quantity: Quantity::EVENT_MAX,
            ..event(&n.to_string(), "2025-01-01T00:00:00Z", "1")
        };
        let events = (0..17_020).map(large).collect::<Vec<_>>();
        let verdicts = stored.commit(&events);
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Counted).count(), 17_014);
        assert_eq!(verdicts.last(), Some(&Verdict::Overflow));
        assert_eq!(stored.total().events, 17_014);
    }

    proptest! {
        /// Any order, any batches, any repeats: the members and totals of a naive set.
        #[test]
        fn commits_equal_a_naive_set(
            rows in prop::collection::vec((0_u32..30, 1_u32..28, 1_i128..100), 1..80),
            batch in 1_usize..9,
        ) {
            let events = rows.iter().map(|(key, ..)| {
                // A key always has the same time and quantity: a repeat.
                let (_, day, units) = rows[*key as usize % rows.len()];
                let mut event = event(&format!("k{key}"), &format!("2025-01-{day:02}T00:00:00Z"), "0");
                event.quantity = Quantity::from_units(units);
                event
            }).collect::<Vec<_>>();
            let mut stored = Stored::default();
            events.chunks(batch).for_each(|events| { stored.commit(events); });

            let naive = events.iter().map(|event| (event.key.clone(), event.quantity)).collect::<BTreeSet<_>>();
            let members = stored.sealed.iter().chain(&stored.head.tail);
            let mut members = members.map(|event| (event.key.clone(), event.quantity)).collect::<Vec<_>>();
            members.sort();
            prop_assert_eq!(members, naive.iter().cloned().collect::<Vec<_>>());
            let sum = naive.iter().map(|(_, quantity)| quantity.units()).sum();
            prop_assert_eq!(stored.total().quantity(), Some(Quantity::from_units(sum)));
        }
    }
}
