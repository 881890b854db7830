//! A change of forms on its way: records are appended, then made durable, then their blocks appear.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering;

use super::slot::{self, State};
use super::{FILE_MODE, Forms, NEW_FILE_PREFIX};
use crate::Result;
use crate::block::{CidForm, Key};
use crate::datastore::flatfs::disk::Disk;
use crate::datastore::flatfs::parallel;

/// Records that were appended. Until it is dropped, they are not compacted away although their
/// blocks are not there yet.
#[derive(Debug)]
#[must_use]
pub(in crate::datastore::flatfs) struct Change<'f> {
    forms: &'f Forms,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    slot: usize,
    /// The file, if it must be synced.
    unsynced: bool,
}

impl Forms {
    /// Writes the records that are needed so that these keys have these forms: none for a key that
    /// has the form already, by a record or by default.
    pub(in crate::datastore::flatfs) fn record<'k>(
        &self,
        wanted: impl Iterator<Item = (&'k Key, CidForm)>,
        disk: &dyn Disk,
    ) -> Result<Change<'_>> {
        let mut by_slot: BTreeMap<usize, Vec<(&Key, CidForm)>> = BTreeMap::new();
        for (key, form) in wanted {
            let index = slot::index_of_key(key);
            let present = self.slots.get(index).is_some_and(slot::Slot::is_present);
            if present || form != self.default {
                by_slot.entry(index).or_default().push((key, form));
            }
        }
        let mut change = Change { forms: self, entries: Vec::with_capacity(by_slot.len()) };
        for (index, wanted) in by_slot {
            change.append(index, &wanted, disk)?;
        }
        Ok(change)
    }
}

impl Change<'_> {
    fn append(&mut self, index: usize, wanted: &[(&Key, CidForm)], disk: &dyn Disk) -> Result<()> {
        let forms = self.forms;
        let Some(slot) = forms.slots.get(index) else { return Ok(()) };
        let mut state = slot.lock();
        let loaded = forms.loaded(index, &mut state)?;
        let mut missing = wanted.to_vec();
        missing.retain(|(key, form)| loaded.get(key).unwrap_or(forms.default) != *form);
        if !missing.is_empty() {
            let name = slot::file_of_index(index);
            let file = forms.open_file(&name)?;
            let before = loaded.len();
            loaded.append(&file, &missing).map_err(|error| forms.error("write", &name, error))?;
            forms.cached_records.fetch_add(loaded.len() - before, Ordering::Relaxed);
            disk.start_writeback(&file);
            if !slot.is_present() {
                slot.mark_present();
                forms.names.note();
            }
        }
        let relied_on = wanted.iter().any(|(key, _)| loaded.get(key).is_some());
        let unsynced = relied_on && loaded.needs_sync();
        state.in_flight += 1;
        self.entries.push(Entry { slot: index, unsynced });
        Ok(())
    }

    /// Makes the records durable; called before the blocks get their names.
    pub(in crate::datastore::flatfs) fn sync(&self, disk: &dyn Disk) -> Result<()> {
        let unsynced = self.entries.iter().filter(|entry| entry.unsynced).collect::<Vec<_>>();
        if unsynced.is_empty() {
            return Ok(());
        }
        parallel::for_each(&unsynced, |entry| self.forms.sync_slot(disk, entry.slot))?;
        self.forms.sync_names(disk)
    }

    /// The blocks are there: drops dead records from files that have many. `is_stored` says
    /// whether the block of a key is there.
    pub(in crate::datastore::flatfs) fn finish(
        self,
        disk: &dyn Disk,
        is_stored: impl Fn(&Key) -> io::Result<bool>,
    ) {
        let slots = self.entries.iter().map(|entry| entry.slot).collect::<Vec<_>>();
        let forms = self.forms;
        drop(self);
        for index in slots {
            let Some(slot) = forms.slots.get(index) else { continue };
            let mut state = slot.lock();
            if let Err(error) = forms.compact(index, &mut state, disk, &is_stored) {
                tracing::warn!(path = %forms.path.display(), %error, "a forms file was not compacted");
            }
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        for entry in &self.entries {
            if let Some(slot) = self.forms.slots.get(entry.slot) {
                slot.lock().in_flight -= 1;
            }
        }
    }
}

impl Forms {
    fn compact(
        &self,
        index: usize,
        state: &mut State,
        disk: &dyn Disk,
        is_stored: &impl Fn(&Key) -> io::Result<bool>,
    ) -> io::Result<()> {
        let Some(loaded) = &mut state.loaded else { return Ok(()) };
        let Some(dir) = self.dir.get() else { return Ok(()) };
        if state.in_flight > 0 || !loaded.is_worth_compacting() {
            return Ok(());
        }
        // In doubt a record is kept.
        let is_alive = |key: &Key, form| form != self.default && is_stored(key).unwrap_or(true);
        let Some(content) = loaded.compacted(is_alive) else { return Ok(()) };
        let name = slot::file_of_index(index);
        let temp = format!("{NEW_FILE_PREFIX}{name}");
        dir.unlink(&temp)?;
        let write = |mut file: File| -> io::Result<()> {
            file.write_all(&content)?;
            disk.sync_file(&file, &name)?;
            disk.rename(dir, &temp, &name)
        };
        let written = dir.create_new(&temp, FILE_MODE).and_then(write);
        if written.is_err() {
            let _wiped_at_the_next_open = dir.unlink(&temp);
            return written;
        }
        self.names.note();
        self.cached_records.fetch_sub(state.forget(), Ordering::Relaxed);
        Ok(())
    }
}
