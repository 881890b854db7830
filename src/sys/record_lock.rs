//! The lock that other programs take with fcntl(2) on a whole file, taken as they take it.
//!
//! Ours is bound to the open file description, theirs to the process; the two exclude each other, and
//! ours is not lost when somebody here opens and closes the file. Invariant: nothing is written
//! into the file, and it is never removed: a program that has just opened it would then lock
//! what nobody else can see.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::lock::{POLL_INTERVAL, is_still_at};
use crate::{Error, Result};

/// Longest name of a process that is read.
const NAME_BYTES_MAX: usize = 64;

/// Who holds such a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHolder {
    /// The process; `None` where the kernel does not say: another pid namespace, or a lock that
    /// belongs to an open file and not to a process.
    pub pid: Option<u32>,
    /// The process's name, where it can be read.
    pub name: Option<String>,
}

/// A write lock on a whole file. Dropping it lets go.
#[derive(Debug)]
pub struct RecordLock {
    file: File,
    path: PathBuf,
}

impl RecordLock {
    /// Takes the lock at `path`, making an empty file with `mode` if it is missing. Waits up to `wait`
    /// for another holder; `Err` inside of `Ok` is who it is.
    pub fn acquire(path: &Path, mode: u32, wait: Duration) -> Result<Result<Self, RecordHolder>> {
        let deadline = Instant::now() + wait;
        loop {
            let file = open_or_create(path, mode).map_err(|source| Error::io_at("open", path, source))?;
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
                // Programs that remove their lock file may have done so since it was opened.
                Ok(_) if is_still_at(&file, path)? => return Ok(Ok(Self { file, path: path.to_owned() })),
                Ok(_) => continue,
                Err(Errno::EAGAIN | Errno::EACCES) => {}
                Err(errno) => return Err(Error::io_at("lock", path, errno.into())),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let holder =
                    holder_of(&file).map_err(|source| Error::io_at("ask who holds", path, source))?;
                return Ok(Err(holder.unwrap_or(RecordHolder { pid: None, name: None })));
            }
            std::thread::sleep(left.min(POLL_INTERVAL));
        }
    }

    /// Waits up to `wait` until nobody holds the lock at `path`, and takes nothing; gives who holds it
    /// still. A missing file is nobody's.
    pub fn wait_until_free(path: &Path, wait: Duration) -> Result<Option<RecordHolder>> {
        let deadline = Instant::now() + wait;
        loop {
            let holder = match File::open(path) {
                Ok(file) => holder_of(&file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
            let holder = holder.map_err(|source| Error::io_at("ask who holds", path, source))?;
            let left = deadline.saturating_duration_since(Instant::now());
            if holder.is_none() || left.is_zero() {
                return Ok(holder);
            }
            std::thread::sleep(left.min(POLL_INTERVAL));
        }
    }
}

impl Drop for RecordLock {
    fn drop(&mut self) {
        // Said outright, not left to close: a child of ours may hold a copy of the descriptor.
        if let Err(error) = fcntl(&self.file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK))) {
            tracing::warn!(path = %self.path.display(), %error, "releasing the lock");
        }
    }
}

/// The mode counts only for a file that is made here, and then whatever the umask.
fn open_or_create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match options.create_new(true).mode(mode).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(mode))?;
            Ok(file)
        }
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create_new(false).open(path),
        Err(error) => Err(error),
    }
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

/// Who would be in the way of a write lock.
fn holder_of(file: &File) -> io::Result<Option<RecordHolder>> {
    let mut asked = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked))?;
    if i32::from(asked.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    let pid = u32::try_from(asked.l_pid).ok().filter(|pid| *pid > 0);
    let name = pid.and_then(|pid| {
        let name = super::files::read_head(&PathBuf::from(format!("/proc/{pid}/comm")), NAME_BYTES_MAX);
        Some(String::from_utf8_lossy(&name.ok()??).trim().to_owned())
    });
    Ok(Some(RecordHolder { pid, name }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn take(path: &Path, wait: Duration) -> Result<RecordLock, RecordHolder> {
        RecordLock::acquire(path, 0o644, wait).unwrap()
    }

    #[test]
    fn a_held_lock_is_refused_and_the_file_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repo.lock");
        assert_eq!(RecordLock::wait_until_free(&path, Duration::ZERO).unwrap(), None);
        assert!(!path.exists());
        let lock = take(&path, Duration::ZERO).unwrap();
        let info = std::fs::metadata(&path).unwrap();
        assert_eq!((info.len(), info.mode() & 0o777), (0, 0o644));
        // Closing another descriptor of the file does not lose it.
        drop(File::open(&path).unwrap());
        assert!(take(&path, Duration::ZERO).is_err());
        assert!(RecordLock::wait_until_free(&path, Duration::ZERO).unwrap().is_some());
        drop(lock);
        assert!(path.exists());
        drop(take(&path, Duration::ZERO).unwrap());
        assert_eq!(RecordLock::wait_until_free(&path, Duration::ZERO).unwrap(), None);
    }

    #[test]
    fn a_file_that_was_removed_is_not_taken_for_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repo.lock");
        let old = take(&path, Duration::ZERO).unwrap();
        std::fs::remove_file(&path).unwrap();
        let new = take(&path, Duration::ZERO).unwrap();
        assert!(!is_still_at(&old.file, &path).unwrap() && is_still_at(&new.file, &path).unwrap());
    }

    #[test]
    fn who_waits_gets_it_when_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repo.lock");
        let lock = take(&path, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| take(&path, Duration::from_secs(60)));
            std::thread::sleep(POLL_INTERVAL);
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
    }
}
