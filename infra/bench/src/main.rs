//! `make bench`. With `--quick` a hundredth of it, in a minute; with `--only` parts of it.

use clap::Parser;
use fluxrate_bench::{Part, Scale, report::Report, rig::Failure};

#[derive(Parser)]
#[command(about = "Measures what usage and billing cost")]
struct Arguments {
    /// Measures a hundredth, which only shows that all of it works.
    #[arg(long)]
    quick: bool,
    /// Measures these parts instead of all.
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { quick, only } = Arguments::parse();
    let scale = if quick { Scale::QUICK } else { Scale::WHOLE };
    let mut report = Report::default();
    fluxrate_bench::run(&mut report, scale, &only).await?;
    report.finish();
    Ok(())
}
