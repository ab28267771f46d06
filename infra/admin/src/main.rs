//! What is done by whoever runs the platform, from a terminal. So far: the audit of usage.

use std::{path::PathBuf, process::ExitCode};

use app::audit_usage::{Audit, audit};
use clap::{Parser, Subcommand};
use domain::id::OrganizationId;
use runtime::Config;
use store::Store;
use testkit::EmbeddedDynamo;

/// Looks after a Fluxrate platform
#[derive(Debug, Parser)]
#[command(name = "fluxrate-admin", disable_version_flag = true)]
struct Options {
    /// The data folder of a local platform that is not running; without it, the tables that the environment names
    /// (FLUXRATE_CORE_TABLE, FLUXRATE_USAGE_TABLE) in the AWS account at hand
    #[arg(long, value_name = "FOLDER", global = true)]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Rebuild every total from the events, and compare
    Audit {
        /// One organization; every one if not given
        #[arg(long)]
        organization: Option<OrganizationId>,
        /// Put right what is wrong
        #[arg(long)]
        repair: bool,
    },
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let options = Options::parse();
    // Lives as long as the store that talks to it.
    let dynamo = match &options.data {
        Some(data) => Some(EmbeddedDynamo::on_file(&data.join("dynamodb.db")).await?),
        None => None,
    };
    let store = match &dynamo {
        Some(dynamo) => Store::new(dynamo.client(), "core", "usage"),
        None => runtime::connect(&Config::from_env()?).await.store,
    };
    let Command::Audit { organization, repair } = options.command;
    let organizations = match organization {
        Some(organization) => vec![organization],
        None => store.scan_organizations().await?,
    };
    let mut is_right = true;
    for organization in organizations {
        is_right &= run_audit(&store, organization, repair).await?;
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether everything is right now.
async fn run_audit(store: &Store, organization: OrganizationId, repair: bool) -> Result<bool, Failure> {
    say(&format!("organization {organization}"));
    let progress = |meter: &domain::meter::Meter| say(&format!("  meter {}", meter.name));
    let Audit { heads, events, findings } = audit(store, organization, repair, progress).await?;
    for finding in &findings {
        let state = if finding.is_repaired { "repaired" } else { "WRONG" };
        let (meter, customer, month) = (finding.meter, finding.customer, finding.month);
        say(&format!("  {state}: meter {meter}, customer {customer}, {month}: {}", finding.what));
    }
    let verdict = match (findings.is_empty(), repair) {
        (true, _) => "every total is what its events say",
        (false, true) => "what was wrong is repaired",
        (false, false) => "not every total is what its events say: run again with --repair",
    };
    say(&format!("  {events} events of {heads} customers' months: {verdict}"));
    Ok(findings.iter().all(|finding| finding.is_repaired))
}

fn say(line: &str) {
    use std::io::Write as _;
    // Who closes the pipe does not want to know more.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
