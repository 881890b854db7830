//! The `sled` engine: two trees in a log-structured store.
//!
//! It is not safe against power cuts: its flush asks the kernel to write without waiting for the
//! disk. Each of our syncs adds an fdatasync of its file; what was written since can still leave it in
//! a state that it does not open.
//!
//! sled waits for ever when the disk is full or fails, even where it is only let go, and panics on what
//! it cannot read. So room is asked for before it is given work, an engine that has failed is never let
//! go (the store is usable again after a remount), and opening catches its panics.
//!
//! Invariant: a block's record is written after its bytes and removed before them, so a crash in
//! between leaves bytes without a record, which nobody sees.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::RwLock;
use sled::{Batch, Config, Db, IVec, Mode, Tree};

use super::foreign::is_sled;
use super::indexed::{Change, Dirty, Indexed, Place, Tables, Visit, failure};
use super::{Datastore, OpenRequest, Sync, Usage};
use crate::sys::{Space, allocated_bytes, space_of, space_of_open};
use crate::{Error, Result};

/// Blocks in chunks.
const BLOCKS: &str = "blocks";
const META: &str = "meta";
/// The engine's log, which it also locks (flock).
const LOG_FILE: &str = "db";
/// The entry of the default tree that says which store this is.
const STORE_ID: &str = "store_id";
/// Memory for pages of the trees.
const CACHE_BYTES: u64 = 16 << 20;
/// Room that must be free for new blocks, besides that for their bytes: segments are begun and pages
/// rewritten, and what is kept for deletions must stay.
const ROOM_FOR_BLOCKS_BYTES: u64 = 8 << 20;
/// Room that must be free for everything else.
const ROOM_BYTES: u64 = 4 << 20;
const ROOM_PER_BYTE: u64 = 2;
/// Longest value. sled rewrites up to ten values of a page at once, and puts long ones into files of
/// their own, which its flush does not reach.
const CHUNK_BYTES: usize = 16 << 10;

/// How long to wait for an engine that is ending, and how often to look.
const LET_GO_MAX: Duration = Duration::from_secs(5);
const LET_GO_STEP: Duration = Duration::from_millis(2);

/// Length of a chunk's number at the end of its key.
const CHUNK_NUMBER_BYTES: usize = 4;

/// An open store.
pub struct Sled {
    database: Db,
    blocks: Tree,
    meta: Tree,
    path: PathBuf,
    /// The engine's own file, for a sync that waits.
    log: File,
    dirty: Dirty,
    /// Whether a write or flush has failed.
    failed: AtomicBool,
    /// Held while a batch is applied: a block is many values, which a reader must see all or none of.
    applying: RwLock<()>,
    /// What it could not store and shows all the same; hidden, since it may not be on the disk.
    refused: RwLock<HashSet<Vec<u8>>>,
}

impl Sled {
    /// Opens the engine as the table of backends does.
    ///
    /// # Errors
    /// [`Error::Usage`] for reading only, which sled cannot.
    pub fn open(request: &OpenRequest) -> Result<Box<dyn Datastore>> {
        let path = &request.path;
        let place = Place::look(request, is_sled, is_leftover_of_creation)?;
        if request.read_only {
            return Err(Error::Usage {
                what: "the backend sled cannot open a store for reading only".into(),
                hint: "leave out --read-only; a store on media that cannot be written must be copied to some that can".into(),
            });
        }
        require_room(path, space_of(path)?, None)?;
        let log = path.join(LOG_FILE);
        if place == Place::Existing {
            let log = File::open(&log).map_err(|error| Error::io_at("open", &log, error))?;
            wait_until_let_go(&log, path)?;
        }
        let config = Config::new()
            .path(path)
            .mode(Mode::HighThroughput)
            .cache_capacity(CACHE_BYTES)
            // Flushing in the background would meet a full disk unasked.
            .flush_every_ms(None);
        let open = || -> sled::Result<(Db, Tree, Tree)> {
            let database = config.open()?;
            let (blocks, meta) = (database.open_tree(BLOCKS)?, database.open_tree(META)?);
            Ok((database, blocks, meta))
        };
        let opened = catch_unwind(AssertUnwindSafe(open)).map_err(|_| Error::StoreDamaged {
            path: path.clone(),
            what: "the engine panicked while it opened its files".into(),
        })?;
        let (database, blocks, meta) = opened.map_err(|error| failed(path, "open", error))?;
        let log = File::open(&log).map_err(|error| Error::io_at("open", &log, error))?;
        let tables = Self {
            database,
            blocks,
            meta,
            path: path.clone(),
            log,
            dirty: Dirty::default(),
            failed: AtomicBool::new(false),
            applying: RwLock::new(()),
            refused: RwLock::default(),
        };
        Indexed::open(tables, request)
    }

