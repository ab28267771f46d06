//! Usage over a range of time, put together from heads, from totals by hour, and from events where a range,
//! a step or a filter asks for more than those say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    event::{Event, Revision},
    head::Head,
    hours::Hours,
    id::CustomerId,
    meter::{Aggregation, Counting, Filter},
    month::Month,
    pass::{Pass, Passes},
    quantity::{Quantity, QuantityOverflow},
    revision::{Corrections, Visible},
    slices::Slices,
    totals::{Fold, HeldOver, Totals, Usage},
    zone::Steps,
};

pub use crate::{range::Range, zone::Step};

/// What is asked of a meter's usage.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// How its events become one number.
    pub counting: Counting<'a>,
    /// Over which range.
    pub range: Range,
    /// Now: a level that holds is not known any further.
    pub now: DateTime<Utc>,
    /// In which steps.
    pub steps: Option<Steps>,
    /// Of which events, beside the meter's own filters.
    pub filters: &'a [Filter],
    /// By the values of which property.
    pub group_by: Option<&'a str>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// A number cannot be computed exactly.
    #[error(transparent)]
    Overflow(#[from] QuantityOverflow),
    /// The property has more values than one answer can list.
    #[error("the property has more than 1000 values in this range: filter for some of them")]
    TooManyGroups,
}

/// The answer, as it grows by one customer's month after the other.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    query: Query<'a>,
    total: Fold<'a>,
    steps: BTreeMap<DateTime<Utc>, Fold<'a>>,
    groups: BTreeMap<Option<String>, Fold<'a>>,
    customers: BTreeSet<CustomerId>,
    carried: BTreeMap<CustomerId, Quantity>,
    /// The step met last, to its end: events come in runs.
    step: Option<Range>,
    passes: Passes,
    slices: Slices,
}

/// The most values of a property that one answer lists.
const GROUPS_MAX: usize = 1000;

impl Query<'_> {
    /// Whether totals cannot say it, so that every event has to be looked at.
    pub fn is_by_event(&self) -> bool {
        self.counting.aggregation == Aggregation::UniqueCount
            || !self.filters.is_empty()
            || self.group_by.is_some()
    }

    /// Whether the totals of a bucket of time can be taken as a whole: it lies in the range and in one step.
    fn takes_whole(&self, bucket: Range) -> bool {
        let last = bucket.until - TimeDelta::milliseconds(1);
        !self.is_by_event()
            && self.range.covers(bucket)
            && self.steps.is_none_or(|steps| steps.start_of(bucket.from) == steps.start_of(last))
    }

    fn takes_day(&self, month: Month, day: u32) -> bool {
        self.takes_whole(month.day(day))
    }

    /// The days of which totals by hour are kept and of use: the range or a step cuts them.
    pub fn hours_wanted(&self, month: Month, head: &Head) -> Vec<u32> {
        if self.is_by_event() {
            return Vec::new();
        }
        let is_cut =
            |day: &u32| !self.takes_day(month, *day) && self.range.intersection(month.day(*day)).is_some();
        head.days.keys().copied().filter(|day| head.hourly.contains(*day)).filter(is_cut).collect()
    }
}

impl<'a> Series<'a> {
    /// A series of nothing yet that takes one pass.
    pub fn new(query: Query<'a>) -> Self {
        Self::bounded(query, usize::MAX)
    }

    /// A series of nothing yet that holds about `bytes_max` bytes at once: further distinct values are counted in
    /// further passes, and changes of a level are read by shorter slices of time.
    pub fn bounded(query: Query<'a>, bytes_max: usize) -> Self {
        Self {
            query,
            total: Fold::new(query.counting),
            steps: BTreeMap::new(),
            groups: BTreeMap::new(),
            customers: BTreeSet::new(),
            carried: BTreeMap::new(),
            step: None,
            passes: Passes::bounded(bytes_max),
            slices: Slices::default(),
        }
    }

    /// Whether everything has to be taken in once more, since it had too many distinct values to hold at once.
    pub fn begins_further_pass(&mut self) -> bool {
        let Some(pass) = self.passes.begin_further() else { return false };
        self.folds().for_each(|fold| fold.begin(pass));
        true
    }

