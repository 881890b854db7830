//! The table of backends: the one place that knows which engines there are.

use std::path::{Path, PathBuf};

use super::Datastore;
use super::flatfs::{self, FlatFs};
use super::foreign;
use super::memory::Memory;
use super::redb::{self, Redb};
use super::rocks;
use super::sled::Sled;
use crate::{Error, Result};

/// How an engine is to be opened.
#[derive(Debug, Clone, Default)]
pub struct OpenRequest {
    /// The directory for the engine's own files (inside the data directory); unused by engines
    /// that have no files.
    pub path: PathBuf,
    /// Where to keep what belongs to the store and has no place among the engine's files: the data
    /// directory.
    pub beside: PathBuf,
    /// The identifier of the store, which an engine of our own keeps with the blocks: files that
    /// have another, or none, are not the ones that the data directory was made with.
    pub store_id: String,
    /// The files are those of another program's store, which goes on using them.
    pub foreign: bool,
    /// Make a new store if the directory is empty or missing.
    pub create: bool,
    /// Never write anything.
    pub read_only: bool,
    /// The engine was open a moment ago and has failed: what it wrote and did not sync may never reach the
    /// disk, although it can be read.
    pub after_failure: bool,
    /// Most bytes of blocks that a volatile engine may hold.
    pub memory_limit_bytes: u64,
}

/// A store of another program that an engine of ours can open where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPlace {
    /// The engine's directory.
    pub path: PathBuf,
    /// The directory for what is ours: marker, lock, and what has no place among the engine's files.
    pub beside: PathBuf,
    /// Whether the engine's files are there. They are not where they have gone, and only what was
    /// kept beside them is left.
    pub present: bool,
    /// The lock of the program whose store it is, if that program has one.
    pub lock: Option<ProgramLock>,
}

/// How a program keeps others out of its store: a write lock of fcntl(2) on a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramLock {
    /// The file, which stays empty.
    pub path: PathBuf,
    /// Its mode where it has to be made.
    pub mode: u32,
    /// The program's name.
    pub program: &'static str,
    /// What its process is called.
    pub process: &'static str,
    /// How it is made to let go, for people.
    pub release: &'static str,
}

/// One engine: what the command line, the README table and the tests know of it.
#[derive(Debug)]
pub struct Backend {
    /// The value of `--backend`.
    pub name: &'static str,
    /// Other spellings of the name.
    pub aliases: &'static [&'static str],
    /// The engine, for people.
    pub engine: &'static str,
    /// The engine's version.
    pub version: &'static str,
    /// One line on what it is good for.
    pub about: &'static str,
    /// Whether this build has the engine. If not, the name is known, and opening it says how to
    /// get it.
    pub built_in: bool,
    /// Whether blocks survive the process.
    pub durable: bool,
    /// Whether blocks whose close returned 0 survive a power cut.
    pub power_safe: bool,
    /// Whether what is stored without a sync survives the end of the process, so that a close may be
    /// acknowledged before one.
    pub relaxed: bool,
    /// How blocks are compressed on disk, in a word; `None` if they are not.
    pub compression: Option<&'static str>,
    /// Whether a store can be opened without writing anything.
    pub read_only: bool,
    /// Whether the engine can be let go and opened again after it has failed.
    pub reopens: bool,
    /// Whether every block is a file of its own (so that inodes matter, and the kernel can serve
    /// blocks directly).
    pub file_per_block: bool,
    /// How many requests the engine should be given at once; 1 for local engines.
    pub parallel: usize,
    /// The data directory where none is given; `None` for engines without files.
    pub default_path: Option<&'static str>,
    /// The name of the engine's directory inside a data directory.
    pub directory: &'static str,
    /// Room on the disk that is kept for this engine, so that it can delete when the disk is full;
    /// 0 for engines that need none to delete.
    pub ballast_bytes: u64,
    /// Whether a directory holds files of this engine. Only looks.
    pub probe: fn(&Path) -> bool,
    /// Finds another program's store that this engine can open in place, in a directory or named by
    /// it; `None` for engines that open none. Only looks.
    pub in_place: Option<fn(&Path) -> Option<InPlace>>,
    /// Opens the engine.
    pub open: fn(&OpenRequest) -> Result<Box<dyn Datastore>>,
}

/// The version that the crate rust-librocksdb-sys of Cargo.lock brings.
const ROCKSDB_VERSION: &str = "11.12.0";
/// The Cargo feature with its two engines.
const ROCKSDB_FEATURE: &str = "rocksdb";
const ROCKSDB_IS_BUILT_IN: bool = cfg!(feature = "rocksdb");

