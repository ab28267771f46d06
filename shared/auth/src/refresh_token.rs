//! Refresh tokens: where the session is, and 256 random bits of which only a hash is kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Duration;
use domain::id::{Id, OrganizationId, SessionId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{access_token::SigningKey, api_key::hexadecimal};

/// How long a session can be refreshed after it began.
pub const REFRESH_TOKEN_VALID: Duration = Duration::days(7);

/// A refresh token.
pub struct RefreshToken {
    /// Whose session.
    pub organization: OrganizationId,
    /// Which.
    pub session: SessionId,
    secret: [u8; 32],
}

impl RefreshToken {
    /// A token of a session.
    pub fn new(organization: OrganizationId, session: SessionId, secret: [u8; 32]) -> Self {
        Self { organization, session, secret }
    }

    /// The token after this one, which is always the same: whoever lost an answer, or asks twice at once, gets it again.
    /// It follows from the key, too, so that nobody else can tell it. `None` as for [`SigningKey::issue`].
    pub fn next(&self, key: &SigningKey) -> Option<Self> {
        let derived = URL_SAFE_NO_PAD.decode(key.derive(&self.text())?).ok()?;
        Some(Self { secret: derived.try_into().ok()?, ..*self })
    }

    /// What the cookie holds.
    pub fn text(&self) -> String {
        let (organization, session) = (self.organization.uuid(), self.session.uuid());
        let bytes = [organization.as_bytes().as_slice(), session.as_bytes(), &self.secret].concat();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what a cookie holds; `None` if it is no refresh token.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (organization, rest) = bytes.split_at_checked(16)?;
        let (session, secret) = rest.split_at_checked(16)?;
        Some(Self {
            organization: Id::from_uuid(Uuid::from_slice(organization).ok()?),
            session: Id::from_uuid(Uuid::from_slice(session).ok()?),
            secret: secret.try_into().ok()?,
        })
    }

    /// What is kept of it.
    pub fn hash(&self) -> String {
        hexadecimal(&Sha256::digest(self.secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_that_follows_by_each_key() {
        let at = "2025-01-01T00:00:00Z".parse().unwrap();
        let token = |session, secret| {
            RefreshToken::new(Id::from_parts(at, [1; 10]), Id::from_parts(at, session), secret)
        };
        let next = |token: &RefreshToken, key| token.next(&SigningKey::new(&[key; 32])).unwrap().text();
        let first = token([2; 10], [5; 32]);
        assert_eq!(next(&first, 1), next(&token([2; 10], [5; 32]), 1));
        let second = first.next(&SigningKey::new(&[1; 32])).unwrap();
        assert_eq!((second.organization, second.session), (first.organization, first.session));
        let others = [
            next(&first, 1),
            next(&first, 2),
            next(&second, 1),
            next(&token([3; 10], [5; 32]), 1),
            first.text(),
        ];
        assert_eq!(others.iter().collect::<std::collections::BTreeSet<_>>().len(), others.len());
    }

    #[test]
    fn a_token_survives_the_cookie() {
        let at = "2025-01-01T00:00:00Z".parse().unwrap();
        let token = RefreshToken::new(Id::from_parts(at, [1; 10]), Id::from_parts(at, [2; 10]), [5; 32]);
        let read = RefreshToken::from_text(&token.text()).unwrap();
        assert_eq!(
            (read.organization, read.session, read.hash()),
            (token.organization, token.session, token.hash())
        );
        for wrong in ["", "abc", &token.text()[4..], &format!("{}AAAA", token.text())] {
            assert!(RefreshToken::from_text(wrong).is_none(), "{wrong}");
        }
    }
}
