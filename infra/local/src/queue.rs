//! The queues between functions, in one SQLite file that stands in for SQS.
//!
//! A message that was sent stays until its handling was confirmed. Received messages are leased: they are
//! hidden for a while, and for the process that received them only, so that a killed process loses nothing.
//! Messages arrive at least once; one in twenty arrives twice on purpose.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use app::port::{Message, PortError, Queue, QueueName};
use async_trait::async_trait;
use rusqlite::Connection;
use tokio::{
    sync::Notify,
    task::{JoinError, spawn_blocking},
    time::timeout,
};

use crate::{
    clock::real_ms,
    queue_file::{self, Counts, DeadLetter, NewMessage, Received},
};

/// All queues.
pub const QUEUES: [QueueName; 3] = [QueueName::Usage, QueueName::Periods, QueueName::Outbox];

/// What a queue is called in its ARN, in the file and in JSON.
pub fn queue_name(queue: QueueName) -> &'static str {
    match queue {
        QueueName::Usage => "usage",
        QueueName::Periods => "periods",
        QueueName::Outbox => "outbox",
    }
}

/// Why a queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The file.
    #[error("the queue file failed")]
    File(#[from] rusqlite::Error),
    /// The process is going down.
    #[error("the queue was interrupted")]
    Interrupted(#[from] JoinError),
}

/// How a queue stands.
#[derive(Clone, Debug)]
pub struct QueueState {
    /// Which.
    pub queue: QueueName,
    /// Its messages.
    pub counts: Counts,
    /// The newest of its dead letters, newest first.
    pub dead_letters: Vec<DeadLetter>,
}

/// The durable queues. Cheap to clone.
#[derive(Clone)]
pub struct LocalQueue {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Mutex<Connection>,
    /// Wake the worker of each queue.
    usage: Notify,
    periods: Notify,
    outbox: Notify,
    /// Wakes whoever waits for the queues to become empty.
    settled: Notify,
}

impl LocalQueue {
    /// The queues in the file at `path`, made on first use. What an earlier process had received and not
    /// confirmed is there again.
    pub fn open(path: &Path) -> Result<Self, QueueError> {
        let connection = Mutex::new(queue_file::open(path, real_ms())?);
        let shared = Shared {
            connection,
            usage: Notify::new(),
            periods: Notify::new(),
            outbox: Notify::new(),
            settled: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes up to `max` visible messages, and of these no more than a few hundred KB, and hides them.
    pub async fn receive(&self, queue: QueueName, max: usize) -> Result<Vec<Received>, QueueError> {
        self.run(move |file| queue_file::receive(file, queue, max, real_ms())).await
    }

    /// Confirms that messages were handled. They are gone, but for the few that come a second time.
    pub async fn delete(&self, queue: QueueName, ids: Vec<i64>) -> Result<(), QueueError> {
        let is_repeated = self.run(move |file| queue_file::delete(file, &ids, real_ms())).await?;
        if is_repeated {
            self.wake(queue).notify_one();
        }
        self.shared.settled.notify_waiters();
        Ok(())
    }

    /// Says that messages were not handled because of `reason`. They come again after a while that
    /// doubles each time, and become dead letters after the fifth.
    pub async fn retry(&self, ids: Vec<i64>, reason: String) -> Result<(), QueueError> {
        self.run(move |file| queue_file::retry(file, &ids, &reason, real_ms())).await?;
        self.shared.settled.notify_waiters();
        Ok(())
    }

    /// Waits until `queue` may have a visible message.
    pub async fn wait(&self, queue: QueueName) -> Result<(), QueueError> {
        let next = self.run(move |file| queue_file::next_visible_ms(file, queue)).await?;
        let is_sent = self.wake(queue).notified();
        match next {
            None => is_sent.await,
            Some(next_ms) => {
                let wait_ms = u64::try_from(next_ms - real_ms()).unwrap_or(0);
                let _ = timeout(Duration::from_millis(wait_ms), is_sent).await;
            }
        }
        Ok(())
    }

    /// Waits until nothing is left in any queue, in flight or delayed. Gives up, with `false`, once their
    /// sum has not come to a new low for as long as `patience`.
    pub async fn wait_until_empty(&self, patience: Duration) -> Result<bool, QueueError> {
        let (mut fewest, mut since) = (u64::MAX, Instant::now());
        loop {
            // Asked for before the look, so that nothing slips between the look and the wait.
            let is_settled = self.shared.settled.notified();
            let count = self.run(|file| queue_file::count(file)).await?;
            match count {
                0 => return Ok(true),
                _ if count < fewest => (fewest, since) = (count, Instant::now()),
                _ if since.elapsed() > patience => return Ok(false),
                _ => {}
            }
            let _ = timeout(Duration::from_millis(500), is_settled).await;
        }
    }

    /// How all queues stand.
    pub async fn state(&self) -> Result<Vec<QueueState>, QueueError> {
        let state = |file: &mut Connection| {
            let of_queue = |queue| {
                let counts = queue_file::counts(file, queue, real_ms())?;
                let dead_letters = queue_file::dead_letters(file, queue)?;
                Ok(QueueState { queue, counts, dead_letters })
            };
            QUEUES.into_iter().map(of_queue).collect()
        };
        self.run(state).await
    }

    /// Sends messages, all or none.
    async fn send_rows(&self, rows: Vec<NewMessage>) -> Result<(), QueueError> {
        let queues: HashSet<_> = rows.iter().map(|row| row.queue).collect();
        self.run(move |file| queue_file::send(file, &rows, real_ms())).await?;
        for queue in queues {
            self.wake(queue).notify_one();
        }
        Ok(())
    }

    /// Sends bodies of any kind.
    #[cfg(test)]
    pub(crate) async fn send_bodies(&self, queue: QueueName, bodies: &[&str]) {
        let row = |body: &&str| NewMessage { queue, organization: None, body: (*body).to_owned() };
        self.send_rows(bodies.iter().map(row).collect()).await.unwrap();
    }

    fn wake(&self, queue: QueueName) -> &Notify {
        match queue {
            QueueName::Usage => &self.shared.usage,
            QueueName::Periods => &self.shared.periods,
            QueueName::Outbox => &self.shared.outbox,
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let shared = self.shared.clone();
        let work = move || work(&mut shared.connection.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(spawn_blocking(work).await??)
    }
}

#[async_trait]
impl Queue for LocalQueue {
    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let rows = messages.iter().map(|message| NewMessage {
            queue: message.queue(),
            organization: message.organization().map(|organization| organization.to_string()),
            body: wire::message::encode(message),
        });
        let sent = self.send_rows(rows.collect()).await;
        // One transaction: all of them or none.
        let verdict = || match &sent {
            Ok(()) => Ok(()),
            Err(error) => Err(PortError::new("the queue", error.to_string())),
        };
        messages.iter().map(|_| verdict()).collect()
    }

    async fn bury(&self, queue: QueueName, body: &str, reason: &str) -> Result<(), PortError> {
        let (body, reason) = (body.to_owned(), reason.to_owned());
        self.run(move |file| queue_file::bury(file, queue_name(queue), &body, &reason, 1, real_ms()))
            .await
            .map_err(|error| PortError::new("the dead-letter queue", error))
    }
}
