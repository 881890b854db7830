//! Names to inodes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::SystemTime;

use super::control::{CONTROL_NAME, ControlNode};
use super::core::Shared;
use super::file::File;
use super::handle::Open;
use super::inode::{InodeTable, Node, Standing};
use super::types::{Attr, Entry, Handle, Ino, Kind, Validity};
use crate::block::{Cid, CidForm, Key, Name, canonical};
use crate::{Error, Result};

/// What a name in the root means.
pub enum Meaning {
    /// The control directory.
    Control,
    /// A block that is stored, or an identity CID.
    Block(Cid, Attr),
    /// A block that is being written.
    Staged(Cid, Arc<File>),
    /// A block that is not there.
    Absent(Cid),
    /// A name that is no CID, and its file if it has one.
    Plain(Option<Arc<File>>),
}

impl Shared {
    /// Says what a name means, and refuses names that can never be right.
    pub(super) fn meaning(&self, name: &OsStr) -> Result<Meaning> {
        if name == CONTROL_NAME {
            return Ok(Meaning::Control);
        }
        let cid = match Name::parse(name.as_bytes())? {
            Name::Cid(cid) => cid,
            Name::Plain => return Ok(Meaning::Plain(self.tables.lock().names.get(name).cloned())),
        };
        if let Some(attr) = self.block_attr(cid.key())? {
            return Ok(Meaning::Block(cid, attr));
        }
        let staged = self.tables.lock().staged.get(cid.key()).cloned();
        if let Some(file) = staged {
            return Ok(Meaning::Staged(cid, file));
        }
        // What was staged at the first look may have been stored since.
        Ok(match self.block_attr(cid.key())? {
            Some(attr) => Meaning::Block(cid, attr),
            None => Meaning::Absent(cid),
        })
    }

    /// What a name means that should be there already: one that no file can have is that of no file. An
    /// error that is not about the name is never taken for absence.
    pub(super) fn meaning_of_existing(&self, name: &OsStr) -> Result<Meaning> {
        self.meaning(name).map_err(|error| match error {
            Error::NameInvalid { .. }
            | Error::NameNotCid { .. }
            | Error::HashUnknown { .. }
            | Error::HashRefused { .. } => Error::NotFound,
            other => other,
        })
    }

    /// The inode that a name stands for. The kernel is told of it once more.
    pub(super) fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Entry> {
        match self.node(parent)? {
            Node::Root => {}
            Node::Control(node) => return self.lookup_control(node, name),
            Node::Link(_) | Node::Block { .. } | Node::File(_) => return Err(Error::NotFound),
        }
        match self.meaning_of_existing(name)? {
            Meaning::Control => Ok(self.control_entry(ControlNode::Directory)),
            Meaning::Block(cid, attr) => Ok(self.block_entry(cid.key(), cid.form(), name, attr)),
            Meaning::Staged(_, file) | Meaning::Plain(Some(file)) => Ok(self.file_entry(&file)),
            Meaning::Absent(_) | Meaning::Plain(None) => Err(Error::NotFound),
        }
    }

    fn lookup_control(&self, directory: ControlNode, name: &OsStr) -> Result<Entry> {
        if directory != ControlNode::Names {
            let node = directory.child(name).ok_or(Error::NotFound)?;
            return Ok(self.control_entry(node));
        }
        let file = self.tables.lock().names.get(name).cloned().ok_or(Error::NotFound)?;
        let attr = self.link_attr(&file)?;
        self.inodes.lock().remember(attr.ino, Node::Link(file));
        Ok(Entry { attr, validity: Validity::None })
    }

    /// The name of an inode, for a message.
    pub(super) fn name_of(&self, ino: Ino) -> OsString {
        match self.node(ino) {
            Ok(Node::Block { key, form, .. }) => canonical(&key, form).into(),
            Ok(Node::File(file) | Node::Link(file)) => file.state.lock().name.clone().unwrap_or_default(),
            Ok(Node::Root | Node::Control(_)) | Err(_) => OsString::new(),
        }
    }

    /// The attributes of the symbolic link that shows an alias's block.
    pub(super) fn link_attr(&self, file: &Arc<File>) -> Result<Attr> {
        let target = self.link_target(file)?;
        Ok(Attr {
            ino: InodeTable::link_number(file.ino),
            kind: Kind::Symlink,
            size_bytes: target.len() as u64,
            mode: 0o777,
            ..file.attr()
        })
    }

    /// The CID of an alias's block.
    pub(super) fn link_target(&self, file: &File) -> Result<String> {
        let key = file.state.lock().alias_of.clone().ok_or(Error::NotFound)?;
        self.stored_name(&key, self.options.cid_options.form(&key))
    }

    /// The CID under which a block is listed; of an identity CID, which is not stored, that of this
    /// form.
    pub(super) fn stored_name(&self, key: &Key, identity_form: CidForm) -> Result<String> {
        if key.is_identity() {
            return Ok(canonical(key, identity_form));
        }
        let meta = self.store.stat(key)?.ok_or(Error::NotFound)?;
        Ok(canonical(key, meta.cid_form))
    }

    /// Attributes of an inode that the kernel knows, as an open handle of it shows them if it is
    /// one of that that asks.
    pub(super) fn getattr(&self, ino: Ino, handle: Option<Handle>) -> Result<Entry> {
        match self.node(ino)? {
            Node::Root => Ok(self.root_entry()),
            Node::Control(node) => Ok(self.control_entry(node)),
            Node::Link(file) => Ok(Entry { attr: self.link_attr(&file)?, validity: Validity::None }),
            // The kernel has just looked it up, or has it open: it may have ended in between.
            Node::File(file) => Ok(Entry { attr: file.attr(), validity: Validity::None }),
            Node::Block { key, standing, .. } => match self.block_attr(&key)? {
                Some(attr) => {
                    let retired = standing == Standing::Retired;
                    let validity = if retired { Validity::None } else { self.lasting() };
                    Ok(Entry { attr: Attr { ino, ..attr }, validity })
                }
                None => self.getattr_removed(ino, handle),
            },
        }
    }

    /// A removed block still has attributes for those who have it open. The kernel asks for them
    /// without a handle too, which may be for another name of the block that it still believes in:
    /// then it has to look that name up, and may find nothing, or a file that is being written. Where
    /// another program removes blocks, nobody knows the names.
    fn getattr_removed(&self, ino: Ino, handle: Option<Handle>) -> Result<Entry> {
        let open = match handle {
            Some(handle) => Some(self.handles.get(handle)?),
            None if self.store.info().shared || self.inodes.lock().is_nameless(ino) => {
                self.handles.any_on(ino)
            }
            None => None,
        };
        self.attr_of_open(ino, open.as_deref())
    }

    /// The attributes of a removed block, for one who has it open.
    pub(super) fn attr_of_open(&self, ino: Ino, open: Option<&Open>) -> Result<Entry> {
        let (size_bytes, mtime) = match open {
            Some(Open::Block(_, block)) => (block.size_bytes, block.mtime),
            Some(Open::Writer(open)) => (open.writer.state.lock().block_len(), SystemTime::now()),
            Some(Open::Bytes(_) | Open::Directory(..)) | None => return Err(Error::Stale),
        };
        let attr = Attr { ino, links: 0, ..self.attr_of_block(size_bytes, mtime) };
        Ok(Entry { attr, validity: Validity::None })
    }
}
