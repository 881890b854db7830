//! What a writer's file has so far, for those who read it.
//!
//! Invariant: of a stored block that is written again, the stored bytes are read and nothing else.

use std::sync::Arc;

use bytes::Bytes;

use super::{Content, WriterState};
use crate::block::Key;
use crate::blockstore::{Blockstore, OpenBlock, window};
use crate::{Error, Result};

impl WriterState {
    /// Calls `with` with at most `length` bytes at `offset`.
    pub fn read<R>(
        &mut self,
        offset: u64,
        length: usize,
        store: &Blockstore,
        with: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        match &self.stored {
            Some(stored) => Ok(with(window(stored, offset, length))),
            None => self.read_written(offset, length, store, with),
        }
    }

    fn read_written<R>(
        &mut self,
        offset: u64,
        length: usize,
        store: &Blockstore,
        with: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        let mut with = Some(with);
        let mut answer = None;
        let mut once = |bytes: &[u8]| answer = with.take().map(|with| with(bytes));
        match &mut self.content {
            Content::Empty => once(&[]),
            Content::Draft(draft) => once(window(draft.bytes(), offset, length)),
            Content::Frozen(block) => once(window(block.bytes(), offset, length)),
            Content::Rewrite { expected, length: written, .. } => {
                once(window(expected.get(..*written).unwrap_or_default(), offset, length));
            }
            Content::Stored { key, open, .. } => {
                let block = opened(key, open, store)?;
                store.read_with(&block, offset, length, once)?;
            }
        }
        answer.ok_or_else(|| Error::Internal { what: "a read gave no answer".into() })
    }

    pub(super) fn all_bytes(&mut self, store: &Blockstore) -> Result<Bytes> {
        let length = usize::try_from(self.len()).unwrap_or(usize::MAX);
        self.read_written(0, length, store, Bytes::copy_from_slice)
    }
}

pub(super) fn opened(
    key: &Key,
    open: &mut Option<Arc<OpenBlock>>,
    store: &Blockstore,
) -> Result<Arc<OpenBlock>> {
    if let Some(block) = open {
        return Ok(Arc::clone(block));
    }
    let block = store.open_block(key)?.ok_or(Error::NotFound)?;
    *open = Some(Arc::clone(&block));
    Ok(block)
}
