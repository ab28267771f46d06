//! The body of what cannot be billed.

use domain::billing_error::BillingError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::time::TimeOut;

/// Why a bill that fell due cannot be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingErrorBody {
    /// For programs: `cannot_be_billed`.
    pub code: &'static str,
    /// For people: which charge, and what is wrong with it.
    pub detail: String,
    /// Since when that is known.
    pub since: TimeOut,
    /// The start of the period that is not billed.
    pub period_start: TimeOut,
    /// The first instant after it.
    pub period_end: TimeOut,
    /// When it is tried again by itself.
    pub next_attempt_at: TimeOut,
}

impl BillingErrorBody {
    pub(crate) fn from_domain(error: BillingError) -> Self {
        Self {
            code: "cannot_be_billed",
            detail: error.detail,
            since: TimeOut(error.since),
            period_start: TimeOut(error.period.start()),
            period_end: TimeOut(error.period.end()),
            next_attempt_at: TimeOut(error.retry_at),
        }
    }
}
