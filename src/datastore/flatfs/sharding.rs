//! Which directory a block's file lies in, and the listing order that follows from it.
//!
//! Invariant: `position` is monotonic in (shard, digest, code), the order in which the engine
//! lists, and below 2^62.

use std::fmt;

use data_encoding::BASE32_NOPAD;

use crate::block::Key;
use crate::datastore::Position;
use crate::datastore::order::digest_bits;

/// The line that `SHARDING` holds, up to the function's name.
const SPEC_PREFIX: &str = "/repo/flatfs/shard/v1/";
/// The longest shard: a directory name has at most 255 bytes.
const SHARD_CHARS_MAX: usize = 255;
/// What a name that is too short for its shard is filled up with.
pub(super) const PADDING: char = '_';

/// Bits of a position.
const POSITION_BITS: u32 = 62;
/// Bits of a position that each character of the shard takes.
const CHAR_BITS: u32 = 6;
/// How many characters of the shard fit.
const POSITION_CHARS: usize = (POSITION_BITS / CHAR_BITS) as usize;
/// The characters of shards in the order in which directory names sort; the index is the code.
pub(super) const ALPHABET: &[u8] = b"234567ABCDEFGHIJKLMNOPQRSTUVWXYZ_";

/// Which characters of a key's base32 text make up the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Prefix,
    Suffix,
    NextToLast,
}

/// A sharding function with its parameter, as `SHARDING` states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sharding {
    function: Function,
    chars: usize,
}

impl Sharding {
    /// What Kubo uses, and what new stores get: the two characters before the last one.
    pub(super) const DEFAULT: Sharding = Sharding { function: Function::NextToLast, chars: 2 };

    /// Reads the content of `SHARDING`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, chars) = text.trim().strip_prefix(SPEC_PREFIX)?.split_once('/')?;
        let function = match name {
            "prefix" => Function::Prefix,
            "suffix" => Function::Suffix,
            "next-to-last" => Function::NextToLast,
            _ => return None,
        };
        let chars = chars.parse().ok().filter(|chars| (1..=SHARD_CHARS_MAX).contains(chars))?;
        Some(Self { function, chars })
    }

    /// The shard of a key's base32 text (which is ASCII).
    pub(super) fn shard_of(&self, text: &str) -> String {
        let chars = self.chars_of(text);
        let padding = std::iter::repeat_n(PADDING, self.chars.saturating_sub(chars.len()));
        match self.function {
            Function::Prefix => chars.chars().chain(padding).collect(),
            Function::Suffix | Function::NextToLast => padding.chain(chars.chars()).collect(),
        }
    }

    /// Whether `shard` is the shard of the text.
    pub(super) fn is_shard_of(&self, shard: &str, text: &str) -> bool {
        let chars = self.chars_of(text);
        if chars.len() == self.chars { chars == shard } else { self.shard_of(text) == shard }
    }

    /// The part of the text that makes the shard, before it is filled up.
    fn chars_of<'t>(&self, text: &'t str) -> &'t str {
        let (from, to) = match self.function {
            Function::Prefix => (0, self.chars.min(text.len())),
            Function::Suffix => (text.len().saturating_sub(self.chars), text.len()),
            Function::NextToLast => {
                let to = text.len().saturating_sub(1);
                (to.saturating_sub(self.chars), to)
            }
        };
        text.get(from..to).unwrap_or_default()
    }

    /// Whether a directory name can be a shard of this function.
    pub(super) fn is_shard(&self, name: &str) -> bool {
        name.len() == self.chars && name.bytes().all(|byte| ALPHABET.contains(&byte))
    }

    /// Where a key stands: the codes of the shard's first characters, then the digest's first
    /// bits. A shard that does not fit leaves no room for the digest, for the characters that are
    /// cut off come before it in the order.
    pub(super) fn position(&self, shard: &str, key: &Key) -> Position {
        self.position_behind(self.shard_position(shard), key)
    }

    /// The same, for a key whose shard's position is known.
    pub(super) fn position_behind(&self, shard_position: Position, key: &Key) -> Position {
        match self.digest_bits_in_position() {
            0 => shard_position,
            bits => shard_position | digest_bits(key.digest(), bits),
        }
    }

    /// The position of the first key that a shard can hold.
    pub(super) fn shard_position(&self, shard: &str) -> Position {
        let chars = self.chars.min(POSITION_CHARS) as u32;
        let codes = shard.bytes().take(POSITION_CHARS).fold(0u64, |head, byte| {
            let code = ALPHABET.iter().position(|known| *known == byte).unwrap_or(0);
            head << CHAR_BITS | code as u64
        });
        codes << (POSITION_BITS - chars * CHAR_BITS)
    }

    /// Where a key stands, without writing down the name of its shard.
    pub(super) fn position_of(&self, key: &Key) -> Position {
        let mut buffer = [0; (Key::BYTES_MAX * 8).div_ceil(5)];
        let text = buffer.get_mut(..BASE32_NOPAD.encode_len(key.as_bytes().len())).unwrap_or_default();
        BASE32_NOPAD.encode_mut(key.as_bytes(), text);
        let text = str::from_utf8(text).unwrap_or_default();
        let chars = self.chars_of(text);
        let shard = if chars.len() == self.chars { chars } else { &self.shard_of(text) };
        self.position(shard, key)
    }

    /// The first characters of the shard that holds the keys right after `position`. Any shard
    /// that sorts before them lies wholly at or before the position.
    pub(super) fn first_shard(&self, position: Position) -> String {
        let mut start = String::new();
        for index in 1..=self.chars.min(POSITION_CHARS) as u32 {
            let code =
                position.checked_shr(POSITION_BITS - index * CHAR_BITS).unwrap_or(0) & ((1 << CHAR_BITS) - 1);
            match ALPHABET.get(code as usize) {
                Some(char) => start.push(char::from(*char)),
                None => return start + "~",
            }
        }
        start
    }

    fn digest_bits_in_position(&self) -> u32 {
        if self.chars > POSITION_CHARS { 0 } else { POSITION_BITS - self.chars as u32 * CHAR_BITS }
    }
}

