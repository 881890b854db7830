//! Blocks to store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ipfs_persist_mount::block::{Block, Cid, CidForm, CidOptions, Version};

pub const SHA1: u64 = 0x11;
pub const SHA2_512: u64 = 0x13;
pub const BLAKE3: u64 = 0x1e;
pub const DOUBLE_SHA2_256: u64 = 0x56;

/// A form that no engine takes for granted.
pub const DAG_PB_V0: CidForm = CidForm::Known { version: Version::V0, codec: 0x70 };
pub const DAG_CBOR_V1: CidForm = CidForm::Known { version: Version::V1, codec: 0x71 };

/// A time with nanoseconds, so that a rounded one is seen.
pub fn time(number: u32) -> SystemTime {
    UNIX_EPOCH + Duration::new(1_700_000_000 + u64::from(number), 123_456_789)
}

/// A block of a few bytes, another one for each number: raw, CIDv1, sha2-256.
pub fn block(number: u32) -> Block {
    of(format!("block {number}").into_bytes(), &CidOptions::default(), number)
}

pub fn blocks(numbers: std::ops::Range<u32>) -> Vec<Block> {
    numbers.map(block).collect()
}

/// A block with this many bytes that do not compress.
pub fn sized(length: usize, number: u32) -> Block {
    let mut state = u64::from(number) << 32 | 0x9e37_79b9;
    let bytes = (0..length).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    of(bytes.collect(), &CidOptions::default(), number)
}

/// A block under another hash function.
pub fn hashed(bytes: &[u8], hash_code: u64, digest_len: usize) -> Block {
    of(bytes.to_vec(), &CidOptions { hash_code, digest_len, ..CidOptions::default() }, 0)
}

/// The same block, with another form and time.
pub fn restored(block: &Block, form: CidForm, mtime: SystemTime) -> Block {
    let cid = Cid::new(block.key().clone(), form).unwrap();
    Block::verify(&cid, block.bytes().clone(), mtime).unwrap()
}

/// Blocks of five hash functions and several digest lengths, among them neighbours in any order:
/// digests that are equal, and digests that begin with another one.
pub fn mixed(count: u32) -> Vec<Block> {
    let mut blocks = Vec::new();
    for number in 0..count {
        let bytes = format!("mixed {number}").into_bytes();
        let whole = hashed(&bytes, 0x12, 32);
        blocks.push(hashed(&bytes, 0x12, 20));
        blocks.push(hashed(&bytes, 0x12, 27));
        blocks.push(hashed(&bytes, SHA1, 20));
        blocks.push(hashed(&bytes, SHA2_512, 64));
        blocks.push(hashed(&bytes, BLAKE3, 32));
        // sha2-256 of a digest is what the doubled function gives for the bytes.
        blocks.push(hashed(whole.key().digest(), 0x12, 32));
        blocks.push(hashed(&bytes, DOUBLE_SHA2_256, 32));
        blocks.push(whole);
    }
    blocks
}

fn of(bytes: Vec<u8>, options: &CidOptions, number: u32) -> Block {
    Block::of(Bytes::from(bytes), options, time(number)).unwrap()
}
