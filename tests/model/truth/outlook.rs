//! What the generator and the runner ask the model.

use std::collections::BTreeSet;

use super::{DescId, FileId, Subject, Truth};
use crate::names::{Data, Key, Kind, Name, NameRef};
use crate::op::{FDS, Fd, How, Op, SLOTS, Slot};

/// Blocks of this size and more may be read by the kernel itself.
const KERNEL_READS: u64 = 64 << 10;

/// What a descriptor is good for.
pub struct Outlook<'a> {
    pub write: bool,
    /// Whether a plain write goes to the end of what is there.
    pub at_end: bool,
    pub content: &'a [u8],
    /// The block that the bytes have to be, if the name says it.
    pub wanted: Option<&'a Key>,
}

impl Truth {
    pub fn open_fds(&self) -> Vec<Fd> {
        self.fds.keys().copied().filter(|fd| *fd < FDS).collect()
    }

    pub fn free_fd(&self) -> Option<Fd> {
        (0..FDS).find(|fd| !self.fds.contains_key(fd))
    }

    pub fn held(&self) -> Vec<Slot> {
        self.maps.keys().copied().collect()
    }

    pub fn free_slot(&self) -> Option<Slot> {
        (0..SLOTS).find(|slot| !self.maps.contains_key(slot))
    }

    /// Files that the mount has open for the operations so far.
    pub fn handles(&self) -> usize {
        self.descs.len()
    }

    /// Those of them that it may not have open any more: a mapping of a block that the kernel reads by
    /// itself does not keep its file open.
    pub fn mapped_only(&self) -> usize {
        let has_fd = |id: &DescId| self.fds.values().any(|open| open == id);
        let large = |id: &DescId| self.size(&self.descs[id]) >= KERNEL_READS;
        self.maps.values().filter(|id| !has_fd(id) && large(id)).collect::<BTreeSet<_>>().len()
    }

    pub fn block_names(&self) -> Vec<NameRef> {
        self.blocks.iter().map(|(key, block)| Name::of_block(key, block.listed.first().unwrap())).collect()
    }

    /// For each block the names that a listing may show.
    pub fn listings(&self) -> Vec<BTreeSet<String>> {
        self.blocks.values().map(|block| block.listed.clone()).collect()
    }

    pub fn plain_names(&self) -> Vec<NameRef> {
        self.plain.values().map(|id| self.files[id].name.clone().unwrap()).collect()
    }

    /// What a plain name holds.
    pub fn content_of(&self, name: &NameRef) -> Option<&[u8]> {
        let writer = self.plain.get(&name.text).and_then(|id| self.files[id].shared)?;
        Some(&self.writers[&writer].bytes)
    }

    pub fn outlook(&self, fd: Fd) -> Outlook<'_> {
        let desc = self.desc(fd);
        let wanted = match &desc.subject {
            Subject::Block { key, .. } | Subject::Rewrite { key, .. } => Some(key),
            Subject::File(id) => match self.files[id].cid.as_ref().map(|name| &name.kind) {
                Some(Kind::Cid { key, .. }) => Some(key),
                _ => None,
            },
        };
        let content = match (&desc.subject, desc.writer) {
            (Subject::Rewrite { .. }, Some(writer)) => &self.writers[&writer].bytes,
            _ => self.content(desc),
        };
        let at_end = desc.append || desc.offset == content.len() as u64;
        Outlook { write: desc.write, at_end, content, wanted }
    }

    /// Whether several writers of one CID share what the kernel knows of its length. The rules say
    /// nothing of what then depends on that.
    pub(super) fn is_crowded(&self, id: DescId) -> bool {
        match self.descs[&id].subject {
            Subject::File(file) => self.files[&file].crowded,
            Subject::Block { .. } | Subject::Rewrite { .. } => false,
        }
    }

    pub(super) fn crowd(&mut self, file: FileId) {
        if self.files[&file].cid.is_some() && self.is_open(file) {
            self.file(file).crowded = true;
        }
    }

    /// Looks at everything that is there: a listing, and every block and file in full.
    pub fn inspection(&self, list: bool) -> Vec<Op> {
        let mut ops = Vec::new();
        if list {
            ops.push(Op::List);
        }
        let names = self.block_names().into_iter().chain(self.plain_names());
        for name in names {
            let (fd, how) = (FDS, How { read: true, ..How::default() });
            ops.extend([
                Op::Stat(name.clone()),
                Op::Readlink(name.clone()),
                Op::Open { fd, name, how, mode: 0 },
                Op::Pread { fd, at: 0, length: crate::names::LIMIT + 10 },
                Op::Close(fd),
            ]);
        }
        ops
    }

    /// Closes everything.
    pub fn closing(&self) -> Vec<Op> {
        let maps = self.maps.keys().map(|slot| Op::Unmap(*slot));
        maps.chain(self.fds.keys().map(|fd| Op::Close(*fd))).collect()
    }

    /// Whether bytes of this length are data that an operation can use at this place.
    pub(super) fn fits_in(&self, fd: Fd, at: usize, data: Data) -> bool {
        let size = self.size(self.desc(fd));
        size > 0 && (at + self.world.bytes(data).len()) as u64 <= size
    }
}
