//! The Lambda function `close-periods`: only wires it.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::Config;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    runtime::init_logging();
    let platform = &runtime::connect(&Config::from_env()?).await;
    let handler = async |event: LambdaEvent<Value>| {
        close_periods::handle(platform, event.payload).await.map_err(Error::from)
    };
    lambda_runtime::run(service_fn(handler)).await
}
