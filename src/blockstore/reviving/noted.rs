//! Changes that an engine has acknowledged and may not have on the disk, and blocks that it has refused
//! and may show all the same.
//!
//! Invariant: doing the changes again, in their order, on an engine that has lost some of them gives what
//! was acknowledged; a block that was stored after its removal is not removed again; and a refused block
//! that is shown is made durable, since whoever writes it again is told that it is stored.

use std::collections::VecDeque;

use crate::Result;
use crate::block::{Block, Key};
use crate::datastore::{Datastore, MetaChange, Sync};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Removed(Key),
    Meta(Key, MetaChange),
}

/// The changes since the last sync.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// With the number that each got when it was noted.
    changes: VecDeque<(u64, Change)>,
    next: u64,
    /// At most what was being written when the engine failed: until it is open again nothing is.
    refused: Vec<Block>,
}

impl Noted {
    pub(super) fn note_removed(&mut self, keys: &[Key]) {
        keys.iter().for_each(|key| self.push(Change::Removed(key.clone())));
    }

    pub(super) fn note_meta(&mut self, key: &Key, change: MetaChange) {
        self.push(Change::Meta(key.clone(), change));
    }

    pub(super) fn note_refused(&mut self, blocks: &[Block]) {
        self.refused.extend_from_slice(blocks);
    }

    fn push(&mut self, change: Change) {
        self.changes.push_back((self.next, change));
        self.next += 1;
    }

    /// A place between the changes so far and those to come.
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    /// What was noted before the mark is on the disk.
    pub(super) fn forget_until(&mut self, mark: u64) {
        while self.changes.front().is_some_and(|(number, _)| *number < mark) {
            self.changes.pop_front();
        }
    }

    /// These blocks have been stored anew.
    pub(super) fn forget_keys<'k>(&mut self, keys: impl Iterator<Item = &'k Key>) {
        if self.changes.is_empty() && self.refused.is_empty() {
            return;
        }
        for stored in keys {
            self.refused.retain(|block| block.key() != stored);
            self.changes.retain(|(_, change)| match change {
                Change::Removed(key) | Change::Meta(key, _) => key != stored,
            });
        }
    }

    /// Does it all again, and makes it durable.
    pub(super) fn redo(&mut self, engine: &dyn Datastore) -> Result<()> {
        let mut shown = Vec::new();
        for block in &self.refused {
            if engine.stat(block.key())?.is_some() {
                shown.push(block.clone());
            }
        }
        if !shown.is_empty() {
            engine.put(&shown, Sync::Now)?;
        }
        self.refused.clear();
        if self.changes.is_empty() {
            return Ok(());
        }
        for (_, change) in &self.changes {
            match change {
                Change::Removed(key) => {
                    engine.remove(std::slice::from_ref(key), Sync::Later)?;
                }
                Change::Meta(key, change) => {
                    engine.set_meta(key, *change)?;
                }
            }
        }
        engine.sync()?;
        self.changes.clear();
        Ok(())
    }
}
