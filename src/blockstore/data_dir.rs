//! The data directory: looked at first, then locked, then opened.
//!
//! Invariant: nothing is written into a directory that is not empty and has no marker of ours.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::StoreOptions;
use super::marker::{MARKER_NAME, Marker};
use super::reviving::open_engine;
use crate::datastore::{BACKENDS, Backend, Datastore, OpenRequest, backend};
use crate::sys::create_dir_all_private;
use crate::sys::errno::{EACCES, EPERM, EROFS};
use crate::sys::{FileLock, Holder, sync_file_system};
use crate::{Error, Result};

/// The name of the lock file in a data directory.
pub const LOCK_NAME: &str = "lock";

/// The backend that is taken when nothing says which.
const BACKEND_DEFAULT: &str = "file";

/// An engine with what has to outlive it.
pub struct Opened {
    /// The engine.
    pub datastore: Box<dyn Datastore>,
    /// Its row.
    pub backend: &'static Backend,
    /// The data directory; `None` for engines without one.
    pub data_path: Option<PathBuf>,
    /// The marker's store id; empty for engines without a data directory.
    pub store_id: String,
    /// Held until the engine has closed; `None` without a data directory, or read-only on media
    /// where no lock can be taken.
    pub lock: Option<FileLock>,
}

/// Opens what `options` name: the marker decides, a flag that disagrees is an error.
pub fn open(options: &StoreOptions) -> Result<Opened> {
    let row = match (options.backend, &options.data_path) {
        (Some(row), _) => row,
        (None, Some(path)) => match Marker::read(path)? {
            Some(marker) => backend(&marker.backend)
                .map_err(|_| Error::BackendMissing { path: path.clone(), backend: marker.backend })?,
            None => backend(BACKEND_DEFAULT)?,
        },
        (None, None) => backend(BACKEND_DEFAULT)?,
    };
    row.require_built_in()?;
    let Some(default_path) = row.default_path else {
        return open_without_directory(row, options);
    };
    let path = options.data_path.clone().unwrap_or_else(|| PathBuf::from(default_path));
    open_directory(row, &path, options)
}

fn open_without_directory(row: &'static Backend, options: &StoreOptions) -> Result<Opened> {
    let datastore = (row.open)(&request(row, Path::new(""), None, options))?;
    Ok(Opened { datastore, backend: row, data_path: None, store_id: String::new(), lock: None })
}

fn open_directory(row: &'static Backend, path: &Path, options: &StoreOptions) -> Result<Opened> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => {
            return Err(Error::StoreForeign { path: path.to_owned(), what: "it is not a directory".into() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if options.read_only {
                return Err(Error::StoreMissing { path: path.to_owned() });
            }
            create_dir_all_private(path)?;
        }
        Err(error) => return Err(Error::io_at("open", path, error)),
    }
    let path = path.canonicalize().map_err(|e| Error::io_at("resolve", path, e))?;
    look(row, &path)?;
    let lock = take_lock(row, &path, options)?;
    if !options.read_only && lock.as_ref().is_some_and(FileLock::was_abandoned) {
        // What a killed process had written is there to be seen, and perhaps not on the disk yet:
        // it must not be taken for durable when the same block is written again.
        warn!(path = %path.display(), "the last holder of this store did not close it");
        sync_file_system(&path)?;
    }
    // Once more under the lock: another process may have made the store meanwhile.
    let marker = match look(row, &path)? {
        Some(marker) => marker,
        None if options.read_only => return Err(Error::StoreMissing { path }),
        None => {
            let marker = Marker::new(row.name)?;
            marker.write(&path)?;
            info!(path = %path.display(), backend = row.name, "a new store");
            marker
        }
    };
    let engine = request(row, &path, Some(&marker), options);
    let datastore = open_engine(row, &engine).map_err(|error| match error {
        // The marker says that there was an engine: what is missing has been lost.
        Error::StoreMissing { .. } if marker.complete => {
            let what = format!("{} is missing or empty", row.directory);
            Error::StoreDamaged { path: path.clone(), what }
        }
        other => other,
    })?;
    if !marker.complete && !options.read_only {
        Marker { complete: true, ..marker.clone() }.write(&path)?;
    }
    Ok(Opened { datastore, backend: row, data_path: Some(path), store_id: marker.store_id, lock })
}

fn request(row: &Backend, path: &Path, marker: Option<&Marker>, options: &StoreOptions) -> OpenRequest {
    OpenRequest {
        path: path.join(row.directory),
        beside: path.to_owned(),
        store_id: marker.map(|marker| marker.store_id.clone()).unwrap_or_default(),
        foreign: false,
        create: !options.read_only && marker.is_none_or(|marker| !marker.complete),
        read_only: options.read_only,
        memory_limit_bytes: options.memory_limit_bytes,
    }
}

/// Says whether the directory is ours (its marker), empty (`None`), or not to be touched (an error).
fn look(row: &Backend, path: &Path) -> Result<Option<Marker>> {
    if let Some(marker) = Marker::read(path)? {
        if marker.backend != row.name {
            return Err(Error::BackendMismatch {
                path: path.to_owned(),
                found: marker.backend,
                asked: row.name.to_owned(),
            });
        }
        return Ok(Some(marker));
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::io_at("list", path, e))?;
    for entry in entries {
        let name = entry.map_err(|e| Error::io_at("list", path, e))?.file_name();
        let name = name.to_string_lossy();
        if !is_leftover_of_creation(&name) {
            return Err(Error::StoreForeign { path: path.to_owned(), what: describe(path, &name) });
        }
    }
    Ok(None)
}

/// What an interrupted creation, or a freshly made file system, leaves in a directory that is
/// otherwise empty.
fn is_leftover_of_creation(name: &str) -> bool {
    name == LOCK_NAME || name == "lost+found" || name.starts_with(&format!(".{MARKER_NAME}"))
}

fn describe(path: &Path, first_name: &str) -> String {
    match BACKENDS.iter().find(|row| (row.probe)(path)) {
        Some(row) => format!("it holds files of {} made by another program", row.engine),
        None if BACKENDS
            .iter()
            .any(|row| path.join(row.directory).is_dir() && path.join(LOCK_NAME).is_file()) =>
        {
            format!("it looks like one whose {MARKER_NAME} is gone; if it is, put that file back")
        }
        None => format!("it is not empty (it holds {first_name}) and has no {MARKER_NAME}"),
    }
}

fn take_lock(row: &Backend, path: &Path, options: &StoreOptions) -> Result<Option<FileLock>> {
    let holder = Holder::current(row.name, options.mount_point.as_deref());
    match FileLock::acquire(&path.join(LOCK_NAME), options.lock_wait, &holder) {
        Ok(lock) => Ok(Some(lock)),
        Err(Error::Io { context, source }) if options.read_only && is_unwritable(&source) => {
            warn!(%context, "no lock can be taken here; opened read-only without one");
            Ok(None)
        }
        // People know the directory, not the file in it.
        Err(Error::Locked { holder, .. }) => Err(Error::Locked { path: path.to_owned(), holder }),
        Err(error) => Err(error),
    }
}

fn is_unwritable(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EROFS | EACCES | EPERM))
}
