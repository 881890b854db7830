//! Opening an inode that has gone since its name was looked up.
//!
//! The kernel is told so (ESTALE), looks the name up again, and opens what it finds, once. Should that
//! be gone as well, because others store and remove the same block at the moment, a second ESTALE would
//! reach the program, which has done nothing wrong: then the inode serves once more.
//!
//! Invariant: a thread is told so at most once in a row for one block, if it is among the last
//! [`TOLD_MAX`] that were told.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;

use super::core::Shared;
use super::file::File;
use super::handle::{Open, Subject, WriterHandle};
use super::inode::{Access, Node};
use super::open::OpenIntent;
use super::types::{Caching, Caller, Entry, Ino, Opened};
use super::writer::Content;
use crate::block::{Cid, Key, Name, canonical};
use crate::{Error, Result};

/// Most threads that are remembered; those that never came back are forgotten with all others.
const TOLD_MAX: usize = 256;

/// The threads, and the block that each was told is gone.
#[derive(Debug, Default)]
pub struct Retries {
    told: Mutex<HashMap<u32, Key>>,
}

impl Retries {
    /// Whether this thread was told so already. If not, it is told now.
    pub fn is_second(&self, thread: u32, key: &Key) -> bool {
        let mut told = self.told.lock();
        if told.get(&thread) == Some(key) {
            told.remove(&thread);
            return true;
        }
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(thread, key.clone());
        false
    }

    /// The thread has opened something, or found nothing.
    pub fn done(&self, thread: u32) {
        self.told.lock().remove(&thread);
    }
}

impl Shared {
    /// Opens an inode that the kernel knows.
    pub(super) fn open(self: &Arc<Self>, ino: Ino, intent: OpenIntent, caller: Caller) -> Result<Opened> {
        match self.open_known(ino, intent, caller) {
            Err(Error::Stale) => self.open_gone(ino, intent, caller),
            result => {
                self.retries.done(caller.pid);
                result
            }
        }
    }

    /// The inode that a name stands for, for a thread that may have been told that another is gone.
    pub(super) fn lookup_by(&self, parent: Ino, name: &OsStr, thread: u32) -> Result<Entry> {
        let result = self.lookup(parent, name);
        if result.is_err() {
            self.retries.done(thread);
        }
        result
    }

    /// Creates a file in the root and opens it; opens what is there already.
    pub(super) fn create(
        self: &Arc<Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        intent: OpenIntent,
        caller: Caller,
    ) -> Result<(Entry, Opened)> {
        let mut result = self.create_or_open(parent, name, mode, intent, caller);
        if matches!(result, Err(Error::Stale)) {
            // What the name meant at the first look has gone since.
            result = self.create_or_open(parent, name, mode, intent, caller);
        }
        if let (Err(Error::Stale), Ok(Name::Cid(cid))) = (&result, Name::parse(name.as_bytes()))
            && self.retries.is_second(caller.pid, cid.key())
        {
            // The block has to be opened by its inode, and would be gone again: another inode can be
            // opened at once.
            self.retire(cid.key(), Access::ThroughMount);
            return self.create_or_open(parent, name, mode, intent, caller);
        }
        result
    }

    fn open_gone(&self, ino: Ino, intent: OpenIntent, caller: Caller) -> Result<Opened> {
        let node = self.node(ino)?;
        let (cid, access) = match &node {
            Node::Block { key, form, access, .. } => (Some(Cid::new(key.clone(), *form)?), *access),
            Node::File(file) => (file.cid().cloned(), Access::Any),
            Node::Root | Node::Control(_) | Node::Link(_) => (None, Access::Any),
        };
        let Some(cid) = cid.filter(|cid| self.retries.is_second(caller.pid, cid.key())) else {
            return Err(Error::Stale);
        };
        if !intent.write {
            let is_stored = self.block_attr(cid.key())?.is_some();
            return Err(if is_stored { Error::Stale } else { Error::NotFound });
        }
        let mut block = None;
        let (subject, content) = match node {
            Node::File(file) => {
                self.name_again(&file, &cid)?;
                (Subject::File(file), Content::Empty)
            }
            _ => {
                block = self.handles.block_on(ino);
                let content = match &block {
                    // Who has it open must not notice.
                    Some(block) => {
                        let expected = self.store.read_with(block, 0, usize::MAX, Bytes::copy_from_slice)?;
                        Content::Rewrite { length: expected.len(), expected, cut: false }
                    }
                    None => {
                        // The length of the inode becomes that of what is written.
                        self.retire(cid.key(), Access::Any);
                        Content::Empty
                    }
                };
                (Subject::Block(ino, cid.clone()), content)
            }
        };
        let writer = self.new_writer(content, cid.key().code(), cid.key().digest().len());
        let passthrough = block.as_ref().and_then(|block| self.passthrough(block, access));
        let (writes, pid) = (true, caller.pid);
        let open = WriterHandle { subject, writer, writes, pid, block };
        let handle = self.handles.insert(Open::Writer(open));
        Ok(Opened { handle, caching: Caching::Direct, flush: true, passthrough })
    }

    /// A file under a CID that had ended is written once more.
    fn name_again(&self, file: &Arc<File>, cid: &Cid) -> Result<()> {
        let mut tables = self.tables.lock();
        let is_stored = self.store.stat(cid.key())?.is_some();
        {
            let mut state = file.state.lock();
            if state.handles == 0 {
                file.size_bytes.store(0, Ordering::Release);
            }
            state.name.get_or_insert_with(|| canonical(cid.key(), cid.form()).into());
            state.committed = is_stored;
            state.handles += 1;
            state.writers += 1;
        }
        if !is_stored {
            tables.staged.entry(cid.key().clone()).or_insert_with(|| Arc::clone(file));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_told_once_for_a_block() {
        let retries = Retries::default();
        let key = |n: u8| Key::new(0x12, &[n; 32]).unwrap();
        assert!(!retries.is_second(1, &key(1)));
        assert!(!retries.is_second(2, &key(1)), "another thread");
        assert!(retries.is_second(1, &key(1)));
        assert!(!retries.is_second(1, &key(1)), "it came back, and starts anew");
        retries.done(1);
        assert!(!retries.is_second(1, &key(1)));
        assert!(!retries.is_second(1, &key(2)), "another block");
        for thread in 0..1000 {
            retries.is_second(thread, &key(3));
        }
        assert!(retries.told.lock().len() <= TOLD_MAX);
    }
}
