//! Parts of a line: what its amount was added up from.

use rust_decimal::Decimal;

use crate::money::Money;

/// One step of the way to a line's amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePart {
    /// The filter it is priced by, in words; `None` for the charge itself.
    pub filter: Option<String>,
    /// What it is.
    pub kind: PartKind,
    /// How much.
    pub quantity: Decimal,
    /// Price of one; `None` where the amount is no price times a quantity.
    pub unit_price: Option<Decimal>,
    /// Charged once.
    pub flat_price: Decimal,
    /// `quantity` × `unit_price` + `flat_price`, not rounded.
    pub amount: Money,
}

/// What a part of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Units at one price.
    Units,
    /// Units that cost nothing.
    Included,
    /// What fell into one tier.
    Tier {
        /// The bound the tier begins after.
        after: Decimal,
        /// Its own bound; `None` if it never ends.
        up_to: Option<Decimal>,
    },
    /// Packages; `quantity` counts them.
    Packages {
        /// How many units are in one.
        size: Decimal,
        /// How many units there were.
        units: Decimal,
    },
    /// A percentage of `quantity`; `unit_price` is the hundredth part of it.
    Percentage,
    /// So much for each event; `quantity` counts them.
    EventFees,
    /// What raises events to the least that one costs; `quantity` counts them.
    EventMinimum {
        /// The least.
        minimum: Decimal,
    },
    /// What lowers events to the most that one costs; `quantity` counts them.
    EventMaximum {
        /// The most.
        maximum: Decimal,
    },
    /// What raises the amount so far to the least it comes to.
    Minimum {
        /// The least.
        minimum: Decimal,
    },
    /// What lowers the amount so far to the most it comes to.
    Maximum {
        /// The most.
        maximum: Decimal,
    },
    /// What was billed before of usage that is late; less than nothing, as is its quantity.
    BilledBefore,
}

impl LinePart {
    /// How much of the line's quantity it is about.
    pub fn covers(&self) -> Decimal {
        match self.kind {
            PartKind::Units
            | PartKind::Included
            | PartKind::Tier { .. }
            | PartKind::Percentage
            | PartKind::BilledBefore => self.quantity,
            PartKind::Packages { units, .. } => units,
            PartKind::EventFees
            | PartKind::EventMinimum { .. }
            | PartKind::EventMaximum { .. }
            | PartKind::Minimum { .. }
            | PartKind::Maximum { .. } => Decimal::ZERO,
        }
    }
}
