//! The verdict on written bytes, at close and fsync, and what follows from it.
//!
//! due? -> freeze (hash) -> submit to the store -> settle names, claims and waiting closers.

use std::sync::Arc;

use tracing::{debug, warn};

use super::core::Shared;
use super::file::{File, Naming};
use super::handle::{Open, Subject};
use super::inode::Access;
use super::tables::Tables;
use super::target::Target;
use super::types::{Done, Handle};
use super::writer::{Content, Writer, WriterState};
use crate::block::{Block, Cid, CidForm, Key, canonical, digest_of};
use crate::blockstore::{Promise, Stored};
use crate::metrics::Count;
use crate::{Error, Result};

/// What truncating a stored block is answered with.
pub(super) const LENGTH_KEPT: Error = Error::NotPermitted { what: "a stored block cannot change its length" };

/// What asks for a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A close.
    Flush,
    /// An fsync, which promises durability even under a temporary name.
    Fsync,
    /// The last close of a handle, whose error nobody sees.
    Release,
    /// The name becomes one under which bytes are stored.
    Rename,
    /// A truncation by path of a file that nobody has open to write, so that no close will come.
    Truncation,
}

impl Occasion {
    /// Whether the bytes are no open handle's, so that nobody is left who could write them again.
    fn is_by_name(self) -> bool {
        self == Occasion::Rename || self == Occasion::Truncation
    }
}

/// A block on its way, and who is told.
struct Commit {
    subject: Subject,
    writer: Arc<Writer>,
    block: Block,
    occasion: Occasion,
    done: Done,
}

impl Shared {
    /// A handle is closed, or synced: answers `done` when the verdict has fallen.
    pub(super) fn verdict(self: &Arc<Self>, handle: Handle, occasion: Occasion, done: Done) {
        match self.handles.get(handle) {
            Ok(open) => match &*open {
                Open::Writer(open) if open.writes => {
                    self.judge(&open.subject, &open.writer, occasion, done);
                }
                _ => self.nothing_due(occasion, done),
            },
            Err(error) => done(Err(error)),
        }
    }

    /// Judges what a writer has, if a verdict is due, and commits it.
    pub(super) fn judge(
        self: &Arc<Self>,
        subject: &Subject,
        writer: &Arc<Writer>,
        occasion: Occasion,
        done: Done,
    ) {
        let mut state = writer.state.lock();
        if state.committing {
            // Bytes that came meanwhile are not in that commit: they are judged when it has ended. If
            // one was refused meanwhile, what the commit makes can be taken back only then.
            let (shared, subject, again) = (Arc::clone(self), subject.clone(), Arc::clone(writer));
            state.waiting.push(Box::new(move |result| match result {
                Ok(()) => shared.judge(&subject, &again, occasion, done),
                Err(error) => done(Err(error)),
            }));
            return;
        }
        if let Some(error) = state.refused.clone() {
            drop(state);
            self.take_back_of(subject, writer);
            return done(Err(error));
        }
        let Some(target) = self.due(subject, &state, occasion) else {
            drop(state);
            return self.nothing_due(occasion, done);
        };
        let repeated = state.wrong && !state.fresh;
        state.fresh = false;
        state.judged = true;
        state.wrong = false;
        let frozen = match &state.content {
            Content::Rewrite { expected, length, cut } => match rewritten(subject, expected, *length, *cut) {
                Ok(block) => block.map_or(Ok(None), |()| self.rewrite_block(subject, expected).map(Some)),
                Err(error) => Err(error),
            },
            _ => {
                let mtime = match subject {
                    Subject::File(file) => file.mtime(),
                    Subject::Block(..) => std::time::SystemTime::now(),
                };
                state.freeze(&target, mtime, &self.room()).map(Some)
            }
        };
        match frozen {
            Ok(Some(block)) => {
                state.committing = true;
                drop(state);
                let (subject, writer) = (subject.clone(), Arc::clone(writer));
                self.commit(Commit { subject, writer, block, occasion, done });
            }
            Ok(None) => {
                drop(state);
                done(Ok(()));
            }
            Err(error) => {
                let mismatch = matches!(error, Error::Mismatch { .. } | Error::Differs { .. });
                if mismatch && !repeated {
                    self.metrics().add(Count::Mismatches, 1);
                }
                state.wrong = mismatch || matches!(error, Error::NotPermitted { .. });
                if !state.wrong {
                    state.refuse_for_good(error.clone());
                }
                drop(state);
                self.take_back_of(subject, writer);
                done(Err(error));
            }
        }
    }

    /// Nothing new was written: an fsync still makes what was stored before durable.
    fn nothing_due(&self, occasion: Occasion, done: Done) {
        done(if occasion == Occasion::Fsync { self.store.sync_blocks() } else { Ok(()) });
    }

