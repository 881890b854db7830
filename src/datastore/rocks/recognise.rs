//! Databases of ours, told from all others by their OPTIONS file.
//!
//! RocksDB writes the options of a database into `OPTIONS-<number>` whenever it opens one: text in
//! sections, of which `[CFOptions "<name>"]` stands for a column family.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BLOCKS, Flavour, META};
use crate::sys::files::read_head;

/// An OPTIONS file has about twenty thousand bytes.
const OPTIONS_BYTES_MAX: usize = 1 << 20;

/// Which of our engines made the database in a directory; `None` if none did.
pub(super) fn flavour(path: &Path) -> Option<Flavour> {
    if !is_file(&path.join("CURRENT")) {
        return None;
    }
    let text = read(&newest_options(path)?)?;
    if !text.contains("\n  rocksdb_version=") || section(&text, META).is_none() {
        return None;
    }
    match section(&text, BLOCKS)?.lines().find_map(|line| line.trim().strip_prefix("enable_blob_files="))? {
        "true" => Some(Flavour::Blobs),
        _ => Some(Flavour::Plain),
    }
}

/// Whether RocksDB makes a file of this name before a new database can hold anything.
#[cfg(feature = "rocksdb")]
pub(super) fn is_leftover_of_creation(name: &str) -> bool {
    matches!(name, "CURRENT" | "IDENTITY" | "LOCK" | "LOG")
        || name.starts_with("MANIFEST-")
        || name.starts_with("OPTIONS-")
        || name.ends_with(".dbtmp")
        || name.ends_with(".log")
}

fn newest_options(path: &Path) -> Option<PathBuf> {
    let numbers = fs::read_dir(path).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_prefix("OPTIONS-")?.parse::<u64>().ok()
    });
    let newest = numbers.max()?;
    Some(path.join(format!("OPTIONS-{newest:06}"))).filter(|path| is_file(path))
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(read_head(path, OPTIONS_BYTES_MAX).ok()??).ok()
}

/// The options of a column family.
fn section<'t>(text: &'t str, family: &str) -> Option<&'t str> {
    let (_, behind) = text.split_once(&format!("[CFOptions \"{family}\"]"))?;
    behind.split("\n[").next()
}
