//! The bytes of one writer, from the first write to the verdict.
//!
//! Invariant: bytes leave here for the store only as a verified [`Block`]; a writer that was
//! refused a byte never gives one.

mod read;

use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;

use super::staging::Charge;
use super::target::Target;
use super::types::Done;
use crate::block::{Block, Cid, Draft, Key};
use crate::blockstore::{Blockstore, OpenBlock};
use crate::{Error, Result};

/// A number that tells writers apart.
pub type WriterId = u64;

/// What a writer has.
#[derive(Debug)]
pub enum Content {
    /// Nothing yet.
    Empty,
    /// Bytes in memory.
    Draft(Draft),
    /// Bytes that were found right and are on their way to the store.
    Frozen(Block),
    /// A stored block: what an alias is between two writes.
    Stored { key: Key, size_bytes: u64, open: Option<Arc<OpenBlock>> },
    /// A stored block that is written again: `length` bytes so far, all equal to the stored ones.
    /// `cut` if it was cut to nothing as an open file, which only the same bytes again can justify.
    Rewrite { expected: Bytes, length: usize, cut: bool },
}

/// A writer of one handle (CID names) or of all handles of a name (other names).
#[derive(Debug)]
pub struct Writer {
    /// Its number.
    pub id: WriterId,
    /// Everything that changes.
    pub state: Mutex<WriterState>,
}

/// The changing part of a writer.
pub struct WriterState {
    /// The bytes.
    pub content: Content,
    /// Whether there are bytes on which no verdict has fallen.
    pub fresh: bool,
    /// Whether any verdict has fallen.
    pub judged: bool,
    /// Whether the last verdict was that the bytes are not the block. Every further close repeats it
    /// until there are other bytes: the first may have been one of a child process that never looks,
    /// and what close(2) answers with 0 must be stored.
    pub wrong: bool,
    /// Why this writer stores nothing any more.
    pub refused: Option<Error>,
    /// Whether a block is on its way to the store.
    pub committing: bool,
    /// Who else is told when it has arrived.
    pub waiting: Vec<Done>,
    /// The block that this writer's last commit made, if it was not there before.
    pub made: Option<Key>,
    /// The stored bytes of a block that is written again: they are what is read, whatever was written,
    /// for the kernel keeps pages and the length of the inode for those who read the block.
    stored: Option<Bytes>,
    charge: Charge,
    hash_code: u64,
    digest_len: usize,
}

impl std::fmt::Debug for WriterState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriterState")
            .field("len", &self.len())
            .field("fresh", &self.fresh)
            .field("refused", &self.refused)
            .field("committing", &self.committing)
            .finish_non_exhaustive()
    }
}

/// What a writer needs from around it.
pub struct Room<'a> {
    /// The store: free space, and the bytes of stored blocks.
    pub store: &'a Blockstore,
    /// Staging memory.
    pub staging: &'a Arc<super::staging::Staging>,
    /// Largest block, in bytes.
    pub block_bytes_max: u64,
}

impl Writer {
    /// A writer whose bytes will be hashed with this function as they arrive.
    pub fn new(
        id: WriterId,
        charge: Charge,
        content: Content,
        hash_code: u64,
        digest_len: usize,
    ) -> Arc<Self> {
        let stored = match &content {
            Content::Rewrite { expected, .. } => Some(expected.clone()),
            _ => None,
        };
        let state = WriterState {
            content,
            stored,
            fresh: false,
            judged: false,
            wrong: false,
            refused: None,
            committing: false,
            waiting: Vec::new(),
            made: None,
            charge,
            hash_code,
            digest_len,
        };
        Arc::new(Self { id, state: Mutex::new(state) })
    }
}

