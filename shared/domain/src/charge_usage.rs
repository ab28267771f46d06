//! What a usage charge needs to know of a period: usage by filter, and what each event costs where that
//! matters. Fed with events in any order, each once; or with a total, where that says it all.

use rust_decimal::Decimal;

use crate::{
    charge::{Pricing, UsagePrice},
    charge_model::ChargeModel,
    event::Event,
    invoice::Metered,
    meter::{Aggregation, Counting, Meter},
    paid_fold::PaidFold,
    pass::Passes,
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

/// Folds events into [`ChargeUsage`]. What is too much to hold at once it counts in further passes, in which the same
/// events have to come once more.
#[derive(Clone, Debug)]
pub struct ChargeFold<'a> {
    price: &'a UsagePrice,
    counting: Counting<'a>,
    rest: PricedFold<'a>,
    filtered: Vec<PricedFold<'a>>,
    passes: Passes,
    /// Whether all is folded, so that further passes only tell free events from paid ones.
    is_folded: bool,
}

/// About what an event takes that may be free.
const EARLY_BYTES: usize = 160;

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
    /// A fold of no events yet, of a meter that counts as `counting` says. It takes one pass.
    pub fn new(price: &'a UsagePrice, counting: Counting<'a>) -> Self {
        Self::bounded(price, counting, usize::MAX)
    }

    /// A fold of no events yet that holds about `bytes_max` bytes at once.
    pub fn bounded(price: &'a UsagePrice, counting: Counting<'a>, bytes_max: usize) -> Self {
        let early_max = bytes_max / EARLY_BYTES / (price.filters.len() + 1);
        let fold = |pricing: &'a Pricing| PricedFold::new(pricing, counting, early_max);
        Self {
            price,
            counting,
            rest: fold(&price.pricing),
            filtered: price.filters.iter().map(|filter| fold(&filter.pricing)).collect(),
            passes: Passes::bounded(bytes_max),
            is_folded: false,
        }
    }

    /// Whether there is anything that it has to hold: distinct values, or events that may be free.
    pub fn holds(price: &UsagePrice, counting: Counting<'_>) -> bool {
        let mut pricings = price.filters.iter().map(|filter| &filter.pricing).chain([&price.pricing]);
        counting.aggregation == Aggregation::UniqueCount
            || pricings.any(|pricing| matches!(pricing.model, ChargeModel::Percentage(_)))
    }

    /// Takes in one event, unless the meter's filters leave it out.
    ///
    /// Errors: if a quantity cannot be computed exactly.
    pub fn add(&mut self, event: &impl Event) -> Result<(), QuantityOverflow> {
        if !self.counting.includes(event) {
            return Ok(());
        }
        let filtered = self.price.filter_of(event).and_then(|place| self.filtered.get_mut(place));
        let priced = filtered.unwrap_or(&mut self.rest);
        priced.tell_paid(event)?;
        if self.is_folded {
            return Ok(());
        }
        let bytes = priced.fold.add(event)?;
        self.passes.hold(bytes);
        while let Some(pass) = self.passes.narrow() {
            let held = self.priced().map(|priced| priced.fold.narrow(pass)).sum();
            self.passes.set_held(held);
        }
        Ok(())
    }

    /// Whether all events have to be taken in once more, since they were too much to hold at once.
    pub fn begins_further_pass(&mut self) -> bool {
        let pass = self.passes.begin_further();
        self.is_folded = pass.is_none();
        let mut is_needed = pass.is_some();
        for priced in self.priced() {
            pass.into_iter().for_each(|pass| priced.fold.begin(pass));
            is_needed |= priced.paid.as_mut().is_some_and(PaidFold::begins_further_pass);
        }
        is_needed
    }

    fn priced(&mut self) -> impl Iterator<Item = &mut PricedFold<'a>> {
        self.filtered.iter_mut().chain([&mut self.rest])
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
    fn new(pricing: &'a Pricing, counting: Counting<'a>, early_max: usize) -> Self {
        let paid = match &pricing.model {
            ChargeModel::Percentage(percentage) => {
                Some(PaidFold::new(*percentage, pricing.included_units, early_max))
            }
            ChargeModel::Standard { .. }
            | ChargeModel::Graduated(_)
            | ChargeModel::Volume(_)
            | ChargeModel::Stairstep(_)
            | ChargeModel::Package(_) => None,
        };
        Self { counting, fold: Fold::new(counting), paid }
    }

    /// Tells whether an event is paid, where a percentage is taken of each.
    fn tell_paid(&mut self, event: &impl Event) -> Result<(), QuantityOverflow> {
        let Some(paid) = &mut self.paid else { return Ok(()) };
        let quantity = match self.counting.aggregation {
            Aggregation::Count => Quantity::ONE,
            Aggregation::Sum
            | Aggregation::Max
            | Aggregation::Min
            | Aggregation::Last
            | Aggregation::UniqueCount
            | Aggregation::WeightedSum => event.quantity(),
        };
        paid.add((event.occurred_at(), event.key().into_owned()), quantity.to_decimal()?)
    }

    fn usage(self) -> Result<PricedUsage, QuantityOverflow> {
        let paid = self.paid.map(PaidFold::paid).transpose()?;
        Ok(PricedUsage { usage: self.fold.usage_of_events()?, paid })
    }
}

#[cfg(test)]
mod tests;
