//! What is done in the mount while the disk's log is written, and marked in it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{bytes, cid_as, close};
use crate::log::{Appender, Mark};
use crate::random::Random;

/// Threads that work beside each other, so that batches hold more than one block.
const THREADS: u64 = 3;
/// Each has so many numbers for its blocks.
const NUMBERS: u64 = 1_000_000;
/// Longest time between two operations of a thread. Where nobody asks for a sync, more gathers.
const PAUSE_MICROS_MAX: usize = 25_000;
const PAUSE_MICROS_MAX_WITHOUT_SYNCS: usize = 8_000;

/// A block by its number: what it holds, and under which name it is stored and listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    number: u64,
}

impl Content {
    pub fn new(seed: u64, number: u64) -> Self {
        Self { seed, number }
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut numbers = Random::new(self.seed ^ self.number.wrapping_mul(0x9e37_79b9));
        let (least, most) =
            numbers.weighted(&[(50, (1, 4 << 10)), (35, (4 << 10, 64 << 10)), (15, (64 << 10, 300 << 10))]);
        let length = least + numbers.below(most - least);
        bytes(numbers.next(), length)
    }

    /// Some blocks are listed under another form of CID than the one that needs no record.
    pub fn name(self) -> String {
        if self.number.is_multiple_of(4) {
            cid_as(&self.bytes(), "0", "dag-pb", "sha2-256")
        } else {
            cid_as(&self.bytes(), "1", "raw", "sha2-256")
        }
    }
}

/// Several threads store and remove blocks for this long, and in every other session sync some.
/// `session` also keeps the numbers of one mount apart from those of another.
pub fn run(mnt: &Path, log: &Appender, seed: u64, session: u64, time: Duration) {
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let first = (session * THREADS + thread) * NUMBERS;
            let worker = Worker {
                mnt: mnt.to_owned(),
                log,
                seed,
                numbers: Random::new(seed ^ first),
                syncs: session.is_multiple_of(2),
                next: first,
                stored: Vec::new(),
                removed: Vec::new(),
            };
            scope.spawn(move || worker.work(until));
        }
    });
}

struct Worker<'a> {
    mnt: PathBuf,
    log: &'a Appender,
    seed: u64,
    numbers: Random,
    syncs: bool,
    next: u64,
    stored: Vec<u64>,
    removed: Vec<u64>,
}

#[derive(Clone, Copy)]
enum Step {
    Put,
    PutAndSync,
    Remove,
    PutAgain,
    SyncRoot,
}

impl Worker<'_> {
    fn work(mut self, until: Instant) {
        while Instant::now() < until {
            let (sync, sync_root, pause) =
                if self.syncs { (8, 4, PAUSE_MICROS_MAX) } else { (0, 0, PAUSE_MICROS_MAX_WITHOUT_SYNCS) };
            let steps = [
                (55, Step::Put),
                (sync, Step::PutAndSync),
                (25, Step::Remove),
                (8, Step::PutAgain),
                (sync_root, Step::SyncRoot),
            ];
            match self.numbers.weighted(&steps) {
                Step::Put => self.put_new(false),
                Step::PutAndSync => self.put_new(true),
                Step::Remove => self.remove(),
                Step::PutAgain => self.put_again(),
                Step::SyncRoot => self.sync_root(),
            }
            // The time for which things have been acknowledged matters, so the work has to take some.
            std::thread::sleep(Duration::from_micros(self.numbers.below(pause) as u64));
        }
    }

    fn put_new(&mut self, sync: bool) {
        let number = self.next;
        self.next += 1;
        self.put(number, sync);
    }

    fn put(&mut self, number: u64, sync: bool) {
        let content = Content::new(self.seed, number);
        let (name, bytes) = (content.name(), content.bytes());
        self.log.mark(Mark::PutBegun, number);
        let mut file = File::create_new(self.mnt.join(name)).unwrap();
        file.write_all(&bytes).unwrap();
        if sync {
            file.sync_all().unwrap();
            self.log.mark(Mark::Fsynced, number);
        }
        close(file).unwrap();
        self.log.mark(Mark::Closed, number);
        self.stored.push(number);
    }

    fn remove(&mut self) {
        if self.stored.is_empty() {
            return;
        }
        let number = self.stored.swap_remove(self.numbers.below(self.stored.len()));
        let name = Content::new(self.seed, number).name();
        self.log.mark(Mark::UnlinkBegun, number);
        fs::remove_file(self.mnt.join(name)).unwrap();
        self.log.mark(Mark::Unlinked, number);
        self.removed.push(number);
    }

    fn put_again(&mut self) {
        if self.removed.is_empty() {
            return;
        }
        let number = self.removed.swap_remove(self.numbers.below(self.removed.len()));
        let sync = self.syncs && self.numbers.chance(20);
        self.put(number, sync);
    }

    fn sync_root(&mut self) {
        let number = self.next;
        self.next += 1;
        let root = File::open(&self.mnt).unwrap();
        self.log.mark(Mark::RootSyncBegun, number);
        root.sync_all().unwrap();
        self.log.mark(Mark::RootSynced, number);
    }
}
