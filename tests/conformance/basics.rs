//! Storing, reading, removing.

use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use ipfs_persist_mount::Error;
use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::datastore::{MetaChange, Sync};

use super::Case;
use super::blocks::{block, blocks, mixed, sized};
use super::store::Store;

pub const CASES: &[Case] = &[
    Case::every("get_returns_what_was_put", get_returns_what_was_put),
    Case::every("absence_is_no_error", absence_is_no_error),
    Case::every("empty_block", empty_block),
    Case::every("blocks_of_all_sizes", blocks_of_all_sizes),
    Case::every("put_again_changes_nothing", put_again_changes_nothing),
    Case::every("batches", batches),
    Case::every("remove_counts_what_was_there", remove_counts_what_was_there),
    Case::every("put_after_remove", put_after_remove),
    Case::every("the_callers_buffer_is_let_go", the_callers_buffer_is_let_go),
    Case::every("hash_functions_do_not_meet", hash_functions_do_not_meet),
    Case::every("usage_follows_the_blocks", usage_follows_the_blocks),
    Case::every("a_file_outlives_its_block", a_file_outlives_its_block),
    Case::volatile("a_batch_that_does_not_fit_is_refused_whole", a_batch_that_does_not_fit_is_refused_whole),
];

fn get_returns_what_was_put(store: Store) {
    let block = block(1);
    store.put_one(&block);
    assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
    assert_eq!(store.stat(block.key()).unwrap().as_ref(), Some(block.meta()));
}

fn absence_is_no_error(store: Store) {
    store.put_one(&block(1));
    let absent = block(2);
    assert_eq!(store.get(absent.key()).unwrap(), None);
    assert_eq!(store.stat(absent.key()).unwrap(), None);
    assert!(store.file(absent.key()).unwrap().is_none());
    assert!(!store.set_meta(absent.key(), MetaChange { mtime: Some(UNIX_EPOCH), cid_form: None }).unwrap());
    assert!(!store.remove_one(absent.key()));
    assert_eq!(store.get(absent.key()).unwrap(), None, "set_meta has made it");
    store.put(&[], Sync::Now).unwrap();
    assert_eq!(store.remove(&[], Sync::Now).unwrap(), 0);
}

fn empty_block(store: Store) {
    let empty = sized(0, 1);
    store.put_one(&empty);
    assert_eq!(store.get(empty.key()).unwrap(), Some(Bytes::new()));
    assert_eq!(store.stat(empty.key()).unwrap().unwrap().size_bytes, 0);
    assert_eq!(store.keys(10), [empty.key().clone()]);
    assert!(store.remove_one(empty.key()));
}

/// Around the sizes at which engines put values elsewhere, and the largest block.
fn blocks_of_all_sizes(store: Store) {
    for length in [1, 255, 4095, 4096, 4097, 65_535, 65_537, 262_144, 1 << 20, 2 << 20] {
        let block = sized(length, 7);
        store.put_one(&block);
        assert!(store.get(block.key()).unwrap().as_ref() == Some(block.bytes()), "{length} bytes");
        assert_eq!(store.stat(block.key()).unwrap().unwrap().size_bytes, length as u64);
    }
}

fn put_again_changes_nothing(store: Store) {
    let block = block(1);
    for sync in [Sync::Now, Sync::Later, Sync::Now] {
        store.put(std::slice::from_ref(&block), sync).unwrap();
        assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
        assert_eq!(store.keys(10), [block.key().clone()]);
    }
}

fn batches(store: Store) {
    let all = blocks(0..300);
    let (now, later) = all.split_at(200);
    store.put(now, Sync::Now).unwrap();
    store.put(later, Sync::Later).unwrap();
    store.sync().unwrap();
    for block in &all {
        assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
    }
    assert_eq!(store.keys(1000).len(), all.len());
}

fn remove_counts_what_was_there(store: Store) {
    let all = blocks(0..10);
    store.put(&all[..8], Sync::Now).unwrap();
    let keys = all[4..].iter().map(|block| block.key().clone()).collect::<Vec<_>>();
    assert_eq!(store.remove(&keys, Sync::Later).unwrap(), 4);
    assert_eq!(store.remove(&keys, Sync::Now).unwrap(), 0);
    for (number, block) in all.iter().enumerate() {
        assert_eq!(store.get(block.key()).unwrap().is_some(), number < 4);
        assert_eq!(store.stat(block.key()).unwrap().is_some(), number < 4);
    }
    assert_eq!(store.keys(10).len(), 4);
}

