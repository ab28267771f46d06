//! What a usage charge needs to know of a period: usage by filter, and what each event costs where that
//! matters. Fed with events in any order, each once; or with a total, where that says it all.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::{
    charge::{Pricing, UsagePrice},
    charge_model::{ChargeModel, Percentage},
    event::Event,
    invoice::Metered,
    meter::{Aggregation, Counting, Meter},
    quantity::{Quantity, QuantityOverflow},
    totals::{Fold, Usage},
};

/// What was used of a charge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChargeUsage {
    /// What no filter took.
    pub rest: PricedUsage,
    /// What each filter took, in their order. May be shorter than the filters: nothing was taken.
    pub filtered: Vec<PricedUsage>,
    /// What counted it, if that is to be told.
    pub metered: Option<Metered>,
}

/// Usage that is priced together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PricedUsage {
    /// What the events come to.
    pub usage: Usage,
    /// What is paid for, where a percentage is taken of each event.
    pub paid: Option<PaidEvents>,
}

/// Events of a percentage charge that are not free, and where they meet the bounds of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaidEvents {
    /// Events that are not free.
    pub events: u64,
    /// How much of their quantity is not free.
    pub quantity: Decimal,
    /// Events raised to the least that one costs, and by how much in all.
    pub raised: (u64, Decimal),
    /// Events lowered to the most that one costs, and by how much in all, as a positive amount.
    pub lowered: (u64, Decimal),
}

/// Folds events into [`ChargeUsage`].
#[derive(Clone, Debug)]
pub struct ChargeFold<'a> {
    price: &'a UsagePrice,
    counting: Counting<'a>,
    rest: PricedFold<'a>,
    filtered: Vec<PricedFold<'a>>,
}

impl ChargeUsage {
    /// Usage of which only the total is known, and is enough.
    pub fn of_total(usage: Usage) -> Self {
        Self { rest: PricedUsage { usage, paid: None }, ..Self::default() }
    }

    /// The same, told to be counted by `meter`.
    #[must_use]
    pub fn counted_by(self, meter: &Meter) -> Self {
        let metered = Metered { by: meter.name.clone(), unit: meter.unit.clone() };
        Self { metered: Some(metered), ..self }
    }

    /// All of it.
    pub fn events(&self) -> u64 {
        self.filtered.iter().chain([&self.rest]).map(|priced| priced.usage.events).sum()
    }
}

impl<'a> ChargeFold<'a> {
    /// A fold of no events yet, of a meter that counts as `counting` says.
    pub fn new(price: &'a UsagePrice, counting: Counting<'a>) -> Self {
        let fold = |pricing: &'a Pricing| PricedFold::new(pricing, counting);
        Self {
            price,
            counting,
            rest: fold(&price.pricing),
            filtered: price.filters.iter().map(|filter| fold(&filter.pricing)).collect(),
        }
    }

    /// Takes in one event, unless the meter's filters leave it out.
    ///
    /// Errors: if a quantity cannot be computed exactly.
    pub fn add(&mut self, event: &impl Event) -> Result<(), QuantityOverflow> {
        if !self.counting.includes(event) {
            return Ok(());
        }
        let filtered = self.price.filter_of(event).and_then(|place| self.filtered.get_mut(place));
        filtered.unwrap_or(&mut self.rest).add(event)
    }

    /// What it all comes to.
    ///
    /// Errors: if a quantity cannot be computed exactly.
    pub fn usage(self) -> Result<ChargeUsage, QuantityOverflow> {
        let filtered = self.filtered.into_iter().map(PricedFold::usage).collect::<Result<_, _>>()?;
        Ok(ChargeUsage { rest: self.rest.usage()?, filtered, metered: None })
    }
}

/// Folds the events of one price.
#[derive(Clone, Debug)]
struct PricedFold<'a> {
    counting: Counting<'a>,
    fold: Fold<'a>,
    paid: Option<PaidFold>,
}

impl<'a> PricedFold<'a> {
    fn new(pricing: &'a Pricing, counting: Counting<'a>) -> Self {
        let paid = match &pricing.model {
            ChargeModel::Percentage(percentage) => Some(PaidFold {
                free_amount: percentage.free_amount(pricing.included_units),
                percentage: *percentage,
                early: BTreeMap::new(),
                early_quantity: Decimal::ZERO,
                paid: PaidEvents::default(),
            }),
            ChargeModel::Standard { .. }
            | ChargeModel::Graduated(_)
            | ChargeModel::Volume(_)
            | ChargeModel::Stairstep(_)
            | ChargeModel::Package(_) => None,
        };
        Self { counting, fold: Fold::new(counting), paid }
    }

    fn add(&mut self, event: &impl Event) -> Result<(), QuantityOverflow> {
        self.fold.add(event)?;
        if let Some(paid) = &mut self.paid {
            let quantity = match self.counting.aggregation {
                Aggregation::Count => Quantity::ONE,
                Aggregation::Sum
                | Aggregation::Max
                | Aggregation::Min
                | Aggregation::Last
                | Aggregation::UniqueCount
                | Aggregation::WeightedSum => event.quantity(),
            };
            paid.add((event.occurred_at(), event.key().into_owned()), quantity.to_decimal()?)?;
        }
        Ok(())
    }

    fn usage(self) -> Result<PricedUsage, QuantityOverflow> {
        let paid = self.paid.map(PaidFold::paid).transpose()?;
        Ok(PricedUsage { usage: self.fold.usage_of_events()?, paid })
    }
}

/// Tells free events from paid ones, in whatever order they come. Only the earliest events are kept, as
/// many as may be free.
#[derive(Clone, Debug)]
struct PaidFold {
    percentage: Percentage,
    free_amount: Option<Decimal>,
    /// The earliest events, until what is free is used up.
    early: BTreeMap<(DateTime<Utc>, String), Decimal>,
    early_quantity: Decimal,
    /// Events after those.
    paid: PaidEvents,
}

impl PaidFold {
    fn add(&mut self, place: (DateTime<Utc>, String), quantity: Decimal) -> Result<(), QuantityOverflow> {
        let is_used_up = self.is_used_up(self.early.len(), self.early_quantity);
        if is_used_up && self.early.last_key_value().is_none_or(|(last, _)| *last < place) {
            return self.paid.add(&self.percentage, quantity);
        }
        self.early_quantity = plus(self.early_quantity, quantity)?;
        self.early.insert(place, quantity);
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
        Ok(())
    }

    /// Whether so many events of so much quantity leave nothing free for the next.
    fn is_used_up(&self, events: usize, quantity: Decimal) -> bool {
        let free_events = self.percentage.free_events;
        let is_free = free_events.is_some() || self.free_amount.is_some();
        !is_free
            || free_events.is_some_and(|free| u64::try_from(events).is_ok_and(|events| events >= free))
            || self.free_amount.is_some_and(|free| quantity >= free)
    }

    fn paid(mut self) -> Result<PaidEvents, QuantityOverflow> {
        // Of the early events only the one that passes the free amount is paid, for what passes it.
        if let Some(free) = self.free_amount
            && !self.early.is_empty()
            && self.early_quantity >= free
        {
            self.paid.add(&self.percentage, self.early_quantity - free)?;
        }
        Ok(self.paid)
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
