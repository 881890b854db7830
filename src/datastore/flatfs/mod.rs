//! The `file` engine: one file per block, on disk exactly what go-ds-flatfs writes and reads.
//!
//! Size and time of a block are those of its file; the CID form lies beside the store
//! ([`forms`]), because the format has no place for it.
//!
//! Invariant: a file with a block's name is the whole block, and everything here but the forms
//! could have been written by Kubo.

mod disk;
mod forms;
mod in_place;
mod last_sync;
mod layout;
mod list;
mod parallel;
mod place;
mod put;
mod sharding;
mod shards;
mod suspects;
mod temp;
#[cfg(test)]
mod tests;
mod unsynced;
mod usage;

use std::fs::{File, FileTimes};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use self::disk::{Disk, KernelDisk, PendingNames};
use self::forms::Forms;
pub use self::in_place::in_place;
use self::last_sync::LastSync;
pub use self::layout::probe;

use self::place::Place;
use self::sharding::Sharding;
use self::shards::ShardWindows;
use self::temp::TempNames;
use self::unsynced::Unsynced;
use self::usage::DiskUsage;
use super::locks::KeyLocks;
use super::{Datastore, ListedKey, MetaChange, OpenRequest, Position, Sync, Usage};
use crate::block::{Block, CidForm, Key, Meta};
use crate::sys::files::Dir;
use crate::{Error, Result};

/// How a flatfs directory is opened.
#[derive(Debug, Clone)]
pub struct FlatFsOptions {
    /// The directory with the `SHARDING` file.
    pub path: PathBuf,
    /// Where the CID forms lie.
    pub forms: PathBuf,
    /// Where it is noted when blocks were last synced, while some are not.
    pub last_sync: PathBuf,
    /// The form of a block that no record speaks of: raw v1 in a store of our own, where that is
    /// not written down; unknown where another program has stored blocks.
    pub default_form: CidForm,
    /// Make a new store if the directory is empty or missing.
    pub create: bool,
    /// Never write anything.
    pub read_only: bool,
}

/// An open flatfs directory.
#[derive(Debug)]
pub struct FlatFs {
    root: Dir,
    sharding: Sharding,
    read_only: bool,
    disk: Box<dyn Disk>,
    forms: Forms,
    usage: DiskUsage,
    temp_names: TempNames,
    locks: KeyLocks,
    /// Read while a directory is listed, written while a name in it is replaced.
    listing: RwLock<()>,
    shards: ShardWindows,
    /// Shards that were made and are perhaps not durable in the root.
    shard_names: PendingNames,
    unsynced: Unsynced,
    last_sync: LastSync,
    /// Held during a sync: a second one must not return before what the first one took is durable.
    syncing: Mutex<()>,
}

impl FlatFs {
    /// Opens the engine as the table of backends does: forms beside it, and nothing made in the
    /// directory of another program that has none.
    pub fn open(request: &OpenRequest) -> Result<Box<dyn Datastore>> {
        let options = FlatFsOptions {
            path: request.path.clone(),
            forms: request.beside.join("forms"),
            last_sync: request.beside.join("last-sync"),
            default_form: if request.foreign { CidForm::Unknown } else { CidForm::RAW_V1 },
            create: request.create && !request.read_only && !request.foreign,
            read_only: request.read_only,
        };
        let engine = Self::open_with(options)?;
        // With another function than it was made with, all blocks would seem to be gone.
        if engine.sharding != Sharding::DEFAULT && layout::is_misplaced(&request.path, engine.sharding)? {
            let what = format!("its SHARDING file says {}, and its blocks do not lie so", engine.sharding);
            return Err(Error::StoreDamaged { path: request.path.clone(), what });
        }
        Ok(Box::new(engine))
    }

    /// Opens a flatfs directory.
    pub fn open_with(options: FlatFsOptions) -> Result<Self> {
        Self::open_on(options, Box::new(KernelDisk))
    }

    fn open_on(options: FlatFsOptions, disk: Box<dyn Disk>) -> Result<Self> {
        let FlatFsOptions { path, forms, last_sync, default_form, create, read_only } = options;
        let (root, sharding) = layout::open(&path, create)?;
        if !read_only {
            layout::wipe_temp(&path)?;
        }
        let usage = DiskUsage::open(&path).map_err(|error| Error::io_at("read", &path, error))?;
        let shard_names = PendingNames::default();
        // Shards that an earlier process made may be just as new to the disk.
        shard_names.note();
        let store = Self {
            forms: Forms::open(forms, default_form, read_only)?,
            root,
            sharding,
            read_only,
            disk,
            usage,
            temp_names: TempNames::default(),
            locks: KeyLocks::new(),
            listing: RwLock::new(()),
            shards: ShardWindows::default(),
            shard_names,
            unsynced: Unsynced::default(),
            last_sync: LastSync::new(last_sync),
            syncing: Mutex::default(),
        };
        store.check_what_was_left()?;
        Ok(store)
    }

