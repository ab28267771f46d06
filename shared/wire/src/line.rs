//! Bodies of the parts of a line, of an invoice or an estimate.

use domain::{
    explanation,
    invoice::LineSource,
    line_part::{LinePart, PartKind},
    proration::{Proration, ProrationUnit},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::number::NumberOut;

/// What a line comes from.
pub(crate) struct Origin {
    pub(crate) line_type: LineTypeName,
    pub(crate) charge_id: Option<String>,
    pub(crate) meter_id: Option<String>,
    pub(crate) event_count: Option<u64>,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LineTypeName {
    /// A fixed charge.
    Fixed,
    /// A usage charge.
    Usage,
    /// Usage that came after the invoice of its period was final.
    #[serde(rename = "LATE_USAGE")]
    LateUsage,
    /// Somebody wrote it.
    Manual,
}

impl Origin {
    pub(crate) fn from_domain(source: LineSource) -> Self {
        let (line_type, charge, counted) = match source {
            LineSource::Fixed { charge } => (LineTypeName::Fixed, Some(charge), None),
            LineSource::Usage { charge, meter, events } => {
                (LineTypeName::Usage, Some(charge), Some((meter, events)))
            }
            LineSource::LateUsage { charge, meter, events, .. } => {
                (LineTypeName::LateUsage, Some(charge), Some((meter, events)))
            }
            LineSource::Manual => (LineTypeName::Manual, None, None),
        };
        Self {
            line_type,
            charge_id: charge.map(|charge| charge.to_string()),
            meter_id: counted.map(|(meter, _)| meter.to_string()),
            event_count: counted.map(|(_, events)| events),
        }
    }
}

/// A step of the way to an amount.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinePartBody {
    /// What it is of.
    pub description: String,
    /// What it is.
    #[serde(rename = "type")]
    pub part_type: PartTypeName,
    /// The filter it is priced by; null for the charge itself.
    pub filter: Option<String>,
    /// The bound a tier begins after.
    pub after: Option<NumberOut>,
    /// The last unit of a tier; null if it never ends.
    pub up_to: Option<NumberOut>,
    /// How much.
    pub quantity: NumberOut,
    /// Price of one; null where the amount is no price times a quantity.
    pub unit_price: Option<NumberOut>,
    /// Charged once.
    pub flat_price: NumberOut,
    /// What it comes to, exactly.
    pub amount: NumberOut,
}

/// What part of the price of an interval is billed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareBody {
    /// How many units are billed.
    pub part: u64,
    /// How many units the interval has.
    pub whole: u64,
    /// What is counted.
    pub unit: ProrationUnitName,
    /// Whether it is given back.
    pub is_credit: bool,
}

/// What parts of an interval are measured in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProrationUnitName {
    /// Seconds.
    Second,
    /// Days.
    Day,
}

/// What a part of a line is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartTypeName {
    /// Units at one price.
    Units,
    /// Units that cost nothing.
    Included,
    /// What fell into one tier.
    Tier,
    /// Packages.
    Packages,
    /// A percentage of the quantity.
    Percentage,
    /// So much for each event.
    EventFees,
    /// What raises events to the least that one costs.
    EventMinimum,
    /// What lowers events to the most that one costs.
    EventMaximum,
    /// What raises the amount so far to the least it comes to.
    Minimum,
    /// What lowers the amount so far to the most it comes to.
    Maximum,
    /// What was billed before of usage that is late; less than nothing.
    BilledBefore,
}

impl LinePartBody {
    /// The body of a part.
    pub fn from_domain(part: LinePart) -> Self {
        let (part_type, after, up_to) = match part.kind {
            PartKind::Units => (PartTypeName::Units, None, None),
            PartKind::Included => (PartTypeName::Included, None, None),
            PartKind::Tier { after, up_to } => (PartTypeName::Tier, Some(after), up_to),
            PartKind::Packages { .. } => (PartTypeName::Packages, None, None),
            PartKind::Percentage => (PartTypeName::Percentage, None, None),
            PartKind::EventFees => (PartTypeName::EventFees, None, None),
            PartKind::EventMinimum { .. } => (PartTypeName::EventMinimum, None, None),
            PartKind::EventMaximum { .. } => (PartTypeName::EventMaximum, None, None),
            PartKind::Minimum { .. } => (PartTypeName::Minimum, None, None),
            PartKind::Maximum { .. } => (PartTypeName::Maximum, None, None),
            PartKind::BilledBefore => (PartTypeName::BilledBefore, None, None),
        };
        Self {
            description: explanation::label(&part),
            part_type,
            filter: part.filter,
            after: after.map(NumberOut),
            up_to: up_to.map(NumberOut),
            quantity: NumberOut(part.quantity),
            unit_price: part.unit_price.map(NumberOut),
            flat_price: NumberOut(part.flat_price),
            amount: NumberOut(part.amount.amount()),
        }
    }
}

impl ShareBody {
    /// The body of a share.
    pub fn from_domain(share: Proration) -> Self {
        let Proration { part, whole, unit, is_credit } = share;
        Self { part, whole, unit: ProrationUnitName::from_domain(unit), is_credit }
    }
}

impl ProrationUnitName {
    pub(crate) fn into_domain(self) -> ProrationUnit {
        match self {
            Self::Second => ProrationUnit::Second,
            Self::Day => ProrationUnit::Day,
        }
    }

    pub(crate) fn from_domain(unit: ProrationUnit) -> Self {
        match unit {
            ProrationUnit::Second => Self::Second,
            ProrationUnit::Day => Self::Day,
        }
    }
}
