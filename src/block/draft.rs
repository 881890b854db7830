//! Bytes on their way to becoming a block, hashed as they arrive.
//!
//! Invariant: the hasher has taken exactly the first `hashed_len` bytes of the buffer.

use std::time::SystemTime;

use bytes::Bytes;

use super::hasher::{Hasher, key_of};
use super::verified::{key_under, mismatch};
use super::{Block, Buffer, Cid, CidForm, CidOptions, Key, check_allowed};
use crate::{Error, Result};

/// A block keeps its draft's buffer unless that is more than so many times too large: whoever
/// holds blocks counts their bytes, not the memory behind them.
const SLACK_FACTOR_MAX: usize = 4;

/// What a writer has written so far. Its length is bounded by its owner, before each call.
#[derive(Debug)]
pub struct Draft {
    buffer: Buffer,
    hasher: Hasher,
    hashed_len: usize,
}

impl Draft {
    /// Starts with what is in the buffer, hashing with the function that the block will probably
    /// be named by.
    ///
    /// # Errors
    ///
    /// Those of [`check_allowed`].
    pub fn new(buffer: Buffer, hash_code: u64, digest_len: usize) -> Result<Self> {
        Ok(Self { buffer, hasher: Hasher::new(hash_code, digest_len)?, hashed_len: 0 })
    }

    /// The length of the content.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Writes `data` at `offset`; a gap before it reads as zeros.
    ///
    /// Data that begins where hashing has come to is hashed at once. Other data waits for
    /// [`key`](Draft::key), so that writing never hashes more bytes than it is given.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if offset < self.hashed_len {
            self.restart();
        }
        if offset > self.buffer.len() {
            self.buffer.resize(offset, 0);
        }
        let overlap = data.len().min(self.buffer.len() - offset);
        let (over, rest) = data.split_at(overlap);
        if let Some(place) = self.buffer.get_mut(offset..offset + overlap) {
            place.copy_from_slice(over);
        }
        self.buffer.extend_from_slice(rest);
        if offset == self.hashed_len {
            self.hasher.update(data);
            self.hashed_len += data.len();
        }
    }

    /// Cuts the content, or extends it with zeros.
    pub fn set_len(&mut self, len: usize) {
        if len < self.hashed_len {
            self.restart();
        }
        self.buffer.resize(len, 0);
    }

    /// The key of the present content under any allowed function.
    ///
    /// # Errors
    ///
    /// Those of [`check_allowed`], and [`Error::HashRefused`] for more bytes than an identity CID
    /// can hold.
    pub fn key(&mut self, hash_code: u64, digest_len: usize) -> Result<Key> {
        if hash_code != self.hasher.code() {
            return key_of(hash_code, digest_len, &self.buffer);
        }
        check_allowed(hash_code, digest_len)?;
        self.hasher.update(self.buffer.get(self.hashed_len..).unwrap_or_default());
        self.hashed_len = self.buffer.len();
        self.hasher.key(digest_len)
    }

    /// Makes the block that `cid` names.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if the content is not that block; the draft comes back as it was.
    pub fn into_block(mut self, cid: &Cid, mtime: SystemTime) -> Result<Block, Box<(Self, Error)>> {
        let computed = if cid.is_identity() {
            key_under(cid, &self.buffer)
        } else {
            self.key(cid.key().code(), cid.key().digest().len())
        };
        match computed {
            Ok(key) if key == *cid.key() => Ok(self.seal(key, cid.form(), mtime)),
            Ok(key) => {
                let error = mismatch(cid, &key);
                Err(Box::new((self, error)))
            }
            Err(error) => Err(Box::new((self, error))),
        }
    }

    /// Makes a block that is named by its content.
    ///
    /// # Errors
    ///
    /// Those of [`key`](Draft::key); the draft comes back as it was.
    pub fn into_block_of(
        mut self,
        options: &CidOptions,
        mtime: SystemTime,
    ) -> Result<Block, Box<(Self, Error)>> {
        match self.key(options.hash_code, options.digest_len) {
            Ok(key) => {
                let form = options.form(&key);
                Ok(self.seal(key, form, mtime))
            }
            Err(error) => Err(Box::new((self, error))),
        }
    }

    fn restart(&mut self) {
        self.hasher.restart();
        self.hashed_len = 0;
    }

    /// The caller has just computed `key` from the content.
    fn seal(self, key: Key, form: CidForm, mtime: SystemTime) -> Block {
        let bytes = if self.buffer.capacity() / SLACK_FACTOR_MAX > self.buffer.len() {
            Bytes::copy_from_slice(&self.buffer)
        } else {
            Bytes::from_owner(self.buffer)
        };
        Block::sealed(key, form, bytes, mtime)
    }
}
