//! E-mail, through SES.

use app::port::{Mail, Mailer, PortError};
use async_trait::async_trait;
use aws_sdk_ses::{Client, primitives::Blob, types::RawMessage};

use crate::error::failed;

/// Sends e-mail through SES, which must have verified the sender that a mail names.
#[derive(Clone, Debug)]
pub struct SesMailer {
    client: Client,
}

const SEND: &str = "sending through SES";

impl SesMailer {
    /// A mailer.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Mailer for SesMailer {
    /// Goes to `mail.to` and nobody else: with destinations given, SES reads none from the headers.
    async fn send(&self, mail: &Mail) -> Result<(), PortError> {
        let message = RawMessage::builder().data(Blob::new(mail.mime.as_slice())).build();
        let message = message.map_err(|error| PortError::new(SEND, error))?;
        let request = self.client.send_raw_email().destinations(&mail.to).raw_message(message);
        request.send().await.map_err(|error| failed(SEND, &error))?;
        Ok(())
    }
}
