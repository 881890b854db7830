//! Listing the mount: each block once, in one order, whole while others write, and resumable
//! (SEMANTICS, "Names": R2).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;
#[path = "mount_listing/large.rs"]
mod large;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};

use common::blocks::{cid_bytes, cid_under, cid_v0, cids_of_one_content, flatfs_file, spell};
use common::raw::{Dir, Dirent, getdents, list, put, seek};
use common::rows::Case;
use common::{Bench, Mounted, backends, bytes, cid_of, durable_backends, names, sh_ok};
use multibase::Base;

const EVERY: &[Case] = cases![
    each_block_appears_once_under_the_cid_it_was_first_stored_with,
    a_block_whose_close_has_returned_is_in_the_next_listing,
    a_block_that_is_gone_is_in_no_later_listing,
    blocks_that_stay_are_listed_exactly_once_while_others_come_and_go,
    cookies_resume_at_every_entry_and_every_buffer_size,
    telldir_and_seekdir_resume,
    a_listing_with_attributes_tells_what_stat_tells,
];

const DURABLE: &[Case] = cases![the_order_is_the_same_after_a_remount];

const FLATFS: &[Case] = cases![a_block_of_another_program_is_listed_as_cid_v1_raw];

fn main() {
    let file = vec!["file"];
    common::rows::main(&[
        (backends(), EVERY),
        (durable_backends(), DURABLE),
        (durable_backends(), large::DURABLE),
        (backends().into_iter().filter(|name| ["file", "pebble"].contains(name)).collect(), large::SOME),
        (file, FLATFS),
    ]);
}

/// A bench in memory where there is room: these tests make many files and prove nothing of disks.
fn bench(backend: &'static str) -> Bench {
    match tempfile::Builder::new().prefix("ipm-").tempdir_in("/dev/shm") {
        Ok(dir) => {
            fs::create_dir(dir.path().join("mnt")).unwrap();
            Bench { dir, backend }
        }
        Err(_) => Bench::new(backend),
    }
}

