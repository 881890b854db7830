//! CIDs and blocks that other programs made: Kubo's for 59 functions, Python's for those that Kubo
//! lacks, all multibases, and a blockstore with its listing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Read;
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ipfs_persist_mount::Error;
use ipfs_persist_mount::block::{
    Block, Cid, CidForm, CidOptions, Key, Name, Version, bytes_match, canonical, check_allowed, digest_of,
    function_by_code, functions,
};

const RAW: u64 = 0x55;

fn rows(text: &str) -> Vec<[&str; 3]> {
    let mut lines = text.lines();
    lines.next().unwrap();
    lines.map(|line| line.split('\t').collect::<Vec<_>>().try_into().unwrap()).collect()
}

fn hash_rows() -> Vec<[&'static str; 3]> {
    let mut all = rows(include_str!("fixtures/cids/hashes.tsv"));
    all.extend(rows(include_str!("fixtures/cids/hashes-other.tsv")));
    all
}

#[test]
fn every_function_gives_the_cid_that_other_programs_give() {
    let hashes = hash_rows();
    assert_eq!(hashes.len(), 59 * 3 + 18 * 3);
    for [function, input, text] in hashes {
        let bytes = Bytes::from(HEXLOWER.decode(input.as_bytes()).unwrap());
        let cid = Cid::parse(text).unwrap();
        assert_eq!(cid.to_string(), text);
        assert_eq!(cid.form(), CidForm::RAW_V1);
        let known = function_by_code(cid.key().code()).unwrap();
        assert_eq!(known.name, function.trim_end_matches(" cut to 20 bytes"));
        assert!(bytes_match(cid.key(), &bytes), "{function} {input}");
        assert!(!bytes_match(cid.key(), b"other"), "{function} {input}");
        assert_eq!(Block::verify(&cid, bytes.clone(), SystemTime::UNIX_EPOCH).unwrap().bytes(), &bytes);

        if known.name == function {
            let options = CidOptions::from_names(None, None, Some(function)).unwrap();
            let block = Block::of(bytes, &options, SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(canonical(block.key(), block.meta().cid_form), text, "{function} {input}");
        }
    }
}

#[test]
fn every_function_has_fixtures() {
    let tested: Vec<_> = hash_rows().iter().map(|row| row[0]).collect();
    for function in functions() {
        assert!(tested.contains(&function.name), "{}", function.name);
        assert!(check_allowed(function.code, function.digest_bytes).is_ok(), "{}", function.name);
    }
}

#[test]
fn a_cid_in_every_multibase_is_one_key_and_most_can_be_file_names() {
    let spellings = rows(include_str!("fixtures/cids/spellings.tsv"));
    assert_eq!(spellings.len(), 140);
    let mut not_names = BTreeMap::<&str, usize>::new();
    for [text, base, spelling] in spellings {
        let cid = Cid::parse(text).unwrap();
        let spelled = Cid::parse(spelling).unwrap_or_else(|error| panic!("{base} {spelling}: {error}"));
        assert_eq!(spelled.key(), cid.key(), "{base}");
        let CidForm::Known { version: Version::V1, codec } = spelled.form() else {
            panic!("{base}: {:?}", spelled.form());
        };
        assert!(matches!(cid.form(), CidForm::Known { codec: same, .. } if same == codec));

        if spelling.contains('/') {
            *not_names.entry("a slash").or_default() += 1;
        } else if spelling.len() > 255 {
            *not_names.entry("over 255 bytes").or_default() += 1;
            assert!(matches!(Name::parse(spelling.as_bytes()), Err(Error::NameTooLong { .. })));
        } else {
            *not_names.entry("a file name").or_default() += 1;
            assert_eq!(Name::parse(spelling.as_bytes()).unwrap(), Name::Cid(spelled));
        }
    }
    assert_eq!(not_names, BTreeMap::from([("a slash", 10), ("over 255 bytes", 7), ("a file name", 123)]));
}

fn stored_blocks() -> BTreeMap<String, Vec<u8>> {
    let archive = flate2::read::GzDecoder::new(&include_bytes!("fixtures/cids/blocks.tar.gz")[..]);
    let mut blocks = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let name = entry.path().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            blocks.insert(name, bytes);
        }
    }
    blocks
}

/// > A store that has no note of that CID shows version 1 `raw`, as `ipfs refs local` does.
#[test]
fn a_blockstore_is_listed_as_kubo_lists_it() {
    let blocks = stored_blocks();
    let names: Vec<_> = blocks.keys().map(String::as_str).collect();
    let listed: Vec<_> = include_str!("fixtures/cids/refs-local.txt").lines().collect();
    assert_eq!(names, listed);
    for (name, bytes) in &blocks {
        let cid = Cid::parse(name).unwrap();
        let digest = digest_of(cid.key().code(), cid.key().digest().len(), bytes).unwrap();
        let key = Key::new(cid.key().code(), &digest).unwrap();
        assert_eq!(&canonical(&key, CidForm::Unknown), name);
        assert_eq!(&canonical(&key, CidForm::RAW_V1), name);
    }
}

#[test]
fn the_cids_that_link_those_blocks_keep_version_and_codec() {
    let blocks = stored_blocks();
    let links = include_str!("fixtures/cids/refs-with-codec.txt");
    assert_eq!(links.lines().count(), 64);
    for link in links.lines() {
        let cid = Cid::parse(link).unwrap();
        assert_eq!(cid.to_string(), link);
        let bytes = &blocks[&canonical(cid.key(), CidForm::Unknown)];
        let block = Block::verify(&cid, Bytes::from(bytes.clone()), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(canonical(block.key(), block.meta().cid_form), link);
        assert_eq!(block.meta().size_bytes, bytes.len() as u64);
        if link.starts_with("Qm") {
            assert_eq!(cid.form(), CidForm::Known { version: Version::V0, codec: 0x70 });
        } else {
            assert!(
                matches!(cid.form(), CidForm::Known { version: Version::V1, codec } if codec == RAW || codec >= 0x70)
            );
        }
    }
}
