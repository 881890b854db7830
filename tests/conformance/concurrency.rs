//! Many threads at one store.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ipfs_persist_mount::datastore::{MetaChange, Sync};

use super::Case;
use super::blocks::{DAG_CBOR_V1, DAG_PB_V0, block, restored, sized, time};
use super::store::Store;

pub const CASES: &[Case] = &[
    Case::every("one_key_is_never_torn", one_key_is_never_torn),
    Case::every("writers_do_not_disturb_each_other", writers_do_not_disturb_each_other),
    Case::every("put_and_remove_leave_all_or_nothing", put_and_remove_leave_all_or_nothing),
    Case::every("syncs_and_changes_mix", syncs_and_changes_mix),
];

/// Writers store, replace and remove one block; what readers get is the block or nothing.
fn one_key_is_never_torn(store: Store) {
    let block = sized(150_000, 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut found = 0u32;
                loop {
                    // The last look is behind all changes, when the block is there.
                    let is_last = done.load(Ordering::Acquire);
                    if let Some(bytes) = store.get(block.key()).unwrap() {
                        assert!(bytes == *block.bytes(), "torn: {} bytes", bytes.len());
                        found += 1;
                    }
                    if let Some(meta) = store.stat(block.key()).unwrap() {
                        assert_eq!(meta.size_bytes, 150_000);
                    }
                    if let Some(mut file) = store.file(block.key()).unwrap() {
                        let mut bytes = Vec::new();
                        file.read_to_end(&mut bytes).unwrap();
                        assert!(bytes == *block.bytes(), "torn file: {} bytes", bytes.len());
                    }
                    if is_last {
                        return found;
                    }
                }
            })
        });
        let writers = [Sync::Now, Sync::Later].map(|sync| {
            let (store, block) = (&store, &block);
            scope.spawn(move || {
                for _ in 0..40 {
                    store.put(std::slice::from_ref(block), sync).unwrap();
                    store.put(std::slice::from_ref(block), sync).unwrap();
                    store.remove(std::slice::from_ref(block.key()), sync).unwrap();
                }
                store.put(std::slice::from_ref(block), sync).unwrap();
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        assert!(readers.map(|reader| reader.join().unwrap()).iter().all(|found| *found > 0));
    });
    assert!(store.get(block.key()).unwrap().as_ref() == Some(block.bytes()));
    assert_eq!(store.keys(10), [block.key().clone()]);
}

fn writers_do_not_disturb_each_other(store: Store) {
    thread::scope(|scope| {
        for writer in 0..8u32 {
            let store = &store;
            scope.spawn(move || {
                for batch in 0..5 {
                    let first = writer * 1000 + batch * 10;
                    let blocks = (first..first + 10)
                        .map(|number| restored(&block(number), DAG_PB_V0, time(number)))
                        .collect::<Vec<_>>();
                    store.put(&blocks, Sync::Now).unwrap();
                }
            });
        }
    });
    assert_eq!(store.keys(64).len(), 400);
    for number in (0..8).flat_map(|writer| writer * 1000..writer * 1000 + 50) {
        let stored = restored(&block(number), DAG_PB_V0, time(number));
        assert_eq!(store.get(stored.key()).unwrap().as_ref(), Some(stored.bytes()));
        assert_eq!(store.stat(stored.key()).unwrap().as_ref(), Some(stored.meta()));
    }
}

/// Whoever comes last, the four ways of asking agree.
fn put_and_remove_leave_all_or_nothing(store: Store) {
    let blocks = (0..10).map(|number| restored(&block(number), DAG_CBOR_V1, time(1))).collect::<Vec<_>>();
    let keys = blocks.iter().map(|block| block.key().clone()).collect::<Vec<_>>();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..30).for_each(|_| store.put(&blocks, Sync::Later).unwrap()));
            scope.spawn(|| (0..30).for_each(|_| assert!(store.remove(&keys, Sync::Later).unwrap() <= 10)));
        }
    });
    let listed = store.keys(3);
    for block in &blocks {
        let there = listed.contains(block.key());
        assert_eq!(store.get(block.key()).unwrap().is_some(), there);
        assert_eq!(store.stat(block.key()).unwrap(), there.then_some(*block.meta()));
    }
}

fn syncs_and_changes_mix(store: Store) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let syncer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.sync().unwrap();
            }
        });
        for number in 0..400 {
            store.put(&[block(number)], Sync::Later).unwrap();
            let change = MetaChange { mtime: Some(time(number + 1)), cid_form: Some(DAG_CBOR_V1) };
            assert!(store.set_meta(block(number).key(), change).unwrap());
            if number % 3 == 0 {
                assert!(store.remove(&[block(number).key().clone()], Sync::Later).unwrap() == 1);
            }
        }
        done.store(true, Ordering::Relaxed);
        syncer.join().unwrap();
    });
    assert_eq!(store.keys(100).len(), 266);
}
