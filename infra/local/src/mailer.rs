//! The mailer: a folder where every mail is a file to open with a mail program.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use app::port::{Mail, Mailer, PortError};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::file;

/// Writes mails into a folder: `<mail id>.eml`, and beside it `<mail id>.json`, which says what it is.
#[derive(Clone, Debug)]
pub struct OutboxFolder {
    folder: PathBuf,
}

/// One mail that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMail {
    /// To whom.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// The invoice it carries.
    pub invoice_id: String,
    /// Where the whole message is, as MIME.
    pub file: PathBuf,
}

impl OutboxFolder {
    /// The folder at `path`, made on first use.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { folder: path.to_owned() })
    }

    /// Everything that was sent, oldest first: the ids of mails begin with their time.
    pub async fn list(&self) -> io::Result<Vec<SentMail>> {
        let folder = self.folder.clone();
        spawn_blocking(move || list(&folder)).await.map_err(io::Error::other)?
    }
}

fn list(folder: &Path) -> io::Result<Vec<SentMail>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read(&path)?;
        serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display())))
    };
    paths.into_iter().map(read).collect()
}

/// Writes the mail, then what it is, so that nothing is listed before it is there. The same mail again
/// takes the place of the first.
fn write(folder: &Path, mail: &Mail) -> io::Result<()> {
    let file = folder.join(format!("{}.eml", mail.id));
    file::replace(&file, &mail.mime)?;
    let sent = SentMail {
        to: mail.to.clone(),
        subject: mail.subject.clone(),
        invoice_id: mail.invoice.to_string(),
        file,
    };
    file::replace(&folder.join(format!("{}.json", mail.id)), &serde_json::to_vec(&sent)?)
}

#[async_trait]
impl Mailer for OutboxFolder {
    async fn send(&self, mail: &Mail) -> Result<(), PortError> {
        let (folder, mail) = (self.folder.clone(), mail.clone());
        let written = spawn_blocking(move || write(&folder, &mail)).await;
        written
            .map_err(|error| PortError::new("the outbox folder", error))?
            .map_err(|error| PortError::new("the outbox folder", error))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::id::Id;

    use super::*;

    #[tokio::test]
    async fn the_same_mail_again_is_one_mail_and_the_oldest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let mailer = OutboxFolder::open(&folder.path().join("outbox")).unwrap();
        let mail = |second: i64, subject: &str| Mail {
            id: Id::from_parts(DateTime::from_timestamp(second, 0).unwrap(), [7; 10]),
            to: "ada@example.com".into(),
            subject: subject.into(),
            invoice: Id::from_parts(DateTime::UNIX_EPOCH, [1; 10]),
            mime: format!("Subject: {subject}\r\n\r\nhello").into_bytes(),
        };
        for (second, subject) in [(2, "second"), (1, "first"), (2, "second")] {
            mailer.send(&mail(second, subject)).await.unwrap();
        }

        let sent = mailer.list().await.unwrap();
        assert_eq!(sent.iter().map(|mail| mail.subject.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(sent[0].invoice_id, mail(1, "").invoice.to_string());
        assert_eq!(fs::read(&sent[0].file).unwrap(), mail(1, "first").mime);
        assert_eq!(fs::read_dir(folder.path().join("outbox")).unwrap().count(), 4);
    }
}
