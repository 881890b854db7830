//! Why a text is not a CID.
//!
//! Invariant: making one costs no allocation, because most names that are tried are no CIDs and
//! nobody will read the reason.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    Empty,
    TooLong { limit: usize },
    NoMultibase { found: char },
    WrongDigit { found: char, at: usize, base: &'static str },
    PartialByte { base: &'static str },
    V0Length { found: usize },
    V0Prefixed,
    V0Content,
    VersionUnknown { found: u64 },
    NumberBroken { what: &'static str },
    DigestCut { announced: u64, found: usize },
    Trailing { extra: u64 },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Malformed::Empty => f.write_str("it is empty"),
            Malformed::TooLong { limit } => {
                write!(f, "it is longer than any CID: {limit} bytes are the most")
            }
            Malformed::NoMultibase { found } => {
                write!(f, "it begins neither with Qm nor with the letter of a multibase, but with {found:?}")
            }
            Malformed::WrongDigit { found, at, base } => {
                write!(f, "character {at} is {found:?}, which is no digit of {base}")
            }
            Malformed::PartialByte { base } => {
                write!(f, "its {base} digits are not whole bytes: some are missing or too many at the end")
            }
            Malformed::V0Length { found } => {
                write!(f, "a CID that begins with Qm has 46 characters, and this has {found}")
            }
            Malformed::V0Prefixed => f.write_str("a CID of version 0 has no multibase letter in front of it"),
            Malformed::V0Content => f.write_str("it does not decode to a sha2-256 multihash"),
            Malformed::VersionUnknown { found: 0 } => {
                f.write_str("it has the version number 0, and a CID of version 0 has no such number")
            }
            Malformed::VersionUnknown { found } => {
                write!(f, "it would be a CID of version {found}, and there are only 0 and 1")
            }
            Malformed::NumberBroken { what } => {
                write!(f, "its {what} is cut off or not written in the shortest way")
            }
            Malformed::DigestCut { announced, found } => {
                write!(f, "it is cut off: its digest should have {announced} bytes and has {found}")
            }
            Malformed::Trailing { extra } => write!(f, "it goes on for {extra} bytes behind its digest"),
        }
    }
}
