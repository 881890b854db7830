//! The failure of an engine, and which errors are one.

use std::time::{Duration, Instant};

use crate::Error;
use crate::sys::errno::{EDQUOT, ENOSPC};

/// How long new blocks are refused after a failure that follows another one closely, and nobody tries
/// to open an engine again that could not be opened.
pub(super) const BACK_OFF: Duration = Duration::from_millis(500);

/// What went wrong last.
pub(super) struct Failure {
    pub error: Error,
    pub at: Instant,
    /// New blocks are refused until then.
    pub retry_at: Instant,
    /// Whether the engine has been opened again since.
    pub mended: bool,
    /// Whether that was tried, and failed as well.
    pub unopened: bool,
}

impl Failure {
    /// A failure now, after the one before.
    pub(super) fn after(before: Option<&Failure>, error: Error) -> Self {
        let at = Instant::now();
        let again = before.is_some_and(|failure| at < failure.at + BACK_OFF);
        let retry_at = if again { at + BACK_OFF } else { at };
        Self { error, at, retry_at, mended: false, unopened: false }
    }
}

/// Whether nobody knows what state the engine is in after this error.
pub(super) fn leaves_unknown(error: &Error) -> bool {
    matches!(error, Error::Io { .. } | Error::EngineFailed { .. } | Error::Internal { .. })
}

/// Whether the system says that the disk is full.
pub(super) fn is_full_disk(source: &std::io::Error) -> bool {
    matches!(source.raw_os_error(), Some(ENOSPC | EDQUOT))
}

/// Whether an error says so, be it the system's or our own.
pub(super) fn is_full(error: &Error) -> bool {
    matches!(error.errno(), ENOSPC | EDQUOT)
}
