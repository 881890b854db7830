//! Verdicts (R5 to R8): when one is due, on what, and what follows.

use std::collections::BTreeSet;
use std::rc::Rc;

use libc::EBADMSG;

use super::{Block, Errno, FileId, Occasion, Subject, Time, Truth, WriterId};
use crate::names::{Key, Kind, NameRef};

/// What the bytes have to be.
enum Wanted {
    This(NameRef),
    /// Whatever block they are.
    Any,
}

/// A CID name's key, and how a listing writes it.
pub(super) fn cid(name: &NameRef) -> (&Key, &str) {
    match &name.kind {
        Kind::Cid { key, listed } => (key, listed),
        Kind::Plain { .. } | Kind::Never { .. } => unreachable!("{name:?} is no CID"),
    }
}

pub(super) fn is_temporary(name: &NameRef) -> bool {
    name.kind == Kind::Plain { temporary: true }
}

impl Truth {
    /// The verdict on a writer's bytes, if one is due.
    pub(super) fn judge(
        &mut self,
        subject: &Subject,
        writer: WriterId,
        occasion: Occasion,
    ) -> Result<(), Errno> {
        if let Some(errno) = self.writer(writer).refused {
            self.take_back_refused(subject, writer);
            return Err(errno);
        }
        let Some(wanted) = self.due(subject, writer, occasion) else {
            return Ok(());
        };
        let state = self.writer(writer);
        (state.fresh, state.judged, state.wrong) = (false, true, false);
        if state.expected.is_some() && state.bytes.is_empty() {
            // R6, R5: nothing at all is no verdict.
            return Ok(());
        }
        let right = match &wanted {
            Wanted::This(name) => cid(name).0.matches(&state.bytes),
            Wanted::Any => true,
        };
        if !right {
            state.wrong = true;
            self.take_back_refused(subject, writer);
            return Err(EBADMSG);
        }
        let key = match &wanted {
            Wanted::This(name) => cid(name).0.clone(),
            Wanted::Any => Key::own(&state.bytes),
        };
        if self.became(subject) && !self.blocks.contains_key(&key) {
            // R5: its name, which is a CID now, was removed since: it stores nothing.
            return Ok(());
        }
        let listed = match (&wanted, subject) {
            // R2: stored again after it was removed, under one of its names that was used last.
            (_, Subject::Rewrite { .. }) => key.forms(),
            (Wanted::This(name), _) => BTreeSet::from([cid(name).1.to_owned()]),
            (Wanted::Any, _) => BTreeSet::from([key.listed_raw()]),
        };
        let mtime = match subject {
            Subject::File(file) => self.files[file].mtime.clone(),
            Subject::Block { .. } | Subject::Rewrite { .. } => self.now(),
        };
        self.store(subject, writer, &key, listed, mtime);
        Ok(())
    }

    fn became(&self, subject: &Subject) -> bool {
        matches!(subject, Subject::File(id) if self.files[id].became.is_some())
    }

    fn due(&self, subject: &Subject, writer: WriterId, occasion: Occasion) -> Option<Wanted> {
        let state = &self.writers[&writer];
        let unsettled = state.fresh || state.wrong;
        let file = match subject {
            Subject::Block { .. } => return None,
            Subject::Rewrite { name, .. } => return unsettled.then(|| Wanted::This(name.clone())),
            Subject::File(file) => &self.files[file],
        };
        if let Some(name) = &file.became {
            return unsettled.then(|| Wanted::This(name.clone()));
        }
        // R5: a staged file whose name was removed stores nothing.
        let name = file.name.as_ref()?;
        if let Some(name) = &file.cid {
            let due = if state.bytes.is_empty() {
                // R5: an empty file is stored only under the CID of the empty block.
                !state.judged && cid(name).0.matches(&[])
            } else {
                unsettled
            };
            return due.then(|| Wanted::This(name.clone()));
        }
        // R7: temporary names store nothing until they are renamed, or synced.
        let stores = !is_temporary(name) || matches!(occasion, Occasion::Fsync | Occasion::Rename);
        (stores && state.fresh && !state.bytes.is_empty()).then_some(Wanted::Any)
    }

