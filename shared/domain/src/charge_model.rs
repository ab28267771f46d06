//! Charge models: how a quantity of usage becomes an amount. `docs/pricing.md` shows each with an example.

use rust_decimal::Decimal;

use crate::tiers::Tiers;

/// How a quantity of usage becomes an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeModel {
    /// Every unit at the same price.
    Standard {
        /// Price of one unit.
        unit_price: Decimal,
    },
    /// Each unit at the price of the tier it falls into.
    Graduated(Tiers),
    /// All units at the price of the tier that the last one falls into.
    Volume(Tiers),
    /// One price for all units, that of the tier that the last one falls into.
    Stairstep(Tiers),
    /// By the package; one that is begun is paid as a whole.
    Package(Package),
    /// A part of every event's quantity, which is an amount of money itself.
    Percentage(Percentage),
}

/// A price by the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// How many units are in one; more than 0.
    pub size: Decimal,
    /// Price of one package.
    pub unit_price: Decimal,
    /// Units that cost nothing, before the first package.
    pub free_units: Decimal,
}

/// A part of every event's quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentage {
    /// Percent of the quantity.
    pub rate: Decimal,
    /// What every event costs on top.
    pub fixed_fee: Decimal,
    /// How many events, the earliest of the period, cost nothing.
    pub free_events: Option<u64>,
    /// How much of the quantity, the earliest of the period, costs nothing. With `free_events`, whichever
    /// is used up first ends both.
    pub free_amount: Option<Decimal>,
    /// What an event costs at least, unless it is free.
    pub minimum_per_event: Option<Decimal>,
    /// What an event costs at most.
    pub maximum_per_event: Option<Decimal>,
}

impl Percentage {
    /// Whether a total and a number of events do not say the amount.
    pub(crate) fn needs_events(&self, included_units: Decimal) -> bool {
        let has_free_amount = self.free_amount(included_units).is_some();
        self.free_events.is_some()
            || self.minimum_per_event.is_some()
            || self.maximum_per_event.is_some()
            || (has_free_amount && !self.fixed_fee.is_zero())
    }

    /// What of the quantity costs nothing. Included units are the same thing by another name.
    pub(crate) fn free_amount(&self, included_units: Decimal) -> Option<Decimal> {
        self.free_amount.or(Some(included_units).filter(|included| !included.is_zero()))
    }
}
