//! The lock of a data directory: flock on a file that is never unlinked, with a description of
//! the holder inside.
//!
//! Invariant: the kernel's lock alone decides who holds the store; the description only tells
//! others about it, and may be missing or stale. The file is never removed, because a process
//! that waits on a removed file and one that makes a new one would both believe they hold it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::files::read_head;
use super::process;
use crate::{Error, Result};

/// How often a waiting process asks for the lock again.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Most bytes of a description that are read; a longer one is not ours.
const DESCRIPTION_BYTES_MAX: usize = 64 << 10;

/// Who holds a store, as written in its lock file.
///
/// A pid alone means nothing across containers and reboots, so the start time and the boot
/// id stand beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id, in the holder's own pid namespace.
    pub pid: u32,
    /// When the process started, in clock ticks since boot (field 22 of proc_pid_stat(5)).
    pub start_time: u64,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The host name.
    pub host: String,
    /// Where the store is mounted, if it is.
    pub mount_point: Option<String>,
    /// The name of the backend.
    pub backend: String,
    /// When the lock was taken, in seconds since 1970.
    pub since: u64,
}

impl Holder {
    /// Describes this process.
    pub fn current(backend: &str, mount_point: Option<&Path>) -> Self {
        let pid = std::process::id();
        Self {
            pid,
            start_time: process::start_time(pid).unwrap_or(0),
            boot_id: process::boot_id(),
            host: process::host_name(),
            mount_point: mount_point.map(|path| path.display().to_string()),
            backend: backend.to_owned(),
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// Reads the description in a lock file; `None` where there is no such file, or none that can be
    /// read in it.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match read_head(path, DESCRIPTION_BYTES_MAX) {
            Ok(text) => Ok(text.and_then(|text| serde_json::from_slice(&text).ok())),
            // Whoever may not look at the lock may not take it either, and is told so then.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            Err(source) => Err(Error::io_at("read", path, source)),
        }
    }

    /// Whether the process that this describes runs on this machine, and can be seen from here.
    pub fn is_here(&self) -> bool {
        self.boot_id == process::boot_id() && process::start_time(self.pid) == Some(self.start_time)
    }

    /// Whether the process that this describes is known to be gone. `false` where that cannot be
    /// told: on another host or boot its pid means nothing here.
    fn is_stale(&self) -> bool {
        self.boot_id == process::boot_id()
            && self.host == process::host_name()
            && process::start_time(self.pid) != Some(self.start_time)
    }

    /// The holder in words, for [`Error::Locked`].
    fn in_words(&self) -> String {
        let place = match &self.mount_point {
            Some(path) => format!(", mounted at {path}"),
            None => ", not mounted".to_owned(),
        };
        format!("process {} on host {}{place}", self.pid, self.host)
    }
}

/// A lock on a file. Dropping one that excludes everybody clears the description, then lets go.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
    abandoned: bool,
    /// The file's content stays when the lock is released: it is of others, who read as well, or says that
    /// the holder did not end well.
    keeps_content: bool,
}

impl FileLock {
    /// Takes the lock at `path`, making the file (0600) if it is missing, and writes `holder` into
    /// it. Waits up to `wait` for another holder; then fails with [`Error::Locked`], which
    /// describes that holder. Blocks in the same process exclude each other too.
    pub fn acquire(path: &Path, wait: Duration, holder: &Holder) -> Result<FileLock> {
        let file = lock_file(path, wait, open, File::try_lock)?;
        let length = file.metadata().map_err(|source| Error::io_at("stat", path, source))?.len();
        let mut lock = FileLock { file, path: path.to_owned(), abandoned: length > 0, keeps_content: false };
        lock.describe(holder)?;
        Ok(lock)
    }

    /// Takes the lock at `path` together with others that do the same, against all that take it
    /// alone, and writes nothing. The file must be there.
    pub fn share(path: &Path, wait: Duration) -> Result<FileLock> {
        let file = lock_file(path, wait, open_to_read, File::try_lock_shared)?;
        Ok(FileLock { file, path: path.to_owned(), abandoned: false, keeps_content: true })
    }

