//! Requests with an `Idempotency-Key`: claimed, answered, given up.

use auth::{Actor, hexadecimal};
use domain::customer::Sealed;
use sha2::{Digest, Sha256};
use store::{Claimed, IdempotentAnswer};

use crate::{AppError, Platform};

/// What tells a request apart from another with the same key.
pub fn request_hash(path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(path);
    hash.update([0]);
    hash.update(body);
    hexadecimal(&hash.finalize())
}

/// Claims a key for a request. Returns the answer if there is one already.
///
/// Errors: `Conflict` if the key is in use by another request, or by the same one right now.
pub async fn claim(
    platform: &Platform,
    actor: &Actor,
    key: &str,
    request_hash: &str,
) -> Result<Option<IdempotentAnswer>, AppError> {
    let now = platform.real_now();
    match platform.store.claim_idempotency_key(actor.organization, key, request_hash, now).await? {
        Claimed::Free => Ok(None),
        Claimed::Answered(answer) => {
            let sealed = Sealed(String::from_utf8(answer.body).map_err(AppError::internal)?);
            let field_key = platform.field_key(actor.organization).await?;
            let body = field_key.open(&place(request_hash), &sealed).map_err(AppError::internal)?;
            Ok(Some(IdempotentAnswer { status: answer.status, body: body.into_bytes() }))
        }
        Claimed::InProgress => Err(AppError::conflict(
            "idempotency_key_in_progress",
            "the same request is being carried out: ask again shortly",
        )),
        Claimed::OtherRequest => Err(AppError::conflict(
            "idempotency_key_reused",
            "the Idempotency-Key was used for another request",
        )),
    }
}

/// Keeps the answer to a request, sealed, since it may hold what is shown only once; or gives its key up if there is none to keep. Should that fail, the key
/// frees itself after a minute.
pub async fn settle(
    platform: &Platform,
    actor: &Actor,
    key: &str,
    request_hash: &str,
    status: u16,
    body: Option<Vec<u8>>,
) {
    let organization = actor.organization;
    let settled = match body {
        Some(body) => keep(platform, actor, key, request_hash, (status, body)).await,
        None => platform.store.release_idempotency_key(organization, key).await.map_err(AppError::from),
    };
    if let Err(error) = settled {
        tracing::error!(error = ?error, "an idempotency key is not settled");
    }
}

async fn keep(
    platform: &Platform,
    actor: &Actor,
    key: &str,
    request_hash: &str,
    (status, body): (u16, Vec<u8>),
) -> Result<(), AppError> {
    let organization = actor.organization;
    let body = String::from_utf8(body).map_err(AppError::internal)?;
    let Sealed(sealed) = platform.field_key(organization).await?.seal(&place(request_hash), &body);
    let answer = IdempotentAnswer { status, body: sealed.into_bytes() };
    let now = platform.real_now();
    Ok(platform.store.answer_idempotency_key(organization, key, request_hash, &answer, now).await?)
}

fn place(request_hash: &str) -> String {
    format!("idempotency/{request_hash}")
}
