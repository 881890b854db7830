//! System calls that the standard library does not have, for tests.

#![allow(unsafe_code, reason = "system calls")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Closes a file and says what close(2) said, which dropping it would swallow.
pub fn close(file: File) -> io::Result<()> {
    nix::unistd::close(file).map_err(io::Error::from)
}

/// Creates or truncates a file, writes all of it, and closes it: the verdict of the mount.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    close(file)
}

/// An entry as getdents64(2) gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirent {
    /// Resume behind this entry.
    pub cookie: i64,
    pub ino: u64,
    pub kind: u8,
    pub name: String,
}

/// One getdents64(2) with a buffer of this size; empty at the end.
pub fn getdents(dir: &File, buffer_bytes: usize) -> io::Result<Vec<Dirent>> {
    let mut buffer = vec![0u64; buffer_bytes.div_ceil(8)];
    // SAFETY: the buffer is writable and at least as long as the kernel is told.
    let filled = check(unsafe {
        libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer_bytes)
    })?;
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).take(filled as usize).collect();
    let mut entries = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let length = usize::from(u16::from_ne_bytes(rest[16..18].try_into().unwrap()));
        let name = CStr::from_bytes_until_nul(&rest[19..length]).unwrap();
        entries.push(Dirent {
            ino: u64::from_ne_bytes(rest[..8].try_into().unwrap()),
            cookie: i64::from_ne_bytes(rest[8..16].try_into().unwrap()),
            kind: rest[18],
            name: name.to_str().unwrap().to_owned(),
        });
        rest = &rest[length..];
    }
    Ok(entries)
}

/// All entries but `.` and `..`, fetched with buffers of this size.
pub fn list(dir: &File, buffer_bytes: usize) -> Vec<Dirent> {
    let mut all = Vec::new();
    loop {
        let some = getdents(dir, buffer_bytes).unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some.into_iter().filter(|entry| entry.name != "." && entry.name != ".."));
    }
}

/// An open directory, as opendir(3) gives it.
pub struct Dir(*mut libc::DIR);

impl Dir {
    pub fn open(path: &Path) -> Self {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is a string with an end.
        let dir = unsafe { libc::opendir(path.as_ptr()) };
        assert!(!dir.is_null(), "{}", io::Error::last_os_error());
        Self(dir)
    }

    /// The next name, `None` at the end.
    pub fn next(&mut self) -> Option<String> {
        // SAFETY: the stream is open.
        let entry = unsafe { libc::readdir(self.0) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: the entry is there until the next call, and its name has an end.
        let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) };
        Some(name.to_str().unwrap().to_owned())
    }

    pub fn tell(&mut self) -> i64 {
        // SAFETY: the stream is open.
        unsafe { libc::telldir(self.0) }
    }

    pub fn seek(&mut self, place: i64) {
        // SAFETY: the stream is open.
        unsafe { libc::seekdir(self.0, place) }
    }

    pub fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0) }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and nobody uses it after this.
        unsafe { libc::closedir(self.0) };
    }
}

/// The bytes of a file, mapped for reading.
pub struct Map {
    start: *mut libc::c_void,
    length: usize,
}

impl Map {
    /// `flags` is MAP_PRIVATE or MAP_SHARED.
    pub fn new(file: &impl AsRawFd, length: usize, protection: i32, flags: i32) -> io::Result<Self> {
        // SAFETY: the kernel chooses the place.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { start, length }) }
    }
}

impl Map {
    /// Puts bytes into a writable mapping.
    pub fn store(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length);
        // SAFETY: the mapping is writable, and long enough.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast::<u8>().add(at), bytes.len()) }
            .copy_from_slice(bytes);
    }

    /// msync(2) with MS_SYNC.
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the mapping is ours and this long.
        check(i64::from(unsafe { libc::msync(self.start, self.length, libc::MS_SYNC) })).map(|_| ())
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Map({} bytes)", self.length)
    }
}

impl std::ops::Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is readable, this long, and there until it is dropped.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody uses it after this.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// sendfile(2) from an offset; says how many bytes went.
pub fn sendfile(to: &File, from: &File, mut offset: i64, length: usize) -> io::Result<usize> {
    // SAFETY: the offset is a number of ours.
    let sent = unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), &raw mut offset, length) };
    check(sent as i64).map(|sent| sent as usize)
}

/// copy_file_range(2) at the offsets of both files; says how many bytes went.
pub fn copy_file_range(from: &File, to: &File, length: usize) -> io::Result<usize> {
    let none = std::ptr::null_mut();
    // SAFETY: without offsets the kernel uses those of the files.
    let sent = unsafe { libc::copy_file_range(from.as_raw_fd(), none, to.as_raw_fd(), none, length, 0) };
    check(sent as i64).map(|sent| sent as usize)
}

/// lseek(2) with SEEK_DATA or SEEK_HOLE.
pub fn seek(file: &File, offset: i64, whence: i32) -> io::Result<i64> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) })
}

/// Whether access(2) grants it.
pub fn access(path: &Path, mode: i32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a string with an end.
    check(i64::from(unsafe { libc::access(path.as_ptr(), mode) })).map(|_| ())
}

/// mknod(2).
pub fn mknod(path: &Path, mode: u32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a string with an end.
    check(i64::from(unsafe { libc::mknod(path.as_ptr(), mode, 0) })).map(|_| ())
}

/// Sets the access and modification time of a path.
pub fn set_times(path: &Path, atime: std::time::SystemTime, mtime: std::time::SystemTime) -> io::Result<()> {
    let spec = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
        libc::timespec { tv_sec: since.as_secs() as i64, tv_nsec: i64::from(since.subsec_nanos()) }
    };
    let times = [spec(atime), spec(mtime)];
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a string with an end, the times are two.
    let set = unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) };
    check(i64::from(set)).map(|_| ())
}

/// statvfs(3): total, free and available units, their size, total and free inodes.
pub fn statvfs(path: &Path) -> nix::sys::statvfs::Statvfs {
    nix::sys::statvfs::statvfs(path).unwrap()
}
