//! RocksDB's log as a power cut or a failing disk leaves it. What was written last and never synced may be
//! there in part, and is cut off. Damage to what was synced is an error.
//!
//! The story: ext4 commits the new length of a file before bytes that belong into a block of it which was
//! there already. So the last record of the log, synced by nobody, had a wrong checksum, and the store
//! could not be opened any more.

#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::datastore::{Datastore, OpenRequest, Sync, backend};
use ipfs_persist_mount::{Error, Result};

use common::{Bench, bytes};

const BACKENDS: [&str; 2] = ["badger", "pebble"];
/// Longer than a block of the log, so that a record has several fragments.
const LENGTH: usize = 50_000;

fn block(number: u64) -> Block {
    Block::of(bytes(number, LENGTH).into(), &CidOptions::default(), std::time::SystemTime::now()).unwrap()
}

/// What a store that is not closed has on the disk: blocks 0 to 4 synced one by one, 5 to 9 not.
struct Left {
    bench: Bench,
    /// Lengths of the log before each block, and in the end.
    lengths: Vec<usize>,
    log: PathBuf,
}

fn left(backend: &'static str) -> Left {
    let bench = Bench::new(backend);
    let engine = bench.engine();
    let directory = bench.data().join(backend);
    let log = newest_log(&directory);
    let length = || fs::metadata(&log).unwrap().len() as usize;
    let mut lengths = Vec::new();
    for number in 0..10 {
        lengths.push(length());
        engine.put(&[block(number)], if number < 5 { Sync::Now } else { Sync::Later }).unwrap();
    }
    lengths.push(length());
    let copy = bench.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let log = copy.join(log.file_name().unwrap());
    engine.close().unwrap();
    Left { bench, lengths, log }
}

fn newest_log(directory: &Path) -> PathBuf {
    let logs = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap()
}

impl Left {
    fn open(&self, read_only: bool) -> Result<Box<dyn Datastore>> {
        let row = backend(self.bench.backend).unwrap();
        let marker = ipfs_persist_mount::blockstore::Marker::read(&self.bench.data()).unwrap().unwrap();
        (row.open)(&OpenRequest {
            path: self.bench.path().join("copy"),
            beside: self.bench.data(),
            store_id: marker.store_id,
            read_only,
            ..OpenRequest::default()
        })
    }

    fn change(&self, change: impl Fn(&mut Vec<u8>)) {
        let mut log = fs::read(&self.log).unwrap();
        change(&mut log);
        fs::write(&self.log, log).unwrap();
    }

    /// The blocks that are there, all of them whole.
    fn blocks(&self) -> Vec<u64> {
        let engine = self.open(false).unwrap();
        let is_there = |number: &u64| {
            let found = engine.get(block(*number).key()).unwrap();
            found.is_some_and(|found| found == bytes(*number, LENGTH))
        };
        let there = (0..10).filter(is_there).collect();
        assert_eq!(engine.list(None, 100).unwrap().len(), Vec::len(&there));
        engine.close().unwrap();
        there
    }
}

/// > After a power cut the log of `badger` and `pebble` may end with what was never synced, in part. What is
/// > not whole is left out; where its bytes are wrong, a mount for writing cuts it off, and read-only the store is
/// > refused (exit code 4).
#[test]
fn what_was_never_synced_may_be_there_in_part() {
    for backend in BACKENDS {
        for first in 5..10 {
            let left = left(backend);
            let middle = (left.lengths[first as usize] + left.lengths[first as usize + 1]) / 2;
            // A sector that was not written, and others behind it that were.
            left.change(|log| log[middle..middle + 512].fill(0));
            let read_only = left.open(true).err();
            assert!(
                matches!(read_only, Some(Error::StoreUnclean { .. })),
                "{backend} {first}: {read_only:?}"
            );
            let expected: Vec<u64> = (0..first).collect();
            assert_eq!(left.blocks(), expected, "{backend} {first}");
            assert_eq!(left.blocks(), expected, "{backend} {first}: it can be opened again");
        }
    }
}

/// > Where wrong bytes are in what was synced, nothing is cut off, and the start fails (exit code 4).
#[test]
fn damage_to_what_was_synced_is_an_error() {
    for backend in BACKENDS {
        for number in 0..5 {
            let left = left(backend);
            let middle = (left.lengths[number] + left.lengths[number + 1]) / 2;
            left.change(|log| log[middle] ^= 4);
            let before = fs::read(&left.log).unwrap();
            let opened = left.open(false).err();
            assert!(matches!(opened, Some(Error::StoreDamaged { .. })), "{backend} {number}: {opened:?}");
            assert!(fs::read(&left.log).unwrap() == before, "and nothing is cut off");
        }
    }
}

/// > A log that somebody has shortened is taken for one whose end was never written.
#[test]
fn a_shorter_log_ends_before_the_first_block_that_is_not_whole() {
    for backend in BACKENDS {
        for first in [2, 5, 8] {
            let left = left(backend);
            let middle = (left.lengths[first] + left.lengths[first + 1]) / 2;
            left.change(|log| log.truncate(middle));
            left.open(true).unwrap().close().unwrap();
            let expected: Vec<u64> = (0..first as u64).collect();
            assert_eq!(left.blocks(), expected, "{backend} {first}");
        }
    }
}

/// The last block that was synced has no more behind it than the note that says so.
#[test]
fn a_note_behind_the_last_synced_block_tells_damage_from_a_power_cut() {
    for backend in BACKENDS {
        let left = left(backend);
        let (begin, end) = (left.lengths[4], left.lengths[5]);
        left.change(|log| {
            log.truncate(end);
            log[(begin + end) / 2] ^= 4;
        });
        let opened = left.open(false).err();
        assert!(matches!(opened, Some(Error::StoreDamaged { .. })), "{backend}: {opened:?}");
        // With the note gone, nobody says that it was synced.
        left.change(|log| log.truncate(end - 33));
        assert_eq!(left.blocks(), [0, 1, 2, 3], "{backend}");
    }
}
