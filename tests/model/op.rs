//! Operations on a mount, as a program makes them with system calls.
//!
//! Descriptors and mappings are named by slots and files by names, never by what happened before, so
//! that any part of a sequence is a sequence again.

use std::fmt;

use super::names::{Data, NameRef};

/// A slot for a descriptor.
pub type Fd = usize;
/// A slot for a mapping that is kept.
pub type Slot = usize;

pub const FDS: usize = 10;
pub const SLOTS: usize = 3;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct How {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    Set,
    Current,
    End,
    Data,
    Hole,
}

/// What follows the bytes that were put into a shared mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapEnd {
    /// msync, then munmap.
    Sync,
    /// munmap.
    Unmap,
    /// The descriptor is closed, then munmap.
    CloseUnmap,
    /// The descriptor is closed before the bytes are put there, then munmap.
    CloseFirst,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Open {
        fd: Fd,
        name: NameRef,
        how: How,
        mode: u32,
    },
    Dup {
        from: Fd,
        to: Fd,
    },
    Close(Fd),
    Write {
        fd: Fd,
        data: Data,
    },
    Pwrite {
        fd: Fd,
        at: u64,
        data: Data,
    },
    Read {
        fd: Fd,
        length: usize,
    },
    Pread {
        fd: Fd,
        at: u64,
        length: usize,
    },
    Seek {
        fd: Fd,
        at: i64,
        whence: Whence,
    },
    Ftruncate {
        fd: Fd,
        length: u64,
    },
    Truncate {
        name: NameRef,
        length: u64,
    },
    Fallocate {
        fd: Fd,
        keep_size: bool,
        at: u64,
        length: u64,
    },
    Fsync(Fd),
    SyncRoot,
    Stat(NameRef),
    Fstat(Fd),
    Readlink(NameRef),
    List,
    Chmod {
        name: NameRef,
        mode: u32,
    },
    Fchmod {
        fd: Fd,
        mode: u32,
    },
    Utimes {
        name: NameRef,
        seconds: u32,
    },
    Futimes {
        fd: Fd,
        seconds: u32,
    },
    Unlink(NameRef),
    Rename {
        from: NameRef,
        to: NameRef,
        exclusive: bool,
    },
    /// A shared writable mapping of a whole file, bytes put into it, and its end.
    MapWrite {
        fd: Fd,
        at: usize,
        data: Data,
        end: MapEnd,
    },
    /// A private mapping of a whole file, bytes put into it, all read, and its end.
    MapPrivate {
        fd: Fd,
        at: usize,
        data: Data,
    },
    /// A shared read-only mapping of a whole block, which is kept.
    Hold {
        fd: Fd,
        slot: Slot,
    },
    /// All bytes of a kept mapping.
    Look(Slot),
    Unmap(Slot),
    /// Everything is closed, unmounted, and mounted again.
    Remount,
    /// SIGKILL, and mounted again.
    Kill,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read, self.write) {
            (true, true) => "O_RDWR",
            (false, true) => "O_WRONLY",
            _ => "O_RDONLY",
        })?;
        let flags = [
            (self.append, "|O_APPEND"),
            (self.create, "|O_CREAT"),
            (self.exclusive, "|O_EXCL"),
            (self.truncate, "|O_TRUNC"),
        ];
        flags.iter().filter(|(set, _)| *set).try_for_each(|(_, flag)| f.write_str(flag))
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::Part { content, from, length } => write!(f, "content {content}[{from}..{}]", from + length),
            Data::Fill { byte, length } => write!(f, "{length} times {byte:#x}"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Open { fd, name, how, mode } => write!(f, "fd{fd} = open({name:?}, {how}, {mode:#o})"),
            Op::Dup { from, to } => write!(f, "fd{to} = dup(fd{from})"),
            Op::Close(fd) => write!(f, "close(fd{fd})"),
            Op::Write { fd, data } => write!(f, "write(fd{fd}, {data})"),
            Op::Pwrite { fd, at, data } => write!(f, "pwrite(fd{fd}, {data}, at {at})"),
            Op::Read { fd, length } => write!(f, "read(fd{fd}, {length})"),
            Op::Pread { fd, at, length } => write!(f, "pread(fd{fd}, {length}, at {at})"),
            Op::Seek { fd, at, whence } => write!(f, "lseek(fd{fd}, {at}, {whence:?})"),
            Op::Ftruncate { fd, length } => write!(f, "ftruncate(fd{fd}, {length})"),
            Op::Truncate { name, length } => write!(f, "truncate({name:?}, {length})"),
            Op::Fallocate { fd, keep_size, at, length } => {
                write!(f, "fallocate(fd{fd}, keep size {keep_size}, at {at}, {length})")
            }
            Op::Fsync(fd) => write!(f, "fsync(fd{fd})"),
            Op::SyncRoot => f.write_str("fsync(the root)"),
            Op::Stat(name) => write!(f, "stat({name:?})"),
            Op::Fstat(fd) => write!(f, "fstat(fd{fd})"),
            Op::Readlink(name) => write!(f, "readlink(.ipfs-persist/names/{name:?})"),
            Op::List => f.write_str("list the root"),
            Op::Chmod { name, mode } => write!(f, "chmod({name:?}, {mode:#o})"),
            Op::Fchmod { fd, mode } => write!(f, "fchmod(fd{fd}, {mode:#o})"),
            Op::Utimes { name, seconds } => write!(f, "utimes({name:?}, {seconds})"),
            Op::Futimes { fd, seconds } => write!(f, "futimes(fd{fd}, {seconds})"),
            Op::Unlink(name) => write!(f, "unlink({name:?})"),
            Op::Rename { from, to, exclusive } => {
                write!(f, "rename({from:?}, {to:?}, no replace {exclusive})")
            }
            Op::MapWrite { fd, at, data, end } => {
                write!(f, "map fd{fd} shared, put {data} at {at}, then {end:?}")
            }
            Op::MapPrivate { fd, at, data } => write!(f, "map fd{fd} privately, put {data} at {at}"),
            Op::Hold { fd, slot } => write!(f, "map{slot} = map fd{fd} for reading"),
            Op::Look(slot) => write!(f, "read map{slot}"),
            Op::Unmap(slot) => write!(f, "unmap map{slot}"),
            Op::Remount => f.write_str("close everything, unmount, mount"),
            Op::Kill => f.write_str("kill -9, mount"),
        }
    }
}
