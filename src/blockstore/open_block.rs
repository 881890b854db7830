//! Blocks that somebody has open.
//!
//! Invariant: once an [`OpenBlock`] exists, its bytes stay readable and the same until it is
//! dropped, whatever happens to the stored block; removing or replacing a block pins the bytes
//! of its open handles first.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::block::Key;

/// Independent locks of the registry; a power of two well above the number of request threads.
const STRIPES: usize = 64;

/// Where the bytes of an open block are.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In a file that the engine never changes in place.
    File(File),
}

/// A block that is open: shared by all handles on it.
#[derive(Debug)]
pub struct OpenBlock {
    /// The block.
    pub key: Key,
    /// Its exact size.
    pub size_bytes: u64,
    /// Its modification time when it was opened.
    pub mtime: SystemTime,
    /// Set at once for engines with files, else when the bytes are first needed.
    pub(super) content: OnceLock<Content>,
}

impl OpenBlock {
    /// The file that holds the block, for kernel passthrough.
    pub fn file(&self) -> Option<&File> {
        match self.content.get() {
            Some(Content::File(file)) => Some(file),
            _ => None,
        }
    }
}

/// One stripe: the open blocks whose keys fall into it.
pub type Stripe = HashMap<Key, Weak<OpenBlock>>;

/// All open blocks of a store.
pub struct OpenBlocks {
    hasher: RandomState,
    stripes: Vec<Mutex<Stripe>>,
}

impl Default for OpenBlocks {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(Stripe::new())).collect(),
        }
    }
}

impl OpenBlocks {
    /// Locks the stripe of a key: while it is held, the key is neither opened, removed nor replaced.
    pub fn lock(&self, key: &Key) -> Option<MutexGuard<'_, Stripe>> {
        let index = self.hasher.hash_one(key) as usize % STRIPES;
        self.stripes.get(index).map(Mutex::lock)
    }
}

/// The open block of a key, if anybody has it open.
pub fn find(stripe: &Stripe, key: &Key) -> Option<Arc<OpenBlock>> {
    stripe.get(key).and_then(Weak::upgrade)
}

/// Adds an open block, and forgets those that nobody has open any more.
pub fn register(stripe: &mut Stripe, block: &Arc<OpenBlock>) {
    if stripe.len() == stripe.capacity() {
        stripe.retain(|_, weak| weak.strong_count() > 0);
    }
    stripe.insert(block.key.clone(), Arc::downgrade(block));
}