impl WriterState {
    /// Length of the bytes.
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Empty => 0,
            Content::Draft(draft) => draft.len() as u64,
            Content::Frozen(block) => block.bytes().len() as u64,
            Content::Stored { size_bytes, .. } => *size_bytes,
            Content::Rewrite { length, .. } => *length as u64,
        }
    }

    /// Length of the block that is written: of one that is written again the whole, for readers
    /// may have it open on the same inode.
    pub fn block_len(&self) -> u64 {
        self.stored.as_ref().map_or_else(|| self.len(), |stored| stored.len() as u64)
    }

    /// The block that the content is, if it is stored.
    pub fn stored_key(&self) -> Option<&Key> {
        match &self.content {
            Content::Stored { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Writes `data` at `offset`.
    ///
    /// # Errors
    /// [`Error::TooBig`], the store's lack of space, [`Error::Differs`]: the writer is refused from
    /// then on. [`Error::StagingFull`]: the caller may try again, or call [`WriterState::refuse`].
    pub fn write(&mut self, offset: u64, data: &[u8], cid: Option<&Cid>, room: &Room<'_>) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = offset.saturating_add(data.len() as u64);
        if end > room.block_bytes_max {
            return Err(self.refuse(Error::TooBig { limit_bytes: room.block_bytes_max }));
        }
        let (start, end) = (index(offset)?, index(end)?);
        if let Some(stored) = self.stored.as_ref().filter(|stored| end > stored.len()) {
            // The kernel would take the end of what was written for the end of the block, for all readers.
            let at_byte = offset.max(stored.len() as u64);
            return Err(self.differs(cid, at_byte));
        }
        if let Content::Rewrite { expected, length, .. } = &mut self.content
            && start <= *length
        {
            if expected.get(start..end) == Some(data) {
                *length = end.max(*length);
                self.fresh = true;
                return Ok(());
            }
            let at_byte = first_difference(expected.get(start..).unwrap_or_default(), data) + offset;
            return Err(self.differs(cid, at_byte));
        }
        let length = self.len().max(end as u64);
        self.draft(length, room)?.write_at(start, data);
        self.fresh = true;
        Ok(())
    }

    /// Cuts or extends the bytes. Cutting a rewrite to nothing begins it anew.
    pub fn set_len(&mut self, length: u64, room: &Room<'_>) -> Result<()> {
        if length > room.block_bytes_max {
            return Err(self.refuse(Error::TooBig { limit_bytes: room.block_bytes_max }));
        }
        if let Content::Rewrite { length: written, .. } = &mut self.content
            && length == 0
        {
            *written = 0;
            self.fresh = false;
            self.wrong = false;
            return Ok(());
        }
        if length == 0 {
            // A file that was cut to nothing is a new file, even if it had nothing yet: an earlier
            // refusal and an earlier verdict end here.
            self.content = Content::Empty;
            self.charge.clear();
            self.refused = None;
            self.judged = false;
            self.wrong = false;
            self.fresh = false;
            return Ok(());
        }
        if length == self.len() {
            return Ok(());
        }
        self.draft(length, room)?.set_len(index(length)?);
        self.fresh = true;
        self.charge.set(length)
    }

    /// Cuts a rewrite to nothing through an open file, as some programs do instead of O_TRUNC. If no
    /// bytes follow it was meant as a truncation, and the next close says that there is none.
    ///
    /// # Errors
    /// Those of [`WriterState::set_len`].
    pub fn begin_anew(&mut self, room: &Room<'_>) -> Result<()> {
        self.set_len(0, room)?;
        if let Content::Rewrite { cut, .. } = &mut self.content {
            *cut = true;
            self.fresh = true;
        }
        Ok(())
    }

    /// From now on this writer stores nothing; every verdict repeats the error.
    pub fn refuse(&mut self, error: Error) -> Error {
        if !matches!(error, Error::StagingFull { .. }) {
            self.refused = Some(error.clone());
        }
        error
    }

    /// Other bytes than those of the stored block were written.
    fn differs(&mut self, cid: Option<&Cid>, at_byte: u64) -> Error {
        let cid = cid.map(ToString::to_string).unwrap_or_default();
        self.refuse(Error::Differs { cid, at_byte })
    }

    /// As [`WriterState::refuse`], for an error that the caller could have tried to wait out.
    pub fn refuse_for_good(&mut self, error: Error) {
        self.refused = Some(error);
    }

    /// The bytes as a block under `cid`, or under the CID that `options` give them; they stay here,
    /// shared, until [`WriterState::arrived`].
    ///
    /// # Errors
    /// [`Error::Mismatch`]; the bytes are then as they were.
    pub fn freeze(&mut self, target: &Target, mtime: SystemTime, room: &Room<'_>) -> Result<Block> {
        let block = match mem::replace(&mut self.content, Content::Empty) {
            Content::Draft(draft) => match target.judge_draft(draft, mtime) {
                Ok(block) => block,
                Err(back) => {
                    let (draft, error) = *back;
                    self.content = Content::Draft(draft);
                    return Err(error);
                }
            },
            Content::Empty => target.judge(Bytes::new(), mtime)?,
            other => {
                self.content = other;
                let bytes = self.all_bytes(room.store)?;
                target.judge(bytes, mtime)?
            }
        };
        self.content = Content::Frozen(block.clone());
        Ok(block)
    }

    /// The block has reached the store: memory is given back, unless more was written meanwhile.
    /// An identity CID is stored nowhere, and its few bytes stay here.
    pub fn arrived(&mut self, block: &Block) {
        if let Content::Frozen(frozen) = &self.content
            && frozen.key() == block.key()
        {
            if !block.key().is_identity() {
                self.content = Content::Stored {
                    key: block.key().clone(),
                    size_bytes: block.bytes().len() as u64,
                    open: None,
                };
            }
            self.charge.clear();
        }
    }

    /// Makes sure that a stored content can be read after its block has been removed.
    pub fn pin(&mut self, key: &Key, store: &Blockstore) -> Result<()> {
        match &mut self.content {
            Content::Stored { key: stored, open, .. } if stored == key => {
                read::opened(key, open, store).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// The content is a stored block again.
    pub fn restore(&mut self, key: Key, size_bytes: u64) {
        self.content = Content::Stored { key, size_bytes, open: None };
    }

    /// Nobody has it open: nothing needs to be kept but what the content stands for.
    pub fn rest(&mut self) {
        if let Content::Stored { open, .. } = &mut self.content {
            *open = None;
        }
    }

    /// Drops the bytes.
    pub fn discard(&mut self) {
        self.content = Content::Empty;
        self.charge.clear();
        self.fresh = false;
        self.wrong = false;
    }

    /// The content as a draft of at least the present length, with memory for `length` bytes.
    fn draft(&mut self, length: u64, room: &Room<'_>) -> Result<&mut Draft> {
        let before = self.charge_bytes();
        self.charge.set(length.max(self.len()))?;
        if length > before
            && let Err(error) = room.store.check_space(room.staging.used_bytes())
        {
            self.charge.set(before)?;
            return Err(self.refuse(error));
        }
        if !matches!(self.content, Content::Draft(_)) {
            let bytes = self.all_bytes(room.store)?;
            let mut draft = Draft::new(room.staging.pool().take(), self.hash_code, self.digest_len)?;
            draft.write_at(0, &bytes);
            self.content = Content::Draft(draft);
        }
        match &mut self.content {
            Content::Draft(draft) => Ok(draft),
            _ => Err(Error::Internal { what: "a draft was not made".into() }),
        }
    }

    fn charge_bytes(&self) -> u64 {
        match &self.content {
            Content::Draft(draft) => draft.len() as u64,
            Content::Frozen(block) => block.bytes().len() as u64,
            Content::Empty | Content::Stored { .. } | Content::Rewrite { .. } => 0,
        }
    }
}

fn index(offset: u64) -> Result<usize> {
    usize::try_from(offset).map_err(|_| Error::InvalidRequest { what: "the offset is too large" })
}

fn first_difference(stored: &[u8], written: &[u8]) -> u64 {
    let same = stored.iter().zip(written).take_while(|(one, other)| one == other).count();
    same as u64
}
