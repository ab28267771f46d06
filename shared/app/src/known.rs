//! What a process remembers of the store, so that it need not be read again. Nothing here is ever out of date: it
//! never changes, or is only believed if what it leads to says the same.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use domain::{
    feature::Feature,
    id::{CustomerId, FeatureId, MeterId, OrganizationId},
    meter::Meter,
};
use store::{StoreError, SubscribedCustomer};

use crate::{AppError, Platform};

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// A meter stays as it was made until it is deleted.
    meters: Remembered<(OrganizationId, MeterId), Meter>,
    /// By lookup key, which a feature keeps. After it was deleted another one may have it.
    features: Remembered<(OrganizationId, String), FeatureId>,
    /// By external id. It may be given to another customer.
    customers: Remembered<(OrganizationId, String), CustomerId>,
}

/// Values by key, of which some may be forgotten at any time.
#[derive(Debug)]
struct Remembered<K, V>(RwLock<HashMap<K, V>>);

/// How many values of a kind are remembered: a few megabytes.
const REMEMBERED_MAX: usize = 10_000;

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn insert(&self, key: K, value: V) {
        let mut values = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= REMEMBERED_MAX {
            values.clear();
        }
        values.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl Platform {
    /// A meter of which something that was read just now says that it is there: its feature, its token or its name.
    pub(crate) async fn known_meter(
        &self,
        organization: OrganizationId,
        id: MeterId,
    ) -> Result<Meter, StoreError> {
        if let Some(meter) = self.known.meters.get(&(organization, id)) {
            return Ok(meter);
        }
        let meter = self.store.get_meter(organization, id).await?;
        self.known.meters.insert((organization, id), meter.clone());
        Ok(meter)
    }

    /// The feature that code calls `lookup_key`.
    pub(crate) async fn feature_called(
        &self,
        organization: OrganizationId,
        lookup_key: &str,
    ) -> Result<Feature, AppError> {
        let key = (organization, lookup_key.to_owned());
        if let Some(id) = self.known.features.get(&key) {
            match self.store.get_feature(organization, id).await {
                Err(StoreError::NotFound(_)) => self.known.features.remove(&key),
                found => return Ok(found?),
            }
        }
        let found = self.store.find_feature_by_lookup_key(organization, lookup_key).await?;
        let feature = found.ok_or(AppError::NotFound("feature"))?;
        self.known.features.insert(key, feature.id);
        Ok(feature)
    }

    /// The customer that its organization calls `external_id`, with what it is subscribed to.
    pub(crate) async fn customer_called(
        &self,
        organization: OrganizationId,
        external_id: &str,
    ) -> Result<SubscribedCustomer, AppError> {
        let key = (organization, external_id.to_owned());
        if let Some(id) = self.known.customers.get(&key) {
            match self.store.get_subscribed_customer(organization, id).await {
                Ok(found) if found.customer.external_id.as_deref() == Some(external_id) => return Ok(found),
                Ok(_) | Err(StoreError::NotFound(_)) => self.known.customers.remove(&key),
                Err(error) => return Err(error.into()),
            }
        }
        let id = self.store.find_customer_by_external_id(organization, external_id).await?;
        let id = id.ok_or(AppError::NotFound("customer"))?;
        let found = self.store.get_subscribed_customer(organization, id).await?;
        self.known.customers.insert(key, found.customer.id);
        Ok(found)
    }
}
