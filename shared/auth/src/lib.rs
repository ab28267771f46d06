//! Who calls, and how that is proven: passwords, session tokens, API keys, sealed values.
//!
//! Everything here is computed from its arguments: secrets come in as bytes from the `Random` port, time
//! as `now`.

mod access_token;
mod actor;
mod api_key;
mod password;
mod public_token;
mod refresh_token;
mod sealed;

pub use access_token::{ACCESS_TOKEN_VALID, AccessClaims, SigningKey};
pub use actor::{Actor, Credential, MissingScope};
pub use api_key::{NewSecret, hash_api_key, hexadecimal, new_api_key};
pub use password::{PasswordHasher, WeakPassword, check_password};
pub use public_token::{NewPublicToken, hash_public_token, new_public_token};
pub use refresh_token::{REFRESH_TOKEN_VALID, RefreshToken};
pub use sealed::{FieldKey, SealError};
