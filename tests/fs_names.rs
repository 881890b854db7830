//! How many names that are no CIDs a file system holds, without a kernel.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;

use ipfs_persist_mount::Result;
use ipfs_persist_mount::block::{Block, CidOptions, canonical};
use ipfs_persist_mount::blockstore::{Blockstore, StoreOptions};
use ipfs_persist_mount::datastore::backend;
use ipfs_persist_mount::fs::{Caller, Filesystem, FsOptions, NAMES_MAX, OpenIntent, ROOT};

const CALLER: Caller = Caller { uid: 0, gid: 0, pid: 1 };
const WRITE: OpenIntent = OpenIntent { read: false, write: true, append: false, exclusive: false };

/// > There are at most 262,144 plain names; one more is ENOSPC.
#[test]
fn one_name_more_than_there_may_be_is_refused() {
    let store = StoreOptions { backend: Some(backend("memory").unwrap()), ..StoreOptions::default() };
    let fs =
        Filesystem::new(Blockstore::open(&store, std::sync::Arc::default()).unwrap(), FsOptions::default());
    let name = |number: usize| OsString::from(format!("name-{number}"));
    let create = |number: usize| -> Result<()> {
        let (_, opened) = fs.create(ROOT, &name(number), 0o644, WRITE, CALLER)?;
        fs.release(opened.handle);
        Ok(())
    };
    assert_eq!(NAMES_MAX, 262_144);
    (0..NAMES_MAX).for_each(|number| create(number).unwrap());
    assert_eq!(create(NAMES_MAX).unwrap_err().errno(), libc::ENOSPC);
    // What is there can be opened, blocks can be written, and a name that goes makes room.
    create(7).unwrap();
    let block =
        Block::of(b"block".to_vec().into(), &CidOptions::default(), std::time::SystemTime::now()).unwrap();
    let cid = OsString::from(canonical(block.key(), block.meta().cid_form));
    let (_, opened) = fs.create(ROOT, &cid, 0o644, WRITE, CALLER).unwrap();
    fs.release(opened.handle);
    fs.unlink(ROOT, &name(8), CALLER).unwrap();
    create(NAMES_MAX).unwrap();
    assert_eq!(create(8).unwrap_err().errno(), libc::ENOSPC);
    fs.close().unwrap();
}
