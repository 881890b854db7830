//! The same operations, with real system calls on a real mount.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use libc::{MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FallocateFlags, OFlag, RenameFlags, fallocate, open, readlink, renameat2};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, UtimensatFlags};
use nix::sys::stat::{fchmod, fchmodat, fstat, futimens, stat, utimensat};
use nix::sys::time::TimeSpec;
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{self, fsync, ftruncate, lseek, truncate, unlink};

use super::common::raw::Map;
use super::common::{Bench, Mounted};
use super::names::{LIMIT, Name, World};
use super::op::{Fd, How, MapEnd, Op, Slot, Whence};
use super::truth::{Answer, Observed, Seen};

type Result<T> = std::result::Result<T, Errno>;

/// Files that tell what is open are held open, at most so many.
const ASKED_MAX: usize = 100;

/// The descriptors and mappings of one run on a mount.
pub struct Actual {
    mnt: PathBuf,
    world: Rc<World>,
    fds: BTreeMap<Fd, OwnedFd>,
    maps: BTreeMap<Slot, Map>,
}

/// A mount for a model: with small blocks, so that the limit is met.
pub fn mount(bench: &Bench) -> Mounted {
    bench.mount_with(&["--max-block-size", &LIMIT.to_string(), "--min-free-space", "0"])
}

impl Actual {
    pub fn new(mnt: &Path, world: Rc<World>) -> Self {
        Self { mnt: mnt.to_owned(), world, fds: BTreeMap::new(), maps: BTreeMap::new() }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.mnt.join(&name.text)
    }

    /// Makes an operation that needs no other mount.
    pub fn make(&mut self, op: &Op) -> Observed {
        self.call(op).map_err(|errno| errno as i32)
    }

    fn call(&mut self, op: &Op) -> Result<Answer> {
        match op {
            Op::Open { fd, name, how, mode } => {
                let opened = open(&self.path(name), flags(*how), Mode::from_bits_truncate(*mode))?;
                self.fds.insert(*fd, opened);
            }
            Op::Dup { from, to } => {
                let duplicate = unistd::dup(&self.fds[from])?;
                self.fds.insert(*to, duplicate);
            }
            Op::Close(fd) => self.close(*fd)?,
            Op::Write { fd, data } => {
                return unistd::write(&self.fds[fd], &self.world.bytes(*data)).map(number);
            }
            Op::Pwrite { fd, at, data } => {
                return pwrite(&self.fds[fd], &self.world.bytes(*data), *at as i64).map(number);
            }
            Op::Read { fd, length } => return filled(*length, |buffer| unistd::read(&self.fds[fd], buffer)),
            Op::Pread { fd, at, length } => {
                return filled(*length, |buffer| pread(&self.fds[fd], buffer, *at as i64));
            }
            Op::Seek { fd, at, whence } => {
                return lseek(&self.fds[fd], *at, whence_of(*whence)).map(|at| Answer::Number(at as u64));
            }
            Op::Ftruncate { fd, length } => ftruncate(&self.fds[fd], *length as i64)?,
            Op::Truncate { name, length } => truncate(&self.path(name), *length as i64)?,
            Op::Fallocate { fd, keep_size, at, length } => {
                let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
                let mode = if *keep_size { keep } else { FallocateFlags::empty() };
                fallocate(&self.fds[fd], mode, *at as i64, *length as i64)?;
            }
            Op::Fsync(fd) => fsync(&self.fds[fd])?,
            Op::SyncRoot => fsync(File::open(&self.mnt).map_err(errno)?)?,
            Op::Fstat(fd) => return fstat(&self.fds[fd]).map(|found| Answer::Seen(seen(&found))),
            Op::Fchmod { fd, mode } => fchmod(&self.fds[fd], Mode::from_bits_truncate(*mode))?,
            Op::Futimes { fd, seconds } => {
                let time = TimeSpec::new(i64::from(*seconds), 0);
                futimens(&self.fds[fd], &time, &time)?;
            }
            _ => return self.call_by_name(op),
        }
        Ok(Answer::Nothing)
    }

    fn call_by_name(&mut self, op: &Op) -> Result<Answer> {
        match op {
            Op::Stat(name) => return stat(&self.path(name)).map(|found| Answer::Seen(seen(&found))),
            Op::Readlink(name) => {
                let link = self.mnt.join(".ipfs-persist/names").join(&name.text);
                return readlink(&link).map(|target| Answer::Text(target.into_string().unwrap()));
            }
            Op::List => return Ok(Answer::Names(list(&self.mnt))),
            Op::Chmod { name, mode } => {
                let mode = Mode::from_bits_truncate(*mode);
                fchmodat(AT_FDCWD, &self.path(name), mode, FchmodatFlags::FollowSymlink)?;
            }
            Op::Utimes { name, seconds } => {
                let time = TimeSpec::new(i64::from(*seconds), 0);
                utimensat(AT_FDCWD, &self.path(name), &time, &time, UtimensatFlags::FollowSymlink)?;
            }
            Op::Unlink(name) => unlink(&self.path(name))?,
            Op::Rename { from, to, exclusive } => {
                let noreplace = RenameFlags::RENAME_NOREPLACE;
                let flags = if *exclusive { noreplace } else { RenameFlags::empty() };
                renameat2(AT_FDCWD, &self.path(from), AT_FDCWD, &self.path(to), flags)?;
            }
            Op::MapWrite { fd, at, data, end } => {
                self.map_write(*fd, *at, &self.world.bytes(*data), *end)?;
            }
            Op::MapPrivate { fd, at, data } => {
                let mut map = self.map(*fd, PROT_READ | PROT_WRITE, MAP_PRIVATE)?;
                map.store(*at, &self.world.bytes(*data));
                return Ok(Answer::Bytes(map.to_vec()));
            }
            Op::Hold { fd, slot } => {
                let map = self.map(*fd, PROT_READ, MAP_SHARED)?;
                self.maps.insert(*slot, map);
            }
            Op::Look(slot) => return Ok(Answer::Bytes(self.maps[slot].to_vec())),
            Op::Unmap(slot) => drop(self.maps.remove(slot)),
            other => unreachable!("{other} is not made here"),
        }
        Ok(Answer::Nothing)
    }

