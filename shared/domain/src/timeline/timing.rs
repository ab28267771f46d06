//! When the charges of a phase are billed.

use super::Phase;
use crate::{
    charge::{Charge, FixedTiming, Price},
    period::BillingInterval,
};

/// When a charge is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    Usage,
    Once,
    Advance,
    Arrears,
}

impl Timing {
    /// Whether it is billed at the end of an interval.
    pub(super) fn is_at_end(self) -> bool {
        match self {
            Self::Usage | Self::Arrears => true,
            Self::Once | Self::Advance => false,
        }
    }
}

/// When it is billed.
pub(super) fn timing(charge: &Charge) -> Timing {
    match &charge.price {
        Price::Usage(_) => Timing::Usage,
        Price::Fixed(price) => match price.timing {
            FixedTiming::Once => Timing::Once,
            FixedTiming::Recurring { is_in_advance: true, .. } => Timing::Advance,
            FixedTiming::Recurring { is_in_advance: false, .. } => Timing::Arrears,
        },
    }
}

impl Phase {
    /// How often a charge of it is billed.
    pub(super) fn interval_of(&self, charge: &Charge) -> BillingInterval {
        charge.price.interval().unwrap_or(self.interval)
    }

    /// The charges of this timing and interval.
    pub(super) fn charged(
        &self,
        of: Timing,
        interval: BillingInterval,
    ) -> impl Iterator<Item = &Charge> + use<'_> {
        self.charges.iter().filter(move |charge| timing(charge) == of && self.interval_of(charge) == interval)
    }
}
