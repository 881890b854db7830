//! Creating and opening files.

use std::ffi::OsStr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::control::ControlNode;
use super::core::Shared;
use super::cursor::Cursor;
use super::file::{File, Naming};
use super::handle::{Open, Subject, WriterHandle};
use super::inode::{Access, Node, Standing};
use super::lookup::Meaning;
use super::tables::NAMES_MAX;
use super::types::{Caching, Caller, Entry, Handle, Ino, Kind, Opened, ROOT};
use super::writer::{Content, Writer};
use crate::block::{Cid, Key};
use crate::blockstore::{OpenBlock, VerifyReads};
use crate::{Error, Result};

/// Blocks below this size are read through the page cache, where an open costs less than a
/// passthrough registration; from here up the kernel may read their files directly.
pub const PASSTHROUGH_BYTES_MIN: u64 = 64 << 10;

/// How a file is to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenIntent {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// Fail if the name exists.
    pub exclusive: bool,
}

impl Shared {
    /// Creates a file in the root and opens it; opens what is there already.
    ///
    /// # Errors
    /// [`Error::Stale`] if what the name meant has gone meanwhile, or has to be looked up.
    pub(super) fn create_or_open(
        self: &Arc<Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        intent: OpenIntent,
        caller: Caller,
    ) -> Result<(Entry, Opened)> {
        if parent != ROOT {
            return Err(Error::NotPermitted { what: "nothing can be created in the control directory" });
        }
        self.check_change(caller)?;
        self.drop_leftovers();
        let meaning = self.meaning(name)?;
        let exists = !matches!(meaning, Meaning::Absent(_) | Meaning::Plain(None));
        if exists && intent.exclusive {
            return Err(Error::Exists);
        }
        match meaning {
            Meaning::Control => Err(Error::NotPermitted { what: "the control directory cannot be replaced" }),
            Meaning::Block(cid, attr) => {
                let entry = self.block_entry(cid.key(), cid.form(), name, attr);
                let opened = self.open_stored(entry.attr.ino, intent, caller);
                if opened.is_err() {
                    self.inodes.lock().forget(entry.attr.ino, 1);
                }
                Ok((entry, opened?))
            }
            Meaning::Staged(_, file) | Meaning::Plain(Some(file)) => {
                let opened = self.open_file(&file, intent, caller, false)?;
                Ok((self.file_entry(&file), opened))
            }
            Meaning::Absent(cid) => {
                self.check_room()?;
                let file = self.new_file(Naming::Cid(cid.clone()), name, mode, caller);
                let file = Arc::clone(self.tables.lock().staged.entry(cid.key().clone()).or_insert(file));
                self.open_created(&file, intent, caller)
            }
            Meaning::Plain(None) => {
                if self.options.strict {
                    return Err(Error::NameNotCid { name: name.display().to_string() });
                }
                self.check_room()?;
                let options = &self.options.cid_options;
                let writer = self.new_writer(Content::Empty, options.hash_code, options.digest_len);
                let file = self.new_file(Naming::Plain(writer), name, mode, caller);
                let file = {
                    let mut tables = self.tables.lock();
                    if tables.names.len() >= NAMES_MAX {
                        return Err(Error::NamesFull { limit: NAMES_MAX });
                    }
                    Arc::clone(tables.names.entry(name.to_owned()).or_insert(file))
                };
                self.open_created(&file, intent, caller)
            }
        }
    }

    /// Opens a block that was stored since the kernel looked for it.
    fn open_stored(self: &Arc<Self>, ino: Ino, intent: OpenIntent, caller: Caller) -> Result<Opened> {
        let opened = self.open_known(ino, intent, caller)?;
        if opened.passthrough.is_none() {
            return Ok(opened);
        }
        // The answer to a creation cannot say which file the other handles are read from, and the
        // kernel refuses one that differs. Asked again it looks up, and opens.
        self.release(opened.handle);
        Err(Error::Stale)
    }

    fn check_room(&self) -> Result<()> {
        self.store.check_space(self.staging.used_bytes())
    }

    fn new_file(&self, naming: Naming, name: &OsStr, mode: u32, caller: Caller) -> Arc<File> {
        let ino = self.inodes.lock().new_file_number();
        File::new(ino, naming, name.to_owned(), mode, caller.uid, caller.gid)
    }

