//! Unmounting.
//!
//! Invariant: only mounts of ours are detached, and when [`unmount_and_wait`] returns without an
//! error and without a warning, the daemon is gone and its store can be opened again.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{fusermount, own};
use crate::blockstore::LOCK_NAME;
use crate::sys::{self, Holder, MountEntry, Process, Standing};
use crate::{Error, Result};

/// Where the daemon describes itself, below the mount point.
const STATUS_FILE: &str = ".ipfs-persist/status.json";

/// How long the daemon may take to describe itself before it is taken to hang.
const STATUS_WAIT: Duration = Duration::from_secs(5);

/// How often a busy mount is tried again.
const BUSY_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often a mount that is busy without anybody to be seen is tried again all the same: whoever
/// it was is gone by then, such as a process that was just being started with a copy of a
/// descriptor.
const UNSEEN_TRIES_MAX: u32 = 10;

/// How long between two of these.
const UNSEEN_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a daemon may take to close its store and end.
const EXIT_WAIT: Duration = Duration::from_secs(60);

/// How [`unmount_and_wait`] goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmountOptions {
    /// Detach at once, and leave files that are open to their users. The daemon ends when they
    /// have been closed.
    pub lazy: bool,
    /// How long to wait for open files to be closed before refusing.
    pub busy_wait: Duration,
    /// How long to wait for the daemon to close the store and end. By default [`EXIT_WAIT`], or not
    /// at all if it is detached lazily while files are open.
    pub exit_wait: Option<Duration>,
}

impl Default for UnmountOptions {
    fn default() -> Self {
        Self { lazy: false, busy_wait: Duration::ZERO, exit_wait: None }
    }
}

/// The process behind a mount, as one that cannot be mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Daemon {
    pid: u32,
    start_time: u64,
    /// Its data directory, if it has one and says so.
    #[serde(default)]
    data_path: Option<PathBuf>,
}

impl Daemon {
    /// Whether it has closed its store, now that it has ended: otherwise it is still described in the lock
    /// file.
    fn check_end(&self, mount: &MountEntry) -> Result<()> {
        let Some(store) = &self.data_path else { return Ok(()) };
        let left = Holder::read(&store.join(LOCK_NAME)).ok().flatten();
        if left.is_some_and(|left| (left.pid, left.start_time) == (self.pid, self.start_time)) {
            return Err(Error::StoreNotClosed { path: mount.mount_point.clone(), store: store.clone() });
        }
        Ok(())
    }
}

/// Detaches the mount of ours on top at `path`; [`Error::NotMounted`] if there is none, and
/// [`Error::MountBusy`] with the holders if files in it are open and it is not `lazy`.
pub fn detach(path: &Path, lazy: bool) -> Result<()> {
    let mount = sys::mount_of_ours(path)?;
    detach_mount(&mount, lazy)
}

/// Unmounts, and waits until the daemon has closed its store and ended.
///
/// The mount of a dead daemon is just detached. A daemon that hangs or cannot be asked is
/// looked for in /proc. With `lazy`, a daemon that still serves open files at the end of the wait
/// is no error, but a warning in the log.
pub fn unmount_and_wait(path: &Path, options: &UnmountOptions) -> Result<()> {
    let mount = sys::mount_of_ours(path)?;
    let daemon = match ask_daemon(&mount) {
        Err(error) if means_dead(&error) => {
            tracing::info!(path = %mount.mount_point.display(), "the daemon of this mount is dead");
            detach_mount(&mount, true)?;
            own::forget(&mount);
            return Ok(());
        }
        Ok(daemon) => Some(daemon),
        Err(error) => {
            tracing::debug!(%error, "the daemon does not say who it is");
            find_daemon(&mount)
        }
    };
    let held = options.lazy && !sys::holders_of(&mount).is_empty();
    let exit_wait = options.exit_wait.unwrap_or(if held { Duration::ZERO } else { EXIT_WAIT });
    detach_patiently(&mount, options)?;
    match daemon {
        Some(daemon) => wait_for_daemon(&mount, &daemon, options.lazy, exit_wait),
        None => {
            tracing::warn!(path = %mount.mount_point.display(), "unmounted; which process served it could not be told, and it may hold the store for a while");
            Ok(())
        }
    }
}

/// Whether a request to a mount failed because its daemon has gone, before it or meanwhile.
fn means_dead(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::ConnectionAborted)
}

/// Whether the daemon behind a FUSE mount is gone. Asks it; a daemon that hangs makes us wait, and the
/// wait ends with this process.
pub(super) fn is_dead(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| means_dead(&error))
}

/// Detaches a mount that was seen before. That it is not there any more is what was wanted; what others
/// have mounted in its place meanwhile stays.
pub(super) fn detach_mount(mount: &MountEntry, lazy: bool) -> Result<()> {
    match sys::standing(mount)? {
        Standing::OnTop => {}
        Standing::Gone => return Ok(()),
        Standing::Covered(top) => {
            let what = format!("{} ({})", top.source.display(), top.fs_type);
            return Err(busy_with(mount, format!("the mount of {what} on top of it")));
        }
    }
    let detached =
        if sys::effective_ids().0 == 0 { detach_as_root(mount, lazy) } else { ask_helper(mount, lazy) };
    // Somebody else may have been quicker.
    detached.or_else(|error| if sys::standing(mount)? == Standing::Gone { Ok(()) } else { Err(error) })
}

