//! How far the usage of a bill was looked at, so that its heads alone tell whether more came since.
//!
//! Each commit that makes an event or a correction count writes the head of its month once, and counts that in the
//! head's version. The heads of a bill are the same whenever they are read, so the sum of their versions grows with
//! whatever comes for it, and stays as long as nothing does.

use crate::{charge_usage::ChargeUsage, id::InvoiceId, invoice::LineItem};

/// What was used of a bill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillUsage {
    /// Of its usage charges, in their order.
    pub charges: Vec<ChargeUsage>,
    /// How often the heads were written that this was read from. `None` if it takes more than these to tell whether
    /// it changed: a level is carried on from months before.
    pub writes: Option<u64>,
}

/// That all of a bill's usage is on its invoice and on those after it, up to the one that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenUsage {
    /// The bill's invoice.
    pub invoice: InvoiceId,
    /// How often the heads of its usage had been written by then.
    pub writes: u64,
}

/// What was late for earlier bills.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LateLines {
    /// The lines of it.
    pub lines: Vec<LineItem>,
    /// How far each of the bills was looked at.
    pub seen: Vec<SeenUsage>,
}
