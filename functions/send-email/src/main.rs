//! The Lambda function `send-email`: only wires it.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::Config;

#[tokio::main]
async fn main() -> Result<(), Error> {
    runtime::init_logging();
    let platform = &runtime::connect(&Config::from_env()?).await;
    let handler = async |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(send_email::handle(platform, event.payload).await)
    };
    lambda_runtime::run(service_fn(handler)).await
}