    /// Whether the last holder ended without letting go, which clears the description: it was
    /// killed, or the machine went down.
    pub fn was_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Releases the lock and leaves the description, as one who was killed: the next holder learns that this
    /// one did not end well.
    pub fn abandon(mut self) {
        self.keeps_content = true;
    }

    /// Replaces the description in the file, for example once the mount point is known.
    pub fn describe(&mut self, holder: &Holder) -> Result<()> {
        let mut text = serde_json::to_vec(holder)
            .map_err(|error| Error::io_at("describe the holder in", &self.path, error.into()))?;
        text.push(b'\n');
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&text)
        };
        match write(&mut self.file) {
            Ok(()) => Ok(()),
            // The lock must be had on a full disk as well, and it holds without a description.
            Err(error) if is_out_of_space(&error) => {
                tracing::warn!(path = %self.path.display(), %error, "no room to describe the holder in the lock file");
                Ok(())
            }
            Err(source) => Err(Error::io_at("write", &self.path, source)),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if !self.keeps_content
            && let Err(error) = self.file.set_len(0)
        {
            tracing::debug!(path = %self.path.display(), %error, "clearing the lock file");
        }
        // Said outright, not left to close: a child of ours may hold a copy of the descriptor.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "releasing the lock");
        }
    }
}

/// How often a lock that others hold for moments is tried again.
const SOON: Duration = Duration::from_millis(5);

/// Locks an open file that others lock for moments only; `false` if it is not to be had within `wait`.
pub fn lock_within(file: &File, wait: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(SOON),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Opens a file and locks it, waiting up to `wait` for another holder.
fn lock_file(
    path: &Path,
    wait: Duration,
    open: fn(&Path) -> Result<File>,
    try_lock: fn(&File) -> Result<(), TryLockError>,
) -> Result<File> {
    let deadline = Instant::now() + wait;
    loop {
        let file = open(path)?;
        match try_lock(&file) {
            Ok(()) if is_still_at(&file, path)? => return Ok(file),
            // Somebody removed or replaced the file since it was opened: take the new one.
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(Error::io_at("lock", path, source)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Locked { path: path.to_owned(), holder: describe_holder(file) });
        }
        std::thread::sleep(left.min(POLL_INTERVAL));
    }
}

fn open_to_read(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|source| Error::io_at("open", path, source))
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|source| Error::io_at("open", path, source))
}

