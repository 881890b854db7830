//! What written bytes are to become.

use std::time::SystemTime;

use bytes::Bytes;

use crate::block::{Block, Cid, CidOptions, Draft};
use crate::{Error, Result};

/// What the bytes are to be.
#[derive(Debug, Clone)]
pub enum Target {
    /// Exactly this block.
    Cid(Cid),
    /// Whatever block they are, under these options.
    Any(CidOptions),
}

impl Target {
    /// Hashes bytes, and says whether they are the block.
    pub fn judge(&self, bytes: Bytes, mtime: SystemTime) -> Result<Block> {
        match self {
            Target::Cid(cid) => Block::verify(cid, bytes, mtime),
            Target::Any(options) => Block::of(bytes, options, mtime),
        }
    }

    /// As [`Target::judge`], of bytes that were hashed as they came; a draft that is not the block
    /// comes back.
    pub fn judge_draft(&self, draft: Draft, mtime: SystemTime) -> Result<Block, Box<(Draft, Error)>> {
        match self {
            Target::Cid(cid) => draft.into_block(cid, mtime),
            Target::Any(options) => draft.into_block_of(options, mtime),
        }
    }
}
