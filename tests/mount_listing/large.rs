//! Listing many blocks.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::blockstore::{Blockstore, StoreOptions};
use ipfs_persist_mount::datastore::{Sync, backend};

use super::bench;
use super::common::blocks::flatfs_file;
use super::common::raw::list;
use super::common::rows::Case;
use super::common::{Bench, cid_of, sh_ok};

pub const DURABLE: &[Case] = crate::cases![a_listing_of_20000_blocks_is_whole_and_bounded];

/// Blocks in a store that nobody has mounted, without waiting for the disk for each of them.
fn populate(bench: &Bench, count: u64) -> BTreeSet<String> {
    let row = backend(bench.backend).unwrap();
    let options =
        StoreOptions { backend: Some(row), data_path: Some(bench.data()), ..StoreOptions::default() };
    Blockstore::open(&options, std::sync::Arc::default()).unwrap().close().unwrap();
    let directory = bench.data().join(row.directory);
    let contents: Vec<Vec<u8>> = (0..count).map(|n| n.to_le_bytes().to_vec()).collect();
    if row.file_per_block {
        for content in &contents {
            let place = flatfs_file(&directory, &cid_of(content));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, content).unwrap();
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

/// "A listing never holds all names in memory and never reads block bytes."
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
