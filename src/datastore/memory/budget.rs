//! How much memory the blocks may take, and how much they do.
//!
//! Invariant: what is taken never exceeds the limit, whatever the threads do at once.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::block::Key;
use crate::{Error, Result};

/// What a block takes besides its bytes and its key: its place in the map, bookkeeping of the
/// buffers and of the allocator. Measured at about 200 bytes.
const ENTRY_BYTES: u64 = 200;

/// A bounded count of bytes.
#[derive(Debug)]
pub(super) struct Budget {
    limit_bytes: u64,
    taken_bytes: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, taken_bytes: AtomicU64::new(0) }
    }

    /// What a block of this length counts for.
    pub(super) fn cost(key: &Key, length_bytes: usize) -> u64 {
        (key.as_bytes().len() + length_bytes) as u64 + ENTRY_BYTES
    }

    /// Takes `bytes`, all or nothing.
    pub(super) fn take(&self, bytes: u64) -> Result<()> {
        let fits = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        match self.taken_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::MemoryFull { limit_bytes: self.limit_bytes }),
        }
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.taken_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken_bytes.load(Ordering::Relaxed)
    }
}
