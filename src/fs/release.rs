//! The end of an open file: what nobody was told of before, and what its names become.
//!
//! Invariant: an error that only this could tell must not exist, except for bytes that came through
//! a mapping after the last close.

use std::sync::Arc;
use std::time::Instant;

use tracing::warn;

use super::core::Shared;
use super::file::File;
use super::handle::{Open, Subject, WriterHandle};
use super::tables::Tables;
use super::types::{Done, Handle};
use super::verdict::Occasion;
use super::writer::{Content, WriterState};
use crate::metrics::Count;

impl Shared {
    /// The last reference to a handle is gone.
    pub(super) fn release(self: &Arc<Self>, handle: Handle) {
        let Ok(open) = self.handles.get(handle) else {
            return;
        };
        let Open::Writer(open) = &*open else {
            self.handles.remove(handle);
            return;
        };
        let unjudged = open.writes && {
            let state = open.writer.state.lock();
            state.fresh && state.refused.is_none() && !state.committing
        };
        if unjudged {
            self.judge_mapped_writes(handle, open.clone());
        } else {
            self.take_down(handle, open);
        }
    }

    /// Bytes that came through a mapping after the last close: the only ones whose error nobody
    /// can be told. The handle goes after the verdict, which may fall on another thread.
    fn judge_mapped_writes(self: &Arc<Self>, handle: Handle, open: WriterHandle) {
        let shared = Arc::clone(self);
        let (subject, writer) = (open.subject.clone(), Arc::clone(&open.writer));
        let done: Done = Box::new(move |result| {
            if let Err(error) = result {
                let name = match &open.subject {
                    Subject::File(file) => {
                        file.state.lock().name.clone().unwrap_or_default().display().to_string()
                    }
                    Subject::Block(_, cid) => cid.to_string(),
                };
                shared.metrics().add(Count::MappedWritesLost, 1);
                warn!(name, %error, "bytes written through a mapping after the last close are lost");
            }
            shared.take_down(handle, &open);
        });
        self.judge(&subject, &writer, Occasion::Release, done);
    }

    /// Nothing more will come through a handle. It is counted as open until all that follows from that is
    /// done.
    fn take_down(&self, handle: Handle, open: &WriterHandle) {
        match &open.subject {
            Subject::Block(..) => {
                let mut tables = self.tables.lock();
                if let Some(made) = open.writer.state.lock().made.take() {
                    tables.claims.give_up(&made, open.writer.id);
                }
            }
            Subject::File(file) => self.release_file(open, file),
        }
        self.handles.remove(handle);
    }

    fn release_file(&self, open: &WriterHandle, file: &Arc<File>) {
        let mut tables = self.tables.lock();
        let (last, last_writer) = {
            let mut state = file.state.lock();
            state.handles -= 1;
            state.writers -= u32::from(open.writes);
            (state.handles == 0, open.writes && state.writers == 0)
        };
        let mut writer = open.writer.state.lock();
        let per_handle = file.shared_writer().is_none();
        let temporary = !per_handle && file.temporary() == Some(true);
        if (per_handle || (last_writer && !temporary))
            && let Some(made) = writer.made.take()
        {
            tables.claims.give_up(&made, open.writer.id);
        }
        let unstored = writer.refused.is_some() || (writer.fresh && writer.len() > 0 && !temporary);
        if !per_handle && last_writer && unstored && !writer.committing {
            writer.refused = None;
            self.put_back(&mut tables, file, &mut writer, last);
        }
        if last {
            writer.rest();
            if let Some(cid) = file.cid() {
                tables.unstage(file, cid.key());
                if !writer.committing {
                    file.state.lock().name = None;
                }
            } else if file.state.lock().name.is_none() {
                writer.discard();
            }
        }
        if last && temporary && writer.len() > 0 && writer.stored_key().is_none() {
            tables.leftovers.closed(file, writer.len(), Instant::now());
            drop(writer);
            drop(tables);
            self.drop_leftovers();
        }
    }

    /// The bytes of a plain name could not be stored: it stands for what it did before, or is gone. Who
    /// has it open to read goes on reading what was written, as of any file without a name.
    fn put_back(&self, tables: &mut Tables, file: &Arc<File>, writer: &mut WriterState, last: bool) {
        let (name, alias_of) = {
            let state = file.state.lock();
            (state.name.clone(), state.alias_of.clone())
        };
        let Some(name) = name else {
            return;
        };
        let stored = alias_of.and_then(|key| Some((self.store.stat(&key).ok()??.size_bytes, key)));
        match stored {
            Some((size_bytes, key)) if last => {
                writer.discard();
                writer.restore(key, size_bytes);
                file.touch(size_bytes);
            }
            Some((size_bytes, key)) => {
                let options = &self.options.cid_options;
                let content = Content::Stored { key: key.clone(), size_bytes, open: None };
                let writer = self.new_writer(content, options.hash_code, options.digest_len);
                let ino = self.inodes.lock().new_file_number();
                let other = file.successor(ino, writer, name.clone());
                tables.stand_on(&key);
                tables.set_alias(&other, Some(key));
                other.touch(size_bytes);
                tables.detach(file, &name);
                tables.names.insert(name, other);
            }
            None => tables.detach(file, &name),
        }
    }
}
