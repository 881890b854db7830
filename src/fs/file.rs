//! Files that are not (only) stored blocks: staged ones and aliases.
//!
//! Invariant: a file has an inode number of its own for as long as it lives; under a CID name
//! every writer has bytes of its own, under another name all writers share them.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::types::{Attr, AttrChange, Ino, Kind};
use super::writer::Writer;
use crate::block::{Cid, Key, is_temporary};

/// What kind of name a file has.
#[derive(Debug)]
pub enum Naming {
    /// The CID that its bytes must have.
    Cid(Cid),
    /// Any other name; its one writer.
    Plain(Arc<Writer>),
}

/// A staged file or an alias.
#[derive(Debug)]
pub struct File {
    /// Its inode number.
    pub ino: Ino,
    /// Its kind of name.
    pub naming: Naming,
    /// Its length in bytes, as the last writer left it.
    pub size_bytes: AtomicU64,
    /// What else changes.
    pub state: Mutex<FileState>,
}

/// The changing part of a file.
#[derive(Debug)]
pub struct FileState {
    /// Its name; `None` once it was removed or replaced.
    pub name: Option<OsString>,
    /// Whether a block was committed under its CID name, so that the name now means the block.
    pub committed: bool,
    /// The CID that an ordinary name was renamed to: what is written from then on through open
    /// handles must be that block still.
    pub became: Option<Cid>,
    /// The block that an alias stands for, counted in the table of aliases.
    pub alias_of: Option<Key>,
    /// What it stood for before a block that its writer may still take back.
    pub before: Option<Key>,
    /// Open handles.
    pub handles: u32,
    /// Open handles that may write.
    pub writers: u32,
    mode: u16,
    uid: u32,
    gid: u32,
    atime: SystemTime,
    mtime: SystemTime,
    ctime: SystemTime,
}

impl File {
    /// A new, empty file.
    pub fn new(ino: Ino, naming: Naming, name: OsString, mode: u32, uid: u32, gid: u32) -> Arc<Self> {
        let now = SystemTime::now();
        let state = FileState {
            name: Some(name),
            committed: false,
            became: None,
            alias_of: None,
            before: None,
            handles: 0,
            writers: 0,
            mode: permission_bits(mode),
            uid,
            gid,
            atime: now,
            mtime: now,
            ctime: now,
        };
        Arc::new(Self { ino, naming, size_bytes: AtomicU64::new(0), state: Mutex::new(state) })
    }

    /// Another file with the mode, owner and times of this one, for its plain name.
    pub fn successor(&self, ino: Ino, writer: Arc<Writer>, name: OsString) -> Arc<Self> {
        let state = self.state.lock();
        let other = Self::new(ino, Naming::Plain(writer), name, u32::from(state.mode), state.uid, state.gid);
        other.state.lock().atime = state.atime;
        other
    }

    /// The writer that all handles share, under a name that is no CID.
    pub fn shared_writer(&self) -> Option<&Arc<Writer>> {
        match &self.naming {
            Naming::Plain(writer) => Some(writer),
            Naming::Cid(_) => None,
        }
    }

    /// The CID that it is named by.
    pub fn cid(&self) -> Option<&Cid> {
        match &self.naming {
            Naming::Cid(cid) => Some(cid),
            Naming::Plain(_) => None,
        }
    }

    /// Whether anything still shows it: a name or an open handle.
    pub fn is_alive(&self) -> bool {
        let state = self.state.lock();
        state.handles > 0 || (state.name.is_some() && !state.committed)
    }

    /// Its attributes.
    pub fn attr(&self) -> Attr {
        let state = self.state.lock();
        Attr {
            ino: self.ino,
            kind: Kind::File,
            size_bytes: self.size_bytes.load(Ordering::Acquire),
            mode: state.mode,
            links: u32::from(state.name.is_some()),
            uid: state.uid,
            gid: state.gid,
            atime: state.atime,
            mtime: state.mtime,
            ctime: state.ctime,
        }
    }

    /// When its bytes were last changed, or what was set.
    pub fn mtime(&self) -> SystemTime {
        self.state.lock().mtime
    }

    /// Notes a new length, and that the bytes have changed now.
    pub fn touch(&self, size_bytes: u64) {
        self.size_bytes.store(size_bytes, Ordering::Release);
        let mut state = self.state.lock();
        state.mtime = SystemTime::now();
        state.ctime = state.mtime;
    }

    /// Applies what was asked for, but for the length.
    pub fn change(&self, change: &AttrChange) {
        let mut state = self.state.lock();
        state.mode = change.mode.map_or(state.mode, permission_bits);
        state.uid = change.uid.unwrap_or(state.uid);
        state.gid = change.gid.unwrap_or(state.gid);
        state.atime = change.atime.unwrap_or(state.atime);
        state.mtime = change.mtime.unwrap_or(state.mtime);
        state.ctime = SystemTime::now();
    }

    /// Whether a block that is stored now may be taken back when more is written. Under an ordinary
    /// name it belongs to one open handle or to nobody: another may have been told of it.
    pub fn may_take_back(&self) -> bool {
        self.shared_writer().is_none() || self.temporary() == Some(true) || self.state.lock().writers == 1
    }

    /// Whether its present name is one that tools give to files they will rename; `None` once it has
    /// no name.
    pub fn temporary(&self) -> Option<bool> {
        use std::os::unix::ffi::OsStrExt;
        self.state.lock().name.as_ref().map(|name| is_temporary(name.as_bytes()))
    }
}

fn permission_bits(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}
