//! A platform with nothing but tables, over a line that counts.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use app::{
    Platform, Settings, catalog, customers,
    port::{Bus, Clock, DataKey, Keys, Mail, Mailer, Message, PortError, Queue, QueueName},
    sessions,
};
use async_trait::async_trait;
use auth::{Actor, Credential};
use chrono::{DateTime, Utc};
use domain::{
    customer::Address,
    id::{CustomerId, Id, OrganizationId},
    meter::{Aggregation, DeduplicateBy, Meter},
    outbox::OutboxEntry,
    property::Properties,
    tax::TaxExemption,
    test_clock::Mode,
    user::Scope,
};
use store::Store;
use testkit::{EmbeddedDynamo, Line};
use zeroize::Zeroizing;

/// Anything that can go wrong here ends the run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A platform on tables of its own.
pub struct Rig {
    /// The platform.
    pub platform: Platform,
    /// What its requests go over.
    pub line: Line,
    /// Whose everything is.
    pub organization: OrganizationId,
    /// Its tables.
    pub dynamo: Arc<EmbeddedDynamo>,
    clock: Arc<StillClock>,
    queue: Arc<Kept>,
}

/// A clock that stands where it is put.
#[derive(Debug)]
struct StillClock(AtomicI64);

impl Clock for StillClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.load(Ordering::Relaxed)).unwrap_or_default()
    }
}

/// A queue that only keeps what is sent.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Message>>);

#[async_trait]
impl Queue for Kept {
    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(messages);
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn bury(&self, _: QueueName, _: &str, reason: &str) -> Result<(), PortError> {
        Err(PortError::new("the dead-letter queue", reason))
    }
}

/// Mail, keys and bus, none of which costs anything here.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Mailer for Nowhere {
    async fn send(&self, _: &Mail) -> Result<(), PortError> {
        Err(PortError::new("mail", "there is none here"))
    }
}

#[async_trait]
impl Keys for Nowhere {
    async fn generate(&self, _: &str) -> Result<DataKey, PortError> {
        Ok(DataKey { plain: Zeroizing::new(vec![7; 32]), wrapped: vec![7; 32] })
    }

    async fn unwrap(&self, wrapped: &[u8], _: &str) -> Result<Zeroizing<Vec<u8>>, PortError> {
        Ok(Zeroizing::new(wrapped.to_vec()))
    }
}

#[async_trait]
impl Bus for Nowhere {
    async fn publish(&self, _: OrganizationId, _: &OutboxEntry) -> Result<(), PortError> {
        Ok(())
    }
}

fn platform(dynamo: &EmbeddedDynamo, line: &Line, clock: &Arc<StillClock>, queue: &Arc<Kept>) -> Platform {
    let nowhere = Arc::new(Nowhere);
    Platform::new(
        Store::new(dynamo.client_over(line), "core", "usage"),
        (clock.clone(), Arc::new(runtime::SystemRandom)),
        (queue.clone(), nowhere.clone(), nowhere.clone()),
        nowhere,
        Settings::default(),
    )
}

impl Rig {
    /// One with an organization, its clock at `now`.
    ///
    /// Errors: if the tables cannot be made.
    pub async fn new(now: DateTime<Utc>, line: Line) -> Result<Self, Failure> {
        let dynamo = Arc::new(EmbeddedDynamo::in_memory().await?);
        Store::new(dynamo.client(), "core", "usage").create_tables().await?;
        let clock = Arc::new(StillClock(AtomicI64::new(now.timestamp_millis())));
        let queue = Arc::<Kept>::default();
        // Over a line of its own: what is to go wrong on `line` is not to keep it from being made.
        let quiet = platform(&dynamo, &Line::counting(), &clock, &queue);
        let sign_up = sessions::SignUp {
            email: "bench@example.com".to_owned(),
            password: "correct horse battery staple".to_owned(),
            organization_name: "Bench".to_owned(),
            mode: Mode::Live,
        };
        let organization = sessions::sign_up(&quiet, sign_up).await?.user.organization;
        let platform = platform(&dynamo, &line, &clock, &queue);
        Ok(Self { platform, line, organization, dynamo, clock, queue })
    }

    /// The same tables over another line.
    #[must_use]
    pub fn over(&self, line: Line) -> Self {
        let (dynamo, clock, queue) = (self.dynamo.clone(), self.clock.clone(), self.queue.clone());
        let platform = platform(&dynamo, &line, &clock, &queue);
        Self { platform, line, organization: self.organization, dynamo, clock, queue }
    }

    /// What was sent to the queues since the last call.
    pub fn take_sent(&self) -> Vec<Message> {
        std::mem::take(&mut *self.queue.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the clock.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.clock.0.store(now.timestamp_millis(), Ordering::Relaxed);
    }

    /// Somebody who may do everything.
    pub fn actor(&self) -> Actor {
        let scopes = vec![Scope::UsageWrite, Scope::UsageRead, Scope::BillingRead, Scope::BillingWrite];
        let id = Id::from_uuid(uuid::Uuid::nil());
        Actor { organization: self.organization, credential: Credential::ApiKey { id, scopes } }
    }

    /// A customer of this external id, who has an address for mail.
    ///
    /// Errors: if it cannot be made.
    pub async fn customer(&self, external_id: &str) -> Result<CustomerId, Failure> {
        let details = customers::CustomerDetails {
            name: external_id.to_owned(),
            email: Some(format!("{external_id}@example.com")),
            external_id: Some(external_id.to_owned()),
            phone: None,
            billing_address: Address::default(),
            tax_id: None,
            tax_exemption: TaxExemption::default(),
            metadata: Properties::new(),
        };
        Ok(customers::create(&self.platform, &self.actor(), details).await?.customer.id)
    }

    /// A meter. Events that carry a key are pinned unless it tells them apart by their timestamps too.
    ///
    /// Errors: if it cannot be made.
    pub async fn meter(
        &self,
        name: &str,
        aggregation: Aggregation,
        deduplicate_by: DeduplicateBy,
    ) -> Result<Meter, Failure> {
        let meter = catalog::NewMeter {
            name: name.to_owned(),
            property: "n".to_owned(),
            aggregation,
            unit: None,
            filters: Vec::new(),
            deduplicate_by,
        };
        let feature = catalog::NewFeature {
            name: name.to_owned(),
            lookup_key: name.to_owned(),
            description: None,
            kind: catalog::NewFeatureKind::Meter(meter),
        };
        catalog::create_feature(&self.platform, &self.actor(), feature).await?;
        let found = self.platform.store.find_meter_by_name(self.organization, name).await?;
        found.ok_or_else(|| "the meter was not made".into())
    }
}
