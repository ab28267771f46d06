//! What use cases need from outside, over AWS: queues are SQS, mail is SES, the master key is in KMS, the bus
//! is EventBridge. `infra/local` has the same for one laptop.
//!
//! SDK types stop here. Errors carry codes and request ids, never a body, an address or a secret.

mod bus;
mod error;
mod keys;
mod mailer;
mod queue;

pub use bus::EventBus;
pub use keys::KmsKeys;
pub use mailer::SesMailer;
pub use queue::{QueueUrls, SqsQueue};
