//! Reading and writing open files, and changing attributes.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use super::core::Shared;
use super::file::File;
use super::handle::{Open, Subject, WriterHandle};
use super::inode::Node;
use super::staging::STAGING_WAIT;
use super::types::{AttrChange, Caller, Done, Entry, Handle, Ino};
use super::verdict::{LENGTH_KEPT, Occasion};
use super::writer::Writer;
use crate::blockstore::window;
use crate::{Error, Result};

impl Shared {
    /// Calls `with` with at most `length` bytes at `offset`.
    pub(super) fn read<R>(
        &self,
        handle: Handle,
        offset: u64,
        length: usize,
        with: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        match &*self.handles.get(handle)? {
            Open::Block(_, block) => self.store.read_with(block, offset, length, with),
            Open::Bytes(bytes) => Ok(with(window(bytes, offset, length))),
            Open::Writer(handle) => handle.writer.state.lock().read(offset, length, &self.store, with),
            Open::Directory(..) => {
                Err(Error::InvalidRequest { what: "a directory cannot be read as a file" })
            }
        }
    }

    /// Writes to an open file.
    ///
    /// # Errors
    /// [`Error::StagingFull`] can be waited out with [`Shared::write_when_room`]; after any other
    /// error the handle stores nothing.
    pub(super) fn write(&self, handle: Handle, offset: u64, data: &[u8]) -> Result<()> {
        let open = self.handles.get(handle)?;
        let handle = writing(&open)?;
        let mut state = handle.writer.state.lock();
        state.write(offset, data, handle.subject.cid(), &self.room())?;
        if let Subject::File(file) = &handle.subject {
            file.touch(state.len());
        }
        Ok(())
    }

