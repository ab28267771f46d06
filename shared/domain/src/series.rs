//! Usage over a range of time, put together from heads and, where a range cuts a day, from events.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, Months, NaiveTime, Timelike, Utc};

use crate::{
    event::UsageEvent,
    head::Head,
    meter::{Aggregation, Counting},
    month::Month,
    quantity::QuantityOverflow,
    totals::{Fold, Usage},
};

/// The size of the steps of a series, in UTC. Weeks begin on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
}

/// The half-open range of time `[from, until)` that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first instant inside.
    pub from: DateTime<Utc>,
    /// The first instant no longer inside.
    pub until: DateTime<Utc>,
}

/// A customer's month of usage as it was read: the head, and the events in segments where they are needed.
#[derive(Clone, Debug)]
pub struct MonthOfUsage {
    /// Which month.
    pub month: Month,
    /// Its head.
    pub head: Head,
    /// Members in segments; may repeat those in the tail. Empty unless [`needs_events`] says so.
    pub sealed: Vec<UsageEvent>,
}

/// Usage by step, and over all of them.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    counting: Counting<'a>,
    range: Range,
    step: Option<Step>,
    total: Fold<'a>,
    steps: BTreeMap<DateTime<Utc>, Fold<'a>>,
}

impl Step {
    /// The start of the step that `at` lies in.
    pub fn start_of(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let midnight = at.with_time(NaiveTime::MIN).single().unwrap_or(at);
        match self {
            Self::Hour => NaiveTime::from_hms_opt(at.hour(), 0, 0)
                .and_then(|hour| at.with_time(hour).single())
                .unwrap_or(midnight),
            Self::Day => midnight,
            Self::Week => midnight - Days::new(u64::from(at.weekday().num_days_from_monday())),
            Self::Month => Month::of(at).start(),
        }
    }

    /// The start of the step after the one that starts at `start`.
    pub fn next(self, start: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Hour => start + chrono::Duration::hours(1),
            Self::Day => start + Days::new(1),
            Self::Week => start + Days::new(7),
            Self::Month => start + Months::new(1),
        }
    }

    /// The starts of all steps that `range` touches.
    pub fn starts_in(self, range: Range) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(Some(self.start_of(range.from)), move |start| Some(self.next(*start)))
            .take_while(move |start| *start < range.until)
    }
}

impl Range {
    /// Whether `at` lies inside.
    pub fn contains(self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.until
    }

    /// Whether the whole of `[start, end)` lies inside.
    fn covers(self, start: DateTime<Utc>, end: DateTime<Utc>) -> bool {
        self.from <= start && end <= self.until
    }
}

/// Whether the events of a month have to be read to answer for `range`, beside its head: the range cuts a
/// day that has usage, steps are finer than a day, or distinct values are counted.
pub fn needs_events(
    aggregation: Aggregation,
    head: &Head,
    month: Month,
    range: Range,
    step: Option<Step>,
) -> bool {
    if head.sealed_until.is_none() {
        return false; // all of its events are in the tail
    }
    aggregation == Aggregation::UniqueCount
        || step == Some(Step::Hour)
        || head.days.keys().any(|day| {
            let (start, end) = (month.day_start(*day), month.day_start(day + 1));
            !range.covers(start, end) && range.from < end && start < range.until
        })
}

impl<'a> Series<'a> {
    /// A series of nothing yet.
    pub fn new(counting: Counting<'a>, range: Range, step: Option<Step>) -> Self {
        Self { counting, range, step, total: Fold::new(counting), steps: BTreeMap::new() }
    }

