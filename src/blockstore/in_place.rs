//! Stores of other programs, opened where they are: what is ours lies beside them.
//!
//! Invariant: before both locks are held nothing is written but the directory beside the store and
//! the lock file in it; and a store that is only read is not written to at all, nor is anything
//! beside it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::StoreOptions;
use super::data_dir::{
    LOCK_NAME, Locks, Opened, Parts, is_unwritable, our_lock, start_engine, sync_after_crash, vanished,
};
use super::look::{check_backend, refuse_inside};
use super::marker::Marker;
use crate::datastore::{Backend, InPlace, ProgramLock};
use crate::sys::{FileLock, RecordHolder, RecordLock, create_dir_all_private, effective_ids};
use crate::{Error, Result};

/// The store of another program that `path` names, if this backend opens such stores in place.
///
/// One that was not opened so before is taken only if the backend was `asked` for by name.
pub fn find(row: &Backend, path: &Path, asked: bool) -> Result<Option<InPlace>> {
    let Some(found) = row.in_place.and_then(|find| find(path)) else { return Ok(None) };
    if Marker::read(path)?.is_some() {
        return Ok(None);
    }
    // Where its files have gone, a whole marker says that there was a store.
    let known = Marker::read(&found.beside)?.is_some_and(|marker| marker.complete);
    Ok(((found.present && asked) || known).then_some(found))
}

/// Opens it.
pub fn open(row: &'static Backend, found: InPlace, options: &StoreOptions) -> Result<Opened> {
    refuse_inside(&found.path)?;
    let parts = Parts { path: found.path, beside: found.beside, foreign: true };
    if options.read_only {
        let locks = share_lock(&parts, options)?.map(Locks::ours);
        let marker = read_marker(row, &parts)?;
        return start_engine(row, parts, marker, locks, options);
    }
    if !parts.path.is_dir() {
        return Err(vanished(&parts, row));
    }
    refuse_other_owner(&parts.path)?;
    let deadline = Instant::now() + options.lock_wait;
    let left = || deadline.saturating_duration_since(Instant::now());
    if let Some(lock) = found.lock.as_ref().filter(|_| !parts.beside.exists())
        && let Some(holder) = RecordLock::wait_until_free(&lock.path, left())?
    {
        // Refused before anything is made.
        return Err(locked_by(lock, &parts.path, holder));
    }
    create_dir_all_private(&parts.beside).map_err(|error| unwritable(&parts, error))?;
    let ours = our_lock(row, &parts, options, left()).map_err(|error| unwritable(&parts, error))?;
    sync_after_crash(&ours, &parts)?;
    let theirs = found.lock.as_ref().map(|lock| take(lock, &parts.path, left())).transpose()?;
    let marker = match read_marker(row, &parts)? {
        Some(marker) => marker,
        None => {
            let marker = Marker { in_place: true, ..Marker::new(row.name)? };
            marker.write(&parts.beside)?;
            info!(path = %parts.path.display(), backend = row.name, "opened in place for the first time");
            marker
        }
    };
    start_engine(row, parts, Some(marker), Some(Locks { theirs, ours }), options)
}

fn read_marker(row: &Backend, parts: &Parts) -> Result<Option<Marker>> {
    let marker = Marker::read(&parts.beside)?;
    if let Some(marker) = &marker {
        check_backend(row, marker, &parts.path)?;
    }
    Ok(marker)
}

/// Keeps out those of our own who change the store, if any ever did; writes nothing.
fn share_lock(parts: &Parts, options: &StoreOptions) -> Result<Option<FileLock>> {
    let path = parts.beside.join(LOCK_NAME);
    match FileLock::share(&path, options.lock_wait) {
        Ok(lock) => Ok(Some(lock)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(Error::Io { context, source }) if is_unwritable(&source) => {
            warn!(%context, "no lock can be taken here; opened read-only without one");
            Ok(None)
        }
        Err(Error::Locked { holder, .. }) => Err(Error::Locked { path: parts.path.clone(), holder }),
        Err(error) => Err(error),
    }
}

/// Files that one user makes in another's store are of no use to that user's programs: blocks are
/// private to their owner.
fn refuse_other_owner(path: &Path) -> Result<()> {
    let owner = std::fs::metadata(path).map_err(|error| Error::io_at("stat", path, error))?.uid();
    let (us, _) = effective_ids();
    if owner == us {
        return Ok(());
    }
    let what = format!("it belongs to user {owner}, who could not read what user {us} would store in it");
    let hint = format!("mount it as that user (`sudo -u '#{owner}' ...`), or with --read-only");
    Err(Error::StoreForeign { path: path.to_owned(), what, hint })
}

fn take(lock: &ProgramLock, store: &Path, wait: Duration) -> Result<RecordLock> {
    RecordLock::acquire(&lock.path, lock.mode, wait)?.map_err(|holder| locked_by(lock, store, holder))
}

fn locked_by(lock: &ProgramLock, store: &Path, holder: RecordHolder) -> Error {
    let program = lock.program;
    let holder = match (holder.pid, holder.name) {
        (Some(pid), Some(name)) if name == lock.process => format!("{program} (process {pid})"),
        (Some(pid), Some(name)) => format!("process {pid} ({name}), which has {program}'s lock"),
        (Some(pid), None) => format!("process {pid}, which has {program}'s lock"),
        (None, _) => format!("a process that cannot be seen from here, which has {program}'s lock"),
    };
    Error::LockedByProgram { path: store.to_owned(), holder, release: lock.release }
}

/// Where what is ours cannot be kept, reading is still possible.
fn unwritable(parts: &Parts, error: Error) -> Error {
    match error {
        Error::Io { source, .. } if is_unwritable(&source) => Error::BesideUnwritable {
            path: parts.path.clone(),
            beside: parts.beside.clone(),
            source: Arc::clone(&source),
        },
        other => other,
    }
}