    /// The bytes are a block; what they were found right for becomes of them.
    pub(super) fn store(
        &mut self,
        subject: &Subject,
        writer: WriterId,
        key: &Key,
        listed: BTreeSet<String>,
        mtime: Time,
    ) {
        if key.identity().is_none() {
            self.put(writer, key, listed, mtime);
        }
        let mine = self.blocks.get(key).is_some_and(|block| block.claimed_by == Some(writer));
        let stays = matches!(subject, Subject::File(file) if !self.may_take_back(*file));
        if mine && stays {
            self.give_up(key, writer);
        }
        let kept = (mine && !stays).then(|| key.clone());
        let earlier = std::mem::replace(&mut self.writer(writer).made, kept.clone());
        match subject {
            Subject::File(id) if self.files[id].cid.is_some() => {
                self.staged.retain(|_, staged| staged != id);
                self.file(*id).stored = true;
            }
            Subject::File(id) => {
                let was_claimed = earlier.is_some();
                let file = self.file(*id);
                let before = file.alias.replace(key.clone());
                if kept.is_none() {
                    file.before = None;
                } else if !was_claimed {
                    file.before = before;
                }
            }
            Subject::Block { .. } | Subject::Rewrite { .. } => {}
        }
        // R7: if a descriptor stores some bytes at an early close and then goes on writing, the first
        // block does not stay behind.
        if let Some(earlier) = earlier.filter(|earlier| earlier != key) {
            self.remove_made(&earlier, writer);
        }
    }

    fn put(&mut self, writer: WriterId, key: &Key, listed: BTreeSet<String>, mtime: Time) {
        if let Some(block) = self.blocks.get_mut(key) {
            if block.claimed_by != Some(writer) {
                block.claimed_by = None;
            }
            return;
        }
        let bytes: Rc<[u8]> = self.writers[&writer].bytes.clone().into();
        self.unsynced.remove(key);
        self.blocks.insert(key.clone(), Block { bytes, listed, mtime, claimed_by: Some(writer) });
    }

    /// R7: under a plain name a block is taken back only if no other descriptor can have been told of
    /// it.
    fn may_take_back(&self, file: FileId) -> bool {
        let temporary = self.files[&file].name.as_ref().is_some_and(is_temporary);
        self.files[&file].cid.is_some() || temporary || self.writing(file) == 1
    }

    /// What a writer made stays for good.
    pub(super) fn give_up(&mut self, key: &Key, writer: WriterId) {
        if let Some(block) = self.blocks.get_mut(key)
            && block.claimed_by == Some(writer)
        {
            block.claimed_by = None;
        }
    }

    pub(super) fn keep_made(&mut self, writer: WriterId) {
        if let Some(made) = self.writer(writer).made.take() {
            self.give_up(&made, writer);
        }
    }

    /// A writer was refused: what its early close made goes, and a name stands for what it did before.
    fn take_back_refused(&mut self, subject: &Subject, writer: WriterId) {
        let made = self.writer(writer).made.clone();
        if let (Subject::File(id), Some(made)) = (subject, &made)
            && self.files[id].alias.as_ref() == Some(made)
        {
            let before = self.file(*id).before.take().filter(|before| self.blocks.contains_key(before));
            self.file(*id).alias = before;
        }
        self.take_back(writer);
    }

    pub(super) fn take_back(&mut self, writer: WriterId) {
        if let Some(made) = self.writer(writer).made.take() {
            self.remove_made(&made, writer);
        }
    }

    fn remove_made(&mut self, key: &Key, writer: WriterId) {
        let mine = self.blocks.get(key).is_some_and(|block| block.claimed_by == Some(writer));
        self.give_up(key, writer);
        if mine && !self.is_aliased(key) {
            self.remove_block(key);
        }
    }

    /// A block goes; whoever has it open goes on reading it.
    pub(super) fn remove_block(&mut self, key: &Key) {
        if let Some(block) = self.blocks.remove(key) {
            self.note_unsynced(key, block);
        }
    }

    /// A kill may bring a block back as it was at any moment since the last fsync of the root.
    pub(super) fn note_unsynced(&mut self, key: &Key, now: Block) {
        let before = self.unsynced.entry(key.clone()).or_insert_with(|| now.clone());
        before.mtime = Time::either(&before.mtime, &now.mtime);
    }
}
