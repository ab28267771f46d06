//! The memory that folds may take for what they cannot sum up, such as distinct values: one bound for all that go
//! on in a process at the same time. What a fold cannot hold it counts in further passes.

use std::sync::{Arc, Mutex, PoisonError};

/// How much of it nobody has taken.
#[derive(Debug)]
pub(crate) struct Memory {
    free: Mutex<usize>,
}

/// What one fold may take. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    taken: usize,
}

/// The most bytes that are held at once: of UUIDs, more than a million.
const BYTES_MAX: usize = 96 * 1024 * 1024;

/// What a fold may take even if others have taken everything. Nobody waits for another: it may itself wait for who
/// does.
const SHARE_BYTES_MIN: usize = 4 * 1024 * 1024;

/// More than most events take: a value of 36 bytes takes 84, in a total, a step and a group.
const EVENT_BYTES: u64 = 256;

impl Default for Memory {
    fn default() -> Self {
        Self { free: Mutex::new(BYTES_MAX) }
    }
}

impl Memory {
    /// Of what is free, as much as so many events are likely to take; for any at least half, since nobody knows how
    /// long their values are.
    pub(crate) fn share(self: &Arc<Self>, events: u64) -> Share {
        let wanted = usize::try_from(events.saturating_mul(EVENT_BYTES)).unwrap_or(usize::MAX);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = if events == 0 { 0 } else { wanted.max(*free / 2).min(*free) };
        *free -= taken;
        Share { memory: self.clone(), taken }
    }
}

impl Share {
    /// How many bytes may be held.
    pub(crate) fn bytes(&self) -> usize {
        self.taken.max(SHARE_BYTES_MIN)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.memory.free.lock().unwrap_or_else(PoisonError::into_inner) += self.taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_at_the_same_time_share_one_bound() {
        let memory = Arc::new(Memory::default());
        let nothing = memory.share(0);
        let few = memory.share(10);
        assert_eq!((nothing.bytes(), few.bytes()), (SHARE_BYTES_MIN, BYTES_MAX / 2));
        let many = memory.share(u64::MAX);
        assert_eq!(many.bytes(), BYTES_MAX / 2);
        assert_eq!(memory.share(u64::MAX).bytes(), SHARE_BYTES_MIN, "the least is never refused");
        drop(few);
        let more = memory.share((BYTES_MAX as u64 / 3).div_ceil(EVENT_BYTES));
        assert_eq!(more.bytes().div_ceil(1024 * 1024), 32);
        drop((many, more));
        assert_eq!(memory.share(u64::MAX).bytes(), BYTES_MAX, "all of it is given back");
    }
}
