//! The engines called directly: no mount, no hash, no lock, no reserve.

use std::path::Path;
use std::sync::Arc;

use ipfs_persist_mount::blockstore::{Blockstore, Marker, StoreOptions};
use ipfs_persist_mount::datastore::{Backend, Datastore, OpenRequest, Sync};

use crate::data::Piece;
use crate::outcome::{Outcome, fail};

/// Most bytes that the memory backend holds here.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Blocks that are put at once where only the result counts.
const FILL_BLOCKS: usize = 1000;

/// Opens the engine of a data directory, which is made if it is not there.
pub fn open(backend: &'static Backend, data: &Path) -> Outcome<Box<dyn Datastore>> {
    let mut request =
        OpenRequest { memory_limit_bytes: MEMORY_BYTES_MAX, create: true, ..OpenRequest::default() };
    if backend.durable {
        let options = StoreOptions {
            backend: Some(backend),
            data_path: Some(data.to_owned()),
            ..StoreOptions::default()
        };
        Blockstore::open(&options, Arc::default())?.close()?;
        let Some(marker) = Marker::read(data)? else { return fail("a new store has no marker") };
        request.path = data.join(backend.directory);
        request.beside = data.to_owned();
        request.store_id = marker.store_id;
        request.create = false;
    }
    Ok((backend.open)(&request)?)
}

/// Makes a store with so many blocks, and gives their names.
pub fn fill(backend: &'static Backend, data: &Path, seed: u64, count: usize, bytes: usize) -> Outcome<()> {
    let engine = open(backend, data)?;
    for first in (0..count).step_by(FILL_BLOCKS) {
        let pieces: Outcome<Vec<Piece>> = (first..count.min(first + FILL_BLOCKS))
            .map(|index| crate::data::piece((seed << 32) + index as u64 + 1, bytes))
            .collect();
        let blocks: Vec<_> = pieces?.into_iter().map(|piece| piece.block).collect();
        engine.put(&blocks, Sync::Later)?;
    }
    engine.sync()?;
    Ok(engine.close()?)
}
