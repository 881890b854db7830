//! What opening does and refuses, and what a block's file goes through.

use std::fs::{self, File};
use std::io::Read;
use std::slice::from_ref;

use ipfs_persist_mount::Error;
use ipfs_persist_mount::datastore::flatfs::{FlatFs, FlatFsOptions, probe};
use ipfs_persist_mount::datastore::{Datastore, Sync};

use super::support::{block, list, open, options, scratch, tree};

#[test]
fn what_is_no_flatfs_is_refused_with_what_to_do() {
    let scratch = scratch();
    let path = scratch.path().join("blocks");
    let refusal = || match FlatFs::open_with(options(&path)) {
        Err(error @ Error::StoreDamaged { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    fs::create_dir(&path).unwrap();
    fs::write(path.join("CURRENT"), "x").unwrap();
    assert!(refusal().contains("no SHARDING file"));
    for wrong in ["", "/repo/flatfs/shard/v2/prefix/3", "/repo/flatfs/shard/v1/prefix/x"] {
        fs::write(path.join("SHARDING"), wrong).unwrap();
        assert!(refusal().contains("/repo/flatfs/shard/v1/next-to-last/2"));
        assert!(!probe(&path));
    }
    fs::remove_file(path.join("CURRENT")).unwrap();
    fs::remove_file(path.join("SHARDING")).unwrap();
    // What the making of a store leaves if the machine stops before the end.
    fs::create_dir(path.join(".temp")).unwrap();
    fs::write(path.join("_README"), "").unwrap();
    open(&path).close().unwrap();
    assert!(probe(&path));
    assert_eq!(fs::metadata(path.join("_README")).unwrap().len(), 1123);
}

#[test]
fn leftovers_are_wiped_at_open_but_not_when_read_only() {
    let scratch = scratch();
    let path = scratch.path().join("blocks");
    open(&path).close().unwrap();
    let left = path.join(".temp/put-1-1");
    fs::write(&left, "half a blo").unwrap();
    fs::create_dir_all(path.join(".temp/dir/dir")).unwrap();
    let before = tree(scratch.path());
    let read_only = FlatFsOptions { read_only: true, ..options(&path) };
    Box::new(FlatFs::open_with(read_only).unwrap()).close().unwrap();
    assert!(tree(scratch.path()) == before);
    open(&path).close().unwrap();
    assert_eq!(fs::read_dir(path.join(".temp")).unwrap().count(), 0);
}

/// Readers of the damaged file keep what they have; the name leads to the right bytes.
#[test]
fn putting_a_damaged_block_heals_it() {
    let scratch = scratch();
    let path = scratch.path().join("blocks");
    let store = open(&path);
    let block = block(5);
    store.put(from_ref(&block), Sync::Now).unwrap();
    let usage = store.usage().unwrap();
    let text = data_encoding::BASE32_NOPAD.encode(block.key().as_bytes());
    let file = path.join(&text[text.len() - 3..text.len() - 1]).join(format!("{text}.data"));
    fs::write(&file, "garbage").unwrap();
    let mut old = store.file(block.key()).unwrap().unwrap();
    store.put(from_ref(&block), Sync::Now).unwrap();
    assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
    let mut bytes = String::new();
    old.read_to_string(&mut bytes).unwrap();
    assert_eq!(bytes, "garbage");
    assert_eq!(store.usage().unwrap(), usage);
}

/// `prefix/N` puts all blocks into one directory, and with a long prefix all keys in a directory
/// have one position.
#[test]
fn a_huge_shard_is_listed_in_pages() {
    let rows = [("prefix/1", 70_000, 65_536), ("prefix/4", 3_000, 1_000), ("prefix/12", 500, 1)];
    for (sharding, count, longest_page) in rows {
        let scratch = scratch();
        let path = scratch.path().join("blocks");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("SHARDING"), format!("/repo/flatfs/shard/v1/{sharding}\n")).unwrap();
        let chars: usize = sharding.split_once('/').unwrap().1.parse().unwrap();
        let mut keys = Vec::new();
        for number in 0..count {
            let key = block(number).key().clone();
            let text = data_encoding::BASE32_NOPAD.encode(key.as_bytes());
            let shard = path.join(&text[..chars]);
            if !shard.exists() {
                fs::create_dir(&shard).unwrap();
            }
            File::create(shard.join(format!("{text}.data"))).unwrap();
            keys.push(key);
        }
        let store = open(&path);
        let page = store.list(None, 1).unwrap();
        assert!(page.len() <= longest_page, "{sharding}: {} keys in a page", page.len());
        let mut listed = list(&store, 1);
        assert!(listed.is_sorted_by_key(|key| store.position(key)));
        listed.sort();
        keys.sort();
        assert!(listed == keys, "{sharding}: {} keys of {count}", listed.len());
    }
}
