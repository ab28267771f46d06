//! From a credential to an [`Actor`]: the only way to an organization's id.

use auth::{Actor, Credential, hash_api_key};
use domain::{
    organization::Organization,
    user::{Role, User},
};

use crate::{AppError, Platform};

/// The caller behind an API key. A deleted key fails from then on.
///
/// Errors: `Unauthenticated`.
pub async fn with_api_key(platform: &Platform, key: &str) -> Result<Actor, AppError> {
    let denied = || AppError::Unauthenticated("the API key is not valid");
    let hash = hash_api_key(key).ok_or_else(denied)?;
    let key = platform.store.find_api_key(&hash).await?.ok_or_else(denied)?;
    let credential = Credential::ApiKey { id: key.id, scopes: key.scopes };
    Ok(Actor { organization: key.organization, credential })
}

/// The caller behind an access token. Valid until it expires or its session is ended.
///
/// Errors: `Unauthenticated`.
pub async fn with_access_token(platform: &Platform, token: &str) -> Result<Actor, AppError> {
    let denied = || AppError::Unauthenticated("the session is not valid: sign in, or refresh it");
    let claims = platform.signing_key().await?.read(token, platform.real_now()).ok_or_else(denied)?;
    platform.store.find_session(claims.organization, claims.session).await?.ok_or_else(denied)?;
    let credential = Credential::Session { user: claims.user, role: Role::Owner };
    Ok(Actor { organization: claims.organization, credential })
}

/// Who the caller is.
///
/// Errors: `Unauthenticated` for an API key, which is nobody.
pub async fn who_am_i(platform: &Platform, actor: &Actor) -> Result<(User, Organization), AppError> {
    let Credential::Session { user, .. } = actor.credential else {
        return Err(AppError::Unauthenticated("only people are somebody: sign in"));
    };
    let user = platform.store.get_user(actor.organization, user).await?;
    let organization = platform.store.get_organization(actor.organization).await?;
    Ok((user, organization))
}
