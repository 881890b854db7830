//! Listing many blocks.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::blockstore::{Blockstore, StoreOptions};
use ipfs_persist_mount::datastore::{Sync, backend};

use super::bench;
use super::common::blocks::flatfs_file;
use super::common::raw::{getdents, list, put, seek};
use super::common::rows::Case;
use super::common::{Bench, cid_of, sh_ok};

pub const DURABLE: &[Case] = crate::cases![a_listing_of_20000_blocks_is_whole_and_bounded];

/// For one backend that lists directories, and some that list an index.
pub const SOME: &[Case] = crate::cases![a_million_blocks_are_listed];

/// Blocks in a store that nobody has mounted, without waiting for the disk for each of them.
fn populate(bench: &Bench, count: u64) -> BTreeSet<String> {
    let row = backend(bench.backend).unwrap();
    let options =
        StoreOptions { backend: Some(row), data_path: Some(bench.data()), ..StoreOptions::default() };
    Blockstore::open(&options, std::sync::Arc::default()).unwrap().close().unwrap();
    let directory = bench.data().join(row.directory);
    let contents: Vec<Vec<u8>> = (0..count).map(|n| n.to_le_bytes().to_vec()).collect();
    if row.file_per_block {
        // All have the same length, and a listing reads none of them: one file has all their names.
        let first = flatfs_file(&directory, &cid_of(&contents[0]));
        fs::create_dir_all(first.parent().unwrap()).unwrap();
        fs::write(&first, &contents[0]).unwrap();
        for content in &contents[1..] {
            let place = flatfs_file(&directory, &cid_of(content));
            fs::hard_link(&first, &place)
                .or_else(|_| {
                    fs::create_dir_all(place.parent().unwrap()).and_then(|()| fs::hard_link(&first, &place))
                })
                .unwrap();
        }
    } else {
        let engine = bench.engine();
        for contents in contents.chunks(500) {
            let block = |content: &Vec<u8>| {
                Block::of(content.clone().into(), &CidOptions::default(), SystemTime::now()).unwrap()
            };
            engine.put(&contents.iter().map(block).collect::<Vec<_>>(), Sync::Later).unwrap();
        }
        engine.close().unwrap();
    }
    contents.iter().map(|content| cid_of(content)).collect()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// > A listing does not hold all names in memory and reads no block.
fn a_listing_of_20000_blocks_is_whole_and_bounded(backend: &'static str) {
    const COUNT: u64 = 20_000;
    let bench = bench(backend);
    let stored = populate(&bench, COUNT);
    assert_eq!(stored.len() as u64, COUNT);
    let mount = bench.mount();
    let before_kib = resident_kib(mount.pid());
    let open: Vec<File> = (0..8).map(|_| File::open(&mount.mnt).unwrap()).collect();
    for (dir, buffer_bytes) in open.iter().zip([32_768, 600, 4096, 1 << 20].iter().cycle()) {
        let listed = list(dir, *buffer_bytes);
        assert_eq!(listed.len() as u64, COUNT, "by {buffer_bytes}");
        assert!(listed.iter().all(|entry| stored.contains(&entry.name)), "by {buffer_bytes}");
    }
    // Eight handles that each held all names would need about 20 MiB.
    let grown_kib = resident_kib(mount.pid()).saturating_sub(before_kib);
    assert!(grown_kib < 12 << 10, "{grown_kib} KiB");
    let stats = mount.stats();
    assert_eq!(stats["counters"]["read_bytes"], 0, "no block was read");
    let inodes = stats["gauges"]["known_inodes"].as_u64().unwrap();
    assert!(inodes < COUNT / 4, "{inodes} inodes are pinned by listings alone");
    drop(open);
    assert_eq!(sh_ok(&mount.mnt, "ls -U | wc -l").trim(), COUNT.to_string());
    assert_eq!(sh_ok(&mount.mnt, "find . -type f | wc -l").trim(), COUNT.to_string());
    mount.unmount();
}

/// Names behind a cookie, in the order of the listing; each must be one of the stored.
fn names_behind(dir: &File, cookie: i64) -> Vec<String> {
    seek(dir, cookie, libc::SEEK_SET).unwrap();
    list(dir, 1 << 20).into_iter().map(|entry| entry.name).collect()
}

/// A million blocks: whole for every tool, resumable at a cookie in this mount and in the next, each
/// block that stays listed exactly once while others are written and deleted, in bounded memory.
fn a_million_blocks_are_listed(backend: &'static str) {
    const COUNT: u64 = 1_000_000;
    let bench = bench(backend);
    let stored = populate(&bench, COUNT);
    let mount = bench.mount();
    let before_kib = resident_kib(mount.pid());
    for tool in ["ls -f | grep -c ^b", "ls | wc -l", "find . -type f | wc -l"] {
        assert_eq!(sh_ok(&mount.mnt, tool).trim(), COUNT.to_string(), "{tool}");
    }
    let order = names_behind(&File::open(&mount.mnt).unwrap(), 0);
    assert_eq!(order.iter().collect::<BTreeSet<_>>(), stored.iter().collect(), "each of them");
    assert_eq!(order.len() as u64, COUNT, "once");

    // Interrupted and resumed elsewhere.
    let mut place = 0;
    let (dir, mut read) = (File::open(&mount.mnt).unwrap(), 0);
    while read < 400_000 {
        let some = getdents(&dir, 32_768).unwrap();
        read += some.iter().filter(|entry| !entry.name.starts_with('.')).count();
        place = some.last().unwrap().cookie;
    }
    drop(dir);
    assert_eq!(names_behind(&File::open(&mount.mnt).unwrap(), place), order[read..]);

    // All names would need 60 MiB; engines have caches of their own.
    let cache_kib = if backend == "file" { 0 } else { 64 << 10 };
    let grown_kib = resident_kib(mount.pid()).saturating_sub(before_kib);
    assert!(grown_kib < cache_kib + (16 << 10), "{grown_kib} KiB");

    // Others are written and deleted meanwhile. (Looked-up names make the kernel ask for attributes with
    // the listing, and remember every name; so it is for memory of its own to tell how much that is.)
    let stop = AtomicBool::new(false);
    let listed = std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            for content in (COUNT..).map(|n| n.to_le_bytes()) {
                put(&mount.path(cid_of(&content)), &content).unwrap();
                fs::remove_file(mount.path(cid_of(&content))).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let listed = names_behind(&File::open(&mount.mnt).unwrap(), 0);
        stop.store(true, Ordering::Relaxed);
        churn.join().unwrap();
        listed
    });
    let staying: Vec<&String> = listed.iter().filter(|name| stored.contains(*name)).collect();
    assert_eq!(staying, order.iter().collect::<Vec<_>>());
    mount.unmount();

    let mount = bench.mount();
    assert_eq!(names_behind(&File::open(&mount.mnt).unwrap(), place), order[read..], "after a remount");
    mount.unmount();
}
