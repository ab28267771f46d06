//! Sealed values: Fernet tokens under a data key of the organization.
//!
//! Fernet binds no context, so a token could be moved to another row. The place it belongs to is therefore
//! inside, and checked when it is opened.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use domain::{customer::Sealed, id::OrganizationId};
use fernet::Fernet;
use zeroize::Zeroizing;

/// A key that seals the sensitive fields of one organization.
pub struct FieldKey {
    organization: OrganizationId,
    fernet: Fernet,
}

/// Why a sealed value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key has not 32 bytes.
    #[error("the data key has the wrong length")]
    KeyLength,
    /// Not a token of this key.
    #[error("the sealed value is damaged or of another key")]
    Damaged,
    /// A token of another field, thing or organization.
    #[error("the sealed value belongs elsewhere")]
    Misplaced,
}

impl FieldKey {
    /// The key of an organization: 16 bytes that sign, then 16 that encrypt.
    pub fn new(organization: OrganizationId, key: &[u8]) -> Result<Self, SealError> {
        let text = Zeroizing::new(URL_SAFE.encode(key));
        let fernet = Fernet::new(&text).ok_or(SealError::KeyLength)?;
        Ok(Self { organization, fernet })
    }

    /// Seals `value` into its place: `customer/<id>/tax_id`.
    pub fn seal(&self, place: &str, value: &str) -> Sealed {
        let plain = Zeroizing::new(format!("{}\n{place}\n{value}", self.organization));
        Sealed(self.fernet.encrypt(plain.as_bytes()))
    }

    /// Opens what was sealed into `place`.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<String, SealError> {
        let plain = Zeroizing::new(decrypt(&self.fernet, &sealed.0, None).ok_or(SealError::Damaged)?);
        let plain = std::str::from_utf8(&plain).map_err(|_| SealError::Damaged)?;
        let header = format!("{}\n{place}\n", self.organization);
        plain.strip_prefix(&header).map(str::to_owned).ok_or(SealError::Misplaced)
    }
}

/// Decrypts a token, if its base64 is exactly what an encoder writes. The library takes stray characters.
fn decrypt(fernet: &Fernet, token: &str, ttl_and_now: Option<(u64, u64)>) -> Option<Vec<u8>> {
    let bytes = URL_SAFE.decode(token).ok()?;
    if URL_SAFE.encode(bytes) != token {
        return None;
    }
    match ttl_and_now {
        None => fernet.decrypt(token).ok(),
        Some((ttl, now)) => fernet.decrypt_at_time(token, Some(ttl), now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use domain::id::Id;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_place() {
        let organization = |n| Id::from_uuid(uuid::Uuid::from_u128(n));
        let key = FieldKey::new(organization(1), &[7; 32]).unwrap();
        let sealed = key.seal("customer/1/tax_id", "DE123");
        assert!(!sealed.0.contains("DE123"));
        assert_ne!(sealed, key.seal("customer/1/tax_id", "DE123"), "each has its own nonce");
        assert_eq!(key.open("customer/1/tax_id", &sealed), Ok("DE123".into()));
        assert_eq!(key.open("customer/2/tax_id", &sealed), Err(SealError::Misplaced));
        let other = FieldKey::new(organization(2), &[7; 32]).unwrap();
        assert_eq!(other.open("customer/1/tax_id", &sealed), Err(SealError::Misplaced));
        let other = FieldKey::new(organization(1), &[8; 32]).unwrap();
        assert_eq!(other.open("customer/1/tax_id", &sealed), Err(SealError::Damaged));
        assert_eq!(FieldKey::new(organization(1), &[7; 31]).err(), Some(SealError::KeyLength));
    }

    /// A key, a token, the age it may have and the time it is, and the vector they come from.
    type Vector = (Fernet, String, Option<(u64, u64)>, Value);

    /// The vectors of the Fernet specification.
    fn vectors(json: &str) -> Vec<Vector> {
        let vectors: Vec<Value> = serde_json::from_str(json).unwrap();
        let read = |vector: Value| {
            let text = |name: &str| vector[name].as_str().unwrap().to_owned();
            let now = chrono::DateTime::parse_from_rfc3339(&text("now")).unwrap().timestamp().unsigned_abs();
            let ttl = vector["ttl_sec"].as_u64().map(|ttl| (ttl, now));
            (Fernet::new(&text("secret")).unwrap(), text("token"), ttl, vector)
        };
        vectors.into_iter().map(read).collect()
    }

    #[test]
    fn the_specifications_tokens_are_read() {
        for (fernet, token, ttl, vector) in vectors(include_str!("../tests/fernet/verify.json")) {
            let plain = decrypt(&fernet, &token, ttl).unwrap();
            assert_eq!(Some(plain.as_slice()), vector["src"].as_str().map(str::as_bytes));
        }
    }

    #[test]
    fn the_specifications_invalid_tokens_are_refused() {
        let vectors = vectors(include_str!("../tests/fernet/invalid.json"));
        assert_eq!(vectors.len(), 11);
        for (fernet, token, ttl, vector) in vectors {
            assert_eq!(decrypt(&fernet, &token, ttl), None, "{}", vector["desc"]);
        }
    }
}