    fn close(&mut self, fd: Fd) -> Result<()> {
        unistd::close(self.fds.remove(&fd).unwrap())
    }

    fn map(&self, fd: Fd, protection: i32, flags: i32) -> Result<Map> {
        // A mapping that is longer than its file would end this program. fstat(2) does not say which
        // descriptor asks, so that it fails on a block that was removed.
        let at = lseek(&self.fds[&fd], 0, unistd::Whence::SeekCur)?;
        let length = lseek(&self.fds[&fd], 0, unistd::Whence::SeekEnd)? as usize;
        lseek(&self.fds[&fd], at, unistd::Whence::SeekSet)?;
        Map::new(&self.fds[&fd], length, protection, flags).map_err(errno)
    }

    fn map_write(&mut self, fd: Fd, at: usize, data: &[u8], end: MapEnd) -> Result<()> {
        let mut map = self.map(fd, PROT_READ | PROT_WRITE, MAP_SHARED)?;
        match end {
            MapEnd::Sync => {
                map.store(at, data);
                map.sync().map_err(errno)
            }
            MapEnd::Unmap => {
                map.store(at, data);
                Ok(())
            }
            MapEnd::CloseUnmap => {
                map.store(at, data);
                self.close(fd)
            }
            MapEnd::CloseFirst => {
                let closed = self.close(fd);
                map.store(at, data);
                closed
            }
        }
    }

    /// After the mount has died: nobody is told anything.
    pub fn drop_all(&mut self) {
        self.maps.clear();
        while let Some(fd) = self.fds.keys().next().copied() {
            let _dead = self.close(fd);
        }
    }
}

/// Waits until so many files and directories are open in the mount. The kernel tells a mount of the
/// end of a file when close(2) has returned.
pub fn wait_for_handles(
    mounted: &Mounted,
    wanted: RangeInclusive<usize>,
    patience: Duration,
) -> std::result::Result<(), String> {
    let path = mounted.path(".ipfs-persist/stats.json");
    let begun = Instant::now();
    // The files that tell it are open too. They stay open while they are counted: when one that was
    // closed has ended nobody knows.
    let mut asked: Vec<File> = Vec::new();
    loop {
        let mut stats = File::open(&path).unwrap();
        let mut text = String::new();
        stats.read_to_string(&mut text).unwrap();
        let stats_now: serde_json::Value = serde_json::from_str(&text).unwrap();
        let open = stats_now["gauges"]["open_handles"].as_u64().unwrap() as usize;
        if open.checked_sub(asked.len()).is_some_and(|open| wanted.contains(&open)) {
            return Ok(());
        }
        if begun.elapsed() > patience {
            return Err(format!("{wanted:?} files should be open, and {open} - {} are", asked.len()));
        }
        asked.push(stats);
        if asked.len() == ASKED_MAX {
            asked.clear();
        }
    }
}

/// The names in the root.
pub fn list(mnt: &Path) -> Vec<String> {
    let mut names = super::common::names(mnt);
    names.sort();
    names
}

fn flags(how: How) -> OFlag {
    let mut flags = match (how.read, how.write) {
        (true, true) => OFlag::O_RDWR,
        (false, true) => OFlag::O_WRONLY,
        _ => OFlag::O_RDONLY,
    };
    flags.set(OFlag::O_APPEND, how.append);
    flags.set(OFlag::O_CREAT, how.create);
    flags.set(OFlag::O_EXCL, how.exclusive);
    flags.set(OFlag::O_TRUNC, how.truncate);
    flags | OFlag::O_CLOEXEC
}

fn whence_of(whence: Whence) -> unistd::Whence {
    match whence {
        Whence::Set => unistd::Whence::SeekSet,
        Whence::Current => unistd::Whence::SeekCur,
        Whence::End => unistd::Whence::SeekEnd,
        Whence::Data => unistd::Whence::SeekData,
        Whence::Hole => unistd::Whence::SeekHole,
    }
}

fn filled(length: usize, read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<Answer> {
    let mut buffer = vec![0; length];
    let count = read(&mut buffer)?;
    buffer.truncate(count);
    Ok(Answer::Bytes(buffer))
}

fn number(count: usize) -> Answer {
    Answer::Number(count as u64)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap())
}

fn seen(found: &FileStat) -> Seen {
    Seen {
        size: found.st_size as u64,
        regular: found.st_mode & libc::S_IFMT == libc::S_IFREG,
        mode: found.st_mode & 0o7777,
        links: found.st_nlink,
        mtime: i128::from(found.st_mtime) * 1_000_000_000 + i128::from(found.st_mtime_nsec),
        blocks: found.st_blocks as u64,
    }
}
