//! The bus: a log with one JSON line per event.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use app::port::{Bus, PortError};
use async_trait::async_trait;
use domain::{id::OrganizationId, outbox::OutboxEntry};
use tokio::task::spawn_blocking;

/// Appends events to a file.
pub struct EventLog {
    file: Arc<Mutex<File>>,
}

impl EventLog {
    /// The log in `path`, made on first use.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Arc::new(Mutex::new(file)) })
    }
}

#[async_trait]
impl Bus for EventLog {
    async fn publish(&self, organization: OrganizationId, entry: &OutboxEntry) -> Result<(), PortError> {
        let mut line = wire::message::event(organization, entry);
        line.push('\n');
        let file = self.file.clone();
        let write = move || file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        let written = spawn_blocking(write).await.map_err(|error| PortError::new("the event log", error))?;
        written.map_err(|error| PortError::new("the event log", error))
    }
}
