//! The Lambda function `finalize-invoices`: only wires it.
// The calls of a sweep nest deep: their futures are one type, whose layout the compiler computes in one go.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::Config;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    runtime::init_logging();
    let platform = &runtime::connect(&Config::from_env()?).await;
    let handler =
        async |_tick: LambdaEvent<Value>| finalize_invoices::tick(platform).await.map_err(Error::from);
    lambda_runtime::run(service_fn(handler)).await
}
