//! Syncing many files at once.
//!
//! A sync of a file waits for the disk to empty its cache. The kernel lets syncs that wait at the
//! same time share one such flush, which is most of what a batch of small blocks costs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::{Error, Result};

/// How many syncs wait at once.
const THREADS_MAX: usize = 16;
/// Fewer syncs than this per thread are not worth starting it.
const ITEMS_PER_THREAD_MIN: usize = 4;

/// Calls `action` for every item, in no order and from several threads; returns an error if any
/// call did.
pub(super) fn for_each<T: Sync>(items: &[T], action: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let threads = (items.len() / ITEMS_PER_THREAD_MIN).min(THREADS_MAX);
    if threads < 2 {
        return items.iter().try_for_each(action);
    }
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            action(item)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        // Where no thread can be started, this one does it all.
        let start = |_| thread::Builder::new().name("sync".to_owned()).spawn_scoped(scope, work).ok();
        let helpers = (1..threads).filter_map(start).collect::<Vec<_>>();
        let own = work();
        helpers.into_iter().fold(own, |result, helper| {
            let panicked = |_| Err(Error::Internal { what: "a sync panicked".to_owned() });
            result.and(helper.join().unwrap_or_else(panicked))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_visited_once_and_an_error_is_not_lost() {
        for count in [0, 1, 7, 8, 100] {
            let visits = (0..count).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>();
            let visit = |item: &AtomicUsize| {
                item.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            for_each(&visits, visit).unwrap();
            assert!(visits.iter().all(|visits| visits.load(Ordering::Relaxed) == 1));
        }
        let numbers = (0..100).collect::<Vec<_>>();
        let fail = |number: &i32| if *number == 99 { Err(Error::NotFound) } else { Ok(()) };
        assert!(matches!(for_each(&numbers, fail), Err(Error::NotFound)));
    }
}
