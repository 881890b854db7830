//! Renaming.
//!
//! A staged file or alias may get any name; a CID name takes it only if its bytes are that block.
//! Names of blocks are given by their bytes and cannot be changed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use tracing::warn;

use super::core::Shared;
use super::file::File;
use super::handle::Subject;
use super::lookup::Meaning;
use super::types::{Caller, Done, Ino, ROOT};
use super::verdict::Occasion;
use super::writer::Writer;
use crate::block::{Cid, is_temporary};
use crate::{Error, Result};

/// What is to be renamed.
struct Rename {
    file: Arc<File>,
    writer: Arc<Writer>,
    from: OsString,
    to: OsString,
}

impl Shared {
    /// Renames within the root; `exclusive` refuses to replace.
    pub(super) fn rename(
        self: &Arc<Self>,
        parents: (Ino, Ino),
        names: (&OsStr, &OsStr),
        exclusive: bool,
        caller: Caller,
        done: Done,
    ) {
        match self.plan_rename(parents, names, exclusive, caller) {
            Ok(None) => done(Ok(())),
            Ok(Some((rename, Some(cid)))) => self.rename_to_cid(rename, cid, done),
            Ok(Some((rename, None))) => self.rename_to_plain(rename, done),
            Err(error) => done(Err(error)),
        }
    }

    fn plan_rename(
        &self,
        parents: (Ino, Ino),
        names: (&OsStr, &OsStr),
        exclusive: bool,
        caller: Caller,
    ) -> Result<Option<(Rename, Option<Cid>)>> {
        if parents != (ROOT, ROOT) {
            return Err(Error::NotPermitted { what: "the control directory cannot be changed" });
        }
        self.check_change(caller)?;
        let (from, to) = names;
        let source = self.meaning_of_existing(from)?;
        if matches!(source, Meaning::Absent(_) | Meaning::Plain(None)) {
            return Err(Error::NotFound);
        }
        let target = self.meaning(to)?;
        if exclusive && !matches!(target, Meaning::Absent(_) | Meaning::Plain(None)) {
            return Err(Error::Exists);
        }
        let file = match source {
            Meaning::Control => {
                return Err(Error::NotPermitted { what: "the control directory cannot be renamed" });
            }
            Meaning::Absent(_) | Meaning::Plain(None) => return Err(Error::NotFound),
            Meaning::Block(cid, _) | Meaning::Staged(cid, _) => {
                return match target {
                    Meaning::Block(other, _) | Meaning::Staged(other, _) if other.key() == cid.key() => {
                        Ok(None)
                    }
                    _ => Err(Error::NotPermitted { what: "a block's name is its CID and cannot be changed" }),
                };
            }
            Meaning::Plain(Some(file)) => file,
        };
        let cid = match target {
            Meaning::Control => {
                return Err(Error::NotPermitted { what: "the control directory cannot be replaced" });
            }
            Meaning::Block(cid, _) | Meaning::Staged(cid, _) | Meaning::Absent(cid) => Some(cid),
            Meaning::Plain(Some(other)) if Arc::ptr_eq(&other, &file) => return Ok(None),
            Meaning::Plain(_) if self.options.strict => {
                return Err(Error::NameNotCid { name: to.display().to_string() });
            }
            Meaning::Plain(_) => None,
        };
        let writer = file.shared_writer().cloned().ok_or(Error::Stale)?;
        let rename = Rename { file, writer, from: from.to_owned(), to: to.to_owned() };
        Ok(Some((rename, cid)))
    }

    /// The name becomes another: what was only staged under a temporary one is stored first.
    fn rename_to_plain(self: &Arc<Self>, rename: Rename, done: Done) {
        if is_temporary(rename.to.as_bytes()) {
            return done(self.move_name(&rename));
        }
        let shared = Arc::clone(self);
        let (file, writer) = (Arc::clone(&rename.file), Arc::clone(&rename.writer));
        let settled: Done = Box::new(move |result| {
            done(result.and_then(|()| {
                shared.move_name(&rename)?;
                shared.keep_made(&rename.file, &rename.writer);
                Ok(())
            }));
        });
        self.judge(&Subject::File(file), &writer, Occasion::Rename, settled);
    }

    /// The name becomes a CID: the bytes must be that block, and the file ends.
    fn rename_to_cid(self: &Arc<Self>, rename: Rename, cid: Cid, done: Done) {
        let shared = Arc::clone(self);
        let (file, writer) = (Arc::clone(&rename.file), Arc::clone(&rename.writer));
        let became = cid.clone();
        let settled: Done = Box::new(move |result| {
            done(result.map(|()| shared.end_name(&rename, became)));
        });
        self.commit_as(&file, &writer, cid, settled);
    }

    fn move_name(&self, rename: &Rename) -> Result<()> {
        let mut tables = self.tables.lock();
        let found = tables.names.get(&rename.from);
        if !found.is_some_and(|found| Arc::ptr_eq(found, &rename.file)) {
            return Err(Error::NotFound);
        }
        tables.names.remove(&rename.from);
        if let Some(replaced) = tables.names.get(&rename.to).cloned() {
            self.lose_name(&mut tables, &replaced, &rename.to);
        }
        if !is_temporary(rename.to.as_bytes()) {
            tables.leftovers.forget(rename.file.ino);
        }
        rename.file.state.lock().name = Some(rename.to.clone());
        tables.names.insert(rename.to.clone(), Arc::clone(&rename.file));
        Ok(())
    }

    /// The bytes have become a block under its CID: the other name ends, the block stays.
    fn end_name(&self, rename: &Rename, became: Cid) {
        let made = rename.writer.state.lock().made.take();
        if let Some(made) = made {
            self.keep(&made, &rename.writer);
        }
        if let Err(error) = self.give_time(&rename.file, &became) {
            warn!(cid = %became, %error, "the time of a renamed file was not kept");
        }
        rename.file.state.lock().became = Some(became);
        self.tables.lock().detach(&rename.file, &rename.from);
        if rename.file.state.lock().handles == 0 {
            rename.writer.state.lock().discard();
        }
    }

    /// The block takes the time of the file that was renamed to it, as any file would keep its own:
    /// it may have been stored before the tool set the time.
    fn give_time(&self, file: &File, cid: &Cid) -> Result<()> {
        let mtime = file.mtime();
        if cid.key().is_identity() || self.store.stat(cid.key())?.is_none_or(|meta| meta.mtime == mtime) {
            return Ok(());
        }
        self.store.set_mtime(cid.key(), mtime)?;
        self.block_gone(cid.key());
        Ok(())
    }

    /// A block that this writer made while its name was a temporary one now stays, unless the
    /// writer is still open and may go on writing.
    fn keep_made(&self, file: &File, writer: &Writer) {
        if file.state.lock().writers > 0 {
            return;
        }
        let made = writer.state.lock().made.take();
        if let Some(made) = made {
            self.keep(&made, writer);
        }
    }
}
