//! The platform: everything a use case works with.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use auth::PasswordHasher;
use chrono::{DateTime, Utc};
use domain::id::{Id, OrganizationId};
use store::{Change, Store};

use crate::{
    alerts::AlertCache,
    error::AppError,
    port::{Bus, Clock, Keys, Mailer, Queue, Random},
    vault::Vault,
};

/// What is configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where customers reach us, without a slash at the end: `https://billing.example.com`.
    pub public_url: String,
    /// The sender of e-mails.
    pub email_from: String,
}

/// The store, the ports, and what is cached of them. Built once per process.
pub struct Platform {
    /// Where everything is kept.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// The queues between functions.
    pub queue: Arc<dyn Queue>,
    /// Sends e-mail.
    pub mailer: Arc<dyn Mailer>,
    /// Tells whoever listens.
    pub bus: Arc<dyn Bus>,
    /// What is configured.
    pub settings: Settings,
    pub(crate) vault: Vault,
    pub(crate) alerts: AlertCache,
    /// The time and the sequence of the last id made.
    last_id: AtomicU64,
    pub(crate) passwords: tokio::sync::OnceCell<Arc<PasswordHasher>>,
}

/// Bits of an id between its time and its random end: 4,096 ids in one millisecond, then the next begins.
const SEQUENCE_BITS: u32 = 12;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;

impl Platform {
    /// A platform of these parts.
    pub fn new(
        store: Store,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        (queue, mailer, bus): (Arc<dyn Queue>, Arc<dyn Mailer>, Arc<dyn Bus>),
        keys: Arc<dyn Keys>,
        settings: Settings,
    ) -> Self {
        let vault = Vault::new(keys);
        Self {
            store,
            clock,
            random,
            queue,
            mailer,
            bus,
            settings,
            vault,
            alerts: AlertCache::default(),
            last_id: AtomicU64::new(0),
            passwords: Default::default(),
        }
    }

    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A new id, after all that this process has made before: lists by id are in the order things were made
    /// in, also within a millisecond and on a clock that stands still.
    pub fn new_id<K>(&self) -> Id<K> {
        let now = self.now().timestamp_millis().unsigned_abs() << SEQUENCE_BITS;
        let next = |last: u64| now.max(last.saturating_add(1));
        let last = self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        let place = next(last.unwrap_or_default());
        let millis = i64::try_from(place >> SEQUENCE_BITS).unwrap_or(i64::MAX);
        let mut entropy = self.entropy::<10>();
        for (to, from) in entropy.iter_mut().zip((place & SEQUENCE_MASK).to_be_bytes().into_iter().skip(6)) {
            *to = from;
        }
        Id::from_parts(DateTime::from_timestamp_millis(millis).unwrap_or(self.now()), entropy)
    }

    /// Random bytes.
    pub fn entropy<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }

    /// A change that `by` makes now.
    pub fn change(&self, organization: OrganizationId, by: impl Into<String>) -> Change {
        let id: Id<()> = self.new_id();
        Change { organization, by: by.into(), at: self.now(), id: id.uuid() }
    }

    pub(crate) async fn passwords(&self) -> Result<Arc<PasswordHasher>, AppError> {
        let make = || async {
            let hasher =
                tokio::task::spawn_blocking(PasswordHasher::new).await.map_err(AppError::internal)?;
            hasher.map(Arc::new).map_err(AppError::internal)
        };
        self.passwords.get_or_try_init(make).await.cloned()
    }
}
