//! Charges: what a plan costs, and by which model a quantity becomes an amount.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::id::{ChargeId, MeterId};

/// One price of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its id.
    pub id: ChargeId,
    /// What the line on the invoice is called.
    pub display_name: String,
    /// What is priced, and how.
    pub price: Price,
    /// The first price version of the plan that has this charge.
    pub added_in: u32,
    /// The first price version that no longer has it.
    pub retired_in: Option<u32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What a charge prices. Prices are in major units of the plan's currency, with full precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    /// So much per period, whatever is used.
    Fixed {
        /// Price of one.
        unit_price: Decimal,
        /// How many, such as seats.
        quantity: Decimal,
    },
    /// By usage.
    Usage {
        /// The meter whose usage is priced.
        meter: MeterId,
        /// How a quantity becomes an amount.
        model: ChargeModel,
    },
}

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
}

/// A step of a tiered price. It begins after the bound of the tier before it, and includes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The last unit of the tier; `None` for the last tier, which never ends.
    pub up_to: Option<Decimal>,
    /// Price of each unit in it.
    pub unit_price: Decimal,
    /// Charged once when the tier is reached; the first tier is reached at zero usage.
    pub flat_price: Decimal,
}

/// Tiers that cover every quantity exactly once: bounds rise, and the last tier is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

/// Why tiers do not cover every quantity exactly once. `index` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTiers {
    /// There is none.
    #[error("must have at least one tier")]
    Empty,
    /// There are more than [`Tiers::COUNT_MAX`].
    #[error("must have at most 100 tiers")]
    TooMany,
    /// A tier ends where or before it begins.
    #[error("must end after the tier before it")]
    NotRising {
        /// The tier at fault.
        index: usize,
    },
    /// A tier before the last has no end.
    #[error("must have an end, since a tier follows")]
    OpenTooEarly {
        /// The tier at fault.
        index: usize,
    },
    /// The last tier has an end.
    #[error("must be null in the last tier, so that every quantity has a price")]
    NotOpen {
        /// The last tier.
        index: usize,
    },
}

impl Charge {
    /// Whether version `version` of the plan's prices has this charge.
    pub fn is_in(&self, version: u32) -> bool {
        self.added_in <= version && self.retired_in.is_none_or(|retired_in| version < retired_in)
    }

    /// The meter whose usage is priced, if any.
    pub fn meter(&self) -> Option<MeterId> {
        match &self.price {
            Price::Fixed { .. } => None,
            Price::Usage { meter, .. } => Some(*meter),
        }
    }
}

impl Tiers {
    /// The most tiers one charge may have.
    pub const COUNT_MAX: usize = 100;

    /// Checks that `tiers` cover every quantity exactly once.
    pub fn new(tiers: Vec<Tier>) -> Result<Self, InvalidTiers> {
        if tiers.len() > Self::COUNT_MAX {
            return Err(InvalidTiers::TooMany);
        }
        let last = tiers.len().checked_sub(1).ok_or(InvalidTiers::Empty)?;
        let mut reached = Decimal::ZERO;
        for (index, tier) in tiers.iter().enumerate() {
            match tier.up_to {
                Some(_) if index == last => return Err(InvalidTiers::NotOpen { index }),
                Some(up_to) if up_to <= reached => return Err(InvalidTiers::NotRising { index }),
                Some(up_to) => reached = up_to,
                None if index < last => return Err(InvalidTiers::OpenTooEarly { index }),
                None => {}
            }
        }
        Ok(Self(tiers))
    }

    /// The tiers, in rising order, each with the bound it begins after.
    pub fn iter(&self) -> impl Iterator<Item = (Decimal, &Tier)> {
        let starts = std::iter::once(Decimal::ZERO).chain(self.0.iter().filter_map(|tier| tier.up_to));
        starts.zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_cover_every_quantity_exactly_once() {
        let check = |bounds: &[Option<i64>], expected: Result<(), InvalidTiers>| {
            let tier = |up_to: &Option<i64>| Tier {
                up_to: up_to.map(Decimal::from),
                unit_price: Decimal::ONE,
                flat_price: Decimal::ZERO,
            };
            let tiers = Tiers::new(bounds.iter().map(tier).collect());
            assert_eq!(tiers.map(|_| ()), expected, "{bounds:?}");
        };
        check(&[None], Ok(()));
        check(&[Some(10), Some(20), None], Ok(()));
        check(&[], Err(InvalidTiers::Empty));
        check(&[Some(10)], Err(InvalidTiers::NotOpen { index: 0 }));
        check(&[Some(0), None], Err(InvalidTiers::NotRising { index: 0 }));
        check(&[Some(10), Some(10), None], Err(InvalidTiers::NotRising { index: 1 }));
        check(&[Some(10), Some(9), None], Err(InvalidTiers::NotRising { index: 1 }));
        check(&[Some(10), None, None], Err(InvalidTiers::OpenTooEarly { index: 1 }));
        check(&[None; 101], Err(InvalidTiers::TooMany));
    }
}
