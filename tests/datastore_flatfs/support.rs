//! What the tests have in common.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use ipfs_persist_mount::block::{Block, Cid, CidForm, CidOptions, Key, Version};
use ipfs_persist_mount::datastore::Datastore;
use ipfs_persist_mount::datastore::flatfs::{FlatFs, FlatFsOptions};
use nix::sys::stat::{Mode, umask};
use tempfile::TempDir;

/// Name of the archive and content of `SHARDING`.
pub const FIXTURES: [(&str, &str); 3] = [
    ("flatfs-next-to-last-2", "/repo/flatfs/shard/v1/next-to-last/2\n"),
    ("flatfs-prefix-3", "/repo/flatfs/shard/v1/prefix/3\n"),
    ("flatfs-suffix-2", "/repo/flatfs/shard/v1/suffix/2\n"),
];
/// Blocks in each of them.
pub const FIXTURE_BLOCKS: usize = 65;

pub const DAG_PB_V0: CidForm = CidForm::Known { version: Version::V0, codec: 0x70 };

pub fn scratch() -> TempDir {
    umask(Mode::from_bits_truncate(0o077));
    tempfile::tempdir().unwrap()
}

/// Unpacks a fixture and returns its directory.
pub fn unpack(scratch: &TempDir, name: &str) -> PathBuf {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/stores/{name}.tar.gz"));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(archive).unwrap()));
    archive.set_mask(0);
    archive.set_preserve_permissions(true);
    archive.unpack(scratch.path()).unwrap();
    scratch.path().join(name)
}

pub fn options(path: &Path) -> FlatFsOptions {
    FlatFsOptions {
        path: path.to_path_buf(),
        forms: path.parent().unwrap().join("forms"),
        last_sync: path.parent().unwrap().join("last-sync"),
        default_form: CidForm::RAW_V1,
        create: true,
        read_only: false,
    }
}

pub fn open(path: &Path) -> Box<FlatFs> {
    Box::new(FlatFs::open_with(options(path)).unwrap())
}

pub fn list(store: &FlatFs, limit: usize) -> Vec<Key> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(after, limit).unwrap();
        let Some(last) = page.last() else { return keys };
        after = Some(store.position(&last.key));
        keys.extend(page.into_iter().map(|listed| listed.key));
    }
}

/// What is in a directory: for each name the mode, and the bytes if it is a file.
pub fn tree(path: &Path) -> BTreeMap<PathBuf, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path_here = entry.unwrap().path();
            let info = fs::symlink_metadata(&path_here).unwrap();
            let bytes = (!info.is_dir()).then(|| fs::read(&path_here).unwrap());
            found.insert(path_here.strip_prefix(path).unwrap().to_path_buf(), (info.mode() & 0o7777, bytes));
            if info.is_dir() {
                open.push(path_here);
            }
        }
    }
    found
}

pub fn block(number: u32) -> Block {
    let bytes = Bytes::from(format!("block {number}"));
    Block::of(bytes, &CidOptions::default(), UNIX_EPOCH + Duration::from_secs(number.into())).unwrap()
}

pub fn with_form(block: &Block, form: CidForm) -> Block {
    let cid = Cid::new(block.key().clone(), form).unwrap();
    Block::verify(&cid, block.bytes().clone(), block.meta().mtime).unwrap()
}

pub fn form_of(store: &FlatFs, block: &Block) -> CidForm {
    store.stat(block.key()).unwrap().unwrap().cid_form
}