/// Stores one block for each seed and gives the names.
fn fill(mount: &Mounted, seeds: std::ops::Range<u64>) -> Vec<String> {
    seeds
        .map(|seed| {
            let content = bytes(seed, 40);
            let name = cid_of(&content);
            put(&mount.path(&name), &content).unwrap();
            name
        })
        .collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// > A listing of the root shows each stored block once, and nothing else.
/// > The name is the CID under which the block was first stored, in canonical form: `Qm...` if that was
/// > version 0, otherwise version 1 in lower-case base32 (`b...`).
fn each_block_appears_once_under_the_cid_it_was_first_stored_with(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    let mut wanted = Vec::new();
    let mut store = |seed: u64, spelling: &dyn Fn(&[u8]) -> (String, String)| {
        let content = bytes(seed, 60);
        let (spelled, canonical) = spelling(&content);
        put(&mount.path(&spelled), &content).unwrap();
        wanted.push(canonical);
    };
    store(1, &|content| (cid_v0(content), cid_v0(content)));
    for (seed, codec) in [(2, 0x55), (3, 0x70), (4, 0x71), (5, 0x129), (6, 0x0f_ffff)] {
        for (offset, base) in [Base::Base58Btc, Base::Base32Upper, Base::Base16Lower].iter().enumerate() {
            store(seed + 10 * offset as u64, &|content| {
                let canonical = cid_under(content, codec, 0x12, 32);
                (spell(*base, &cid_bytes(&canonical)), canonical)
            });
        }
    }
    store(40, &|content| (cid_under(content, 0x55, 0x1e, 20), cid_under(content, 0x55, 0x1e, 20)));
    let wanted = sorted(wanted);
    assert_eq!(mount.ls(), wanted);

    // Looked up, opened or stored again under other spellings they keep their names.
    for seed in [1, 2, 3] {
        let content = bytes(seed, 60);
        for spelling in [cid_v0(&content), cid_under(&content, 0x71, 0x12, 32), cid_of(&content)] {
            assert_eq!(fs::read(mount.path(&spelling)).unwrap(), content);
            put(&mount.path(&spelling), &content).unwrap();
        }
    }
    assert_eq!(mount.ls(), wanted);
    mount.unmount();
    if durable_backends().contains(&backend) {
        assert_eq!(bench.mount().ls(), wanted);
    }
}

/// > A store that has no note of that CID shows version 1 `raw`, as `ipfs refs local` does.
fn a_block_of_another_program_is_listed_as_cid_v1_raw(backend: &'static str) {
    let bench = bench(backend);
    bench.mount().unmount();
    let content = bytes(77, 100);
    let raw = cid_of(&content);
    let file = flatfs_file(&bench.data().join("blocks"), &raw);
    let shard = file.parent().unwrap();
    fs::create_dir_all(shard).unwrap();
    fs::write(&file, &content).unwrap();
    // What is not a block's file is none.
    fs::write(file.with_extension("dat"), &content).unwrap();
    fs::write(shard.join("notes.txt"), &content).unwrap();
    fs::create_dir(shard.join(format!("{}.data", cid_of(b"x")))).unwrap();
    let mount = bench.mount();
    assert_eq!(mount.ls(), [raw]);
    assert_eq!(fs::read(mount.path(cid_v0(&content))).unwrap(), content);
    mount.unmount();
}

/// close(2) is the commit, and an older open handle changes nothing. (The kernel's directory cache once
/// kept such a block out of the next listing until the root's attributes expired.)
///
/// > A block that is there from `opendir` to the end is listed exactly once; one that was stored before
/// > `opendir` is not missed.
fn a_block_whose_close_has_returned_is_in_the_next_listing(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    fill(&mount, 0..30);
    let mut older = Dir::open(&mount.mnt);
    older.next().unwrap();
    for seed in 1000..1300 {
        let content = bytes(seed, 16);
        let name = cid_of(&content);
        put(&mount.path(&name), &content).unwrap();
        assert!(names(&mount.mnt).contains(&name), "{seed}");
        if seed % 50 == 0 {
            older.rewind();
            assert!(std::iter::from_fn(|| older.next()).any(|found| found == name), "{seed} after rewind");
        }
    }
    assert_eq!(names(&mount.mnt).len(), 330);
    drop(older);
    mount.unmount();
}

/// The other half of the same promise.
fn a_block_that_is_gone_is_in_no_later_listing(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    let blocks = fill(&mount, 0..200);
    let mut older = Dir::open(&mount.mnt);
    older.next().unwrap();
    for (count, name) in blocks.iter().enumerate() {
        fs::remove_file(mount.path(name)).unwrap();
        let left = names(&mount.mnt);
        assert!(!left.contains(name), "{count}");
        assert_eq!(left.len(), 199 - count);
    }
    drop(older);
    mount.unmount();
}

/// In small steps as in large ones.
///
/// > A block that is there from `opendir` to the end is listed exactly once; one that was stored before
/// > `opendir` is not missed.
fn blocks_that_stay_are_listed_exactly_once_while_others_come_and_go(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    let mut staying = fill(&mount, 0..300);
    let content = b"all of these are of one content";
    for name in cids_of_one_content(content) {
        put(&mount.path(&name), content).unwrap();
        staying.push(name);
    }
    let stop = AtomicBool::new(false);
    let churn = |first: u64| {
        let mut rounds = 0u64;
        while !stop.load(Ordering::Relaxed) || rounds == 0 {
            for name in fill(&mount, first..first + 60) {
                fs::remove_file(mount.path(name)).unwrap();
            }
            rounds += 1;
        }
    };
    std::thread::scope(|scope| {
        let churning = [scope.spawn(|| churn(10_000)), scope.spawn(|| churn(20_000))];
        for buffer_bytes in [144, 200, 512, 4096, 32_768, 1 << 20].repeat(2) {
            let listed = list(&File::open(&mount.mnt).unwrap(), buffer_bytes);
            let mut count = HashMap::<&str, u32>::new();
            listed.iter().for_each(|entry| *count.entry(&entry.name).or_default() += 1);
            for name in &staying {
                assert_eq!(count.get(name.as_str()), Some(&1), "{name} by {buffer_bytes}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        for thread in churning {
            thread.join().unwrap();
        }
    });
    assert_eq!(mount.ls(), sorted(staying));
    mount.unmount();
}

/// Blocks of several contents, each under many hash functions: many of them share a position.
fn fill_with_shared_positions(mount: &Mounted) -> Vec<String> {
    let mut names = fill(mount, 0..60);
    for seed in 500..504 {
        let content = bytes(seed, 30);
        for name in cids_of_one_content(&content) {
            put(&mount.path(&name), &content).unwrap();
            names.push(name);
        }
    }
    sorted(names)
}

fn rest_behind(dir: &File, cookie: i64, buffer_bytes: usize) -> Vec<Dirent> {
    assert_eq!(seek(dir, cookie, libc::SEEK_SET).unwrap(), cookie);
    list(dir, buffer_bytes)
}

/// However many keys share a position (sha2-256 and its 20 byte cut do, and all lengths of shake-256).
///
/// > The order is the backend's own and depends on the multihash alone, so it is the same after a
/// > remount, and a listing can be resumed at any entry.
fn cookies_resume_at_every_entry_and_every_buffer_size(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    let stored = fill_with_shared_positions(&mount);
    let dir = File::open(&mount.mnt).unwrap();
    let all = list(&dir, 1 << 20);
    assert_eq!(sorted(all.iter().map(|entry| entry.name.clone()).collect()), stored);
    let in_order = |some: &[Dirent]| some.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    let order = in_order(&all);
    // From room for about one entry (a name may have 116 characters) upwards.
    for buffer_bytes in (144..600).step_by(24).chain([1000, 4096, 10_000, 65_536]) {
        let other = File::open(&mount.mnt).unwrap();
        assert_eq!(in_order(&list(&other, buffer_bytes)), order, "{buffer_bytes}");
        assert_eq!(in_order(&rest_behind(&dir, 0, buffer_bytes)), order, "{buffer_bytes} from 0");
    }
    let all = rest_behind(&dir, 0, 1 << 20);
    let cookies: HashSet<i64> = all.iter().map(|entry| entry.cookie).collect();
    assert_eq!(cookies.len(), all.len(), "each entry has a cookie of its own");
    for (index, entry) in all.iter().enumerate().rev().chain(all.iter().enumerate().step_by(17)) {
        let rest = rest_behind(&dir, entry.cookie, 1 << 16);
        assert_eq!(in_order(&rest), order[index + 1..], "behind {index}");
        // In small steps a few are enough: each of them is the beginning of another row here.
        seek(&dir, entry.cookie, libc::SEEK_SET).unwrap();
        let few: Vec<Dirent> = (0..4).flat_map(|_| getdents(&dir, 144).unwrap()).collect();
        assert_eq!(in_order(&few), order[index + 1..][..few.len()], "behind {index}");
        assert!(few.len() >= 4.min(order.len() - index - 1));
    }
    drop(dir);
    mount.unmount();
}

/// telldir(3) and seekdir(3), which stand on cookies.
fn telldir_and_seekdir_resume(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    fill_with_shared_positions(&mount);
    let mut dir = Dir::open(&mount.mnt);
    let mut places = vec![dir.tell()];
    let mut order = Vec::new();
    while let Some(name) = dir.next() {
        order.push(name);
        places.push(dir.tell());
    }
    assert!(order.len() > 200, "{}", order.len());
    assert_eq!(dir.next(), None, "the end stays the end");
    for index in (0..places.len()).rev().step_by(7).chain((0..places.len()).step_by(5)) {
        dir.seek(places[index]);
        let next: Vec<String> = std::iter::from_fn(|| dir.next()).take(60).collect();
        assert_eq!(next, order[index..(index + 60).min(order.len())], "from {index}");
    }
    dir.rewind();
    assert_eq!(std::iter::from_fn(|| dir.next()).collect::<Vec<_>>(), order);
    drop(dir);
    mount.unmount();
}

/// > The order is the backend's own and depends on the multihash alone, so it is the same after a
/// > remount, and a listing can be resumed at any entry.
fn the_order_is_the_same_after_a_remount(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    fill_with_shared_positions(&mount);
    let listed = |mount: &Mounted| list(&File::open(&mount.mnt).unwrap(), 4096);
    let before = listed(&mount);
    // In between other blocks come and go: the order of those that stay is of their keys alone.
    for name in fill(&mount, 900..950) {
        fs::remove_file(mount.path(name)).unwrap();
    }
    assert_eq!(listed(&mount), before);
    mount.unmount();
    let mount = bench.mount();
    assert_eq!(listed(&mount), before, "names, inodes and cookies");
    // A cookie of a position that is not shared even resumes in a handle that never gave it.
    let order: Vec<&str> = before.iter().map(|entry| entry.name.as_str()).collect();
    let mut resumed = 0;
    for (index, entry) in before.iter().enumerate().filter(|(_, entry)| entry.cookie < 1 << 62) {
        let new = File::open(&mount.mnt).unwrap();
        let rest = rest_behind(&new, entry.cookie, 65_536);
        assert_eq!(rest.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), order[index + 1..]);
        resumed += 1;
    }
    assert!(resumed >= 60, "{resumed}");
    mount.unmount();
}

/// The listing with attributes (READDIRPLUS, which `ls -l` and `find` cause) and stat(2) agree.
fn a_listing_with_attributes_tells_what_stat_tells(backend: &'static str) {
    let bench = bench(backend);
    let mount = bench.mount();
    for (seed, length) in [(1, 0), (2, 1), (3, 511), (4, 512), (5, 513), (6, 70_000), (7, 1 << 20)] {
        let content = bytes(seed, length);
        put(&mount.path(cid_of(&content)), &content).unwrap();
    }
    for _ in 0..2 {
        for entry in fs::read_dir(&mount.mnt).unwrap() {
            let entry = entry.unwrap();
            let metadata = fs::metadata(entry.path()).unwrap();
            assert!(entry.file_type().unwrap().is_file());
            assert_eq!(entry.ino(), metadata.ino());
            assert_eq!(fs::read(entry.path()).unwrap().len() as u64, metadata.len());
        }
    }
    let found = sh_ok(&mount.mnt, "find . -type f -printf '%f %s %i %b %m %n\\n' | sort");
    let stated = sh_ok(&mount.mnt, "stat -c '%n %s %i %b %a %h' * | sort");
    assert_eq!(found, stated);
    assert_eq!(found.lines().count(), 7);
    // The directory itself is there too, and nothing that is hidden.
    let dots = sh_ok(&mount.mnt, "ls -a | head -2");
    assert_eq!(dots, ".\n..\n");
    assert_eq!(sh_ok(&mount.mnt, "ls -a | wc -l").trim(), "9");
    assert_eq!(sh_ok(&mount.mnt, "find . -mindepth 1 -name '.*'"), "");
    mount.unmount();
}