/// Whether `path` still names the file that was opened.
pub(super) fn is_still_at(file: &File, path: &Path) -> Result<bool> {
    let opened = file.metadata().map_err(|source| Error::io_at("stat", path, source))?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io_at("stat", path, source)),
    }
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Who holds the lock on `file`, as far as its description says.
fn describe_holder(file: File) -> String {
    let mut text = String::new();
    let read = file.take(DESCRIPTION_BYTES_MAX as u64).read_to_string(&mut text);
    if read.is_ok() && text.trim().is_empty() {
        return "another process, which has not described itself (it only reads, or is starting or stopping)"
            .to_owned();
    }
    match serde_json::from_str::<Holder>(&text) {
        Ok(holder) if holder.is_stale() => {
            format!(
                "another process, which has not described itself (the last holder was {})",
                holder.in_words()
            )
        }
        Ok(holder) => holder.in_words(),
        Err(_) => "another process (the description in the lock file cannot be read)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        (dir, path)
    }

    fn refusal(path: &Path) -> String {
        let holder = Holder::current("file", None);
        match FileLock::acquire(path, Duration::ZERO, &holder) {
            Err(Error::Locked { holder, .. }) => holder,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_held_lock_is_refused_and_names_its_holder() {
        let (_dir, path) = scratch();
        let holder = Holder::current("file", Some(Path::new("/mnt/x")));
        let lock = FileLock::acquire(&path, Duration::ZERO, &holder).unwrap();
        let text = refusal(&path);
        let expected = format!("process {} on host {}, mounted at /mnt/x", holder.pid, holder.host);
        assert_eq!(text, expected);
        drop(lock);
        FileLock::acquire(&path, Duration::ZERO, &holder).unwrap();
    }

    #[test]
    fn those_who_share_keep_out_whoever_wants_it_alone_and_leave_the_file_as_it_is() {
        let (_dir, path) = scratch();
        assert!(FileLock::share(&path, Duration::ZERO).is_err(), "there is no file");
        std::fs::write(&path, "what a killed holder left").unwrap();
        let one = FileLock::share(&path, Duration::ZERO).unwrap();
        let two = FileLock::share(&path, Duration::ZERO).unwrap();
        drop(one);
        refusal(&path);
        drop(two);
        assert_eq!(std::fs::read(&path).unwrap(), b"what a killed holder left");
        let alone = FileLock::acquire(&path, Duration::ZERO, &Holder::current("file", None)).unwrap();
        assert!(alone.was_abandoned());
        assert!(matches!(FileLock::share(&path, Duration::ZERO), Err(Error::Locked { .. })));
    }

    #[test]
    fn letting_go_clears_the_description_and_leaves_the_file() {
        let (_dir, path) = scratch();
        let holder = Holder::current("file", None);
        drop(FileLock::acquire(&path, Duration::ZERO, &holder).unwrap());
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.mode() & 0o777), (0, 0o600));
    }

    #[test]
    fn a_refusal_says_when_the_description_is_stale_missing_or_unreadable() {
        let (_dir, path) = scratch();
        let mut holder = Holder::current("file", None);
        let mut lock = FileLock::acquire(&path, Duration::ZERO, &holder).unwrap();

        holder.start_time += 1;
        lock.describe(&holder).unwrap();
        assert!(refusal(&path).contains("the last holder was process"), "{}", refusal(&path));

        holder.boot_id = "another boot".to_owned();
        lock.describe(&holder).unwrap();
        assert!(refusal(&path).starts_with("process "), "what cannot be judged is shown as it is");

        std::fs::write(&path, "").unwrap();
        assert!(refusal(&path).contains("has not described itself"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(refusal(&path).contains("cannot be read"));
    }

    #[test]
    fn a_description_is_read_without_the_lock_and_tells_who_is_here() {
        let (dir, path) = scratch();
        assert_eq!(Holder::read(&path).unwrap(), None);
        let mut holder = Holder::current("file", Some(Path::new("/mnt/x")));
        let mut lock = FileLock::acquire(&path, Duration::ZERO, &holder).unwrap();
        assert_eq!(Holder::read(&path).unwrap(), Some(holder.clone()));
        assert!(holder.is_here());
        holder.start_time += 1;
        assert!(!holder.is_here(), "another process with the same number");
        holder.start_time -= 1;
        holder.boot_id = "another boot".to_owned();
        lock.describe(&holder).unwrap();
        assert!(!Holder::read(&path).unwrap().unwrap().is_here());
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Holder::read(&path).unwrap(), None);
        assert_eq!(Holder::read(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_lock_file_that_was_replaced_is_not_taken_for_the_new_one() {
        let (dir, path) = scratch();
        let holder = Holder::current("file", None);
        let old = FileLock::acquire(&path, Duration::ZERO, &holder).unwrap();
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        assert!(!is_still_at(&old.file, &path).unwrap());
        let new = FileLock::acquire(&path, Duration::ZERO, &holder).unwrap();
        assert!(is_still_at(&new.file, &path).unwrap());
        assert!(!is_still_at(&old.file, &path).unwrap());
    }

    #[test]
    fn a_waiting_process_gets_the_lock_when_it_is_let_go() {
        let (_dir, path) = scratch();
        let holder = Holder::current("file", None);
        let lock = FileLock::acquire(&path, Duration::ZERO, &holder).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| FileLock::acquire(&path, Duration::from_secs(60), &holder));
            std::thread::sleep(POLL_INTERVAL);
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
    }
}
