//! The vocabulary of the file system: what the kernel adapter translates from and to.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::SystemTime;

use crate::Result;
use crate::blockstore::OpenBlock;

/// An inode number.
pub type Ino = u64;
/// A number that stands for an open file or directory.
pub type Handle = u64;
/// Told once what became of a request, possibly on another thread.
pub type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Thread, as the kernel numbers it.
    pub pid: u32,
}

/// Kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// Attributes of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// Kind.
    pub kind: Kind,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Permission bits, at most 0o7777.
    pub mode: u16,
    /// Number of names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: SystemTime,
    /// Last change of the bytes.
    pub mtime: SystemTime,
    /// Last change of the inode.
    pub ctime: SystemTime,
}

/// How long the kernel may believe an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Ask again every time: it may change behind the kernel's back.
    None,
    /// A moment: another program may remove it.
    Brief,
    /// Until it is told otherwise: a committed block never changes.
    Long,
}

/// An inode as the kernel is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its attributes.
    pub attr: Attr,
    /// How long name and attributes hold.
    pub validity: Validity,
}

/// How the kernel is to treat an open file.
#[derive(Debug, Clone)]
pub enum Caching {
    /// Through the page cache, which starts empty.
    Fresh,
    /// Through the page cache, which may keep what it has: the bytes never change.
    Keep,
    /// Past the page cache.
    Direct,
}

/// An opened file.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The number to use from now on.
    pub handle: Handle,
    /// Page cache or not.
    pub caching: Caching,
    /// Whether closing it must be told, because a verdict may be due.
    pub flush: bool,
    /// The stored block, where the kernel may read its file directly. Every handle of such an
    /// inode must then share one registration, writers included.
    pub passthrough: Option<Arc<OpenBlock>>,
}

/// Changed attributes; `None` leaves a field as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttrChange {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SystemTime>,
    /// Last change of the bytes.
    pub mtime: Option<SystemTime>,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Inode number.
    pub ino: Ino,
    /// Resume behind this entry.
    pub cookie: u64,
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: OsString,
}

/// The inode number of the root directory (fixed by the FUSE protocol).
pub const ROOT: Ino = 1;
