//! The master key: a file that stands in for KMS. Data keys are wrapped as Fernet tokens, with the context
//! they belong to inside, since Fernet binds none.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use app::port::{DataKey, Keys, PortError};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use fernet::Fernet;
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Wraps data keys under the master key in a file.
pub struct FileKeys {
    fernet: Fernet,
}

impl FileKeys {
    /// The master key in `path`, made on first use and readable by its owner only.
    ///
    /// Errors: if it cannot be read or made, or has not 32 bytes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let key = match fs::read(path) {
            Ok(key) => Zeroizing::new(key),
            Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(error),
        };
        let text = Zeroizing::new(URL_SAFE.encode(&*key));
        let fernet = Fernet::new(&text).ok_or_else(|| {
            io::Error::new(
                ErrorKind::InvalidData,
                format!("a master key has {KEY_BYTES} bytes, not {}", key.len()),
            )
        })?;
        Ok(Self { fernet })
    }
}

/// Makes the master key. It is on the disk before anything is wrapped under it.
fn make(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let key = random_key()?;
    let temporary = path.with_extension("key.tmp");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(key)
}

fn random_key() -> io::Result<Zeroizing<Vec<u8>>> {
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

#[async_trait]
impl Keys for FileKeys {
    async fn generate(&self, context: &str) -> Result<DataKey, PortError> {
        let plain = random_key().map_err(|error| PortError::new("the random generator", error))?;
        let mut inside = Zeroizing::new(context.as_bytes().to_vec());
        inside.reserve_exact(KEY_BYTES);
        inside.extend_from_slice(&plain);
        Ok(DataKey { plain, wrapped: self.fernet.encrypt(&inside).into_bytes() })
    }

    async fn unwrap(&self, wrapped: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>, PortError> {
        let failed = |cause: &'static str| PortError::new("the master key", cause);
        let token = std::str::from_utf8(wrapped).map_err(|_| failed("the wrapped key is not a token"))?;
        let inside =
            self.fernet.decrypt(token).map_err(|_| failed("the data key is of another master key"))?;
        let inside = Zeroizing::new(inside);
        let key = inside.strip_prefix(context.as_bytes()).filter(|key| key.len() == KEY_BYTES);
        key.map(|key| Zeroizing::new(key.to_vec())).ok_or_else(|| failed("the data key belongs elsewhere"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_data_key_opens_only_in_its_context_and_under_its_master_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = FileKeys::open(&path).unwrap().generate("organization 1").await.unwrap();
        assert_eq!(made.plain.len(), KEY_BYTES);

        let keys = FileKeys::open(&path).unwrap();
        assert_eq!(keys.unwrap(&made.wrapped, "organization 1").await.unwrap(), made.plain);
        for other in ["organization 2", "organization 11", "organization ", "", "signing"] {
            assert!(keys.unwrap(&made.wrapped, other).await.is_err(), "{other}");
        }
        assert!(keys.unwrap(b"\xff", "organization 1").await.is_err());

        let others = FileKeys::open(&folder.path().join("other.key")).unwrap();
        assert!(others.unwrap(&made.wrapped, "organization 1").await.is_err());
    }

    #[test]
    fn the_master_key_is_its_owners_alone_and_has_32_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        FileKeys::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap().len(), KEY_BYTES);
        fs::write(&path, "short").unwrap();
        assert!(FileKeys::open(&path).is_err());
    }
}
