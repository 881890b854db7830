//! Listing: one shard after the other, each read and sorted in memory.
//!
//! Invariant: what is in memory is bounded by [`SHARD_KEYS_MAX`] and by the window of shard names,
//! whatever the store holds, and block files are not opened.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ffi::CStr;

use super::FlatFs;
use super::place::key_of_file;
use crate::Result;
use crate::block::Key;
use crate::datastore::{ListedKey, Position};
use crate::sys::files::Kind;

/// A shard with up to this many keys is read once, and comes in one page; a larger one is read
/// again for each page of this many (about 100 bytes each). With the default sharding that takes
/// 67 million blocks, but `prefix/N` puts nearly all blocks into one shard.
const SHARD_KEYS_MAX: usize = 65_536;

/// The first keys of a shard behind a position.
struct Scan {
    /// In order, ending at a whole position.
    keys: Vec<Key>,
    /// Whether these are all.
    complete: bool,
}

impl FlatFs {
    pub(super) fn list_page(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>> {
        let limit = limit.max(1);
        let mut page: Vec<ListedKey> = Vec::new();
        let mut from = after.map(|after| self.sharding.first_shard(after)).unwrap_or_default();
        loop {
            let window = self.shards.at(&self.root, &from, self.sharding, self.shard_names.generation())?;
            for shard in window.from(&from) {
                if page.len() >= limit && !self.shares_position(shard, &page) {
                    return Ok(page);
                }
                if !self.list_shard(shard, after, limit, &mut page)? {
                    return Ok(page);
                }
            }
            match window.behind() {
                Some(behind) => from = behind,
                None => return Ok(page),
            }
        }
    }

    /// Whether keys of this shard may stand where the last one of the page stands: with long shard
    /// names the position has only their beginning.
    fn shares_position(&self, shard: &str, page: &[ListedKey]) -> bool {
        let last = page.last().map(|listed| self.key_position(&listed.key));
        last.is_some_and(|last| self.sharding.shard_position(shard) <= last)
    }

    /// Appends the keys of a shard: all of them, or, if there are very many, until the page is full;
    /// says whether it was all.
    fn list_shard(
        &self,
        shard: &str,
        mut after: Option<Position>,
        limit: usize,
        page: &mut Vec<ListedKey>,
    ) -> Result<bool> {
        loop {
            let scan = self.scan(shard, after)?;
            after = scan.keys.last().map(|key| self.sharding.position(shard, key)).or(after);
            for key in scan.keys {
                let cid_form = self.forms.form(&key)?;
                page.push(ListedKey { key, cid_form });
            }
            if scan.complete || page.len() >= limit {
                return Ok(scan.complete);
            }
        }
    }

    fn scan(&self, shard: &str, after: Option<Position>) -> Result<Scan> {
        let head = self.sharding.shard_position(shard);
        // Sorted at the end, and kept a heap only where there are too many.
        let (mut keys, mut heap) = (Vec::new(), BinaryHeap::new());
        self.for_each_key(shard, |key| {
            if after.is_some_and(|after| self.sharding.position_behind(head, &key) <= after) {
                return;
            }
            if heap.is_empty() {
                keys.push(key);
                if keys.len() > SHARD_KEYS_MAX {
                    heap = BinaryHeap::from(std::mem::take(&mut keys));
                    heap.pop();
                }
            } else {
                heap.push(key);
                heap.pop();
            }
        })?;
        let complete = heap.is_empty();
        if complete {
            keys.sort_unstable();
        } else {
            keys = heap.into_sorted_vec();
        }
        keys.dedup();
        if complete { Ok(Scan { keys, complete }) } else { self.end_at_whole_position(shard, keys) }
    }

    /// The keys that were left out may share the last position: leaves out all that have it, or,
    /// if there is no other one, takes all that do.
    fn end_at_whole_position(&self, shard: &str, mut keys: Vec<Key>) -> Result<Scan> {
        let position = |key: &Key| self.sharding.position(shard, key);
        let last = keys.last().map_or(0, position);
        keys.truncate(keys.partition_point(|key| position(key) < last));
        if !keys.is_empty() {
            return Ok(Scan { keys, complete: false });
        }
        let mut complete = true;
        self.for_each_key(shard, |key| match position(&key).cmp(&last) {
            Ordering::Less => {}
            Ordering::Equal => keys.push(key),
            Ordering::Greater => complete = false,
        })?;
        keys.sort_unstable();
        keys.dedup();
        Ok(Scan { keys, complete })
    }

    /// Calls `visit` with each key in a shard, in no order. A shard that is gone has none.
    pub(super) fn for_each_key(&self, shard: &str, mut visit: impl FnMut(Key)) -> Result<()> {
        let _no_replacing = self.listing.read();
        let each = |name: &CStr, kind: Kind| {
            if let Some(key) = kind.may_be_file().then(|| key_of_file(self.sharding, shard, name)).flatten() {
                visit(key);
            }
        };
        match self.root.for_each(shard, each) {
            Ok(_there) => Ok(()),
            Err(error) => Err(self.error("read", shard, error)),
        }
    }
}
