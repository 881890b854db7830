//! A disk without space.

use std::fs;
use std::path::PathBuf;
use std::slice::from_ref;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use ipfs_persist_mount::Error;
use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::datastore::{Datastore, Sync};
use tempfile::TempDir;

use super::support::{DAG_PB_V0, block, form_of, list, open, scratch, with_form};

/// A full disk fails the put with its errno, leaves nothing half done, and keeps reads and removals
/// going. Needs a file system of its own, so root.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let scratch = scratch();
    let mounted = Mounted::tmpfs(&scratch, "size=1m,nr_inodes=400");
    let Some(mounted) = mounted else { return eprintln!("skipped: only root can mount a tmpfs") };
    let path = mounted.0.join("blocks");
    let store = open(&path);
    let mut stored = Vec::new();
    let refused = (0..100u8).find_map(|number| {
        let bytes = Bytes::from(vec![number; 50_000]);
        let block = Block::of(bytes, &CidOptions::default(), UNIX_EPOCH).unwrap();
        let block = with_form(&block, DAG_PB_V0);
        let error = store.put(from_ref(&block), Sync::Now).err();
        stored.push(block);
        error
    });
    let refused = refused.unwrap();
    assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
    assert_eq!(refused.errno(), libc::ENOSPC);
    let last = stored.pop().unwrap();
    assert_eq!(store.stat(last.key()).unwrap(), None);
    assert_eq!(fs::read_dir(path.join(".temp")).unwrap().count(), 0);
    let batch = (0..64).map(block).chain([last.clone()]).collect::<Vec<_>>();
    assert_eq!(store.put(&batch, Sync::Now).unwrap_err().errno(), libc::ENOSPC);
    assert_eq!(list(&store, 10).len(), stored.len(), "part of a refused batch is there");
    for block in &stored {
        assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
        assert_eq!(form_of(&store, block), DAG_PB_V0);
    }
    assert_eq!(store.remove(&[stored[0].key().clone()], Sync::Now).unwrap(), 1);
    store.put(from_ref(&last), Sync::Now).unwrap();
    store.close().unwrap();
    let store = open(&path);
    assert_eq!(form_of(&store, &last), DAG_PB_V0);
    assert_eq!(list(&store, 10).len(), stored.len());
}

/// A file system that is unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(scratch: &TempDir, options: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let point = scratch.path().join("mounted");
        fs::create_dir(&point).unwrap();
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), &point, Some("tmpfs"), flags, Some(options)).ok()?;
        Some(Self(point))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}
