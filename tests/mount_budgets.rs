//! What common work costs: exact numbers of kernel requests, and bounds on memory.
//!
//! Requests are counted, not timed: a round trip costs 4 us on one machine and 80 us on another,
//! their number is the same everywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use common::{
    Bench, Disk, Mounted, backends, bytes, cid_of, durable_backends, fuse_available, run, text, wait_until,
};
use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::datastore::Sync;

/// Requests that the kernel sends when it likes, and that nobody waits for.
const NOT_COUNTED: &[&str] = &["forget"];
/// The statistics must come with one READ, or their own cost would vary.
const STATS_BYTES_MAX: usize = 64 << 10;

/// Requests by their names.
type Requests = BTreeMap<String, i64>;

/// Counts the requests of a mount, without those that reading the count itself costs.
struct Meter {
    stats: PathBuf,
    reads: i64,
    cost: Requests,
}

impl Meter {
    fn new(mounted: &Mounted) -> Self {
        let stats = mounted.path(".ipfs-persist/stats.json");
        let mut meter = Self { stats, reads: 0, cost: Requests::new() };
        // The first read may find nothing cached.
        meter.total();
        let first = (meter.total(), meter.reads);
        let second = (meter.total(), meter.reads);
        let reads = second.1 - first.1;
        meter.cost = difference(&first.0, &second.0).into_iter().map(|(name, n)| (name, n / reads)).collect();
        meter.reads = 0;
        meter
    }

    /// All requests so far. Waits for the RELEASE of closed files, which close(2) does not.
    fn total(&mut self) -> Requests {
        let mut found = None;
        wait_until("every file is released", || {
            let (requests, open_handles) = self.read();
            found = Some(requests);
            open_handles == 0
        });
        let mut requests: Requests = found.unwrap();
        for (name, cost) in &self.cost {
            *requests.get_mut(name).unwrap() -= cost * self.reads;
        }
        requests
    }

    fn read(&mut self) -> (Requests, u64) {
        let mut buffer = vec![0; STATS_BYTES_MAX];
        let length = File::open(&self.stats).unwrap().read(&mut buffer).unwrap();
        assert!(length < STATS_BYTES_MAX);
        self.reads += 1;
        let stats: serde_json::Value = serde_json::from_slice(&buffer[..length]).unwrap();
        let requests = stats["requests"].as_object().unwrap();
        let requests = requests
            .iter()
            .filter(|(name, _)| !NOT_COUNTED.contains(&name.as_str()))
            .map(|(name, count)| (name.clone(), count.as_i64().unwrap()));
        (requests.collect(), stats["gauges"]["open_handles"].as_u64().unwrap())
    }

    /// The requests that `work` causes.
    fn of(&mut self, work: impl FnOnce()) -> Requests {
        let before = self.total();
        work();
        difference(&before, &self.total())
    }
}

/// What has been added, by name, without zeros.
fn difference(before: &Requests, after: &Requests) -> Requests {
    after.iter().map(|(name, count)| (name.clone(), count - before[name])).filter(|(_, n)| *n != 0).collect()
}

fn sum(requests: &Requests) -> i64 {
    requests.values().sum()
}

