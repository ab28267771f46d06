//! Data keys, wrapped by the master key: one per organization for its sensitive fields, and one that signs
//! sessions.

use domain::id::OrganizationId;

use crate::{
    client::Store,
    error::StoreError,
    item::{Item, Reader},
    keys,
};

/// A data key under the master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDataKey {
    /// The wrapped key. Of no use without the master key.
    pub wrapped: Vec<u8>,
}

impl Store {
    /// The data key of an organization, or for `None` the one that signs sessions.
    pub async fn find_data_key(
        &self,
        organization: Option<OrganizationId>,
    ) -> Result<Option<StoredDataKey>, StoreError> {
        let Some(item) = self.get(keys::data_key(organization)).await? else { return Ok(None) };
        let item = Reader::new("data_key", &item)?;
        Ok(Some(StoredDataKey { wrapped: item.bytes("wrapped")?.to_vec() }))
    }

    /// Stores a first data key. `false` if there is one already, which then is the one to use.
    pub async fn create_data_key(
        &self,
        organization: Option<OrganizationId>,
        key: &StoredDataKey,
    ) -> Result<bool, StoreError> {
        let item = Item::new(keys::data_key(organization), "data_key").bytes("wrapped", key.wrapped.clone());
        self.put_new(&self.core_table, item).await
    }
}
