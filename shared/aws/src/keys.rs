//! The master key, in KMS.

use app::port::{DataKey, Keys, PortError};
use async_trait::async_trait;
use aws_sdk_kms::{Client, primitives::Blob, types::DataKeySpec};
use zeroize::Zeroizing;

use crate::error::{failed, not_configured};

/// A master key that never leaves KMS.
#[derive(Clone, Debug)]
pub struct KmsKeys {
    client: Client,
    key_id: Option<String>,
}

/// The name under which the encryption context holds what a data key is for. KMS opens a key only with the
/// context it was made with, and CloudTrail shows it.
const CONTEXT: &str = "fluxrate";

const GENERATE: &str = "making a data key in KMS";
const UNWRAP: &str = "opening a data key in KMS";

impl KmsKeys {
    /// The master key `key_id`. A function that needs no keys is given none.
    pub fn new(client: Client, key_id: Option<String>) -> Self {
        Self { client, key_id }
    }

    fn key_id(&self, what: &'static str) -> Result<&str, PortError> {
        self.key_id.as_deref().ok_or_else(|| not_configured(what, "the id of the KMS key"))
    }
}

#[async_trait]
impl Keys for KmsKeys {
    async fn generate(&self, context: &str) -> Result<DataKey, PortError> {
        let request = self.client.generate_data_key().key_id(self.key_id(GENERATE)?);
        let request = request.key_spec(DataKeySpec::Aes256).encryption_context(CONTEXT, context);
        let made = request.send().await.map_err(|error| failed(GENERATE, &error))?;
        let wrapped = made.ciphertext_blob.map(Blob::into_inner);
        let wrapped = wrapped.ok_or_else(|| PortError::new(GENERATE, "the answer holds no wrapped key"))?;
        Ok(DataKey { plain: plain(GENERATE, made.plaintext)?, wrapped })
    }

    /// Names the key, so that what another key wrapped is refused.
    async fn unwrap(&self, wrapped: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>, PortError> {
        let request = self.client.decrypt().key_id(self.key_id(UNWRAP)?);
        let request = request.ciphertext_blob(Blob::new(wrapped)).encryption_context(CONTEXT, context);
        let opened = request.send().await.map_err(|error| failed(UNWRAP, &error))?;
        plain(UNWRAP, opened.plaintext)
    }
}

fn plain(what: &'static str, blob: Option<Blob>) -> Result<Zeroizing<Vec<u8>>, PortError> {
    let plain = Zeroizing::new(blob.map(Blob::into_inner).unwrap_or_default());
    if plain.len() == 32 {
        Ok(plain)
    } else {
        Err(PortError::new(what, "the answer holds no key of 32 bytes"))
    }
}