    fn folds(&mut self) -> impl Iterator<Item = &mut Fold<'a>> {
        std::iter::once(&mut self.total).chain(self.steps.values_mut()).chain(self.groups.values_mut())
    }

    /// Leaves half of what is counted to a further pass, or slice of time, until what is held is not too much.
    fn narrow(&mut self, customer: CustomerId) {
        if self.is_level() {
            while self.passes.is_too_much()
                && let Some(later) = self.slices.halve()
            {
                let folds = std::iter::once(&mut self.total).chain(self.steps.values_mut());
                let left_out = folds.map(|fold| fold.leave_out(customer, later)).sum();
                self.passes.let_go(left_out);
            }
            return;
        }
        while let Some(pass) = self.passes.narrow() {
            let held = self.folds().map(|fold| fold.narrow(pass)).sum();
            self.passes.set_held(held);
        }
    }

    fn is_level(&self) -> bool {
        self.query.counting.aggregation == Aggregation::WeightedSum
    }

    /// Takes in the level that a customer had before the range, for WEIGHTED_SUM.
    pub fn carry(&mut self, customer: CustomerId, level: Quantity) {
        self.carried.insert(customer, level);
    }

    /// Takes in what a customer's head and `hours` say of a month, and the events of its tail where those do
    /// not. What is in segments is still to be read, from [`Series::begins_slice`] on.
    ///
    /// Errors: if it cannot be computed exactly, or has too many parts.
    pub fn add_head(
        &mut self,
        customer: CustomerId,
        month: Month,
        head: &Head,
        hours: &BTreeMap<u32, Hours>,
        corrections: &mut Corrections,
    ) -> Result<(), SeriesError> {
        let mut ranges = Vec::new();
        if self.query.is_by_event() {
            let month = Range { from: month.start(), until: month.end() };
            ranges.extend(self.query.range.intersection(month));
        }
        let days = (!self.query.is_by_event()).then_some(&head.days);
        for (day, totals) in days.into_iter().flatten() {
            if self.query.takes_day(month, *day) {
                self.add_totals(customer, month.day_start(*day), *totals)?;
                continue;
            }
            let Some(inside) = self.query.range.intersection(month.day(*day)) else { continue };
            let Some(hours) = hours.get(day) else {
                push(&mut ranges, inside);
                continue;
            };
            for (hour, totals) in &hours.totals {
                let bucket = Head::hour_range(month, *day, *hour);
                if self.query.takes_whole(bucket) {
                    self.add_totals(customer, bucket.from, *totals)?;
                } else if let Some(inside) = inside.intersection(bucket) {
                    push(&mut ranges, inside);
                }
            }
        }
        // A level needs those in between others together with them.
        let comes_later = |at| self.is_level() && ranges.iter().any(|range| range.contains(at));
        let is_wanted = |at: DateTime<Utc>| {
            self.query.range.contains(at)
                && !self.query.takes_day(month, chrono::Datelike::day(&at))
                && !comes_later(at)
        };
        let tail = head.tail.iter().filter(|event| event.revision == Revision::First);
        for event in tail.filter(|event| is_wanted(event.occurred_at)).collect::<Vec<_>>() {
            self.add_visible(customer, event, corrections)?;
        }
        self.slices = Slices::of(ranges);
        Ok(())
    }

    /// Whether there are members in segments to be read still: those of [`Series::slice`], which are to be passed to
    /// [`Series::add_member`].
    ///
    /// Errors: if it cannot be computed exactly, or has too many parts.
    pub fn begins_slice(
        &mut self,
        customer: CustomerId,
        head: &Head,
        corrections: &mut Corrections,
    ) -> Result<bool, SeriesError> {
        if !self.slices.begin() {
            return Ok(false);
        }
        if self.is_level() {
            self.passes.set_held(0);
            for event in head.tail.iter().filter(|event| event.revision == Revision::First) {
                self.add_member(customer, event, corrections)?;
            }
        }
        Ok(true)
    }

    /// The ranges whose members are to be read.
    pub fn slice(&self) -> &[Range] {
        self.slices.current()
    }

    /// Takes in a member in a segment. It may lie outside of the slice, and is left out then.
    ///
    /// Errors: if it cannot be computed exactly, or has too many parts.
    pub fn add_member(
        &mut self,
        customer: CustomerId,
        event: &impl Event,
        corrections: &mut Corrections,
    ) -> Result<(), SeriesError> {
        if !self.slices.contains(event.occurred_at()) {
            return Ok(());
        }
        self.add_visible(customer, event, corrections)
    }

    /// Takes in the replacements that stand for no member of the slice: all of those were passed.
    ///
    /// Errors: if it cannot be computed exactly, or has too many parts.
    pub fn end_slice(&mut self, customer: CustomerId, corrections: &Corrections) -> Result<(), SeriesError> {
        for event in corrections.unmet() {
            if self.slices.contains(event.occurred_at) {
                self.add_event(customer, event)?;
            }
        }
        if self.is_level() {
            for range in self.slices.current() {
                self.total.settle(customer, *range)?;
                let from = self.query.steps.map_or(range.from, |steps| steps.start_of(range.from));
                let mut steps = self.steps.range_mut(from..range.until);
                steps.try_for_each(|(_, fold)| fold.settle(customer, *range))?;
            }
        }
        Ok(())
    }

    fn add_visible(
        &mut self,
        customer: CustomerId,
        event: &impl Event,
        corrections: &mut Corrections,
    ) -> Result<(), SeriesError> {
        match corrections.visible(event) {
            Visible::Itself(event) => self.add_event(customer, event),
            Visible::Replacement(event) => self.add_event(customer, event),
            Visible::Nothing => Ok(()),
        }
    }

    fn add_event(&mut self, customer: CustomerId, event: &impl Event) -> Result<(), SeriesError> {
        let Query { counting, filters, group_by, .. } = self.query;
        if !counting.includes(event) || !filters.iter().all(|filter| filter.matches(event)) {
            return Ok(());
        }
        self.customers.insert(customer);
        let mut bytes = self.total.add_of(customer, event)?;
        if let Some(fold) = self.step_of(event.occurred_at()) {
            bytes += fold.add_of(customer, event)?;
        }
        if let Some(property) = group_by {
            let value = event.property(property).map(str::to_owned);
            let groups = self.groups.len();
            let pass = self.passes.current();
            let group = self.groups.entry(value).or_insert_with(|| fold_in(pass, counting));
            bytes += group.add_of(customer, event)?;
            if groups > GROUPS_MAX {
                return Err(SeriesError::TooManyGroups);
            }
        }
        self.passes.hold(bytes);
        self.narrow(customer);
        Ok(())
    }

    fn add_totals(
        &mut self,
        customer: CustomerId,
        at: DateTime<Utc>,
        totals: Totals,
    ) -> Result<(), SeriesError> {
        self.customers.insert(customer);
        self.total.add_totals(customer, totals)?;
        if let Some(fold) = self.step_of(at) {
            fold.add_totals(customer, totals)?;
        }
        Ok(())
    }

    fn step_of(&mut self, at: DateTime<Utc>) -> Option<&mut Fold<'a>> {
        let steps = self.query.steps?;
        let step = match self.step {
            Some(step) if step.contains(at) => step,
            _ => {
                let from = steps.start_of(at);
                Range { from, until: steps.next(from) }
            }
        };
        self.step = Some(step);
        let fold = || fold_in(self.passes.current(), self.query.counting);
        Some(self.steps.entry(step.from).or_insert_with(fold))
    }

    /// Usage over the whole range.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn total(&self) -> Result<Usage, QuantityOverflow> {
        self.total.usage(self.over(self.query.range, &self.carried))
    }

    fn over<'c>(&self, range: Range, carried: &'c BTreeMap<CustomerId, Quantity>) -> HeldOver<'c> {
        HeldOver { from: range.from, until: range.until.min(self.query.now), carried }
    }

    /// The customers who used anything.
    pub fn customers(&self) -> &BTreeSet<CustomerId> {
        &self.customers
    }

    /// Usage of each step that has any, by its start; of a level, of each step that has begun.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn steps(&self) -> Result<Vec<(DateTime<Utc>, Usage)>, QuantityOverflow> {
        let Query { range, steps, now, .. } = self.query;
        let Some(steps) = steps else { return Ok(Vec::new()) };
        if self.query.counting.aggregation != Aggregation::WeightedSum {
            let usage = |(start, fold): (&DateTime<Utc>, &Fold<'a>)| {
                Ok((*start, fold.usage(self.over(range, &self.carried))?))
            };
            return self.steps.iter().map(usage).collect();
        }
        let nothing = Fold::new(self.query.counting);
        let mut levels = self.carried.clone();
        let mut all = Vec::new();
        for start in steps.starts_in(range).take_while(|start| *start < now) {
            let fold = self.steps.get(&start).unwrap_or(&nothing);
            let step = Range { from: start, until: steps.next(start) };
            let inside = step.intersection(range).unwrap_or(step);
            all.push((start, fold.usage(self.over(inside, &levels))?));
            levels.extend(fold.levels());
        }
        Ok(all)
    }

    /// Usage by the value of the property asked for; `None` stands for events without it.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn groups(&self) -> Result<Vec<(Option<&str>, Usage)>, QuantityOverflow> {
        let over = self.over(self.query.range, &self.carried);
        self.groups.iter().map(|(value, fold)| Ok((value.as_deref(), fold.usage(over)?))).collect()
    }
}

/// A fold of nothing yet, in the course of a pass.
fn fold_in(pass: Pass, counting: Counting<'_>) -> Fold<'_> {
    let mut fold = Fold::new(counting);
    fold.narrow(pass);
    fold
}

/// Appends a range, joined with the last one if it begins where that ends.
fn push(ranges: &mut Vec<Range>, range: Range) {
    match ranges.last_mut() {
        Some(last) if last.until == range.from => last.until = range.until,
        _ => ranges.push(range),
    }
}

#[cfg(test)]
mod tests;
