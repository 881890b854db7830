//! The model: what docs/SEMANTICS.md says becomes of each operation, in memory.
//!
//! It says exactly what every system call returns: bytes, sizes, errno, names. It knows nothing of
//! kernels, inodes, caches, commits or engines.

mod attributes;
mod bytes;
mod check;
mod ends;
mod judging;
mod mapped;
mod naming;
mod opening;
mod outlook;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::names::{Key, Kind, LIMIT, NameRef, World};
use super::op::{Fd, Op, Slot};
pub use check::{Answer, Observed, Seen};
pub use outlook::Outlook;
pub use time::{Instant, Time, instant};

pub type Errno = i32;
type FileId = u64;
type WriterId = u64;
type DescId = u64;

/// R1: a block, one for each multihash.
#[derive(Debug, Clone)]
struct Block {
    bytes: Rc<[u8]>,
    /// R2: under which CID it was first stored, in canonical form. More than one where only the
    /// listing can tell: a descriptor stored again what had been removed under it.
    listed: BTreeSet<String>,
    mtime: Time,
    /// R7: the writer whose early close made it, and nobody else has stored it since.
    claimed_by: Option<WriterId>,
}

/// A staged file, or an alias.
#[derive(Debug, Clone)]
struct File {
    /// The name that it was created under, if that is a CID.
    cid: Option<NameRef>,
    /// `None` once it was removed or replaced.
    name: Option<NameRef>,
    /// Whether its block was stored under its CID name, so that the name means the block.
    stored: bool,
    /// R7: under a plain name all descriptors share one buffer.
    shared: Option<WriterId>,
    /// The CID that a plain name was renamed to while descriptors were open.
    became: Option<NameRef>,
    /// R7: the block that the name stands for.
    alias: Option<Key>,
    /// What it stood for before a close that may still be taken back.
    before: Option<Key>,
    size: u64,
    mode: u32,
    mtime: Time,
    /// Several writers of one CID had it open at once.
    crowded: bool,
}

/// The bytes of a descriptor, or of all descriptors of a plain name.
#[derive(Debug, Clone, Default)]
struct Writer {
    bytes: Vec<u8>,
    /// R5: bytes were written since the last verdict.
    fresh: bool,
    judged: bool,
    /// R5: a verdict of EBADMSG is repeated until the bytes change.
    wrong: bool,
    /// R8: it was refused a write.
    refused: Option<Errno>,
    made: Option<Key>,
    /// R6: the stored bytes, as long as every write has to equal them.
    expected: Option<Rc<[u8]>>,
    /// The length of that block, for as long as it is open.
    whole: Option<usize>,
}

/// What a descriptor is open on.
#[derive(Debug, Clone)]
enum Subject {
    /// A stored block, or an identity CID.
    Block {
        key: Key,
        bytes: Rc<[u8]>,
    },
    /// The same, opened for writing.
    Rewrite {
        name: NameRef,
        key: Key,
        bytes: Rc<[u8]>,
    },
    File(FileId),
}

/// An open file description: what descriptors that were duplicated share.
#[derive(Debug, Clone)]
struct Desc {
    subject: Subject,
    writer: Option<WriterId>,
    read: bool,
    write: bool,
    append: bool,
    offset: u64,
    /// Descriptors and mappings.
    references: usize,
    /// A further writer of a CID that is not stored: not through the page cache.
    further: bool,
}

/// What a name means (R1, R5, R7).
enum Meaning {
    Block(Key),
    Staged(FileId),
    Plain(FileId),
    Nothing,
}

/// What asks for a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Close,
    Fsync,
    Rename,
    Truncation,
}

pub struct Truth {
    pub world: Rc<World>,
    durable: bool,
    blocks: BTreeMap<Key, Block>,
    plain: BTreeMap<String, FileId>,
    staged: BTreeMap<Key, FileId>,
    files: BTreeMap<FileId, File>,
    writers: BTreeMap<WriterId, Writer>,
    descs: BTreeMap<DescId, Desc>,
    fds: BTreeMap<Fd, DescId>,
    maps: BTreeMap<Slot, DescId>,
    /// Blocks as they were before changes that a kill may undo.
    unsynced: BTreeMap<Key, Block>,
    next: u64,
    /// When the operation at hand began and ended.
    span: (Instant, Instant),
    /// The count that it answered with.
    counted: Option<u64>,
}