impl fmt::Display for Sharding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.function {
            Function::Prefix => "prefix",
            Function::Suffix => "suffix",
            Function::NextToLast => "next-to-last",
        };
        write!(f, "{SPEC_PREFIX}{name}/{}", self.chars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharding(text: &str) -> Sharding {
        Sharding::parse(text).unwrap()
    }

    #[test]
    fn specs_round_trip_and_others_are_refused() {
        for text in ["prefix/3", "suffix/2", "next-to-last/2", "prefix/255"] {
            let spec = format!("{SPEC_PREFIX}{text}");
            assert_eq!(sharding(&format!("{spec}\n")).to_string(), spec);
        }
        for text in ["", "auto", "/repo/flatfs/shard/v2/prefix/3", "/repo/flatfs/shard/v1/prefix/0"] {
            assert_eq!(Sharding::parse(text), None, "{text}");
        }
        assert_eq!(Sharding::parse("/repo/flatfs/shard/v1/prefix/256"), None);
        assert_eq!(Sharding::parse("/repo/flatfs/shard/v1/middle/2"), None);
    }

    #[test]
    fn shards_of_long_and_short_names() {
        let rows = [
            ("prefix/3", "CIQABC", "CIQ"),
            ("prefix/3", "CI", "CI_"),
            ("suffix/2", "CIQABC", "BC"),
            ("suffix/2", "C", "_C"),
            ("next-to-last/2", "CIQABC", "AB"),
            ("next-to-last/2", "CI", "_C"),
            ("next-to-last/2", "", "__"),
        ];
        for (spec, text, shard) in rows {
            assert_eq!(sharding(&format!("{SPEC_PREFIX}{spec}")).shard_of(text), shard, "{spec} {text}");
        }
    }

    #[test]
    fn positions_grow_with_shard_then_digest() {
        let keys = [&[][..], &[0, 1], &[3; 20], &[0xff; 32]].map(|digest| Key::new(0x12, digest).unwrap());
        for chars in [1, 2, 3, 9, 10, 11, 40] {
            let sharding = sharding(&format!("{SPEC_PREFIX}prefix/{chars}"));
            let mut last = 0;
            for char in ["2", "7", "A", "Z", "_"] {
                let shard = char.repeat(chars);
                for key in &keys {
                    let position = sharding.position(&shard, key);
                    assert!(position >= last && position < 1 << POSITION_BITS, "{chars} {char} {key:?}");
                    assert!(shard.starts_with(&sharding.first_shard(position)));
                    last = position;
                }
            }
        }
    }

    #[test]
    fn a_position_is_that_of_the_shard_which_has_the_key() {
        for spec in ["prefix/1", "prefix/12", "suffix/2", "next-to-last/2", "next-to-last/200"] {
            let sharding = sharding(&format!("{SPEC_PREFIX}{spec}"));
            for digest in [&[][..], &[7], &[0x5a; 32], &[0xff; 128]] {
                let key = Key::new(0x12, digest).unwrap();
                let shard = sharding.shard_of(&BASE32_NOPAD.encode(key.as_bytes()));
                assert_eq!(sharding.position_of(&key), sharding.position(&shard, &key), "{spec} {key:?}");
            }
        }
    }

    #[test]
    fn a_position_that_no_key_has_starts_behind_all_smaller_shards() {
        let start = Sharding::DEFAULT.first_shard(63 << 50);
        assert!(start.as_str() > "2_" && start.as_str() < "32", "{start}");
        assert!(Sharding::DEFAULT.first_shard(u64::MAX).as_str() > "__");
    }
}
