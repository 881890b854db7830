//! CIDs: reading every spelling strictly, and writing the canonical one.
//!
//! Invariant: a [`Cid`] names a block that could exist, for its hash function and digest length
//! are allowed; and the text that [`canonical`] gives parses to the same key.

use std::fmt;

use cid::CidGeneric;
use unsigned_varint::{decode, encode};

use super::key::CODE_MAX;
use super::malformed::Malformed;
use super::multibase::{BASE58BTC, Multibase};
use super::policy::{SHA2_256, check_allowed};
use super::{CidForm, Key, Version};
use crate::{Error, Result};

/// The codec of a CIDv0.
pub(super) const DAG_PB: u64 = 0x70;
/// The codec that a block has of which no other is known.
pub(super) const RAW: u64 = 0x55;

/// Length of every CIDv0 in characters.
const V0_CHARS: usize = 46;
/// The longest spelling that a CID can have: base2, with a prefix and one digit per bit.
const TEXT_BYTES_MAX: usize = 1 + 8 * (1 + 9 + Key::BYTES_MAX);

/// A content identifier: the key of a block, and the version and codec it is meant under.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cid {
    key: Key,
    form: CidForm,
}

impl Cid {
    /// Reads a CID in any of the twenty multibases, or a CIDv0.
    ///
    /// Strict where other readers are not: nothing may follow the digest, numbers are written in
    /// the shortest way, and a CIDv0 has no multibase in front.
    ///
    /// # Errors
    ///
    /// [`Error::NameInvalid`] with the reason, and those of [`check_allowed`].
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|unread| match unread {
            Unread::Malformed(why) => Error::NameInvalid { name: text.to_owned(), why: why.to_string() },
            Unread::Refused(error) => error,
        })
    }

    /// Names `key` in a given form; [`CidForm::Unknown`] reads as CIDv1 raw.
    ///
    /// # Errors
    ///
    /// Those of [`check_allowed`], and [`Error::NameInvalid`] for a version 0 that is not dag-pb
    /// with a whole sha2-256, or for a codec beyond 63 bits.
    pub fn new(key: Key, form: CidForm) -> Result<Self> {
        check_allowed(key.code(), key.digest().len())?;
        let why = match form {
            CidForm::Known { version: Version::V0, codec } if !is_v0(&key, codec) => {
                "version 0 is for dag-pb with sha2-256 only"
            }
            CidForm::Known { codec, .. } if codec > CODE_MAX => "codecs have at most 63 bits",
            CidForm::Known { .. } | CidForm::Unknown => return Ok(Self { key, form }),
        };
        Err(Error::NameInvalid { name: canonical(&key, CidForm::RAW_V1), why: why.to_owned() })
    }

    /// The multihash.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The version and codec.
    pub fn form(&self) -> CidForm {
        self.form
    }

    /// Whether the block is in the CID itself.
    pub fn is_identity(&self) -> bool {
        self.key.is_identity()
    }

    /// The block, if it is in the CID itself.
    pub fn identity_bytes(&self) -> Option<&[u8]> {
        self.is_identity().then(|| self.key.digest())
    }

    pub(super) fn read(text: &str) -> Result<Self, Unread> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Malformed::TooLong { limit: TEXT_BYTES_MAX }.into());
        }
        if text.starts_with("Qm") {
            return read_v0(text).map_err(Unread::from);
        }
        let Some((multibase, digits)) = Multibase::split(text) else {
            let why = text.chars().next().map_or(Malformed::Empty, |found| Malformed::NoMultibase { found });
            return Err(why.into());
        };
        let Some(bytes) = multibase.decode(digits) else {
            return Err(not_decoded(multibase, digits, 2).into());
        };
        read_v1(&bytes)
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&canonical(&self.key, self.form))
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({})", canonical(&self.key, self.form))
    }
}

/// Why a text could not be read as a CID.
pub(super) enum Unread {
    /// It is none.
    Malformed(Malformed),
    /// It is one that no block may have.
    Refused(Error),
}

impl From<Malformed> for Unread {
    fn from(why: Malformed) -> Self {
        Unread::Malformed(why)
    }
}

