//! What a close, an fsync and an unmount promise, seen in the system calls of the daemon: what has to be
//! on the disk was written and synced before the answer came.
//!
//! What a power cut leaves of that is tried in tests/power_cut.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::io::Write as _;

use ipfs_persist_mount::datastore::backend;

use common::{
    Bench, Trace, bytes, cid_of, close, detach, durable_backends, errno, eventually, put, rows, sh_ok,
};

fn main() {
    let durable: &[rows::Case] = cases![
        a_close_returns_when_the_block_is_synced,
        an_fsync_of_a_file_returns_when_its_block_is_synced,
        an_fsync_of_the_root_returns_when_deletions_are_synced,
        a_deletion_is_synced_within_moments,
        what_was_not_closed_is_not_there_after_a_crash,
        sync_does_not_reach_the_mount,
    ];
    let power_safe =
        durable_backends().into_iter().filter(|name| backend(name).unwrap().power_safe).collect();
    let others = durable_backends().into_iter().filter(|name| !backend(name).unwrap().power_safe).collect();
    let reopens = durable_backends().into_iter().filter(|name| backend(name).unwrap().reopens);
    let databases = reopens.filter(|name| *name != "sled").collect();
    rows::main(&[
        (power_safe, durable),
        (
            others,
            cases![
                without_power_safety_what_was_acknowledged_survives_sigkill,
                a_deletion_is_synced_within_moments,
                a_failed_sled_waits_for_a_remount
            ],
        ),
        (databases, cases![a_failed_database_is_opened_again]),
        (vec!["memory"], cases![memory_keeps_blocks_until_the_unmount]),
    ]);
}

/// > `close` of a written file returned 0 | survives a power cut | survives SIGKILL | readable until the
/// > unmount
fn a_close_returns_when_the_block_is_synced(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path(cid_of(b"first")), b"first").unwrap();
    let Some(trace) = Trace::begin(&bench, &mount) else { return };
    for seed in 0..10 {
        let content = bytes(seed, 3000 * seed as usize + 1);
        let mut file = File::create_new(mount.path(cid_of(&content))).unwrap();
        file.write_all(&content).unwrap();
        let before = trace.syncs();
        close(file).unwrap();
        assert!(trace.syncs() > before, "block {seed} was acknowledged before it was synced");
    }
    drop(trace);
    mount.unmount();
}

/// > `fsync` of a file returned 0 | survives a power cut | survives SIGKILL | the same
fn an_fsync_of_a_file_returns_when_its_block_is_synced(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let Some(trace) = Trace::begin(&bench, &mount) else { return };
    for name in [cid_of(b"content"), "plain".to_owned(), ".temporary.tmp".to_owned()] {
        let mut file = File::create_new(mount.path(&name)).unwrap();
        file.write_all(if name.starts_with('b') { b"content" } else { name.as_bytes() }).unwrap();
        let before = trace.syncs();
        file.sync_all().unwrap();
        assert!(trace.syncs() > before, "{name}");
        close(file).unwrap();
    }
    drop(trace);
    mount.unmount();
}

/// > `fsync` of the root directory returned 0 | everything acknowledged before, deletions included, survives
/// > a power cut | the same survives SIGKILL | nothing more
fn an_fsync_of_the_root_returns_when_deletions_are_synced(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let root = File::open(&mount.mnt).unwrap();
    for seed in 0..5 {
        put(mount.path(cid_of(&bytes(seed, 100))), &bytes(seed, 100)).unwrap();
    }
    let Some(trace) = Trace::begin(&bench, &mount) else { return };
    let before = trace.syncs();
    for seed in 0..5 {
        fs::remove_file(mount.path(cid_of(&bytes(seed, 100)))).unwrap();
    }
    root.sync_all().unwrap();
    assert!(trace.syncs() > before);
    drop((trace, root));
    // What a crash leaves is what was synced.
    mount.crash();
    let mount = bench.mount();
    assert_eq!(mount.ls(), Vec::<String>::new());
    mount.unmount();
}

/// > `unlink` returned 0 | survives a power cut after one second | survives SIGKILL after one second | gone
fn a_deletion_is_synced_within_moments(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path(cid_of(b"gone")), b"gone").unwrap();
    let Some(trace) = Trace::begin(&bench, &mount) else { return };
    let before = trace.syncs();
    fs::remove_file(mount.path(cid_of(b"gone"))).unwrap();
    eventually("nobody has asked, and it is synced", || trace.syncs() > before);
    drop(trace);
    mount.crash();
    let mount = bench.mount();
    assert_eq!(mount.ls(), Vec::<String>::new());
    mount.unmount();
}

/// > power cut | files that were not closed are lost | blocks may be lost, or the store | everything is lost
fn what_was_not_closed_is_not_there_after_a_crash(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path(cid_of(b"closed")), b"closed").unwrap();
    let mut open = File::create_new(mount.path(cid_of(b"not closed"))).unwrap();
    open.write_all(b"not closed").unwrap();
    mount.crash();
    close(open).unwrap_err();
    let mount = bench.mount();
    assert_eq!(mount.ls(), [cid_of(b"closed")]);
    mount.unmount();
}

/// > `sync` does not reach a FUSE file system; `fsync` of the root does.
fn sync_does_not_reach_the_mount(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let asked = || mount.stats()["requests"]["fsyncdir"].as_u64().unwrap();
    sh_ok(&mount.mnt, "sync -f .; sync");
    assert_eq!(asked(), 0);
    sh_ok(&mount.mnt, "sync .");
    assert_eq!(asked(), 1, "sync of a path is an fsync");
    mount.unmount();
}