    fn failed(&self, op: &str, error: sled::Error) -> Error {
        failed(&self.path, op, error)
    }

    /// Callers have made sure that there is room.
    fn flush(&self) -> Result<()> {
        let flushed = self.database.flush().map_err(|error| self.failed("flush", error));
        flushed
            .and_then(|_| {
                self.log.sync_data().map_err(|error| Error::io_at("sync", &self.path.join(LOG_FILE), error))
            })
            .inspect_err(|_| self.failed.store(true, Ordering::Release))
    }

    /// No more work for an engine that would wait for ever.
    fn refuse_if_failed(&self) -> Result<()> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let what = "after a failure sled cannot be used until it is mounted again".into();
        Err(Error::EngineFailed { path: self.path.clone(), what })
    }

    /// The engine's file is asked, since the directory may have been moved.
    fn require_room(&self, new_bytes: Option<usize>) -> Result<()> {
        require_room(&self.path, space_of_open(&self.log, &self.path)?, new_bytes)
    }

    /// The chunks of a key, in their order.
    fn chunks(&self, key: &[u8]) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> {
        let length = key.len() + CHUNK_NUMBER_BYTES;
        let of_this_key = move |found: &sled::Result<(IVec, IVec)>| {
            found.as_ref().map_or(true, |(key, _)| key.len() == length)
        };
        self.blocks.scan_prefix(key).filter(of_this_key)
    }

    fn is_refused(&self, key: &[u8]) -> bool {
        self.failed.load(Ordering::Acquire) && self.refused.read().contains(key)
    }

    fn write_removals(&self, meta: Batch, blocks: Batch) -> sled::Result<()> {
        self.meta.apply_batch(meta)?;
        self.blocks.apply_batch(blocks)
    }

    fn write_puts(&self, meta: Batch, blocks: Batch) -> sled::Result<()> {
        self.blocks.apply_batch(blocks)?;
        self.meta.apply_batch(meta)
    }
}

/// Waits until no engine, perhaps one that is just ending, holds the lock of `log`.
fn wait_until_let_go(log: &File, path: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        match log.try_lock() {
            Ok(()) => return log.unlock().map_err(|error| Error::io_at("unlock", path, error)),
            Err(TryLockError::Error(error)) => return Err(Error::io_at("lock", path, error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LET_GO_MAX => std::thread::sleep(LET_GO_STEP),
            Err(TryLockError::WouldBlock) => {
                let holder = "another program that uses sled".to_owned();
                return Err(Error::Locked { path: path.to_owned(), holder });
            }
        }
    }
}

/// The key of a chunk: that of the block, and the number as u32, big-endian.
fn chunk_key(key: &[u8], number: u32) -> Vec<u8> {
    [key, &number.to_be_bytes()].concat()
}

fn failed(path: &Path, op: &str, error: sled::Error) -> Error {
    let damaged = |what: String| Error::StoreDamaged { path: path.to_owned(), what };
    match error {
        sled::Error::Io(error) if error.raw_os_error().is_some() => Error::io_at(op, path, error),
        sled::Error::Io(error) => failure(path, op, error.to_string()),
        sled::Error::Corruption { .. } => damaged(error.to_string()),
        sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            failure(path, op, error.to_string())
        }
    }
}

/// Whether these bytes and what comes with them find room.
fn require_room(path: &Path, space: Space, new_bytes: Option<usize>) -> Result<()> {
    let needed = new_bytes.map_or(ROOM_BYTES, |bytes| {
        ROOM_FOR_BLOCKS_BYTES.saturating_add((bytes as u64).saturating_mul(ROOM_PER_BYTE))
    });
    if space.free_bytes >= needed {
        return Ok(());
    }
    Err(Error::EngineNeedsSpace { path: path.to_owned(), free_bytes: space.free_bytes, needed_bytes: needed })
}

