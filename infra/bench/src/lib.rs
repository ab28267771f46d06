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

/// Measures everything.
///
/// Errors: the first thing that goes wrong.
pub async fn run(report: &mut Report, scale: Scale) -> Result<(), Failure> {
    engine::measure(report, scale)?;
    rating::measure(report, scale)?;
    let usage = usage::measure(report, scale).await?;
    batches::measure(report, scale).await?;
    checks::measure(report, scale).await?;
    volume::measure(report, scale).await?;
    let work = functions::measure(report, scale).await?;
    cost::measure(report, &usage, &work);
    closing::measure(report, scale).await?;
    latency::measure(report, scale).await
}