fn detach_as_root(mount: &MountEntry, lazy: bool) -> Result<()> {
    if lazy {
        let detached = sys::detach_exactly(mount)?;
        return if detached { Ok(()) } else { Err(busy_with(mount, "a mount on top of it".to_owned())) };
    }
    sys::umount(&mount.mount_point).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => busy(
            mount,
            "something that is no process: another mount inside it, or a loop device or swap file",
        ),
        _ => Error::io_at("unmount", &mount.mount_point, error),
    })
}

fn ask_helper(mount: &MountEntry, lazy: bool) -> Result<()> {
    let path = &mount.mount_point;
    let Err(text) = fusermount::unmount(path, lazy)? else { return Ok(()) };
    match mount.user_id() {
        Some(owner) if owner != sys::effective_ids().0 => {
            let why = format!("user {owner} mounted it, and only that user or root can unmount it");
            Err(Error::io_at("unmount", path, io::Error::new(io::ErrorKind::PermissionDenied, why)))
        }
        // fusermount3 gives no errno; busy is what is left for it to fail with for the owner.
        _ => Err(busy(mount, &format!("a process that cannot be seen from here ({text})"))),
    }
}

/// Names the processes that use the mount, or `unseen` where there are none to be seen.
fn busy(mount: &MountEntry, unseen: &str) -> Error {
    let named = names_of(&sys::holders_of(mount));
    busy_with(mount, if named.is_empty() { unseen.to_owned() } else { named })
}

fn busy_with(mount: &MountEntry, holders: String) -> Error {
    Error::MountBusy { path: mount.mount_point.clone(), holders }
}

fn names_of(processes: &[Process]) -> String {
    let names: Vec<String> = processes.iter().map(Process::to_string).collect();
    names.join(", ")
}

fn detach_patiently(mount: &MountEntry, options: &UnmountOptions) -> Result<()> {
    let deadline = Instant::now() + options.busy_wait;
    let (mut unseen_tries, mut told) = (0, false);
    loop {
        let result = detach_mount(mount, options.lazy);
        let Err(busy @ Error::MountBusy { .. }) = &result else { return result };
        let left = deadline.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            if !told {
                tracing::info!("waiting: {busy}");
            }
            told = true;
            thread::sleep(left.min(BUSY_POLL_INTERVAL));
        } else if unseen_tries < UNSEEN_TRIES_MAX && sys::holders_of(mount).is_empty() {
            unseen_tries += 1;
            thread::sleep(UNSEEN_POLL_INTERVAL);
        } else {
            return result;
        }
    }
}

/// Reads the status file.
fn ask_daemon(mount: &MountEntry) -> io::Result<Daemon> {
    let path = mount.mount_point.join(STATUS_FILE);
    sys::answer_within(STATUS_WAIT, move || Ok(serde_json::from_slice(&std::fs::read(&path)?)?))
}

fn find_daemon(mount: &MountEntry) -> Option<Daemon> {
    let process = sys::fuse_server(mount)?;
    Some(Daemon { pid: process.pid, start_time: sys::start_time(process.pid)?, data_path: None })
}

/// Waits until the daemon of a mount that is detached has ended.
fn wait_for_daemon(mount: &MountEntry, daemon: &Daemon, lazy: bool, exit_wait: Duration) -> Result<()> {
    let path = &mount.mount_point;
    let other = sys::mounts_like(mount)?.into_iter().next();
    // With another mount it does not end before that one is unmounted too.
    if other.is_none() && sys::wait_for_exit(daemon.pid, daemon.start_time, exit_wait)? {
        return daemon.check_end(mount);
    }
    if lazy {
        tracing::warn!(path = %path.display(), pid = daemon.pid, "detached; the daemon holds the store until the files that are open have been closed");
        return Ok(());
    }
    if let Some(other) = other {
        return Err(busy_with(mount, format!("its other mount at {}", other.mount_point.display())));
    }
    let elsewhere = names_of(&sys::holders_elsewhere(mount));
    Err(busy_with(
        mount,
        if elsewhere.is_empty() {
            format!("its daemon, process {}, which is still closing the store", daemon.pid)
        } else {
            format!("{elsewhere} in another mount namespace")
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_never_unmounted() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        for path in [dir.path(), missing.as_path(), Path::new("/proc"), Path::new("/")] {
            let options = UnmountOptions::default();
            assert!(matches!(detach(path, false), Err(Error::NotMounted { .. })));
            assert!(matches!(unmount_and_wait(path, &options), Err(Error::NotMounted { .. })));
        }
    }

    #[test]
    fn the_status_file_may_say_more_than_is_read_here() {
        let text = r#"{"backend":"file","pid":7,"start_time":42,"uptime_secs":1}"#;
        assert_eq!(
            serde_json::from_str::<Daemon>(text).unwrap(),
            Daemon { pid: 7, start_time: 42, data_path: None }
        );
    }
}
