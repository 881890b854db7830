//! Listing a store while others change it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use ipfs_persist_mount::block::{Block, Key};
use ipfs_persist_mount::datastore::Sync;

use super::Case;
use super::blocks::{block, mixed};
use super::store::Store;

pub const CASES: &[Case] = &[
    Case::every("list_resumes_under_inserts", list_resumes_under_inserts),
    Case::every("list_resumes_under_removals", list_resumes_under_removals),
    Case::every("list_keeps_blocks_that_are_replaced", list_keeps_blocks_that_are_replaced),
    Case::every("list_shows_what_was_there_before_it_began", list_shows_what_was_there_before_it_began),
];

/// How often the store is listed while it changes.
const LISTINGS: usize = 15;
/// How often it is changed at most: a listing of a store that grows as fast as it is listed takes
/// exponentially long.
const CHANGES_MAX: u32 = 4_000;

/// Lists while `change` is called again and again from another thread, and demands that each of
/// the `stable` keys is there exactly once, and no other key more often.
fn list_while(store: &Store, stable: &[Block], change: impl Fn(&Store, u32) + Send + std::marker::Sync) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let changer = scope.spawn(|| {
            for round in 0..CHANGES_MAX {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                change(store, round);
            }
        });
        for listing in 0..LISTINGS {
            let mut seen: HashMap<Key, u32> = HashMap::new();
            for key in store.keys(1 + listing * 5) {
                *seen.entry(key).or_default() += 1;
            }
            let missing = stable.iter().filter(|block| !seen.contains_key(block.key())).count();
            let twice = seen.values().filter(|times| **times > 1).count();
            assert_eq!((missing, twice), (0, 0), "missing and repeated in listing {listing}");
        }
        done.store(true, Ordering::Relaxed);
        changer.join().unwrap();
    });
}

fn list_resumes_under_inserts(store: Store) {
    let stable = mixed(50);
    store.put(&stable, Sync::Later).unwrap();
    list_while(&store, &stable, |store, round| {
        store.put(&[block(round)], Sync::Later).unwrap();
    });
}

fn list_resumes_under_removals(store: Store) {
    let stable = mixed(50);
    store.put(&stable, Sync::Later).unwrap();
    list_while(&store, &stable, |store, round| {
        let passing = [block(round % 97), block(round % 89 + 1000)];
        store.put(&passing, Sync::Later).unwrap();
        let gone = [block((round + 40) % 97).key().clone(), block((round + 30) % 89 + 1000).key().clone()];
        store.remove(&gone, Sync::Later).unwrap();
    });
}

/// A block that is healed is there throughout.
fn list_keeps_blocks_that_are_replaced(store: Store) {
    let stable = mixed(20);
    store.put(&stable, Sync::Later).unwrap();
    list_while(&store, &stable, |store, round| {
        let again = &stable[round as usize % stable.len()];
        store.put(std::slice::from_ref(again), Sync::Later).unwrap();
    });
}

fn list_shows_what_was_there_before_it_began(store: Store) {
    let stored = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..CHANGES_MAX {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                store.put(&[block(number)], Sync::Later).unwrap();
                stored.store(number + 1, Ordering::Release);
            }
        });
        for _ in 0..LISTINGS {
            let before = stored.load(Ordering::Acquire);
            let listed = store.keys(10).into_iter().collect::<HashSet<_>>();
            let missing = (0..before).filter(|number| !listed.contains(block(*number).key())).count();
            assert_eq!(missing, 0, "of {before}");
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}
