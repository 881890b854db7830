//! The `redb` engine: one file, copy-on-write B-trees, every commit in two phases.
//!
//! Each durable commit also saves the state of the allocator, so that opening after a crash does not
//! have to walk the whole file.
//!
//! Invariant: the engine never makes a database of a file that had one: redb itself would take a
//! file that was cut to nothing for a new one.

mod failure;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, Durability, ReadOnlyDatabase, ReadTransaction, ReadableDatabase,
    ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};

use super::foreign::is_redb;
use super::indexed::{Change, Dirty, Indexed, Place, Tables, Visit};
use super::{Datastore, OpenRequest, Sync, Usage};
use crate::sys::{allocated_bytes, sync_dir};
use crate::{Error, Result};

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

const BLOCKS: Table = TableDefinition::new("blocks");
const META: Table = TableDefinition::new("meta");
const STORE: TableDefinition<&str, &str> = TableDefinition::new("store");
/// The entry of [`STORE`] that says which store this is.
const STORE_ID: &str = "store_id";

/// The database in the engine's directory.
const FILE: &str = "blocks.redb";
/// Memory for pages of the file.
const CACHE_BYTES: usize = 64 << 20;

/// An open database.
pub struct Redb {
    database: Opened,
    path: PathBuf,
    dirty: Dirty,
}

enum Opened {
    Writable(Database),
    ReadOnly(ReadOnlyDatabase),
}

/// Whether a directory holds a database of this engine. Only looks.
pub fn probe(path: &Path) -> bool {
    let file = path.join(FILE);
    file.is_file() && is_redb(&file)
}

impl Redb {
    /// Opens the engine as the table of backends does.
    pub fn open(request: &OpenRequest) -> Result<Box<dyn Datastore>> {
        let place = Place::look(request, probe, |name| name == FILE)?;
        let path = request.path.join(FILE);
        let database = if request.read_only {
            let opened = Builder::new().set_cache_size(CACHE_BYTES).open_read_only(&path);
            Opened::ReadOnly(opened.map_err(|error| failure::at("open", &path, error))?)
        } else {
            Opened::Writable(open_writable(&path, place)?)
        };
        Indexed::open(Self { database, path, dirty: Dirty::default() }, request)
    }

    fn failed(&self, op: &str, error: impl Into<redb::Error>) -> Error {
        failure::at(op, &self.path, error)
    }

    fn read<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<Option<T>, redb::Error>,
    ) -> Result<Option<T>> {
        let begun = match &self.database {
            Opened::Writable(database) => database.begin_read(),
            Opened::ReadOnly(database) => database.begin_read(),
        };
        begun
            .map_err(redb::Error::from)
            .and_then(|read| look(&read))
            .map_err(|error| self.failed("read", error))
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.read(|read| {
            let Some(table) = existing(read.open_table(table))? else { return Ok(None) };
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn commit(
        &self,
        sync: Sync,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<()> {
        let Opened::Writable(database) = &self.database else { return Err(Error::ReadOnly) };
        let commit = || -> Result<(), redb::Error> {
            let mut write = database.begin_write()?;
            match sync {
                Sync::Now => {
                    write.set_durability(Durability::Immediate)?;
                    write.set_two_phase_commit(true);
                    write.set_quick_repair(true);
                }
                Sync::Later => write.set_durability(Durability::None)?,
            }
            change(&write)?;
            Ok(write.commit()?)
        };
        let committed = commit().map_err(|error| self.failed("write", error));
        if sync == Sync::Later {
            self.dirty.note();
        }
        committed
    }
}

fn open_writable(path: &Path, place: Place) -> Result<Database> {
    let file = OpenOptions::new().read(true).write(true).create(place == Place::New).mode(0o600).open(path);
    let file = file.map_err(|error| Error::io_at("open", path, error))?;
    let open = || -> Result<Database, redb::Error> {
        Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)?)
    };
    let database = open().map_err(|error| failure::at("open", path, error))?;
    if place == Place::New {
        path.parent().map_or(Ok(()), sync_dir)?;
    }
    Ok(database)
}

/// A table that nothing has been written to yet is not there.
fn existing<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Tables for Redb {
    fn identity(&self) -> Result<Option<String>> {
        self.read(|read| {
            let Some(table) = existing(read.open_table(STORE))? else { return Ok(None) };
            Ok(table.get(STORE_ID)?.map(|id| id.value().to_owned()))
        })
    }

    fn set_identity(&self, store_id: &str) -> Result<()> {
        self.commit(Sync::Now, |write| {
            write.open_table(STORE)?.insert(STORE_ID, store_id)?;
            Ok(())
        })
    }

    fn bytes(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.value(BLOCKS, key)?.map(Bytes::from))
    }

    fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.value(META, key)
    }

    fn write(&self, changes: &[Change<'_>], sync: Sync) -> Result<()> {
        self.commit(sync, |write| {
            let mut blocks = write.open_table(BLOCKS)?;
            let mut meta = write.open_table(META)?;
            for change in changes {
                match change {
                    Change::Put { key, record, bytes } => {
                        blocks.insert(key.as_slice(), bytes.as_ref())?;
                        meta.insert(key.as_slice(), *record)?;
                    }
                    Change::SetRecord { key, record } => {
                        meta.insert(key.as_slice(), *record)?;
                    }
                    Change::Remove { key } => {
                        blocks.remove(key.as_slice())?;
                        meta.remove(key.as_slice())?;
                    }
                }
            }
            Ok(())
        })
    }

    fn scan(&self, from: &[u8], visit: Visit<'_>) -> Result<()> {
        let scanned = self.read(|read| {
            let Some(table) = existing(read.open_table(META))? else { return Ok(None) };
            for entry in table.range::<&[u8]>(from..)? {
                let (key, record) = entry?;
                if !visit(key.value(), record.value()) {
                    break;
                }
            }
            Ok(Some(()))
        });
        scanned.map(|_| ())
    }

    fn usage(&self) -> Result<Usage> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let blocks = self.read(|read| {
            let Some(table) = existing(read.open_table(META))? else { return Ok(Some(0)) };
            Ok(Some(table.len()?))
        })?;
        Ok(Usage { disk_bytes: allocated_bytes(directory)?, blocks })
    }

    fn pending_bytes(&self) -> u64 {
        0
    }

    fn sync(&self) -> Result<()> {
        // A durable commit takes along whatever was committed before it.
        self.dirty.sync(|| self.commit(Sync::Now, |_| Ok(())))
    }

    fn close(self) -> Result<()> {
        let synced = match &self.database {
            Opened::Writable(_) => self.sync(),
            Opened::ReadOnly(_) => Ok(()),
        };
        let Self { database, path, .. } = self;
        let closed = match database {
            Opened::Writable(database) => database.close(),
            Opened::ReadOnly(database) => database.close(),
        };
        synced.and(closed.map_err(|error| failure::at("close", &path, error)))
    }
}
