//! Which events of a percentage charge are free: the earliest, until what is free is used up.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{charge_model::Percentage, charge_usage::PaidEvents, quantity::QuantityOverflow};

/// Where an event stands among the others of its period.
type Place = (DateTime<Utc>, String);

/// Tells free events from paid ones, in whatever order they come. Only the earliest are kept, as many as may be
/// free. Of too many, only the sum of the earliest half is; if it turns out that what is free ends among those, a
/// further pass looks at them alone.
#[derive(Clone, Debug)]
pub(crate) struct PaidFold {
    percentage: Percentage,
    free_amount: Option<Decimal>,
    early_max: usize,
    /// The earliest of all, of which only the sum is kept.
    earliest: Earliest,
    /// The events after those, until what is free is used up.
    early: BTreeMap<Place, Decimal>,
    early_quantity: Decimal,
    /// Events after those.
    paid: PaidEvents,
    /// The last event that may be free, as passes before have told.
    last: Option<Place>,
    state: State,
}

/// Events up to a place, this one included.
#[derive(Clone, Debug, Default)]
struct Earliest {
    until: Option<Place>,
    events: u64,
    quantity: Decimal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What is free has not been found to end among the earliest.
    Telling,
    /// It has: the pass tells no more than that.
    Overrun,
    /// Passes before have told all there is.
    Told,
}

impl PaidFold {
    /// A fold of no events yet. It keeps `early_max` of them at once, but two at least.
    pub(crate) fn new(percentage: Percentage, included_units: Decimal, early_max: usize) -> Self {
        Self {
            percentage,
            free_amount: percentage.free_amount(included_units),
            early_max: early_max.max(2),
            earliest: Earliest::default(),
            early: BTreeMap::new(),
            early_quantity: Decimal::ZERO,
            paid: PaidEvents::default(),
            last: None,
            state: State::Telling,
        }
    }

    /// Takes in the event at `place`.
    ///
    /// Errors: if a sum cannot be computed exactly.
    pub(crate) fn add(&mut self, place: Place, quantity: Decimal) -> Result<(), QuantityOverflow> {
        if self.state != State::Telling {
            return Ok(());
        }
        let is_used_up = self.is_used_up(self.early.len(), self.early_quantity);
        let last_early = self.early.last_key_value().map(|(last, _)| last);
        if self.last.as_ref().is_some_and(|last| *last < place)
            || is_used_up && last_early.is_none_or(|last| *last < place)
        {
            return self.paid.add(&self.percentage, quantity);
        }
        if self.earliest.until.as_ref().is_some_and(|until| place <= *until) {
            self.earliest.add(quantity)?;
        } else {
            self.early_quantity = plus(self.early_quantity, quantity)?;
            self.early.insert(place, quantity);
        }
        // What came early may use up what is free without those that are later.
        while let Some((_, last)) = self.early.last_key_value() {
            let last = *last;
            let without = self.early_quantity - last;
            if !self.is_used_up(self.early.len() - 1, without) {
                break;
            }
            self.early.pop_last();
            self.early_quantity = without;
            self.paid.add(&self.percentage, last)?;
        }
        if self.early.is_empty() {
            self.state = State::Overrun;
        } else if self.early.len() > self.early_max {
            self.sum_up()?;
        }
        Ok(())
    }

    /// Whether the earliest events, and so many of so much quantity after them, leave nothing free for the next.
    fn is_used_up(&self, events: usize, quantity: Decimal) -> bool {
        let free_events = self.percentage.free_events;
        let is_free = free_events.is_some() || self.free_amount.is_some();
        let events = u64::try_from(events).unwrap_or(u64::MAX).saturating_add(self.earliest.events);
        let quantity = quantity.saturating_add(self.earliest.quantity);
        !is_free
            || free_events.is_some_and(|free| events >= free)
            || self.free_amount.is_some_and(|free| quantity >= free)
    }

    /// Keeps no more than the sum of the earlier half of what is held.
    fn sum_up(&mut self) -> Result<(), QuantityOverflow> {
        for _ in 0..self.early.len() / 2 {
            let Some((place, quantity)) = self.early.pop_first() else { break };
            self.early_quantity -= quantity;
            self.earliest.add(quantity)?;
            self.earliest.until = Some(place);
        }
        Ok(())
    }

    /// Whether the events have to come once more: what is free ends among those of which only the sum was kept.
    pub(crate) fn begins_further_pass(&mut self) -> bool {
        if self.state != State::Overrun {
            self.state = State::Told;
            return false;
        }
        let last = self.earliest.until.take();
        *self = Self {
            earliest: Earliest::default(),
            early: BTreeMap::new(),
            early_quantity: Decimal::ZERO,
            paid: PaidEvents::default(),
            last,
            state: State::Telling,
            ..*self
        };
        true
    }

    /// What is paid.
    ///
    /// Errors: if a sum cannot be computed exactly.
    pub(crate) fn paid(mut self) -> Result<PaidEvents, QuantityOverflow> {
        // Of the early events only the one that passes the free amount is paid, for what passes it.
        let early = plus(self.earliest.quantity, self.early_quantity)?;
        if let Some(free) = self.free_amount
            && !self.early.is_empty()
            && early >= free
        {
            self.paid.add(&self.percentage, early - free)?;
        }
        Ok(self.paid)
    }
}

impl Earliest {
    fn add(&mut self, quantity: Decimal) -> Result<(), QuantityOverflow> {
        self.events += 1;
        self.quantity = plus(self.quantity, quantity)?;
        Ok(())
    }
}

impl PaidEvents {
    fn add(&mut self, percentage: &Percentage, quantity: Decimal) -> Result<(), QuantityOverflow> {
        let share = quantity.checked_mul(percentage.rate).ok_or(QuantityOverflow)? / Decimal::ONE_HUNDRED;
        let fee = plus(share, percentage.fixed_fee)?;
        self.events += 1;
        self.quantity = plus(self.quantity, quantity)?;
        if let Some(minimum) = percentage.minimum_per_event
            && fee < minimum
        {
            self.raised = (self.raised.0 + 1, plus(self.raised.1, minimum - fee)?);
        } else if let Some(maximum) = percentage.maximum_per_event
            && fee > maximum
        {
            self.lowered = (self.lowered.0 + 1, plus(self.lowered.1, fee - maximum)?);
        }
        Ok(())
    }
}

fn plus(left: Decimal, right: Decimal) -> Result<Decimal, QuantityOverflow> {
    left.checked_add(right).ok_or(QuantityOverflow)
}
