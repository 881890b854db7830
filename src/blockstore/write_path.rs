//! The write path: a batch of verified blocks, top to bottom.
//!
//! already there? -> heal what is damaged -> datastore.put, with one sync if that is promised -> answer
//! everybody.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::{error, info};

use super::Durability;
use super::commit::{Done, Pending, Promise, Stored};
use super::open_block::find;
use super::store::Engine;
use crate::block::{Block, CidForm, Key, canonical};
use crate::datastore::{MetaChange, Sync};
use crate::metrics::Count;
use crate::{Error, Result};

impl Engine {
    /// Writes one batch and answers every block in it.
    pub fn write_batch(&self, batch: Vec<Pending>) {
        if self.read_only {
            return batch.into_iter().for_each(|pending| (pending.done)(Err(Error::ReadOnly)));
        }
        if let Err(error) = self.guarded("settling", || self.datastore.settle()) {
            return batch.into_iter().for_each(|pending| (pending.done)(Err(error.clone())));
        }
        let sync = self.sync_of(&batch);
        if sync == Sync::Later
            && self.backlog.is_full()
            && let Err(error) = self.sync()
        {
            return batch.into_iter().for_each(|pending| (pending.done)(Err(error.clone())));
        }
        let mut new = Vec::with_capacity(batch.len());
        let mut repeated = Vec::new();
        let mut keys = HashSet::with_capacity(batch.len());
        for pending in batch {
            if keys.insert(pending.block.key().clone()) {
                self.sort_out(pending, sync, &mut new);
            } else {
                repeated.push(pending);
            }
        }
        self.write_new(new, sync);
        // The same block twice in a batch: the first has been stored or refused by now.
        let mut again = Vec::new();
        repeated.into_iter().for_each(|pending| self.sort_out(pending, sync, &mut again));
        again.into_iter().for_each(|pending| self.write_new(vec![pending], sync));
        self.metrics.add(Count::CommitBatches, 1);
    }

    /// When a batch has to be durable: one promise that it is now goes for all.
    fn sync_of(&self, batch: &[Pending]) -> Sync {
        let promised = |pending: &Pending| pending.promise == Promise::Durable;
        match self.durability {
            Durability::Relaxed if !batch.iter().any(promised) => Sync::Later,
            Durability::Relaxed | Durability::Close => Sync::Now,
        }
    }

    /// Makes everything durable that was acknowledged before the call.
    pub(super) fn sync(&self) -> Result<()> {
        self.backlog.sync(|| self.sync_datastore())
    }

    /// As [`sync`](Self::sync), where blocks wait for it.
    pub(super) fn sync_blocks(&self) -> Result<()> {
        // Nothing is owed then, and nobody need wait for a sync of something else.
        if self.durability == Durability::Close {
            return Ok(());
        }
        self.backlog.settle(|| self.sync_datastore())
    }

    fn sync_datastore(&self) -> Result<()> {
        self.guarded("syncing", || self.datastore.sync())
    }

    /// Answers blocks that are there already and heals damaged ones; the rest goes to `new`.
    fn sort_out(&self, pending: Pending, sync: Sync, new: &mut Vec<Pending>) {
        let (key, form) = (pending.block.key(), pending.block.meta().cid_form);
        match self.guarded("looking for a block", || self.presence(key, form)) {
            Ok(Presence::Absent) => new.push(pending),
            Ok(Presence::Right) => {
                self.metrics.add(Count::BlocksRewritten, 1);
                let durable = if sync == Sync::Now { self.sync_blocks() } else { Ok(()) };
                (pending.done)(durable.map(|()| Stored::Already));
            }
            Ok(Presence::Damaged) => {
                let healed = self.guarded("replacing a block", || self.heal(&pending.block, sync));
                (pending.done)(healed);
            }
            Err(error) => (pending.done)(Err(error)),
        }
    }

    fn presence(&self, key: &Key, form: CidForm) -> Result<Presence> {
        let Some(meta) = self.datastore.stat(key)? else {
            return Ok(Presence::Absent);
        };
        if meta.cid_form == CidForm::Unknown && form != CidForm::Unknown {
            self.datastore.set_meta(key, MetaChange { mtime: None, cid_form: Some(form) })?;
        }
        let right = self.verified.lock().contains(key) || self.check_stored(key)?;
        Ok(if right { Presence::Right } else { Presence::Damaged })
    }

    fn write_new(&self, pending: Vec<Pending>, sync: Sync) {
        let (blocks, dones): (Vec<Block>, Vec<Done>) =
            pending.into_iter().map(|pending| (pending.block, pending.done)).unzip();
        if blocks.is_empty() {
            return;
        }
        match self.put_new(&blocks, sync) {
            Ok(()) => dones.into_iter().for_each(|done| done(Ok(Stored::New))),
            // One block that cannot be stored must not fail its neighbours.
            Err(error) if blocks.len() > 1 => {
                error!(%error, blocks = blocks.len(), "a batch failed; writing its blocks one by one");
                for (block, done) in blocks.iter().zip(dones) {
                    done(self.put_new(std::slice::from_ref(block), sync).map(|()| Stored::New));
                }
            }
            Err(error) => dones.into_iter().take(1).for_each(|done| done(Err(error.clone()))),
        }
    }

    fn put_new(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        self.put(blocks, sync)?;
        for block in blocks {
            self.metrics.add(Count::BlocksStored, 1);
            self.metrics.add(Count::BytesStored, block.bytes().len() as u64);
        }
        Ok(())
    }

    fn put(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        self.guarded("writing", || self.datastore.put(blocks, sync))?;
        if sync == Sync::Later {
            self.backlog.add(blocks.iter().map(|block| block.bytes().len() as u64).sum());
        }
        let mut verified = self.verified.lock();
        blocks.iter().for_each(|block| verified.insert(block.key()));
        Ok(())
    }

    /// Calls the engine where no request would catch its panic: that is the failure of this call
    /// then, and not the end of the thread that others wait for.
    pub(super) fn guarded<T>(&self, what: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            self.metrics.add(Count::Panics, 1);
            error!(what, "the storage engine panicked; the mount goes on");
            Err(Error::Internal { what: format!("the storage engine panicked while {what}") })
        })
    }

    /// Replaces a damaged copy; whoever has it open goes on reading what it had.
    fn heal(&self, block: &Block, sync: Sync) -> Result<Stored> {
        let key = block.key();
        let stripe = self.open_blocks.lock(key);
        if let Some(open) = stripe.as_ref().and_then(|stripe| find(stripe, key)) {
            self.pin(&open)?;
        }
        self.put(std::slice::from_ref(block), sync)?;
        if let Some(mut stripe) = stripe {
            stripe.remove(key);
        }
        self.metrics.add(Count::BlocksHealed, 1);
        info!(cid = canonical(key, block.meta().cid_form), "a damaged block was replaced");
        Ok(Stored::Healed)
    }
}

enum Presence {
    Absent,
    Right,
    Damaged,
}
