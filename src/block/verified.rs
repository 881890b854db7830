//! The verified block: bytes that are known to hash to their key.

use std::time::SystemTime;

use bytes::Bytes;

use super::Key;

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
