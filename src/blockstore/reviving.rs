//! An engine that is opened again after it has failed.
//!
//! After a failed write or sync an engine's state is unknown, and several refuse everything from then
//! on. This one closes it and opens it anew at once. If that happens again and again, new blocks are
//! refused for a while in between. Deletions on a full disk get the room of the [`Ballast`].
//!
//! Invariant: what was acknowledged before the failure is there after it. What an engine may keep in
//! memory until a sync (deletions, times, CID forms) is noted here until then and done again. Nothing
//! is acknowledged on the strength of what a failed engine shows.

mod failure;
mod noted;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tracing::{info, warn};

use self::failure::{BACK_OFF, Failure, is_full, is_full_disk, leaves_unknown};
use self::noted::Noted;
use super::ballast::Ballast;
use crate::block::{Block, Key, Meta};
use crate::datastore::order::digest_position;
use crate::datastore::{Backend, Datastore, ListedKey, MetaChange, OpenRequest, Position, Sync, Usage};
use crate::sys::{space_of_open, sync_file_system};
use crate::{Error, Result};

/// Room for what an engine writes besides the blocks of a batch. A full disk is better told by us
/// than found by the engine.
const BATCH_ROOM_BYTES: u64 = 1 << 20;

/// How the engine is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Writable,
    ReadOnly,
}

/// Opens the engine.
type Open = Box<dyn Fn(Access) -> Result<Box<dyn Datastore>> + Send + std::marker::Sync>;

/// Opens the engine of a store that will be written to.
pub(super) fn open_engine(row: &'static Backend, request: &OpenRequest) -> Result<Box<dyn Datastore>> {
    if row.ballast_bytes == 0 || request.read_only {
        return (row.open)(request);
    }
    let ballast = Ballast::new(&request.beside, row.ballast_bytes);
    let opened = match (row.open)(request) {
        Err(error) if is_full(&error) && ballast.release() => (row.open)(request),
        other => other,
    };
    let first = opened.map_err(|error| match error {
        Error::Io { source, .. } if is_full_disk(&source) => {
            Error::StoreOnFullDisk { path: request.beside.clone(), source }
        }
        other => other,
    })?;
    let request = request.clone();
    let data_path = request.beside.clone();
    let again: Open = Box::new(move |access| {
        let read_only = access == Access::ReadOnly;
        (row.open)(&OpenRequest { create: false, read_only, after_failure: true, ..request.clone() })
    });
    let open = row.reopens.then_some(again);
    Ok(Box::new(Reviving::new(first, data_path, ballast, open)?))
}

/// The engine and how to get it back.
pub(super) struct Reviving {
    /// `None` while it could not be opened again.
    engine: RwLock<Option<Box<dyn Datastore>>>,
    failure: Mutex<Option<Failure>>,
    noted: Mutex<Noted>,
    /// `None` for an engine that must not be let go after a failure.
    open: Option<Open>,
    ballast: Ballast,
    /// The data directory, opened: it may be moved while it is mounted.
    directory: File,
    data_path: PathBuf,
}

impl Reviving {
    /// Takes an open engine, and what opens it again.
    fn new(
        engine: Box<dyn Datastore>,
        data_path: PathBuf,
        ballast: Ballast,
        open: Option<Open>,
    ) -> Result<Self> {
        let directory = File::open(&data_path).map_err(|error| Error::io_at("open", &data_path, error))?;
        ballast.build();
        Ok(Self {
            engine: RwLock::new(Some(engine)),
            failure: Mutex::default(),
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
        let mut last = self.failure.lock();
        *last = Some(Failure::after(last.as_ref(), error));
    }

    /// Whether the engine is in a state that nobody knows, or not open.
    fn is_failed(&self) -> bool {
        self.failure.lock().as_ref().is_some_and(|failure| !failure.mended)
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
                // What can be opened for reading only, now or by somebody else before, serves all the same.
                let revived = self.revive_with_ballast();
                let again = self.call(&call);
                if again.is_err() { revived.and(again) } else { again }
            }
            other => other,
        }
    }

    /// Changes something that makes room or must not wait: on an engine that has failed it is opened
    /// again first, and on a full disk it gets the ballast.
    fn change<T>(&self, call: impl Fn(&dyn Datastore) -> Result<T>) -> Result<T> {
        if self.is_failed() {
            self.revive_with_ballast()?;
        }
        let result = match self.call(&call) {
            // The engine has not been touched.
            Err(error) if is_full(&error) && !leaves_unknown(&error) && self.ballast.release() => {
                self.call(&call)
            }
            Err(error) if leaves_unknown(&error) => {
                if is_full(&error) && !self.ballast.release() {
                    return Err(error);
                }
                self.revive_with_ballast()?;
                self.call(&call)
            }
            other => other,
        };
        if result.is_ok() {
            self.forget_failure();
        }
        result
    }

