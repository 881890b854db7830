//! Locks that make changes of one key follow each other, and leave others alone.
//!
//! Invariant: a thread takes the stripes of all its keys at once, in ascending order, so no two
//! threads wait for each other.

use parking_lot::{Mutex, MutexGuard};

use crate::block::Key;

/// How many locks there are: a batch of 64 blocks leaves three quarters of them free.
const STRIPES: usize = 256;

/// The locks.
#[derive(Debug)]
pub struct KeyLocks {
    stripes: Vec<Mutex<()>>,
}

impl KeyLocks {
    pub fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::new(())).collect() }
    }

    /// Waits until nobody else changes these keys.
    pub fn lock<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Vec<MutexGuard<'_, ()>> {
        let mut chosen = keys.into_iter().map(Self::stripe).collect::<Vec<_>>();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.into_iter().filter_map(|stripe| self.stripes.get(stripe)).map(Mutex::lock).collect()
    }

    fn stripe(key: &Key) -> usize {
        key.digest().last().map_or(0, |byte| usize::from(*byte)) % STRIPES
    }
}
