//! One forms file in memory.
//!
//! Invariant: `forms` is what a reader of the first `length` bytes of the file would find, and
//! bytes behind `settled` may be taken back if they cannot be made durable.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::record::{self, MAGIC};
use crate::block::{CidForm, Key};
use crate::sys::files::Dir;

/// A file is looked through for dead records when it has twice as many as were alive last time,
/// and this many at least.
const RECORDS_BEFORE_COMPACTION: usize = 64;

/// The records of a forms file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    forms: HashMap<Key, CidForm>,
    /// Records in the file, those that were replaced included.
    records: usize,
    /// Bytes of the file that are whole records.
    length: u64,
    /// Bytes that were there before the first record that is not synced.
    settled: u64,
    /// Whether the file was synced since it was read: another process may have ended in between.
    synced_once: bool,
    compact_at: usize,
}

impl Loaded {
    /// Reads a file; a missing one has no records. What is torn at its end is left out.
    pub(super) fn read(dir: &Dir, name: &str) -> io::Result<Self> {
        let mut bytes = Vec::new();
        if let Some(mut file) = dir.open_file(name)? {
            file.read_to_end(&mut bytes)?;
        }
        let mut loaded = Self::default();
        let whole = record::decode(&bytes, |key, form| {
            loaded.forms.insert(key, form);
            loaded.records += 1;
        });
        if whole < bytes.len() {
            tracing::warn!(
                path = %dir.path().join(name).display(), whole, length = bytes.len(),
                "the end of a forms file is damaged; some blocks may be listed with the codec raw"
            );
        }
        loaded.length = whole as u64;
        loaded.settled = loaded.length;
        loaded.compact_at = loaded.next_compaction();
        Ok(loaded)
    }

    pub(super) fn get(&self, key: &Key) -> Option<CidForm> {
        self.forms.get(key).copied()
    }

    /// How many keys it holds.
    pub(super) fn len(&self) -> usize {
        self.forms.len()
    }

    /// The bytes that a sync must cover so that all records so far are durable.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether a power cut may lose records.
    pub(super) fn needs_sync(&self) -> bool {
        self.settled < self.length || !self.synced_once
    }

    /// Whether it can be dropped and read again without loss.
    pub(super) fn is_settled(&self) -> bool {
        self.settled == self.length
    }

    /// Appends records, cutting off what is torn first. On an error the file is as before.
    pub(super) fn append(&mut self, file: &File, records: &[(&Key, CidForm)]) -> io::Result<()> {
        let mut bytes = if self.length == 0 { MAGIC.to_vec() } else { Vec::new() };
        for (key, form) in records {
            record::encode(&mut bytes, key, *form);
        }
        if file.metadata()?.len() != self.length {
            file.set_len(self.length)?;
        }
        if let Err(error) = file.write_all_at(&bytes, self.length) {
            let _still_ignored_when_read = file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.records += records.len();
        self.forms.extend(records.iter().map(|(key, form)| ((*key).clone(), *form)));
        Ok(())
    }

    /// Notes that the first `length` bytes are durable.
    pub(super) fn settle(&mut self, length: u64) {
        self.settled = self.settled.max(length);
        self.synced_once = true;
    }

    /// Takes back from the file what could not be made durable.
    pub(super) fn roll_back(&self, file: &File) -> io::Result<()> {
        file.set_len(self.settled)
    }

    /// Whether so many records were appended that it is worth looking for dead ones.
    pub(super) fn is_worth_compacting(&self) -> bool {
        self.records >= self.compact_at
    }

    /// The content of a file with only the records that `is_alive` wants; `None` if that would
    /// not halve it, and then nothing is asked again until it has doubled.
    pub(super) fn compacted(&mut self, is_alive: impl Fn(&Key, CidForm) -> bool) -> Option<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        let mut alive = 0;
        for (key, form) in self.forms.iter().filter(|(key, form)| is_alive(key, **form)) {
            record::encode(&mut bytes, key, *form);
            alive += 1;
        }
        self.compact_at = self.next_compaction();
        (alive * 2 <= self.records).then_some(bytes)
    }

    fn next_compaction(&self) -> usize {
        RECORDS_BEFORE_COMPACTION.max(self.forms.len() * 2)
    }
}
