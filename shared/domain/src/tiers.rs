//! Tiers: steps of a price that cover every quantity exactly once.

use rust_decimal::Decimal;

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

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The tiers, in rising order, each with the bound it begins after.
    pub fn iter(&self) -> impl Iterator<Item = (Decimal, &Tier)> {
        let starts = std::iter::once(Decimal::ZERO).chain(self.0.iter().filter_map(|tier| tier.up_to));
        starts.zip(&self.0)
    }

    /// The tier that the last of `quantity` units falls into, with the bound it begins after. Nothing falls
    /// into the first.
    pub fn reached(&self, quantity: Decimal) -> Option<(Decimal, &Tier)> {
        self.iter().take_while(|(after, _)| after.is_zero() || *after < quantity).last()
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
