//! What was changed and is not known to be durable yet.
//!
//! Invariant: a change is noted before its call returns, and forgotten only after it was synced.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::disk::Disk;
use super::parallel;
use crate::sys::files::Dir;
use crate::{Error, Result};

/// From this many files and directories on, syncing the whole file system is cheaper than one
/// after the other, and nothing more need be remembered.
const NAMES_MAX: usize = 256;

/// Names under the store's directory.
#[derive(Debug, Default)]
struct Names {
    files: BTreeSet<String>,
    dirs: BTreeSet<String>,
    /// There were too many to remember.
    all: bool,
}

/// The changes that wait for a sync.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    names: Mutex<Names>,
}

impl Unsynced {
    /// Notes a directory whose names have changed.
    pub(super) fn note_dir(&self, name: &str) {
        let mut names = self.names.lock();
        names.make_room();
        if !names.all && !names.dirs.contains(name) {
            names.dirs.insert(name.to_owned());
        }
    }

    /// Notes a file whose bytes or times have changed.
    pub(super) fn note_file(&self, name: &str) {
        let mut names = self.names.lock();
        names.make_room();
        if !names.all && !names.files.contains(name) {
            names.files.insert(name.to_owned());
        }
    }

    /// Makes it all durable. One call at a time: what it has taken is on the disk only when it returns.
    pub(super) fn sync(&self, disk: &dyn Disk, root: &Dir) -> Result<()> {
        let names = std::mem::take(&mut *self.names.lock());
        let result = names.sync(disk, root);
        if result.is_err() {
            self.names.lock().merge(names);
        }
        result
    }
}

impl Names {
    /// Gives up remembering single names if there are too many.
    fn make_room(&mut self) {
        if self.files.len() + self.dirs.len() >= NAMES_MAX {
            *self = Names { all: true, ..Names::default() };
        }
    }

    fn merge(&mut self, other: Names) {
        self.all |= other.all;
        self.files.extend(other.files);
        self.dirs.extend(other.dirs);
    }

    /// Files before directories, so that a durable name never leads to bytes that are not.
    fn sync(&self, disk: &dyn Disk, root: &Dir) -> Result<()> {
        let failed = |name: &str, error| Error::io_at("sync", &root.path().join(name), error);
        if self.all {
            return disk.sync_file_system(root).map_err(|error| failed("", error));
        }
        let mut files = Vec::with_capacity(self.files.len());
        for name in &self.files {
            if let Some(file) = root.open_file(name).map_err(|error| failed(name, error))? {
                disk.start_writeback(&file);
                files.push((name, file));
            }
        }
        parallel::for_each(&files, |(name, file)| {
            disk.sync_file(file, name).map_err(|error| failed(name, error))
        })?;
        let dirs = self.dirs.iter().collect::<Vec<_>>();
        parallel::for_each(&dirs, |name| sync_shard(disk, root, name))
    }
}

/// Makes the names in a shard durable; a shard that is gone has none.
pub(super) fn sync_shard(disk: &dyn Disk, root: &Dir, shard: &str) -> Result<()> {
    let sync = || match root.open_dir(shard)? {
        Some(dir) => disk.sync_dir(&dir),
        None => Ok(()),
    };
    sync().map_err(|error| Error::io_at("sync", &root.path().join(shard), error))
}
