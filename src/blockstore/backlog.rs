//! What relaxed durability owes: blocks that were acknowledged and are not durable yet.
//!
//! Invariant: what was acknowledged is in the backlog until a sync that began later has succeeded, and
//! nothing more is acknowledged while the backlog is too old or too long.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a block may wait for its sync: what users are told that a power cut may cost.
const BACKLOG_AGE_MAX: Duration = Duration::from_secs(1);
/// Most bytes that wait: what a slow disk writes in about half a second.
const BACKLOG_BYTES_MAX: u64 = 64 << 20;

/// The blocks that wait, in sum.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Owed {
    /// When the first of them was acknowledged.
    since: Option<Instant>,
    bytes: u64,
}

/// The backlog of a store.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    owed: Mutex<Owed>,
    /// Held during a sync: another one must not find the backlog empty before what it held is durable.
    syncing: Mutex<()>,
}

impl Backlog {
    /// Notes blocks that are about to be acknowledged.
    pub(super) fn add(&self, bytes: u64) {
        let mut owed = self.owed.lock();
        owed.since.get_or_insert_with(Instant::now);
        owed.bytes = owed.bytes.saturating_add(bytes);
    }

    /// Whether nothing more may be acknowledged before a sync.
    pub(super) fn is_full(&self) -> bool {
        let owed = self.owed.lock();
        owed.bytes >= BACKLOG_BYTES_MAX || owed.since.is_some_and(|since| since.elapsed() >= BACKLOG_AGE_MAX)
    }

    /// Calls `sync`, which makes everything durable; the backlog is empty if it succeeds, but for what has
    /// come meanwhile.
    pub(super) fn sync<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let _one_at_a_time = self.syncing.lock();
        self.pay(sync)
    }

    fn pay<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let taken = std::mem::take(&mut *self.owed.lock());
        sync().inspect_err(|_| {
            let mut owed = self.owed.lock();
            owed.since = taken.since.or(owed.since);
            owed.bytes = owed.bytes.saturating_add(taken.bytes);
        })
    }

    /// As [`sync`](Self::sync), if there is anything to make durable.
    pub(super) fn settle<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        // What a sync that is under way has taken is durable when it ends, or owed again.
        let _one_at_a_time = self.syncing.lock();
        if self.owed.lock().since.is_none() { Ok(()) } else { self.pay(sync) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(calls: &mut u32) -> Result<(), ()> {
        *calls += 1;
        Ok(())
    }

    #[test]
    fn a_backlog_is_full_when_it_is_too_long_and_stays_so_until_a_sync_succeeds() {
        let backlog = Backlog::default();
        backlog.add(BACKLOG_BYTES_MAX - 1);
        assert!(!backlog.is_full());
        backlog.add(1);
        assert!(backlog.is_full());
        assert_eq!(backlog.sync(|| Err(())), Err(()));
        assert!(backlog.is_full(), "what was not synced is owed");
        let mut calls = 0;
        backlog.settle(|| count(&mut calls)).unwrap();
        assert!(!backlog.is_full());
        backlog.settle(|| count(&mut calls)).unwrap();
        assert_eq!(calls, 1, "nothing is owed");
        backlog.sync(|| count(&mut calls)).unwrap();
        assert_eq!(calls, 2);
    }

    #[test]
    fn what_comes_during_a_sync_is_owed_after_it() {
        let backlog = Backlog::default();
        backlog.add(1);
        backlog
            .sync(|| {
                backlog.add(2);
                Ok::<(), ()>(())
            })
            .unwrap();
        let mut calls = 0;
        backlog.settle(|| count(&mut calls)).unwrap();
        assert_eq!(calls, 1);
    }
}
