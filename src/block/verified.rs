//! The verified block: bytes that are known to hash to their key.
//!
//! Invariant: nothing outside this folder can make a [`Block`] but [`Block::verify`] and
//! [`Block::of`], which hash the bytes.

use std::time::SystemTime;

use bytes::Bytes;

use super::hasher::key_of;
use super::policy::SHA2_256;
use super::{Cid, CidOptions, Key, canonical};
use crate::{Error, Result};

/// CID versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `Qm...`: dag-pb, sha2-256, base58btc without a multibase prefix.
    V0,
    /// Version 1, with a codec and a multibase.
    V1,
}

/// The version and codec under which a block was first stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CidForm {
    /// Nobody has said: the block came from a program that keeps multihashes only.
    Unknown,
    /// The block was stored under a CID of this version and multicodec code.
    Known {
        /// The CID version.
        version: Version,
        /// The multicodec code of the content, for example 0x55 for raw.
        codec: u64,
    },
}

impl CidForm {
    /// CIDv1 with the codec raw (0x55), which is what a block without a codec is listed as.
    pub const RAW_V1: CidForm = CidForm::Known { version: Version::V1, codec: 0x55 };
}

/// What is known of a block besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The exact length of the block.
    pub size_bytes: u64,
    /// When the block was stored, or what its writer set.
    pub mtime: SystemTime,
    /// The CID under which it was first stored.
    pub cid_form: CidForm,
}

/// A block whose bytes were seen to hash to its key. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Block {
    key: Key,
    meta: Meta,
    bytes: Bytes,
}

impl Block {
    /// The block that `cid` names, if these bytes are it.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`], with the CID that the bytes have under the same function and codec.
    pub fn verify(cid: &Cid, bytes: Bytes, mtime: SystemTime) -> Result<Self> {
        let key = key_under(cid, &bytes)?;
        if key != *cid.key() {
            return Err(mismatch(cid, &key));
        }
        Ok(Self::sealed(key, cid.form(), bytes, mtime))
    }

    /// The block that is made of these bytes.
    ///
    /// # Errors
    ///
    /// Those of [`digest_of`](super::digest_of).
    pub fn of(bytes: Bytes, options: &CidOptions, mtime: SystemTime) -> Result<Self> {
        let key = options.key_of(&bytes)?;
        let form = options.form(&key);
        Ok(Self::sealed(key, form, bytes, mtime))
    }

    /// For those in this folder who have just computed `key` from `bytes` themselves.
    pub(super) fn sealed(key: Key, cid_form: CidForm, bytes: Bytes, mtime: SystemTime) -> Self {
        let meta = Meta { size_bytes: bytes.len() as u64, mtime, cid_form };
        Self { key, meta, bytes }
    }

    /// The multihash.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Size, time and CID form.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Whether a block's stored bytes still hash to its key.
pub fn bytes_match(key: &Key, bytes: &[u8]) -> bool {
    key_of(key.code(), key.digest().len(), bytes).is_ok_and(|computed| computed == *key)
}

/// The key that bytes have under the hash function of `cid`; for more bytes than an identity CID
/// can hold, under sha2-256.
pub(super) fn key_under(cid: &Cid, bytes: &[u8]) -> Result<Key> {
    if cid.is_identity() && bytes.len() > Key::DIGEST_BYTES_MAX {
        return key_of(SHA2_256, 32, bytes);
    }
    key_of(cid.key().code(), cid.key().digest().len(), bytes)
}

pub(super) fn mismatch(cid: &Cid, computed: &Key) -> Error {
    Error::Mismatch { cid: cid.to_string(), computed: canonical(computed, cid.form()) }
}
