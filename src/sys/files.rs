//! Files by name inside an open directory, and what makes them durable.
//!
//! Invariant: names are resolved from the directory's descriptor, so the store stays the same one
//! when a parent is renamed or mounted over; a final symbolic link is never followed.

use std::ffi::CStr;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::dir::{Dir as NixDir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, syncfs, unlinkat};

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileInfo {
    /// Length in bytes.
    pub size_bytes: u64,
    /// Last modification.
    pub mtime: SystemTime,
    /// Last change of the file or of its name.
    pub changed: SystemTime,
    /// The inode number.
    pub inode: u64,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    file: File,
    path: PathBuf,
}

impl Dir {
    /// Opens an existing directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { file: File::from(fd), path: path.to_path_buf() })
    }

    /// The path under which it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size and times of the directory itself.
    pub fn info(&self) -> io::Result<FileInfo> {
        Ok(file_info(&nix::sys::stat::fstat(&self.file)?))
    }

    /// What a name stands for, without opening it; `None` if there is no such name.
    pub fn stat(&self, name: &str) -> io::Result<Option<FileInfo>> {
        absent_as_none(fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW))
            .map(|s| s.as_ref().map(file_info))
    }

    /// Opens a file for reading; `None` if there is no such name.
    pub fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(absent_as_none(openat(&self.file, name, flags, Mode::empty()))?.map(File::from))
    }

    /// Opens a file for reading and writing, making it with `mode` (less the umask) if missing.
    pub fn open_or_create(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.file, name, flags, Mode::from_bits_truncate(mode))?))
    }

    /// Makes a file that must not exist, with `mode` less the umask.
    pub fn create_new(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.file, name, flags, Mode::from_bits_truncate(mode))?))
    }

    /// Makes a directory; `false` if the name exists already. The umask counts.
    pub fn make_dir(&self, name: &str, mode: u32) -> io::Result<bool> {
        match mkdirat(&self.file, name, Mode::from_bits_truncate(mode)) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a directory inside this one; `None` if there is no such name, or no directory.
    pub fn open_dir(&self, name: &str) -> io::Result<Option<Dir>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match openat(&self.file, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Dir { file: File::from(fd), path: self.path.join(name) })),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Renames inside this directory (and below), replacing what has the new name.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.file, from, &self.file, to)?)
    }

    /// Removes a file; `false` if there was none.
    pub fn unlink(&self, name: &str) -> io::Result<bool> {
        Ok(absent_as_none(unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir))?.is_some())
    }

    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Makes everything durable that was written to the file system it is on.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(syncfs(&self.file)?)
    }

    /// Changes the directory's own mode.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Calls `visit` with each name in the directory called `name` (`.` is this one), in the file
    /// system's own order, without `.` and `..`; `false` if there is no such directory.
    pub fn for_each(&self, name: &str, mut visit: impl FnMut(&CStr, Kind)) -> io::Result<bool> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = match NixDir::openat(&self.file, name, flags, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(false),
            other => other?,
        };
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                visit(name, Kind::from(entry.file_type()));
            }
        }
        Ok(true)
    }
}

/// What a directory entry says of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// The file system does not say.
    Unknown,
    /// A device, socket or pipe.
    Other,
}

impl Kind {
    /// Whether it is, or may be, a regular file.
    pub fn may_be_file(self) -> bool {
        matches!(self, Kind::File | Kind::Unknown)
    }

    /// Whether it is, or may lead to, a directory.
    pub fn may_be_dir(self) -> bool {
        matches!(self, Kind::Dir | Kind::Link | Kind::Unknown)
    }
}

impl From<Option<Type>> for Kind {
    fn from(kind: Option<Type>) -> Self {
        match kind {
            Some(Type::File) => Kind::File,
            Some(Type::Directory) => Kind::Dir,
            Some(Type::Symlink) => Kind::Link,
            None => Kind::Unknown,
            Some(Type::Fifo | Type::CharacterDevice | Type::BlockDevice | Type::Socket) => Kind::Other,
        }
    }
}

/// Starts writing a file's pages to the disk without waiting, so that syncs of many files that
/// follow overlap. Only a hint: an error shows at the sync.
#[allow(unsafe_code)]
pub fn start_writeback(file: &File) {
    // SAFETY: the descriptor is open for the whole call, and no memory is passed.
    let _hint = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Whether a descriptor is an end of a pipe.
pub fn is_pipe(descriptor: BorrowedFd<'_>) -> bool {
    let metadata = descriptor.try_clone_to_owned().map(File::from).and_then(|file| file.metadata());
    metadata.is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Closes a file and says what close(2) said, which dropping it does not.
pub fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(file)?)
}

/// The first bytes of a regular file, at most `bytes_max`; `None` if there is no such file, or it is of
/// another kind. Waits for nobody: pipes and devices are not opened, whatever leads to them.
pub fn read_head(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    // It may have been replaced since.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn absent_as_none<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn file_info(stat: &FileStat) -> FileInfo {
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    FileInfo {
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: system_time(stat.st_mtime, stat.st_mtime_nsec),
        changed: system_time(stat.st_ctime, stat.st_ctime_nsec),
        inode: stat.st_ino,
        is_file: kind == SFlag::S_IFREG,
        is_dir: kind == SFlag::S_IFDIR,
    }
}

/// The time that seconds and nanoseconds since 1970 stand for; seconds may be negative.
fn system_time(secs: i64, nanos: i64) -> SystemTime {
    let whole = Duration::from_secs(secs.unsigned_abs());
    let base = if secs < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let part = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    base.and_then(|time| time.checked_add(part)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        assert_eq!(system_time(-1, 250), UNIX_EPOCH - Duration::from_nanos(999_999_750));
        assert_eq!(system_time(1, 5), UNIX_EPOCH + Duration::new(1, 5));
    }

    #[test]
    fn heads_are_read_of_regular_files_alone_and_no_further_than_asked() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        std::fs::write(path("file"), "0123456789").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zeros")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRUSR).unwrap();
        assert_eq!(read_head(&path("file"), 4).unwrap().unwrap(), b"0123");
        assert_eq!(read_head(&path("link"), 40).unwrap().unwrap(), b"0123456789");
        for other in ["zeros", "pipe", ".", "absent", "file/below"] {
            assert_eq!(read_head(&path(other), 4).unwrap(), None, "{other}");
        }
    }

    #[test]
    fn a_link_is_not_followed_and_absence_is_no_error() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = Dir::open(scratch.path()).unwrap();
        assert_eq!(dir.stat("x").unwrap(), None);
        assert!(dir.open_file("x").unwrap().is_none());
        assert!(!dir.unlink("x").unwrap());
        std::os::unix::fs::symlink("/etc/passwd", scratch.path().join("x")).unwrap();
        assert!(dir.open_file("x").is_err());
        assert!(!dir.stat("x").unwrap().unwrap().is_file);
    }
}
