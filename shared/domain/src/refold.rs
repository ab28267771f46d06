//! Totals folded anew from all events of a part of a month.

use crate::{
    event::Event,
    held::Held,
    meter::{Aggregation, Counting},
    quantity::QuantityOverflow,
    range::Range,
    revision::{Corrections, Visible},
    slices::Slices,
    totals::{Latest, Tally, Totals},
};

/// Folds the totals of a range of time anew, from its members as they pass by in any order. If a level changes so
/// often in it that it would be too much to hold, it asks for the members by slices of time.
#[derive(Clone, Debug)]
pub struct Refold<'a> {
    counting: Counting<'a>,
    corrections: Corrections,
    slices: Slices,
    totals: Totals,
    /// The changes of a level in the slice.
    levels: Vec<Latest>,
    levels_max: usize,
    has_overflown: bool,
}

impl<'a> Refold<'a> {
    /// A fold of nothing yet, over all of `range` at once. `corrections` has all that concern it.
    pub fn new(counting: Counting<'a>, corrections: Corrections, range: Range) -> Self {
        Self::bounded(counting, corrections, range, usize::MAX)
    }

    /// A fold of nothing yet that holds at most `levels_max` changes of a level at once.
    pub fn bounded(
        counting: Counting<'a>,
        corrections: Corrections,
        range: Range,
        levels_max: usize,
    ) -> Self {
        let totals = Totals::empty(counting.aggregation);
        let mut slices = Slices::of(vec![range]);
        slices.begin();
        Self { counting, corrections, slices, totals, levels: Vec::new(), levels_max, has_overflown: false }
    }

    /// The ranges whose members are to be passed to [`Refold::add`].
    pub fn slice(&self) -> &[Range] {
        self.slices.current()
    }

    /// Takes in a member. Corrections are not members. It may lie outside of the slice, and is left out then.
    pub fn add(&mut self, event: &impl Event) {
        if !self.slices.contains(event.occurred_at()) {
            return;
        }
        let Self { counting, corrections, totals, levels, has_overflown, .. } = self;
        let exact = match corrections.visible(event) {
            Visible::Itself(event) => take(*counting, totals, levels, event),
            Visible::Replacement(event) => take(*counting, totals, levels, event),
            Visible::Nothing => Ok(()),
        };
        *has_overflown |= exact.is_err();
        while self.levels.len() > self.levels_max && self.slices.halve().is_some() {
            self.levels.retain(|change| self.slices.contains(change.occurred_at));
        }
    }

    /// Whether members of another slice have to be passed: all of the one before were.
    pub fn begins_further_slice(&mut self) -> bool {
        let exact = self.end_slice();
        self.has_overflown |= exact.is_err();
        self.slices.begin()
    }

    /// What it all comes to.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn finish(mut self) -> Result<Totals, QuantityOverflow> {
        self.end_slice()?;
        if self.has_overflown { Err(QuantityOverflow) } else { Ok(self.totals) }
    }

    /// Replacements in the slice whose event did not pass by count by themselves.
    fn end_slice(&mut self) -> Result<(), QuantityOverflow> {
        let Self { counting, corrections, slices, totals, levels, .. } = self;
        for event in corrections.unmet().filter(|event| slices.contains(event.occurred_at)) {
            take(*counting, totals, levels, event)?;
        }
        levels.sort();
        let events = levels.len() as u64;
        let parts = levels.drain(..).map(|change| Ok(Held::of(change)));
        if let Some(held) = parts.reduce(|left, right| left?.merge(right?)).transpose()? {
            *totals = totals.merge(Totals { events, tally: Tally::Held(Some(held)) })?;
        }
        Ok(())
    }
}

fn take(
    counting: Counting<'_>,
    totals: &mut Totals,
    levels: &mut Vec<Latest>,
    event: &impl Event,
) -> Result<(), QuantityOverflow> {
    if !counting.includes(event) {
        return Ok(());
    }
    if counting.aggregation == Aggregation::WeightedSum {
        levels.push(Latest::of(event));
        return Ok(());
    }
    totals.add(event)
}
