//! Stores of other programs, and whole pictures of directories.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The stores among the fixtures: archive, the name of the program that has to be said, and the file
/// or directory that the archive makes.
pub const STORES: [(&str, &str); 17] = [
    ("badger-v1", "Badger"),
    ("badger-v3", "Badger"),
    ("badger-v4", "Badger"),
    ("flatfs-next-to-last-2", "flatfs"),
    ("flatfs-prefix-3", "flatfs"),
    ("flatfs-suffix-2", "flatfs"),
    ("kubo-badger", "Kubo"),
    ("kubo-flatfs", "Kubo"),
    ("kubo-pebble", "Kubo"),
    ("leveldb-cpp", "LevelDB"),
    ("leveldb-go", "LevelDB"),
    ("pebble-v1", "Pebble"),
    ("pebble-v2", "Pebble"),
    ("redb", "redb"),
    ("rocksdb", "RocksDB"),
    ("rocksdb-blobdb", "RocksDB"),
    ("sled", "sled"),
];

/// Blocks in each store of another program's flatfs.
pub const STORE_BLOCKS: usize = 65;

/// Unpacks a store into a directory, with its modes and times, and returns where it is.
pub fn unpack(name: &str, into: &Path) -> PathBuf {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/stores/{name}.tar.gz"));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(archive).unwrap()));
    archive.set_mask(0);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.unpack(into).unwrap();
    into.join(name)
}

/// What a name is: mode with the kind of file, modification time, and bytes or the target of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub mode: u32,
    pub mtime: (i64, i64),
    pub content: Vec<u8>,
}

/// Everything in a directory, itself included.
pub fn snapshot(path: &Path) -> Snapshot {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(here) = open.pop() {
        let info = fs::symlink_metadata(&here).unwrap();
        let kind = info.file_type();
        let content = if kind.is_file() {
            fs::read(&here).unwrap()
        } else if kind.is_symlink() {
            fs::read_link(&here).unwrap().into_os_string().into_encoded_bytes()
        } else {
            assert!(kind.is_dir() || kind.is_fifo() || kind.is_char_device() || kind.is_socket());
            Vec::new()
        };
        if kind.is_dir() {
            open.extend(fs::read_dir(&here).unwrap().map(|entry| entry.unwrap().path()));
        }
        let seen = Seen { mode: info.mode(), mtime: (info.mtime(), info.mtime_nsec()), content };
        found.insert(here, seen);
    }
    found
}

pub type Snapshot = BTreeMap<PathBuf, Seen>;

/// Fails with the names that differ, not with all the bytes.
pub fn assert_same(before: &Snapshot, after: &Snapshot, what: &str) {
    let names = before.keys().chain(after.keys());
    let differ: Vec<_> = names.filter(|name| before.get(*name) != after.get(*name)).collect();
    assert!(differ.is_empty(), "{what}: changed, new or gone: {differ:?}");
}

/// As [`assert_same`], with what is there now.
pub fn assert_unchanged(before: &Snapshot, path: &Path, what: &str) {
    assert_same(before, &snapshot(path), what);
}
