//! The steps of a commit that decide what survives a power cut, behind a seam: tests put a disk
//! here that records their order, or fails.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::files::{Dir, start_writeback};

/// What makes files and names durable.
pub(super) trait Disk: Debug + Send + Sync {
    /// Starts writing a file without waiting for it.
    fn start_writeback(&self, file: &File);
    /// Makes a file's bytes and times durable. `name` is for messages.
    fn sync_file(&self, file: &File, name: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Dir) -> io::Result<()>;
    /// Makes everything durable that is on the file system of a directory.
    fn sync_file_system(&self, dir: &Dir) -> io::Result<()>;
    /// Gives a finished file its name.
    fn rename(&self, dir: &Dir, from: &str, to: &str) -> io::Result<()>;
}

/// The real one.
#[derive(Debug)]
pub(super) struct KernelDisk;

impl Disk for KernelDisk {
    fn start_writeback(&self, file: &File) {
        start_writeback(file);
    }

    /// Not fdatasync, which may leave out the modification time; on a file just made both cost
    /// the same.
    fn sync_file(&self, file: &File, _name: &str) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_dir(&self, dir: &Dir) -> io::Result<()> {
        dir.sync()
    }

    fn sync_file_system(&self, dir: &Dir) -> io::Result<()> {
        dir.sync_file_system()
    }

    fn rename(&self, dir: &Dir, from: &str, to: &str) -> io::Result<()> {
        dir.rename(from, to)
    }
}

/// Whether a directory has names that are not durable yet. A thread that did not make them still
/// waits for them, because its own files may lie below.
#[derive(Debug, Default)]
pub(super) struct PendingNames {
    made: AtomicU64,
    synced: AtomicU64,
}

impl PendingNames {
    /// Notes that a name was made or replaced.
    pub(super) fn note(&self) {
        self.made.fetch_add(1, Ordering::AcqRel);
    }

    /// A number that grows with every [`note`](Self::note).
    pub(super) fn generation(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    /// Syncs the directory, unless all its names are durable.
    pub(super) fn sync(&self, disk: &dyn Disk, dir: &Dir) -> io::Result<()> {
        let made = self.generation();
        if self.synced.load(Ordering::Acquire) < made {
            disk.sync_dir(dir)?;
            self.synced.fetch_max(made, Ordering::AcqRel);
        }
        Ok(())
    }
}
