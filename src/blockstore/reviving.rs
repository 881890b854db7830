//! An engine that is opened again after it has failed.
//!
//! After a failed write or sync an engine's state is unknown, and several refuse everything from then
//! on. This one closes it and opens it anew: at once for reads, deletions and syncs, and not too often
//! for new blocks, which are refused meanwhile. Deletions on a full disk get the room of the
//! [`Ballast`].
//!
//! Invariant: what was acknowledged before the failure is there after it. What an engine may keep in
//! memory until a sync (deletions, times, CID forms) is noted here until then and done again.

mod noted;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tracing::{info, warn};

use self::noted::Noted;
use super::ballast::Ballast;
use crate::block::{Block, Key, Meta};
use crate::datastore::order::digest_position;
use crate::datastore::{Backend, Datastore, ListedKey, MetaChange, OpenRequest, Position, Sync, Usage};
use crate::sys::errno::{EDQUOT, ENOSPC};
use crate::sys::{space_of_open, sync_file_system};
use crate::{Error, Result};

/// How long new blocks are refused after a failure before the engine is opened for one of them.
const BACK_OFF: Duration = Duration::from_millis(500);
/// Room for what an engine writes besides the blocks of a batch. A full disk is better told by us
/// than found by the engine.
const BATCH_ROOM_BYTES: u64 = 1 << 20;

/// Opens the engine.
type Open = Box<dyn Fn() -> Result<Box<dyn Datastore>> + Send + std::marker::Sync>;

/// What went wrong last, and when new blocks may try again.
struct Failure {
    error: Error,
    retry_at: Instant,
}

/// Opens the engine of a store that will be written to.
pub(super) fn open_engine(row: &'static Backend, request: &OpenRequest) -> Result<Box<dyn Datastore>> {
    if row.ballast_bytes == 0 || request.read_only {
        return (row.open)(request);
    }
    let ballast = Ballast::new(&request.beside, row.ballast_bytes);
    let again = OpenRequest { create: false, ..request.clone() };
    let first = match (row.open)(request) {
        Err(error) if is_full(&error) && ballast.release() => (row.open)(request)?,
        other => other?,
    };
    let open = Box::new(move || (row.open)(&again));
    Ok(Box::new(Reviving::new(first, request.beside.clone(), ballast, open)?))
}

/// The engine and how to get it back.
pub(super) struct Reviving {
    /// `None` while it could not be opened again.
    engine: RwLock<Option<Box<dyn Datastore>>>,
    failure: Mutex<Option<Failure>>,
    /// When it was opened again last.
    revived: Mutex<Option<Instant>>,
    noted: Mutex<Noted>,
    open: Open,
    ballast: Ballast,
    /// The data directory, opened: it may be moved while it is mounted.
    directory: File,
    data_path: PathBuf,
}

impl Reviving {
    /// Takes an open engine, and what opens it again.
    fn new(engine: Box<dyn Datastore>, data_path: PathBuf, ballast: Ballast, open: Open) -> Result<Self> {
        let directory = File::open(&data_path).map_err(|error| Error::io_at("open", &data_path, error))?;
        ballast.build();
        Ok(Self {
            engine: RwLock::new(Some(engine)),
            failure: Mutex::default(),
            revived: Mutex::default(),
            noted: Mutex::default(),
            open,
            ballast,
            directory,
            data_path,
        })
    }

    /// Calls the engine; remembers if it fails in a way that leaves its state unknown.
    fn call<T>(&self, call: impl FnOnce(&dyn Datastore) -> Result<T>) -> Result<T> {
        let engine = self.engine.read();
        let Some(engine) = engine.as_deref() else {
            return Err(self.last_error());
        };
        match catch_unwind(AssertUnwindSafe(|| call(engine))) {
            Ok(result) => result.inspect_err(|error| {
                if leaves_unknown(error) {
                    self.note_failure(error.clone());
                }
            }),
            Err(panic) => {
                self.note_failure(Error::Internal { what: "the storage engine panicked".into() });
                resume_unwind(panic)
            }
        }
    }

    fn note_failure(&self, error: Error) {
        let now = Instant::now();
        let again = self.revived.lock().is_some_and(|revived| now < revived + BACK_OFF);
        let retry_at = if again { now + BACK_OFF } else { now };
        *self.failure.lock() = Some(Failure { error, retry_at });
    }

    fn last_error(&self) -> Error {
        self.failure.lock().as_ref().map_or_else(
            || Error::Internal { what: "the storage engine is not open".into() },
            |failure| failure.error.clone(),
        )
    }

    /// Reads; an engine that refuses because of an earlier failure is opened again first.
    fn read<T>(&self, call: impl Fn(&dyn Datastore) -> Result<T>) -> Result<T> {
        match self.call(&call) {
            Err(error) if matches!(error, Error::EngineFailed { .. }) || self.engine.read().is_none() => {
                self.revive_with_ballast()?;
                self.call(&call)
            }
            other => other,
        }
    }

