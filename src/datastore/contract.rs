//! The contract that every engine fulfils.

use std::fs::File;
use std::time::SystemTime;

use bytes::Bytes;

use crate::Result;
use crate::block::{Block, CidForm, Key, Meta};

/// Where a key stands in an engine's own order; below 2^62.
pub type Position = u64;

/// When a change must be on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before the call returns: it then survives a power cut.
    Now,
    /// At the latest when [`Datastore::sync`] or [`Datastore::close`] returns.
    Later,
}

/// A change to a stored block's [`Meta`]; `None` leaves a field as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetaChange {
    /// The new modification time.
    pub mtime: Option<SystemTime>,
    /// The new CID form.
    pub cid_form: Option<CidForm>,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The block's key.
    pub key: Key,
    /// The CID under which it was first stored.
    pub cid_form: CidForm,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes that the engine's files occupy on disk, or memory that the blocks take; an estimate
    /// where the engine keeps no exact count.
    pub disk_bytes: u64,
    /// Number of blocks, where the engine knows it without counting.
    pub blocks: Option<u64>,
}

/// A storage engine for verified blocks.
///
/// Threads: all methods take `&self` and may be called from any number of threads at once. Calls
/// on one key are linearizable: a reader sees a block entirely or not at all.
///
/// Absence is not an error: it is `None`, `false`, or nothing done. An error is something that
/// somebody must act on; after one the state of the keys in that call is unknown, of others it is
/// not, and no partial block is ever visible.
///
/// Values: `stat` and `list` never read block bytes, and cost the same whatever the blocks' sizes.
///
/// [`close`](Datastore::close) is called exactly once, last; no method is called after it.
pub trait Datastore: Send + std::marker::Sync + 'static {
    /// The bytes of a block as they are stored, unchecked; `None` if absent. An engine that has
    /// checksums of its own says [`Error::Damaged`](crate::Error::Damaged) where they fail.
    fn get(&self, key: &Key) -> Result<Option<Bytes>>;

    /// Size, time and CID form of a block; `None` if absent.
    fn stat(&self, key: &Key) -> Result<Option<Meta>>;

    /// Stores blocks, replacing those that are there (bytes, size, time and CID form). With
    /// [`Sync::Now`] all of them are durable when it returns. Every block is stored whole or not
    /// at all; on an error some of them may have been stored. A key occurs at most once in a call.
    fn put(&self, blocks: &[Block], sync: Sync) -> Result<()>;

    /// Changes time or CID form of a stored block; an absent block is left absent, `Ok(false)`.
    /// Becomes durable no later than the next [`sync`](Datastore::sync).
    fn set_meta(&self, key: &Key, change: MetaChange) -> Result<bool>;

    /// Removes blocks; absent ones are passed over. Returns how many were there.
    fn remove(&self, keys: &[Key], sync: Sync) -> Result<u64>;

    /// Where the key stands in this engine's listing order. A pure function of the key (and of
    /// options fixed when the store was made), monotonic in that order, below 2^62; different keys
    /// may share a position.
    fn position(&self, key: &Key) -> Position;

    /// The keys whose position is greater than `after` (`None`: from the start), in the engine's
    /// order, at least `limit` of them unless the end is reached. A page ends at a whole position:
    /// keys that share one come together, in their own order, so a page may be a little longer than `limit`. An empty
    /// page is the end. Nothing stays open between calls. A block that is there from the first
    /// call to the last is in exactly one page.
    fn list(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>>;

    /// Space taken, cheaply.
    fn usage(&self) -> Result<Usage>;

    /// Most bytes that the engine may yet write for what it has acknowledged, such as what it holds
    /// in memory and in a log until it is sorted into its files. Room for them must be left.
    /// Costs next to nothing.
    fn pending_bytes(&self) -> u64;

    /// An open file that holds exactly the block's bytes from offset 0, for engines that keep one
    /// file per block; it goes on showing these bytes after the block is replaced or removed.
    /// `None` if the block is absent or the engine has no such file.
    fn file(&self, key: &Key) -> Result<Option<File>>;

    /// Makes sure that a block which is there may be taken for stored. Called before anybody is told so.
    /// An engine that shows nothing but what it has stored has nothing to do; one that has failed may
    /// show what it could not make durable.
    fn settle(&self) -> Result<()>;

    /// Makes every change durable that was acknowledged before the call.
    fn sync(&self) -> Result<()>;

    /// Makes everything durable and lets go of the engine's files.
    fn close(self: Box<Self>) -> Result<()>;
}
