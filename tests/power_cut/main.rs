//! Power cuts, tried.
//!
//! A disk that notes every write and every flush (`disk_server`) carries a file system, on which the real
//! program keeps its store. Blocks are stored and removed through the mount (`workload`), and whatever is
//! acknowledged is marked in the same log (`log`). From it disks are made as a power cut leaves them
//! (`cut`): what was flushed, and some of what was written since, one write of it torn. Each is mounted,
//! the program opens the store on it, and what it shows is compared with what was promised (`history`).
//!
//! What is chosen at random comes from a seed, which is printed; the order in which the disk is written
//! to is the machine's own. By hand: IPFS_PERSIST_TEST_SEED chooses a seed (hex),
//! IPFS_PERSIST_TEST_STATES how many disks are made of each log, IPFS_PERSIST_TEST_FILE_SYSTEM ext4, xfs
//! or btrfs, IPFS_PERSIST_TEST_KEEP a directory for the disks on which something was wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod cut;
mod disk_server;
mod file_system;
mod history;
mod log;
#[path = "../model/random.rs"]
mod random;
mod states;
mod workload;

use std::fs;
use std::path::Path;
use std::time::Duration;

use ipfs_persist_mount::datastore::backend;

use common::{Mounted, durable_backends, program, rows};
use disk_server::DiskServer;
use file_system::{Kind, MountedImage};
use history::Durability;
use log::{Appender, Log, Mark};

/// How long blocks are stored and removed in one mount, and how many mounts there are.
const SESSION: Duration = Duration::from_millis(1500);
const SESSIONS: u64 = 2;
/// Disks that are made of each log in every build.
const STATES: usize = 12;
const SEED: u64 = 0x2026_1126;

fn main() {
    disk_server::serve_if_told();
    let durable = durable_backends();
    let power_safe = durable.iter().copied().filter(|name| backend(name).unwrap().power_safe).collect();
    let relaxed = durable.iter().copied().filter(|name| backend(name).unwrap().relaxed).collect();
    rows::main(&[
        (power_safe, cases![what_was_closed_survives]),
        (relaxed, cases![what_was_closed_a_second_ago_survives]),
    ]);
}

/// > `close` of a written file returned 0 | survives a power cut | survives SIGKILL | readable until the
/// > unmount
///
/// > `unlink` returned 0 | survives a power cut after one second | survives SIGKILL after one second | gone
///
/// > power cut | files that were not closed are lost | blocks may be lost, or the store | everything is lost
fn what_was_closed_survives(backend: &'static str) {
    cut_the_power(backend, Durability::Close);
}

/// > `close` of a written file returned 0 | survives SIGKILL at once, and a power cut after one second
///
/// > power cut | what was closed in the last second may be lost, and files that were not closed are
fn what_was_closed_a_second_ago_survives(backend: &'static str) {
    cut_the_power(backend, Durability::Relaxed);
}

/// A number from the environment.
fn setting(name: &str, radix: u32) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(u64::from_str_radix(text.trim_start_matches("0x"), radix).expect(name))
}

/// What is tried.
struct Trial {
    backend: &'static str,
    durability: Durability,
    kind: Kind,
    seed: u64,
}

impl Trial {
    /// Mounts the store that is on a disk.
    fn mount(&self, disk: &Path, mnt: &Path) -> Mounted {
        let mut command = program();
        command.args(["--backend", self.backend, "--lock-wait", "0", "--min-free-space", "1MiB"]);
        if self.durability != Durability::Close {
            command.args(["--durability", self.durability.name()]);
        }
        command.arg("--data-path").arg(disk.join("data")).arg(mnt);
        Mounted::start(command, mnt.to_owned())
    }

    /// Works on the noting disk, and gives its log.
    fn record(&self, dir: &Path) -> Log {
        for name in ["disk", "mnt", "served"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let server = DiskServer::start(&dir.join("served"), self.kind.size);
        self.kind.make(&server.disk());
        let disk = MountedImage::new(&server.disk(), &dir.join("disk")).unwrap();
        let appender = Appender::open(&server.log()).unwrap();
        appender.mark(Mark::DiskReady, 0);
        for session in 0..SESSIONS {
            let mount = self.mount(&dir.join("disk"), &dir.join("mnt"));
            appender.mark(Mark::Mounted, session);
            workload::run(&mount.mnt, &appender, self.seed, session, SESSION);
            appender.mark(Mark::UnmountBegun, u64::MAX);
            mount.unmount();
            appender.mark(Mark::Unmounted, u64::MAX);
        }
        disk.unmount();
        let log = server.log();
        server.stop();
        Log::read(&log)
    }
}

fn cut_the_power(backend: &'static str, durability: Durability) {
    let kind = Kind::wanted();
    if !kind.available() {
        return;
    }
    let seed = setting("IPFS_PERSIST_TEST_SEED", 16).unwrap_or(SEED);
    let count = setting("IPFS_PERSIST_TEST_STATES", 10).map_or(STATES, |count| count as usize);
    let dir = tempfile::Builder::new().prefix("ipm-power-").tempdir().unwrap();
    eprintln!("{backend}, {}, {}: IPFS_PERSIST_TEST_SEED={seed:#x}", durability.name(), kind.name);
    let trial = Trial { backend, durability, kind, seed };
    let log = trial.record(dir.path());
    let failures = states::try_all(&trial, &log, count, dir.path());
    assert!(
        failures.is_empty(),
        "{} of {count} power cuts did harm (seed {seed:#x}):\n{}",
        failures.len(),
        failures.join("\n")
    );
}
