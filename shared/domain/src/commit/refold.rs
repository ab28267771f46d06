//! Totals of a part of a month, folded anew.

use super::Bucket;
use crate::{
    event::Event,
    held::Held,
    meter::{Aggregation, Counting},
    quantity::QuantityOverflow,
    revision::{Corrections, Visible},
    totals::{Latest, Tally, Totals},
};

/// Folds the totals of a bucket anew, from its members as they pass by in any order.
#[derive(Clone, Debug)]
pub struct Refold<'a> {
    counting: Counting<'a>,
    corrections: Corrections,
    totals: Totals,
    levels: Vec<Latest>,
    has_overflown: bool,
}

impl<'a> Refold<'a> {
    /// A fold of nothing yet. `corrections` has all that concern the bucket.
    pub fn new(counting: Counting<'a>, corrections: Corrections) -> Self {
        let totals = Totals::empty(counting.aggregation);
        Self { counting, corrections, totals, levels: Vec::new(), has_overflown: false }
    }

    /// Takes in a member. Corrections are not members.
    pub fn add(&mut self, event: &impl Event) {
        let Self { counting, corrections, totals, levels, has_overflown } = self;
        let exact = match corrections.visible(event) {
            Visible::Itself(event) => take(*counting, totals, levels, event),
            Visible::Replacement(event) => take(*counting, totals, levels, event),
            Visible::Nothing => Ok(()),
        };
        *has_overflown |= exact.is_err();
    }

    /// What it all comes to. Replacements of `bucket` whose event did not pass by count by themselves.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn finish(mut self, bucket: Bucket) -> Result<Totals, QuantityOverflow> {
        let Self { counting, corrections, totals, levels, .. } = &mut self;
        for event in corrections.unmet().filter(|event| bucket.contains(event.occurred_at)) {
            take(*counting, totals, levels, event)?;
        }
        if self.has_overflown {
            return Err(QuantityOverflow);
        }
        if self.counting.aggregation != Aggregation::WeightedSum {
            return Ok(self.totals);
        }
        self.levels.sort();
        let parts = self.levels.iter().map(|change| Ok(Held::of(*change)));
        let held = parts.reduce(|left, right| left?.merge(right?)).transpose()?;
        Ok(Totals { events: self.levels.len() as u64, tally: Tally::Held(held) })
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