    fn open_created(
        self: &Arc<Self>,
        file: &Arc<File>,
        intent: OpenIntent,
        caller: Caller,
    ) -> Result<(Entry, Opened)> {
        let opened = self.open_file(file, intent, caller, true)?;
        Ok((self.file_entry(file), opened))
    }

    /// Opens an inode that the kernel knows.
    ///
    /// # Errors
    /// [`Error::Stale`] if it is gone, or another has to be used.
    pub(super) fn open_known(
        self: &Arc<Self>,
        ino: Ino,
        intent: OpenIntent,
        caller: Caller,
    ) -> Result<Opened> {
        let node = self.node(ino)?;
        if intent.write {
            match node {
                Node::Control(_) | Node::Link(_) => {
                    return Err(Error::NotPermitted { what: "the control files cannot be written" });
                }
                _ => self.check_change(caller)?,
            }
        }
        match node {
            Node::Root | Node::Link(_) => Err(Error::InvalidRequest { what: "this is not a file" }),
            Node::Control(node) => Ok(self.open_control(node)),
            Node::File(file) => self.open_file(&file, intent, caller, false),
            // Asked again, the kernel looks the name up and finds the new inode.
            Node::Block { standing: Standing::Retired, .. } => Err(Error::Stale),
            Node::Block { key, access, .. } if !intent.write => self.open_block(ino, &key, access),
            Node::Block { key, form, access, .. } => {
                let cid = Cid::new(key, form)?;
                self.open_rewrite(ino, cid, access, intent, caller)
            }
        }
    }

    fn open_control(&self, node: ControlNode) -> Opened {
        let handle = self.handles.insert(Open::Bytes(self.control_bytes(node)));
        Opened { handle, caching: Caching::Direct, flush: false, passthrough: None }
    }

    fn open_block(&self, ino: Ino, key: &Key, access: Access) -> Result<Opened> {
        if key.is_identity() {
            let handle = self.handles.insert(Open::Bytes(key.digest().to_vec().into()));
            return Ok(Opened { handle, caching: Caching::Keep, flush: false, passthrough: None });
        }
        // The kernel believes in names of a block that was removed by another name. Asked again it
        // looks the name up, and creates a file where open(2) is to do that.
        let block = self.store.open_block(key)?.ok_or(Error::Stale)?;
        let passthrough = self.passthrough(&block, access);
        let caching = match self.store.verify_reads() {
            VerifyReads::Always => Caching::Fresh,
            VerifyReads::First | VerifyReads::Never => Caching::Keep,
        };
        let handle = self.handles.insert(Open::Block(ino, block));
        Ok(Opened { handle, caching, flush: false, passthrough })
    }

    /// Whether the kernel may read this block's file itself. Depends on the inode alone, so that
    /// all its handles agree. Not where another program may replace the file meanwhile.
    pub(super) fn passthrough(&self, block: &Arc<OpenBlock>, access: Access) -> Option<Arc<OpenBlock>> {
        let suits = access == Access::Any
            && block.size_bytes >= PASSTHROUGH_BYTES_MIN
            && block.file().is_some()
            && !self.store.info().shared
            && self.store.verify_reads() != VerifyReads::Always;
        suits.then(|| Arc::clone(block))
    }

    /// Opens a stored block to write it again: right bytes change nothing, or heal it.
    fn open_rewrite(
        &self,
        ino: Ino,
        cid: Cid,
        access: Access,
        intent: OpenIntent,
        caller: Caller,
    ) -> Result<Opened> {
        let key = cid.key();
        if intent.append {
            // The name may be that of a block which was removed by another name, as for readers.
            self.block_attr(key)?.ok_or(Error::Stale)?;
            return Err(Error::NotPermitted { what: "a stored block cannot be appended to" });
        }
        let (content, block, passthrough) = if key.is_identity() {
            let expected: Bytes = key.digest().to_vec().into();
            (Content::Rewrite { length: expected.len(), expected, cut: false }, None, None)
        } else {
            let content = match self.store.read_checked(key) {
                Ok(Some(expected)) => Content::Rewrite { length: expected.len(), expected, cut: false },
                Ok(None) => return Err(Error::Stale),
                // Whatever is written will be judged by its hash, and replaces the damaged copy.
                Err(Error::Damaged { .. }) => Content::Empty,
                Err(error) => return Err(error),
            };
            let open = self.store.open_unchecked(key)?.ok_or(Error::Stale)?;
            let passthrough = self.passthrough(&open, access);
            if passthrough.is_some() && intent.read {
                // The kernel maps such a handle onto the file in the store, also for writing. On
                // another inode it need not agree with the readers of this one.
                self.retire(key, Access::ThroughMount);
                return Err(Error::Stale);
            }
            if access == Access::ThroughMount {
                self.inodes.lock().came_back(key);
            }
            (content, Some(open), passthrough)
        };
        let writer = self.new_writer(content, key.code(), key.digest().len());
        let subject = Subject::Block(ino, cid);
        let handle = self.handles.insert(Open::Writer(WriterHandle {
            subject,
            writer,
            writes: true,
            pid: caller.pid,
            block,
        }));
        Ok(Opened { handle, caching: Caching::Direct, flush: true, passthrough })
    }

