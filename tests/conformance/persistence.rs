//! What is there when a store is opened again, and what opening refuses.

use std::fs;

use ipfs_persist_mount::Error;
use ipfs_persist_mount::datastore::{MetaChange, Sync};

use super::Case;
use super::blocks::{block, blocks, sized};
use super::store::Store;

pub const CASES: &[Case] = &[
    Case::durable("blocks_survive_reopening", blocks_survive_reopening),
    Case::durable("removals_survive_reopening", removals_survive_reopening),
    Case::durable("read_only_changes_nothing", read_only_changes_nothing),
    Case::durable("a_missing_store_is_not_made_unasked", a_missing_store_is_not_made_unasked),
    Case::durable("probe_knows_its_own", probe_knows_its_own),
];

fn blocks_survive_reopening(store: Store) {
    let mut stored = blocks(0..150);
    stored.extend([sized(0, 1), sized(300_000, 2), sized(2 << 20, 3)]);
    store.put(&stored[..100], Sync::Now).unwrap();
    store.put(&stored[100..], Sync::Later).unwrap();
    let mut store = store;
    for _ in 0..2 {
        store = store.reopen();
        for block in &stored {
            assert!(store.get(block.key()).unwrap().as_ref() == Some(block.bytes()));
        }
        assert_eq!(store.keys(40).len(), stored.len());
    }
}

fn removals_survive_reopening(store: Store) {
    let stored = blocks(0..20);
    store.put(&stored, Sync::Now).unwrap();
    let keys = stored.iter().map(|block| block.key().clone()).collect::<Vec<_>>();
    assert_eq!(store.remove(&keys[..10], Sync::Later).unwrap(), 10);
    let store = store.reopen();
    assert_eq!(store.get(&keys[0]).unwrap(), None);
    assert_eq!(store.keys(100).len(), 10);
}

/// An engine that cannot open a store without writing refuses to.
fn read_only_changes_nothing(store: Store) {
    store.put(&blocks(0..5), Sync::Now).unwrap();
    let files = store.close();
    let mut request = files.request();
    (request.read_only, request.create) = (true, false);
    if (files.backend.open)(&request).map(|engine| engine.close().unwrap()).is_err() {
        return;
    }
    let store = files.open_as(&request);
    assert_eq!(store.get(block(1).key()).unwrap().as_ref(), Some(block(1).bytes()));
    assert!(matches!(store.put(&[block(9)], Sync::Now), Err(Error::ReadOnly)));
    assert!(matches!(store.remove(&[block(1).key().clone()], Sync::Now), Err(Error::ReadOnly)));
    assert!(matches!(store.set_meta(block(1).key(), MetaChange::default()), Err(Error::ReadOnly)));
    store.sync().unwrap();
    assert_eq!(store.keys(2).len(), 5);
    store.close();
}

fn a_missing_store_is_not_made_unasked(store: Store) {
    let files = store.close();
    fs::remove_dir_all(files.path()).unwrap();
    let mut request = files.request();
    request.create = false;
    assert!(matches!((files.backend.open)(&request), Err(Error::StoreMissing { .. })));
    fs::create_dir(files.path()).unwrap();
    assert!(matches!((files.backend.open)(&request), Err(Error::StoreMissing { .. })));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 0);
}

fn probe_knows_its_own(store: Store) {
    store.put_one(&block(1));
    let files = store.close();
    for backend in ipfs_persist_mount::datastore::BACKENDS.iter().filter(|backend| backend.durable) {
        let knows = (backend.probe)(&files.path());
        assert_eq!(knows, backend.name == files.backend.name, "{} asked", backend.name);
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(!(files.backend.probe)(empty.path()));
    assert!(!(files.backend.probe)(&empty.path().join("missing")));
}
