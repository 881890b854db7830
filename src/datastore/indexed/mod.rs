//! Datastores on transactional engines: blocks in one ordered table, their [`Meta`] in another.
//!
//! An engine brings [`Tables`]; keys, records, listing and the check that the files are those of
//! this store are the same for all of them.
//!
//! Invariant: bytes and record of a block are written in one step, so either both are there or none.

mod dirty;
mod key;
mod place;
mod record;
mod tables;

use std::fs::File;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use tracing::error;

pub(super) use self::dirty::Dirty;
pub(super) use self::place::{Place, failure};
pub(super) use self::tables::{Change, Tables, Visit};
use super::locks::KeyLocks;
use super::order::{digest_position, first_digest_after};
use super::{Datastore, ListedKey, MetaChange, OpenRequest, Position, Sync, Usage};
use crate::block::{Block, CidForm, Key, Meta, canonical};
use crate::{Error, Result};

/// A datastore on the tables of an engine.
#[derive(Debug)]
pub(super) struct Indexed<T> {
    tables: T,
    read_only: bool,
    locks: KeyLocks,
}

impl<T: Tables> Indexed<T> {
    /// Makes sure that the tables are those of the store that was asked for.
    ///
    /// # Errors
    /// [`Error::StoreDamaged`] if they belong to another store, or to none although the store is
    /// not new: engines make an empty database of files that are gone or cut off.
    pub(super) fn open(tables: T, request: &OpenRequest) -> Result<Box<dyn Datastore>> {
        let damaged = |what: String| Error::StoreDamaged { path: request.path.clone(), what };
        match tables.identity()? {
            Some(found) if found == request.store_id => {}
            Some(found) => {
                let expected = &request.store_id;
                return Err(damaged(format!("its files belong to the store {found}, not to {expected}")));
            }
            None if request.create => tables.set_identity(&request.store_id)?,
            None => {
                return Err(damaged(
                    "the engine finds nothing in its files: they are lost or cut off".into(),
                ));
            }
        }
        Ok(Box::new(Self { tables, read_only: request.read_only, locks: KeyLocks::new() }))
    }

    fn refuse_if_read_only(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// What is known of a block whose record is damaged: its bytes are there and have a length.
    fn meta_without_record(&self, key: &Key, index_key: &[u8]) -> Result<Option<Meta>> {
        error!(
            cid = canonical(key, CidForm::Unknown),
            "the record of this block is damaged; its time and CID form are lost"
        );
        let bytes = self.tables.bytes(index_key)?;
        Ok(bytes.map(|bytes| Meta {
            size_bytes: bytes.len() as u64,
            mtime: UNIX_EPOCH,
            cid_form: CidForm::Unknown,
        }))
    }
}

impl<T: Tables> Datastore for Indexed<T> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        self.tables.bytes(&key::encode(key)).map_err(|error| match error {
            // The engine's own checksums: it is this block that cannot be read.
            Error::StoreDamaged { what, .. } => {
                error!(
                    cid = canonical(key, CidForm::Unknown),
                    what, "the engine finds the bytes of this block damaged"
                );
                Error::Damaged { cid: canonical(key, CidForm::Unknown) }
            }
            other => other,
        })
    }

    fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        let index_key = key::encode(key);
        let Some(record) = self.tables.record(&index_key)? else { return Ok(None) };
        match record::decode(&record) {
            Some(meta) => Ok(Some(meta)),
            None => self.meta_without_record(key, &index_key),
        }
    }

    fn put(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        self.refuse_if_read_only()?;
        let records: Vec<_> = blocks.iter().map(|block| record::encode(block.meta())).collect();
        let changes: Vec<_> = blocks
            .iter()
            .zip(&records)
            .map(|(block, record)| Change::Put {
                key: key::encode(block.key()),
                record,
                bytes: block.bytes(),
            })
            .collect();
        let _locks = self.locks.lock(blocks.iter().map(Block::key));
        self.tables.write(&changes, sync)
    }

    fn set_meta(&self, key: &Key, change: MetaChange) -> Result<bool> {
        self.refuse_if_read_only()?;
        let _lock = self.locks.lock([key]);
        let Some(old) = self.stat(key)? else { return Ok(false) };
        let meta = Meta {
            mtime: change.mtime.unwrap_or(old.mtime),
            cid_form: change.cid_form.unwrap_or(old.cid_form),
            ..old
        };
        let record = record::encode(&meta);
        self.tables.write(&[Change::SetRecord { key: key::encode(key), record: &record }], Sync::Later)?;
        Ok(true)
    }

    fn remove(&self, keys: &[Key], sync: Sync) -> Result<u64> {
        self.refuse_if_read_only()?;
        let _locks = self.locks.lock(keys);
        let mut changes = Vec::with_capacity(keys.len());
        let mut last = None;
        let mut index_keys: Vec<_> = keys.iter().map(key::encode).collect();
        index_keys.sort_unstable();
        for key in index_keys {
            if last.as_ref() != Some(&key) && self.tables.record(&key)?.is_some() {
                last = Some(key.clone());
                changes.push(Change::Remove { key });
            }
        }
        if !changes.is_empty() {
            self.tables.write(&changes, sync)?;
        }
        Ok(changes.len() as u64)
    }

    fn position(&self, key: &Key) -> Position {
        digest_position(key)
    }

    fn list(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>> {
        let from = match after.map(first_digest_after) {
            None => [0; 8],
            Some(Some(first)) => first,
            Some(None) => return Ok(Vec::new()),
        };
        let mut page: Vec<ListedKey> = Vec::new();
        self.tables.scan(&from, &mut |index_key, record| {
            let Some(key) = key::decode(index_key) else {
                error!(entry = ?index_key, "an entry of the index is no key; it is passed over");
                return true;
            };
            let last = page.last().map(|listed| digest_position(&listed.key));
            if page.len() >= limit.max(1) && last != Some(digest_position(&key)) {
                return false;
            }
            let cid_form = record::decode(record).map_or(CidForm::Unknown, |meta| meta.cid_form);
            page.push(ListedKey { key, cid_form });
            true
        })?;
        // Digests of which one is the beginning of the other stand in another order in the index;
        // they share a position, so they are in one page.
        page.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Ok(page)
    }

    fn usage(&self) -> Result<Usage> {
        self.tables.usage()
    }

    fn pending_bytes(&self) -> u64 {
        self.tables.pending_bytes()
    }

    fn file(&self, _key: &Key) -> Result<Option<File>> {
        Ok(None)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        if self.read_only { Ok(()) } else { self.tables.sync() }
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.tables.close()
    }
}
