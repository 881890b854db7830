//! What all operations share.
//!
//! Locks are taken in this order, and held across nothing that waits for another request:
//! tables, inodes, handles, then a writer's or a file's own state.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::FsOptions;
use super::file::File;
use super::handle::Handles;
use super::inode::{Access, InodeTable, Node, natural_number};
use super::refusals::Refusals;
use super::reopen::Retries;
use super::staging::{Charge, Staging};
use super::tables::Tables;
use super::types::{Attr, AttrChange, Entry, Ino, Kind, ROOT, Validity};
use super::writer::{Content, Room, Writer};
use crate::block::{CidForm, Key};
use crate::blockstore::Blockstore;
use crate::metrics::Metrics;
use crate::{Error, Result};

/// What the kernel remembers and must be told to forget. Called from within requests, so the call
/// may not wait for a request.
pub trait KernelCache: Send + Sync {
    /// The attributes of this inode are no longer what the kernel was told.
    fn attributes_changed(&self, ino: Ino);
}

/// The state of one mount.
pub struct Shared {
    pub(super) store: Blockstore,
    pub(super) options: FsOptions,
    pub(super) staging: Arc<Staging>,
    pub(super) tables: Mutex<Tables>,
    pub(super) inodes: Mutex<InodeTable>,
    pub(super) handles: Handles,
    pub(super) refusals: Arc<Refusals>,
    pub(super) retries: Retries,
    pub(super) kernel: OnceLock<Box<dyn KernelCache>>,
    pub(super) started: SystemTime,
    root_times: Mutex<RootTimes>,
    /// Whether the kernel has been told of the root since it last changed.
    root_is_known: AtomicBool,
    next_writer: AtomicU64,
}

struct RootTimes {
    atime: SystemTime,
    mtime: SystemTime,
    ctime: SystemTime,
}

impl Shared {
    pub(super) fn new(store: Blockstore, options: FsOptions) -> Self {
        let now = SystemTime::now();
        Self {
            staging: Staging::new(options.staging_bytes_max),
            store,
            options,
            tables: Mutex::default(),
            inodes: Mutex::new(InodeTable::new(natural_number)),
            handles: Handles::default(),
            refusals: Arc::default(),
            retries: Retries::default(),
            kernel: OnceLock::new(),
            started: now,
            root_times: Mutex::new(RootTimes { atime: now, mtime: now, ctime: now }),
            root_is_known: AtomicBool::new(false),
            next_writer: AtomicU64::new(1),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.store.metrics()
    }

    pub(super) fn room(&self) -> Room<'_> {
        Room { store: &self.store, staging: &self.staging, block_bytes_max: self.options.block_bytes_max }
    }

    pub(super) fn new_writer(&self, content: Content, hash_code: u64, digest_len: usize) -> Arc<Writer> {
        let id = self.next_writer.fetch_add(1, Ordering::Relaxed);
        Writer::new(id, Charge::new(&self.staging), content, hash_code, digest_len)
    }

    pub(super) fn node(&self, ino: Ino) -> Result<Node> {
        self.inodes.lock().get(ino).ok_or(Error::Stale)
    }

    /// The listing of the root has changed, possibly without the kernel having asked for it. It is told so
    /// if it has asked for the root since the last time: a call for every block that comes would cost more
    /// than the block.
    pub(super) fn listing_changed(&self) {
        let now = SystemTime::now();
        *self.root_times.lock() = RootTimes { atime: now, mtime: now, ctime: now };
        if self.root_is_known.swap(false, Ordering::AcqRel)
            && let Some(kernel) = self.kernel.get()
        {
            kernel.attributes_changed(ROOT);
        }
    }

    pub(super) fn change_root(&self, change: &AttrChange) {
        let mut times = self.root_times.lock();
        times.atime = change.atime.unwrap_or(times.atime);
        times.mtime = change.mtime.unwrap_or(times.mtime);
        times.ctime = SystemTime::now();
    }

    /// How long the kernel may believe what it is told of stored blocks and of the root.
    pub(super) fn lasting(&self) -> Validity {
        if self.store.info().shared { Validity::Brief } else { Validity::Long }
    }

    pub(super) fn root_entry(&self) -> Entry {
        // Before the times are read: of a change that comes in between the kernel is told, and then it drops
        // what it is only being told here.
        self.root_is_known.store(true, Ordering::Release);
        let times = self.root_times.lock();
        let attr = Attr {
            ino: ROOT,
            kind: Kind::Directory,
            size_bytes: 0,
            mode: 0o755,
            links: 2,
            uid: self.options.uid,
            gid: self.options.gid,
            atime: times.atime,
            mtime: times.mtime,
            ctime: times.ctime,
        };
        Entry { attr, validity: self.lasting() }
    }

    /// A stored block's or an identity CID's attributes, without a number; `None` if absent.
    pub(super) fn block_attr(&self, key: &Key) -> Result<Option<Attr>> {
        let (size_bytes, mtime) = if key.is_identity() {
            (key.digest().len() as u64, SystemTime::UNIX_EPOCH)
        } else {
            match self.store.stat(key)? {
                Some(meta) => (meta.size_bytes, meta.mtime),
                None => return Ok(None),
            }
        };
        Ok(Some(self.attr_of_block(size_bytes, mtime)))
    }

    pub(super) fn attr_of_block(&self, size_bytes: u64, mtime: SystemTime) -> Attr {
        Attr {
            ino: 0,
            kind: Kind::File,
            size_bytes,
            mode: 0o444,
            links: 1,
            uid: self.options.uid,
            gid: self.options.gid,
            atime: mtime,
            mtime,
            ctime: mtime,
        }
    }

    /// Tells the kernel of a block by a name.
    pub(super) fn block_entry(&self, key: &Key, form: CidForm, name: &OsStr, attr: Attr) -> Entry {
        let ino = self.inodes.lock().remember_block(key, form, name);
        Entry { attr: Attr { ino, ..attr }, validity: self.lasting() }
    }

    /// Tells the kernel of a file.
    pub(super) fn file_entry(&self, file: &Arc<File>) -> Entry {
        self.inodes.lock().remember(file.ino, Node::File(Arc::clone(file)));
        Entry { attr: file.attr(), validity: Validity::None }
    }

    /// The kernel should forget what it knows of a block's attributes: it has gone, or changed.
    pub(super) fn block_gone(&self, key: &Key) {
        let ino = self.inodes.lock().block_number(key);
        if let Some(kernel) = self.kernel.get() {
            kernel.attributes_changed(ino);
        }
        self.listing_changed();
    }

    /// Gives a block that the kernel knows another inode from now on: what the kernel has cached
    /// of it, and whatever file it reads for those who have it open, stays with them.
    pub(super) fn retire(&self, key: &Key, next: Access) {
        let retired = self.inodes.lock().retire(key, next);
        if let (Some(ino), Some(kernel)) = (retired, self.kernel.get()) {
            kernel.attributes_changed(ino);
        }
    }
}
