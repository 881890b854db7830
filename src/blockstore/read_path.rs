//! The read path: open-block registry -> engine -> verify unless already verified -> bytes.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use tracing::error;

use super::VerifyReads;
use super::open_block::{Content, OpenBlock, find, register};
use super::store::{Blockstore, Engine};
use crate::block::{CidForm, Key, bytes_match, canonical};
use crate::metrics::Count;
use crate::{Error, Result};

thread_local! {
    /// Recycled memory for reads from files: fresh pages for every read would cost more than the read.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Largest scratch buffer that a thread keeps between two reads.
const SCRATCH_BYTES_MAX: usize = 4 << 20;

/// What a read of `length` bytes at `offset` gives: as much of it as there is.
pub fn window(bytes: &[u8], offset: u64, length: usize) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(length).min(bytes.len());
    bytes.get(start..end).unwrap_or_default()
}

impl Blockstore {
    /// Opens a block for reading; `None` if it is absent. Its bytes have been checked as the
    /// mount's policy says.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the stored bytes do not hash to the key.
    pub fn open_block(&self, key: &Key) -> Result<Option<Arc<OpenBlock>>> {
        let engine = &self.engine;
        let Some(block) = engine.find_or_register(key)? else {
            return Ok(None);
        };
        let checked = match engine.verify_reads {
            VerifyReads::Never => true,
            VerifyReads::First => engine.verified.lock().contains(key),
            VerifyReads::Always => false,
        };
        if !checked {
            engine.check_open(&block)?;
        }
        Ok(Some(block))
    }

    /// Opens a block without checking its bytes, for handles that only need its file.
    pub fn open_unchecked(&self, key: &Key) -> Result<Option<Arc<OpenBlock>>> {
        self.engine.find_or_register(key)
    }

    /// Calls `with` with the bytes at `offset`, at most `length` of them; shorter at the end.
    pub fn read_with<R>(
        &self,
        block: &OpenBlock,
        offset: u64,
        length: usize,
        with: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        let left = block.size_bytes.saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let engine = &self.engine;
        engine.metrics.add(Count::BytesRead, length as u64);
        engine.with_bytes(block, offset, length, with)
    }

    /// All bytes of a stored block if they hash to the key; [`Error::Damaged`] otherwise, `None` if
    /// the block is absent. Past every cache.
    pub fn read_checked(&self, key: &Key) -> Result<Option<Bytes>> {
        let Some(bytes) = self.engine.fetch(key)? else {
            return Ok(None);
        };
        if bytes_match(key, &bytes) {
            self.engine.verified.lock().insert(key);
            Ok(Some(bytes))
        } else {
            Err(self.engine.damaged(key))
        }
    }
}

impl Engine {
    fn find_or_register(&self, key: &Key) -> Result<Option<Arc<OpenBlock>>> {
        let stripe = self.open_blocks.lock(key);
        // `always` reads past every cache, so that a handle never inherits another's bytes.
        if self.verify_reads != VerifyReads::Always
            && let Some(open) = stripe.as_ref().and_then(|stripe| find(stripe, key))
        {
            return Ok(Some(open));
        }
        let content = OnceLock::new();
        let (size_bytes, mtime) = match self.datastore.file(key)? {
            Some(file) => {
                let stat = |file: &File| -> io::Result<(u64, SystemTime)> {
                    let metadata = file.metadata()?;
                    Ok((metadata.len(), metadata.modified()?))
                };
                let found = stat(&file).map_err(|error| Error::io("stat a block's file", error))?;
                // A new OnceLock takes its first value.
                let _ = content.set(Content::File(file));
                found
            }
            None => match self.datastore.stat(key)? {
                Some(meta) => (meta.size_bytes, meta.mtime),
                None => return Ok(None),
            },
        };
        let block = Arc::new(OpenBlock { key: key.clone(), size_bytes, mtime, content });
        if let Some(mut stripe) = stripe {
            register(&mut stripe, &block);
        }
        Ok(Some(block))
    }

    fn check_open(&self, block: &OpenBlock) -> Result<()> {
        let length = usize::try_from(block.size_bytes).unwrap_or(usize::MAX);
        if self.with_bytes(block, 0, length, |bytes| bytes_match(&block.key, bytes))? {
            self.verified.lock().insert(&block.key);
            Ok(())
        } else {
            Err(self.damaged(&block.key))
        }
    }

    /// The stored bytes; damage that the engine finds by itself is noted as any other.
    fn fetch(&self, key: &Key) -> Result<Option<Bytes>> {
        self.datastore.get(key).map_err(|error| match error {
            Error::Damaged { .. } => self.damaged(key),
            other => other,
        })
    }

    /// Whether the stored copy hashes to its key. Absent counts as damaged.
    pub(super) fn check_stored(&self, key: &Key) -> Result<bool> {
        let right = match self.datastore.get(key) {
            Err(Error::Damaged { .. }) => false,
            found => found?.is_some_and(|bytes| bytes_match(key, &bytes)),
        };
        if right {
            self.verified.lock().insert(key);
        } else {
            self.verified.lock().remove(key);
        }
        Ok(right)
    }

    /// Makes sure that an open block can be read after the stored one has gone.
    pub(super) fn pin(&self, block: &OpenBlock) -> Result<()> {
        self.content(block).map(|_| ())
    }

    fn content<'a>(&self, block: &'a OpenBlock) -> Result<&'a Content> {
        if let Some(content) = block.content.get() {
            return Ok(content);
        }
        let bytes = self.fetch(&block.key)?.ok_or(Error::Stale)?;
        Ok(block.content.get_or_init(|| Content::Bytes(bytes)))
    }

    fn with_bytes<R>(
        &self,
        block: &OpenBlock,
        offset: u64,
        length: usize,
        with: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        match self.content(block)? {
            Content::Bytes(bytes) => Ok(with(window(bytes, offset, length))),
            Content::File(file) => SCRATCH.with_borrow_mut(|scratch| {
                if scratch.len() < length {
                    scratch.resize(length, 0);
                }
                let buffer = scratch.get_mut(..length).unwrap_or_default();
                // Fewer bytes than the size that was seen at open means a damaged file.
                let read = file.read_exact_at(buffer, offset);
                let result = match read {
                    Ok(()) => Ok(with(buffer)),
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        Err(self.damaged(&block.key))
                    }
                    Err(error) => Err(Error::io("read a block's file", error)),
                };
                if scratch.len() > SCRATCH_BYTES_MAX {
                    *scratch = Vec::new();
                }
                result
            }),
        }
    }

    /// Notes damage: in the log with the CID, in a counter, and as not verified.
    fn damaged(&self, key: &Key) -> Error {
        self.verified.lock().remove(key);
        self.metrics.add(Count::DamagedReads, 1);
        // As the listing names it, so that it can be found there.
        let meta = self.datastore.stat(key).ok().flatten();
        let cid = canonical(key, meta.map_or(CidForm::Unknown, |meta| meta.cid_form));
        error!(cid, "the stored bytes of this block are damaged");
        Error::Damaged { cid }
    }
}