fn exactly(expected: &[(&str, i64)]) -> Requests {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn create(path: &Path, content: &[u8]) {
    let mut file = File::create_new(path).unwrap();
    file.write_all(content).unwrap();
}

/// A mount in which one block was created, read, and asked for its attributes: the kernel knows by
/// then which requests are not answered, and has what it caches.
fn warm(bench: &Bench) -> (Mounted, PathBuf) {
    let mounted = bench.mount();
    let content = bytes(1, 1024);
    let path = mounted.path(cid_of(&content));
    create(&path, &content);
    let mut file = File::open(&path).unwrap();
    assert_eq!(read_once(&mut file), content);
    file.metadata().unwrap();
    (mounted, path)
}

fn read_once(file: &mut File) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let length = file.read(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn what_is_known_is_not_asked_again() {
    if !fuse_available() {
        return;
    }
    for backend in backends() {
        let bench = Bench::new(backend);
        let (mounted, path) = warm(&bench);
        let mut meter = Meter::new(&mounted);
        let stat = meter.of(|| assert_eq!(fs::metadata(&path).unwrap().len(), 1024));
        assert_eq!(stat, exactly(&[]), "{backend}: stat");
        let read = meter.of(|| assert_eq!(read_once(&mut File::open(&path).unwrap()).len(), 1024));
        assert_eq!(read, exactly(&[("open", 1), ("release", 1)]), "{backend}: open, read, close");
        drop(meter);
        mounted.unmount();
    }
}

#[test]
fn a_new_block_costs_five_requests() {
    if !fuse_available() {
        return;
    }
    let expected = [("lookup", 1), ("create", 1), ("write", 1), ("flush", 1), ("release", 1)];
    for backend in backends() {
        let bench = Bench::new(backend);
        let (mounted, _) = warm(&bench);
        let mut meter = Meter::new(&mounted);
        let content = bytes(2, 1024);
        let path = mounted.path(cid_of(&content));
        assert_eq!(meter.of(|| create(&path, &content)), exactly(&expected), "{backend}");
        assert_eq!(fs::read(path).unwrap(), content);
        mounted.unmount();
    }
}

#[test]
fn cp_costs_little_more() {
    if !fuse_available() {
        return;
    }
    for backend in backends() {
        let bench = Bench::new(backend);
        let (mounted, _) = warm(&bench);
        let mut meter = Meter::new(&mounted);
        // cp once before: it asks for things of its own.
        for (seed, size, most) in [(3, 1024, i64::MAX), (4, 1024, 8), (5, 1 << 20, 15)] {
            let content = bytes(seed, size);
            let (from, to) = (bench.path().join("source"), mounted.path(cid_of(&content)));
            fs::write(&from, &content).unwrap();
            let cost = meter.of(|| {
                let output = run(Command::new("cp").arg(&from).arg(&to));
                assert!(output.status.success(), "{}", text(&output));
            });
            assert!(sum(&cost) <= most, "{backend}: cp of {size} bytes: {cost:?}");
            assert_eq!(fs::read(to).unwrap(), content);
        }
        mounted.unmount();
    }
}

#[test]
fn a_second_long_listing_costs_no_request_per_block() {
    if !fuse_available() {
        return;
    }
    for backend in backends() {
        let bench = Bench::new(backend);
        let (mounted, _) = warm(&bench);
        for seed in 10..109 {
            let content = bytes(seed, 1024);
            create(&mounted.path(cid_of(&content)), &content);
        }
        let mut meter = Meter::new(&mounted);
        let mut list = || {
            meter.of(|| {
                let output = run(Command::new("ls").arg("-l").arg(&mounted.mnt));
                assert!(output.status.success(), "{}", text(&output));
                assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 101);
            })
        };
        list();
        let cost = list();
        assert!(sum(&cost) <= 5, "{backend}: {cost:?}");
        mounted.unmount();
    }
}

/// Puts small blocks into the store of a bench, past the mount, as fast as the engine takes them.
fn populate(bench: &Bench, blocks: std::ops::Range<u64>) {
    let engine = bench.engine();
    let block = |number: u64| {
        Block::of(number.to_le_bytes().to_vec().into(), &CidOptions::default(), SystemTime::now()).unwrap()
    };
    for start in blocks.clone().step_by(1000) {
        let batch: Vec<Block> = (start..blocks.end.min(start + 1000)).map(block).collect();
        engine.put(&batch, Sync::Later).unwrap();
    }
    engine.close().unwrap();
}

/// A field of /proc/PID/status, in bytes.
fn memory(mounted: &Mounted, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", mounted.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Mounts, lists everything, and gives the peak of memory and what is left of it.
fn listed(bench: &Bench, blocks: usize) -> (u64, u64) {
    let mounted = bench.mount();
    assert_eq!(fs::read_dir(&mounted.mnt).unwrap().map(Result::unwrap).count(), blocks);
    let found = (memory(&mounted, "VmHWM"), memory(&mounted, "VmRSS"));
    mounted.unmount();
    found
}

/// Engines that keep an entry for each of their pages in memory, about 350 bytes per block.
const PAGE_TABLE_IN_MEMORY: &[&str] = &["sled"];

/// The memory backend is left out: its blocks are its memory, which `--memory-limit` bounds.
#[test]
fn memory_does_not_grow_with_the_number_of_blocks() {
    const MIB: u64 = 1 << 20;
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        // Tiny files stand in their inodes.
        let disk = Disk::new(1024, &["-O", "inline_data,^has_journal", "-N", "120000", "-m", "0"]);
        let bench = Bench::new(backend);
        if let Some(disk) = &disk {
            fs::create_dir(disk.path().join("data")).unwrap();
            std::os::unix::fs::symlink(disk.path().join("data"), bench.data()).unwrap();
        }
        populate(&bench, 0..10_000);
        let (peak_of_few, _) = listed(&bench, 10_000);
        populate(&bench, 10_000..100_000);
        let (peak, resident) = listed(&bench, 100_000);
        assert!(resident < 100 * MIB, "{backend}: {} MiB with 100,000 blocks", resident / MIB);
        let growth = peak.saturating_sub(peak_of_few);
        let bound = if PAGE_TABLE_IN_MEMORY.contains(&backend) { 48 * MIB } else { 12 * MIB };
        assert!(growth < bound, "{backend}: {} KiB more for 90,000 more blocks", growth >> 10);
    }
}
