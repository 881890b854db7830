//! Directory cursors of the file system, without a kernel: small answers, cookies, positions that
//! many keys share, blocks that come and go between two calls (SEMANTICS, "Names": R2).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use ipfs_persist_mount::block::{Block, CidForm, CidOptions, Key, Version, canonical};
use ipfs_persist_mount::blockstore::{Blockstore, StoreOptions};
use ipfs_persist_mount::datastore::{BACKENDS, Backend, backend};
use ipfs_persist_mount::fs::{Attr, DirEntry, Filesystem, FsOptions, Handle, ROOT};
use libtest_mimic::{Arguments, Trial};

type Case = (&'static str, fn(&Filesystem));

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        &[$((stringify!($case), $case as fn(&Filesystem))),*]
    };
}

const CASES: &[Case] = cases![
    every_size_of_answer_gives_the_same_listing,
    every_cookie_resumes_behind_its_entry,
    an_entry_without_room_is_the_next_one,
    two_handles_do_not_disturb_each_other,
    what_is_removed_in_between_moves_nothing_else,
    what_is_added_behind_the_place_of_a_handle_is_found_from_the_start,
    attributes_are_references_that_can_be_given_back,
];

/// Sharding functions of flatfs directories that other programs may have made: with long names the
/// shard decides the order, and all keys of a shard share a position.
const SHARDINGS: [&str; 6] =
    ["next-to-last/2", "next-to-last/1", "prefix/3", "suffix/5", "next-to-last/14", "prefix/20"];

