//! The `memory` engine: blocks in sorted maps, gone when the process ends.
//!
//! Invariant: a block lies in the map that the first bits of its digest choose, so the maps one
//! after the other are in the engine's order; and the bytes accounted for never pass the limit.

mod budget;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use self::budget::Budget;
use super::order::{digest_bits, digest_position, first_after};
use super::{Datastore, ListedKey, MetaChange, OpenRequest, Position, Sync, Usage};
use crate::Result;
use crate::block::{Block, Key, Meta};

/// How many bits of the digest choose a map: enough that threads seldom meet at one lock.
const SHARD_BITS: u32 = 6;

type Shard = RwLock<BTreeMap<Key, Stored>>;

#[derive(Debug, Clone)]
struct Stored {
    meta: Meta,
    bytes: Bytes,
}

/// Blocks in memory.
#[derive(Debug)]
pub struct Memory {
    shards: Vec<Shard>,
    budget: Budget,
    /// How many blocks there are, for `usage`, which every write asks.
    blocks: AtomicU64,
}

impl Memory {
    /// An empty store that holds at most `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        let shards = (0..1usize << SHARD_BITS).map(|_| RwLock::default()).collect();
        Self { shards, budget: Budget::new(limit_bytes), blocks: AtomicU64::new(0) }
    }

    /// Opens the engine as the table of backends does.
    pub fn open(request: &OpenRequest) -> Result<Box<dyn Datastore>> {
        Ok(Box::new(Self::new(request.memory_limit_bytes)))
    }

    fn shard_index(key: &Key) -> usize {
        usize::try_from(digest_bits(key.digest(), SHARD_BITS)).unwrap_or(0)
    }

    /// The map of a key. The index has [`SHARD_BITS`] bits, so there always is one.
    fn shard(&self, key: &Key) -> Option<&Shard> {
        self.shards.get(Self::shard_index(key))
    }

    fn read<T>(&self, key: &Key, look: impl FnOnce(&Stored) -> T) -> Option<T> {
        self.shard(key)?.read().get(key).map(look)
    }
}

impl Datastore for Memory {
    fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        Ok(self.read(key, |stored| stored.bytes.clone()))
    }

    fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        Ok(self.read(key, |stored| stored.meta))
    }

    /// Refuses the whole call before it stores anything, if the blocks do not fit.
    fn put(&self, blocks: &[Block], _sync: Sync) -> Result<()> {
        self.budget.take(blocks.iter().map(|block| Budget::cost(block.key(), block.bytes().len())).sum())?;
        for block in blocks {
            // The caller's buffer goes back to a pool, so the bytes are copied.
            let stored = Stored { meta: *block.meta(), bytes: Bytes::copy_from_slice(block.bytes()) };
            let Some(shard) = self.shard(block.key()) else { continue };
            let mut shard = shard.write();
            match shard.insert(block.key().clone(), stored) {
                Some(old) => self.budget.give_back(Budget::cost(block.key(), old.bytes.len())),
                None => drop(self.blocks.fetch_add(1, Ordering::Relaxed)),
            }
        }
        Ok(())
    }

    fn set_meta(&self, key: &Key, change: MetaChange) -> Result<bool> {
        let Some(shard) = self.shard(key) else { return Ok(false) };
        let mut shard = shard.write();
        let Some(stored) = shard.get_mut(key) else { return Ok(false) };
        stored.meta.mtime = change.mtime.unwrap_or(stored.meta.mtime);
        stored.meta.cid_form = change.cid_form.unwrap_or(stored.meta.cid_form);
        Ok(true)
    }

    fn remove(&self, keys: &[Key], _sync: Sync) -> Result<u64> {
        let mut count = 0;
        for key in keys {
            if let Some(old) = self.shard(key).and_then(|shard| shard.write().remove(key)) {
                self.budget.give_back(Budget::cost(key, old.bytes.len()));
                count += 1;
            }
        }
        self.blocks.fetch_sub(count, Ordering::Relaxed);
        Ok(count)
    }

    fn position(&self, key: &Key) -> Position {
        digest_position(key)
    }

    fn list(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>> {
        let start = match after.map(first_after) {
            None => None,
            Some(None) => return Ok(Vec::new()),
            Some(first) => first,
        };
        let first_shard = start.as_ref().map_or(0, Self::shard_index);
        let mut page: Vec<ListedKey> = Vec::new();
        for shard in self.shards.iter().skip(first_shard) {
            let shard = shard.read();
            let from = start.as_ref().map_or(Bound::Unbounded, Bound::Included);
            for (key, stored) in shard.range::<Key, _>((from, Bound::Unbounded)) {
                let last = page.last().map(|listed| digest_position(&listed.key));
                if page.len() >= limit.max(1) && last != Some(digest_position(key)) {
                    return Ok(page);
                }
                page.push(ListedKey { key: key.clone(), cid_form: stored.meta.cid_form });
            }
        }
        Ok(page)
    }

    fn usage(&self) -> Result<Usage> {
        let blocks = Some(self.blocks.load(Ordering::Relaxed));
        Ok(Usage { disk_bytes: self.budget.taken(), blocks })
    }

    fn pending_bytes(&self) -> u64 {
        0
    }

    fn file(&self, _key: &Key) -> Result<Option<File>> {
        Ok(None)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
