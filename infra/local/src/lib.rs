//! The whole platform in one process: every function, behind one port, on an embedded DynamoDB and on local
//! stand-ins for SQS, SES, KMS and EventBridge that keep everything in one folder.

mod bus;
mod clock;
mod file;
mod keys;
mod mailer;
mod options;
mod queue;
mod queue_file;
mod routes;
mod running;
mod scheduler;
mod slashes;
mod stop;
mod worker;

pub use bus::EventLog;
pub use clock::LocalClock;
pub use keys::FileKeys;
pub use mailer::{OutboxFolder, SentMail};
pub use options::Options;
pub use queue::{LocalQueue, QUEUES, QueueError, QueueState, queue_name};
pub use queue_file::{Counts, DeadLetter, Received};
pub use running::{Error, Running, init_logging, start, stop_signal};
pub use scheduler::{Scheduler, SchedulerError};
