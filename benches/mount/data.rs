//! The blocks that are measured: half of each is random bytes, half text, as real blocks compress.
//!
//! Invariant: a block is a pure function of its seed and size.

use std::time::SystemTime;

use bytes::Bytes;
use ipfs_persist_mount::block::{Block, CidOptions, canonical};

use crate::outcome::Outcome;

/// A block, and the name of its file.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The CID.
    pub name: String,
    /// The bytes.
    pub bytes: Bytes,
    /// Both, as an engine takes them.
    pub block: Block,
}

/// Bytes of which the first half does not compress and the second does.
pub fn bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length.div_ceil(2) {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    while bytes.len() < length {
        let number = next() % 1000;
        bytes.extend_from_slice(format!("{{\"record\": {number}, \"kind\": \"sample\"}}\n").as_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// The block of a seed.
pub fn piece(seed: u64, length: usize) -> Outcome<Piece> {
    let bytes = bytes(seed, length);
    let block = Block::of(bytes.clone(), &CidOptions::default(), SystemTime::now())?;
    let name = canonical(block.key(), block.meta().cid_form);
    Ok(Piece { name, bytes, block })
}

/// As many different blocks as are asked for; sets with different seeds have none in common.
pub fn pieces(seed: u64, count: usize, length: usize) -> Outcome<Vec<Piece>> {
    (0..count as u64).map(|index| piece((seed << 32) + index + 1, length)).collect()
}