/// Whether sled makes something of this name before a new database can hold anything: the log comes
/// behind them.
fn is_leftover_of_creation(name: &str) -> bool {
    matches!(name, "blobs" | "conf")
}

impl Tables for Sled {
    fn identity(&self) -> Result<Option<String>> {
        let id = self.database.get(STORE_ID).map_err(|error| self.failed("read", error))?;
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    fn set_identity(&self, store_id: &str) -> Result<()> {
        self.require_room(None)?;
        self.database.insert(STORE_ID, store_id).map_err(|error| self.failed("write", error))?;
        self.flush()
    }

    fn bytes(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let _whole = self.applying.read();
        let read = || -> sled::Result<Option<Bytes>> {
            if self.is_refused(key) || !self.meta.contains_key(key)? {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            for chunk in self.chunks(key) {
                bytes.extend_from_slice(&chunk?.1);
            }
            Ok(Some(bytes.into()))
        };
        read().map_err(|error| self.failed("read", error))
    }

    fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.meta.get(key).map_err(|error| self.failed("read", error))?;
        Ok(found.filter(|_| !self.is_refused(key)).map(|record| record.to_vec()))
    }

    fn write(&self, changes: &[Change<'_>], sync: Sync) -> Result<()> {
        let (mut meta, mut blocks) = (Batch::default(), Batch::default());
        let (mut meta_removed, mut blocks_removed) = (Batch::default(), Batch::default());
        let mut length = None;
        for change in changes {
            match change {
                Change::Put { key, record, bytes } => {
                    length = Some(length.unwrap_or(0) + bytes.len());
                    for (number, chunk) in (0u32..).zip(bytes.chunks(CHUNK_BYTES)) {
                        blocks.insert(chunk_key(key, number), chunk);
                    }
                    meta.insert(key.as_slice(), *record);
                }
                Change::SetRecord { key, record } => meta.insert(key.as_slice(), *record),
                Change::Remove { key } => {
                    meta_removed.remove(key.as_slice());
                    for chunk in self.chunks(key) {
                        blocks_removed.remove(chunk.map_err(|error| self.failed("read", error))?.0);
                    }
                }
            }
        }
        self.refuse_if_failed()?;
        self.require_room(length)?;
        let applying = self.applying.write();
        let applied = self
            .write_removals(meta_removed, blocks_removed)
            .and_then(|()| self.write_puts(meta, blocks))
            .map_err(|error| self.failed("write", error));
        drop(applying);
        self.dirty.note();
        let written = applied.and_then(|()| match sync {
            Sync::Now => self.flush(),
            Sync::Later => Ok(()),
        });
        written.inspect_err(|_| {
            let put = changes.iter().filter_map(|change| match change {
                Change::Put { key, .. } => Some(key.clone()),
                Change::SetRecord { .. } | Change::Remove { .. } => None,
            });
            self.refused.write().extend(put);
            self.failed.store(true, Ordering::Release);
        })
    }

    fn scan(&self, from: &[u8], visit: Visit<'_>) -> Result<()> {
        for entry in self.meta.range(from..) {
            let (key, record) = entry.map_err(|error| self.failed("list", error))?;
            if !self.is_refused(&key) && !visit(&key, &record) {
                break;
            }
        }
        Ok(())
    }

    fn usage(&self) -> Result<Usage> {
        Ok(Usage { disk_bytes: allocated_bytes(&self.path)?, blocks: None })
    }

    fn pending_bytes(&self) -> u64 {
        0
    }

    fn sync(&self) -> Result<()> {
        self.refuse_if_failed()?;
        self.dirty.sync(|| {
            self.require_room(None)?;
            self.flush()
        })
    }

    fn close(self) -> Result<()> {
        let synced = self.sync();
        if synced.is_err() {
            // Letting it go would wait for ever; its files are closed when the process ends.
            std::mem::forget(self);
            return synced;
        }
        let Self { database, blocks, meta, path, log, .. } = self;
        drop((blocks, meta, database));
        // Its threads hold the files a little longer, and nobody could open them meanwhile.
        wait_until_let_go(&log, &path)
    }
}
