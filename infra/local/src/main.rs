//! The local platform: only wires it.

use clap::Parser;
use fluxrate_local::{Error, Options, init_logging, start, stop_signal};

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let options = Options::parse();
    init_logging();
    match run(options).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the one line that scripts wait for")]
async fn run(options: Options) -> Result<(), Error> {
    let stop = stop_signal()?;
    let running = start(options).await?;
    println!("ready http://{}", running.address);
    stop.await;
    running.stop().await;
    Ok(())
}
