//! How new blocks are named that come without a CID.
//!
//! Invariant: options made from names can be fulfilled for every block, but for identity with too
//! many bytes.

use super::cid::{DAG_PB, RAW, is_v0};
use super::hasher::key_of;
use super::key::CODE_MAX;
use super::policy::{SHA2_256, function_by_name, hash_names_line};
use super::{CidForm, Key, Version};
use crate::{Error, Result};

/// The CID that a block gets from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CidOptions {
    /// The CID version.
    pub version: Version,
    /// The multicodec code of the content.
    pub codec: u64,
    /// The multicodec code of the hash function.
    pub hash_code: u64,
    /// The length of the digest in bytes; identity takes what the block has.
    pub digest_len: usize,
}

impl Default for CidOptions {
    fn default() -> Self {
        Self { version: Version::V1, codec: RAW, hash_code: SHA2_256, digest_len: 32 }
    }
}

/// Codecs that have names here; any other is written as a number.
const CODECS: [(&str, u64); 21] = [
    ("raw", RAW),
    ("dag-pb", DAG_PB),
    ("dag-cbor", 0x71),
    ("dag-json", 0x129),
    ("cbor", 0x51),
    ("json", 0x200),
    ("dag-jose", 0x85),
    ("dag-cose", 0x86),
    ("libp2p-key", 0x72),
    ("git-raw", 0x78),
    ("torrent-info", 0x7b),
    ("torrent-file", 0x7c),
    ("eth-block", 0x90),
    ("eth-block-list", 0x91),
    ("eth-tx-trie", 0x92),
    ("eth-tx", 0x93),
    ("eth-state-trie", 0x96),
    ("eth-storage-trie", 0x98),
    ("bitcoin-block", 0xb0),
    ("bitcoin-tx", 0xb1),
    ("zcash-block", 0xc0),
];

/// The names of codecs that can be given by name.
pub fn codec_names() -> impl Iterator<Item = &'static str> {
    CODECS.iter().map(|(name, _)| *name)
}

/// The name of a codec, if it has one here.
pub fn codec_name(codec: u64) -> Option<&'static str> {
    CODECS.iter().find(|(_, code)| *code == codec).map(|(name, _)| *name)
}

impl CidOptions {
    /// Reads what a person typed: version `0` or `1`, a codec by name or as `0x..`, a hash
    /// function by name. What is not given is as in the default, and dag-pb for version 0.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`], with the known names as its hint.
    pub fn from_names(version: Option<&str>, codec: Option<&str>, hash: Option<&str>) -> Result<Self> {
        let version = version.map_or(Ok(Version::V1), version_from_name)?;
        let codec = match (codec, version) {
            (Some(name), _) => codec_from_name(name)?,
            (None, Version::V0) => DAG_PB,
            (None, Version::V1) => RAW,
        };
        let hash = hash.unwrap_or("sha2-256");
        let function = function_by_name(hash).ok_or_else(|| Error::Usage {
            what: format!("there is no hash function named {hash} for blocks"),
            hint: format!("use one of {}", hash_names_line()),
        })?;
        if version == Version::V0 && (codec != DAG_PB || function.code != SHA2_256) {
            return Err(Error::Usage {
                what: "a CID of version 0 has the codec dag-pb and the hash function sha2-256".to_owned(),
                hint: "use version 1, or leave codec and hash function away".to_owned(),
            });
        }
        Ok(Self { version, codec, hash_code: function.code, digest_len: function.digest_bytes })
    }

    /// The key of a block of these bytes.
    ///
    /// # Errors
    ///
    /// Those of [`digest_of`](super::digest_of).
    pub fn key_of(&self, bytes: &[u8]) -> Result<Key> {
        key_of(self.hash_code, self.digest_len, bytes)
    }

    /// The form under which a block with this key is stored: the version asked for, or 1 where the
    /// key cannot have version 0.
    pub fn form(&self, key: &Key) -> CidForm {
        let version = if is_v0(key, self.codec) { self.version } else { Version::V1 };
        CidForm::Known { version, codec: self.codec }
    }
}

fn version_from_name(name: &str) -> Result<Version> {
    match name {
        "0" => Ok(Version::V0),
        "1" => Ok(Version::V1),
        _ => Err(Error::Usage {
            what: format!("there is no CID version {name}"),
            hint: "use 0 or 1".to_owned(),
        }),
    }
}

fn codec_from_name(name: &str) -> Result<u64> {
    if let Some((_, code)) = CODECS.iter().find(|(known, _)| *known == name) {
        return Ok(*code);
    }
    let number = name.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.filter(|code| *code <= CODE_MAX).ok_or_else(|| {
        let known: Vec<&str> = codec_names().collect();
        Error::Usage {
            what: format!("there is no codec named {name}"),
            hint: format!(
                "use one of {}, or a number of the multicodec table such as 0x55",
                known.join(", ")
            ),
        }
    })
}
