//! The platform over AWS.

use std::{sync::Arc, time::Duration};

use app::{Platform, Settings};
use aws::{EventBus, KmsKeys, QueueUrls, SesMailer, SqsQueue};
use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use store::Store;

use crate::{clock::SystemClock, config::Config, random::SystemRandom};

/// How long one try of a call may take. All of them take milliseconds when all is well.
const TRY_MAX: Duration = Duration::from_secs(4);

/// How long a call may take with its repeats: less than the 10 seconds of the functions that people wait for,
/// so that they can still answer "try again shortly".
const CALL_MAX: Duration = Duration::from_secs(9);

/// The platform that `config` names. Region, credentials and endpoints (`AWS_ENDPOINT_URL`) are those of the
/// environment. Calls nothing yet: what is unreachable shows when it is used.
pub async fn connect(config: &Config) -> Platform {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(TRY_MAX).operation_timeout(CALL_MAX);
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts.build()).load().await;
    platform(config, &sdk)
}

fn platform(config: &Config, sdk: &SdkConfig) -> Platform {
    let store = Store::new(aws_sdk_dynamodb::Client::new(sdk), &config.core_table, &config.usage_table);
    let urls = QueueUrls {
        usage: config.usage_queue_url.clone(),
        periods: config.periods_queue_url.clone(),
        outbox: config.outbox_queue_url.clone(),
        dead_letters: config.dead_letter_queue_url.clone(),
    };
    let queue = SqsQueue::new(aws_sdk_sqs::Client::new(sdk), urls);
    let mailer = SesMailer::new(aws_sdk_ses::Client::new(sdk));
    let bus = EventBus::new(aws_sdk_eventbridge::Client::new(sdk), config.event_bus.clone());
    let keys = KmsKeys::new(aws_sdk_kms::Client::new(sdk), config.kms_key_id.clone());
    let settings = Settings {
        public_url: config.public_url.clone().unwrap_or_default(),
        email_from: config.email_from.clone().unwrap_or_default(),
    };
    Platform::new(
        store,
        (Arc::new(SystemClock), Arc::new(SystemRandom)),
        (Arc::new(queue), Arc::new(mailer), Arc::new(bus)),
        Arc::new(keys),
        settings,
    )
}
