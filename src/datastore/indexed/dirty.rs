//! Whether an engine holds changes that are not durable yet.
//!
//! Invariant: a change is noted when it has been made and before it is acknowledged, and a sync returns
//! only when what was noted before it is durable, also where another one is under way.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::Result;

/// The mark, and who is syncing.
#[derive(Debug, Default)]
pub(in crate::datastore) struct Dirty {
    changed: AtomicBool,
    syncing: Mutex<()>,
}

impl Dirty {
    /// Something was changed. Said before the change it could be taken for synced by a sync that comes
    /// in between.
    pub(in crate::datastore) fn note(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Calls `sync` if there is something to sync.
    pub(in crate::datastore) fn sync(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let _one_at_a_time = self.syncing.lock();
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        sync().inspect_err(|_| self.note())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::Error;

    #[test]
    fn a_sync_waits_for_one_that_is_under_way_and_does_again_what_failed() {
        let dirty = Dirty::default();
        dirty.note();
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let dirty = &dirty;
            let first = scope.spawn(move || {
                dirty.sync(|| {
                    begun.send(()).unwrap();
                    may_end.recv().unwrap();
                    Err(Error::NotFound)
                })
            });
            has_begun.recv().unwrap();
            let second = scope.spawn(move || {
                let mut called = false;
                dirty.sync(|| {
                    called = true;
                    Ok(())
                })?;
                Ok::<bool, Error>(called)
            });
            end.send(()).unwrap();
            assert!(first.join().unwrap().is_err());
            assert!(second.join().unwrap().unwrap(), "the second does what the first could not");
        });
        dirty.sync(|| Err(Error::NotFound)).unwrap();
    }
}