    /// The engine works again: new blocks need not wait any longer.
    fn forget_failure(&self) {
        let mut failure = self.failure.lock();
        if failure.as_ref().is_some_and(|failure| failure.mended) {
            *failure = None;
        }
    }

    fn revive_with_ballast(&self) -> Result<()> {
        match self.revive() {
            Err(error) if is_full(&error) && self.ballast.release() => {
                if let Some(failure) = &mut *self.failure.lock() {
                    failure.unopened = false;
                }
                self.revive()
            }
            other => other,
        }
    }

    /// Closes the engine and opens it again, unless somebody has just done that, or has just failed to.
    /// If it cannot be opened for writing it is opened for reading.
    fn revive(&self) -> Result<()> {
        let mut slot = self.engine.write();
        if !self.is_failed() && slot.is_some() {
            return Ok(());
        }
        let Some(open) = &self.open else { return Err(self.last_error()) };
        if self.has_just_failed_to_open() {
            return Err(self.last_error());
        }
        if let Some(old) = slot.take()
            && let Err(error) = catch_unwind(AssertUnwindSafe(|| old.close())).unwrap_or(Ok(()))
        {
            warn!(%error, "closing the failed engine");
        }
        let revived = open(Access::Writable).and_then(|engine| {
            // What the failed engine wrote and did not sync must not pass for durable.
            sync_file_system(&self.data_path)?;
            self.noted.lock().redo(engine.as_ref())?;
            Ok(engine)
        });
        match revived {
            Ok(engine) => {
                *slot = Some(engine);
                if let Some(failure) = &mut *self.failure.lock() {
                    failure.mended = true;
                }
                info!("the storage engine was opened again after a failure");
                Ok(())
            }
            Err(error) => {
                *slot = open(Access::ReadOnly).ok();
                let readable = slot.is_some();
                warn!(%error, readable, "the failed engine could not be opened again for writing");
                self.note_failure(error.clone());
                if let Some(failure) = &mut *self.failure.lock() {
                    failure.unopened = true;
                }
                Err(error)
            }
        }
    }

    fn has_just_failed_to_open(&self) -> bool {
        let just_now = |failure: &Failure| failure.unopened && failure.at.elapsed() < BACK_OFF;
        self.failure.lock().as_ref().is_some_and(just_now)
    }

    /// For new blocks: the engine works, or it is time to try.
    fn ready_for_blocks(&self, blocks: &[Block]) -> Result<()> {
        let bytes: u64 = blocks.iter().map(|block| block.bytes().len() as u64).sum();
        let needed = bytes.saturating_mul(2).saturating_add(BATCH_ROOM_BYTES);
        let free_bytes = space_of_open(&self.directory, &self.data_path)?.free_bytes;
        if free_bytes < needed {
            return Err(Error::EngineNeedsSpace {
                path: self.data_path.clone(),
                free_bytes,
                needed_bytes: needed,
            });
        }
        let refused = match &*self.failure.lock() {
            Some(failure) if Instant::now() < failure.retry_at => Some(failure.error.clone()),
            _ => None,
        };
        match refused {
            Some(error) => Err(error),
            None if self.is_failed() => self.revive(),
            None => Ok(()),
        }
    }
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
        if let Err(error) = self.call(|engine| engine.put(blocks, sync)) {
            if leaves_unknown(&error) && self.open.is_some() {
                self.noted.lock().note_refused(blocks);
                // At once, since readers may not be served before. Whether it succeeds is seen by whoever
                // comes next.
                let _ = self.revive();
            }
            return Err(error);
        }
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

    fn settle(&self) -> Result<()> {
        if self.is_failed() { self.revive() } else { Ok(()) }
    }

    fn sync(&self) -> Result<()> {
        let before = self.noted.lock().mark();
        self.change(|engine| engine.sync())?;
        self.noted.lock().forget_until(before);
        self.ballast.build();
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        // An engine that has failed may have forgotten what was noted, and one on a full disk gets the
        // ballast for what it has not written yet.
        let synced = self.sync();
        let Self { engine, noted, open, ballast, .. } = *self;
        let Some(engine) = engine.into_inner() else { return synced };
        let closed = match (engine.close(), &open) {
            (Err(error), Some(open)) if is_full(&error) && ballast.release() => {
                warn!(%error, "closing on a full disk; trying once more with the room kept for that");
                let engine = open(Access::Writable)?;
                noted.into_inner().redo(engine.as_ref())?;
                engine.close()
            }
            (closed, _) => closed,
        };
        ballast.build_for_next_start();
        synced.and(closed)
    }
}
