//! Under which CID a block was first stored, beside the blocks: a file name has only the multihash.
//!
//! The records lie in `<forms>/<two characters>`, always divided as Kubo's default sharding divides
//! blocks, so that no file grows large whatever the store's own sharding is. Nothing is written
//! for a block in the default form, which is therefore also what losing a record means.
//!
//! A record counts only while its block is there, and every put makes the record right before the
//! block appears; so removing a block needs no write, and its old record is never inherited.
//!
//! Invariant: a block that is durable with a form has a record that is durable.

mod change;
mod record;
mod shard;
mod slot;

use std::ffi::CStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use self::shard::Loaded;
use self::slot::{Slot, State};
use super::disk::{Disk, PendingNames};
use super::parallel;
use crate::block::{CidForm, Key};
use crate::sys::errno;
use crate::sys::files::Dir;
use crate::{Error, Result};

/// How many records stay in memory, over all files (about 120 bytes each).
const CACHED_RECORDS_MAX: usize = 262_144;
/// Mode of the files and of their directory: they are our own, not the format's.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// How the name of a file begins that is being compacted.
const NEW_FILE_PREFIX: &str = "new-";

/// The forms of a store.
#[derive(Debug)]
pub(super) struct Forms {
    path: PathBuf,
    default: CidForm,
    /// Opened when there is something in it.
    dir: OnceLock<Dir>,
    making_dir: Mutex<()>,
    slots: Vec<Slot>,
    cached_records: AtomicUsize,
    /// Files that were made or replaced.
    names: PendingNames,
}

impl Forms {
    /// Looks which files there are. Blocks without a record have the form `default`. What a
    /// compaction left half done is removed, unless the store is `read_only`.
    pub(super) fn open(path: PathBuf, default: CidForm, read_only: bool) -> Result<Self> {
        let forms = Self {
            dir: OnceLock::new(),
            making_dir: Mutex::new(()),
            slots: (0..slot::COUNT).map(|_| Slot::default()).collect(),
            cached_records: AtomicUsize::new(0),
            names: PendingNames::default(),
            path,
            default,
        };
        match Dir::open(&forms.path) {
            Ok(dir) => forms.look_around(forms.dir.get_or_init(|| dir), read_only)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io_at("open", &forms.path, error)),
        }
        Ok(forms)
    }

    fn look_around(&self, dir: &Dir, read_only: bool) -> Result<()> {
        let mut half_done = Vec::new();
        let visit = |name: &CStr, _| {
            let name = name.to_str().unwrap_or_default();
            if let Some(slot) = slot::index_of_file(name).and_then(|index| self.slots.get(index)) {
                slot.mark_present();
            } else if name.starts_with(NEW_FILE_PREFIX) {
                half_done.push(name.to_owned());
            }
        };
        dir.for_each(".", visit).map_err(|error| Error::io_at("read", &self.path, error))?;
        for name in half_done.iter().filter(|_| !read_only) {
            dir.unlink(name).map_err(|error| self.error("remove", name, error))?;
        }
        // Names that an earlier process made may be just as new to the disk.
        self.names.note();
        Ok(())
    }

    /// The form of a block that is there.
    pub(super) fn form(&self, key: &Key) -> Result<CidForm> {
        let index = slot::index_of_key(key);
        let Some(slot) = self.slots.get(index).filter(|slot| slot.is_present()) else {
            return Ok(self.default);
        };
        let mut state = slot.lock();
        let form = self.loaded(index, &mut state)?.get(key);
        drop(state);
        Ok(form.unwrap_or(self.default))
    }

    /// The records of a slot, read from its file if they are not in memory.
    fn loaded<'s>(&self, index: usize, state: &'s mut State) -> Result<&'s mut Loaded> {
        if state.loaded.is_none() {
            let name = slot::file_of_index(index);
            let read = match self.dir.get() {
                Some(dir) => Loaded::read(dir, &name).map_err(|error| self.error("read", &name, error))?,
                None => Loaded::default(),
            };
            let cached = self.cached_records.fetch_add(read.len(), Ordering::Relaxed) + read.len();
            state.loaded = Some(read);
            if cached > CACHED_RECORDS_MAX {
                self.shrink_cache(index);
            }
        }
        Ok(state.loaded.get_or_insert_default())
    }

    /// Drops records of slots that nobody is using, the next ones round the table first.
    fn shrink_cache(&self, keep: usize) {
        for step in 1..self.slots.len() {
            if self.cached_records.load(Ordering::Relaxed) <= CACHED_RECORDS_MAX / 2 {
                return;
            }
            let Some(slot) = self.slots.get((keep + step) % self.slots.len()) else { return };
            if let Some(mut state) = slot.try_lock() {
                self.cached_records.fetch_sub(state.drop_if_settled(), Ordering::Relaxed);
            }
        }
    }

    /// The directory, made if it is missing.
    fn dir_or_make(&self) -> Result<&Dir> {
        let _one_at_a_time = self.making_dir.lock();
        if let Some(dir) = self.dir.get() {
            return Ok(dir);
        }
        let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(&self.path);
        made.map_err(|error| Error::io_at("make the directory", &self.path, error))?;
        let dir = Dir::open(&self.path).map_err(|error| Error::io_at("open", &self.path, error))?;
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let sync = || Dir::open(parent)?.sync();
        sync().map_err(|error| Error::io_at("sync", parent, error))?;
        Ok(self.dir.get_or_init(|| dir))
    }

    /// Makes all records durable.
    pub(super) fn sync(&self, disk: &dyn Disk) -> Result<()> {
        let is_unsettled = |slot: &Slot| {
            let state = slot.lock();
            state.loaded.as_ref().is_some_and(|loaded| !loaded.is_settled())
        };
        let present = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_present());
        let unsettled =
            present.filter(|(_, slot)| is_unsettled(slot)).map(|(index, _)| index).collect::<Vec<_>>();
        parallel::for_each(&unsettled, |index| self.sync_slot(disk, *index))?;
        self.sync_names(disk)
    }

    fn sync_names(&self, disk: &dyn Disk) -> Result<()> {
        let Some(dir) = self.dir.get() else { return Ok(()) };
        self.names.sync(disk, dir).map_err(|error| Error::io_at("sync", &self.path, error))
    }

    /// Makes one file durable. If that fails, what is not durable is taken back from the file, so
    /// that it is not found there later and trusted.
    fn sync_slot(&self, disk: &dyn Disk, index: usize) -> Result<()> {
        let Some(slot) = self.slots.get(index) else { return Ok(()) };
        let name = slot::file_of_index(index);
        let (length, rolled_back) = {
            let mut state = slot.lock();
            (self.loaded(index, &mut state)?.length(), state.rolled_back)
        };
        let file = self.open_file(&name)?;
        let synced = disk.sync_file(&file, &name);
        let mut state = slot.lock();
        match synced {
            Ok(()) if state.rolled_back == rolled_back => {
                self.loaded(index, &mut state)?.settle(length);
                Ok(())
            }
            Ok(()) => Err(self.error("sync", &name, io::Error::from_raw_os_error(errno::EIO))),
            Err(error) => {
                let forgotten = state.roll_back(&file);
                self.cached_records.fetch_sub(forgotten, Ordering::Relaxed);
                Err(self.error("sync", &name, error))
            }
        }
    }

    fn open_file(&self, name: &str) -> Result<File> {
        self.dir_or_make()?.open_or_create(name, FILE_MODE).map_err(|error| self.error("open", name, error))
    }

    fn error(&self, op: &str, name: &str, error: io::Error) -> Error {
        Error::io_at(op, &self.path.join(name), error)
    }
}
