//! One run after another on mounts of its own: the store is emptied in between.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::actual::{self, Actual, wait_for_handles};
use super::common::{Bench, Mounted, durable_backends};
use super::generate::{Generator, Mix};
use super::names::{Lane, World};
use super::op::Op;
use super::truth::{Answer, Truth, instant};

/// So many operations are between two looks at everything.
pub const INSPECTED_EVERY: usize = 250;

/// An operation that was not answered as it has to be, or left something behind.
#[derive(Debug)]
pub struct Failure {
    /// What was made on this mount until then, in order.
    pub made: Vec<Op>,
    pub what: String,
}

/// A model and a mount side by side.
pub struct Player<'a> {
    bench: &'a Bench,
    world: Rc<World>,
    truth: Truth,
    /// Before the mount, whose end waits for open files.
    actual: Actual,
    mounted: Option<Mounted>,
    made: Vec<Op>,
    /// Whether each operation is printed before it is made: for one that ends this program.
    traced: bool,
    patience: Duration,
}

/// How long what was closed may take to end, on a machine that does other work too.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn world(seed: u64) -> Rc<World> {
    Rc::new(World::new(seed, Lane::ALONE))
}

impl<'a> Player<'a> {
    /// On an empty store.
    pub fn new(bench: &'a Bench, world: Rc<World>, patience: Duration) -> Self {
        let mounted = Some(actual::mount(bench));
        let durable = durable_backends().contains(&bench.backend);
        let truth = Truth::new(Rc::clone(&world), durable);
        let actual = Actual::new(&bench.mnt(), Rc::clone(&world));
        let traced = std::env::var_os("IPFS_PERSIST_TEST_TRACE").is_some();
        Self { bench, mounted, world, truth, actual, made: Vec::new(), traced, patience }
    }

    fn mounted(&self) -> &Mounted {
        self.mounted.as_ref().unwrap()
    }

    /// Draws operations and makes them, looks at everything now and then, and empties the store.
    pub fn run(&mut self, seed: u64, count: usize) -> Result<(), Failure> {
        let mut generator = Generator::new(seed, Rc::clone(&self.world), Mix { alone: true });
        for number in 1..=count {
            let op = generator.next(&self.truth);
            self.made.push(op.clone());
            self.make(&op).map_err(|what| self.failure(&op, &what))?;
            if number % INSPECTED_EVERY == 0 {
                self.inspect()?;
            }
        }
        self.inspect()?;
        self.empty()
    }

    /// Makes these operations, but for those that cannot be made, and looks at what is left.
    pub fn replay(&mut self, ops: &[Op]) -> Result<(), Failure> {
        for op in ops {
            if self.truth.applies(op) {
                self.made.push(op.clone());
                self.make(op).map_err(|what| self.failure(op, &what))?;
            }
        }
        self.inspect()?;
        self.empty()
    }

    fn failure(&self, op: &Op, what: &str) -> Failure {
        Failure { made: self.made.clone(), what: format!("{op}: {what}") }
    }

    /// Operations that look, or clean up.
    fn make_all(&mut self, ops: Vec<Op>) -> Result<(), Failure> {
        for op in ops {
            self.make(&op).map_err(|what| self.failure(&op, &format!("{what} (when looking)")))?;
        }
        Ok(())
    }

    fn inspect(&mut self) -> Result<(), Failure> {
        let ops = self.truth.inspection(true);
        self.make_all(ops)
    }

    fn make(&mut self, op: &Op) -> Result<(), String> {
        if self.traced {
            eprintln!("{op}");
        }
        match op {
            Op::Remount => {
                for closing in self.truth.closing() {
                    self.make(&closing).map_err(|what| format!("{closing}: {what}"))?;
                }
                self.mounted.take().unwrap().unmount();
                self.mounted = Some(actual::mount(self.bench));
                self.truth.judge_answer(op, &Ok(Answer::Nothing), (instant(), instant()))
            }
            Op::Kill => {
                self.mounted.take().unwrap().crash();
                self.actual.drop_all();
                self.mounted = Some(actual::mount(self.bench));
                let names = actual::list(&self.bench.mnt());
                self.truth.judge_answer(op, &Ok(Answer::Names(names)), (instant(), instant()))
            }
            _ => {
                let (handles, from) = (self.truth.handles(), instant());
                let observed = self.actual.make(op);
                let result = self.truth.judge_answer(op, &observed, (from, instant()));
                if self.truth.handles() < handles {
                    let (most, unsure) = (self.truth.handles(), self.truth.mapped_only());
                    wait_for_handles(self.mounted(), most - unsure..=most, self.patience)?;
                }
                result
            }
        }
    }

    /// Removes everything, so that the next run begins with an empty store.
    fn empty(&mut self) -> Result<(), Failure> {
        let closing = self.truth.closing();
        self.make_all(closing.clone())?;
        let plain: Vec<Op> = self.truth.plain_names().into_iter().map(Op::Unlink).collect();
        self.make_all(plain.clone())?;
        let blocks: Vec<Op> = self.truth.block_names().into_iter().map(Op::Unlink).collect();
        self.make_all(blocks.clone())?;
        self.make_all(vec![Op::List, Op::SyncRoot])?;
        self.made.extend(closing.into_iter().chain(plain).chain(blocks));
        let stats = self.mounted().stats();
        let left: BTreeSet<&str> = ["staged_bytes", "open_handles", "names"]
            .into_iter()
            .filter(|gauge| stats["gauges"][gauge] != 0)
            .collect();
        if left.is_empty() && stats["counters"]["panics"] == 0 {
            return Ok(());
        }
        let what = format!("left behind: {left:?} in {stats:#}");
        Err(Failure { made: self.made.clone(), what })
    }

    /// Ends the mount.
    pub fn finish(mut self) {
        self.mounted.take().unwrap().unmount();
    }
}
