//! RocksDB behind the tables of an [`Indexed`] datastore.
//!
//! Invariant: what is acknowledged as durable has reached the write-ahead log with a sync.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, ErrorKind, FlushOptions, ReadOptions, WriteBatch, WriteOptions, properties};
use tracing::warn;

use super::{BLOCKS, Flavour, META, options, recognise, torn};
use crate::datastore::indexed::{Change, Dirty, Indexed, Place, Tables, Visit, failure};
use crate::datastore::{Datastore, OpenRequest, Sync, Usage};
use crate::sys::{allocated_bytes, space_of};
use crate::{Error, Result};

/// The entry of the default column family that says which store this is.
const STORE_ID: &[u8] = b"store_id";
/// After so many deletions what is in memory is written out, so that compaction sees them and gives
/// their space back.
const DELETIONS_PER_FLUSH: u64 = 1024;

/// Of the free space, what is in memory may want one part in so many before it is written out early.
const PENDING_SHARE: u64 = 8;
/// Less than this is not worth a file.
const FLUSHED_EARLY_BYTES_MIN: u64 = 4 << 20;

/// An open database.
struct Rocks {
    database: DB,
    path: PathBuf,
    read_only: bool,
    dirty: Dirty,
    /// Everything up to this sequence number is known to have been synced.
    synced: AtomicU64,
    deletions: AtomicU64,
}

/// Opens the engine on a directory.
pub(super) fn open(request: &OpenRequest, flavour: Flavour) -> Result<Box<dyn Datastore>> {
    let path = &request.path;
    let probe = match flavour {
        Flavour::Plain => super::probe_pebble,
        Flavour::Blobs => super::probe_badger,
    };
    let place = Place::look(request, probe, recognise::is_leftover_of_creation)?;
    let tables = Rocks {
        database: open_or_cut(request, flavour, place == Place::New)?,
        path: path.clone(),
        read_only: request.read_only,
        dirty: Dirty::default(),
        synced: AtomicU64::new(0),
        deletions: AtomicU64::new(0),
    };
    if request.after_failure && !request.read_only {
        tables.write_out_the_log()?;
    }
    Indexed::open(tables, request)
}

/// Opens the database; what a power cut has left of its log's end is cut off first, if it is in the way.
fn open_or_cut(request: &OpenRequest, flavour: Flavour, create: bool) -> Result<DB> {
    let path = &request.path;
    let memtable_bytes = options::memtable_bytes(space_of(path)?.total_bytes);
    loop {
        let error = match open_database(request, flavour, create, memtable_bytes) {
            Ok(database) => return Ok(database),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Corruption {
            return Err(failed(path, "open", error));
        }
        match torn::look(path).map_err(|error| Error::io_at("read the log in", path, error))? {
            torn::End::Damaged => return Err(failed(path, "open", error)),
            torn::End::Torn { .. } if request.read_only => {
                return Err(Error::StoreUnclean { path: path.clone() });
            }
            torn::End::Torn { log, at } => {
                torn::cut(&log, at).map_err(|error| Error::io_at("cut", &log, error))?;
            }
        }
    }
}

fn open_database(
    request: &OpenRequest,
    flavour: Flavour,
    create: bool,
    memtable_bytes: usize,
) -> std::result::Result<DB, rocksdb::Error> {
    let options = options::database(create, memtable_bytes);
    let families = options::column_families(flavour, memtable_bytes);
    if request.read_only {
        DB::open_cf_descriptors_read_only(&options, &request.path, families, false)
    } else {
        DB::open_cf_descriptors(&options, &request.path, families)
    }
}

impl Rocks {
    fn failed(&self, op: &str, error: rocksdb::Error) -> Error {
        failed(&self.path, op, error)
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        // Both were named when the database was opened.
        self.database
            .cf_handle(name)
            .ok_or_else(|| Error::Internal { what: format!("the table {name} is not open") })
    }

    /// An empty batch with the note that every record of the log carries.
    fn batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::default();
        batch.put_log_data(torn::note(self.synced.load(Ordering::Acquire)));
        batch
    }

    fn commit(&self, batch: &WriteBatch, sync: Sync) -> Result<()> {
        let before = self.database.latest_sequence_number();
        let written = self.database.write_opt(batch, &write_options(sync));
        if sync == Sync::Later {
            self.dirty.note();
        }
        written.map_err(|error| self.failed("write", error))?;
        if sync == Sync::Now {
            self.note_synced(before.saturating_add(batch.len() as u64));
        }
        Ok(())
    }

    /// Says in the log that it was synced up to here. When the power goes before that is on the disk too,
    /// the end of the log is taken for what it is without it.
    fn note_synced(&self, sequence: u64) {
        self.synced.fetch_max(sequence, Ordering::AcqRel);
        if let Err(error) = self.database.write_opt(&self.batch(), &write_options(Sync::Later)) {
            warn!(%error, "what has been synced could not be noted");
        }
    }

    /// Writes out what is in memory; without `wait`, in the background.
    fn flush(&self, wait: bool) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        // One that is left out would keep the log from being removed.
        let families =
            [self.family(BLOCKS)?, self.family(META)?, self.family(rocksdb::DEFAULT_COLUMN_FAMILY_NAME)?];
        self.database.flush_cfs_opt(&families, &options).map_err(|error| self.failed("flush", error))
    }

    /// The kernel takes what it could not write for written, so the log can be read as long as its pages are
    /// in memory, and no sync of it means anything. What was read from it goes into files, if there is room:
    /// on a full disk nothing was lost.
    fn write_out_the_log(&self) -> Result<()> {
        let needed = self.pending_bytes().saturating_add(FLUSHED_EARLY_BYTES_MIN);
        if space_of(&self.path)?.free_bytes < needed {
            return Ok(());
        }
        self.flush(true)
    }

    /// Room is kept for what is in memory, which is refused to new blocks: on a disk that is nearly full
    /// it is written out early, in the background.
    fn flush_if_room_is_scarce(&self) {
        let pending = self.pending_bytes();
        let scarce = pending > FLUSHED_EARLY_BYTES_MIN
            && space_of(&self.path).is_ok_and(|space| space.free_bytes / PENDING_SHARE < pending);
        if scarce && let Err(error) = self.flush(false) {
            warn!(%error, "what is in memory could not be written out early");
        }
    }

    fn note_deletions(&self, count: u64) {
        let before = self.deletions.fetch_add(count, Ordering::Relaxed);
        if before / DELETIONS_PER_FLUSH != (before + count) / DELETIONS_PER_FLUSH
            && let Err(error) = self.flush(false)
        {
            warn!(%error, "the space of deleted blocks is given back later");
        }
    }
}

