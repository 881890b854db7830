//! How a file system is mounted.

use std::path::PathBuf;
use std::time::Duration;

/// Where and how the kernel is to mount.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The directory, absolute and without symbolic links.
    pub mount_point: PathBuf,
    /// What the mount table shows as the source, for example `file:/srv/blocks`.
    pub source: String,
    /// The kernel refuses every change.
    pub read_only: bool,
    /// Users other than the mounting one may read.
    pub allow_other: bool,
    /// Mount over a directory that is not empty.
    pub allow_non_empty: bool,
    /// Generic mount flags from `-o` that are passed on, for example `noexec`, `noatime`.
    pub flags: Vec<String>,
    /// How long files that are still open are served after SIGTERM or SIGINT.
    pub stop_timeout: Duration,
}