fn read_v0(text: &str) -> Result<Cid, Malformed> {
    let decoded = BASE58BTC.decode(text);
    if decoded.is_none() {
        return Err(not_decoded(&BASE58BTC, text, 1));
    }
    if text.len() != V0_CHARS {
        return Err(Malformed::V0Length { found: text.len() });
    }
    let key = decoded.and_then(|bytes| Key::from_bytes(&bytes)).ok_or(Malformed::V0Content)?;
    if !is_v0(&key, DAG_PB) {
        return Err(Malformed::V0Content);
    }
    Ok(Cid { key, form: CidForm::Known { version: Version::V0, codec: DAG_PB } })
}

fn read_v1(bytes: &[u8]) -> Result<Cid, Unread> {
    if bytes.starts_with(&[SHA2_256 as u8, 32]) {
        return Err(Malformed::V0Prefixed.into());
    }
    let Some(read) = CidGeneric::<{ Key::DIGEST_BYTES_MAX }>::try_from(bytes).ok().filter(|read| {
        // The reader stops where the digest ends.
        read.version() == cid::Version::V1 && read.encoded_len() == bytes.len() && read.codec() <= CODE_MAX
    }) else {
        return Err(why_not_v1(bytes));
    };
    check_allowed(read.hash().code(), read.hash().digest().len()).map_err(Unread::Refused)?;
    let key = Key::new(read.hash().code(), read.hash().digest());
    let key = key.ok_or(Malformed::NumberBroken { what: "hash function" })?;
    Ok(Cid { key, form: CidForm::Known { version: Version::V1, codec: read.codec() } })
}

/// Why bytes that were not read as a CIDv1 are none, or none of an allowed block.
fn why_not_v1(bytes: &[u8]) -> Unread {
    match split_v1(bytes) {
        Err(why) => why.into(),
        Ok((code, announced, digest)) => match (digest.len() as u64).checked_sub(announced) {
            // A digest too long for the reader.
            Some(0) => match check_allowed(code, digest.len()) {
                Err(error) => Unread::Refused(error),
                Ok(()) => Malformed::NumberBroken { what: "digest length" }.into(),
            },
            Some(extra) => Malformed::Trailing { extra }.into(),
            None => Malformed::DigestCut { announced, found: digest.len() }.into(),
        },
    }
}

/// The hash function's code, the announced length of the digest, and what stands there.
fn split_v1(bytes: &[u8]) -> Result<(u64, u64, &[u8]), Malformed> {
    let number = |bytes, what| {
        let read = decode::u64(bytes).ok().filter(|(number, _)| *number <= CODE_MAX);
        read.ok_or(Malformed::NumberBroken { what })
    };
    let (version, rest) = number(bytes, "version")?;
    if version != 1 {
        return Err(Malformed::VersionUnknown { found: version });
    }
    let (_, rest) = number(rest, "codec")?;
    let (code, rest) = number(rest, "hash function")?;
    let (announced, digest) = number(rest, "digest length")?;
    Ok((code, announced, digest))
}

/// `first` is the place of the first digit in the whole text, counted from one as people do.
fn not_decoded(multibase: &Multibase, digits: &str, first: usize) -> Malformed {
    match multibase.first_wrong(digits) {
        Some((at, found)) => Malformed::WrongDigit { found, at: at + first, base: multibase.name },
        None => Malformed::PartialByte { base: multibase.name },
    }
}

/// Whether a key with this codec can be written as CIDv0.
pub(super) fn is_v0(key: &Key, codec: u64) -> bool {
    codec == DAG_PB && key.code() == SHA2_256 && key.digest().len() == 32
}

/// The canonical spelling: `Qm...` if the form is version 0 and the key can have it, otherwise
/// CIDv1 in lower-case base32. A form that is not known reads as raw.
pub fn canonical(key: &Key, form: CidForm) -> String {
    let codec = match form {
        CidForm::Unknown => RAW,
        CidForm::Known { version: Version::V0, codec } if is_v0(key, codec) => {
            return multibase::Base::Base58Btc.encode(key.as_bytes());
        }
        CidForm::Known { codec, .. } => codec,
    };
    let mut bytes = Vec::with_capacity(1 + 10 + key.as_bytes().len());
    bytes.push(1);
    bytes.extend_from_slice(encode::u64(codec, &mut encode::u64_buffer()));
    bytes.extend_from_slice(key.as_bytes());

    let mut text = String::with_capacity(1 + (bytes.len() * 8).div_ceil(5));
    text.push('b');
    data_encoding::BASE32_NOPAD.encode_append(&bytes, &mut text);
    text.make_ascii_lowercase();
    text
}