    /// Whether a verdict is due, and on what.
    fn due(&self, subject: &Subject, state: &WriterState, occasion: Occasion) -> Option<Target> {
        let file = match subject {
            Subject::Block(_, cid) => return (state.fresh || state.wrong).then(|| Target::Cid(cid.clone())),
            Subject::File(file) => file,
        };
        if let Some(cid) = &file.state.lock().became {
            return (state.fresh || state.wrong).then(|| Target::Cid(cid.clone()));
        }
        // Asked once: a file that loses its name meanwhile is not one under an ordinary name.
        let temporary = file.temporary()?;
        match &file.naming {
            Naming::Cid(cid) => {
                let due = if state.len() == 0 {
                    // No bytes at all are a block only under the CID of the empty block.
                    !state.judged && is_empty_block(cid.key())
                } else {
                    state.fresh || state.wrong
                };
                due.then(|| Target::Cid(cid.clone()))
            }
            Naming::Plain(_) => {
                let stored = occasion == Occasion::Fsync || occasion == Occasion::Rename || !temporary;
                (stored && state.fresh && state.len() > 0).then_some(Target::Any(self.options.cid_options))
            }
        }
    }

    /// Stores what a file has as exactly the block `cid`, whether a verdict has fallen before or not.
    pub(super) fn commit_as(self: &Arc<Self>, file: &Arc<File>, writer: &Arc<Writer>, cid: Cid, done: Done) {
        let mut state = writer.state.lock();
        if let Some(error) = state.refused.clone() {
            drop(state);
            return done(Err(error));
        }
        if state.committing {
            let (shared, file, writer) = (Arc::clone(self), Arc::clone(file), Arc::clone(writer));
            let again: Done = Box::new(move |result| match result {
                Ok(()) => shared.commit_as(&file, &writer, cid, done),
                Err(error) => done(Err(error)),
            });
            state.waiting.push(again);
            return;
        }
        match state.freeze(&Target::Cid(cid.clone()), file.mtime(), &self.room()) {
            Ok(block) => {
                state.fresh = false;
                state.committing = true;
                drop(state);
                let subject = Subject::Block(file.ino, cid);
                let (writer, occasion) = (Arc::clone(writer), Occasion::Rename);
                self.commit(Commit { subject, writer, block, occasion, done });
            }
            Err(error) => {
                drop(state);
                self.metrics().add(Count::Mismatches, 1);
                done(Err(error));
            }
        }
    }

    fn rewrite_block(&self, subject: &Subject, expected: &bytes::Bytes) -> Result<Block> {
        match subject {
            Subject::Block(_, cid) => Block::verify(cid, expected.clone(), std::time::SystemTime::now()),
            Subject::File(_) => Err(Error::Internal { what: "a rewrite without its block".into() }),
        }
    }

    fn commit(self: &Arc<Self>, commit: Commit) {
        let key = commit.block.key().clone();
        if key.is_identity() {
            // An identity CID holds its own bytes: there is nothing to store.
            return self.settle(commit, Ok(Stored::Already));
        }
        {
            let mut tables = self.tables.lock();
            tables.claims.begin(&key, commit.writer.id);
            if is_plain(&commit.subject) {
                tables.stand_on(&key);
            }
        }
        let shared = Arc::clone(self);
        let block = commit.block.clone();
        let promise = if commit.occasion == Occasion::Fsync { Promise::Durable } else { Promise::Close };
        self.store.submit(block, promise, Box::new(move |result| shared.settle(commit, result)));
    }

    /// The store has answered: names, claims, memory, then everybody who waits.
    fn settle(self: &Arc<Self>, commit: Commit, result: Result<Stored>) {
        let Commit { subject, writer, block, occasion, done } = commit;
        let key = block.key();
        let mut stays = true;
        let answer = match result {
            Ok(stored) => {
                stays = self.settle_names(&subject, &writer, &block, stored);
                match stored {
                    Stored::New => self.listing_changed(),
                    Stored::Healed => self.retire(key, Access::Any),
                    Stored::Already => {}
                }
                Ok(())
            }
            Err(error) => {
                let mut tables = self.tables.lock();
                if !key.is_identity() {
                    tables.claims.finish(key, writer.id, None);
                    if is_plain(&subject) {
                        tables.stand_off(key);
                    }
                }
                drop(tables);
                self.take_back_of(&subject, &writer);
                Err(error)
            }
        };
        let waiting = {
            let mut state = writer.state.lock();
            state.committing = false;
            match &answer {
                Ok(()) if stays => state.arrived(&block),
                // Who has it open goes on reading what was written, from memory.
                Ok(()) => {}
                // A name that was to change is as it was, and may be tried again.
                Err(_) if occasion.is_by_name() => state.fresh = true,
                // A handle that was told so stores nothing, also if there should be room later.
                Err(error) => state.refuse_for_good(error.clone()),
            }
            std::mem::take(&mut state.waiting)
        };
        drop(block);
        done(answer.clone());
        waiting.into_iter().for_each(|waiting| waiting(answer.clone()));
    }

