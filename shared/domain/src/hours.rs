//! Totals by hour of one day, for days so dense that a boundary inside them must not read all of the day.

use std::collections::BTreeMap;

use chrono::Timelike;

use crate::{event::Event, meter::Counting, quantity::QuantityOverflow, totals::Totals};

/// Totals by hour over the members of one day that are in segments. Those in the tail are not in here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    /// By hour of UTC, 0 to 23.
    pub totals: BTreeMap<u32, Totals>,
}

impl Hours {
    /// Takes in one more event of the day, unless the meter's filters leave it out.
    ///
    /// Errors: if a total cannot be computed exactly.
    pub fn add(&mut self, counting: Counting<'_>, event: &impl Event) -> Result<(), QuantityOverflow> {
        if counting.includes(event) {
            let empty = || Totals::empty(counting.aggregation);
            self.totals.entry(event.occurred_at().hour()).or_insert_with(empty).add(event)?;
        }
        Ok(())
    }

    /// What the whole day comes to.
    ///
    /// Errors: if it cannot be computed exactly.
    pub fn day(&self, counting: Counting<'_>) -> Result<Totals, QuantityOverflow> {
        self.totals.values().copied().try_fold(Totals::empty(counting.aggregation), Totals::merge)
    }
}
