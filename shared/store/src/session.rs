//! Sessions: lines of refresh tokens.

use domain::{
    id::{OrganizationId, SessionId},
    user::Session,
};

use crate::{
    client::Store,
    error::{StoreError, unavailable},
    item::{Item, Reader},
    keys,
};

impl Store {
    /// Puts a session over the version that was read; a new one has version 0.
    ///
    /// Errors: `Conflict` if it was refreshed meanwhile.
    pub async fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        let (token_before, replaced_at) = session.replaced.clone().unzip();
        let item = Item::new(keys::session(session.organization, session.id), "session")
            .number("version", session.version + 1)
            .display("id", session.id)
            .display("organization", session.organization)
            .display("user", session.user)
            .text("token_hash", &session.token_hash)
            .optional("token_before", token_before)
            .optional_time("replaced_at", replaced_at)
            .time("expires_at", session.expires_at)
            .number("ttl", session.expires_at.timestamp().unsigned_abs());
        self.put_over(&self.core_table, item, session.version).await
    }

    /// A session, unless it was ended.
    pub async fn find_session(
        &self,
        organization: OrganizationId,
        id: SessionId,
    ) -> Result<Option<Session>, StoreError> {
        let Some(item) = self.get(keys::session(organization, id)).await? else { return Ok(None) };
        let item = Reader::new("session", &item)?;
        Ok(Some(Session {
            id: item.parse("id")?,
            organization: item.parse("organization")?,
            user: item.parse("user")?,
            token_hash: item.text("token_hash")?.to_owned(),
            replaced: item.owned("token_before")?.zip(item.optional_time("replaced_at")?),
            expires_at: item.time("expires_at")?,
            version: item.number("version")?,
        }))
    }

    /// Ends a session; ending it again changes nothing.
    pub async fn delete_session(
        &self,
        organization: OrganizationId,
        id: SessionId,
    ) -> Result<(), StoreError> {
        let key = keys::session(organization, id).attributes();
        let request = self.client.delete_item().table_name(&self.core_table).set_key(Some(key));
        request.send().await.map_err(unavailable)?;
        Ok(())
    }
}
