//! What an engine has to offer to become a datastore: two tables and a note.

use bytes::Bytes;

use crate::Result;
use crate::datastore::{Sync, Usage};

/// One change of a batch. Keys are opaque here; a record is small, a block's bytes are not.
#[derive(Debug)]
pub(in crate::datastore) enum Change<'a> {
    /// Stores bytes and record under a key, whatever is there.
    Put { key: Vec<u8>, record: &'a [u8], bytes: &'a Bytes },
    /// Replaces the record of a key that is there.
    SetRecord { key: Vec<u8>, record: &'a [u8] },
    /// Takes bytes and record away.
    Remove { key: Vec<u8> },
}

/// Told of every key and its record; `false` ends the scan.
pub(in crate::datastore) type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> bool;

/// A transactional engine with two ordered tables, `blocks` (key to bytes) and `meta` (key to
/// record), and a note of which store it belongs to.
///
/// All methods may be called from any number of threads. A reader sees a batch entirely or not at
/// all: the record of a key exactly if its bytes are there.
pub(in crate::datastore) trait Tables: Send + std::marker::Sync + 'static {
    /// The identifier that [`Tables::set_identity`] noted.
    fn identity(&self) -> Result<Option<String>>;

    /// Notes which store this is, durably.
    fn set_identity(&self, store_id: &str) -> Result<()>;

    /// The bytes of a key.
    fn bytes(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The record of a key, without reading its bytes.
    fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Applies all changes or none. With [`Sync::Now`] they are durable when it returns.
    fn write(&self, changes: &[Change<'_>], sync: Sync) -> Result<()>;

    /// Visits keys from `from` (inclusive) on with their records, in the order of the keys.
    fn scan(&self, from: &[u8], visit: Visit<'_>) -> Result<()>;

    /// See [`Datastore::usage`](crate::datastore::Datastore::usage).
    fn usage(&self) -> Result<Usage>;

    /// See [`Datastore::pending_bytes`](crate::datastore::Datastore::pending_bytes).
    fn pending_bytes(&self) -> u64;

    /// Makes every change durable that was acknowledged before the call.
    fn sync(&self) -> Result<()>;

    /// Makes everything durable and lets go of the files.
    fn close(self) -> Result<()>;
}
