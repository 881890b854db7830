//! File names: which are CIDs, which are meant as CIDs and are none, and which are passing.
//!
//! Invariant: a name that somebody meant as a CID is never taken for an ordinary name.

use super::Cid;
use super::cid::Unread;
use super::multibase::{BASE58BTC, Multibase};
use crate::{Error, Result};

/// The longest file name in bytes, as everywhere on Linux.
const NAME_BYTES_MAX: usize = 255;

/// What a file name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// The CID of a block.
    Cid(Cid),
    /// Any other name.
    Plain,
}

impl Name {
    /// Reads a file name. One that is no UTF-8 is an ordinary name.
    ///
    /// # Errors
    ///
    /// [`Error::NameTooLong`]; [`Error::NameInvalid`] for a name that is meant as a CID and is
    /// none; [`Error::HashUnknown`] and [`Error::HashRefused`] for a CID that no block can have.
    pub fn parse(name: &[u8]) -> Result<Self> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::NameTooLong { length_bytes: name.len() });
        }
        let Ok(text) = std::str::from_utf8(name) else {
            return Ok(Name::Plain);
        };
        match Cid::read(text) {
            Ok(cid) => Ok(Name::Cid(cid)),
            Err(Unread::Refused(_)) if is_by_chance(text) => Ok(Name::Plain),
            Err(Unread::Refused(error)) => Err(error),
            Err(Unread::Malformed(why)) if is_meant_as_cid(text) => {
                Err(Error::NameInvalid { name: text.to_owned(), why: why.to_string() })
            }
            Err(Unread::Malformed(_)) => Ok(Name::Plain),
        }
    }
}

/// How CIDs of today begin, whatever their codec: the version, and the first bits of the codec.
const USUAL_STARTS: [&str; 17] = [
    "zQm", "zb2", "zdj", "zdp", "bae", "baf", "bag", "bah", "BAE", "BAF", "BAG", "BAH", "f01", "F01", "k51",
    "uAX", "mAX",
];

/// Fewer characters may be an ordinary word; every usual CID has more.
const MEANT_CHARS_MIN: usize = 46;
/// The same for `Qm`, which is rarer in words, and where a cut CIDv0 would fall below 46.
const MEANT_V0_CHARS_MIN: usize = 40;

/// A CID with fewer characters has a digest of four bytes or less, which nobody means.
const CHANCE_CHARS_MAX: usize = 11;

/// Digests in hex, which begin with `f01` now and then: sha2-224, -256, -384 and -512.
const HEX_DIGEST_CHARS: [usize; 4] = [56, 64, 96, 128];

/// Whether a name that reads as a CID, as one that no block can have, does so by chance. One in a few
/// hundred of the temporary names of zip does: `ziLE2Zbu`.
fn is_by_chance(text: &str) -> bool {
    text.len() <= CHANCE_CHARS_MAX && !USUAL_STARTS.iter().any(|start| text.starts_with(start))
}

/// Whether a name that is no CID was meant as one: long, with a usual start, and wholly in the
/// digits of its multibase.
fn is_meant_as_cid(text: &str) -> bool {
    if text.starts_with("Qm") {
        return text.len() >= MEANT_V0_CHARS_MIN && BASE58BTC.first_wrong(text).is_none();
    }
    if text.len() < MEANT_CHARS_MIN || !USUAL_STARTS.iter().any(|start| text.starts_with(start)) {
        return false;
    }
    if matches!(text.as_bytes().first(), Some(b'f' | b'F')) && HEX_DIGEST_CHARS.contains(&text.len()) {
        return false;
    }
    Multibase::split(text).is_some_and(|(multibase, digits)| multibase.first_wrong(digits).is_none())
}

/// Whether a name is one that a tool gives a file until it renames it: rsync's `.NAME.XXXXXX`,
/// vim's `.NAME.sw?`, or `.NAME.tmp`.
///
/// rsync's six characters are letters and digits, and all of them lower-case letters only once in
/// two hundred times, while the ends of ordinary hidden files are: `.env.sample`. Behind a CID they
/// are rsync's in any case.
pub fn is_temporary(name: &[u8]) -> bool {
    let Some(hidden) = name.strip_prefix(b".") else {
        return false;
    };
    let Some(dot) = hidden.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    let (stem, end) = hidden.split_at(dot);
    if stem.is_empty() {
        return false;
    }
    match end {
        b".tmp" => true,
        [b'.', b's', b'w', last] => last.is_ascii_lowercase(),
        [b'.', end @ ..] if end.len() == 6 => {
            end.iter().all(u8::is_ascii_alphanumeric)
                && (!end.iter().all(u8::is_ascii_lowercase) || matches!(Name::parse(stem), Ok(Name::Cid(_))))
        }
        _ => false,
    }
}
