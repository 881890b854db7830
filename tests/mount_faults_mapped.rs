//! Bytes that come through a mapping after the last close, where storing them fails.
//!
//! A program of its own, because a process that maps files of a mount which it serves itself can wait
//! for itself, and one that starts others closes copies of its files in them.

#![allow(unsafe_code, reason = "a mapping")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/faulty.rs"]
#[allow(dead_code, reason = "it has more than is needed here")]
mod faulty;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::process::Command;

use common::{bytes, cid_of, close, eventually, fuse_available, is_root, run, text, write_new};
use faulty::{Call, Fault, FaultyMount};
use ipfs_persist_mount::metrics::Count;

/// Names the file to map, for the other process.
const MAPPED: &str = "TEST_MAPPED";

/// Maps a file, closes it, and changes its first byte.
#[test]
#[ignore = "run by the other test, as another process"]
fn map_and_change() {
    let Some(path) = std::env::var_os(MAPPED) else { return };
    let file = File::options().read(true).write(true).open(path).unwrap();
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), 1, access, shared, file.as_raw_fd(), 0) };
    assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    close(file).unwrap();
    // SAFETY: the mapping is one byte long at least, and nobody else has it.
    unsafe { *start.cast::<u8>() ^= 1 };
}

/// Regression: where another thread led the commit, the verdict on bytes of a mapping fell after the
/// handle had been taken down, and a failure left the name and its staged bytes for ever.
///
/// > Only bytes that come through a mapping after the last `close` or `msync` are judged when nobody
/// > can be told any more: if they are not the block, or cannot be stored, that is logged and counted
/// > (`mapped_writes_lost`).
#[test]
fn mapped_bytes_that_cannot_be_stored_leave_nothing_behind() {
    if !is_root() || !fuse_available() {
        return eprintln!("SKIPPED: a mount in the test's own process needs root");
    }
    let mount = FaultyMount::new();
    let notes = mount.mnt().join("notes");
    let mut content = bytes(1, 5000);
    write_new(&notes, &content).unwrap();
    let leader = bytes(2, 100);
    let mut before = Vec::new();
    std::thread::scope(|scope| {
        mount.faults.set(Call::Put, Some(&cid_of(&leader)), Fault::Hold);
        let leading = scope.spawn(|| write_new(&mount.path(&leader), &leader));
        mount.faults.wait_until_held();
        let other = run(Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "map_and_change", "--ignored"])
            .env(MAPPED, &notes));
        assert!(other.status.success() && text(&other).contains("1 passed"), "{}", text(&other));
        before.clone_from(&content);
        content[0] ^= 1;
        // Its handle stays until the verdict has fallen. The leader's file is open, and the one that tells.
        eventually("the mapped file is released", || held_by_the_kernel(&mount) == 2);
        mount.faults.replace(Call::Put, &cid_of(&content), Fault::Errno(libc::EIO));
        leading.join().unwrap().unwrap();
    });
    eventually("it is noted", || mount.count(Count::MappedWritesLost) == 1);
    // The name stands for what it did before.
    eventually("the name is as it was", || fs::read(&notes).is_ok_and(|now| now == before));
    assert_eq!(gauge(&mount, "staged_bytes"), 0);
    mount.faults.clear();
    fs::write(&notes, &content).unwrap();
    assert_eq!(fs::read(&notes).unwrap(), content);
    mount.finish().unwrap();
}

fn gauge(mount: &FaultyMount, name: &str) -> u64 {
    let stats = fs::read(mount.mnt().join(".ipfs-persist/stats.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&stats).unwrap()["gauges"][name].as_u64().unwrap()
}

/// Files that the kernel has opened, or created, and not released.
fn held_by_the_kernel(mount: &FaultyMount) -> u64 {
    let stats = fs::read(mount.mnt().join(".ipfs-persist/stats.json")).unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
    let count = |name: &str| stats["requests"][name].as_u64().unwrap();
    count("open") + count("create") - count("release")
}
