//! The file name of a block, and the key of a file name.
//!
//! Invariant: the two are inverse to each other, and a name that no key has is nobody's block.

use std::ffi::CStr;

use data_encoding::BASE32_NOPAD;

use super::sharding::Sharding;
use crate::block::Key;

/// How block files end.
const EXTENSION: &str = ".data";

/// Where a block's file lies: `<shard>/<KEY>.data`, relative to the store's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    path: String,
    shard_chars: usize,
}

impl Place {
    pub(super) fn new(sharding: Sharding, key: &Key) -> Self {
        let text = BASE32_NOPAD.encode(key.as_bytes());
        let mut path = sharding.shard_of(&text);
        let shard_chars = path.len();
        path.push('/');
        path.push_str(&text);
        path.push_str(EXTENSION);
        Self { path, shard_chars }
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The directory.
    pub(super) fn shard(&self) -> &str {
        self.path.get(..self.shard_chars).unwrap_or_default()
    }
}

/// Whether a file name is one that blocks have, whatever the sharding.
pub(super) fn is_block_file(name: &CStr) -> bool {
    name.to_bytes().ends_with(EXTENSION.as_bytes())
}

/// The key of a file name in a shard's directory; `None` unless it is exactly the name that
/// the engine gives a block there.
pub(super) fn key_of_file(sharding: Sharding, shard: &str, name: &CStr) -> Option<Key> {
    let text = name.to_str().ok()?.strip_suffix(EXTENSION)?;
    let mut bytes = [0u8; Key::BYTES_MAX];
    let bytes = bytes.get_mut(..BASE32_NOPAD.decode_len(text.len()).ok()?)?;
    BASE32_NOPAD.decode_mut(text.as_bytes(), bytes).ok()?;
    let key = Key::from_bytes(bytes)?;
    sharding.is_shard_of(shard, text).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn parse(shard: &str, name: &str) -> Option<Key> {
        key_of_file(Sharding::DEFAULT, shard, &CString::new(name).unwrap())
    }

    #[test]
    fn names_round_trip_and_foreign_names_are_nobodys() {
        let key = Key::new(0x12, &[0x5a; 32]).unwrap();
        let place = Place::new(Sharding::DEFAULT, &key);
        let (shard, file) = place.path().split_once('/').unwrap();
        assert_eq!(shard, place.shard());
        assert_eq!(parse(shard, file), Some(key));

        let text = file.strip_suffix(".data").unwrap();
        let last = text.len() - 1;
        assert_eq!(parse("ZZ", file), None, "the wrong directory");
        assert_eq!(parse(shard, &file.to_lowercase()), None);
        assert_eq!(parse(shard, text), None);
        assert_eq!(parse(shard, &format!("{text}====.data")), None, "padded");
        assert_eq!(parse(shard, &format!("{}B.data", &text[..last])), None, "loose bits at the end");
        assert_eq!(parse(shard, ".data"), None);
        assert_eq!(parse(shard, &format!("{}.data", "A".repeat(300))), None);
    }
}
