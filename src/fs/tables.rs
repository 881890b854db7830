//! The names of a mount that are not stored blocks.
//!
//! Invariant: an alias in `names` whose file has `alias_of` set is counted in `aliases`, and a
//! block that is counted there is not removed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use super::claims::Claims;
use super::file::File;
use super::leftovers::Leftovers;
use crate::block::Key;

/// Most names that are no CIDs.
pub const NAMES_MAX: usize = 1 << 18;

/// Names, staged blocks, and who may take which block back.
#[derive(Debug, Default)]
pub struct Tables {
    /// Names that are no CIDs.
    pub names: BTreeMap<OsString, Arc<File>>,
    /// Files that are being written under a CID that is not stored yet.
    pub staged: HashMap<Key, Arc<File>>,
    /// Who may take back what.
    pub claims: Claims,
    /// Temporary files that wait to be renamed.
    pub leftovers: Leftovers,
    aliases: HashMap<Key, u32>,
}

impl Tables {
    /// One more alias stands on a block, or is about to.
    pub fn stand_on(&mut self, key: &Key) {
        *self.aliases.entry(key.clone()).or_default() += 1;
    }

    /// One alias less stands on a block.
    pub fn stand_off(&mut self, key: &Key) {
        if let Some(count) = self.aliases.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.aliases.remove(key);
            }
        }
    }

    /// Whether an alias stands on a block.
    pub fn is_stood_on(&self, key: &Key) -> bool {
        self.aliases.contains_key(key)
    }

    /// The name of an alias of a block, for a message.
    pub fn alias_name(&self, key: &Key) -> String {
        self.names
            .iter()
            .find(|(_, file)| file.state.lock().alias_of.as_ref() == Some(key))
            .map_or_else(|| "that is being written".to_owned(), |(name, _)| name.display().to_string())
    }

    /// Takes a file off its name, if the name is still its own. Its alias, if any, ends.
    pub fn detach(&mut self, file: &Arc<File>, name: &OsStr) {
        if self.names.get(name).is_some_and(|found| Arc::ptr_eq(found, file)) {
            self.names.remove(name);
        }
        self.leftovers.forget(file.ino);
        let alias_of = {
            let mut state = file.state.lock();
            (state.name, state.before) = (None, None);
            state.alias_of.take()
        };
        if let Some(key) = alias_of {
            self.stand_off(&key);
        }
    }

    /// The CID name of a staged file is its no longer.
    pub fn unstage(&mut self, file: &Arc<File>, key: &Key) {
        if self.staged.get(key).is_some_and(|found| Arc::ptr_eq(found, file)) {
            self.staged.remove(key);
        }
    }

    /// Sets what an alias stands for, for good; the caller has called [`Tables::stand_on`] for a new key.
    pub fn set_alias(&mut self, file: &File, key: Option<Key>) {
        let before = {
            let mut state = file.state.lock();
            state.before = None;
            std::mem::replace(&mut state.alias_of, key)
        };
        if let Some(before) = before {
            self.stand_off(&before);
        }
    }

    /// As [`Tables::set_alias`], with a block that may be taken back; `first` if none is that before it.
    pub fn set_alias_for_now(&mut self, file: &File, key: Key, first: bool) {
        let before = {
            let state = file.state.lock();
            if first { state.alias_of.clone() } else { state.before.clone() }
        };
        self.set_alias(file, Some(key));
        file.state.lock().before = before;
    }
}
