//! The demo of a backend: blocks are stored, read back and checked, the store is closed and opened
//! again, and what is still there is read once more.
//!
//! Invariant: a store that was there before has the same blocks afterwards, also when the demo
//! fails or is stopped; a temporary one is gone.

mod data;
mod get;
mod place;
mod put;

use std::path::PathBuf;
use std::time::Duration;

use crate::blockstore::{Blockstore, StoreInfo, StoreOptions};
use crate::datastore::Backend;
use crate::sys::file_system_of;
use crate::{Error, Result};

use super::Progress;
use get::{Found, get_all};
use place::Ground;
use put::Puts;

pub use data::{BLOCKS_MAX, DataSet, SIZE_BYTES_MAX, SIZE_BYTES_MIN};
pub use place::Place;
pub use put::WRITERS;

/// What to try, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// How to open the store. Its data path is not looked at: `place` says where.
    pub store: StoreOptions,
    /// Where the store is; means nothing to backends without files.
    pub place: Place,
    /// Which blocks.
    pub data: DataSet,
}

/// What became of it. All times are measured.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The backend.
    pub backend: &'static Backend,
    /// Where the store was; `None` for backends without files.
    pub data_path: Option<PathBuf>,
    /// The type of the file system there, if it is known.
    pub file_system: Option<String>,
    /// Whether the store was a temporary one.
    pub temporary: bool,
    /// Blocks that were stored.
    pub stored: u64,
    /// Blocks that were there already, and have been left there.
    pub already_there: u64,
    /// Blocks that were read back, with the right hash; all of them.
    pub verified: u64,
    /// Average time of a put, with [`WRITERS`] at once, until the block is as durable as the backend
    /// makes it; `None` if nothing had to be stored.
    pub put_average: Option<Duration>,
    /// Average time of a get, one after the other, with the check of the hash.
    pub get_average: Duration,
    /// Blocks that were still there, with the right hash, after closing and opening the store; all
    /// of them if the backend is durable.
    pub still_there: u64,
    /// By how much the data directory, once closed, had grown on the disk; `None` without one.
    pub disk_bytes: Option<u64>,
    /// Bytes of the blocks that were stored.
    pub stored_bytes: u64,
}

impl Summary {
    /// How many bytes the disk has for each byte stored, where that can be said.
    pub fn disk_per_byte(&self) -> Option<f64> {
        let bytes = self.disk_bytes.filter(|_| self.stored_bytes > 0)?;
        Some(bytes as f64 / self.stored_bytes as f64)
    }
}

/// Tries a backend.
///
/// # Errors
/// What opening the store refuses; [`Error::NoSpace`] before anything is stored, if the blocks
/// would not fit; [`Error::StoreDamaged`] and [`Error::Damaged`] if one is missing or wrong;
/// [`Error::Stopped`].
pub fn run(request: &Request, progress: &mut dyn Progress) -> Result<Summary> {
    request.store.backend.map_or(Ok(()), Backend::require_built_in)?;
    let ground = Ground::prepare(request)?;
    let bytes_before = ground.allocated_bytes()?;
    let mut puts = Puts::default();
    let (info, file_system, first) = with_store(&ground, |store| {
        let filled = fill(store, &request.data, &mut puts, progress);
        if filled.is_err() && ground.stays() {
            take_back(&puts, store, progress);
        }
        let file_system = ground.data_path().and_then(|path| file_system_of(path).ok()).flatten();
        Ok((store.info().clone(), file_system, filled?))
    })?;
    let bytes_after = ground.allocated_bytes()?;
    let again = with_store(&ground, |store| {
        let found = get_all(store, &puts.keys, "reading again", progress);
        let removed = if ground.stays() { puts.take_back(store, progress) } else { Ok(()) };
        found.and_then(|found| removed.map(|()| found))
    })?;
    if info.backend.durable {
        check_complete(&info, &puts, again, "after the store was closed and opened again")?;
    }
    let count = puts.keys.len() as u64;
    Ok(Summary {
        backend: info.backend,
        temporary: !ground.stays(),
        file_system,
        stored: puts.stored,
        already_there: count - puts.stored,
        verified: first.verified,
        put_average: average(puts.time, puts.stored),
        get_average: average(first.time, count).unwrap_or_default(),
        still_there: again.verified,
        disk_bytes: info.data_path.as_ref().map(|_| bytes_after.saturating_sub(bytes_before)),
        stored_bytes: puts.stored.saturating_mul(request.data.size_bytes()),
        data_path: info.data_path,
    })
}

/// Opens the store, does something with it, and closes it in any case.
fn with_store<T>(ground: &Ground, work: impl FnOnce(&Blockstore) -> Result<T>) -> Result<T> {
    let store = Blockstore::open(&ground.options, std::sync::Arc::default())?;
    let worked = work(&store);
    let closed = store.close();
    worked.and_then(|value| closed.map(|()| value))
}

/// Stores every block and reads it back.
fn fill(store: &Blockstore, data: &DataSet, puts: &mut Puts, progress: &mut dyn Progress) -> Result<Found> {
    store.check_space(data.total_bytes())?;
    puts.put_all(store, data, progress)?;
    let found = get_all(store, &puts.keys, "reading back", progress)?;
    check_complete(store.info(), puts, found, "right after they were stored")?;
    Ok(found)
}

/// Beside another error, which is the one to tell.
fn take_back(puts: &Puts, store: &Blockstore, progress: &mut dyn Progress) {
    if let Err(error) = puts.take_back(store, progress) {
        tracing::warn!(%error, "blocks of the demo stay in the store");
    }
}

fn check_complete(info: &StoreInfo, puts: &Puts, found: Found, when: &str) -> Result<()> {
    let count = puts.keys.len() as u64;
    if (found.verified, found.listed) == (count, count) {
        return Ok(());
    }
    let (missing, unlisted) = (count - found.verified, count.saturating_sub(found.listed));
    Err(Error::StoreDamaged {
        path: info.data_path.clone().unwrap_or_else(|| info.backend.name.into()),
        what: format!("of {count} blocks {missing} are missing, and {unlisted} are not listed, {when}"),
    })
}

fn average(time: Duration, count: u64) -> Option<Duration> {
    (count > 0).then(|| Duration::from_secs_f64(time.as_secs_f64() / count as f64))
}
