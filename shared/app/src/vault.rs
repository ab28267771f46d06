//! The keys in use: data keys are unwrapped once, and kept for minutes.

use std::{collections::HashMap, sync::Arc};

use auth::{FieldKey, SigningKey};
use chrono::{DateTime, Duration, Utc};
use domain::id::OrganizationId;
use store::{Store, StoredDataKey};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::{Platform, error::AppError, port::Keys};

/// How long an unwrapped key is kept. A disabled master key takes effect within that time.
const CACHED_FOR: Duration = Duration::minutes(5);

/// Unwraps data keys, and keeps them for a while.
pub(crate) struct Vault {
    keys: Arc<dyn Keys>,
    signing: Mutex<Option<Cached<SigningKey>>>,
    fields: Mutex<HashMap<OrganizationId, Cached<FieldKey>>>,
}

/// A key, and when it was unwrapped.
type Cached<K> = (DateTime<Utc>, Arc<K>);

impl Vault {
    pub(crate) fn new(keys: Arc<dyn Keys>) -> Self {
        Self { keys, signing: Mutex::default(), fields: Mutex::default() }
    }

    /// The data key of an organization, or for `None` the one that signs sessions; made on first use.
    async fn data_key(
        &self,
        store: &Store,
        organization: Option<OrganizationId>,
    ) -> Result<Zeroizing<Vec<u8>>, AppError> {
        let context = organization.map_or("signing".to_owned(), |organization| organization.to_string());
        if let Some(stored) = store.find_data_key(organization).await? {
            return Ok(self.keys.unwrap(&stored.wrapped, &context).await?);
        }
        let made = self.keys.generate(&context).await?;
        if store.create_data_key(organization, &StoredDataKey { wrapped: made.wrapped }).await? {
            return Ok(made.plain);
        }
        // Somebody else made one meanwhile: theirs is the one.
        let stored = store.find_data_key(organization).await?.ok_or(AppError::NotFound("data key"))?;
        Ok(self.keys.unwrap(&stored.wrapped, &context).await?)
    }
}

impl Platform {
    /// The key that signs sessions.
    pub(crate) async fn signing_key(&self) -> Result<Arc<SigningKey>, AppError> {
        let now = self.real_now();
        let mut cached = self.vault.signing.lock().await;
        if let Some((at, key)) = cached.as_ref()
            && is_fresh(*at, now)
        {
            return Ok(key.clone());
        }
        let key = Arc::new(SigningKey::new(&self.vault.data_key(&self.store, None).await?));
        *cached = Some((now, key.clone()));
        Ok(key)
    }

    /// The key that seals an organization's sensitive fields.
    pub(crate) async fn field_key(&self, organization: OrganizationId) -> Result<Arc<FieldKey>, AppError> {
        let now = self.real_now();
        let mut cached = self.vault.fields.lock().await;
        cached.retain(|_, (at, _)| is_fresh(*at, now));
        if let Some((_, key)) = cached.get(&organization) {
            return Ok(key.clone());
        }
        let plain = self.vault.data_key(&self.store, Some(organization)).await?;
        let key = Arc::new(FieldKey::new(organization, &plain).map_err(AppError::internal)?);
        cached.insert(organization, (now, key.clone()));
        Ok(key)
    }
}

/// The clock may be moved, also backwards between two runs.
fn is_fresh(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at <= now && now < at + CACHED_FOR
}
