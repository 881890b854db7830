//! Relaxed durability: what a close still promises, and what it has put off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use ipfs_persist_mount::datastore::backend;

use common::{
    Bench, Mounted, Trace, backends, bytes, cid_of, close, durable_backends, errno, eventually, put, rows,
    run, text,
};

const RELAXED: [&str; 2] = ["--durability", "relaxed"];

fn main() {
    let (relaxed, others): (Vec<_>, Vec<_>) =
        durable_backends().into_iter().partition(|name| backend(name).unwrap().relaxed);
    rows::main(&[
        (
            relaxed,
            cases![
                a_block_is_synced_within_moments,
                fsync_makes_durable_what_was_closed_before,
                a_failing_disk_ends_the_acknowledgements,
                the_command_put_is_durable_all_the_same,
            ],
        ),
        (others, cases![what_cannot_be_relaxed_is_synced_at_close]),
        (vec!["file"], cases![torn_blocks_are_dropped_and_others_are_not, read_only_refuses_torn_blocks]),
        (backends(), cases![status_says_what_holds]),
    ]);
}

fn store(mount: &Mounted, content: &[u8]) {
    put(mount.path(cid_of(content)), content).unwrap();
}

/// > `close` of a written file returned 0 | survives SIGKILL at once, and a power cut after one second
///
/// > power cut | what was closed in the last second may be lost, and files that were not closed are
fn a_block_is_synced_within_moments(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&RELAXED);
    store(&mount, b"before");
    let Some(trace) = Trace::begin(&bench, &mount) else { return };
    for seed in 0..3 {
        let before = trace.syncs();
        store(&mount, &bytes(seed, 3000));
        eventually("nobody has asked, and it is synced", || trace.syncs() > before);
    }
    drop(trace);
    mount.unmount();
}

/// > Everything else in the first table holds in this mode too: `fsync` of a file, also of one that was
/// > closed before, `fsync` of the root directory, `unlink`, and unmounting.
fn fsync_makes_durable_what_was_closed_before(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&RELAXED);
    let root = File::open(&mount.mnt).unwrap();
    store(&mount, b"before");
    let Some(trace) = Trace::begin(&bench, &mount) else { return };
    let synced = |what: &str, act: &mut dyn FnMut()| {
        let before = trace.syncs();
        act();
        assert!(trace.syncs() > before, "{what}");
    };
    let mut writer = File::create_new(mount.path(cid_of(b"unclosed"))).unwrap();
    writer.write_all(b"unclosed").unwrap();
    synced("a file that is being written", &mut || writer.sync_all().unwrap());
    // The sync of the moment may come first: then there is nothing left to do, and it is tried again.
    let mut seed = 0;
    let mut tried = |what: &str, act: &dyn Fn(&str)| {
        eventually(what, || {
            seed += 1;
            let content = bytes(seed, 1000);
            store(&mount, &content);
            let before = trace.syncs();
            act(&cid_of(&content));
            trace.syncs() > before
        });
    };
    tried("a file that was closed", &|name| File::open(mount.path(name)).unwrap().sync_all().unwrap());
    tried("a block that is written again", &|name| {
        let content = fs::read(mount.path(name)).unwrap();
        let mut again = File::options().write(true).open(mount.path(name)).unwrap();
        again.write_all(&content).unwrap();
        again.sync_all().unwrap();
    });
    tried("the root directory", &|_| root.sync_all().unwrap());
    tried("a deletion", &|name| {
        fs::remove_file(mount.path(name)).unwrap();
        root.sync_all().unwrap();
    });
    drop((trace, writer, root));
    let listed = mount.ls();
    mount.unmount();
    let mount = bench.mount();
    assert_eq!(mount.ls(), listed);
    mount.unmount();
}

/// > With `--durability relaxed` a close does not wait for the disk, on the backends that can promise the rest:
///
/// > When the disk falls behind, so that 64 MiB or a second are not synced, a close waits for it. When it
/// > fails, closes get its error, EIO, from then on.
fn a_failing_disk_ends_the_acknowledgements(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&RELAXED);
    store(&mount, b"before");
    File::open(&mount.mnt).unwrap().sync_all().unwrap();
    let Some(disk) = Trace::failing_syncs(&bench, &mount) else { return };
    let (mut seed, mut acknowledged) = (0, Vec::new());
    eventually("what cannot be synced is not acknowledged for ever", || {
        seed += 1;
        let content = bytes(seed, 2000);
        match put(mount.path(cid_of(&content)), &content) {
            Ok(()) => acknowledged.push(cid_of(&content)),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EIO));
                return true;
            }
        }
        false
    });
    assert!(!acknowledged.is_empty(), "no close needs a sync");
    drop(disk);
    eventually("it goes on", || put(mount.path(cid_of(b"new")), b"new").is_ok());
    File::open(&mount.mnt).unwrap().sync_all().unwrap();
    if backend != "file" {
        // Its log, which the disk has refused, is not what they are read from any more.
        let tables = common::sh_ok(&bench.data(), "find . -name '*.sst'");
        assert!(!tables.is_empty());
    }
    mount.crash();
    let mount = bench.mount();
    let listed = mount.ls();
    for cid in acknowledged.iter().chain(&[cid_of(b"before"), cid_of(b"new")]) {
        assert!(listed.contains(cid), "{cid}");
    }
    for cid in &listed {
        assert_eq!(cid_of(&fs::read(mount.path(cid)).unwrap()), *cid);
    }
    mount.unmount();
}

