//! Storage engines by their files, as they name them and begin them.

use std::path::Path;

use crate::sys::files::read_head;

/// How many names of a directory are looked at.
const NAMES_MAX: usize = 1_000_000;
/// How many files of one kind are looked into.
const FILES_MAX: usize = 64;
/// How much of a file is read. An options file says its version in the first lines.
const HEAD_BYTES: usize = 16 << 10;

/// How a redb file begins.
const REDB_MAGIC: &[u8] = b"redb";
/// How a Badger manifest begins.
const BADGER_MAGIC: &[u8] = b"Bdgr";

/// Whether a directory is of Pebble, which writes its own version into files that are otherwise
/// named as those of RocksDB.
pub fn is_pebble(path: &Path) -> bool {
    names(path).any(|name| name.starts_with("marker.format-version."))
        || any_options_file_says(path, "pebble_version=")
}

/// Whether a directory is of RocksDB.
pub fn is_rocksdb(path: &Path) -> bool {
    points_to_manifest(path)
        && !is_pebble(path)
        && (path.join("IDENTITY").is_file() || any_options_file_says(path, "rocksdb_version="))
}

/// Whether a directory is of LevelDB, whose files are those that RocksDB and Pebble have too.
pub fn is_leveldb(path: &Path) -> bool {
    points_to_manifest(path) && !is_pebble(path) && !is_rocksdb(path)
}

/// Whether a directory is of Badger.
pub fn is_badger(path: &Path) -> bool {
    begins_with(&path.join("MANIFEST"), BADGER_MAGIC)
}

/// Whether a path is a file of redb, or a directory with one, which may have any name.
pub fn is_redb(path: &Path) -> bool {
    if path.is_file() {
        return begins_with(path, REDB_MAGIC);
    }
    let begins = |name: &String| begins_with(&path.join(name), REDB_MAGIC);
    names(path).filter(|name| name.ends_with(".redb")).any(|name| begins(&name))
        || names(path).take(FILES_MAX).any(|name| begins(&name))
}

/// Whether a directory is of sled.
pub fn is_sled(path: &Path) -> bool {
    let conf = head(&path.join("conf"));
    path.join("db").is_file() && conf.is_some_and(|conf| holds(&conf, "segment_size:"))
}

fn points_to_manifest(path: &Path) -> bool {
    begins_with(&path.join("CURRENT"), b"MANIFEST-")
}

fn any_options_file_says(path: &Path, words: &str) -> bool {
    let says = |name: String| head(&path.join(name)).is_some_and(|text| holds(&text, words));
    names(path).filter(|name| name.starts_with("OPTIONS-")).take(FILES_MAX).any(says)
}

/// Names in a directory; none if it cannot be read.
fn names(path: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().take(NAMES_MAX);
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

fn head(path: &Path) -> Option<Vec<u8>> {
    read_head(path, HEAD_BYTES).ok().flatten()
}

fn begins_with(path: &Path, magic: &[u8]) -> bool {
    read_head(path, magic.len()).is_ok_and(|head| head.as_deref() == Some(magic))
}

fn holds(text: &[u8], words: &str) -> bool {
    text.windows(words.len()).any(|window| window == words.as_bytes())
}
