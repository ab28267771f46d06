//! Being told to stop.

use tokio::sync::watch;

/// Knows whether the platform is to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    requested: watch::Receiver<bool>,
}

impl Stop {
    /// One that has not been requested yet, and what requests it: sending `true`, or being dropped.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (request, requested) = watch::channel(false);
        (request, Self { requested })
    }

    /// Whether it was requested.
    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow() || self.requested.has_changed().is_err()
    }

    /// Returns once it was requested.
    pub(crate) async fn requested(&self) {
        // Fails only if the sender was dropped.
        let _ = self.requested.clone().wait_for(|is_requested| *is_requested).await;
    }
}
