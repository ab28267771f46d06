//! An embedded DynamoDB on a loopback port.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use dynoxide::{Database, server};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::line::Line;

/// A DynamoDB of its own, gone when it is dropped (but for the file, if it has one).
#[derive(Debug)]
pub struct EmbeddedDynamo {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl EmbeddedDynamo {
    /// One in memory.
    pub async fn in_memory() -> io::Result<Self> {
        Self::serve(Database::memory().map_err(io::Error::other)?).await
    }

    /// One on a file, which keeps everything.
    pub async fn on_file(path: &Path) -> io::Result<Self> {
        let path = path.to_str().ok_or_else(|| io::Error::other("the path is not UTF-8"))?;
        Self::serve(Database::new(path).map_err(io::Error::other)?).await
    }

    async fn serve(database: Database) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            // Fails only when the listener does, and then every call says so.
            let _ = server::serve_with_shutdown(listener, database, std::future::pending()).await;
        });
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::from_conf(self.config().build())
    }

    /// A client whose requests go over `line`.
    pub fn client_over(&self, line: &Line) -> Client {
        // Lost requests are tried again soon: nobody is spared by waiting here.
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(2));
        Client::from_conf(self.config().http_client(line.clone()).retry_config(retries).build())
    }

    fn config(&self) -> aws_sdk_dynamodb::config::Builder {
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "embedded"))
            .endpoint_url(self.endpoint())
    }
}

impl Drop for EmbeddedDynamo {
    fn drop(&mut self) {
        self.server.abort();
    }
}
