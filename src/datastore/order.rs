//! The order of engines that sort by (digest, code, length): positions and where a page begins.
//!
//! Invariant: `digest_position` is monotonic in the order of [`Key`], and every key whose position
//! is greater than `p` is at or after `first_after(p)`.

use super::Position;
use crate::block::Key;

/// The bits of a position.
const POSITION_BITS: u32 = 62;

/// The first 62 bits of a key's digest; a shorter digest is padded with zeros.
pub fn digest_position(key: &Key) -> Position {
    digest_bits(key.digest(), POSITION_BITS)
}

/// The first `count` (at most 64) bits of a digest as a number, padded with zeros at the end.
pub fn digest_bits(digest: &[u8], count: u32) -> u64 {
    let mut head = [0u8; 8];
    for (to, from) in head.iter_mut().zip(digest) {
        *to = *from;
    }
    u64::from_be_bytes(head).checked_shr(64 - count).unwrap_or(0)
}

/// How the digests begin whose position is greater than `after`; `None` if none's is.
pub fn first_digest_after(after: Position) -> Option<[u8; 8]> {
    let next = after.checked_add(1).filter(|next| *next < 1 << POSITION_BITS)?;
    Some((next << (64 - POSITION_BITS)).to_be_bytes())
}

/// The smallest possible key whose position is greater than `after`; `None` if no key's is.
pub fn first_after(after: Position) -> Option<Key> {
    let digest = first_digest_after(after)?;
    let length = digest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Key::new(0, digest.get(..length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digest: &[u8]) -> Key {
        Key::new(0x12, digest).unwrap()
    }

    #[test]
    fn positions_grow_with_keys_and_stay_below_the_limit() {
        let mut keys = [key(&[]), key(&[0]), key(&[0, 1]), key(&[1; 20]), key(&[0xff; 32])];
        keys.sort();
        let positions = keys.iter().map(digest_position).collect::<Vec<_>>();
        assert!(positions.is_sorted());
        assert_eq!(*positions.last().unwrap(), (1 << 62) - 1);
    }

    #[test]
    fn the_first_key_after_a_position_leaves_none_out() {
        for digest in [&[0u8; 4][..], &[0x12, 0x34], &[0x12, 0x34, 0, 0, 0, 0, 0, 3], &[0x7f; 20]] {
            let start = first_after(digest_position(&key(digest))).unwrap();
            assert!(start > key(digest));
            assert!(digest_position(&start) == digest_position(&key(digest)) + 1);
        }
        assert_eq!(first_after((1 << 62) - 1), None);
        assert_eq!(first_after(u64::MAX), None);
    }
}
