//! The file system in its own terms: inodes, names, staging, directory cursors. Knows no kernel.
//!
//! [`Filesystem`] is what an adapter calls; every method is one kernel request. The rules that
//! users see are in `docs/SEMANTICS.md`.

mod claims;
#[cfg(test)]
mod collisions;
mod control;
mod core;
mod cursor;
mod data;
mod file;
mod handle;
mod inode;
mod leftovers;
mod lookup;
mod open;
mod options;
mod permission;
mod refusals;
mod release;
mod remove;
mod rename;
mod reopen;
mod staging;
mod tables;
mod target;
mod types;
mod verdict;
mod writer;
mod xattr;

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

pub use self::core::KernelCache;
pub use control::CONTROL_NAME;
pub use cursor::Sink;
pub use open::{OpenIntent, PASSTHROUGH_BYTES_MIN};
pub use options::FsOptions;
pub use refusals::{REFUSALS_MAX, Refusals};
pub use staging::STAGING_WAIT;
pub use tables::NAMES_MAX;
pub use types::{
    Attr, AttrChange, Caching, Caller, DirEntry, Done, Entry, Handle, Ino, Kind, Opened, ROOT, Validity,
};
pub use xattr::CID_ATTRIBUTE;

use self::core::Shared;
use crate::blockstore::{Blockstore, StoreInfo};
use crate::metrics::Metrics;
use crate::sys::Space;
use crate::{Error, Result};
use verdict::Occasion;

/// The file system of one mount.
pub struct Filesystem {
    shared: Arc<Shared>,
}

impl Filesystem {
    /// A file system on an opened store.
    pub fn new(store: Blockstore, options: FsOptions) -> Self {
        Self { shared: Arc::new(Shared::new(store, options)) }
    }

    /// Connects the kernel's caches, once, before the first request.
    pub fn set_kernel_cache(&self, kernel: Box<dyn KernelCache>) {
        // A second connection would be a bug of the adapter and changes nothing.
        let _ = self.shared.kernel.set(kernel);
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.shared.store.metrics()
    }

    /// The rules of this mount.
    pub fn options(&self) -> &FsOptions {
        &self.shared.options
    }

    /// What store is shown.
    pub fn store_info(&self) -> &StoreInfo {
        self.shared.store.info()
    }

    /// Bytes that are staged and not stored yet.
    pub fn staged_bytes(&self) -> u64 {
        self.shared.staging.used_bytes()
    }