    /// Changes something that makes room or must not wait: on an engine that has failed it is opened
    /// again first, and on a full disk it gets the ballast.
    fn change<T>(&self, call: impl Fn(&dyn Datastore) -> Result<T>) -> Result<T> {
        if self.failure.lock().is_some() {
            self.revive_with_ballast()?;
        }
        match self.call(&call) {
            Err(error) if leaves_unknown(&error) => {
                if is_full(&error) && !self.ballast.release() {
                    return Err(error);
                }
                self.revive_with_ballast()?;
                self.call(&call)
            }
            other => other,
        }
    }

    fn revive_with_ballast(&self) -> Result<()> {
        match self.revive() {
            Err(error) if is_full(&error) && self.ballast.release() => self.revive(),
            other => other,
        }
    }

    /// Closes the engine and opens it again, unless somebody has just done that.
    fn revive(&self) -> Result<()> {
        let mut slot = self.engine.write();
        if self.failure.lock().is_none() && slot.is_some() {
            return Ok(());
        }
        if let Some(old) = slot.take()
            && let Err(error) = catch_unwind(AssertUnwindSafe(|| old.close())).unwrap_or(Ok(()))
        {
            warn!(%error, "closing the failed engine");
        }
        let revived = (self.open)().and_then(|engine| {
            // What the failed engine wrote and did not sync must not pass for durable.
            sync_file_system(&self.data_path)?;
            self.noted.lock().redo(engine.as_ref())?;
            Ok(engine)
        });
        match revived {
            Ok(engine) => {
                *slot = Some(engine);
                *self.failure.lock() = None;
                *self.revived.lock() = Some(Instant::now());
                info!("the storage engine was opened again after a failure");
                Ok(())
            }
            Err(error) => {
                *self.revived.lock() = Some(Instant::now());
                self.note_failure(error.clone());
                Err(error)
            }
        }
    }

    /// For new blocks: the engine works, or it is time to try.
    fn ready_for_blocks(&self, blocks: &[Block]) -> Result<()> {
        let bytes: u64 = blocks.iter().map(|block| block.bytes().len() as u64).sum();
        let needed = bytes.saturating_mul(2).saturating_add(BATCH_ROOM_BYTES);
        if space_of_open(&self.directory, &self.data_path)?.free_bytes < needed {
            return Err(Error::io_at("write", &self.data_path, std::io::Error::from_raw_os_error(ENOSPC)));
        }
        let waiting = match &*self.failure.lock() {
            None => return Ok(()),
            Some(failure) => (Instant::now() < failure.retry_at).then(|| failure.error.clone()),
        };
        match waiting {
            Some(error) => Err(error),
            None => self.revive(),
        }
    }
}

/// Whether nobody knows what state the engine is in after this error.
fn leaves_unknown(error: &Error) -> bool {
    matches!(error, Error::Io { .. } | Error::EngineFailed { .. } | Error::Internal { .. })
}

fn is_full(error: &Error) -> bool {
    matches!(error.errno(), ENOSPC | EDQUOT)
}

impl Datastore for Reviving {
    fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        self.read(|engine| engine.get(key))
    }

    fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.read(|engine| engine.stat(key))
    }

    fn put(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        self.ready_for_blocks(blocks)?;
        let before = self.noted.lock().mark();
        self.call(|engine| engine.put(blocks, sync))?;
        let mut noted = self.noted.lock();
        noted.forget_keys(blocks.iter().map(Block::key));
        if sync == Sync::Now {
            noted.forget_until(before);
        }
        Ok(())
    }

    fn set_meta(&self, key: &Key, change: MetaChange) -> Result<bool> {
        let done = self.change(|engine| engine.set_meta(key, change))?;
        if done {
            self.noted.lock().note_meta(key, change);
        }
        Ok(done)
    }

    fn remove(&self, keys: &[Key], sync: Sync) -> Result<u64> {
        let count = self.change(|engine| engine.remove(keys, sync))?;
        if count > 0 && sync == Sync::Later {
            self.noted.lock().note_removed(keys);
        }
        Ok(count)
    }

    fn position(&self, key: &Key) -> Position {
        // Every engine that is opened again sorts by digest.
        digest_position(key)
    }

    fn list(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>> {
        self.read(|engine| engine.list(after, limit))
    }

    fn usage(&self) -> Result<Usage> {
        self.read(|engine| engine.usage())
    }

    fn pending_bytes(&self) -> u64 {
        self.engine.read().as_ref().map_or(0, |engine| engine.pending_bytes())
    }

    fn file(&self, key: &Key) -> Result<Option<File>> {
        self.read(|engine| engine.file(key))
    }

    fn sync(&self) -> Result<()> {
        let before = self.noted.lock().mark();
        self.change(|engine| engine.sync())?;
        self.noted.lock().forget_until(before);
        self.ballast.build();
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        // A failed engine may have forgotten what was noted, and a full one needs room to close.
        let synced = if self.failure.lock().is_some() { self.sync() } else { Ok(()) };
        let Some(engine) = self.engine.into_inner() else { return synced };
        match engine.close() {
            Err(error) if is_full(&error) && self.ballast.release() => {
                warn!(%error, "closing on a full disk; trying once more with the room kept for that");
                let engine = (self.open)()?;
                self.noted.lock().redo(engine.as_ref())?;
                engine.close()
            }
            closed => synced.and(closed),
        }
    }
}
