//! Removing names.

use std::ffi::OsStr;
use std::sync::Arc;

use super::core::Shared;
use super::file::File;
use super::handle::Open;
use super::lookup::Meaning;
use super::tables::Tables;
use super::types::{Caller, Ino, ROOT};
use crate::block::Key;
use crate::{Error, Result};

impl Shared {
    /// Removes a name from the root: a block, a file that is being written, or an alias.
    pub(super) fn unlink(&self, parent: Ino, name: &OsStr, caller: Caller) -> Result<()> {
        if parent != ROOT {
            return Err(Error::NotPermitted { what: "the control directory cannot be changed" });
        }
        self.check_change(caller)?;
        match self.meaning_of_existing(name)? {
            Meaning::Control => Err(Error::NotPermitted { what: "the control directory cannot be removed" }),
            Meaning::Block(cid, _) => self.unlink_block(cid.key(), name),
            Meaning::Staged(cid, file) => {
                self.tables.lock().unstage(&file, cid.key());
                file.state.lock().name = None;
                Ok(())
            }
            Meaning::Plain(Some(file)) => {
                self.lose_name(&mut self.tables.lock(), &file, name);
                Ok(())
            }
            Meaning::Absent(_) | Meaning::Plain(None) => Err(Error::NotFound),
        }
    }

    fn unlink_block(&self, key: &Key, name: &OsStr) -> Result<()> {
        if key.is_identity() {
            return Err(Error::NotPermitted {
                what: "an identity CID holds its own bytes and cannot be removed",
            });
        }
        if self.options.no_delete {
            return Err(Error::NotPermitted { what: "this mount does not delete blocks (--no-delete)" });
        }
        // Under the lock, so that no alias can come to stand on the block meanwhile.
        let mut tables = self.tables.lock();
        if tables.is_stood_on(key) {
            return Err(Error::BlockInUse { name: tables.alias_name(key) });
        }
        self.pin_open_files(key)?;
        if !self.store.remove(key)? {
            return Err(Error::NotFound);
        }
        tables.claims.removed(key);
        if let Some(staged) = tables.staged.remove(key) {
            // Somebody is writing the block again; what they commit will show, their staging not.
            staged.state.lock().committed = true;
        }
        drop(tables);
        self.inodes.lock().name_removed(key, name);
        self.block_gone(key);
        Ok(())
    }

    /// Open files whose content the block is (aliases, and what was written and is still open) go on
    /// reading it, as handles on the block itself do.
    pub(super) fn pin_open_files(&self, key: &Key) -> Result<()> {
        for open in self.handles.writers() {
            if let Open::Writer(open) = &*open {
                open.writer.state.lock().pin(key, &self.store)?;
            }
        }
        Ok(())
    }

    /// A plain name no longer stands for a file: it was removed, or another file has taken it.
    pub(super) fn lose_name(&self, tables: &mut Tables, file: &Arc<File>, name: &OsStr) {
        // A block that exists only because a temporary file was synced goes with its name; any
        // other is no longer this writer's to take back.
        let temporary = file.temporary() == Some(true);
        tables.detach(file, name);
        let Some(writer) = file.shared_writer() else {
            return;
        };
        if temporary {
            self.take_back(tables, writer);
        } else if let Some(made) = writer.state.lock().made.take() {
            tables.claims.give_up(&made, writer.id);
        }
        if file.state.lock().handles == 0 {
            writer.state.lock().discard();
        }
    }

    /// A block that a writer made stays for good.
    pub(super) fn keep(&self, key: &Key, writer: &super::writer::Writer) {
        self.tables.lock().claims.give_up(key, writer.id);
    }
}