impl Backend {
    /// Whether the engine is in this build.
    ///
    /// # Errors
    /// [`Error::BackendNotBuilt`] says how to get it.
    pub fn require_built_in(&self) -> Result<()> {
        if self.built_in {
            return Ok(());
        }
        Err(Error::BackendNotBuilt { name: self.name, engine: "RocksDB", feature: ROCKSDB_FEATURE })
    }
}

/// The backend that is taken when nothing says which.
pub const BACKEND_DEFAULT: &str = "file";

/// Every backend, in the order in which they are shown.
pub const BACKENDS: &[Backend] = &[
    Backend {
        name: "memory",
        aliases: &[],
        engine: "sorted maps",
        version: env!("CARGO_PKG_VERSION"),
        about: "blocks in memory, for tests and caches; nothing persists",
        built_in: true,
        durable: false,
        power_safe: false,
        relaxed: false,
        compression: None,
        read_only: true,
        reopens: true,
        file_per_block: false,
        parallel: 1,
        default_path: None,
        directory: "memory",
        ballast_bytes: 0,
        probe: |_| false,
        in_place: None,
        open: Memory::open,
    },
    Backend {
        name: "file",
        aliases: &["flatfs"],
        engine: "flatfs",
        version: "shard/v1",
        about: "one file per block, interchangeable with Kubo's default store; read at the kernel's own speed",
        built_in: true,
        durable: true,
        power_safe: true,
        relaxed: true,
        compression: None,
        read_only: true,
        reopens: true,
        file_per_block: true,
        parallel: 1,
        default_path: Some("./data/file"),
        directory: "blocks",
        ballast_bytes: 0,
        probe: flatfs::probe,
        in_place: Some(flatfs::in_place),
        open: FlatFs::open,
    },
    Backend {
        name: "badger",
        aliases: &[],
        engine: "RocksDB, values apart",
        version: ROCKSDB_VERSION,
        about: "many writes on little disk: everything compressed, long values kept out of the sorted files",
        built_in: ROCKSDB_IS_BUILT_IN,
        durable: true,
        power_safe: true,
        relaxed: true,
        compression: Some("zstd"),
        read_only: true,
        reopens: true,
        file_per_block: false,
        parallel: 1,
        default_path: Some("./data/badger"),
        directory: "badger",
        ballast_bytes: 8 << 20,
        probe: rocks::probe_badger,
        in_place: None,
        open: rocks::open_badger,
    },
    Backend {
        name: "pebble",
        aliases: &[],
        engine: "RocksDB",
        version: ROCKSDB_VERSION,
        about: "large data and throughput: the fastest for small and middle blocks",
        built_in: ROCKSDB_IS_BUILT_IN,
        durable: true,
        power_safe: true,
        relaxed: true,
        compression: Some("lz4"),
        read_only: true,
        reopens: true,
        file_per_block: false,
        parallel: 1,
        default_path: Some("./data/pebble"),
        directory: "pebble",
        ballast_bytes: 8 << 20,
        probe: rocks::probe_pebble,
        in_place: None,
        open: rocks::open_pebble,
    },
    Backend {
        name: "redb",
        aliases: &[],
        engine: "redb",
        version: "4.6.0",
        about: "one file, transactions, no C++: the smallest build",
        built_in: true,
        durable: true,
        power_safe: true,
        relaxed: false,
        compression: None,
        read_only: true,
        reopens: true,
        file_per_block: false,
        parallel: 1,
        default_path: Some("./data/redb"),
        directory: "redb",
        ballast_bytes: 8 << 20,
        probe: redb::probe,
        in_place: None,
        open: Redb::open,
    },
    Backend {
        name: "sled",
        aliases: &[],
        engine: "sled",
        version: "0.34.7",
        about: "pure Rust, quick small writes; not safe against power cuts",
        built_in: true,
        durable: true,
        power_safe: false,
        relaxed: false,
        compression: None,
        read_only: false,
        reopens: false,
        file_per_block: false,
        parallel: 1,
        default_path: Some("./data/sled"),
        directory: "sled",
        ballast_bytes: 14 << 20,
        probe: foreign::is_sled,
        in_place: None,
        open: Sled::open,
    },
];

/// The row with this name or alias.
pub fn backend(name: &str) -> Result<&'static Backend> {
    BACKENDS.iter().find(|row| row.name == name || row.aliases.contains(&name)).ok_or_else(|| {
        let known = BACKENDS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        Error::BackendUnknown { name: name.to_owned(), known }
    })
}
