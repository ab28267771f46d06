//! API keys: `sk_live_` or `sk_test_`, and 256 random bits in hexadecimal. Only a hash is kept; with that much entropy a
//! fast one is enough.

use domain::test_clock::Mode;
use sha2::{Digest, Sha256};

/// A key that was just made. Shown once, then forgotten.
pub struct NewSecret {
    /// The key as its owner gets it.
    pub text: String,
    /// What is kept of it.
    pub hash: String,
    /// The first characters, to tell keys apart.
    pub prefix: String,
}

/// The key that `entropy` makes, for an organization in `mode`.
pub fn new_api_key(entropy: [u8; 32], mode: Mode) -> NewSecret {
    let mode = match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    };
    let secret = format!("{mode}_{}", hexadecimal(&entropy));
    let text = format!("sk_{secret}");
    NewSecret { prefix: text.chars().take(12).collect(), hash: hexadecimal(&Sha256::digest(&secret)), text }
}

/// The hash that a key is found by; `None` for text that cannot be a key. `sk_` and the documented `org_`
/// before the same secret are the same key.
pub fn hash_api_key(text: &str) -> Option<String> {
    let secret = text.strip_prefix("sk_").or_else(|| text.strip_prefix("org_"))?;
    let digits = secret.strip_prefix("live_").or_else(|| secret.strip_prefix("test_"))?;
    let is_key = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_key.then(|| hexadecimal(&Sha256::digest(secret)))
}

/// Bytes as digits, in lower case.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_either_documented_prefix() {
        let test = new_api_key([7; 32], Mode::Test);
        assert!(test.text.starts_with("sk_test_0707"));
        assert_eq!(hash_api_key(&test.text.replacen("sk_", "org_", 1)), Some(test.hash));
        let key = new_api_key([7; 32], Mode::Live);
        assert!(key.text.starts_with("sk_live_0707"));
        assert_eq!(hash_api_key(&key.text), Some(key.hash.clone()));
        assert_eq!(hash_api_key(&key.text.replacen("sk_", "org_", 1)), Some(key.hash.clone()));
        assert_ne!(hash_api_key(&key.text.replacen("live", "test", 1)), Some(key.hash));
        assert!(!key.text.contains(&new_api_key([7; 32], Mode::Live).hash));
        for wrong in ["", "sk_live_", "sk_live_zz", "live_07", &key.text[1..], &format!("{}0", key.text)] {
            assert_eq!(hash_api_key(wrong), None, "{wrong}");
        }
    }
}
