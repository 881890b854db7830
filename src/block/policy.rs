//! Which hash functions, and which lengths of their digests, may name a block.
//!
//! Invariant: every function that [`check_allowed`] accepts is a row of the table here, and a row
//! is all that it takes: name, code, lengths, and how hashing starts.
//!
//! The rule is the one that IPFS implementations apply to blocks from the network (boxo,
//! `verifcid`), with sha1, which git objects need. Codes are those of the multicodec table.

use super::Key;
use super::algorithm::{self, Algorithm};
use crate::{Error, Result};

/// The code of the identity function, whose digest is the data itself.
pub(super) const IDENTITY: u64 = 0x00;
/// The code of sha2-256.
pub(super) const SHA2_256: u64 = 0x12;

/// Shorter digests are refused, except for identity.
const DIGEST_BYTES_MIN: usize = 20;

pub(super) const IDENTITY_TOO_LONG: &str = "an identity CID holds at most 128 bytes";

/// A hash function that may name blocks.
#[derive(Debug, Clone, Copy)]
pub struct HashFunction {
    /// Its name in the multicodec table, for example `sha2-256`.
    pub name: &'static str,
    /// Its multicodec code.
    pub code: u64,
    /// The length of its digest where nobody asked for another; for identity the longest.
    pub digest_bytes: usize,
    shortest_bytes: usize,
    longest_bytes: usize,
    start: fn() -> Box<dyn Algorithm>,
}

impl HashFunction {
    /// Whether a digest of this many bytes is accepted.
    pub fn allows(&self, digest_len: usize) -> bool {
        (self.shortest_bytes..=self.longest_bytes).contains(&digest_len)
    }

    /// The state before the first byte.
    pub(super) fn start(&self) -> Box<dyn Algorithm> {
        (self.start)()
    }

    const fn fixed(name: &'static str, code: u64, bytes: usize, start: fn() -> Box<dyn Algorithm>) -> Self {
        Self {
            name,
            code,
            digest_bytes: bytes,
            shortest_bytes: DIGEST_BYTES_MIN,
            longest_bytes: bytes,
            start,
        }
    }

    const fn extendable(
        name: &'static str,
        code: u64,
        digest_bytes: usize,
        start: fn() -> Box<dyn Algorithm>,
    ) -> Self {
        let longest_bytes = Key::DIGEST_BYTES_MAX;
        Self { name, code, digest_bytes, shortest_bytes: DIGEST_BYTES_MIN, longest_bytes, start }
    }
}

/// Rows for functions that exist in many lengths, each a function of its own: `$bits` wide, with
/// the code `$base` plus its length in bytes.
macro_rules! rows_by_length {
    ($prefix:literal, $base:literal, $start:path, $($bits:literal)*) => {
        [$(HashFunction {
            name: concat!($prefix, $bits),
            code: $base + $bits / 8,
            digest_bytes: $bits / 8,
            shortest_bytes: $bits / 8,
            longest_bytes: $bits / 8,
            start: || $start($bits / 8),
        }),*]
    };
}

/// The commonest first: lookups go from the top.
static FUNCTIONS: [HashFunction; 15] = [
    HashFunction::fixed("sha2-256", SHA2_256, 32, algorithm::fixed::<sha2::Sha256>),
    HashFunction::extendable("blake3", 0x1e, 32, algorithm::blake3),
    HashFunction::fixed("sha2-512", 0x13, 64, algorithm::fixed::<sha2::Sha512>),
    HashFunction::fixed("sha1", 0x11, 20, algorithm::fixed::<sha1::Sha1>),
    HashFunction::fixed("sha3-224", 0x17, 28, algorithm::fixed::<sha3::Sha3_224>),
    HashFunction::fixed("sha3-256", 0x16, 32, algorithm::fixed::<sha3::Sha3_256>),
    HashFunction::fixed("sha3-384", 0x15, 48, algorithm::fixed::<sha3::Sha3_384>),
    HashFunction::fixed("sha3-512", 0x14, 64, algorithm::fixed::<sha3::Sha3_512>),
    HashFunction::fixed("keccak-224", 0x1a, 28, algorithm::fixed::<sha3::Keccak224>),
    HashFunction::fixed("keccak-256", 0x1b, 32, algorithm::fixed::<sha3::Keccak256>),
    HashFunction::fixed("keccak-384", 0x1c, 48, algorithm::fixed::<sha3::Keccak384>),
    HashFunction::fixed("keccak-512", 0x1d, 64, algorithm::fixed::<sha3::Keccak512>),
    HashFunction::extendable("shake-256", 0x19, 64, algorithm::shake_256),
    HashFunction::fixed("dbl-sha2-256", 0x56, 32, algorithm::dbl_sha2_256),
    HashFunction {
        name: "identity",
        code: IDENTITY,
        digest_bytes: Key::DIGEST_BYTES_MAX,
        shortest_bytes: 0,
        longest_bytes: Key::DIGEST_BYTES_MAX,
        start: algorithm::identity,
    },
];