/// `put` prints the CID of a block that is durable, whatever the mount says of a close.
fn the_command_put_is_durable_all_the_same(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&RELAXED);
    let content = bench.path().join("content");
    fs::write(&content, b"durable").unwrap();
    let put = || run(common::program().args(["put", "--mount"]).arg(&mount.mnt).arg(&content));
    assert!(put().status.success());
    fs::remove_file(mount.path(cid_of(b"durable"))).unwrap();
    File::open(&mount.mnt).unwrap().sync_all().unwrap();
    let Some(disk) = Trace::failing_syncs(&bench, &mount) else { return };
    let output = put();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(!text(&output).contains(&cid_of(b"durable")), "{}", text(&output));
    drop(disk);
    eventually("the disk is well again", || put().status.success());
    mount.crash();
    let mount = bench.mount();
    assert_eq!(mount.ls(), [cid_of(b"durable")]);
    mount.unmount();
}

/// > `redb` and `sled` would lose what they have not synced when the process is killed: there a block is
/// > synced at its close in this mode too, and the log says so at the start.
fn what_cannot_be_relaxed_is_synced_at_close(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&RELAXED);
    let said = format!("the backend {backend} has no relaxed mode");
    assert!(mount.log().contains(&said), "{}", mount.log());
    let Some(trace) = Trace::begin(&bench, &mount) else { return };
    for seed in 0..5 {
        let content = bytes(seed, 3000);
        let mut file = File::create_new(mount.path(cid_of(&content))).unwrap();
        file.write_all(&content).unwrap();
        let before = trace.syncs();
        close(file).unwrap();
        assert!(trace.syncs() > before);
    }
    drop(trace);
    mount.unmount();
}

/// The file in which the store keeps a block.
fn file_of(bench: &Bench, content: &[u8]) -> PathBuf {
    let found = common::sh_ok(&bench.data(), "find blocks -name '*.data'");
    let mut files = found.lines().map(|path| bench.data().join(path));
    files.find(|path| fs::read(path).unwrap() == content).unwrap()
}

/// A store whose last mount was killed, as a power cut may have left it: of what was closed last one
/// block is short and one is empty. Says which are whole.
fn torn(bench: &Bench) -> Vec<String> {
    let mount = bench.mount_with(&RELAXED);
    let contents: Vec<Vec<u8>> = (0..8).map(|seed| bytes(seed, 3000)).collect();
    contents.iter().for_each(|content| store(&mount, content));
    mount.crash();
    File::options().write(true).open(file_of(bench, &contents[3])).unwrap().set_len(100).unwrap();
    File::create(file_of(bench, &contents[6])).unwrap();
    let mut whole: Vec<String> =
        (0..8).filter(|index| ![3, 6].contains(index)).map(|index| cid_of(&contents[index])).collect();
    whole.sort();
    whole
}

/// > After an end without an unmount `file` checks the blocks that came after its last sync when the store
/// > is opened, drops those that are not whole, and names them in the log.
fn torn_blocks_are_dropped_and_others_are_not(backend: &'static str) {
    let bench = Bench::new(backend);
    let whole = torn(&bench);
    let mount = bench.mount();
    assert_eq!(mount.ls(), whole);
    for seed in [3, 6] {
        let cid = cid_of(&bytes(seed, 3000));
        assert!(mount.log().contains(&cid), "{}", mount.log());
        store(&mount, &bytes(seed, 3000));
    }
    assert!(!mount.log().contains(&whole[0]), "{}", mount.log());
    assert_eq!(mount.ls().len(), 8);
    mount.unmount();
    assert!(!bench.data().join("last-sync").exists());

    // Damage that is older is no such case: the block is shown, and reading it fails.
    let old = bytes(2, 3000);
    File::options().write(true).open(file_of(&bench, &old)).unwrap().set_len(100).unwrap();
    let mount = bench.mount_with(&RELAXED);
    assert_eq!(mount.ls().len(), 8);
    assert_eq!(errno(fs::read(mount.path(cid_of(&old)))), libc::EIO);
    mount.unmount();
}

/// > Opened read-only, a store with blocks that are not whole is refused (exit code 4).
fn read_only_refuses_torn_blocks(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&RELAXED);
    store(&mount, b"whole");
    mount.crash();
    let mount = bench.mount_with(&["--read-only"]);
    assert_eq!(mount.ls(), [cid_of(b"whole")], "killed, and nothing is torn");
    mount.unmount();

    let whole = torn(&bench);
    let output = run(&mut bench.command(&["--read-only"]));
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("hint: "), "{}", text(&output));
    bench.mount().unmount();
    let mount = bench.mount_with(&["--read-only"]);
    assert_eq!(mount.ls().len(), whole.len() + 1);
    mount.unmount();
}

fn status_says_what_holds(name: &'static str) {
    let bench = Bench::new(name);
    for (options, wanted) in [(&RELAXED[..0], "close"), (&RELAXED[..], "relaxed")] {
        let mount = bench.mount_with(options);
        let status = fs::read(mount.path(".ipfs-persist/status.json")).unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        let wanted = if backend(name).unwrap().relaxed { wanted } else { "close" };
        assert_eq!(status["durability"], wanted);
        mount.unmount();
    }
}