impl Truth {
    /// An empty store; whether blocks survive the mount.
    pub fn new(world: Rc<World>, durable: bool) -> Self {
        Self {
            world,
            durable,
            blocks: BTreeMap::new(),
            plain: BTreeMap::new(),
            staged: BTreeMap::new(),
            files: BTreeMap::new(),
            writers: BTreeMap::new(),
            descs: BTreeMap::new(),
            fds: BTreeMap::new(),
            maps: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            next: 0,
            span: (Instant::default(), Instant::default()),
            counted: None,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn now(&self) -> Time {
        Time::between(self.span.0, self.span.1)
    }

    fn meaning(&self, name: &NameRef) -> Meaning {
        match &name.kind {
            Kind::Cid { key, .. } if key.identity().is_some() || self.blocks.contains_key(key) => {
                Meaning::Block(key.clone())
            }
            Kind::Cid { key, .. } => self.staged.get(key).map_or(Meaning::Nothing, |id| Meaning::Staged(*id)),
            Kind::Plain { .. } => {
                self.plain.get(&name.text).map_or(Meaning::Nothing, |id| Meaning::Plain(*id))
            }
            Kind::Never { .. } => Meaning::Nothing,
        }
    }

    /// The bytes of a block, or those that an identity CID holds.
    fn bytes_of(&self, key: &Key) -> Rc<[u8]> {
        match key.identity() {
            Some(bytes) => bytes.into(),
            None => Rc::clone(&self.blocks[key].bytes),
        }
    }

    fn desc(&self, fd: Fd) -> &Desc {
        &self.descs[&self.fds[&fd]]
    }

    fn desc_mut(&mut self, fd: Fd) -> &mut Desc {
        self.descs.get_mut(&self.fds[&fd]).unwrap()
    }

    fn file(&mut self, id: FileId) -> &mut File {
        self.files.get_mut(&id).unwrap()
    }

    fn writer(&mut self, id: WriterId) -> &mut Writer {
        self.writers.get_mut(&id).unwrap()
    }

    /// Whether an alias stands for a block (R7).
    fn is_aliased(&self, key: &Key) -> bool {
        self.files.values().any(|file| file.name.is_some() && file.alias.as_ref() == Some(key))
    }

    /// How many descriptors on a file may write.
    fn writing(&self, file: FileId) -> usize {
        let writes = |desc: &&Desc| desc.write && matches!(desc.subject, Subject::File(id) if id == file);
        self.descs.values().filter(writes).count()
    }

    fn is_open(&self, file: FileId) -> bool {
        self.descs.values().any(|desc| matches!(desc.subject, Subject::File(id) if id == file))
    }

    /// How long a descriptor shows its file to be.
    fn size(&self, desc: &Desc) -> u64 {
        match &desc.subject {
            Subject::Block { bytes, .. } | Subject::Rewrite { bytes, .. } => bytes.len() as u64,
            Subject::File(file) => match (self.files[file].shared, desc.writer) {
                (Some(writer), _) | (None, Some(writer)) => self.writers[&writer].bytes.len() as u64,
                (None, None) => self.files[file].size,
            },
        }
    }

    /// What a descriptor reads.
    fn content<'a>(&'a self, desc: &'a Desc) -> &'a [u8] {
        match (&desc.subject, desc.writer) {
            (Subject::Block { bytes, .. } | Subject::Rewrite { bytes, .. }, _) => bytes,
            (Subject::File(_), Some(writer)) => &self.writers[&writer].bytes,
            (Subject::File(_), None) => &[],
        }
    }

    /// Whether an operation can be made now: its slots are open or free as it needs them. What the
    /// rules leave open is never made.
    pub fn applies(&self, op: &Op) -> bool {
        match op {
            Op::Open { fd, .. } => !self.fds.contains_key(fd),
            // R6: it begins to write a block anew, as O_TRUNC does, which is tried without.
            Op::Ftruncate { fd, length: 0 } => self.fds.get(fd).is_some_and(|id| {
                !matches!(self.descs[id].subject, Subject::Block { .. } | Subject::Rewrite { .. })
            }),
            Op::Dup { from, to } => self.fds.contains_key(from) && !self.fds.contains_key(to),
            Op::Close(fd)
            | Op::Ftruncate { fd, .. }
            | Op::Fallocate { fd, .. }
            | Op::Fsync(fd)
            | Op::Fchmod { fd, .. }
            | Op::Futimes { fd, .. } => self.fds.contains_key(fd),
            Op::Write { fd, .. } | Op::Pwrite { fd, .. } => {
                self.fds.get(fd).is_some_and(|id| !(self.descs[id].append && self.is_crowded(*id)))
            }
            Op::Read { fd, .. } | Op::Pread { fd, .. } | Op::Seek { fd, .. } | Op::Fstat(fd) => {
                self.fds.get(fd).is_some_and(|id| !self.is_crowded(*id))
            }
            Op::Truncate { name, length } => self.may_truncate(name, *length),
            Op::MapWrite { fd, at, data, .. } | Op::MapPrivate { fd, at, data } => {
                self.fds.get(fd).is_some_and(|id| !self.is_crowded(*id)) && self.fits_in(*fd, *at, *data)
            }
            Op::Hold { fd, slot } => {
                let mappable = |id: &DescId| match &self.descs[id].subject {
                    Subject::Block { bytes, .. } => !bytes.is_empty(),
                    Subject::Rewrite { .. } | Subject::File(_) => false,
                };
                !self.maps.contains_key(slot) && self.fds.get(fd).is_some_and(mappable)
            }
            Op::Look(slot) | Op::Unmap(slot) => self.maps.contains_key(slot),
            Op::Kill => self.durable,
            Op::SyncRoot
            | Op::Stat(_)
            | Op::Readlink(_)
            | Op::List
            | Op::Chmod { .. }
            | Op::Utimes { .. }
            | Op::Unlink(_)
            | Op::Rename { .. }
            | Op::Remount => true,
        }
    }

    /// Whether the block may be larger than it is allowed to be.
    fn is_too_long(length: u64) -> bool {
        length > LIMIT as u64
    }
}
