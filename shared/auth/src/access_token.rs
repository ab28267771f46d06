//! Access tokens: JWTs of one kind, signed with one algorithm by one key.

use chrono::{DateTime, Duration, Utc};
use domain::id::{OrganizationId, SessionId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, decode, encode};
use serde::{Deserialize, Serialize};

/// How long an access token is valid.
pub const ACCESS_TOKEN_VALID: Duration = Duration::minutes(15);

/// Told apart from every other kind of token that is ever signed.
const KIND: &str = "access+jwt";
const ISSUER: &str = "fluxrate";

/// What an access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose organization.
    pub organization: OrganizationId,
    /// Who.
    pub user: UserId,
    /// The session it was issued in.
    pub session: SessionId,
}

/// Signs and checks access tokens.
pub struct SigningKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    org: String,
    sid: String,
    iat: i64,
    exp: i64,
}

impl SigningKey {
    /// A key of 256 random bits.
    pub fn new(secret: &[u8]) -> Self {
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret) }
    }

    /// A token that says `claims` for [`ACCESS_TOKEN_VALID`]. `None` if it cannot be signed, which does
    /// not happen with a key of this kind.
    pub fn issue(&self, claims: AccessClaims, now: DateTime<Utc>) -> Option<String> {
        let header = Header { typ: Some(KIND.to_owned()), ..Header::new(Algorithm::HS256) };
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: KIND.to_owned(),
            sub: claims.user.to_string(),
            org: claims.organization.to_string(),
            sid: claims.session.to_string(),
            iat: now.timestamp(),
            exp: (now + ACCESS_TOKEN_VALID).timestamp(),
        };
        encode(&header, &claims, &self.encoding).ok()
    }

    /// The bits that follow from `message` and this key, as the text of 32 bytes. No token is signed by them, since a
    /// token's text has no line. `None` as for [`Self::issue`].
    pub(crate) fn derive(&self, message: &str) -> Option<String> {
        crypto::sign(format!("derive\n{message}").as_bytes(), &self.encoding, Algorithm::HS256).ok()
    }

    /// What a token says, if it is one of ours and valid at `now`.
    pub fn read(&self, token: &str, now: DateTime<Utc>) -> Option<AccessClaims> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[KIND]);
        // Checked below against our own clock, which may be a movable one.
        validation.validate_exp = false;
        let token = decode::<Claims>(token, &self.decoding, &validation).ok()?;
        let claims = token.claims;
        let is_valid = token.header.typ.as_deref() == Some(KIND)
            && claims.iat <= now.timestamp() + CLOCK_SKEW_SECONDS
            && now.timestamp() < claims.exp;
        if !is_valid {
            return None;
        }
        Some(AccessClaims {
            organization: claims.org.parse().ok()?,
            user: claims.sub.parse().ok()?,
            session: claims.sid.parse().ok()?,
        })
    }
}

/// How far the clocks of two functions may differ.
const CLOCK_SKEW_SECONDS: i64 = 60;

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use domain::id::Id;
    use serde_json::{Value, json};

    use super::*;

    fn now() -> DateTime<Utc> {
        "2025-01-01T00:00:00Z".parse().unwrap()
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            organization: Id::from_parts(now(), [1; 10]),
            user: Id::from_parts(now(), [2; 10]),
            session: Id::from_parts(now(), [3; 10]),
        }
    }

    #[test]
    fn a_token_is_valid_for_a_quarter_of_an_hour() {
        let key = SigningKey::new(&[9; 32]);
        let token = key.issue(claims(), now()).unwrap();
        assert_eq!(key.read(&token, now()), Some(claims()));
        assert_eq!(key.read(&token, now() + Duration::seconds(899)), Some(claims()));
        assert_eq!(key.read(&token, now() + Duration::minutes(15)), None);
        assert_eq!(key.read(&token, now() - Duration::minutes(2)), None, "issued in the future");
        assert_eq!(SigningKey::new(&[8; 32]).read(&token, now()), None, "another key");
    }

    #[test]
    fn forged_tokens_are_refused() {
        let key = SigningKey::new(&[9; 32]);
        let token = key.issue(claims(), now()).unwrap();
        let [header, body, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut other: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
        other["org"] = json!("00000000-0000-7000-8000-000000000000");
        for forged in [
            format!("{header}.{}.{signature}", encode(&other)),
            format!("{}.{body}.", encode(&json!({"alg": "none", "typ": KIND}))),
            format!("{}.{body}.{signature}", encode(&json!({"alg": "HS384", "typ": KIND}))),
            format!("{}.{body}.{signature}", encode(&json!({"alg": "HS256", "typ": "JWT"}))),
            format!("{header}.{body}"),
            String::new(),
        ] {
            assert_eq!(key.read(&forged, now()), None, "{forged}");
        }
        // Rightly signed, but of another kind.
        let other_kind = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &other, &key.encoding).unwrap();
        assert_eq!(key.read(&other_kind, now()), None);
    }
}
