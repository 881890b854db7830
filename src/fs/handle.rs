//! Open files and directories.
//!
//! Invariant: a handle number is never used twice, and what it stands for lives until released.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::cursor::Cursor;
use super::file::File;
use super::types::{Handle, Ino};
use super::writer::Writer;
use crate::block::Cid;
use crate::blockstore::OpenBlock;
use crate::{Error, Result};

/// What is open.
#[derive(Debug)]
pub enum Open {
    /// A stored block, to read.
    Block(Ino, Arc<OpenBlock>),
    /// Bytes that were made when it was opened: a control file or an identity CID.
    Bytes(Bytes),
    /// Something that may be written, or an alias.
    Writer(WriterHandle),
    /// A directory.
    Directory(Ino, Mutex<Cursor>),
}

/// What a writer writes.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A staged file or an alias.
    File(Arc<File>),
    /// A block that is stored already, under this CID.
    Block(Ino, Cid),
}

/// An open file with a writer behind it.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    /// What is written.
    pub subject: Subject,
    /// Its bytes.
    pub writer: Arc<Writer>,
    /// Whether it was opened for writing.
    pub writes: bool,
    /// The thread that opened it: a truncation by open(2) comes without a handle.
    pub pid: u32,
    /// The stored block that is written again, as it was when it was opened.
    pub block: Option<Arc<OpenBlock>>,
}

impl Subject {
    /// The inode number.
    pub fn ino(&self) -> Ino {
        match self {
            Subject::File(file) => file.ino,
            Subject::Block(ino, _) => *ino,
        }
    }

    /// The CID that the bytes must have, if the name says it.
    pub fn cid(&self) -> Option<&Cid> {
        match self {
            Subject::File(file) => file.cid(),
            Subject::Block(_, cid) => Some(cid),
        }
    }
}

/// All open handles of a mount.
#[derive(Debug, Default)]
pub struct Handles {
    open: RwLock<HashMap<Handle, Arc<Open>>>,
    next: AtomicU64,
}

impl Handles {
    /// Adds an open file and gives its number.
    pub fn insert(&self, open: Open) -> Handle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.write().insert(handle, Arc::new(open));
        handle
    }

    /// What a number stands for.
    pub fn get(&self, handle: Handle) -> Result<Arc<Open>> {
        let unknown = || Error::InvalidRequest { what: "the file handle is not open" };
        self.open.read().get(&handle).cloned().ok_or_else(unknown)
    }

    /// Forgets a handle.
    pub fn remove(&self, handle: Handle) -> Option<Arc<Open>> {
        self.open.write().remove(&handle)
    }

    /// The handle that a thread opened last for writing on an inode.
    pub fn newest_writer(&self, ino: Ino, pid: Option<u32>) -> Option<Arc<Open>> {
        let open = self.open.read();
        let matches = |candidate: &Open| match candidate {
            Open::Writer(handle) => {
                handle.writes && handle.subject.ino() == ino && pid.is_none_or(|pid| pid == handle.pid)
            }
            _ => false,
        };
        open.iter()
            .filter(|(_, candidate)| matches(candidate))
            .max_by_key(|(handle, _)| **handle)
            .map(|(_, candidate)| Arc::clone(candidate))
    }

    /// Something open on the inode of a block, a reader before a writer.
    pub fn any_on(&self, ino: Ino) -> Option<Arc<Open>> {
        let rank = |candidate: &Open| match candidate {
            Open::Block(found, _) if *found == ino => Some(1),
            Open::Writer(handle) if handle.subject.ino() == ino => Some(0),
            _ => None,
        };
        let open = self.open.read();
        open.values()
            .filter(|candidate| rank(candidate).is_some())
            .max_by_key(|candidate| rank(candidate))
            .cloned()
    }

    /// The block that a handle on its inode has open, to read it or to write it again.
    pub fn block_on(&self, ino: Ino) -> Option<Arc<OpenBlock>> {
        let open = self.open.read();
        let mut found = open.values().filter_map(|candidate| match &**candidate {
            Open::Block(found, block) if *found == ino => Some(block),
            Open::Writer(handle) if handle.subject.ino() == ino => handle.block.as_ref(),
            _ => None,
        });
        found.next().map(Arc::clone)
    }

    /// Everything that is open and may have a writer.
    pub fn writers(&self) -> Vec<Arc<Open>> {
        let open = self.open.read();
        open.values().filter(|open| matches!(***open, Open::Writer(_))).map(Arc::clone).collect()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.read().len()
    }
}