fn failed(path: &Path, op: &str, error: rocksdb::Error) -> Error {
    let kind = error.kind();
    let what = error.into_string();
    match kind {
        ErrorKind::Corruption => Error::StoreDamaged { path: path.to_owned(), what },
        // A column family that is missing, for example.
        ErrorKind::InvalidArgument if op == "open" => Error::StoreDamaged { path: path.to_owned(), what },
        _ => failure(path, op, what),
    }
}

impl Tables for Rocks {
    fn identity(&self) -> Result<Option<String>> {
        let id = self.database.get(STORE_ID).map_err(|error| self.failed("read", error))?;
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    fn set_identity(&self, store_id: &str) -> Result<()> {
        let mut batch = self.batch();
        batch.put(STORE_ID, store_id);
        self.commit(&batch, Sync::Now)
    }

    fn bytes(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.database.get_pinned_cf(self.family(BLOCKS)?, key);
        let found = found.map_err(|error| self.failed("read", error))?;
        Ok(found.map(|bytes| Bytes::copy_from_slice(&bytes)))
    }

    fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.database.get_cf(self.family(META)?, key);
        found.map_err(|error| self.failed("read", error))
    }

    fn write(&self, changes: &[Change<'_>], sync: Sync) -> Result<()> {
        let (blocks, meta) = (self.family(BLOCKS)?, self.family(META)?);
        let mut batch = self.batch();
        let mut deletions = 0;
        for change in changes {
            match change {
                Change::Put { key, record, bytes } => {
                    batch.put_cf(blocks, key, bytes);
                    batch.put_cf(meta, key, record);
                }
                Change::SetRecord { key, record } => batch.put_cf(meta, key, record),
                Change::Remove { key } => {
                    batch.delete_cf(blocks, key);
                    batch.delete_cf(meta, key);
                    deletions += 1;
                }
            }
        }
        self.commit(&batch, sync)?;
        if deletions > 0 {
            self.note_deletions(deletions);
        }
        Ok(())
    }

    fn scan(&self, from: &[u8], visit: Visit<'_>) -> Result<()> {
        let mut cursor = self.database.raw_iterator_cf_opt(self.family(META)?, ReadOptions::default());
        cursor.seek(from);
        while let Some((key, record)) = cursor.item() {
            if !visit(key, record) {
                break;
            }
            cursor.next();
        }
        cursor.status().map_err(|error| self.failed("list", error))
    }

    fn usage(&self) -> Result<Usage> {
        Ok(Usage { disk_bytes: allocated_bytes(&self.path)?, blocks: None })
    }

    fn pending_bytes(&self) -> u64 {
        let in_memory = self.family(BLOCKS).ok().and_then(|blocks| {
            self.database.property_int_value_cf(blocks, properties::CUR_SIZE_ALL_MEM_TABLES).ok().flatten()
        });
        // Once into a file, and once more when that file is merged with others.
        in_memory.unwrap_or(0).saturating_mul(2)
    }

    fn sync(&self) -> Result<()> {
        self.flush_if_room_is_scarce();
        self.dirty.sync(|| {
            let written = self.database.latest_sequence_number();
            self.database.flush_wal(true).map_err(|error| self.failed("sync", error))?;
            self.note_synced(written);
            Ok(())
        })
    }

    fn close(self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        let synced = self.sync();
        // What is in memory is in the log too: without this the next start only takes longer.
        if let Err(error) = self.flush(true) {
            warn!(%error, "the next start has to read the log");
        }
        self.database.cancel_all_background_work(true);
        synced
    }
}

fn write_options(sync: Sync) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(sync == Sync::Now);
    options
}
