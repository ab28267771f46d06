//! The scheduler: what EventBridge does with the real clock, and what moves the movable one.

use std::{io, sync::Arc, time::Duration};

use app::{AppError, Platform, port::Clock};
use chrono::{DateTime, Utc};
use store::{Due, DueKind, StoreError};
use tokio::{
    sync::Mutex,
    task::JoinError,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    clock::LocalClock,
    queue::{LocalQueue, QueueError},
    stop::Stop,
};

/// How often the sweeps run with the real clock. In the cloud it is every minute.
const SWEEP: Duration = Duration::from_secs(3);
/// How long the queues may stand still before waiting for them is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a sweep that fails is tried before the next thing.
const TRIES: u32 = 3;
/// What the clock stops for on its way.
const DUE: [DueKind; 4] = [DueKind::PeriodEnd, DueKind::GraceEnd, DueKind::PaymentDue, DueKind::Outbox];
/// Due things looked at per shard.
const DUE_MAX: i32 = 50;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The clock is the real one.
    #[error("the clock is the real one: start with --clock to move it")]
    NotMovable,
    /// The clock would move backwards.
    #[error("the clock is already at {}", wire::TimeOut(*.0).text())]
    Backwards(DateTime<Utc>),
    /// The queues do not become empty.
    #[error("the queues do not become empty")]
    NotEmpty,
    /// The clock's file.
    #[error("the clock could not be moved")]
    Clock(#[from] io::Error),
    /// The queues.
    #[error("the queues failed")]
    Queue(#[from] QueueError),
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The platform is being stopped. What is left is done after the next start.
    #[error("the platform is being stopped")]
    Stopping,
    /// A defect.
    #[error("the scheduler was interrupted")]
    Interrupted(#[from] JoinError),
}

/// Runs what is due. Cheap to clone; one thing at a time.
#[derive(Clone)]
pub struct Scheduler {
    platform: Arc<Platform>,
    clock: Arc<LocalClock>,
    queue: LocalQueue,
    turn: Arc<Mutex<()>>,
    stop: Stop,
}

/// Something that is due.
type Entry = (DueKind, Due);

impl Scheduler {
    /// The scheduler of a platform whose clock and queue these are, until it is stopped.
    pub(crate) fn new(
        platform: Arc<Platform>,
        clock: Arc<LocalClock>,
        queue: LocalQueue,
        stop: Stop,
    ) -> Self {
        Self { platform, clock, queue, turn: Arc::default(), stop }
    }

    /// With the real clock, sweeps again and again until the platform is stopped. With a movable one, makes up
    /// once for what a killed process left undone.
    pub(crate) async fn run(self) {
        if self.clock.is_movable() {
            if let Err(error) = self.catch_up().await {
                tracing::error!(cause = ?error, "could not catch up: {error}");
            }
            return;
        }
        let mut sweeps = interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = sweeps.tick() => self.sweep().await,
                () = self.stop.requested() => return,
            }
        }
    }

    /// Moves the movable clock to `to`, and runs everything that falls due on the way, in order.
    ///
    /// Errors: `NotMovable`, `Backwards`, or what failed; the clock then stays where that was, and the
    /// same call goes on from there.
    pub async fn advance(&self, to: DateTime<Utc>) -> Result<(), SchedulerError> {
        let scheduler = self.clone();
        // In a task of its own, since a client that hangs up must not leave it half done.
        tokio::spawn(async move { scheduler.advance_alone(to).await }).await?
    }

    /// Waits until every queue is empty and everything that is to be told was told.
    ///
    /// Errors: `NotEmpty` once nothing has moved for a minute, or what failed.
    pub async fn drain(&self) -> Result<(), SchedulerError> {
        let scheduler = self.clone();
        tokio::spawn(async move { scheduler.drain_alone().await }).await?
    }

    async fn sweep(&self) {
        let _turn = self.turn.lock().await;
        self.close_due().await;
        self.finalize_due().await;
    }

    async fn catch_up(&self) -> Result<(), SchedulerError> {
        let _turn = self.turn.lock().await;
        self.run_until(self.clock.now()).await
    }

    async fn advance_alone(&self, to: DateTime<Utc>) -> Result<(), SchedulerError> {
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        if !self.clock.is_movable() {
            return Err(SchedulerError::NotMovable);
        }
        if to < now {
            return Err(SchedulerError::Backwards(now));
        }
        self.run_until(to).await
    }

    /// Goes from one due time to the next. What cannot be done is left behind, since nothing after it would
    /// ever be done either; each later sweep tries it again.
    async fn run_until(&self, to: DateTime<Utc>) -> Result<(), SchedulerError> {
        self.queues_emptied().await?;
        let (mut tried, mut stuck) = (Vec::new(), Vec::new());
        loop {
            let due = self.list_due(&DUE, to).await?;
            let left = until(&due, self.clock.now());
            if left == tried && !left.is_empty() {
                tracing::warn!(entries = ?left, "{} things are due and cannot be done", left.len());
                stuck = left;
            }
            let Some((_, next)) = due.iter().find(|entry| !stuck.contains(entry)) else { break };
            self.clock.set(next.at.max(self.clock.now()))?;
            tried = until(&due, self.clock.now());
            self.do_due().await?;
        }
        self.clock.set(to)?;
        self.do_due().await
    }

    async fn drain_alone(&self) -> Result<(), SchedulerError> {
        let _turn = self.turn.lock().await;
        self.queues_emptied().await?;
        let mut tried = Vec::new();
        loop {
            self.finalize_due().await;
            self.queues_emptied().await?;
            let left = self.list_due(&[DueKind::GraceEnd, DueKind::Outbox], self.clock.now()).await?;
            if left.is_empty() || left == tried {
                return Ok(());
            }
            tried = left;
        }
    }

    /// Does what is due now, and what follows from it through the queues.
    async fn do_due(&self) -> Result<(), SchedulerError> {
        self.close_due().await;
        self.queues_emptied().await?;
        self.finalize_due().await;
        self.queues_emptied().await
    }

    async fn close_due(&self) {
        for _ in 0..TRIES {
            if is_done("close-periods", close_periods::tick(&self.platform).await).await {
                return;
            }
        }
    }

    async fn finalize_due(&self) {
        for _ in 0..TRIES {
            if is_done("finalize-invoices", finalize_invoices::tick(&self.platform).await).await {
                return;
            }
        }
    }

    /// Returns when every queue is empty.
    async fn queues_emptied(&self) -> Result<(), SchedulerError> {
        let is_empty = tokio::select! {
            is_empty = self.queue.wait_until_empty(PATIENCE) => is_empty?,
            () = self.stop.requested() => return Err(SchedulerError::Stopping),
        };
        if is_empty { Ok(()) } else { Err(SchedulerError::NotEmpty) }
    }

    /// What is due by `cutoff`, oldest first.
    async fn list_due(&self, kinds: &[DueKind], cutoff: DateTime<Utc>) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for kind in kinds {
            let due = self.platform.store.list_due(*kind, cutoff, DUE_MAX).await?;
            entries.extend(due.into_iter().map(|due| (*kind, due)));
        }
        entries.sort_by_key(|(_, due)| *due);
        Ok(entries)
    }
}

fn until(due: &[Entry], now: DateTime<Utc>) -> Vec<Entry> {
    due.iter().filter(|(_, due)| due.at <= now).copied().collect()
}

/// Whether a sweep was done; if not, says so and waits a moment.
async fn is_done(function: &str, result: Result<(), AppError>) -> bool {
    let Err(error) = result else { return true };
    tracing::warn!(cause = ?error, "{function}: {error}");
    sleep(Duration::from_millis(200)).await;
    false
}
