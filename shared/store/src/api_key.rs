//! API keys, found by the hash of the key in one read.

use domain::{
    id::{ApiKeyId, OrganizationId},
    user::{ApiKey, Scope},
};

use crate::{
    audit::Change,
    client::Store,
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys::{self, Key},
    page::{List, Page, PageRequest},
    transaction::{Otherwise, Transaction},
};

const LIST: List = List { what: "APIKEY", shards: 1, filter: None };

impl Store {
    /// Makes an API key.
    pub async fn create_api_key(&self, change: &Change, key: &ApiKey) -> Result<(), StoreError> {
        let listed = item(keys::api_key(key.organization, key.id), key)
            .listed(keys::list(key.organization, LIST.what, 0), key.id);
        Transaction::new(self)
            .create(item(keys::api_key_hash(&key.hash), key), Otherwise::Conflict)
            .create(listed, Otherwise::Conflict)
            .audited(change, "create api key", key.id)
            .commit(self)
            .await
    }

    /// The API key with this hash, in whatever organization; `None` from the moment it is deleted.
    pub async fn find_api_key(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        self.get(keys::api_key_hash(hash)).await?.as_ref().map(from_item).transpose()
    }

    /// The API keys of an organization.
    pub async fn list_api_keys(
        &self,
        organization: OrganizationId,
        request: &PageRequest,
    ) -> Result<Page<ApiKey>, StoreError> {
        self.list(organization, &LIST, request).await?.try_map(|item| from_item(&item))
    }

    /// Deletes an API key. Errors: `NotFound` if there is none.
    pub async fn delete_api_key(&self, change: &Change, id: ApiKeyId) -> Result<(), StoreError> {
        let listed = keys::api_key(change.organization, id);
        let item = self.get(listed.clone()).await?.ok_or(StoreError::NotFound("API key"))?;
        let key = from_item(&item)?;
        Transaction::new(self)
            .delete(listed, 1)
            .delete(keys::api_key_hash(&key.hash), 1)
            .audited(change, "delete api key", id)
            .commit(self)
            .await
    }
}

fn item(at: Key, key: &ApiKey) -> Item {
    Item::new(at, "api_key")
        .number("version", 1)
        .display("id", key.id)
        .display("organization", key.organization)
        .text("name", &key.name)
        .text("hash", &key.hash)
        .text("prefix", &key.prefix)
        .texts("scopes", key.scopes.iter().copied().map(scope_text))
        .time("created_at", key.created_at)
}

fn from_item(item: &Attributes) -> Result<ApiKey, StoreError> {
    let item = Reader::new("api_key", item)?;
    let scope = |text: &str| scope_from(text).ok_or_else(|| item.corrupt("scopes"));
    Ok(ApiKey {
        id: item.parse("id")?,
        organization: item.parse("organization")?,
        name: item.text("name")?.to_owned(),
        hash: item.text("hash")?.to_owned(),
        prefix: item.text("prefix")?.to_owned(),
        scopes: item.texts("scopes")?.into_iter().map(scope).collect::<Result<_, _>>()?,
        created_at: item.time("created_at")?,
    })
}

fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::UsageWrite => "usage.write",
        Scope::UsageRead => "usage.read",
        Scope::BillingRead => "billing.read",
        Scope::BillingWrite => "billing.write",
    }
}

fn scope_from(text: &str) -> Option<Scope> {
    let all = [Scope::UsageWrite, Scope::UsageRead, Scope::BillingRead, Scope::BillingWrite];
    all.into_iter().find(|scope| scope_text(*scope) == text)
}