    /// The refusals that `.ipfs-persist/errors` shows.
    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.shared.refusals
    }

    /// The inode that a name stands for; the kernel holds one more reference to it.
    pub fn lookup(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<Entry> {
        self.shared.check_search(caller)?;
        let entry = self.shared.lookup_by(parent, name, caller.pid);
        entry.map(|entry| self.shared.masked(entry))
    }

    /// The name of an inode, for a message: of a block its CID. Empty if it has none.
    pub fn name_of(&self, ino: Ino) -> OsString {
        self.shared.name_of(ino)
    }

    /// The kernel gives `lookups` references back.
    pub fn forget(&self, ino: Ino, lookups: u64) {
        self.shared.inodes.lock().forget(ino, lookups);
    }

    /// Attributes; the handle is that through which they are asked for, if the kernel says it.
    pub fn getattr(&self, ino: Ino, handle: Option<Handle>) -> Result<Entry> {
        self.shared.getattr(ino, handle).map(|entry| self.shared.masked(entry))
    }

    /// Changes attributes; says what they are then.
    pub fn setattr(
        &self,
        ino: Ino,
        handle: Option<Handle>,
        change: &AttrChange,
        caller: Caller,
    ) -> Result<Entry> {
        self.shared.setattr(ino, handle, change, caller).map(|entry| self.shared.masked(entry))
    }

    /// The target of a symbolic link.
    pub fn readlink(&self, ino: Ino) -> Result<String> {
        self.shared.readlink(ino)
    }

    /// The value of an extended attribute.
    pub fn getxattr(&self, ino: Ino, name: &OsStr) -> Result<String> {
        self.shared.getxattr(ino, name)
    }

    /// The names of the extended attributes, each with a zero byte behind it.
    pub fn listxattr(&self, ino: Ino) -> Result<Vec<u8>> {
        self.shared.listxattr(ino)
    }

    /// Creates a file and opens it; the kernel holds one more reference to the inode.
    pub fn create(
        &self,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        intent: OpenIntent,
        caller: Caller,
    ) -> Result<(Entry, Opened)> {
        let created = self.shared.create(parent, name, mode, intent, caller);
        created.map(|(entry, opened)| (self.shared.masked(entry), opened))
    }

    /// Opens a file.
    pub fn open(&self, ino: Ino, intent: OpenIntent, caller: Caller) -> Result<Opened> {
        self.shared.check_read(caller)?;
        self.shared.open(ino, intent, caller)
    }

    /// Calls `with` with at most `length` bytes at `offset`.
    pub fn read<R>(
        &self,
        handle: Handle,
        offset: u64,
        length: usize,
        with: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        self.shared.read(handle, offset, length, with)
    }

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// [`Error::StagingFull`] at once: the caller then uses [`Filesystem::write_when_room`] on a
    /// thread of its own, or [`Filesystem::refuse_write`].
    pub fn write(&self, handle: Handle, offset: u64, data: &[u8]) -> Result<()> {
        self.shared.write(handle, offset, data)
    }

    /// As [`Filesystem::write`], waiting up to [`STAGING_WAIT`] for memory.
    pub fn write_when_room(&self, handle: Handle, offset: u64, data: &[u8]) -> Result<()> {
        self.shared.write_when_room(handle, offset, data)
    }

    /// The write failed for good: the handle stores nothing.
    pub fn refuse_write(&self, handle: Handle, error: &Error) -> Result<()> {
        self.shared.refuse_for_good(handle, error)
    }

    /// A descriptor of the handle is closed. `done` is told the verdict, if one is due.
    pub fn flush(&self, handle: Handle, done: Done) {
        self.shared.verdict(handle, Occasion::Flush, done);
    }

    /// As [`Filesystem::flush`], and what was stored is durable.
    pub fn fsync(&self, handle: Handle, done: Done) {
        self.shared.verdict(handle, Occasion::Fsync, done);
    }

    /// The handle is gone.
    pub fn release(&self, handle: Handle) {
        self.shared.release(handle);
    }

    /// Extends an open file, unless it is to keep its size.
    pub fn fallocate(&self, handle: Handle, offset: u64, length: u64, keep_size: bool) -> Result<()> {
        self.shared.fallocate(handle, offset, length, keep_size)
    }

    /// Opens a directory.
    pub fn opendir(&self, ino: Ino, caller: Caller) -> Result<Handle> {
        self.shared.check_read(caller)?;
        self.shared.opendir(ino)
    }

    /// Emits entries behind a cookie until the sink is full. With attributes, the kernel holds one
    /// more reference to each inode that the sink took.
    pub fn readdir(&self, handle: Handle, cookie: u64, attributes: bool, sink: &mut Sink<'_>) -> Result<()> {
        let shared = &self.shared;
        let mut masked = |entry: &DirEntry, told: Option<&Entry>| {
            sink(entry, told.map(|told| shared.masked(*told)).as_ref())
        };
        shared.readdir(handle, cookie, attributes, &mut masked)
    }

    /// Makes everything durable that was acknowledged before.
    pub fn sync(&self) -> Result<()> {
        self.shared.store.sync()
    }

    /// Removes a name.
    pub fn unlink(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<()> {
        self.shared.unlink(parent, name, caller)
    }

    /// Drops temporary files that nobody has renamed in time. To be called every
    /// [`Filesystem::look_interval`].
    pub fn drop_leftovers(&self) {
        self.shared.drop_leftovers();
    }

    /// How often to call [`Filesystem::drop_leftovers`].
    pub fn look_interval(&self) -> Duration {
        self.shared.look_interval()
    }

    /// Renames; `exclusive` refuses to replace.
    pub fn rename(
        &self,
        parents: (Ino, Ino),
        names: (&OsStr, &OsStr),
        exclusive: bool,
        caller: Caller,
        done: Done,
    ) {
        self.shared.rename(parents, names, exclusive, caller, done);
    }

    /// What `df` shows.
    pub fn statfs(&self) -> Result<Space> {
        self.shared.store.space()
    }

    /// Whether the caller may do this: read, or change as well.
    pub fn access(&self, ino: Ino, caller: Caller, change: bool) -> Result<()> {
        self.shared.access(ino, caller, change)
    }

    /// Closes the store: everything acknowledged is durable, the engine closed, the lock released.
    /// What is only staged is lost.
    pub fn close(self) -> Result<()> {
        match Arc::into_inner(self.shared) {
            Some(shared) => shared.store.close(),
            None => {
                Err(Error::Internal { what: "a request was still running; the store was not closed".into() })
            }
        }
    }
}
