//! Keys as they stand in an engine's index.
//!
//! Layout: the digest, padded with zero bytes to at least eight | the code as varint | the length of
//! the digest, one byte. A SHA-256 takes 34 bytes.
//!
//! Invariant: in the order of these bytes, positions
//! ([`digest_position`](crate::datastore::order::digest_position)) never go back.

use crate::block::Key;

/// The bytes that a position is made of.
const HEAD_BYTES: usize = 8;

/// The key's place in an index.
pub(super) fn encode(key: &Key) -> Vec<u8> {
    let digest = key.digest();
    let mut bytes = Vec::with_capacity(digest.len().max(HEAD_BYTES) + 4);
    bytes.extend_from_slice(digest);
    bytes.resize(digest.len().max(HEAD_BYTES), 0);
    let mut code = unsigned_varint::encode::u64_buffer();
    bytes.extend_from_slice(unsigned_varint::encode::u64(key.code(), &mut code));
    // A digest has at most 128 bytes.
    bytes.push(u8::try_from(digest.len()).unwrap_or(u8::MAX));
    bytes
}

/// The key at a place in an index; `None` if the bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<Key> {
    let (&length, rest) = bytes.split_last()?;
    let length = usize::from(length);
    let (head, code) = rest.split_at_checked(length.max(HEAD_BYTES))?;
    let (code, behind) = unsigned_varint::decode::u64(code).ok()?;
    let (digest, padding) = head.split_at_checked(length)?;
    let is_own = behind.is_empty() && padding.iter().all(|byte| *byte == 0);
    if is_own { Key::new(code, digest) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datastore::Position;
    use crate::datastore::order::{digest_position, first_digest_after};

    fn keys() -> Vec<Key> {
        let digests: [&[u8]; 9] = [
            &[],
            &[0],
            &[1],
            &[1, 0],
            &[1, 2],
            &[0xff; 7],
            &[0x7f; 20],
            &[0x80, 0, 0, 0, 0, 0, 0, 3],
            &[0xff; 128],
        ];
        let codes = [0, 0x12, 0x55, 0xb220, (1 << 63) - 1];
        codes.iter().flat_map(|code| digests.iter().map(|digest| Key::new(*code, digest).unwrap())).collect()
    }

    #[test]
    fn keys_round_trip_and_are_told_apart() {
        let mut seen = std::collections::HashSet::new();
        for key in keys() {
            let bytes = encode(&key);
            assert_eq!(decode(&bytes), Some(key));
            assert!(seen.insert(bytes));
        }
        assert_eq!(encode(&Key::new(0x12, &[7; 32]).unwrap()).len(), 34);
    }

    #[test]
    fn what_is_no_key_is_not_read_as_one() {
        let good = encode(&Key::new(0x12, &[7; 32]).unwrap());
        let longer = [&[7; 32][..], &[0x92, 0x00, 32]].concat();
        let mut padded = encode(&Key::new(0x12, &[7; 3]).unwrap());
        padded[5] = 1;
        for bad in [&[][..], &[0], &[0; 8], &good[..33], &good[1..], &longer, &padded, &[255; 40]] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn positions_never_go_back_and_none_is_skipped() {
        let mut all: Vec<(Vec<u8>, Position)> =
            keys().iter().map(|key| (encode(key), digest_position(key))).collect();
        all.sort();
        assert!(all.is_sorted_by_key(|(_, position)| *position));
        for (_, after) in &all {
            let behind: Vec<_> = match first_digest_after(*after) {
                Some(first) => all.iter().filter(|(bytes, _)| bytes[..] >= first[..]).collect(),
                None => Vec::new(),
            };
            assert!(behind.iter().all(|(_, position)| position > after));
            assert_eq!(behind.len(), all.iter().filter(|(_, position)| position > after).count());
        }
    }
}
