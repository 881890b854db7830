//! Removing and renaming (R7, R9).

use std::collections::BTreeSet;

use libc::{EBADMSG, EBUSY, EEXIST, EINVAL, ENOENT, EPERM};

use super::bytes::absent;
use super::check::Expected;
use super::judging::{cid, is_temporary};
use super::{Errno, FileId, Meaning, Occasion, Subject, Truth};
use crate::names::{Key, Kind, NameRef};

impl Truth {
    pub(super) fn unlink(&mut self, name: &NameRef) -> Result<(), Errno> {
        match self.meaning(name) {
            Meaning::Nothing => Err(absent(name)),
            Meaning::Block(key) => self.unlink_block(&key),
            Meaning::Staged(id) => {
                self.staged.remove(cid(name).0);
                self.file(id).name = None;
                Ok(())
            }
            Meaning::Plain(id) => {
                self.plain.remove(&name.text);
                self.lose_name(id);
                Ok(())
            }
        }
    }

    fn unlink_block(&mut self, key: &Key) -> Result<(), Errno> {
        if key.identity().is_some() {
            return Err(EPERM);
        }
        if self.is_aliased(key) {
            return Err(EBUSY);
        }
        self.remove_block(key);
        if let Some(id) = self.staged.remove(key) {
            // It is still being written: what is stored then will show, its staging not.
            self.file(id).stored = true;
        }
        Ok(())
    }

    /// A plain name no longer stands for this file.
    fn lose_name(&mut self, id: FileId) {
        let file = self.file(id);
        let name = file.name.take().unwrap();
        (file.alias, file.before) = (None, None);
        let writer = file.shared.unwrap();
        if is_temporary(&name) {
            // R7: a block that exists because a temporary file was synced goes with its name.
            self.take_back(writer);
        } else {
            self.keep_made(writer);
        }
        self.forget_file(id);
    }

    pub(super) fn rename(&mut self, from: &NameRef, to: &NameRef, exclusive: bool) -> Expected {
        let removed =
            matches!(&from.kind, Kind::Cid { .. }) && matches!(self.meaning(from), Meaning::Nothing);
        if removed && exclusive && !matches!(self.meaning(to), Meaning::Nothing) {
            // The kernel may still believe in a name of a block that was removed by another.
            return Expected::AnyOf(vec![Expected::Errno(ENOENT), Expected::Errno(EEXIST)]);
        }
        self.rename_existing(from, to, exclusive).into()
    }

    fn rename_existing(&mut self, from: &NameRef, to: &NameRef, exclusive: bool) -> Result<(), Errno> {
        let source = self.meaning(from);
        if matches!(source, Meaning::Nothing) {
            return Err(absent(from));
        }
        let target = self.meaning(to);
        if let Kind::Never { create, .. } = to.kind {
            return Err(create);
        }
        if exclusive && !matches!(target, Meaning::Nothing) {
            return Err(EEXIST);
        }
        let id = match (source, &target) {
            (Meaning::Block(_) | Meaning::Staged(_), _) => {
                let same = matches!(&to.kind, Kind::Cid { key, .. } if key == cid(from).0);
                return if same { Ok(()) } else { Err(EPERM) };
            }
            (Meaning::Plain(id), Meaning::Plain(other)) if id == *other => return Ok(()),
            (Meaning::Plain(id), _) => id,
            (Meaning::Nothing, _) => return Err(ENOENT),
        };
        match &to.kind {
            Kind::Cid { .. } => self.rename_to_cid(id, to),
            Kind::Plain { temporary } => {
                if !temporary {
                    let writer = self.files[&id].shared.unwrap();
                    self.judge(&Subject::File(id), writer, Occasion::Rename)?;
                }
                self.move_name(id, from, to);
                Ok(())
            }
            Kind::Never { .. } => Err(EINVAL),
        }
    }

    fn move_name(&mut self, id: FileId, from: &NameRef, to: &NameRef) {
        self.plain.remove(&from.text);
        if let Some(replaced) = self.plain.insert(to.text.clone(), id) {
            self.lose_name(replaced);
        }
        self.file(id).name = Some(to.clone());
        if !is_temporary(to) && self.writing(id) == 0 {
            let writer = self.files[&id].shared.unwrap();
            self.keep_made(writer);
        }
    }

    /// R7: renaming to a CID checks the bytes, and the block gets the file's time.
    fn rename_to_cid(&mut self, id: FileId, to: &NameRef) -> Result<(), Errno> {
        let writer = self.files[&id].shared.unwrap();
        let state = &self.writers[&writer];
        if let Some(errno) = state.refused {
            return Err(errno);
        }
        let (key, listed) = cid(to);
        if !key.matches(&state.bytes) {
            return Err(EBADMSG);
        }
        self.writer(writer).fresh = false;
        let mtime = self.files[&id].mtime.clone();
        let subject = Subject::Rewrite { name: to.clone(), key: key.clone(), bytes: [].into() };
        let listed = BTreeSet::from([listed.to_owned()]);
        self.store(&subject, writer, key, listed, mtime.clone());
        self.keep_made(writer);
        self.set_block_time(key, mtime);
        let file = self.file(id);
        (file.alias, file.before) = (None, None);
        file.became = Some(to.clone());
        if let Some(name) = file.name.take() {
            self.plain.remove(&name.text);
        }
        self.forget_file(id);
        Ok(())
    }
}
