//! The `sled` engine: two trees in a log-structured store.
//!
//! It is not safe against power cuts: its flush asks the kernel to write without waiting for the
//! disk. Each of our syncs adds an fdatasync of its file, which saves small blocks, but not those that
//! it puts into files of their own, and not the order of what was written since.
//!
//! sled waits for ever when the disk is full, and panics on what it cannot read. So room is asked for
//! before it is given work, and opening catches its panics.
//!
//! Invariant: a block's record is written after its bytes and removed before them, so a crash in
//! between leaves bytes without a record, which nobody sees.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sled::{Batch, Config, Db, Mode, Tree};

use super::foreign::is_sled;
use super::indexed::{Change, Indexed, Place, Tables, Visit, failure};
use super::{Datastore, OpenRequest, Sync, Usage};
use crate::sys::errno::ENOSPC;
use crate::sys::{Space, allocated_bytes, space_of, space_of_open};
use crate::{Error, Result};

const BLOCKS: &str = "blocks";
const META: &str = "meta";
/// The entry of the default tree that says which store this is.
const STORE_ID: &str = "store_id";
/// Memory for pages of the trees.
const CACHE_BYTES: u64 = 16 << 20;
/// Room beyond the bytes of a change: segments are begun and pages rewritten.
const ROOM_BYTES: u64 = 4 << 20;

/// An open store.
pub struct Sled {
    database: Db,
    blocks: Tree,
    meta: Tree,
    path: PathBuf,
    /// The engine's own file, for a sync that waits.
    log: File,
    /// Whether something was written that was not flushed.
    dirty: AtomicBool,
}

impl Sled {
    /// Opens the engine as the table of backends does.
    ///
    /// # Errors
    /// [`Error::Usage`] for reading only, which sled cannot.
    pub fn open(request: &OpenRequest) -> Result<Box<dyn Datastore>> {
        let path = &request.path;
        Place::look(request, is_sled, |_| false)?;
        if request.read_only {
            return Err(Error::Usage {
                what: "the backend sled cannot open a store for reading only".into(),
                hint: "leave out --read-only; --no-delete refuses deletions".into(),
            });
        }
        require_room(path, space_of(path)?, 0)?;
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
        let log = path.join("db");
        let log = File::open(&log).map_err(|error| Error::io_at("open", &log, error))?;
        let dirty = AtomicBool::new(false);
        Indexed::open(Self { database, blocks, meta, path: path.clone(), log, dirty }, request)
    }

    fn failed(&self, op: &str, error: sled::Error) -> Error {
        failed(&self.path, op, error)
    }

    fn flush(&self) -> Result<()> {
        self.require_room(0)?;
        self.database.flush().map_err(|error| self.failed("flush", error))?;
        self.log.sync_data().map_err(|error| Error::io_at("sync", &self.path.join("db"), error))
    }

    /// The engine's file is asked, since the directory may have been moved.
    fn require_room(&self, bytes: usize) -> Result<()> {
        require_room(&self.path, space_of_open(&self.log, &self.path)?, bytes)
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
fn require_room(path: &Path, space: Space, bytes: usize) -> Result<()> {
    let needed = ROOM_BYTES.saturating_add((bytes as u64).saturating_mul(2));
    if space.free_bytes >= needed {
        return Ok(());
    }
    Err(Error::io_at("write", path, std::io::Error::from_raw_os_error(ENOSPC)))
}

impl Tables for Sled {
    fn identity(&self) -> Result<Option<String>> {
        let id = self.database.get(STORE_ID).map_err(|error| self.failed("read", error))?;
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    fn set_identity(&self, store_id: &str) -> Result<()> {
        self.database.insert(STORE_ID, store_id).map_err(|error| self.failed("write", error))?;
        self.flush()
    }

    fn bytes(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let read = || -> sled::Result<Option<Bytes>> {
            if !self.meta.contains_key(key)? {
                return Ok(None);
            }
            Ok(self.blocks.get(key)?.map(|bytes| Bytes::copy_from_slice(&bytes)))
        };
        read().map_err(|error| self.failed("read", error))
    }

    fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.meta.get(key).map_err(|error| self.failed("read", error))?;
        Ok(found.map(|record| record.to_vec()))
    }

    fn write(&self, changes: &[Change<'_>], sync: Sync) -> Result<()> {
        let (mut meta, mut blocks) = (Batch::default(), Batch::default());
        let (mut meta_removed, mut blocks_removed) = (Batch::default(), Batch::default());
        let mut length = 0;
        for change in changes {
            match change {
                Change::Put { key, record, bytes } => {
                    length += bytes.len();
                    blocks.insert(key.as_slice(), bytes.as_ref());
                    meta.insert(key.as_slice(), *record);
                }
                Change::SetRecord { key, record } => meta.insert(key.as_slice(), *record),
                Change::Remove { key } => {
                    meta_removed.remove(key.as_slice());
                    blocks_removed.remove(key.as_slice());
                }
            }
        }
        self.require_room(length)?;
        self.dirty.store(true, Ordering::Release);
        self.write_removals(meta_removed, blocks_removed)
            .and_then(|()| self.write_puts(meta, blocks))
            .map_err(|error| self.failed("write", error))?;
        match sync {
            Sync::Now => self.flush(),
            Sync::Later => Ok(()),
        }
    }

    fn scan(&self, from: &[u8], visit: Visit<'_>) -> Result<()> {
        for entry in self.meta.range(from..) {
            let (key, record) = entry.map_err(|error| self.failed("list", error))?;
            if !visit(&key, &record) {
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
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.flush().inspect_err(|_| self.dirty.store(true, Ordering::Release))
    }

    fn close(self) -> Result<()> {
        self.sync()
    }
}
