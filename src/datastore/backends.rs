//! The table of backends: the one place that knows which engines there are.

use std::path::{Path, PathBuf};

use super::Datastore;
use super::flatfs::{self, FlatFs};
use super::memory::Memory;
use crate::{Error, Result};

/// How an engine is to be opened.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// The directory for the engine's own files (inside the data directory); unused by engines
    /// that have no files.
    pub path: PathBuf,
    /// Make a new store if the directory is empty or missing.
    pub create: bool,
    /// Never write anything.
    pub read_only: bool,
    /// Most bytes of blocks that a volatile engine may hold.
    pub memory_limit_bytes: u64,
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
    /// One line on what it is good for.
    pub about: &'static str,
    /// Whether blocks survive the process.
    pub durable: bool,
    /// Whether every block is a file of its own (so that inodes matter, and the kernel can serve
    /// blocks directly).
    pub file_per_block: bool,
    /// How many requests the engine should be given at once; 1 for local engines.
    pub parallel: usize,
    /// The data directory where none is given; `None` for engines without files.
    pub default_path: Option<&'static str>,
    /// The name of the engine's directory inside a data directory.
    pub directory: &'static str,
    /// Whether a directory holds files of this engine. Only looks.
    pub probe: fn(&Path) -> bool,
    /// Opens the engine.
    pub open: fn(&OpenRequest) -> Result<Box<dyn Datastore>>,
}

/// Every backend of this build, in the order in which they are shown.
pub const BACKENDS: &[Backend] = &[
    Backend {
        name: "memory",
        aliases: &[],
        engine: "sorted maps",
        about: "blocks in memory, for tests and caches; nothing persists",
        durable: false,
        file_per_block: false,
        parallel: 1,
        default_path: None,
        directory: "memory",
        probe: |_| false,
        open: Memory::open,
    },
    Backend {
        name: "file",
        aliases: &["flatfs"],
        engine: "flatfs",
        about: "one file per block, interchangeable with Kubo's default store; read at the kernel's own speed",
        durable: true,
        file_per_block: true,
        parallel: 1,
        default_path: Some("./data/file"),
        directory: "blocks",
        probe: flatfs::probe,
        open: FlatFs::open,
    },
];

/// The row with this name or alias.
pub fn backend(name: &str) -> Result<&'static Backend> {
    BACKENDS.iter().find(|row| row.name == name || row.aliases.contains(&name)).ok_or_else(|| {
        let known = BACKENDS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        Error::BackendUnknown { name: name.to_owned(), known }
    })
}
