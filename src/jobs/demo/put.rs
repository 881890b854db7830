//! Storing the blocks of a demo, and removing them again.
//!
//! Invariant: a block is noted as added before it may have been stored, and only if it was not
//! there before: nobody else writes, since the store is locked. So what is removed in the end is
//! all that was added, and nothing else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use super::DataSet;
use crate::block::Key;
use crate::blockstore::{Blockstore, Stored};
use crate::jobs::{Progress, go_on};
use crate::{Error, Result};

/// How many threads put blocks at the same time, so that the store can group their syncs.
pub const WRITERS: usize = 4;

/// Answers that writers may have given before they are looked at.
const ANSWERS_MAX: usize = 64;

/// What has been put.
#[derive(Debug, Default)]
pub struct Puts {
    /// Every block of the demo that is in the store.
    pub keys: Vec<Key>,
    /// Those that were not there before, or may have been added by a put that failed.
    pub added: Vec<Key>,
    /// How many blocks were stored anew.
    pub stored: u64,
    /// How long their puts took in all, each from the call to the answer.
    pub time: Duration,
}

/// One put and its answer.
struct Put {
    key: Key,
    was_there: bool,
    time: Duration,
    answer: Result<Stored>,
}

impl Puts {
    /// Puts every block of the set, and notes it.
    pub fn put_all(&mut self, store: &Blockstore, data: &DataSet, progress: &mut dyn Progress) -> Result<()> {
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (sender, answers) = mpsc::sync_channel(ANSWERS_MAX);
        let mut failure = None;
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                let sender = sender.clone();
                scope.spawn(|| write(store, data, &next, &stop, sender));
            }
            drop(sender);
            for put in answers {
                let noted = put.and_then(|put| self.note(put));
                let noted =
                    noted.and_then(|()| go_on(progress, "storing", self.keys.len() as u64, data.count()));
                if let Err(error) = noted {
                    stop.store(true, Ordering::Relaxed);
                    failure.get_or_insert(error);
                }
            }
        });
        failure.map_or(Ok(()), Err)
    }

    fn note(&mut self, put: Put) -> Result<()> {
        if !put.was_there {
            self.added.push(put.key.clone());
        }
        match put.answer? {
            Stored::New => {
                self.stored += 1;
                self.time += put.time;
            }
            Stored::Already | Stored::Healed => {}
        }
        self.keys.push(put.key);
        Ok(())
    }

    /// Removes what was added, durably.
    pub fn take_back(&self, store: &Blockstore, progress: &mut dyn Progress) -> Result<()> {
        let mut failure: Option<Error> = None;
        for (key, done) in self.added.iter().zip(1..) {
            // Asked to stop or not: what is not removed now stays.
            progress.at("removing", done, self.added.len() as u64);
            if let Err(error) = store.remove(key) {
                failure.get_or_insert(error);
            }
        }
        failure.map_or_else(|| store.sync(), Err)
    }
}

fn write(
    store: &Blockstore,
    data: &DataSet,
    next: &AtomicU64,
    stop: &AtomicBool,
    sender: SyncSender<Result<Put>>,
) {
    while !stop.load(Ordering::Relaxed) {
        let index = next.fetch_add(1, Ordering::Relaxed);
        // The receiver lives as long as any writer.
        if index >= data.count() || sender.send(put_one(store, data, index)).is_err() {
            return;
        }
    }
}

fn put_one(store: &Blockstore, data: &DataSet, index: u64) -> Result<Put> {
    let block = data.block(index)?;
    let key = block.key().clone();
    let was_there = store.stat(&key)?.is_some();
    if !was_there {
        store.check_space(data.size_bytes())?;
    }
    let begun = Instant::now();
    let answer = store.put(block);
    Ok(Put { key, was_there, time: begun.elapsed(), answer })
}
