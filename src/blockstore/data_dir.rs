//! The data directory: looked at first, then locked, then opened.
//!
//! Invariant: nothing is written into a directory that is not empty and has no marker of ours, but
//! for stores of other programs that an engine opens in place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use super::look::{look, refuse_file};
use super::marker::Marker;
use super::reviving::open_engine;
use super::{StoreOptions, in_place};
use crate::datastore::{BACKEND_DEFAULT, BACKENDS, Backend, Datastore, OpenRequest, backend};
use crate::sys::create_dir_all_private;
use crate::sys::errno::{EACCES, EPERM, EROFS};
use crate::sys::{FileLock, Holder, RecordLock, sync_file_system};
use crate::{Error, Result};

/// The name of the lock file in a data directory.
pub const LOCK_NAME: &str = "lock";

/// An engine with what has to outlive it.
pub struct Opened {
    /// The engine.
    pub datastore: Box<dyn Datastore>,
    /// Its row.
    pub backend: &'static Backend,
    /// The data directory, or that of a store opened in place; `None` for engines without one.
    pub data_path: Option<PathBuf>,
    /// The marker's store id; empty for engines without a data directory.
    pub store_id: String,
    /// Whether another program may change the store meanwhile.
    pub shared: bool,
    /// Held until the engine has closed; `None` without a data directory, or read-only where no
    /// lock can be taken.
    pub locks: Option<Locks>,
}

/// What keeps others out of a store.
#[derive(Debug)]
pub struct Locks {
    // Taken last, let go first: that is the order of the fields, for stores that are dropped unclosed.
    /// The lock of the program whose store it is.
    pub theirs: Option<RecordLock>,
    /// Our own.
    pub ours: FileLock,
}

impl Locks {
    /// Our own alone.
    pub fn ours(ours: FileLock) -> Self {
        Self { theirs: None, ours }
    }

    /// Lets go in the reverse order of taking.
    pub fn release(self) {
        let Self { theirs, ours } = self;
        drop(theirs);
        drop(ours);
    }

    /// Lets go of a store that could not be closed: the next holder learns it.
    pub fn abandon(self) {
        let Self { theirs, ours } = self;
        drop(theirs);
        ours.abandon();
    }
}

/// Where the parts of a store lie.
#[derive(Debug)]
pub struct Parts {
    /// The directory that people know it by.
    pub path: PathBuf,
    /// The directory with the marker, the lock, and what has no place among the engine's files.
    pub beside: PathBuf,
    /// Whether `path` is another program's store.
    pub foreign: bool,
}

/// Opens what `options` name: the marker decides, a flag that disagrees is an error.
pub fn open(options: &StoreOptions) -> Result<Opened> {
    let row = backend_of(options)?;
    row.require_built_in()?;
    let Some(path) = path_of(row, options) else {
        return open_without_directory(row, options);
    };
    match in_place::find(row, &path, options.backend.is_some())? {
        Some(found) => in_place::open(row, found, options),
        None => open_directory(row, &path, options),
    }
}

/// The backend that [`open`] would take, by a look at the data directory.
pub fn backend_of(options: &StoreOptions) -> Result<&'static Backend> {
    match (options.backend, &options.data_path) {
        (Some(row), _) => Ok(row),
        (None, Some(path)) => row_of(path),
        (None, None) => backend(BACKEND_DEFAULT),
    }
}

/// Who holds the store that `options` name, as far as its lock file says; whether that is still so
/// is not asked.
pub fn holder_of(options: &StoreOptions) -> Result<Option<Holder>> {
    let row = backend_of(options)?;
    let Some(path) = path_of(row, options) else { return Ok(None) };
    let beside = in_place::find(row, &path, options.backend.is_some())?.map_or(path, |found| found.beside);
    Holder::read(&beside.join(LOCK_NAME))
}

fn path_of(row: &Backend, options: &StoreOptions) -> Option<PathBuf> {
    let default_path = row.default_path?;
    Some(options.data_path.clone().unwrap_or_else(|| PathBuf::from(default_path)))
}

/// The backend of a directory that was given without one.
fn row_of(path: &Path) -> Result<&'static Backend> {
    if let Some(marker) = Marker::read(path)? {
        return backend(&marker.backend)
            .map_err(|_| Error::BackendMissing { path: path.to_owned(), backend: marker.backend });
    }
    for row in BACKENDS {
        if in_place::find(row, path, false)?.is_some() {
            return Ok(row);
        }
    }
    backend(BACKEND_DEFAULT)
}