/// > `close` of a written file returned 0 | survives a power cut | survives SIGKILL | readable until the
/// > unmount
///
/// > `fsync` of a file returned 0 | survives a power cut | survives SIGKILL | the same
///
/// > `unlink` returned 0 | survives a power cut after one second | survives SIGKILL after one second | gone
///
/// > `fsync` of the root directory returned 0 | everything acknowledged before, deletions included, survives
/// > a power cut | the same survives SIGKILL | nothing more
///
/// > power cut | files that were not closed are lost | blocks may be lost, or the store | everything is lost
///
/// > The log says at every start that `memory` persists nothing, and that `sled` is not safe against
/// > power cuts.
fn without_power_safety_what_was_acknowledged_survives_sigkill(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let kept: Vec<String> = (0..20).map(|seed| cid_of(&bytes(seed, 40_000))).collect();
    for (seed, name) in (0..).zip(&kept) {
        put(mount.path(name), &bytes(seed, 40_000)).unwrap();
    }
    let mut synced = File::create_new(mount.path(cid_of(b"synced"))).unwrap();
    synced.write_all(b"synced").unwrap();
    synced.sync_all().unwrap();
    fs::remove_file(mount.path(&kept[0])).unwrap();
    File::open(&mount.mnt).unwrap().sync_all().unwrap();
    mount.crash();
    drop(synced);
    let mount = bench.mount();
    let mut expected = [&kept[1..], &[cid_of(b"synced")]].concat();
    expected.sort();
    assert_eq!(mount.ls(), expected);
    assert!(
        mount.log().contains("not safe against power cuts"),
        "it says so at every start: {}",
        mount.log()
    );
    mount.unmount();
    bench.mount_with(&["--lock-wait", "0"]).unmount();
}

/// > `close` of a written file returned 0 | survives a power cut | survives SIGKILL | readable until the
/// > unmount
///
/// > `fsync` of a file returned 0 | survives a power cut | survives SIGKILL | the same
///
/// > `unlink` returned 0 | survives a power cut after one second | survives SIGKILL after one second | gone
///
/// > `fsync` of the root directory returned 0 | everything acknowledged before, deletions included, survives
/// > a power cut | the same survives SIGKILL | nothing more
///
/// > power cut | files that were not closed are lost | blocks may be lost, or the store | everything is lost
fn memory_keeps_blocks_until_the_unmount(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let mut file = File::create_new(mount.path(cid_of(b"block"))).unwrap();
    file.write_all(b"block").unwrap();
    file.sync_all().unwrap();
    close(file).unwrap();
    put(mount.path(cid_of(b"gone")), b"gone").unwrap();
    fs::remove_file(mount.path(cid_of(b"gone"))).unwrap();
    File::open(&mount.mnt).unwrap().sync_all().unwrap();
    assert_eq!(fs::read(mount.path(cid_of(b"block"))).unwrap(), b"block");
    assert_eq!(mount.ls(), [cid_of(b"block")]);
    mount.unmount();
    let mount = bench.mount();
    assert_eq!(mount.ls(), Vec::<String>::new());
    mount.unmount();
}

/// > When `close` returned an error that is not EBADMSG, such as EIO, the block is absent, or whole and
/// > durable. A database that has failed is closed and opened again by itself; meanwhile new blocks get its
/// > error, and what is stored is read, but on `redb` as long as the disk fails (EIO).
fn a_failed_database_is_opened_again(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let stored = bytes(1, 5000);
    put(mount.path(cid_of(&stored)), &stored).unwrap();
    let Some(disk) = Trace::failing_syncs(&bench, &mount) else { return };
    for seed in 2..5 {
        assert_eq!(errno(put(mount.path(cid_of(&bytes(seed, 100))), &bytes(seed, 100))), libc::EIO);
    }
    match fs::read(mount.path(cid_of(&stored))) {
        Ok(read) => assert!(read == stored),
        Err(error) => assert_eq!((backend, error.raw_os_error()), ("redb", Some(libc::EIO))),
    }
    drop(disk);
    eventually("it is opened again", || put(mount.path(cid_of(b"new")), b"new").is_ok());
    assert!(fs::read(mount.path(cid_of(&stored))).unwrap() == stored);
    // What close had refused is absent, or whole.
    let ls = mount.ls();
    for seed in 2..5 {
        let name = cid_of(&bytes(seed, 100));
        assert!(!ls.contains(&name) || fs::read(mount.path(&name)).unwrap() == bytes(seed, 100));
    }
    mount.unmount();
    let mount = bench.mount();
    assert_eq!(mount.ls(), ls, "and durable");
    mount.unmount();
}

/// > `sled` refuses everything new until it is mounted again.
fn a_failed_sled_waits_for_a_remount(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path(cid_of(b"stored")), b"stored").unwrap();
    let Some(disk) = Trace::failing_syncs(&bench, &mount) else { return };
    assert_eq!(errno(put(mount.path(cid_of(b"lost")), b"lost")), libc::EIO);
    drop(disk);
    assert_eq!(errno(put(mount.path(cid_of(b"new")), b"new")), libc::EIO);
    assert_eq!(fs::read(mount.path(cid_of(b"stored"))).unwrap(), b"stored");
    detach(&mount.mnt);
    mount.wait();
    let mount = bench.mount();
    put(mount.path(cid_of(b"new")), b"new").unwrap();
    assert_eq!(fs::read(mount.path(cid_of(b"stored"))).unwrap(), b"stored");
    mount.unmount();
}
