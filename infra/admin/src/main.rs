//! What is done by whoever runs the platform, from a terminal. So far: the audit of usage.

use std::{path::PathBuf, process::ExitCode};

use app::audit_usage::{Audit, Repairs, audit_found};
use clap::{Parser, Subcommand};
use domain::id::OrganizationId;
use runtime::Config;
use store::{Store, UsageFound};
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
        /// Put right what is wrong, where no event is lost
        #[arg(long)]
        repair: bool,
        /// With `--repair`: make totals agree with the events that are left, also where some are lost. Nothing tells
        /// of those any more then
        #[arg(long, requires = "repair")]
        accept_loss: bool,
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
    let Command::Audit { organization, repair, accept_loss } = options.command;
    let repairs = match (repair, accept_loss) {
        (false, _) => Repairs::None,
        (true, false) => Repairs::WithoutLoss,
        (true, true) => Repairs::AcceptingLoss,
    };
    let organizations = match organization {
        Some(organization) => vec![organization],
        None => store.scan_organizations().await?,
    };
    let found = store.survey_usage(organization).await?;
    let mut is_right = true;
    for organization in organizations {
        let found = found.get(&organization).cloned().unwrap_or_default();
        is_right &= run_audit(&store, organization, &found, repairs).await?;
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether everything is right now.
async fn run_audit(
    store: &Store,
    organization: OrganizationId,
    found: &UsageFound,
    repairs: Repairs,
) -> Result<bool, Failure> {
    say(&format!("organization {organization}"));
    let progress = |meter: &domain::meter::Meter| say(&format!("  meter {}", meter.name));
    let audit = audit_found(store, organization, found, repairs, progress).await?;
    let Audit { heads, events, lost, findings, unknown_meters } = audit;
    for meter in unknown_meters {
        say(&format!("  NOT AUDITED: meter {meter} is gone, and how it counted is not known"));
    }
    for finding in &findings {
        let state = if finding.is_repaired { "repaired" } else { "WRONG" };
        let customer = finding.customer.map(|customer| format!(", customer {customer}"));
        let (meter, customer, month) = (finding.meter, customer.unwrap_or_default(), finding.month);
        say(&format!("  {state}: meter {meter}{customer}, {month}: {}", finding.what));
    }
    let is_right = findings.iter().all(|finding| finding.is_repaired);
    let verdict = match (findings.is_empty(), is_right, repairs) {
        (true, ..) => "every total is what its events say",
        (false, true, _) => "what was wrong is repaired",
        (false, false, Repairs::None) => "not every total is what its events say: run again with --repair",
        (false, false, _) => "not everything could be repaired",
    };
    say(&format!("  {events} events of {heads} customers' months: {verdict}"));
    if lost > 0 {
        let what = match repairs {
            Repairs::None | Repairs::WithoutLoss => {
                "their totals stay, and tell of them. Restore the table from its backup, or accept that they are gone \
                 with --repair --accept-loss"
            }
            Repairs::AcceptingLoss => "their totals do not tell of them any more",
        };
        say(&format!("  {lost} events are LOST, which totals have: {what}"));
    }
    Ok(is_right)
}

fn say(line: &str) {
    use std::io::Write as _;
    // Who closes the pipe does not want to know more.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