fn open_without_directory(row: &'static Backend, options: &StoreOptions) -> Result<Opened> {
    let request = OpenRequest {
        memory_limit_bytes: options.memory_limit_bytes,
        read_only: options.read_only,
        ..OpenRequest::default()
    };
    let datastore = (row.open)(&request)?;
    Ok(Opened {
        datastore,
        backend: row,
        data_path: None,
        store_id: String::new(),
        shared: false,
        locks: None,
    })
}

fn open_directory(row: &'static Backend, path: &Path, options: &StoreOptions) -> Result<Opened> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => return Err(refuse_file(path)),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if options.read_only || options.existing {
                return Err(Error::StoreMissing { path: path.to_owned() });
            }
            create_dir_all_private(path)?;
        }
        Err(error) => return Err(Error::io_at("open", path, error)),
    }
    let path = path.canonicalize().map_err(|e| Error::io_at("resolve", path, e))?;
    if look(row, &path)?.is_none() && options.existing {
        return Err(Error::StoreMissing { path });
    }
    let parts = Parts { beside: path.clone(), path, foreign: false };
    let lock = match our_lock(row, &parts, options, options.lock_wait) {
        Err(Error::Io { context, source }) if options.read_only && is_unwritable(&source) => {
            warn!(%context, "no lock can be taken here; opened read-only without one");
            None
        }
        other => Some(other?),
    };
    if let Some(lock) = lock.as_ref().filter(|_| !options.read_only) {
        sync_after_crash(lock, &parts)?;
    }
    // Once more under the lock: another process may have made the store meanwhile.
    let marker = match look(row, &parts.path)? {
        Some(marker) => marker,
        None if options.read_only || options.existing => {
            return Err(Error::StoreMissing { path: parts.path });
        }
        None => {
            let marker = Marker::new(row.name)?;
            marker.write(&parts.beside)?;
            info!(path = %parts.path.display(), backend = row.name, "a new store");
            marker
        }
    };
    start_engine(row, parts, Some(marker), lock.map(Locks::ours), options)
}

/// Opens the engine of a store that is locked, and notes that it has been opened.
pub fn start_engine(
    row: &'static Backend,
    parts: Parts,
    marker: Option<Marker>,
    locks: Option<Locks>,
    options: &StoreOptions,
) -> Result<Opened> {
    let store_id = marker.as_ref().map(|marker| marker.store_id.clone()).unwrap_or_default();
    let complete = marker.as_ref().is_some_and(|marker| marker.complete);
    let request = OpenRequest {
        path: if parts.foreign { parts.path.clone() } else { parts.path.join(row.directory) },
        beside: parts.beside.clone(),
        store_id: store_id.clone(),
        foreign: parts.foreign,
        create: !options.read_only && !complete,
        read_only: options.read_only,
        after_failure: false,
        memory_limit_bytes: options.memory_limit_bytes,
    };
    let datastore = open_engine(row, &request).map_err(|error| match error {
        // The marker says that there was an engine: what is missing has been lost.
        Error::StoreMissing { .. } if complete => vanished(&parts, row),
        other => other,
    })?;
    if let Some(marker) = marker
        && !complete
        && !options.read_only
    {
        Marker { complete: true, ..marker }.write(&parts.beside)?;
    }
    let shared = parts.foreign && options.read_only;
    Ok(Opened { datastore, backend: row, data_path: Some(parts.path), store_id, shared, locks })
}

/// The marker says that there was an engine, and its files are gone.
pub fn vanished(parts: &Parts, row: &Backend) -> Error {
    let what = if parts.foreign {
        format!("it is missing or empty, and {} says that it was not", parts.beside.display())
    } else {
        format!("{} is missing or empty", row.directory)
    };
    Error::StoreDamaged { path: parts.path.clone(), what }
}

/// What a killed process had written is there to be seen, and perhaps not on the disk yet: it must
/// not be taken for durable when the same block is written again.
pub fn sync_after_crash(lock: &FileLock, parts: &Parts) -> Result<()> {
    if !lock.was_abandoned() {
        return Ok(());
    }
    warn!(path = %parts.path.display(), "the last holder of this store did not close it");
    sync_file_system(&parts.path)?;
    if parts.foreign { sync_file_system(&parts.beside) } else { Ok(()) }
}

/// Takes our own lock.
pub fn our_lock(row: &Backend, parts: &Parts, options: &StoreOptions, wait: Duration) -> Result<FileLock> {
    let holder = Holder::current(row.name, options.mount_point.as_deref());
    let lock = FileLock::acquire(&parts.beside.join(LOCK_NAME), wait, &holder);
    lock.map_err(|error| match error {
        // People know the directory, not the file in it.
        Error::Locked { holder, .. } => Error::Locked { path: parts.path.clone(), holder },
        other => other,
    })
}

/// Whether the place is one where this process may not write.
pub fn is_unwritable(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EROFS | EACCES | EPERM))
}
