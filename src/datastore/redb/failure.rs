//! What an error of redb means.

use std::io::ErrorKind;
use std::path::Path;

use crate::Error;

/// The error for an operation, a verb such as `read`, on the database at `path`.
pub(super) fn at(op: &str, path: &Path, error: impl Into<redb::Error>) -> Error {
    let damaged = |what: String| Error::StoreDamaged { path: path.to_owned(), what };
    match error.into() {
        // redb says so of a file that is no database.
        redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => damaged(error.to_string()),
        redb::Error::Io(error) if error.raw_os_error().is_some() => Error::io_at(op, path, error),
        redb::Error::RepairAborted => Error::StoreUnclean { path: path.to_owned() },
        redb::Error::Corrupted(what) => damaged(what),
        redb::Error::UpgradeRequired(found) => {
            damaged(format!("its file has version {found} of redb's format, which is too old"))
        }
        redb::Error::TableTypeMismatch { table, .. } => {
            damaged(format!("its table {table} is another program's"))
        }
        redb::Error::DatabaseAlreadyOpen => {
            Error::Locked { path: path.to_owned(), holder: "another program that uses redb".into() }
        }
        other => Error::EngineFailed { path: path.to_owned(), what: format!("{op}: {other}") },
    }
}
