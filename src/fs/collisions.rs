//! Tests with blocks whose inode numbers all collide: each is still served its own bytes.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::inode::InodeTable;
use super::{Caller, Filesystem, FsOptions, OpenIntent, ROOT};
use crate::block::{Block, CidOptions, canonical};
use crate::blockstore::{Blockstore, StoreOptions};
use crate::datastore::backend;
use crate::metrics::Metrics;

const CALLER: Caller = Caller { uid: 0, gid: 0, pid: 1 };
const READ: OpenIntent = OpenIntent { read: true, write: false, append: false, exclusive: false };

/// A file system in which every block has the number 42, with `count` blocks in it.
fn colliding(count: u8) -> (Filesystem, Vec<Block>) {
    let options = StoreOptions { backend: Some(backend("memory").unwrap()), ..StoreOptions::default() };
    let store = Blockstore::open(&options, Arc::new(Metrics::default())).unwrap();
    let block = |n: u8| {
        let bytes = vec![n; usize::from(n) + 1];
        Block::of(bytes.into(), &CidOptions::default(), SystemTime::now()).unwrap()
    };
    let blocks: Vec<Block> = (0..count).map(block).collect();
    for block in &blocks {
        store.put(block.clone()).unwrap();
    }
    let mut filesystem = Filesystem::new(store, FsOptions::default());
    let shared = Arc::get_mut(&mut filesystem.shared).unwrap();
    shared.inodes = Mutex::new(InodeTable::new(|_| 42));
    (filesystem, blocks)
}

fn name(block: &Block) -> String {
    canonical(block.key(), block.meta().cid_form)
}

/// What a block's inode serves: its size and its bytes.
fn served(fs: &Filesystem, ino: u64) -> (u64, Vec<u8>) {
    let size_bytes = fs.getattr(ino, None).unwrap().attr.size_bytes;
    let opened = fs.open(ino, READ, CALLER).unwrap();
    let bytes = fs.read(opened.handle, 0, 1 << 20, <[u8]>::to_vec).unwrap();
    fs.release(opened.handle);
    (size_bytes, bytes)
}

/// > Should the numbers of two blocks ever be equal, one of them gets another number while the kernel
/// > knows both; it is never shown the bytes of the other.
#[test]
fn blocks_with_one_number_are_served_their_own_bytes() {
    let (fs, blocks) = colliding(20);
    let mut known = Vec::new();
    for round in 0..3 {
        for block in &blocks {
            let ino = fs.lookup(ROOT, OsStr::new(&name(block)), CALLER).unwrap().attr.ino;
            assert!(round > 0 || known.iter().all(|(other, _)| *other != ino), "a number of its own");
            known.push((ino, block));
        }
    }
    for (ino, block) in &known {
        assert_eq!(served(&fs, *ino), (block.bytes().len() as u64, block.bytes().to_vec()));
    }
    // The kernel forgets every other block, whose numbers others may have then, and looks all up
    // again in another order.
    for (ino, _) in known.iter().step_by(2) {
        fs.forget(*ino, 1);
    }
    let mut known: Vec<_> = known.into_iter().skip(1).step_by(2).collect();
    for block in blocks.iter().rev() {
        known.push((fs.lookup(ROOT, OsStr::new(&name(block)), CALLER).unwrap().attr.ino, block));
    }
    for (ino, block) in &known {
        assert_eq!(served(&fs, *ino).1, block.bytes().to_vec());
    }
    fs.unlink(ROOT, OsStr::new(&name(&blocks[3])), CALLER).unwrap();
    for (ino, block) in &known {
        if block.key() == blocks[3].key() {
            // To be looked up again, and not twice in a row.
            let errno = fs.open(*ino, READ, CALLER).unwrap_err().errno();
            assert!([crate::sys::errno::ESTALE, crate::sys::errno::ENOENT].contains(&errno), "{errno}");
        } else {
            assert_eq!(served(&fs, *ino).1, block.bytes().to_vec());
        }
    }
    fs.close().unwrap();
}

#[test]
fn a_listing_with_attributes_tells_colliding_blocks_apart() {
    let (fs, blocks) = colliding(20);
    let handle = fs.opendir(ROOT, CALLER).unwrap();
    let mut told = Vec::new();
    let mut sink = |entry: &super::DirEntry, attributes: Option<&super::Entry>| {
        told.push((entry.name.clone(), attributes.unwrap().attr));
        true
    };
    fs.readdir(handle, 2, true, &mut sink).unwrap();
    fs.release(handle);
    assert_eq!(told.len(), blocks.len());
    for block in &blocks {
        let (_, attr) = told.iter().find(|(found, _)| *found == *name(block)).unwrap();
        assert_eq!(attr.size_bytes, block.bytes().len() as u64);
        assert_eq!(served(&fs, attr.ino).1, block.bytes().to_vec());
    }
    fs.close().unwrap();
}
