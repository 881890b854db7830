//! How a file system is mounted.

use std::path::PathBuf;
use std::time::Duration;

/// A generic mount flag that may be passed on to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountFlag {
    /// Nothing in the mount can be executed.
    NoExec,
    /// No access times are kept.
    NoAtime,
    /// No access times of directories are kept.
    NoDirAtime,
}

impl MountFlag {
    /// The flags with the names that mount(8) and fusermount3 give them.
    pub const ALL: &[MountFlag] = &[MountFlag::NoExec, MountFlag::NoAtime, MountFlag::NoDirAtime];

    /// The name in `-o`.
    pub fn name(self) -> &'static str {
        match self {
            MountFlag::NoExec => "noexec",
            MountFlag::NoAtime => "noatime",
            MountFlag::NoDirAtime => "nodiratime",
        }
    }
}

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
    /// Generic mount flags from `-o`.
    pub flags: Vec<MountFlag>,
    /// How long files that are still open are served after SIGTERM or SIGINT.
    pub stop_timeout: Duration,
}