fn put_after_remove(store: Store) {
    let block = block(1);
    for _ in 0..3 {
        store.put_one(&block);
        assert!(store.remove_one(block.key()));
        assert_eq!(store.get(block.key()).unwrap(), None);
    }
    store.put_one(&block);
    assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
}

/// The bytes of a block that is written lie in a buffer that is used again.
fn the_callers_buffer_is_let_go(store: Store) {
    struct Lent(Vec<u8>, Arc<AtomicBool>);
    impl AsRef<[u8]> for Lent {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Lent {
        fn drop(&mut self) {
            self.1.store(true, Ordering::SeqCst);
        }
    }
    let returned = Arc::new(AtomicBool::new(false));
    let bytes = Bytes::from_owner(Lent(vec![7; 10_000], Arc::clone(&returned)));
    let block = Block::of(bytes, &CidOptions::default(), UNIX_EPOCH).unwrap();
    store.put_one(&block);
    let key = block.key().clone();
    drop(block);
    assert!(returned.load(Ordering::SeqCst), "the engine keeps the buffer");
    assert_eq!(store.get(&key).unwrap().unwrap(), vec![7; 10_000]);
}

fn hash_functions_do_not_meet(store: Store) {
    let all = mixed(10);
    store.put(&all, Sync::Now).unwrap();
    for block in &all {
        assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
    }
    let keys = all.iter().step_by(2).map(|block| block.key().clone()).collect::<Vec<_>>();
    assert_eq!(store.remove(&keys, Sync::Now).unwrap(), keys.len() as u64);
    for (number, block) in all.iter().enumerate() {
        assert_eq!(store.get(block.key()).unwrap().is_some(), number % 2 == 1);
    }
}

fn usage_follows_the_blocks(store: Store) {
    let all = (0..8).map(|number| sized(100_000, number)).collect::<Vec<_>>();
    store.put(&all, Sync::Now).unwrap();
    let full = store.usage().unwrap();
    assert!(full.blocks.is_none_or(|blocks| blocks == 8));
    assert!(full.disk_bytes >= 8 * 100_000);
    store.put(&all[..4], Sync::Now).unwrap();
    assert!(store.usage().unwrap().blocks.is_none_or(|blocks| blocks == 8), "counted twice");
    store.remove(&all[..4].iter().map(|block| block.key().clone()).collect::<Vec<_>>(), Sync::Now).unwrap();
    assert!(store.usage().unwrap().blocks.is_none_or(|blocks| blocks == 4));
}

/// A reader that has opened a block goes on reading it whatever happens to its name.
fn a_file_outlives_its_block(store: Store) {
    let block = sized(50_000, 1);
    store.put_one(&block);
    let file = store.file(block.key()).unwrap();
    assert_eq!(file.is_some(), store.files().backend.file_per_block);
    let Some(mut file) = file else { return };
    store.put_one(&block);
    let mut head = [0; 100];
    file.read_exact_at(&mut head, 0).unwrap();
    assert_eq!(head, block.bytes()[..100]);
    store.remove_one(block.key());
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, *block.bytes());
}

fn a_batch_that_does_not_fit_is_refused_whole(store: Store) {
    let files = store.close();
    let mut request = files.request();
    request.memory_limit_bytes = 1 << 20;
    let store = files.open_as(&request);
    let all = (0..3).map(|number| sized(400_000, number)).collect::<Vec<_>>();
    let refused = store.put(&all, Sync::Now);
    assert!(matches!(refused, Err(Error::MemoryFull { limit_bytes }) if limit_bytes == 1 << 20));
    assert_eq!(store.usage().unwrap().blocks, Some(0));
    store.put(&all[..2], Sync::Now).unwrap();
    assert!(store.put(&all[2..], Sync::Now).is_err());
    assert!(store.remove_one(all[0].key()));
    store.put(&all[2..], Sync::Now).unwrap();
}
