//! Blocks that have a name and perhaps not their bytes: those named since the last sync, after an end
//! without a close, or after a sync that failed.
//!
//! Invariant: what is left of them is whole, and on the disk.

use std::ffi::CStr;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::FlatFs;
use super::last_sync::is_newer;
use super::parallel;
use super::place::Place;
use super::temp::TempFile;
use crate::block::{CidForm, Key, bytes_match, canonical};
use crate::sys::files::Kind;
use crate::{Error, Result};

impl FlatFs {
    /// After an end without a close: drops blocks that are not whole.
    ///
    /// # Errors
    /// [`Error::StoreUnclean`] if there are such blocks in a store that is opened for reading only.
    pub(super) fn check_what_was_left(&self) -> Result<()> {
        let Some(since) = self.last_sync.left_behind()? else { return Ok(()) };
        let (checked, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        self.for_each_suspect(since, |key, place| {
            checked.fetch_add(1, Ordering::Relaxed);
            if self.bytes(place)?.is_none_or(|bytes| bytes_match(key, &bytes)) {
                return Ok(());
            }
            if self.read_only {
                return Err(Error::StoreUnclean { path: self.root.path().to_owned() });
            }
            dropped.fetch_add(1, Ordering::Relaxed);
            self.drop_torn(key, place)
        })?;
        let (checked, dropped) = (checked.into_inner(), dropped.into_inner());
        tracing::info!(checked, dropped, "checked the blocks that were not known to be on the disk");
        if !self.read_only {
            let synced = self.disk.sync_file_system(&self.root);
            synced.map_err(|error| Error::io_at("sync", self.root.path(), error))?;
            self.last_sync.end();
        }
        Ok(())
    }

    /// After a failed sync: the kernel takes bytes that it could not write for written, so a second sync
    /// means nothing. They are written anew, as long as they can still be read.
    pub(super) fn rewrite_suspects(&self) -> Result<()> {
        let Some(since) = self.last_sync.failed_since() else { return Ok(()) };
        self.for_each_suspect(since, |key, place| {
            let _lock = self.locks.lock([key]);
            let Some(bytes) = self.bytes(place)? else { return Ok(()) };
            if !bytes_match(key, &bytes) {
                return self.drop_torn(key, place);
            }
            let failed = |error| self.error("write", place.path(), error);
            let Some(info) = self.root.stat(place.path()).map_err(failed)? else { return Ok(()) };
            let write = || -> io::Result<()> {
                let mut temp = TempFile::write(&self.root, &self.temp_names, &bytes, info.mtime)?;
                self.disk.sync_file(temp.file(), place.path())?;
                let _no_listing = self.listing.write();
                temp.rename(self.disk.as_ref(), place)
            };
            write().map_err(failed)?;
            self.unsynced.note_dir(place.shard());
            Ok(())
        })
    }

    /// Calls `visit` with every block whose file was changed since then, from several threads. Giving a name
    /// changes the time of its directory too, so most directories need not be read.
    fn for_each_suspect(
        &self,
        since: SystemTime,
        visit: impl Fn(&Key, &Place) -> Result<()> + Sync,
    ) -> Result<()> {
        let mut shards: Vec<String> = Vec::new();
        let failed = |error| Error::io_at("read", self.root.path(), error);
        let each = |name: &CStr, kind: Kind| {
            let name = name.to_str().unwrap_or_default();
            if kind.may_be_dir() && self.sharding.is_shard(name) {
                shards.push(name.to_owned());
            }
        };
        self.root.for_each(".", each).map_err(failed)?;
        parallel::for_each(&shards, |shard| {
            let dir = self.root.open_dir(shard).and_then(|dir| dir.map(|dir| dir.info()).transpose());
            if dir.map_err(failed)?.is_none_or(|info| !is_newer(info.mtime, since)) {
                return Ok(());
            }
            let mut keys = Vec::new();
            self.for_each_key(shard, |key| keys.push(key))?;
            keys.iter().try_for_each(|key| {
                let place = self.place(key);
                let info = self.root.stat(place.path());
                let info = info.map_err(|error| self.error("stat", place.path(), error))?;
                let suspect = info.is_some_and(|info| info.is_file && is_newer(info.changed, since));
                if suspect { visit(key, &place) } else { Ok(()) }
            })
        })
    }

    /// All bytes of a block's file; `None` if it is gone.
    pub(super) fn bytes(&self, place: &Place) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open_block(place)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| self.error("read", place.path(), error))?;
        Ok(Some(bytes))
    }

    fn drop_torn(&self, key: &Key, place: &Place) -> Result<()> {
        let cid = canonical(key, self.forms.form(key).unwrap_or(CidForm::Unknown));
        tracing::error!(cid, "this block was not on the disk whole when its mount ended; it is dropped");
        self.remove_one(place).map_err(|error| self.error("remove", place.path(), error))?;
        self.unsynced.note_dir(place.shard());
        Ok(())
    }
}
