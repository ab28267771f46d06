//! API keys: made, listed, deleted.

use auth::{Actor, new_api_key};
use domain::{
    id::ApiKeyId,
    user::{ApiKey, Scope},
};
use store::{Page, PageRequest};

use crate::{AppError, Platform};

/// Makes an API key. Returns it with its text, which is never shown again.
pub async fn create(
    platform: &Platform,
    actor: &Actor,
    name: String,
    scopes: Vec<Scope>,
) -> Result<(ApiKey, String), AppError> {
    actor.require(Scope::BillingWrite)?;
    // A key must not make one that may do more than itself.
    scopes.iter().try_for_each(|scope| actor.require(*scope))?;
    let secret = new_api_key(platform.entropy(), platform.mode());
    let key = ApiKey {
        id: platform.new_id(),
        organization: actor.organization,
        name,
        hash: secret.hash,
        prefix: secret.prefix,
        scopes,
        created_at: platform.real_now(),
    };
    platform.store.create_api_key(&platform.change(actor.organization, actor.name()), &key).await?;
    Ok((key, secret.text))
}

/// The organization's API keys.
pub async fn list(platform: &Platform, actor: &Actor, page: &PageRequest) -> Result<Page<ApiKey>, AppError> {
    actor.require(Scope::BillingRead)?;
    Ok(platform.store.list_api_keys(actor.organization, page).await?)
}

/// Deletes an API key: it fails from the next request on.
pub async fn delete(platform: &Platform, actor: &Actor, id: ApiKeyId) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    Ok(platform.store.delete_api_key(&platform.change(actor.organization, actor.name()), id).await?)
}
