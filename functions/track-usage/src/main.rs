//! The Lambda function `track-usage`: only wires it.

use std::sync::Arc;

use lambda_http::Error;
use runtime::Config;

#[tokio::main]
async fn main() -> Result<(), Error> {
    runtime::init_logging();
    let platform = runtime::connect(&Config::from_env()?).await;
    lambda_http::run(track_usage::router(Arc::new(platform))).await
}
