//! Storing blocks: a batch of files that become durable together.
//!
//! The order is that of any durable rename: bytes, then names, then the directories. Forms come
//! before names, so that a block never shows without its own.
//!
//! Invariant: a name under a shard is always a whole block, and after an error no new name of the
//! failed batch is left, for a later call would take its block to be durable.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::FlatFs;
use super::layout::DIR_MODE;
use super::parallel;
use super::place::Place;
use super::temp::TempFile;
use super::unsynced::sync_shard;
use crate::block::{Block, Key};
use crate::datastore::Sync;
use crate::{Error, Result};

/// How many files are open at once; a longer call becomes several commits.
const BATCH_FILES_MAX: usize = 128;

/// A block on its way.
struct Staged<'a> {
    place: Place,
    temp: TempFile<'a>,
}

/// A name that was given.
struct Named<'a> {
    place: &'a Place,
    inode: u64,
    added_bytes: u64,
    /// The length of the file that was replaced; `None` if the name is new.
    replaced_bytes: Option<u64>,
}

impl FlatFs {
    pub(super) fn put_all(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        for batch in blocks.chunks(BATCH_FILES_MAX) {
            self.put_batch(batch, sync)?;
        }
        self.usage.store_if_due(&self.root);
        Ok(())
    }

    fn put_batch(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        let disk = self.disk.as_ref();
        let mut batch = blocks.iter().map(|block| self.stage(block)).collect::<Result<Vec<_>>>()?;
        if sync == Sync::Now {
            batch.iter().for_each(|staged| disk.start_writeback(staged.temp.file()));
        }

        let _locks = self.locks.lock(blocks.iter().map(Block::key));
        let forms =
            self.forms.record(blocks.iter().map(|block| (block.key(), block.meta().cid_form)), disk)?;
        if sync == Sync::Now {
            parallel::for_each(&batch, |staged| {
                let synced = disk.sync_file(staged.temp.file(), staged.place.path());
                synced.map_err(|error| self.error("write", staged.place.path(), error))
            })?;
            forms.sync(disk)?;
        }

        if sync == Sync::Later {
            self.last_sync.begin()?;
        }
        let mut named = Vec::with_capacity(batch.len());
        let result = self.name_all(&mut batch, &mut named).and_then(|()| match sync {
            Sync::Now => self.sync_shards(named.iter().map(|named| named.place)),
            Sync::Later => Ok(()),
        });
        if let Err(error) = result {
            self.take_back(&named);
            return Err(error);
        }
        for named in &named {
            self.usage.change(named.added_bytes, named.replaced_bytes.unwrap_or(0));
            if sync == Sync::Later {
                self.unsynced.note_file(named.place.path());
                self.unsynced.note_dir(named.place.shard());
            }
        }
        forms.finish(disk, |key: &Key| self.is_stored(key));
        Ok(())
    }

    fn stage(&self, block: &Block) -> Result<Staged<'_>> {
        let place = self.place(block.key());
        match TempFile::write(&self.root, &self.temp_names, block.bytes(), block.meta().mtime) {
            Ok(temp) => Ok(Staged { place, temp }),
            Err(error) => Err(self.error("write", place.path(), error)),
        }
    }

    fn name_all<'a>(&self, batch: &'a mut [Staged<'_>], named: &mut Vec<Named<'a>>) -> Result<()> {
        for Staged { place, temp, .. } in batch {
            let done = self.name(place, temp).map_err(|error| self.error("rename", place.path(), error))?;
            named.push(done);
        }
        Ok(())
    }

    /// Gives a file its name, and makes its shard if it is the first one there.
    fn name<'a>(&self, place: &'a Place, temp: &mut TempFile<'_>) -> io::Result<Named<'a>> {
        let old = self.root.stat(place.path())?;
        let info = temp.file().metadata()?;
        // A listing may miss a name that is replaced while it reads the directory.
        let _no_listing = old.map(|_| self.listing.write());
        match temp.rename(self.disk.as_ref(), place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_shard(place.shard())?;
                temp.rename(self.disk.as_ref(), place)?;
            }
            other => other?,
        }
        Ok(Named {
            place,
            inode: info.ino(),
            added_bytes: info.len(),
            replaced_bytes: old.map(|old| old.size_bytes),
        })
    }

    fn make_shard(&self, shard: &str) -> io::Result<()> {
        if self.root.make_dir(shard, DIR_MODE)? {
            self.shard_names.note();
            let dir = self.root.open_dir(shard)?;
            if let Some(dir) = dir {
                dir.set_mode(DIR_MODE)?;
                self.usage.change(dir.info()?.size_bytes, 0);
            }
        }
        Ok(())
    }

    /// Makes the names in the shards of these places durable, and those of the shards.
    pub(super) fn sync_shards<'p>(&self, places: impl Iterator<Item = &'p Place>) -> Result<()> {
        let shards = places.map(Place::shard).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        parallel::for_each(&shards, |shard| sync_shard(self.disk.as_ref(), &self.root, shard))?;
        self.sync_root()
    }

    pub(super) fn sync_root(&self) -> Result<()> {
        let synced = self.shard_names.sync(self.disk.as_ref(), &self.root);
        synced.map_err(|error| Error::io_at("sync", self.root.path(), error))
    }

    /// Removes the names that a failed batch has made. A replaced block stays: it was there before.
    fn take_back(&self, named: &[Named<'_>]) {
        for Named { place, inode, added_bytes, replaced_bytes } in named {
            let ours = match self.root.stat(place.path()) {
                Ok(Some(info)) => info.inode == *inode,
                Ok(None) | Err(_) => false,
            };
            self.unsynced.note_dir(place.shard());
            match replaced_bytes {
                Some(replaced) => self.usage.change(*added_bytes, *replaced),
                None if ours => {
                    if let Err(error) = self.root.unlink(place.path()) {
                        tracing::warn!(path = place.path(), %error, "a block that may not be durable stays");
                        self.usage.change(*added_bytes, 0);
                    }
                }
                None => {}
            }
        }
    }
}