fn main() {
    let mut trials = Vec::new();
    for row in BACKENDS.iter().filter(|row| row.built_in) {
        for (name, case) in CASES {
            trials.push(Trial::test(format!("{}::{name}", row.name), move || {
                let dir = directory();
                run(row, dir.path(), *case);
                Ok(())
            }));
        }
    }
    for sharding in SHARDINGS {
        for (name, case) in CASES {
            trials.push(Trial::test(format!("file::{sharding}::{name}"), move || {
                let dir = directory();
                let row = backend("file").unwrap();
                open(row, dir.path()).close().unwrap();
                let line = format!("/repo/flatfs/shard/v1/{sharding}\n");
                fs::write(dir.path().join("data").join(row.directory).join("SHARDING"), line).unwrap();
                run(row, dir.path(), *case);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// A directory in memory where there is room: these tests make many files and prove nothing of disks.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(row: &'static Backend, dir: &Path) -> Blockstore {
    let options = StoreOptions {
        backend: Some(row),
        data_path: row.default_path.map(|_| dir.join("data")),
        ..StoreOptions::default()
    };
    Blockstore::open(&options, std::sync::Arc::default()).unwrap()
}

fn run(row: &'static Backend, dir: &Path, case: fn(&Filesystem)) {
    let store = open(row, dir);
    for block in contents().into_values() {
        store.put(block).unwrap();
    }
    let filesystem = Filesystem::new(store, FsOptions::default());
    case(&filesystem);
    filesystem.close().unwrap();
}

fn block(content: &[u8], hash_code: u64, digest_len: usize) -> Block {
    let options = CidOptions { hash_code, digest_len, ..CidOptions::default() };
    Block::of(content.to_vec().into(), &options, SystemTime::now()).unwrap()
}

/// One answer: at most `room` entries behind a cookie.
fn answer(
    fs: &Filesystem,
    handle: Handle,
    cookie: u64,
    room: usize,
    attributes: bool,
) -> Vec<(DirEntry, Option<Attr>)> {
    let mut entries = Vec::new();
    let mut sink = |entry: &DirEntry, told: Option<&ipfs_persist_mount::fs::Entry>| {
        if entries.len() == room {
            return false;
        }
        assert_eq!(told.is_some(), attributes, "attributes exactly where the kernel wants them");
        entries.push((entry.clone(), told.map(|told| told.attr)));
        true
    };
    fs.readdir(handle, cookie, attributes, &mut sink).unwrap();
    entries
}

/// Everything behind a cookie, in answers of at most `room` entries.
fn rest(fs: &Filesystem, handle: Handle, mut cookie: u64, room: usize, attributes: bool) -> Vec<DirEntry> {
    let mut all = Vec::new();
    loop {
        let some = answer(fs, handle, cookie, room, attributes);
        let Some((last, _)) = some.last() else {
            return all;
        };
        cookie = last.cookie;
        all.extend(some.into_iter().map(|(entry, _)| entry));
    }
}

fn names(entries: &[DirEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.name.to_str().unwrap().to_owned()).collect()
}

fn listing(fs: &Filesystem) -> Vec<DirEntry> {
    let handle = fs.opendir(ROOT, caller()).unwrap();
    let all = rest(fs, handle, 0, usize::MAX, false);
    fs.release(handle);
    assert_eq!(names(&all[..2]), [".", ".."]);
    let distinct: BTreeSet<_> = names(&all).into_iter().collect();
    assert_eq!(distinct.len(), all.len(), "each once");
    assert_eq!(all.len(), 2 + 40 + 2 * 69);
    all
}

fn every_size_of_answer_gives_the_same_listing(fs: &Filesystem) {
    let order = names(&listing(fs));
    for attributes in [false, true] {
        for room in (1..40).chain([63, 64, 65, 100, 1000]) {
            let handle = fs.opendir(ROOT, caller()).unwrap();
            assert_eq!(names(&rest(fs, handle, 0, room, attributes)), order, "by {room}");
            fs.release(handle);
        }
    }
}

fn every_cookie_resumes_behind_its_entry(fs: &Filesystem) {
    let handle = fs.opendir(ROOT, caller()).unwrap();
    let all = rest(fs, handle, 0, 7, false);
    let order = names(&all);
    let cookies: BTreeSet<u64> = all.iter().map(|entry| entry.cookie).collect();
    assert_eq!(cookies.len(), all.len(), "each has its own");
    assert!(cookies.last().unwrap() <= &(i64::MAX as u64), "off_t has no more");
    for (index, entry) in all.iter().enumerate().rev().chain(all.iter().enumerate().step_by(7)) {
        for room in [1, 5, 1000] {
            let some: Vec<DirEntry> = answer(fs, handle, entry.cookie, room, room == 5)
                .into_iter()
                .map(|(entry, _)| entry)
                .collect();
            let wanted = &order[index + 1..(index + 1 + room).min(order.len())];
            assert_eq!(names(&some), wanted, "{room} behind {index}");
        }
        assert_eq!(names(&rest(fs, handle, entry.cookie, 9, false)), order[index + 1..], "behind {index}");
    }
    assert_eq!(names(&rest(fs, handle, 0, 50, false)), order, "from the start again");
    fs.release(handle);
}

/// The kernel takes what fits and comes back with the cookie of the last that did.
fn an_entry_without_room_is_the_next_one(fs: &Filesystem) {
    let order = names(&listing(fs));
    let handle = fs.opendir(ROOT, caller()).unwrap();
    let mut cookie = 0;
    for name in &order {
        assert!(answer(fs, handle, cookie, 0, true).is_empty(), "no room at all");
        let one = answer(fs, handle, cookie, 1, true);
        assert_eq!(one[0].0.name.to_str().unwrap(), name);
        cookie = one[0].0.cookie;
    }
    assert!(answer(fs, handle, cookie, 1, true).is_empty(), "the end");
    fs.release(handle);
}

fn two_handles_do_not_disturb_each_other(fs: &Filesystem) {
    let order = names(&listing(fs));
    let (one, other) = (fs.opendir(ROOT, caller()).unwrap(), fs.opendir(ROOT, caller()).unwrap());
    let (mut one_cookie, mut other_cookie) = (0, 0);
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    while ones.len() < order.len() || others.len() < order.len() {
        for (entry, _) in answer(fs, one, one_cookie, 3, false) {
            one_cookie = entry.cookie;
            ones.push(entry);
        }
        for (entry, _) in answer(fs, other, other_cookie, 11, true) {
            other_cookie = entry.cookie;
            others.push(entry);
        }
    }
    assert_eq!((names(&ones), names(&others)), (order.clone(), order));
    fs.release(one);
    fs.release(other);
}

fn caller() -> ipfs_persist_mount::fs::Caller {
    ipfs_persist_mount::fs::Caller { uid: 0, gid: 0, pid: 1 }
}

/// The entry at which a handle stands, and its neighbours, may be removed; what stays is listed
/// exactly once.
fn what_is_removed_in_between_moves_nothing_else(fs: &Filesystem) {
    let order = names(&listing(fs))[2..].to_vec();
    for room in [1, 2, 5] {
        let handle = fs.opendir(ROOT, caller()).unwrap();
        let mut removed = BTreeMap::<String, Block>::new();
        let mut seen = Vec::new();
        let mut cookie = 2;
        loop {
            let some = answer(fs, handle, cookie, room, room == 2);
            let Some((last, _)) = some.last() else { break };
            cookie = last.cookie;
            seen.extend(some.iter().map(|(entry, _)| entry.name.to_str().unwrap().to_owned()));
            // The one just seen goes, and the one after next.
            let at = order.iter().position(|name| *name == last.name.to_str().unwrap()).unwrap();
            for name in [order.get(at), order.get(at + 2)].into_iter().flatten() {
                if let Some(block) = contents().remove(name)
                    && removed.insert(name.clone(), block).is_none()
                {
                    fs.unlink(ROOT, name.as_ref(), caller()).unwrap();
                }
            }
        }
        fs.release(handle);
        let count = |name: &String| seen.iter().filter(|seen| *seen == name).count();
        for name in &order {
            assert!(count(name) <= 1, "{name} twice");
            assert!(count(name) == 1 || removed.contains_key(name), "{name} is missing");
        }
        assert!(removed.len() > order.len() / 3);
        for (name, block) in removed {
            store(fs, &name, block.bytes());
        }
        assert_eq!(names(&listing(fs))[2..], order);
    }
}

fn what_is_added_behind_the_place_of_a_handle_is_found_from_the_start(fs: &Filesystem) {
    let handle = fs.opendir(ROOT, caller()).unwrap();
    let before = rest(fs, handle, 0, 10, false);
    let gone: Vec<String> = names(&before)[2..].iter().step_by(3).cloned().collect();
    gone.iter().for_each(|name| fs.unlink(ROOT, name.as_ref(), caller()).unwrap());
    assert_eq!(rest(fs, handle, 0, 10, false).len(), before.len() - gone.len(), "rewound");
    let mut contents = contents();
    gone.iter().for_each(|name| store(fs, name, contents.remove(name).unwrap().bytes()));
    assert_eq!(names(&rest(fs, handle, 0, 10, false)), names(&before), "rewound again");
    fs.release(handle);
}

/// With attributes the kernel holds a reference for each entry that it took, and for no other.
fn attributes_are_references_that_can_be_given_back(fs: &Filesystem) {
    let handle = fs.opendir(ROOT, caller()).unwrap();
    let mut cookie = 2;
    let mut told = Vec::new();
    loop {
        let some = answer(fs, handle, cookie, 4, true);
        let Some((last, _)) = some.last() else { break };
        cookie = last.cookie;
        told.extend(some);
    }
    for (entry, attr) in &told {
        let attr = attr.unwrap();
        assert_eq!(attr.ino, entry.ino);
        assert_eq!(fs.getattr(attr.ino, None).unwrap().attr, attr);
        fs.forget(attr.ino, 1);
        let stale = fs.getattr(attr.ino, None).unwrap_err();
        assert_eq!(stale.errno(), libc::ESTALE, "one reference each");
    }
    fs.release(handle);
}

/// All blocks of these tests by their names.
fn contents() -> BTreeMap<String, Block> {
    let mut blocks: Vec<Block> = (0..40u64).map(|seed| block(&seed.to_le_bytes(), 0x12, 32)).collect();
    // Of one content all of these share a position: the 20 bytes of sha2-256 with the 32, and all
    // lengths of shake-256 and of blake3.
    for content in [b"one", b"two"] {
        let lengths = (20..=64).map(|length| (0x19, length)).chain((20..40).map(|length| (0x1e, length)));
        for (code, length) in lengths.chain([(0x12, 20), (0x12, 32), (0x11, 20), (0xb220, 32)]) {
            blocks.push(block(content, code, length));
        }
    }
    let name = |key: &Key| canonical(key, CidForm::Known { version: Version::V1, codec: 0x55 });
    blocks.into_iter().map(|block| (name(block.key()), block)).collect()
}

fn store(fs: &Filesystem, name: &str, bytes: &[u8]) {
    let intent = ipfs_persist_mount::fs::OpenIntent { write: true, ..Default::default() };
    let (entry, opened) = fs.create(ROOT, name.as_ref(), 0o644, intent, caller()).unwrap();
    fs.write(opened.handle, 0, bytes).unwrap();
    let (sender, verdict) = std::sync::mpsc::channel();
    fs.flush(opened.handle, Box::new(move |result| sender.send(result).unwrap()));
    verdict.recv().unwrap().unwrap();
    fs.release(opened.handle);
    fs.forget(entry.attr.ino, 1);
}