#[rustfmt::skip]
static BLAKE2B: [HashFunction; 45] = rows_by_length!(
    "blake2b-", 0xb200, algorithm::blake2b,
    160 168 176 184 192 200 208 216 224 232 240 248 256 264 272 280 288 296 304 312 320 328 336
    344 352 360 368 376 384 392 400 408 416 424 432 440 448 456 464 472 480 488 496 504 512
);

#[rustfmt::skip]
static BLAKE2S: [HashFunction; 13] = rows_by_length!(
    "blake2s-", 0xb240, algorithm::blake2s,
    160 168 176 184 192 200 208 216 224 232 240 248 256
);

/// Every function that may name blocks.
pub fn functions() -> impl Iterator<Item = &'static HashFunction> {
    FUNCTIONS.iter().chain(&BLAKE2B).chain(&BLAKE2S)
}

/// Looks a function up by its multicodec name.
pub fn function_by_name(name: &str) -> Option<&'static HashFunction> {
    functions().find(|function| function.name == name)
}

/// Looks a function up by its multicodec code.
pub fn function_by_code(code: u64) -> Option<&'static HashFunction> {
    functions().find(|function| function.code == code)
}

/// The names of all functions that may name blocks.
pub fn hash_names() -> impl Iterator<Item = &'static str> {
    functions().map(|function| function.name)
}

/// The same in one line for a person, where the many lengths of blake2 are written as ranges.
pub fn hash_names_line() -> String {
    let mut line = String::new();
    for function in &FUNCTIONS {
        line.push_str(function.name);
        line.push_str(", ");
    }
    line.push_str("blake2b-160 to blake2b-512 and blake2s-160 to blake2s-256 in steps of 8");
    line
}

/// Whether blocks may be named by this function with a digest of this length.
///
/// # Errors
///
/// [`Error::HashUnknown`] for a code that is no hash function of the multicodec table, and
/// [`Error::HashRefused`] for one that is and may not name blocks, or not with this length.
pub fn check_allowed(code: u64, digest_len: usize) -> Result<()> {
    allowed(code, digest_len).map(|_| ())
}

pub(super) fn allowed(code: u64, digest_len: usize) -> Result<&'static HashFunction> {
    let Some(function) = function_by_code(code) else {
        return Err(match REFUSED.iter().find(|row| (row.first..=row.last).contains(&code)) {
            Some(row) => Error::HashRefused { code, why: row.why },
            None => Error::HashUnknown { code },
        });
    };
    if function.allows(digest_len) {
        return Ok(function);
    }
    let why = if code == IDENTITY {
        IDENTITY_TOO_LONG
    } else if function.shortest_bytes == function.longest_bytes {
        "its digest has one length only, and this is another"
    } else if digest_len < DIGEST_BYTES_MIN {
        "a digest of less than 20 bytes is too short to be safe"
    } else {
        "the digest is longer than this function can make it"
    };
    Err(Error::HashRefused { code, why })
}

/// Hash functions of the multicodec table that may not name blocks.
struct Refused {
    first: u64,
    last: u64,
    why: &'static str,
}

macro_rules! refused {
    ($($reason:literal: $($first:literal ..= $last:literal $name:literal),*;)*) => {
        &[$($(Refused { first: $first, last: $last, why: concat!($name, " ", $reason) }),*),*]
    };
}

#[rustfmt::skip]
static REFUSED: &[Refused] = refused! {
    "is not among the functions that IPFS accepts for blocks":
        0x18..=0x18 "shake-128",
        0x20..=0x20 "sha2-384",
        0x1013..=0x1015 "sha2-224, sha2-512-224 or sha2-512-256",
        0x1052..=0x1055 "ripemd",
        0x1100..=0x1100 "x11",
        0x1d01..=0x1d01 "kangarootwelve",
        0x534d..=0x534d "sm3-256",
        0x7012..=0x7012 "sha256a",
        0xb301..=0xb3e0 "skein";
    "is broken, two blocks can be made to share a CID":
        0xd4..=0xd4 "md4",
        0xd5..=0xd5 "md5";
    "is too short to be safe":
        0xb201..=0xb213 "blake2b of less than 160 bits",
        0xb241..=0xb253 "blake2s of less than 160 bits";
    "is a checksum and no cryptographic hash":
        0x22..=0x23 "murmur3",
        0x132..=0x132 "crc32",
        0x164..=0x164 "crc64",
        0x1022..=0x1022 "murmur3-x64-128",
        0xb3e1..=0xb3e4 "xxh",
        0xcc01..=0xcc01 "iscc";
    "names trees or pieces and not the bytes of a block":
        0x1012..=0x1012 "sha2-256-trunc254-padded",
        0xb401..=0xb402 "poseidon",
        0xb502..=0xb502 "ssz-sha2-256-bmt";
};
