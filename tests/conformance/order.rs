//! Listing a store that stands still.

use std::collections::HashSet;
use std::fs;

use ipfs_persist_mount::block::Key;
use ipfs_persist_mount::datastore::Sync;

use super::Case;
use super::blocks::{DAG_CBOR_V1, blocks, mixed, restored, sized, time};
use super::store::Store;

pub const CASES: &[Case] = &[
    Case::every("an_empty_store_lists_nothing", an_empty_store_lists_nothing),
    Case::every("pages_of_any_length_give_one_order", pages_of_any_length_give_one_order),
    Case::every("the_order_is_that_of_the_keys_alone", the_order_is_that_of_the_keys_alone),
    Case::every("list_resumes_anywhere", list_resumes_anywhere),
    Case::every("keys_that_share_a_position_come_together", keys_that_share_a_position_come_together),
    Case::every("listing_and_stat_read_no_values", listing_and_stat_read_no_values),
    Case::durable("the_order_is_the_same_after_reopening", the_order_is_the_same_after_reopening),
];

fn an_empty_store_lists_nothing(store: Store) {
    assert_eq!(store.list(None, 10).unwrap(), []);
    assert_eq!(store.list(Some(0), 10).unwrap(), []);
    assert_eq!(store.list(Some((1 << 62) - 1), 10).unwrap(), []);
    assert_eq!(store.list(Some(u64::MAX), 10).unwrap(), []);
}

fn pages_of_any_length_give_one_order(store: Store) {
    let stored = mixed(60);
    store.put(&stored, Sync::Later).unwrap();
    let keys = store.keys(usize::MAX);
    assert_eq!(keys.len(), stored.len());
    assert_eq!(keys.iter().collect::<HashSet<_>>(), stored.iter().map(|block| block.key()).collect());
    for limit in [0, 1, 2, 7, 100, 479, 480, 481] {
        assert_eq!(store.keys(limit), keys, "in pages of {limit}");
    }
    for block in &stored {
        assert!(store.position(block.key()) < 1 << 62);
    }
}

/// Stored in another order, at another time, under other CIDs and beside others, they come as before.
///
/// > The order is the backend's own and depends on the multihash alone, so it is the same after a
/// > remount, and a listing can be resumed at any entry.
fn the_order_is_that_of_the_keys_alone(store: Store) {
    let stored = mixed(60);
    store.put(&stored, Sync::Later).unwrap();
    let keys = store.keys(usize::MAX);
    let positions: Vec<u64> = keys.iter().map(|key| store.position(key)).collect();
    assert!(positions.is_sorted());
    assert_eq!(store.remove(&keys, Sync::Now).unwrap(), keys.len() as u64);
    assert_eq!(store.keys(usize::MAX), []);
    store.put(&blocks(0..100), Sync::Later).unwrap();
    for (number, block) in (0..).zip(stored.iter().rev()) {
        store.put(&[restored(block, DAG_CBOR_V1, time(number))], Sync::Later).unwrap();
    }
    let mut again = store.keys(usize::MAX);
    again.retain(|key| keys.contains(key));
    assert_eq!(again, keys);
    assert_eq!(keys.iter().map(|key| store.position(key)).collect::<Vec<_>>(), positions);
}

/// At each key, at positions that no key has, and at positions whose keys are gone.
///
/// > The order is the backend's own and depends on the multihash alone, so it is the same after a
/// > remount, and a listing can be resumed at any entry.
fn list_resumes_anywhere(store: Store) {
    let stored = blocks(0..200);
    store.put(&stored, Sync::Later).unwrap();
    let keys = store.keys(50);
    let behind = |after: u64| -> Vec<Key> {
        let rest = keys.iter().filter(|key| store.position(key) > after);
        rest.cloned().collect()
    };
    let page = |after| -> Vec<Key> {
        let page = store.list(Some(after), usize::MAX).unwrap();
        page.into_iter().map(|listed| listed.key).collect()
    };
    for key in &keys {
        let position = store.position(key);
        for after in [position.saturating_sub(1), position, position + 1] {
            assert_eq!(page(after), behind(after));
        }
    }
    for after in (0..62).map(|bit| (1 << bit) - 1) {
        assert_eq!(page(after), behind(after), "after {after}");
    }
    let middle = &keys[100];
    store.remove_one(middle);
    assert_eq!(page(store.position(middle)), keys[101..]);
}

/// The cookie of a directory is a position: a page that ended between two keys of one position
/// would lose the second one.
fn keys_that_share_a_position_come_together(store: Store) {
    let stored = mixed(40);
    store.put(&stored, Sync::Later).unwrap();
    let positions = stored.iter().map(|block| store.position(block.key())).collect::<HashSet<_>>();
    let mut pages = 0;
    let mut after = None;
    loop {
        let page = store.list(after, 1).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(store.position(&last.key));
        assert!(page.is_sorted_by_key(|listed| (store.position(&listed.key), listed.key.clone())));
        for listed in &page {
            let position = store.position(&listed.key);
            let sharing = stored.iter().filter(|block| store.position(block.key()) == position).count();
            let here = page.iter().filter(|listed| store.position(&listed.key) == position).count();
            assert_eq!(here, sharing);
        }
        pages += 1;
    }
    assert!(pages <= positions.len());
    assert_eq!(store.keys(1).len(), stored.len());
}

/// What an engine reads is counted by the kernel: 16 MiB of blocks must not pass by.
///
/// > A listing does not hold all names in memory and reads no block.
fn listing_and_stat_read_no_values(store: Store) {
    let stored = (0..64).map(|number| sized(256 << 10, number)).collect::<Vec<_>>();
    store.put(&stored, Sync::Now).unwrap();
    let store = if store.files().backend.durable { store.reopen() } else { store };
    let before = bytes_read();
    assert_eq!(store.keys(10).len(), stored.len());
    for block in &stored {
        assert_eq!(store.stat(block.key()).unwrap().unwrap().size_bytes, 256 << 10);
    }
    let read = bytes_read() - before;
    assert!(read < 1 << 20, "{read} bytes were read");
}

/// What this thread has got from read calls, whether from the disk or from the cache.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// > The order is the backend's own and depends on the multihash alone, so it is the same after a
/// > remount, and a listing can be resumed at any entry.
fn the_order_is_the_same_after_reopening(store: Store) {
    store.put(&mixed(50), Sync::Later).unwrap();
    let keys = store.keys(33);
    let positions = keys.iter().map(|key| store.position(key)).collect::<Vec<_>>();
    let store = store.reopen();
    assert_eq!(store.keys(20), keys);
    assert_eq!(keys.iter().map(|key| store.position(key)).collect::<Vec<_>>(), positions);
}
