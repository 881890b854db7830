//! Several threads on one mount, each with names and blocks of its own and a model of its own: none
//! may notice the others.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;

use super::actual::{self, Actual, wait_for_handles};
use super::common::{Bench, Mounted};
use super::generate::{Generator, Mix};
use super::names::{Lane, World};
use super::op::Op;
use super::solo::{Failure, INSPECTED_EVERY, PATIENCE};
use super::truth::{Truth, instant};

/// What the threads share.
struct Mount<'a> {
    mounted: &'a Mounted,
    /// Held while an operation is made; alone by who waits for the end of what was closed.
    quiet: RwLock<()>,
    /// How many files all threads have open.
    open: AtomicI64,
    /// How many of them may not be open any more.
    unsure: AtomicI64,
    /// What went wrong first: the others then fail too.
    failed: Mutex<Option<Failed>>,
}

/// One thread's model, and its part of the mount.
struct Thread<'a> {
    mount: &'a Mount<'a>,
    world: Rc<World>,
    truth: Truth,
    actual: Actual,
    made: Vec<Op>,
}

/// Where an operation of one thread failed.
pub struct Failed {
    pub lane: Lane,
    pub failure: Failure,
}

/// Runs `threads` threads with `each` operations on a new mount.
pub fn run(backend: &'static str, seed: u64, threads: usize, each: usize) -> Result<(), Failed> {
    let bench = Bench::new(backend);
    let mounted = actual::mount(&bench);
    let (quiet, failed) = (RwLock::new(()), Mutex::new(None));
    let (open, unsure) = (AtomicI64::new(0), AtomicI64::new(0));
    let mount = Mount { mounted: &mounted, quiet, open, unsure, failed };
    let lanes: Vec<Lane> = (0..threads).map(|number| Lane { number, of: threads }).collect();
    let blocks: Vec<BTreeSet<String>> = thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter()
            .map(|lane| {
                let mount = &mount;
                let thread = move || {
                    let mut thread = Thread::new(mount, seed, *lane);
                    thread.run(seed, each).unwrap_or_else(|failure| {
                        mount.failed.lock().unwrap().get_or_insert(Failed { lane: *lane, failure });
                        Vec::new()
                    })
                };
                scope.spawn(thread)
            })
            .collect();
        running.into_iter().flat_map(|running| running.join().unwrap()).collect()
    });
    if let Some(failed) = mount.failed.into_inner().unwrap() {
        return Err(failed);
    }
    let listed = mounted.ls();
    let missing: Vec<_> =
        blocks.iter().filter(|names| !listed.iter().any(|name| names.contains(name))).collect();
    assert!(missing.is_empty(), "not listed: {missing:?}");
    assert_eq!(listed.len(), blocks.len(), "more is listed than was stored: {listed:?}");
    assert_eq!(mounted.count("panics"), 0, "{}", mounted.log());
    mounted.unmount();
    Ok(())
}

impl<'a> Thread<'a> {
    fn new(mount: &'a Mount<'a>, seed: u64, lane: Lane) -> Self {
        let world = Rc::new(World::new(seed, lane));
        let truth = Truth::new(Rc::clone(&world), true);
        let actual = Actual::new(&mount.mounted.mnt, Rc::clone(&world));
        Self { mount, world, truth, actual, made: Vec::new() }
    }

    /// Gives the names that a listing may show for each of the blocks that are left.
    fn run(&mut self, seed: u64, count: usize) -> Result<Vec<BTreeSet<String>>, Failure> {
        let seed = seed.wrapping_add(self.world.lane.number as u64 + 1);
        let mut generator = Generator::new(seed, Rc::clone(&self.world), Mix { alone: false });
        for number in 1..=count {
            let op = generator.next(&self.truth);
            self.made.push(op.clone());
            self.make(&op)?;
            if number % INSPECTED_EVERY == 0 {
                self.make_all(self.truth.inspection(false))?;
            }
        }
        self.make_all(self.truth.closing())?;
        self.make_all(self.truth.inspection(false))?;
        Ok(self.truth.listings())
    }

    fn make_all(&mut self, ops: Vec<Op>) -> Result<(), Failure> {
        ops.iter().try_for_each(|op| self.make(op))
    }

    fn make(&mut self, op: &Op) -> Result<(), Failure> {
        self.try_make(op).map_err(|what| self.failure(op, &what))
    }

    fn failure(&self, op: &Op, what: &str) -> Failure {
        Failure { made: self.made.clone(), what: format!("{op}: {what}") }
    }

    /// At once, since the descriptors of a thread that has failed are closed when it ends.
    fn note(&self, op: &Op, result: &Result<(), String>) {
        if let Err(what) = result {
            let (lane, failure) = (self.world.lane, self.failure(op, what));
            self.mount.failed.lock().unwrap().get_or_insert(Failed { lane, failure });
        }
    }

    fn try_make(&mut self, op: &Op) -> Result<(), String> {
        if self.mount.failed.lock().unwrap().is_some() {
            return Err("another thread has failed".to_owned());
        }
        let others_too = self.mount.quiet.read().unwrap();
        let (before, unsure, from) = (self.truth.handles(), self.truth.mapped_only(), instant());
        let observed = self.actual.make(op);
        let result = self.truth.judge_answer(op, &observed, (from, instant()));
        self.note(op, &result);
        let after = self.truth.handles();
        self.mount.open.fetch_add(after as i64 - before as i64, Ordering::SeqCst);
        let unsure = self.truth.mapped_only() as i64 - unsure as i64;
        self.mount.unsure.fetch_add(unsure, Ordering::SeqCst);
        drop(others_too);
        if after < before {
            let _alone = self.mount.quiet.write().unwrap();
            let most = self.mount.open.load(Ordering::SeqCst) as usize;
            let least = most - self.mount.unsure.load(Ordering::SeqCst) as usize;
            let ended = wait_for_handles(self.mount.mounted, least..=most, PATIENCE);
            self.note(op, &ended);
            ended?;
        }
        result
    }
}
