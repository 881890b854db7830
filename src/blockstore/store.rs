//! The opened store: what the layers above may do with blocks.
//!
//! Invariant: the engine is owned here alone, and [`Blockstore::close`] is the only way to let go
//! of it: background work ends first, then the engine closes, then the lock is released.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tracing::error;

use super::backlog::Backlog;
use super::commit::{Done, GroupCommit, Pending, Promise, Stored};
use super::data_dir::{self, Locks};
use super::open_block::{OpenBlocks, find};
use super::reserve::Reserve;
use super::syncer::Syncer;
use super::verified_keys::VerifiedKeys;
use super::{Durability, StoreOptions, VerifyReads};
use crate::block::{Block, Key, Meta};
use crate::datastore::{Backend, Datastore, ListedKey, MetaChange, Position, Sync, Usage};
use crate::metrics::{Count, Metrics};
use crate::sys::Space;
use crate::{Error, Result};

/// What is known of an opened store, for people.
#[derive(Debug, Clone)]
pub struct StoreInfo {
    /// The row of its backend.
    pub backend: &'static Backend,
    /// The data directory, if the backend has one.
    pub data_path: Option<PathBuf>,
    /// The store's own identifier; empty without a data directory.
    pub store_id: String,
    /// Whether the lock is held.
    pub locked: bool,
    /// Whether another program may add and remove blocks meanwhile.
    pub shared: bool,
    /// What a close promises, which may be more than was asked for.
    pub durability: Durability,
}

/// The engine and what every part of the store shares.
pub(super) struct Engine {
    pub datastore: Box<dyn Datastore>,
    pub verify_reads: VerifyReads,
    pub read_only: bool,
    pub open_blocks: OpenBlocks,
    pub verified: Mutex<VerifiedKeys>,
    pub metrics: Arc<Metrics>,
    pub durability: Durability,
    pub backlog: Backlog,
    commits: GroupCommit,
}

/// An opened data directory. See the module for its invariant.
pub struct Blockstore {
    pub(super) engine: Arc<Engine>,
    syncer: Syncer,
    reserve: Option<Reserve>,
    memory_limit_bytes: u64,
    info: StoreInfo,
    // The last field: the locks outlive the engine even where a store is dropped unclosed.
    locks: Option<Locks>,
}

impl Blockstore {
    /// Opens the store that `options` name: looks, locks, checks the marker, opens the engine.
    ///
    /// # Errors
    /// [`Error::Locked`] and [`Error::LockedByProgram`] after the lock wait, [`Error::BackendMismatch`], [`Error::StoreForeign`],
    /// [`Error::FormatNewer`], [`Error::StoreDamaged`], and what the system says.
    pub fn open(options: &StoreOptions, metrics: Arc<Metrics>) -> Result<Self> {
        let opened = data_dir::open(options)?;
        let reserve = match &opened.data_path {
            Some(path) => Some(Reserve {
                directory: File::open(path).map_err(|error| Error::io_at("open", path, error))?,
                path: path.clone(),
                min_free_bytes: options.min_free_space_bytes,
                file_per_block: opened.backend.file_per_block,
            }),
            None => None,
        };
        let info = StoreInfo {
            backend: opened.backend,
            data_path: opened.data_path,
            store_id: opened.store_id,
            locked: opened.locks.is_some(),
            shared: opened.shared,
            durability: options.durability.on(opened.backend),
        };
        Self::assemble(opened.datastore, options, metrics, reserve, info, opened.locks)
    }

    /// A store on an engine that the caller has opened, without data directory and lock: for
    /// engines that wrap others, such as those that inject faults.
    pub fn with_datastore(
        datastore: Box<dyn Datastore>,
        backend: &'static Backend,
        options: &StoreOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let info = StoreInfo {
            backend,
            data_path: None,
            store_id: String::new(),
            locked: false,
            shared: false,
            durability: options.durability.on(backend),
        };
        Self::assemble(datastore, options, metrics, None, info, None)
    }

    fn assemble(
        datastore: Box<dyn Datastore>,
        options: &StoreOptions,
        metrics: Arc<Metrics>,
        reserve: Option<Reserve>,
        info: StoreInfo,
        locks: Option<Locks>,
    ) -> Result<Self> {
        let engine = Arc::new(Engine {
            datastore,
            verify_reads: options.verify_reads,
            read_only: options.read_only,
            open_blocks: OpenBlocks::default(),
            verified: Mutex::default(),
            metrics,
            durability: info.durability,
            backlog: Backlog::default(),
            commits: GroupCommit::default(),
        });
        let syncer = Syncer::start(&engine)?;
        Ok(Self { engine, syncer, reserve, memory_limit_bytes: options.memory_limit_bytes, info, locks })
    }

