//! What use cases need from outside, apart from the store: a clock, randomness, queues, mail, keys and a
//! bus. `aws` has them for the cloud, `infra/local` for one laptop.

use std::error::Error;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{
    event::TrackedEvent,
    id::{CustomerId, InvoiceId, OrganizationId, OutboxId, SubscriptionId},
    outbox::OutboxEntry,
};
use zeroize::Zeroizing;

/// What time it is.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}

/// Random bytes, for ids and secrets.
pub trait Random: Send + Sync {
    /// Fills `bytes` with what nobody can predict.
    fn fill(&self, bytes: &mut [u8]);
}

/// A message from one function to another. Arrives at least once, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Count these events, all of one organization.
    CountUsage(Vec<TrackedEvent>),
    /// Count these events, all of one organization, that were set aside before; forget that of those that count.
    RecountUsage(Vec<TrackedEvent>),
    /// Close what is due of a subscription.
    ClosePeriod {
        /// Whose.
        organization: OrganizationId,
        /// Which.
        subscription: SubscriptionId,
    },
    /// Deliver an entry of the outbox.
    DeliverEmail {
        /// Whose.
        organization: OrganizationId,
        /// About whom.
        customer: CustomerId,
        /// Which.
        entry: OutboxId,
    },
}

/// The queue that a kind of message goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueName {
    /// From track-usage to ingest-usage.
    Usage,
    /// From the sweep to the closing of one subscription's periods.
    Periods,
    /// From the outbox to send-email.
    Outbox,
}

impl Message {
    /// The queue it goes through.
    pub fn queue(&self) -> QueueName {
        match self {
            Self::CountUsage(_) | Self::RecountUsage(_) => QueueName::Usage,
            Self::ClosePeriod { .. } => QueueName::Periods,
            Self::DeliverEmail { .. } => QueueName::Outbox,
        }
    }

    /// Whose it is. Queues that are fair between organizations go by it.
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            Self::CountUsage(events) | Self::RecountUsage(events) => {
                events.first().map(|event| event.organization)
            }
            Self::ClosePeriod { organization, .. } | Self::DeliverEmail { organization, .. } => {
                Some(*organization)
            }
        }
    }
}

/// Something outside that did not do its part. Repeating it later may help.
#[derive(Debug, thiserror::Error)]
#[error("{what} failed")]
pub struct PortError {
    /// Which part of the outside.
    pub what: &'static str,
    /// Why, for the log.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// That `what` failed because of `cause`.
    pub fn new(what: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what, cause: cause.into() }
    }
}

/// The queues between functions.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends messages, each to the queue of its kind. One verdict per message, in order: `Ok` only once
    /// the queue has confirmed it.
    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>>;

    /// Puts a message that can never be handled into the dead-letter queue of `queue`, with the reason.
    async fn bury(&self, queue: QueueName, body: &str, reason: &str) -> Result<(), PortError>;
}

/// An e-mail that is ready to go.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The same on every try, so that a repeat can be told.
    pub id: OutboxId,
    /// To whom.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// The invoice it carries.
    pub invoice: InvoiceId,
    /// The whole message, as MIME.
    pub mime: Vec<u8>,
}

/// Sends e-mail.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends a mail; `Ok` once it was taken.
    async fn send(&self, mail: &Mail) -> Result<(), PortError>;
}

/// A data key, plain and as it may be stored.
pub struct DataKey {
    /// 32 random bytes.
    pub plain: Zeroizing<Vec<u8>>,
    /// The same under the master key.
    pub wrapped: Vec<u8>,
}

/// The master key, which never leaves its place.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Makes a data key that only opens again with the same `context`.
    async fn generate(&self, context: &str) -> Result<DataKey, PortError>;

    /// Opens a wrapped data key.
    async fn unwrap(&self, wrapped: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>, PortError>;
}

/// Tells whoever listens what happened.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Publishes an entry of the outbox; `Ok` once it was taken.
    async fn publish(&self, organization: OrganizationId, entry: &OutboxEntry) -> Result<(), PortError>;
}
