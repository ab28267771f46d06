//! The platform: everything a use case works with.

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use auth::PasswordHasher;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    id::{Id, OrganizationId},
    test_clock::Mode,
};
use store::{Change, Store};

use crate::{
    alerts::AlertCache,
    error::AppError,
    known::Known,
    memory::Memory,
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

/// The store, the ports, and what is cached of them. Built once per process; cheap to clone.
///
/// Use cases of an organization in test mode get one of [`Platform::of`], whose [`now`](Platform::now) is that of
/// the organization's test clock.
#[derive(Clone)]
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
    pub(crate) vault: Arc<Vault>,
    pub(crate) alerts: Arc<AlertCache>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) known: Arc<Known>,
    /// The time and the sequence of the last id made.
    last_id: Arc<AtomicU64>,
    /// When the last event arrived of those whose order counts, in milliseconds.
    last_arrival: Arc<AtomicI64>,
    pub(crate) passwords: Arc<tokio::sync::OnceCell<Arc<PasswordHasher>>>,
    /// The time of the organization it is for, if that is in test mode.
    test_now: Option<DateTime<Utc>>,
    /// Organizations that are known to be live, which they stay.
    live: Arc<RwLock<HashSet<OrganizationId>>>,
}

/// How far arrivals may run ahead of the clock: as many milliseconds as a batch may have events.
const AHEAD_MAX: TimeDelta = TimeDelta::milliseconds(999);

/// How many organizations a process knows to be live: less than a megabyte of them.
const LIVE_MAX: usize = 10_000;

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
        let vault = Arc::new(Vault::new(keys));
        Self {
            store,
            clock,
            random,
            queue,
            mailer,
            bus,
            settings,
            vault,
            alerts: Arc::default(),
            memory: Arc::default(),
            known: Arc::default(),
            last_id: Arc::default(),
            last_arrival: Arc::default(),
            passwords: Arc::default(),
            test_now: None,
            live: Arc::default(),
        }
    }

    /// The platform as an organization's use cases have it: on the organization's own time. Whatever is done for
    /// an organization begins here.
    ///
    /// Whether an organization is in test mode is decided when it signs up, so that a process asks once for each
    /// that is live. A test clock is read every time: it may have been moved.
    pub async fn of(&self, organization: OrganizationId) -> Result<Self, AppError> {
        if self.live.read().unwrap_or_else(PoisonError::into_inner).contains(&organization) {
            return Ok(self.clone());
        }
        if let Some(clock) = self.store.find_test_clock(organization).await? {
            return Ok(self.on_test_clock(clock.now));
        }
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.len() >= LIVE_MAX {
            live.clear();
        }
        live.insert(organization);
        Ok(self.clone())
    }

    /// The platform of an organization whose test clock stands at `now`.
    pub(crate) fn on_test_clock(&self, now: DateTime<Utc>) -> Self {
        Self { test_now: Some(now), store: self.store.in_test_mode(self.real_now()), ..self.clone() }
    }

    /// What time follows here.
    pub fn mode(&self) -> Mode {
        if self.test_now.is_some() { Mode::Test } else { Mode::Live }
    }

    /// Now, as the organization has it: what is billed, counted and dated follows it.
    pub fn now(&self) -> DateTime<Utc> {
        self.test_now.unwrap_or_else(|| self.real_now())
    }

    /// Now, whatever any test clock says: sessions, keys, queues, deliveries, the audit log.
    pub fn real_now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A new id, after all that this process has made before: lists by id are in the order things were made
    /// in, also within a millisecond and on a clock that stands still.
    pub fn new_id<K>(&self) -> Id<K> {
        let now = self.real_now().timestamp_millis().unsigned_abs() << SEQUENCE_BITS;
        let next = |last: u64| now.max(last.saturating_add(1));
        let last = self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        let place = next(last.unwrap_or_default());
        let millis = i64::try_from(place >> SEQUENCE_BITS).unwrap_or(i64::MAX);
        let mut entropy = self.entropy::<10>();
        for (to, from) in entropy.iter_mut().zip((place & SEQUENCE_MASK).to_be_bytes().into_iter().skip(6)) {
            *to = from;
        }
        Id::from_parts(DateTime::from_timestamp_millis(millis).unwrap_or(self.real_now()), entropy)
    }

    /// When something arrives that is told `now`: a millisecond after what was told before it in this process at the same
    /// time, so that their order is kept. Never more than [`AHEAD_MAX`] later than now.
    pub(crate) fn arrival(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (now, latest) = (now.timestamp_millis(), (now + AHEAD_MAX).timestamp_millis());
        let next = |last: i64| if (now..=latest).contains(&last) { (last + 1).min(latest) } else { now };
        let last =
            self.last_arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        DateTime::from_timestamp_millis(next(last.unwrap_or_default())).unwrap_or_default()
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
        Change { organization, by: by.into(), at: self.real_now(), id: id.uuid() }
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
