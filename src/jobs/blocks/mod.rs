//! The blocks of a store, one by one: put, get, list, remove, stat; on a data directory that is not
//! mounted, and on a mounted one through its mount.
//!
//! Invariant: both ways store, show and refuse the same, since what is above [`Blocks`] does not know
//! which of them it is; and bytes that leave it have been checked against their CID.

mod direct;
mod listing;
mod mounted;
mod place;
pub mod put;
mod source;

use std::time::SystemTime;

use bytes::Bytes;

use crate::block::{Block, Cid, Key};
use crate::{Error, Result};

pub use listing::{count, stat_all};
pub use place::{Place, Purpose, open};
pub use source::Source;

/// Why an identity CID cannot be removed.
const IDENTITY_STAYS: &str = "an identity CID holds its own bytes and cannot be removed";

/// What is known of a block without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The exact length.
    pub size_bytes: u64,
    /// When it was stored, or what its writer set.
    pub mtime: SystemTime,
}

/// A block of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its canonical CID.
    pub cid: String,
    /// Size and time, where they were asked for.
    pub facts: Option<Facts>,
}

/// What is known of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// The name of its backend.
    pub backend: String,
    /// Whether blocks survive the process that serves them.
    pub durable: bool,
    /// The data directory, if the backend has one.
    pub data_path: Option<String>,
    /// The store's own identifier; empty without a data directory.
    pub store_id: String,
    /// Where it is mounted, if it is.
    pub mount_point: Option<String>,
    /// How many blocks there are, where that is known without counting.
    pub blocks: Option<u64>,
    /// What the engine's files take on the disk, an estimate for some engines; `None` where a mount
    /// does not say.
    pub disk_bytes: Option<u64>,
    /// What new blocks may take: free space less what must be left.
    pub free_bytes: u64,
}

/// Takes a block of a listing; `false` ends it.
pub type Visit<'a> = dyn FnMut(Listed) -> Result<bool> + 'a;

/// A store that has been opened, or is reached through its mount.
pub trait Blocks {
    /// Stores blocks together. Those that are told to be stored are durable then, as the backend has
    /// it. The answers are in the order of the blocks.
    fn put(&self, blocks: Vec<Block>) -> Vec<Result<()>>;

    /// All bytes of a block, which hash to the CID; `None` if it is absent.
    ///
    /// # Errors
    /// [`Error::Damaged`] for stored bytes that do not.
    fn get(&self, cid: &Cid) -> Result<Option<Bytes>>;

    /// Size and time of a stored block; `None` if it is absent.
    fn facts(&self, cid: &Cid) -> Result<Option<Facts>>;

    /// The canonical CIDs under which stored blocks are listed, in the order of the keys; `None` for
    /// those that are absent.
    fn names(&self, keys: &[&Key]) -> Result<Vec<Option<String>>>;

    /// Shows every block in the backend's order, without ever holding all of them.
    fn list(&self, facts: bool, visit: &mut Visit<'_>) -> Result<()>;

    /// Removes a stored block, durably once [`sync`](Blocks::sync) has returned; `false` if it is
    /// absent.
    fn remove(&self, key: &Key, cid: &str) -> Result<bool>;

    /// Makes all removals durable.
    fn sync(&self) -> Result<()>;

    /// What the store is and holds.
    fn describe(&self) -> Result<StoreFacts>;

    /// Whether others have to wait for the store meanwhile.
    fn keeps_others_out(&self) -> bool;

    /// Lets go of the store.
    fn close(self: Box<Self>) -> Result<()>;
}

/// A block's bytes.
///
/// # Errors
/// [`Error::NotFound`], and those of [`Blocks::get`].
pub fn get(blocks: &dyn Blocks, cid: &Cid) -> Result<Bytes> {
    match cid.identity_bytes() {
        Some(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        None => blocks.get(cid)?.ok_or(Error::NotFound),
    }
}

/// Removes a block; `false` if there is none.
///
/// # Errors
/// [`Error::NotPermitted`] for an identity CID, [`Error::BlockInUse`] for one with an alias.
pub fn remove(blocks: &dyn Blocks, cid: &Cid) -> Result<bool> {
    if cid.is_identity() {
        return Err(Error::NotPermitted { what: IDENTITY_STAYS });
    }
    blocks.remove(cid.key(), &cid.to_string())
}
