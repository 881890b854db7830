//! Files of an engine that are gone, emptied or cut in half: the store says so. It is never taken
//! for an empty one, and what it still gives out is right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{bytes, durable_backends, sh_ok};
use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::blockstore::{Blockstore, StoreOptions, Stored};
use ipfs_persist_mount::datastore::backend;
use ipfs_persist_mount::metrics::Metrics;
use ipfs_persist_mount::{Error, Result};

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Removed,
    Emptied,
    Halved,
}

fn block(number: u64) -> Block {
    let content = bytes(number, 1_000 + (number as usize * 7919) % 60_000);
    Block::of(content.into(), &CidOptions::default(), std::time::SystemTime::now()).unwrap()
}

fn open(row: &str, data: &Path) -> Result<Blockstore> {
    let options = StoreOptions {
        backend: Some(backend(row).unwrap()),
        data_path: Some(data.to_owned()),
        ..StoreOptions::default()
    };
    Blockstore::open(&options, Arc::new(Metrics::default()))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn damage(file: &Path, how: Damage) {
    match how {
        Damage::Removed => fs::remove_file(file).unwrap(),
        Damage::Emptied => fs::File::create(file).map(drop).unwrap(),
        Damage::Halved => {
            let open = fs::OpenOptions::new().write(true).open(file).unwrap();
            open.set_len(open.metadata().unwrap().len() / 2).unwrap();
        }
    }
}

/// How many blocks the store lists. Each of them must be right, or an error.
fn listed(store: &Blockstore, stored: &[Block]) -> Result<usize> {
    let page = store.list(None, 10_000)?;
    for listed in &page {
        let original = stored.iter().find(|block| *block.key() == listed.key).expect("a block from nowhere");
        match store.read_checked(&listed.key) {
            Ok(Some(bytes)) => assert!(bytes == *original.bytes()),
            Ok(None) => panic!("{:?} is listed and absent", listed.key),
            Err(_) => {}
        }
    }
    Ok(page.len())
}

#[test]
fn a_damaged_store_is_never_taken_for_an_empty_one() {
    for name in durable_backends().into_iter().filter(|name| *name != "file") {
        let dir = tempfile::tempdir().unwrap();
        let (data, whole) = (dir.path().join("data"), dir.path().join("whole"));
        let store = open(name, &data).unwrap();
        let stored: Vec<Block> = (0..60).map(block).collect();
        stored.iter().for_each(|block| assert_eq!(store.put(block.clone()).unwrap(), Stored::New));
        store.close().unwrap();
        fs::rename(&data, &whole).unwrap();
        let engine = backend(name).unwrap().directory;
        let mut refused = 0;
        for file in files_below(&whole.join(engine)) {
            let inside = file.strip_prefix(&whole).unwrap();
            for how in [Damage::Removed, Damage::Emptied, Damage::Halved] {
                sh_ok(dir.path(), "rm -rf data && cp -a whole data");
                damage(&data.join(inside), how);
                let what = format!("{name}: {} {how:?}", inside.display());
                // A panic inside of an engine is an error of the request in a mount.
                let outcome = catch_unwind(AssertUnwindSafe(|| -> Result<usize> {
                    let store = open(name, &data)?;
                    let count = listed(&store, &stored);
                    let _ = store.close();
                    count
                }));
                match outcome {
                    Ok(Ok(count)) => assert!(count > 0, "{what}: it opened empty"),
                    Ok(Err(error)) => {
                        assert!(!matches!(error, Error::StoreMissing { .. }), "{what}: {error}");
                        refused += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 0, "{name}: nothing was refused");
    }
}

/// An engine's files that come from another store of ours, beside this store's marker.
#[test]
fn the_files_of_another_store_are_refused() {
    for name in durable_backends().into_iter().filter(|name| *name != "file") {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        for data in [&one, &other] {
            let store = open(name, data).unwrap();
            store.put(block(1)).unwrap();
            store.close().unwrap();
        }
        let engine = backend(name).unwrap().directory;
        fs::remove_dir_all(one.join(engine)).unwrap();
        sh_ok(dir.path(), &format!("cp -a other/{engine} one/"));
        let Err(error) = open(name, &one) else { panic!("{name}: it opened") };
        assert!(matches!(error, Error::StoreDamaged { .. }), "{name}: {error}");
        assert!(error.to_string().contains("belong to the store"), "{name}: {error}");
        assert!(open(name, &other).unwrap().read_checked(block(1).key()).unwrap().is_some());
    }
}

/// A creation that stopped half-way is taken up again, as long as nothing else lies there.
#[test]
fn an_interrupted_creation_is_taken_up_and_other_files_are_not() {
    for name in durable_backends() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        open(name, &data).unwrap().close().unwrap();
        let marker = data.join("ipfs-persist.json");
        let text = fs::read_to_string(&marker).unwrap();
        fs::write(&marker, text.replace("\"complete\": true", "\"complete\": false")).unwrap();
        open(name, &data).unwrap().close().unwrap();
        // Now with nothing but somebody's file in the engine's directory.
        fs::write(&marker, text.replace("\"complete\": true", "\"complete\": false")).unwrap();
        let engine = data.join(backend(name).unwrap().directory);
        fs::remove_dir_all(&engine).unwrap();
        fs::create_dir(&engine).unwrap();
        fs::write(engine.join("thesis.txt"), "mine").unwrap();
        let Err(error) = open(name, &data) else { panic!("{name}: it opened") };
        assert!(matches!(error, Error::StoreDamaged { .. }), "{name}: {error}");
        assert_eq!(fs::read_to_string(engine.join("thesis.txt")).unwrap(), "mine");
        assert_eq!(fs::read_dir(&engine).unwrap().count(), 1, "{name}");
    }
}

/// What an engine's own checksums find is one block's damage, which writing the block once more heals.
#[test]
fn flipped_bits_are_never_served_and_can_be_healed() {
    for name in durable_backends().into_iter().filter(|name| !["file", "sled"].contains(name)) {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = open(name, &data).unwrap();
        let stored: Vec<Block> = (0..20).map(block).collect();
        stored.iter().for_each(|block| assert_eq!(store.put(block.clone()).unwrap(), Stored::New));
        store.close().unwrap();
        // The bytes of one block, where they lie as they are: random bytes do not compress.
        let victim = &stored[7];
        let needle = &victim.bytes()[300..332];
        let mut flipped = 0;
        for file in files_below(&data.join(backend(name).unwrap().directory)) {
            let mut content = fs::read(&file).unwrap();
            let places: Vec<usize> = content
                .windows(needle.len())
                .enumerate()
                .filter(|(_, w)| *w == needle)
                .map(|(at, _)| at)
                .collect();
            for at in &places {
                content[*at] ^= 0x10;
            }
            if !places.is_empty() {
                flipped += places.len();
                fs::write(&file, content).unwrap();
            }
        }
        assert!(flipped > 0, "{name}: the bytes were not found");
        let store = open(name, &data).unwrap();
        let error = store.read_checked(victim.key()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{name}: {error}");
        assert!(store.stat(victim.key()).unwrap().is_some(), "damaged is not absent");
        for block in stored.iter().filter(|block| block.key() != victim.key()) {
            // Neighbours may lie under the same checksum.
            match store.read_checked(block.key()) {
                Ok(bytes) => assert!(bytes.unwrap() == *block.bytes()),
                Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{name}: {error}"),
            }
        }
        for block in &stored {
            store.put(block.clone()).unwrap();
        }
        store.sync().unwrap();
        for block in &stored {
            assert!(store.read_checked(block.key()).unwrap().unwrap() == *block.bytes(), "{name}");
        }
        store.close().unwrap();
    }
}

/// A copy of the files of a running store is what a killed process leaves.
#[test]
fn deletions_reach_the_disk_with_a_sync() {
    for name in durable_backends() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(name, &dir.path().join("data")).unwrap();
        let blocks: Vec<Block> = (0..10).map(block).collect();
        blocks.iter().for_each(|block| assert_eq!(store.put(block.clone()).unwrap(), Stored::New));
        assert!(store.remove(blocks[3].key()).unwrap());
        store.sync().unwrap();
        store.sync().unwrap();
        // As a killed process leaves it.
        sh_ok(dir.path(), "cp -a data copy");
        let copy = open(name, &dir.path().join("copy")).unwrap();
        assert!(copy.stat(blocks[3].key()).unwrap().is_none(), "{name}");
        assert_eq!(copy.list(None, 100).unwrap().len(), 9, "{name}");
        copy.close().unwrap();
        store.close().unwrap();
    }
}
