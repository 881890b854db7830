//! Blocks and spellings of their CIDs, for tests.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read as _;
use std::path::{Path, PathBuf};

use ipfs_persist_mount::block::{Cid, CidForm, Key, Version, canonical, digest_of};

/// The blocks of the fixtures, each with the CID that `ipfs refs local` prints.
pub fn fixture_blocks() -> Vec<(String, Vec<u8>)> {
    let archive = flate2::read::GzDecoder::new(&include_bytes!("../fixtures/cids/blocks.tar.gz")[..]);
    let mut blocks = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let name = entry.path().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            blocks.push((name, bytes));
        }
    }
    blocks
}

/// The canonical CIDv1 of bytes under a codec, a hash function and a digest length.
pub fn cid_under(bytes: &[u8], codec: u64, code: u64, digest_len: usize) -> String {
    let key = Key::new(code, &digest_of(code, digest_len, bytes).unwrap()).unwrap();
    canonical(&key, CidForm::Known { version: Version::V1, codec })
}

/// The CIDv0 of bytes.
pub fn cid_v0(bytes: &[u8]) -> String {
    let key = Key::new(0x12, &digest_of(0x12, 32, bytes).unwrap()).unwrap();
    canonical(&key, CidForm::Known { version: Version::V0, codec: 0x70 })
}

/// The key of a spelling.
pub fn key(cid: &str) -> Key {
    Cid::parse(cid).unwrap().key().clone()
}

/// Where the `file` backend keeps a block in its directory of blocks.
pub fn flatfs_file(directory: &Path, cid: &str) -> PathBuf {
    let name = data_encoding::BASE32_NOPAD.encode(key(cid).as_bytes());
    directory.join(&name[name.len() - 3..name.len() - 1]).join(format!("{name}.data"))
}

/// The bytes of a CIDv1: version, codec, multihash.
pub fn cid_bytes(cid: &str) -> Vec<u8> {
    multibase::decode(cid).unwrap().1
}

/// A CIDv1 of these bytes in a multibase.
pub fn spell(base: multibase::Base, bytes: &[u8]) -> String {
    multibase::encode(base, bytes)
}

/// Many CIDs of one content: all have the first bits of a digest in common, or only their content.
/// Each can be a file name.
pub fn cids_of_one_content(bytes: &[u8]) -> Vec<String> {
    const RAW: u64 = 0x55;
    let mut cids = vec![
        cid_under(bytes, RAW, 0x12, 32),
        cid_under(bytes, RAW, 0x12, 20),
        cid_under(bytes, RAW, 0x12, 31),
        cid_under(bytes, RAW, 0x13, 64),
        cid_under(bytes, RAW, 0x1e, 32),
        cid_under(bytes, RAW, 0x1e, 20),
        cid_under(bytes, RAW, 0x11, 20),
        cid_under(bytes, RAW, 0xb220, 32),
        cid_under(bytes, RAW, 0xb260, 32),
    ];
    cids.extend((20..=64).map(|digest_len| cid_under(bytes, RAW, 0x19, digest_len)));
    cids
}