    fn open_file(
        &self,
        file: &Arc<File>,
        intent: OpenIntent,
        caller: Caller,
        created: bool,
    ) -> Result<Opened> {
        let writer = match &file.naming {
            Naming::Plain(writer) => Arc::clone(writer),
            Naming::Cid(cid) => {
                if !intent.write && !created && !file.state.lock().committed {
                    return Err(Error::NotFound);
                }
                let key = cid.key();
                self.new_writer(Content::Empty, key.code(), key.digest().len())
            }
        };
        self.open_alias(&writer)?;
        let alone = self.count_in(file, intent)?;
        let subject = Subject::File(Arc::clone(file));
        let handle = self.handles.insert(Open::Writer(WriterHandle {
            subject,
            writer,
            writes: intent.write,
            pid: caller.pid,
            block: None,
        }));
        // Under a CID name a second writer has bytes of its own, so it must not share the page cache.
        let shares_bytes = file.shared_writer().is_some();
        let caching = if alone || shares_bytes { Caching::Fresh } else { Caching::Direct };
        Ok(Opened { handle, caching, flush: intent.write, passthrough: None })
    }

    /// Counts one more handle, and says whether there was no other that writes. What other handles
    /// on a name have stored is not this one's to take back, and no longer theirs: the RELEASE of a
    /// file may come after the next program has opened it.
    ///
    /// # Errors
    /// [`Error::Stale`] if the file has ended since the name was looked up, so that the kernel looks
    /// it up again: what is written to a file without a name is stored nowhere.
    fn count_in(&self, file: &File, intent: OpenIntent) -> Result<bool> {
        let mut tables = self.tables.lock();
        if !file.is_alive() {
            return Err(Error::Stale);
        }
        let alone = {
            let mut state = file.state.lock();
            if state.committed {
                return Err(Error::Stale);
            }
            let alone = state.writers == 0;
            state.handles += 1;
            state.writers += u32::from(intent.write);
            alone
        };
        tables.leftovers.forget(file.ino);
        if let Some(writer) = file.shared_writer()
            && intent.write
            && file.temporary() != Some(true)
            && let Some(made) = writer.state.lock().made.take()
        {
            tables.claims.give_up(&made, writer.id);
        }
        Ok(alone)
    }

    /// An alias on a damaged block fails at open, as the block itself does; once the block is
    /// healed, no handle reads the damaged bytes any more.
    fn open_alias(&self, writer: &Writer) -> Result<()> {
        let Some(key) = writer.state.lock().stored_key().cloned() else {
            return Ok(());
        };
        let now = self.store.open_block(&key)?;
        if let Content::Stored { key: still, open, .. } = &mut writer.state.lock().content
            && *still == key
        {
            *open = now;
        }
        Ok(())
    }

    /// Opens a directory.
    pub(super) fn opendir(&self, ino: Ino) -> Result<Handle> {
        let directory = match self.node(ino)? {
            Node::Root => true,
            Node::Control(node) => node.kind() == Kind::Directory,
            Node::Link(_) | Node::Block { .. } | Node::File(_) => false,
        };
        if !directory {
            return Err(Error::InvalidRequest { what: "this is not a directory" });
        }
        Ok(self.handles.insert(Open::Directory(ino, Mutex::new(Cursor::default()))))
    }

    /// The target of a symbolic link in the control directory.
    pub(super) fn readlink(&self, ino: Ino) -> Result<String> {
        match self.node(ino)? {
            Node::Link(file) => self.link_target(&file),
            _ => Err(Error::InvalidRequest { what: "this is not a symbolic link" }),
        }
    }
}
