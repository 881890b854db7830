//! Which blocks were seen to be right in this mount, in bounded memory.
//!
//! Invariant: a key that is reported was inserted and not removed since; a key that was inserted
//! may be forgotten, which costs one more hashing and nothing else.

use std::collections::HashSet;
use std::mem;

use crate::block::Key;

/// Keys that one generation remembers. Two generations of 16-byte entries stay under 20 MiB.
const GENERATION_KEYS_MAX: usize = 1 << 18;

/// A set that forgets its older half when it is full.
#[derive(Debug, Default)]
pub struct VerifiedKeys {
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
}

impl VerifiedKeys {
    /// Whether the block was seen to be right.
    pub fn contains(&self, key: &Key) -> bool {
        let entry = entry(key);
        self.young.contains(&entry) || self.old.contains(&entry)
    }

    /// Notes that the block is right.
    pub fn insert(&mut self, key: &Key) {
        if self.young.len() >= GENERATION_KEYS_MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(entry(key));
    }

    /// Forgets a block.
    pub fn remove(&mut self, key: &Key) {
        let entry = entry(key);
        self.young.remove(&entry);
        self.old.remove(&entry);
    }
}

/// 128 bits that stand for a key: a hash, so that nobody can make two keys that share them.
fn entry(key: &Key) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(blake3::hash(key.as_bytes()).as_bytes().split_at(16).0);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        Key::new(0x12, &n.to_be_bytes().repeat(4)).unwrap()
    }

    /// > A mount remembers which blocks it has checked: the last 262,144 at least, and twice as many at
    /// > most.
    #[test]
    fn forgets_old_keys_and_never_invents_one() {
        let mut keys = VerifiedKeys::default();
        let remembered = 262_144;
        for n in 0..3 * remembered {
            keys.insert(&key(n));
        }
        let last = 3 * remembered - 1;
        assert!((last + 1 - remembered..=last).all(|n| keys.contains(&key(n))));
        assert!(!keys.contains(&key(0)), "the oldest is forgotten");
        assert!(!keys.contains(&key(last + 1)));
        assert!((keys.young.len() + keys.old.len()) as u64 <= 2 * remembered);
        keys.remove(&key(last));
        assert!(!keys.contains(&key(last)));
    }
}