    /// Says whether the block stays: one whose only name was removed while its bytes were on the way
    /// goes again.
    fn settle_names(
        self: &Arc<Self>,
        subject: &Subject,
        writer: &Arc<Writer>,
        block: &Block,
        stored: Stored,
    ) -> bool {
        let key = block.key();
        let mut tables = self.tables.lock();
        let made = !key.is_identity() && tables.claims.finish(key, writer.id, Some(stored));
        let unnamed = matches!(subject, Subject::File(file) if file.state.lock().name.is_none());
        let stays = !unnamed && matches!(subject, Subject::File(file) if !file.may_take_back());
        if made && stays {
            tables.claims.give_up(key, writer.id);
        }
        let kept = (made && !stays).then(|| key.clone());
        let for_now = kept.is_some();
        let previous = std::mem::replace(&mut writer.state.lock().made, kept);
        let mut gone = Vec::new();
        match subject {
            Subject::File(file) => match &file.naming {
                Naming::Cid(_) => {
                    tables.unstage(file, key);
                    file.state.lock().committed = true;
                }
                Naming::Plain(_) if unnamed => tables.stand_off(key),
                Naming::Plain(_) if for_now => {
                    tables.set_alias_for_now(file, key.clone(), previous.is_none());
                }
                Naming::Plain(_) => tables.set_alias(file, Some(key.clone())),
            },
            Subject::Block(..) => {}
        }
        if unnamed {
            // Removed while its bytes were on the way: it stores nothing.
            writer.state.lock().made = None;
            gone.push(key.clone());
        }
        if let Some(previous) = previous.filter(|previous| previous != key) {
            gone.push(previous);
        }
        let mut stays = true;
        for gone in gone {
            if tables.claims.give_up(&gone, writer.id) && !tables.is_stood_on(&gone) {
                self.remove_made(&gone);
                stays &= gone != *key;
            }
        }
        stays
    }

    /// As [`Shared::take_back`], for a writer that was refused: its name stands for what it did before.
    fn take_back_of(&self, subject: &Subject, writer: &Writer) {
        let mut tables = self.tables.lock();
        if let Subject::File(file) = subject {
            let made = writer.state.lock().made.clone();
            let (alias_of, before) = {
                let state = file.state.lock();
                (state.alias_of.clone(), state.before.clone())
            };
            if made.is_some() && made == alias_of {
                // It was not kept from being removed meanwhile.
                let before = before.filter(|key| self.store.stat(key).is_ok_and(|meta| meta.is_some()));
                if let Some(before) = &before {
                    tables.stand_on(before);
                }
                tables.set_alias(file, before);
            }
        }
        self.take_back(&mut tables, writer);
    }

    /// Removes the block that a writer's earlier close made, if nobody else has stored it since.
    pub(super) fn take_back(&self, tables: &mut Tables, writer: &Writer) {
        let Some(key) = writer.state.lock().made.take() else {
            return;
        };
        if tables.claims.give_up(&key, writer.id) && !tables.is_stood_on(&key) {
            self.remove_made(&key);
        }
    }

    fn remove_made(&self, key: &Key) {
        debug!(?key, "removing a block that an early close had made");
        if let Err(error) = self.pin_open_files(key).and_then(|()| self.store.remove(key)) {
            warn!(cid = canonical(key, CidForm::Unknown), %error, "a block that an early close had made stays behind");
        }
        self.block_gone(key);
    }
}

/// Whether all of a stored block has been written again. Nothing at all is no verdict, unless it was
/// cut as an open file.
fn rewritten(subject: &Subject, expected: &[u8], length: usize, cut: bool) -> Result<Option<()>> {
    if length == expected.len() {
        return Ok(Some(()));
    }
    if length == 0 {
        return if cut { Err(LENGTH_KEPT) } else { Ok(None) };
    }
    let cid = subject.cid().map(ToString::to_string).unwrap_or_default();
    Err(Error::Differs { cid, at_byte: length as u64 })
}

fn is_plain(subject: &Subject) -> bool {
    matches!(subject, Subject::File(file) if file.shared_writer().is_some())
}

fn is_empty_block(key: &Key) -> bool {
    digest_of(key.code(), key.digest().len(), &[]).is_ok_and(|digest| digest == key.digest())
}
