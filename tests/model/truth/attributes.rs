//! Attributes (R11), and which block an alias stands for.

use libc::{ENOENT, ESTALE};

use super::bytes::absent;
use super::check::{Expected, Shape};
use super::{Errno, FileId, Meaning, Subject, Time, Truth};
use crate::names::{Key, NameRef};
use crate::op::Fd;

impl Truth {
    pub(super) fn stat(&self, name: &NameRef) -> Expected {
        match self.meaning(name) {
            Meaning::Nothing => Expected::Errno(absent(name)),
            Meaning::Block(key) => Expected::Shape(self.shape_of_block(&key)),
            Meaning::Staged(id) | Meaning::Plain(id) => Expected::Shape(self.shape_of_file(id)),
        }
    }

    fn shape_of_block(&self, key: &Key) -> Shape {
        let mtime = self.blocks.get(key).map_or_else(|| Time::exactly(0), |block| block.mtime.clone());
        let size = self.bytes_of(key).len() as u64;
        Shape { size, mode: Some(0o444), links: Some(1), mtime: Some(mtime) }
    }

    fn shape_of_file(&self, id: FileId) -> Shape {
        let file = &self.files[&id];
        let size = file.shared.map_or(file.size, |writer| self.writers[&writer].bytes.len() as u64);
        // A descriptor whose block was stored shows whether its name is there, or not.
        let links = (!file.stored).then_some(u64::from(file.name.is_some()));
        Shape { size, mode: Some(file.mode), links, mtime: Some(file.mtime.clone()) }
    }

    pub(super) fn fstat(&self, fd: Fd) -> Expected {
        match &self.desc(fd).subject {
            Subject::Block { key, .. } | Subject::Rewrite { key, .. } if self.is_there(key) => {
                Expected::Shape(self.shape_of_block(key))
            }
            Subject::Block { bytes, .. } | Subject::Rewrite { bytes, .. } => {
                // R9: of a removed block, what was opened; or nothing, where it had several names.
                let size = bytes.len() as u64;
                let open = Shape { size, mode: Some(0o444), links: Some(0), mtime: None };
                Expected::AnyOf(vec![Expected::Shape(open), Expected::Errno(ESTALE)])
            }
            Subject::File(id) => Expected::Shape(self.shape_of_file(*id)),
        }
    }

    fn is_there(&self, key: &Key) -> bool {
        key.identity().is_some() || self.blocks.contains_key(key)
    }

    pub(super) fn readlink(&self, name: &NameRef) -> Expected {
        let alias = self.plain.get(&name.text).and_then(|id| self.files[id].alias.as_ref());
        match alias {
            Some(key) => {
                let listed = self.blocks[key].listed.iter();
                Expected::AnyOf(listed.map(|listed| Expected::Text(listed.clone())).collect())
            }
            None => Expected::Errno(ENOENT),
        }
    }

    pub(super) fn chmod(&mut self, name: &NameRef, mode: u32) -> Result<(), Errno> {
        match self.meaning(name) {
            Meaning::Nothing => Err(absent(name)),
            Meaning::Block(_) => Ok(()),
            Meaning::Staged(id) | Meaning::Plain(id) => {
                self.file(id).mode = mode;
                Ok(())
            }
        }
    }

    pub(super) fn fchmod(&mut self, fd: Fd, mode: u32) -> Expected {
        match self.desc(fd).subject.clone() {
            Subject::Block { key, .. } | Subject::Rewrite { key, .. } => self.changed_or_gone(&key),
            Subject::File(id) => {
                self.file(id).mode = mode;
                Expected::Nothing
            }
        }
    }

    /// What a change of attributes through a descriptor says, that of a block that may be removed.
    fn changed_or_gone(&self, key: &Key) -> Expected {
        if self.is_there(key) {
            Expected::Nothing
        } else {
            Expected::AnyOf(vec![Expected::Nothing, Expected::Errno(ESTALE)])
        }
    }

    pub(super) fn utimes(&mut self, name: &NameRef, seconds: u32) -> Result<(), Errno> {
        match self.meaning(name) {
            Meaning::Nothing => Err(absent(name)),
            Meaning::Block(key) => {
                self.set_block_time(&key, Time::exactly(seconds));
                Ok(())
            }
            Meaning::Staged(id) | Meaning::Plain(id) => {
                self.set_file_time(id, seconds);
                Ok(())
            }
        }
    }

    pub(super) fn futimes(&mut self, fd: Fd, seconds: u32) -> Expected {
        match self.desc(fd).subject.clone() {
            Subject::Block { key, .. } | Subject::Rewrite { key, .. } => {
                self.set_block_time(&key, Time::exactly(seconds));
                self.changed_or_gone(&key)
            }
            Subject::File(id) => {
                self.set_file_time(id, seconds);
                Expected::Nothing
            }
        }
    }

    fn set_file_time(&mut self, id: FileId, seconds: u32) {
        let file = self.file(id);
        file.mtime = Time::exactly(seconds);
        if let (true, Some(name)) = (file.stored, file.cid.clone()) {
            // R11: what the writer set, also after the block was stored.
            self.set_block_time(super::judging::cid(&name).0, Time::exactly(seconds));
        }
    }

    pub(super) fn set_block_time(&mut self, key: &Key, mtime: Time) {
        if let Some(block) = self.blocks.get(key).cloned() {
            self.note_unsynced(key, block);
        }
        if let Some(block) = self.blocks.get_mut(key) {
            block.mtime = mtime;
        }
    }
}
