//! What usage and billing cost, in request units, bytes, seconds, memory and dollars, beside what it would cost
//! without heads and segments. Everything but AWS's prices and distances is measured in the run itself: on an
//! embedded DynamoDB whose every request is counted, and on the functions as they are deployed.

pub mod baseline;
pub mod batches;
pub mod checks;
pub mod closing;
pub mod cost;
pub mod engine;
pub mod functions;
pub mod latency;
pub mod rating;
pub mod report;
pub mod rig;
mod scale;
pub mod timing;
pub mod traffic;
pub mod usage;
pub mod volume;

pub use scale::Scale;

use report::Report;
use rig::Failure;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The engine on one core, without I/O: the fold, and the way from a message to segments.
    Ingest,
    /// Rating invoices.
    Rating,
    /// Request units of counting usage, and the price of a million events.
    Usage,
    /// Request units by the size of batches and the number of writers.
    Batches,
    /// Entitlement checks.
    Checks,
    /// One very active customer, and many distinct values.
    Volume,
    /// Closing periods.
    Closing,
    /// How long the deployed functions take.
    Latency,
}

/// Measures `only` these parts; everything if there are none.
///
/// Errors: the first thing that goes wrong.
pub async fn run(report: &mut Report, scale: Scale, only: &[Part]) -> Result<(), Failure> {
    let has = |part| only.is_empty() || only.contains(&part);
    if has(Part::Ingest) {
        engine::measure(report, scale)?;
    }
    if has(Part::Rating) {
        rating::measure(report, scale)?;
    }
    let usage = if has(Part::Usage) { Some(usage::measure(report, scale).await?) } else { None };
    if has(Part::Batches) {
        batches::measure(report, scale).await?;
    }
    if has(Part::Checks) {
        checks::measure(report, scale).await?;
    }
    if has(Part::Volume) {
        volume::measure(report, scale).await?;
    }
    if let Some(usage) = usage {
        let work = functions::measure(report, scale).await?;
        cost::measure(report, &usage, &work);
    }
    if has(Part::Closing) {
        closing::measure(report, scale).await?;
    }
    if has(Part::Latency) {
        latency::measure(report, scale).await?;
    }
    Ok(())
}