    /// Takes in one customer's month.
    ///
    /// Errors: if the sum cannot be computed exactly.
    pub fn add(&mut self, usage: &MonthOfUsage) -> Result<(), QuantityOverflow> {
        let by_event = self.counting.aggregation == Aggregation::UniqueCount || self.step == Some(Step::Hour);
        let is_whole = |day: u32| {
            !by_event && self.range.covers(usage.month.day_start(day), usage.month.day_start(day + 1))
        };
        for (day, totals) in usage.head.days.iter().filter(|(day, _)| is_whole(**day)) {
            self.total.add_totals(*totals)?;
            if let Some(step) = self.step {
                let start = step.start_of(usage.month.day_start(*day));
                self.steps.entry(start).or_insert_with(|| Fold::new(self.counting)).add_totals(*totals)?;
            }
        }
        // Between reading the head and its segments a tail may have been sealed: take each event once.
        let members = usage.head.tail.iter().chain(&usage.sealed);
        let members = members.map(|event| ((event.occurred_at, event.key.as_str()), event));
        for event in members.collect::<BTreeMap<_, _>>().into_values() {
            let at = event.occurred_at;
            if self.range.contains(at) && !is_whole(at.day()) {
                self.total.add(event)?;
                if let Some(step) = self.step {
                    let start = step.start_of(at);
                    self.steps.entry(start).or_insert_with(|| Fold::new(self.counting)).add(event)?;
                }
            }
        }
        Ok(())
    }

    /// Usage over the whole range.
    pub fn total(&self) -> Usage {
        self.total.usage()
    }

    /// Usage of each step that has any, by its start.
    pub fn steps(&self) -> impl Iterator<Item = (DateTime<Utc>, Usage)> {
        self.steps.iter().map(|(start, fold)| (*start, fold.usage())).filter(|(_, usage)| usage.events > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{event::tests::event, head::HeadWrite, quantity::Quantity};

    #[test]
    fn steps_start_where_the_calendar_says() {
        let check = |step: Step, at: &str, start: &str| {
            assert_eq!(step.start_of(at.parse().unwrap()), start.parse::<DateTime<Utc>>().unwrap(), "{at}");
        };
        check(Step::Hour, "2025-01-15T10:59:59.999Z", "2025-01-15T10:00:00Z");
        check(Step::Day, "2025-01-15T10:59:59Z", "2025-01-15T00:00:00Z");
        check(Step::Week, "2025-01-19T23:00:00Z", "2025-01-13T00:00:00Z");
        check(Step::Week, "2025-01-13T00:00:00Z", "2025-01-13T00:00:00Z");
        check(Step::Month, "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z");
    }

    proptest! {
        /// Any range over any stored months equals the naive sum over the events inside.
        #[test]
        fn a_range_equals_the_naive_sum(
            hours in prop::collection::vec(0_i64..24 * 59, 0..60),
            from in 0_i64..24 * 59,
            length in 0_i64..24 * 59,
            step in 0_usize..5,
            is_sealed in any::<bool>(),
        ) {
            let counting = Counting { aggregation: Aggregation::Sum, property: "", filters: &[] };
            let epoch: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
            let at = |hours: i64| epoch + chrono::Duration::hours(hours);
            let events = hours.iter().enumerate().map(|(n, hours)| {
                let mut event = event(&n.to_string(), "2025-01-01T00:00:00Z", "0");
                event.occurred_at = at(*hours);
                event.quantity = Quantity::from_units(1 << n);
                event
            }).collect::<Vec<_>>();
            let range = Range { from: at(from), until: at(from + length) };
            let step = [None, Some(Step::Hour), Some(Step::Day), Some(Step::Week), Some(Step::Month)][step];
            let mut series = Series::new(counting, range, step);
            for month in Month::in_range(epoch, at(24 * 59)) {
                let of_month = events.iter().filter(|event| Month::of(event.occurred_at) == month);
                let of_month = of_month.cloned().collect::<Vec<_>>();
                let usage = match Head::default().commit(counting, &[], &of_month, |_| !is_sealed).write {
                    HeadWrite::Nothing => continue,
                    HeadWrite::Put(head) => MonthOfUsage { month, head, sealed: Vec::new() },
                    HeadWrite::Seal { head, events } => {
                        let is_needed = needs_events(Aggregation::Sum, &head, month, range, step);
                        MonthOfUsage { month, head, sealed: if is_needed { events } else { Vec::new() } }
                    }
                };
                series.add(&usage).unwrap();
            }
            let inside = events.iter().filter(|event| range.contains(event.occurred_at));
            let expected = inside.map(|event| event.quantity.units()).sum::<i128>();
            prop_assert_eq!(series.total().quantity.units(), expected);
            if step.is_some() {
                let steps = series.steps().map(|(_, usage)| usage.quantity.units()).sum::<i128>();
                prop_assert_eq!(steps, expected);
            }
        }
    }
}
