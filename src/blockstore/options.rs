//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

use crate::datastore::Backend;

/// When bytes are checked against their multihash on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyReads {
    /// Before the first cached or passthrough open of this mount.
    #[default]
    First,
    /// At every open, past every cache.
    Always,
    /// Never.
    Never,
}

/// What a close promises of a written block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// That it survives a power cut.
    #[default]
    Close,
    /// That it survives the end of the process, and within a second a power cut.
    Relaxed,
}

impl Durability {
    /// The name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Close => "close",
            Durability::Relaxed => "relaxed",
        }
    }

    /// What this backend makes of it: one that loses what it has not synced when the process ends has no
    /// relaxed mode.
    pub fn on(self, backend: &Backend) -> Self {
        if backend.relaxed { self } else { Durability::Close }
    }
}

/// What [`Blockstore::open`](super::Blockstore::open) is to open, and how.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The backend asked for; `None` takes what the data directory's marker says, else `file`.
    pub backend: Option<&'static Backend>,
    /// The data directory; `None` is the backend's default path.
    pub data_path: Option<PathBuf>,
    /// Never change anything in the store.
    pub read_only: bool,
    /// Open a store that is there, and never make one.
    pub existing: bool,
    /// Free bytes that new blocks must leave on the file system of the data directory.
    pub min_free_space_bytes: u64,
    /// Most bytes of blocks in the memory backend.
    pub memory_limit_bytes: u64,
    /// How long to wait for another holder of the store to let go.
    pub lock_wait: Duration,
    /// When to check bytes on reading.
    pub verify_reads: VerifyReads,
    /// What a close promises.
    pub durability: Durability,
    /// The mount point, for the lock file: others are told who holds the store and where.
    pub mount_point: Option<PathBuf>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            backend: None,
            data_path: None,
            read_only: false,
            existing: false,
            min_free_space_bytes: 100 << 20,
            memory_limit_bytes: 1 << 30,
            lock_wait: Duration::from_secs(10),
            verify_reads: VerifyReads::First,
            durability: Durability::Close,
            mount_point: None,
        }
    }
}
