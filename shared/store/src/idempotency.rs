//! Answers to requests that carried an `Idempotency-Key`, so that a repeat gets the same one.

use chrono::{DateTime, Duration, Utc};
use domain::id::OrganizationId;

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::{Item, Reader},
    keys,
};

/// What was answered to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// What a key turns out to be when a request wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody had it. The request may be carried out.
    Free,
    /// Another request with this key is being carried out.
    InProgress,
    /// It was used for another request.
    OtherRequest,
    /// The same request was answered already.
    Answered(IdempotentAnswer),
}

/// How long an answer is kept.
const KEPT: Duration = Duration::hours(48);

/// How long a request may take. One that was cut off frees its key after that.
const IN_PROGRESS_MAX: Duration = Duration::seconds(60);

impl Store {
    /// Claims a key for a request, told apart from others by `request_hash`.
    pub async fn claim_idempotency_key(
        &self,
        organization: OrganizationId,
        key: &str,
        request_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Claimed, StoreError> {
        let started = |version| {
            Item::new(keys::idempotency(organization, key), "idempotency")
                .number("version", version)
                .text("request_hash", request_hash)
                .time("started_at", now)
                .number("ttl", (now + KEPT).timestamp().unsigned_abs())
        };
        if self.put_new(&self.core_table, started(1)).await? {
            return Ok(Claimed::Free);
        }
        let Some(item) = self.get(keys::idempotency(organization, key)).await? else {
            return Ok(Claimed::InProgress); // it was given up between the two calls
        };
        let item = Reader::new("idempotency", &item)?;
        let started_at = item.time("started_at")?;
        let is_answered = item.optional_text("status")?.is_some();
        let is_over = now >= started_at + if is_answered { KEPT } else { IN_PROGRESS_MAX };
        if is_over {
            let version = item.number("version")?;
            return match self.put_over(&self.core_table, started(version + 1), version).await {
                Ok(()) => Ok(Claimed::Free),
                Err(StoreError::Conflict) => Ok(Claimed::InProgress),
                Err(error) => Err(error),
            };
        }
        if item.text("request_hash")? != request_hash {
            return Ok(Claimed::OtherRequest);
        }
        if !is_answered {
            return Ok(Claimed::InProgress);
        }
        let answer = IdempotentAnswer { status: item.parse("status")?, body: item.bytes("body")?.to_vec() };
        Ok(Claimed::Answered(answer))
    }

    /// Keeps the answer to the request that holds a key.
    pub async fn answer_idempotency_key(
        &self,
        organization: OrganizationId,
        key: &str,
        request_hash: &str,
        answer: &IdempotentAnswer,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let item = Item::new(keys::idempotency(organization, key), "idempotency")
            .number("version", 1)
            .text("request_hash", request_hash)
            .time("started_at", now)
            .display("status", answer.status)
            .bytes("body", answer.body.clone())
            .number("ttl", (now + KEPT).timestamp().unsigned_abs());
        self.put(item).await
    }

    /// Gives up a key whose request was refused: it changed nothing, and may be sent again, corrected.
    pub async fn release_idempotency_key(
        &self,
        organization: OrganizationId,
        key: &str,
    ) -> Result<(), StoreError> {
        let key = keys::idempotency(organization, key).attributes();
        let request = self.client.delete_item().table_name(&self.core_table).set_key(Some(key));
        request.send().await.map_err(unavailable)?;
        Ok(())
    }
}