    fn place(&self, key: &Key) -> Place {
        Place::new(self.sharding, key)
    }

    fn key_position(&self, key: &Key) -> Position {
        self.sharding.position_of(key)
    }

    fn is_stored(&self, key: &Key) -> io::Result<bool> {
        Ok(self.root.stat(self.place(key).path())?.is_some())
    }

    fn refuse_if_read_only(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    fn error(&self, op: &str, name: &str, error: io::Error) -> Error {
        Error::io_at(op, &self.root.path().join(name), error)
    }

    fn open_block(&self, place: &Place) -> Result<Option<File>> {
        self.root.open_file(place.path()).map_err(|error| self.error("open", place.path(), error))
    }

    /// Removes one file; says whether it was there.
    fn remove_one(&self, place: &Place) -> io::Result<bool> {
        let Some(info) = self.root.stat(place.path())? else { return Ok(false) };
        let removed = self.root.unlink(place.path())?;
        if removed {
            self.usage.change(0, info.size_bytes);
        }
        Ok(removed)
    }
}

impl Datastore for FlatFs {
    fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        Ok(self.bytes(&self.place(key))?.map(Bytes::from))
    }

    fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        let place = self.place(key);
        let info = self.root.stat(place.path()).map_err(|error| self.error("stat", place.path(), error))?;
        let Some(info) = info.filter(|info| info.is_file) else { return Ok(None) };
        let cid_form = self.forms.form(key)?;
        Ok(Some(Meta { size_bytes: info.size_bytes, mtime: info.mtime, cid_form }))
    }

    fn put(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        self.refuse_if_read_only()?;
        self.put_all(blocks, sync)
    }

    fn set_meta(&self, key: &Key, change: MetaChange) -> Result<bool> {
        self.refuse_if_read_only()?;
        let _lock = self.locks.lock([key]);
        let place = self.place(key);
        let Some(file) = self.open_block(&place)? else { return Ok(false) };
        if let Some(mtime) = change.mtime {
            let times = FileTimes::new().set_modified(mtime);
            file.set_times(times).map_err(|error| self.error("set the time of", place.path(), error))?;
            self.unsynced.note_file(place.path());
        }
        if let Some(form) = change.cid_form {
            let disk = self.disk.as_ref();
            self.forms.record([(key, form)].into_iter(), disk)?.finish(disk, |key| self.is_stored(key));
        }
        Ok(true)
    }

    fn remove(&self, keys: &[Key], sync: Sync) -> Result<u64> {
        self.refuse_if_read_only()?;
        let mut count = 0;
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            let place = self.place(key);
            let _lock = self.locks.lock([key]);
            let removed =
                self.remove_one(&place).map_err(|error| self.error("remove", place.path(), error))?;
            if removed {
                self.unsynced.note_dir(place.shard());
                places.push(place);
                count += 1;
            }
        }
        self.usage.store_if_due(&self.root);
        if sync == Sync::Now {
            self.sync_shards(places.iter())?;
        }
        Ok(count)
    }

    fn position(&self, key: &Key) -> Position {
        self.key_position(key)
    }

    fn list(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>> {
        self.list_page(after, limit)
    }

    fn usage(&self) -> Result<Usage> {
        Ok(Usage { disk_bytes: self.usage.bytes(), blocks: None })
    }

    fn pending_bytes(&self) -> u64 {
        0
    }

    fn file(&self, key: &Key) -> Result<Option<File>> {
        self.open_block(&self.place(key))
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        let _one_at_a_time = self.syncing.lock();
        let begun = SystemTime::now();
        let sync = || -> Result<()> {
            self.rewrite_suspects()?;
            self.forms.sync(self.disk.as_ref())?;
            self.unsynced.sync(self.disk.as_ref(), &self.root)?;
            self.sync_root()
        };
        sync().inspect_err(|_| self.last_sync.note_failure())?;
        self.last_sync.advance(begun);
        self.usage.store(&self.root);
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()?;
        if !self.read_only {
            self.last_sync.end();
        }
        Ok(())
    }
}
