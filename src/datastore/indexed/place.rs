//! The directory of an engine's own files.
//!
//! Invariant: an engine is let near a directory only if it is empty, or if what is in it is known to
//! be the engine's.

use std::fs;
use std::io;
use std::path::Path;

use crate::datastore::OpenRequest;
use crate::sys::errno::ENOSPC;
use crate::sys::{create_dir_all_private, space_of};
use crate::{Error, Result};

/// With less than this free, an engine that could not write met a full disk: none asks for more at
/// once.
const FULL_BYTES: u64 = 8 << 20;

/// What an engine finds before it opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::datastore) enum Place {
    /// An empty directory, in which the engine is to make a new database.
    New,
    /// A database that is there.
    Existing,
}

impl Place {
    /// Looks at the directory and makes it if it is missing and may be made. `has_database` says
    /// whether it holds a database of the engine; `is_leftover`, by their names, which files an
    /// interrupted creation leaves (a directory is empty then): they are removed if there is nothing
    /// else.
    ///
    /// # Errors
    /// [`Error::StoreMissing`] if it is empty or missing and must not be made,
    /// [`Error::StoreDamaged`] if it holds something else.
    pub(in crate::datastore) fn look(
        request: &OpenRequest,
        has_database: fn(&Path) -> bool,
        is_leftover: fn(&str) -> bool,
    ) -> Result<Self> {
        let path = &request.path;
        if has_database(path) {
            return Ok(Place::Existing);
        }
        let names = names_in(path)?;
        if !request.create {
            return Err(if names.is_empty() {
                Error::StoreMissing { path: path.clone() }
            } else {
                Error::StoreDamaged {
                    path: path.clone(),
                    what: "what is in it is no database of this backend".into(),
                }
            });
        }
        if let Some(other) = names.iter().find(|name| !is_leftover(name)) {
            let what = format!("a new database cannot be made beside what is there ({other})");
            return Err(Error::StoreDamaged { path: path.clone(), what });
        }
        create_dir_all_private(path)?;
        for name in names {
            let leftover = path.join(name);
            let remove = if leftover.is_dir() { fs::remove_dir } else { fs::remove_file };
            remove(&leftover).map_err(|error| Error::io_at("remove", &leftover, error))?;
        }
        Ok(Place::New)
    }
}

/// The names in a directory; none if it is missing.
fn names_in(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Error::io_at("list", path, error))?,
    };
    entries
        .map(|entry| match entry {
            Ok(entry) => Ok(entry.file_name().to_string_lossy().into_owned()),
            Err(error) => Err(Error::io_at("list", path, error)),
        })
        .collect()
}

/// The error for an engine that has failed for a reason that it tells in words only: a full disk if
/// the disk is full, which is the one that somebody can mend.
pub(in crate::datastore) fn failure(path: &Path, op: &str, what: String) -> Error {
    match space_of(path) {
        Ok(space) if space.free_bytes < FULL_BYTES => {
            tracing::warn!(path = %path.display(), what, "the engine failed on a full disk");
            Error::io_at(op, path, io::Error::from_raw_os_error(ENOSPC))
        }
        _ => Error::EngineFailed { path: path.to_owned(), what: format!("{op}: {what}") },
    }
}
