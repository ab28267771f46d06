//! `make bench`. With `--quick` a hundredth of it, in a minute.

use fluxrate_bench::{Scale, report::Report, rig::Failure};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_quick = std::env::args().skip(1).any(|argument| argument == "--quick");
    let scale = if is_quick { Scale::QUICK } else { Scale::WHOLE };
    let mut report = Report::default();
    fluxrate_bench::run(&mut report, scale).await?;
    report.finish();
    Ok(())
}
