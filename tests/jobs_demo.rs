//! The demo of a backend, below the command line: what it measures, and that it takes back what it
//! has added, wherever it is stopped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::path::Path;
use std::sync::Arc;

use ipfs_persist_mount::Error;
use ipfs_persist_mount::block::{Block, CidOptions, Key};
use ipfs_persist_mount::blockstore::{Blockstore, StoreOptions};
use ipfs_persist_mount::datastore::backend;
use ipfs_persist_mount::jobs::demo::{self, DataSet, Place, Request};
use ipfs_persist_mount::jobs::{Progress, Unwatched};

/// Asks the job to end when it has come to this block of this step.
struct StopAt {
    step: &'static str,
    block: u64,
    reached: bool,
}

impl Progress for StopAt {
    fn at(&mut self, step: &'static str, done: u64, _total: u64) {
        self.reached |= step == self.step && done >= self.block;
    }

    fn stopped_by(&self) -> Option<&'static str> {
        self.reached.then_some("a test")
    }
}

fn options(name: &str, path: &Path) -> StoreOptions {
    StoreOptions {
        backend: Some(backend(name).unwrap()),
        data_path: Some(path.to_owned()),
        ..StoreOptions::default()
    }
}

fn request(name: &str, place: Place, data: DataSet) -> Request {
    Request { store: options(name, Path::new("/not/looked/at")), place, data }
}

/// Every block of a store with its bytes.
fn content(name: &str, path: &Path) -> Vec<(Key, Vec<u8>)> {
    let store = Blockstore::open(&options(name, path), Arc::default()).unwrap();
    let keys = store.list(None, 100_000).unwrap();
    let bytes = |key: &Key| store.read_checked(key).unwrap().unwrap().to_vec();
    let found = keys.iter().map(|listed| (listed.key.clone(), bytes(&listed.key))).collect();
    store.close().unwrap();
    found
}

/// A store that holds blocks of somebody else's, one of which the demo has too.
fn store_in_use(name: &str, path: &Path, data: &DataSet) {
    let store = Blockstore::open(&options(name, path), Arc::default()).unwrap();
    for seed in 0..20 {
        let bytes = common::bytes(seed, 3000).into();
        store.put(Block::of(bytes, &CidOptions::default(), std::time::SystemTime::now()).unwrap()).unwrap();
    }
    store.put(data.block(1).unwrap()).unwrap();
    store.close().unwrap();
}

#[test]
fn a_store_has_the_blocks_that_it_had_before_wherever_the_demo_ends() {
    let data = DataSet::new(40, 1000).unwrap();
    for name in common::durable_backends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        store_in_use(name, &path, &data);
        let before = content(name, &path);
        assert_eq!(before.len(), 21);
        let request = request(name, Place::Given(path.clone()), data);
        let steps =
            [("storing", 1), ("storing", 25), ("reading back", 3), ("listing", 0), ("reading again", 7)];
        for (step, block) in steps {
            let mut stop = StopAt { step, block, reached: false };
            let error = demo::run(&request, &mut stop).unwrap_err();
            assert!(matches!(error, Error::Stopped { signal: "a test" }), "{name}, {step}: {error}");
            assert_eq!(content(name, &path), before, "{name}, stopped when {step} {block}");
        }
        let summary = demo::run(&request, &mut Unwatched).unwrap();
        assert_eq!(content(name, &path), before, "{name}");
        assert_eq!((summary.stored, summary.already_there), (39, 1), "{name}");
        assert_eq!((summary.verified, summary.still_there), (40, 40), "{name}");
        assert!(!summary.temporary && summary.stored_bytes == 39_000);
    }
}

#[test]
fn a_temporary_store_goes_whether_the_demo_succeeds_or_not() {
    let parent = tempfile::tempdir().unwrap();
    let data = DataSet::new(10, 5000).unwrap();
    for name in common::backends() {
        let request = request(name, Place::TemporaryIn(parent.path().to_owned()), data);
        let summary = demo::run(&request, &mut Unwatched).unwrap();
        let row = backend(name).unwrap();
        assert_eq!(summary.backend.name, name);
        assert_eq!(summary.still_there, if row.durable { 10 } else { 0 }, "{name}");
        assert_eq!(summary.data_path.is_some(), row.default_path.is_some(), "{name}");
        assert_eq!(summary.disk_per_byte().is_some(), row.default_path.is_some(), "{name}");
        assert!(summary.put_average.unwrap().as_nanos() > 0 && summary.get_average.as_nanos() > 0);

        let mut stop = StopAt { step: "storing", block: 5, reached: false };
        assert!(matches!(demo::run(&request, &mut stop), Err(Error::Stopped { .. })), "{name}");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn blocks_that_do_not_fit_are_refused_before_anything_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataSet::new(10, 5000).unwrap();
    for name in common::backends() {
        let path = dir.path().join(name);
        let mut request = request(name, Place::Given(path.clone()), data);
        request.store.min_free_space_bytes = u64::MAX;
        request.store.memory_limit_bytes = 20_000;
        let mut stored = StopAt { step: "storing", block: 1, reached: false };
        let error = demo::run(&request, &mut stored).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. } | Error::MemoryFull { .. }), "{name}: {error}");
        assert!(!stored.reached, "{name}");
    }
}