    /// What this store is.
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.engine.metrics
    }

    /// When bytes are checked on reading.
    pub fn verify_reads(&self) -> VerifyReads {
        self.engine.verify_reads
    }

    /// Size, time and CID form of a stored block.
    pub fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.engine.datastore.stat(key)
    }

    /// A page of keys behind a position: see [`Datastore::list`].
    pub fn list(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>> {
        self.engine.datastore.list(after, limit)
    }

    /// Where a key stands in the listing: see [`Datastore::position`].
    pub fn position(&self, key: &Key) -> Position {
        self.engine.datastore.position(key)
    }

    /// Stores a block and tells `done` once it is as durable as is promised. The calling thread may
    /// lead a batch, so `done` may run on it or on another.
    pub fn submit(&self, block: Block, promise: Promise, done: Done) {
        self.submit_all(std::iter::once(Pending { block, promise, done }));
    }

    fn submit_all(&self, pending: impl IntoIterator<Item = Pending>) {
        self.engine.commits.submit(pending, |batch| self.engine.write_batch(batch));
        // For the blocks' sake, or so that the engine notes what it takes on the disk.
        if self.engine.durability == Durability::Relaxed || self.info.backend.file_per_block {
            self.syncer.wake();
        }
    }

    /// Stores a block and waits for it.
    pub fn put(&self, block: Block) -> Result<Stored> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(
            block,
            Promise::Close,
            Box::new(move |result| {
                // The receiver waits below and cannot have gone.
                let _ = sender.send(result);
            }),
        );
        receiver.recv().map_err(|_| unanswered())?
    }

    /// Stores blocks together, with one sync for many of them, and waits for all. The answers are in
    /// the order of the blocks.
    pub fn put_all(&self, blocks: Vec<Block>) -> Vec<Result<Stored>> {
        let count = blocks.len();
        let (sender, receiver) = mpsc::channel();
        self.submit_all(blocks.into_iter().enumerate().map(|(index, block)| {
            let sender = sender.clone();
            // The receiver waits below and cannot have gone.
            let done = move |result| drop(sender.send((index, result)));
            Pending { block, promise: Promise::Close, done: Box::new(done) }
        }));
        drop(sender);
        let mut answers: Vec<Result<Stored>> =
            std::iter::repeat_with(|| Err(unanswered())).take(count).collect();
        for (index, answer) in receiver {
            if let Some(place) = answers.get_mut(index) {
                *place = answer;
            }
        }
        answers
    }

    /// Removes a block; `false` if it was not there. Open handles keep reading it. The removal is
    /// durable within about a second.
    pub fn remove(&self, key: &Key) -> Result<bool> {
        let engine = &self.engine;
        if engine.read_only {
            return Err(Error::ReadOnly);
        }
        let stripe = engine.open_blocks.lock(key);
        if let Some(open) = stripe.as_ref().and_then(|stripe| find(stripe, key)) {
            engine.pin(&open)?;
        }
        let removed = engine.datastore.remove(std::slice::from_ref(key), Sync::Later)? > 0;
        if let Some(mut stripe) = stripe {
            stripe.remove(key);
        }
        engine.verified.lock().remove(key);
        if removed {
            engine.metrics.add(Count::BlocksRemoved, 1);
            self.syncer.wake();
        }
        Ok(removed)
    }

    /// Changes the modification time of a stored block; `false` if it is not there.
    pub fn set_mtime(&self, key: &Key, mtime: SystemTime) -> Result<bool> {
        if self.engine.read_only {
            return Err(Error::ReadOnly);
        }
        let found = self.engine.datastore.set_meta(key, MetaChange { mtime: Some(mtime), cid_form: None })?;
        self.syncer.wake();
        Ok(found)
    }

    /// Whether `more_bytes` of new blocks (all that is staged, and what is about to be) fit.
    pub fn check_space(&self, more_bytes: u64) -> Result<()> {
        match &self.reserve {
            Some(reserve) => {
                let pending = self.engine.datastore.pending_bytes();
                reserve.check(more_bytes.saturating_add(pending)).inspect_err(|_| {
                    // The engine may have room again when it has written out what it holds.
                    if pending > 0 {
                        self.syncer.wake();
                    }
                })
            }
            None => {
                let used = self.engine.datastore.usage()?.disk_bytes;
                if used.saturating_add(more_bytes) > self.memory_limit_bytes {
                    return Err(Error::MemoryFull { limit_bytes: self.memory_limit_bytes });
                }
                Ok(())
            }
        }
    }

    /// Free space that new blocks must leave; `None` without a data directory.
    pub fn min_free_space_bytes(&self) -> Option<u64> {
        self.reserve.as_ref().map(|reserve| reserve.min_free_bytes)
    }

    /// What `df` is to show.
    pub fn space(&self) -> Result<Space> {
        if let Some(reserve) = &self.reserve {
            return reserve.space();
        }
        let usage = self.engine.datastore.usage()?;
        let free_bytes = self.memory_limit_bytes.saturating_sub(usage.disk_bytes);
        let blocks = usage.blocks.unwrap_or_default();
        // The smallest blocks decide how many more would fit; one byte each is the bound.
        let free_inodes = free_bytes;
        Ok(Space {
            total_bytes: self.memory_limit_bytes,
            free_bytes,
            total_inodes: blocks.saturating_add(free_inodes),
            free_inodes,
            block_bytes: 4096,
        })
    }

    /// What the store holds and takes, cheaply.
    pub fn usage(&self) -> Result<Usage> {
        self.engine.datastore.usage()
    }

    /// Makes everything durable that was acknowledged before the call, deletions included.
    pub fn sync(&self) -> Result<()> {
        if self.engine.read_only { Ok(()) } else { self.engine.sync() }
    }

    /// Makes every block durable that was acknowledged before the call. Costs nothing where all are.
    pub fn sync_blocks(&self) -> Result<()> {
        self.engine.sync_blocks()
    }

    /// Ends background work, closes the engine, releases the lock.
    pub fn close(self) -> Result<()> {
        let Self { engine, syncer, locks, .. } = self;
        syncer.stop();
        let closed = match Arc::into_inner(engine) {
            Some(engine) => engine.datastore.close(),
            None => Err(Error::Internal { what: "the engine is still in use and was not closed".into() }),
        };
        if let Err(failure) = &closed {
            error!(error = %failure, "the store did not close cleanly");
        }
        match locks {
            Some(locks) if closed.is_ok() => locks.release(),
            Some(locks) => locks.abandon(),
            None => {}
        }
        closed
    }
}

fn unanswered() -> Error {
    Error::Internal { what: "a write was dropped without an answer".into() }
}
