//! Tokens of public pages: 256 random bits in an address. Only a hash is kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::api_key::hexadecimal;

/// A token that was just made.
pub struct NewPublicToken {
    /// What the address holds. Shown once, then forgotten.
    pub text: String,
    /// What is kept of it.
    pub hash: String,
}

/// The token that `entropy` makes.
pub fn new_public_token(entropy: [u8; 32]) -> NewPublicToken {
    NewPublicToken { text: URL_SAFE_NO_PAD.encode(entropy), hash: hexadecimal(&Sha256::digest(entropy)) }
}

/// The hash that a token is found by; `None` for text that cannot be a token.
pub fn hash_public_token(text: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == 32).then(|| hexadecimal(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_does_not_show_it() {
        let token = new_public_token([7; 32]);
        assert_eq!(hash_public_token(&token.text), Some(token.hash.clone()));
        assert_ne!(new_public_token([8; 32]).hash, token.hash);
        for wrong in ["", "x", &token.text[1..], &format!("{}A", token.text), "../../etc"] {
            assert_eq!(hash_public_token(wrong), None, "{wrong}");
        }
    }
}
