//! The blocks of the demo: text that compresses as JSON files do, and random bytes.
//!
//! Invariant: a block is a pure function of its number and size, and no two of a set are the same.

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::block::{Block, CidOptions};
use crate::{Error, Result};

/// Most blocks of one demo: the keys of all are held in memory.
pub const BLOCKS_MAX: u64 = 1_000_000;
/// The smallest block in which its number has room.
pub const SIZE_BYTES_MIN: u64 = 16;
/// The largest block that every mount takes by default.
pub const SIZE_BYTES_MAX: u64 = 2 << 20;

/// Where the pseudo-random numbers of all sets begin.
const SEED: u64 = 0x6970_6673_2d64_656d;

/// Some number of different blocks of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSet {
    count: u64,
    size_bytes: usize,
}

impl DataSet {
    /// # Errors
    /// [`Error::Usage`] for no blocks, too many, or a size outside of the limits.
    pub fn new(count: u64, size_bytes: u64) -> Result<Self> {
        let wrong = |what, hint| Err(Error::Usage { what, hint });
        if !(1..=BLOCKS_MAX).contains(&count) {
            let what = format!("the demo cannot be done with {count} blocks");
            return wrong(what, format!("use --blocks with a number from 1 to {BLOCKS_MAX}"));
        }
        if !(SIZE_BYTES_MIN..=SIZE_BYTES_MAX).contains(&size_bytes) {
            let what = format!("the demo cannot be done with blocks of {size_bytes} bytes");
            let hint = format!("use --size with a value from {SIZE_BYTES_MIN} to {SIZE_BYTES_MAX} (2MiB)");
            return wrong(what, hint);
        }
        Ok(Self { count, size_bytes: usize::try_from(size_bytes).unwrap_or(usize::MAX) })
    }

    /// How many blocks there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The size of each.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes as u64
    }

    /// The size of all of them.
    pub fn total_bytes(&self) -> u64 {
        self.count.saturating_mul(self.size_bytes())
    }

    /// The block with this number: the even ones are text, the odd ones random.
    pub fn block(&self, index: u64) -> Result<Block> {
        let bytes = if index.is_multiple_of(2) { self.text(index) } else { self.random(index) };
        Block::of(bytes.into(), &CidOptions::default(), SystemTime::now())
    }

    fn random(&self, index: u64) -> Vec<u8> {
        let mut numbers = Numbers::of(index);
        std::iter::repeat_with(|| numbers.next().to_le_bytes()).flatten().take(self.size_bytes).collect()
    }

    /// Records with keys that repeat and values that do not; the number of the block is in the first
    /// 16 bytes.
    fn text(&self, index: u64) -> Vec<u8> {
        let mut numbers = Numbers::of(index);
        let mut text = String::with_capacity(self.size_bytes + 256);
        while text.len() < self.size_bytes {
            let (sum, more) = (numbers.next(), numbers.next());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{{\"id\":\"{index:08x}\",\"peer\":\"node-{:03}\",\"bytes\":{},\"codec\":\"dag-pb\",\
                 \"seen\":\"2026-{:02}-{:02}T{:02}:{:02}:00Z\",\"pinned\":{},\"sum\":\"{sum:016x}\"}}",
                more % 200,
                more >> 8 & 0xf_ffff,
                (more >> 28) % 12 + 1,
                (more >> 32) % 28 + 1,
                (more >> 37) % 24,
                (more >> 42) % 60,
                more >> 63 == 1,
            );
        }
        let mut bytes = text.into_bytes();
        bytes.truncate(self.size_bytes);
        bytes
    }
}

/// Pseudo-random numbers (splitmix64): fast, and different for every seed from the first on.
struct Numbers(u64);

impl Numbers {
    fn of(index: u64) -> Self {
        // An odd factor, so that different numbers give different seeds.
        Self(SEED.wrapping_add(index.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn blocks_are_different_and_the_same_at_every_run() {
        for size in [SIZE_BYTES_MIN, 17, 4096] {
            let data = DataSet::new(2000, size).unwrap();
            let blocks: Vec<Block> = (0..data.count()).map(|index| data.block(index).unwrap()).collect();
            let keys: HashSet<_> = blocks.iter().map(|block| block.key().clone()).collect();
            assert_eq!(keys.len(), 2000, "{size}");
            assert!(blocks.iter().all(|block| block.bytes().len() as u64 == size));
            assert_eq!(data.block(7).unwrap().key(), blocks[7].key());
        }
    }

    #[test]
    fn half_of_them_repeat_themselves() {
        let data = DataSet::new(2, 16 << 10).unwrap();
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        let mut packed = |index| {
            std::io::Write::write_all(&mut writer, data.block(index).unwrap().bytes()).unwrap();
            writer.reset(Vec::new()).unwrap().len()
        };
        assert!((2000..6000).contains(&packed(0)), "text");
        assert!(packed(1) >= 16 << 10, "random");
    }

    #[test]
    fn sets_that_cannot_be_are_refused() {
        for (count, size) in [(0, 100), (BLOCKS_MAX + 1, 100), (1, 0), (1, 15), (1, SIZE_BYTES_MAX + 1)] {
            let error = DataSet::new(count, size).unwrap_err();
            assert!(matches!(error, Error::Usage { .. }), "{error:?}");
        }
        assert_eq!(DataSet::new(BLOCKS_MAX, SIZE_BYTES_MAX).unwrap().total_bytes(), 1_000_000 << 21);
    }
}
