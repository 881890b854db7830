//! The engines `pebble` and `badger`: RocksDB as a plain LSM tree, and RocksDB with long values kept
//! apart from the tree. They are to the two Go engines what RocksDB was to their design; they do not
//! read their files.
//!
//! Invariant: RocksDB is let near a directory only if it is empty or holds a database of this very
//! flavour, because it changes and deletes what it takes for its own.

#[cfg_attr(not(feature = "rocksdb"), path = "absent.rs")]
mod engine;
#[cfg(feature = "rocksdb")]
mod options;
mod recognise;
#[cfg(feature = "rocksdb")]
mod torn;

use std::path::Path;

use super::{Datastore, OpenRequest};
use crate::Result;

/// The column families, one for each table.
const BLOCKS: &str = "blocks";
const META: &str = "meta";

/// Where values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// In the tree, as `pebble` has it.
    Plain,
    /// In blob files, as `badger` has it.
    Blobs,
}

/// Whether a directory holds a database of `pebble`. Only looks.
pub fn probe_pebble(path: &Path) -> bool {
    recognise::flavour(path) == Some(Flavour::Plain)
}

/// Whether a directory holds a database of `badger`. Only looks.
pub fn probe_badger(path: &Path) -> bool {
    recognise::flavour(path) == Some(Flavour::Blobs)
}

/// Opens `pebble` as the table of backends does.
pub fn open_pebble(request: &OpenRequest) -> Result<Box<dyn Datastore>> {
    engine::open(request, Flavour::Plain)
}

/// Opens `badger` as the table of backends does.
pub fn open_badger(request: &OpenRequest) -> Result<Box<dyn Datastore>> {
    engine::open(request, Flavour::Blobs)
}
