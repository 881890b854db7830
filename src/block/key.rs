//! The key of a block: its multihash.
//!
//! Invariant: the bytes are `varint code, varint length, digest`, all minimal, nothing behind.

use std::cmp::Ordering;
use std::fmt;

use multihash::Multihash;
use unsigned_varint::encode;

/// The largest code: it has nine varint bytes (multiformats/unsigned-varint).
pub(super) const CODE_MAX: u64 = (1 << 63) - 1;

/// The multihash that identifies a block, as bytes: `varint code | varint length | digest`
/// (multiformats/multihash). At most [`Key::BYTES_MAX`] bytes.
///
/// Keys order by (digest, code, length), because a multihash begins with the code of its function
/// and would otherwise put all blocks of one function together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    bytes: Box<[u8]>,
    code: u64,
    digest_at: u8,
}

impl Key {
    /// The longest digest that any allowed function has, in bytes.
    pub const DIGEST_BYTES_MAX: usize = 128;
    /// The longest multihash: nine bytes of code, two of length, and the digest.
    pub const BYTES_MAX: usize = 9 + 2 + Self::DIGEST_BYTES_MAX;

    /// Builds a key from a function's code and its digest; `None` if the digest is longer than
    /// [`Key::DIGEST_BYTES_MAX`], or the code than nine varint bytes. Whether the function is
    /// allowed is not asked here.
    pub fn new(code: u64, digest: &[u8]) -> Option<Self> {
        if digest.len() > Self::DIGEST_BYTES_MAX || code > CODE_MAX {
            return None;
        }
        let (mut code_buffer, mut length_buffer) = (encode::u64_buffer(), encode::usize_buffer());
        let head = [encode::u64(code, &mut code_buffer), encode::usize(digest.len(), &mut length_buffer)];
        let digest_at = u8::try_from(head.iter().map(|number| number.len()).sum::<usize>()).ok()?;
        let mut bytes = Vec::with_capacity(usize::from(digest_at) + digest.len());
        head.iter().chain([&digest]).for_each(|part| bytes.extend_from_slice(part));
        Some(Self { bytes: bytes.into(), code, digest_at })
    }

    /// Reads a multihash. `None` unless it is exactly one multihash with minimal varints.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let hash = Multihash::<{ Self::DIGEST_BYTES_MAX }>::from_bytes(bytes).ok()?;
        Self::new(hash.code(), hash.digest()).filter(|key| key.as_bytes() == bytes)
    }

    /// The multihash bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The multicodec code of the hash function.
    pub fn code(&self) -> u64 {
        self.code
    }

    /// Whether the digest is the block itself.
    pub fn is_identity(&self) -> bool {
        self.code == 0
    }

    /// The digest alone.
    pub fn digest(&self) -> &[u8] {
        self.bytes.get(usize::from(self.digest_at)..).unwrap_or_default()
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digest().cmp(other.digest()).then(self.code.cmp(&other.code))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", data_encoding::HEXLOWER.encode(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multihash_round_trips_and_rejects_what_is_not_exactly_one() {
        let key = Key::new(0x12, &[7; 32]).unwrap();
        assert_eq!(Key::from_bytes(key.as_bytes()), Some(key.clone()));
        assert_eq!((key.code(), key.digest()), (0x12, &[7u8; 32][..]));

        let mut trailing = key.as_bytes().to_vec();
        trailing.push(0);
        assert_eq!(Key::from_bytes(&trailing), None);
        assert_eq!(Key::from_bytes(&key.as_bytes()[..33]), None);
        assert_eq!(Key::from_bytes(&[0x92, 0x00, 0x01, 0x07]), None, "non-minimal varint");
        assert_eq!(Key::new(0, &[0; 129]), None);
        assert_eq!(Key::new(u64::MAX, &[0; 32]), None, "a code of ten varint bytes");
    }

    #[test]
    fn keys_order_by_digest_then_code() {
        let mut keys = [Key::new(0x1e, &[1; 32]), Key::new(0x12, &[2; 32]), Key::new(0x12, &[1; 32])];
        keys.sort();
        assert_eq!(keys, [Key::new(0x12, &[1; 32]), Key::new(0x1e, &[1; 32]), Key::new(0x12, &[2; 32])]);
        assert!(Key::new(0x1e, &[1; 20]) < Key::new(0x12, &[1; 32]), "a prefix comes first");
    }
}