    /// As [`Shared::write`], waiting a bounded time for staging memory. Not for a thread that
    /// answers other requests.
    pub(super) fn write_when_room(&self, handle: Handle, offset: u64, data: &[u8]) -> Result<()> {
        let deadline = Instant::now() + STAGING_WAIT;
        loop {
            let seen = self.staging.given_back();
            match self.write(handle, offset, data) {
                Err(Error::StagingFull { limit_bytes }) => {
                    if !self.staging.wait_for_more(seen, deadline) || Instant::now() >= deadline {
                        let error = Error::StagingFull { limit_bytes };
                        self.refuse_for_good(handle, &error)?;
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// The handle was refused a write: it stores nothing from now on.
    pub(super) fn refuse_for_good(&self, handle: Handle, error: &Error) -> Result<()> {
        let open = self.handles.get(handle)?;
        writing(&open)?.writer.state.lock().refuse_for_good(error.clone());
        Ok(())
    }

    /// Makes room in an open file. Only the length can be reserved; memory is taken when written.
    pub(super) fn fallocate(&self, handle: Handle, offset: u64, length: u64, keep_size: bool) -> Result<()> {
        let open = self.handles.get(handle)?;
        let handle = writing(&open)?;
        let Subject::File(file) = &handle.subject else {
            return Err(Error::NotPermitted { what: "a stored block cannot be changed" });
        };
        let end = offset.saturating_add(length);
        if end > self.options.block_bytes_max {
            return Err(Error::TooBig { limit_bytes: self.options.block_bytes_max });
        }
        let mut state = handle.writer.state.lock();
        if !keep_size && end > state.len() {
            state.set_len(end, &self.room())?;
            file.touch(state.len());
        }
        Ok(())
    }

    /// Changes attributes; says what they are then.
    pub(super) fn setattr(
        self: &Arc<Self>,
        ino: Ino,
        handle: Option<Handle>,
        change: &AttrChange,
        caller: Caller,
    ) -> Result<Entry> {
        self.check_change(caller)?;
        match self.node(ino)? {
            Node::Root => {
                if change.size.is_some() {
                    return Err(Error::InvalidRequest { what: "a directory has no length to change" });
                }
                self.change_root(change);
            }
            Node::Control(_) | Node::Link(_) => {
                return Err(Error::NotPermitted { what: "the control directory cannot be changed" });
            }
            Node::File(file) => {
                if let Some(size) = change.size {
                    let writer = match file.shared_writer() {
                        Some(writer) => Arc::clone(writer),
                        None => self.writer_for_truncation(ino, handle, caller)?,
                    };
                    let by_path = handle.is_none() && file.state.lock().writers == 0;
                    let shrunk = self.set_len(&writer, size, by_path)?;
                    file.touch(size);
                    if shrunk && size == 0 && file.shared_writer().is_some() {
                        self.tables.lock().set_alias(&file, None);
                    }
                    if by_path {
                        self.judge_truncation(&file, &writer)?;
                    }
                }
                file.change(change);
                let committed = file.state.lock().committed;
                if let (true, Some(cid), Some(mtime)) = (committed, file.cid(), change.mtime) {
                    self.store.set_mtime(cid.key(), mtime)?;
                    self.block_gone(cid.key());
                }
            }
            Node::Block { key, .. } => {
                if let Some(size) = change.size {
                    self.truncate_block(ino, handle, size, caller)?;
                }
                if let Some(mtime) = change.mtime
                    && change.size.is_none()
                    && !key.is_identity()
                {
                    self.store.set_mtime(&key, mtime)?;
                }
            }
        }
        match (self.getattr(ino, handle), handle) {
            // The block has been removed since open(2), which does not say with which handle it cuts.
            (Err(Error::Stale), None) if change.size.is_some() => {
                let open = self.handles.newest_writer(ino, Some(caller.pid));
                self.attr_of_open(ino, open.as_deref())
            }
            (entry, _) => entry,
        }
    }

    /// Says whether the file became shorter. By a path, where nobody has it open to write, a refusal
    /// is told at once and leaves the file as it was: no close will come to tell and end it.
    fn set_len(&self, writer: &Writer, size: u64, by_path: bool) -> Result<bool> {
        let mut state = writer.state.lock();
        let (shrunk, refused) = (size < state.len(), state.refused.clone());
        let result = state.set_len(size, &self.room());
        if by_path && result.is_err() {
            state.refused = refused;
        }
        result.map(|()| shrunk)
    }

    /// Stores what truncate(2) has left: nobody has the file open to write, so no close will.
    fn judge_truncation(self: &Arc<Self>, file: &Arc<File>, writer: &Arc<Writer>) -> Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let subject = Subject::File(Arc::clone(file));
        let told: Done = Box::new(move |result| {
            // The receiver waits below and cannot have gone.
            let _ = sender.send(result);
        });
        self.judge(&subject, writer, Occasion::Truncation, told);
        receiver
            .recv()
            .map_err(|_| Error::Internal { what: "a truncation was dropped without an answer".into() })?
    }

    fn writer_for_truncation(&self, ino: Ino, handle: Option<Handle>, caller: Caller) -> Result<Arc<Writer>> {
        let open = match handle {
            Some(handle) => self.handles.get(handle)?,
            None => self
                .handles
                .newest_writer(ino, Some(caller.pid))
                .or_else(|| self.handles.newest_writer(ino, None))
                .ok_or(Error::Stale)?,
        };
        Ok(Arc::clone(&writing(&open)?.writer))
    }

    /// A stored block keeps its length. Opening it with O_TRUNC, which arrives here as a truncation
    /// without a handle by the thread that has just opened it, begins a rewrite. So does cutting an open
    /// file to nothing: node's copyFile and `sort -o` do that before they write.
    fn truncate_block(&self, ino: Ino, handle: Option<Handle>, size: u64, caller: Caller) -> Result<()> {
        if handle.is_none()
            && size == 0
            && let Some(open) = self.handles.newest_writer(ino, Some(caller.pid))
        {
            let mut state = writing(&open)?.writer.state.lock();
            if !state.fresh && !state.judged {
                return state.set_len(0, &self.room());
            }
        }
        if self.getattr(ino, handle)?.attr.size_bytes == size {
            return Ok(());
        }
        if let Some(handle) = handle
            && size == 0
        {
            let open = self.handles.get(handle)?;
            return writing(&open)?.writer.state.lock().begin_anew(&self.room());
        }
        Err(LENGTH_KEPT)
    }
}

/// The writer of an open file.
pub(super) fn writing(open: &Open) -> Result<&WriterHandle> {
    match open {
        Open::Writer(handle) if handle.writes => Ok(handle),
        _ => Err(Error::InvalidRequest { what: "the file is not open for writing" }),
    }
}
