//! The look at a directory before anything touches it: ours, empty, or not to be touched.
//!
//! Invariant: this only reads. What it refuses it names, with what to do next.

use std::path::Path;

use super::data_dir::LOCK_NAME;
use super::marker::{MARKER_NAME, Marker};
use crate::datastore::{BACKENDS, Backend, backend, foreign};
use crate::{Error, Result};

const EMPTY_DIRECTORY: &str = "choose an empty or new directory with --data-path";

/// Says whether the directory is ours (its marker), empty (`None`), or not to be touched (an error).
pub fn look(row: &Backend, path: &Path) -> Result<Option<Marker>> {
    if let Some(marker) = Marker::read(path)? {
        check_backend(row, &marker, path)?;
        if marker.in_place {
            let what = "it holds what belongs to a store beside it".to_owned();
            return Err(foreign(path, what, "give the store itself as --data-path, not this directory"));
        }
        return Ok(Some(marker));
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::io_at("list", path, e))?;
    for entry in entries {
        let name = entry.map_err(|e| Error::io_at("list", path, e))?.file_name();
        let name = name.to_string_lossy();
        if !is_leftover_of_creation(&name) {
            return Err(refusal(path, &name));
        }
    }
    Ok(None)
}

/// The marker decides which backend it is.
pub fn check_backend(row: &Backend, marker: &Marker, path: &Path) -> Result<()> {
    if marker.backend == row.name {
        return Ok(());
    }
    let (found, asked) = (marker.backend.clone(), row.name.to_owned());
    if backend(&found).is_err() {
        return Err(Error::BackendMissing { path: path.to_owned(), backend: found });
    }
    Err(Error::BackendMismatch { path: path.to_owned(), found, asked })
}

/// Refuses the inside of a store of ours, which has its lock and marker one level up.
pub fn refuse_inside(path: &Path) -> Result<()> {
    let Some(parent) = path.parent().filter(|parent| parent.join(MARKER_NAME).is_file()) else {
        return Ok(());
    };
    let what = format!("it is the inside of the store {}", parent.display());
    Err(foreign(path, what, &format!("use --data-path {}", parent.display())))
}

/// What is no directory.
pub fn refuse_file(path: &Path) -> Error {
    match foreign::identify(path) {
        Some(found) => foreign(path, found.what, EMPTY_DIRECTORY),
        None => foreign(path, "it is not a directory".to_owned(), EMPTY_DIRECTORY),
    }
}

fn foreign(path: &Path, what: String, hint: &str) -> Error {
    Error::StoreForeign { path: path.to_owned(), what, hint: hint.to_owned() }
}

/// What an interrupted creation, or a freshly made file system, leaves in a directory that is
/// otherwise empty.
fn is_leftover_of_creation(name: &str) -> bool {
    name == LOCK_NAME || name == "lost+found" || name.starts_with(&format!(".{MARKER_NAME}"))
}

fn refusal(path: &Path, first_name: &str) -> Error {
    if let Err(inside) = refuse_inside(path) {
        return inside;
    }
    if let Some(row) = without_marker(path) {
        let what = match row {
            Some(row) => format!(
                "it looks like one of the backend {} whose {MARKER_NAME} is gone; if it is, put that file back",
                row.name
            ),
            None => format!("it looks like one whose {MARKER_NAME} is gone; if it is, put that file back"),
        };
        return foreign(
            path,
            what,
            "restore that file from a backup, or choose an empty directory with --data-path",
        );
    }
    let Some(found) = foreign::identify(path) else {
        let what = format!("it is not empty (it holds {first_name}) and has no {MARKER_NAME}");
        return foreign(path, what, EMPTY_DIRECTORY);
    };
    match BACKENDS.iter().find(|row| opens_in_place(row, path)) {
        Some(row) => {
            let hint = format!(
                "use --backend {} to open it where it is, or choose an empty directory with --data-path",
                row.name
            );
            foreign(path, found.what, &hint)
        }
        None => foreign(path, found.what, found.hint),
    }
}

fn opens_in_place(row: &Backend, path: &Path) -> bool {
    row.in_place.and_then(|find| find(path)).is_some_and(|found| found.present)
}

/// Whether this is a store of ours but for the marker, and of which backend if its engine's files
/// are recognised.
fn without_marker(path: &Path) -> Option<Option<&'static Backend>> {
    let has_directory = |row: &&Backend| path.join(row.directory).is_dir();
    if !path.join(LOCK_NAME).is_file() || !BACKENDS.iter().any(|row| has_directory(&row)) {
        return None;
    }
    Some(BACKENDS.iter().filter(has_directory).find(|row| (row.probe)(&path.join(row.directory))))
}
