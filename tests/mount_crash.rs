//! Ends that nobody asked for: kill -9 in the middle of writing, and a connection to the kernel
//! that is aborted from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{
    Bench, Disk, Mounted, abort_connection, bytes, cid_of, close, detach, durable_backends, errno,
    fuse_available, is_mounted, is_root, names, program, run, text, write_new,
};

const ROUNDS: u64 = 12;
const WRITERS: u64 = 4;

/// Content that nobody else writes, of a size between nothing and 100 KiB.
fn content(seed: u64) -> Vec<u8> {
    let mut content = seed.to_le_bytes().to_vec();
    content.extend(bytes(seed, usize::try_from(seed.wrapping_mul(0x9e37_79b9) % 100_000).unwrap()));
    content
}

/// Writes blocks until the mount dies, and notes those whose close has returned success.
fn write_until_death(mnt: &Path, seeds: &AtomicU64, acknowledged: &Mutex<HashMap<String, u64>>) {
    loop {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        let content = content(seed);
        let name = cid_of(&content);
        match write_new(&mnt.join(&name), &content) {
            Ok(()) => drop(acknowledged.lock().unwrap().insert(name, seed)),
            Err(error) => {
                let expected = [libc::ENOTCONN, libc::ECONNABORTED, libc::EIO];
                assert!(expected.contains(&error.raw_os_error().unwrap()), "{error}");
                return;
            }
        }
    }
}

/// Every listed block is whole, and every acknowledged one is listed.
fn check(mounted: &Mounted, acknowledged: &HashMap<String, u64>) {
    let listed = mounted.ls();
    for name in &listed {
        let bytes = fs::read(mounted.path(name)).unwrap();
        assert_eq!(cid_of(&bytes), *name, "a block with other bytes than its own");
    }
    for (name, seed) in acknowledged {
        assert!(listed.contains(name), "{name}, whose close had returned, is lost (seed {seed})");
    }
}

/// > Never is there a part of a block under a name, nor bytes that do not hash to it.
///
/// > `close` of a written file returned 0 | survives SIGKILL at once, and a power cut after one second
#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    if !fuse_available() {
        return;
    }
    let modes = ["close", "relaxed"];
    for (backend, mode) in
        durable_backends().into_iter().flat_map(|backend| modes.map(|mode| (backend, mode)))
    {
        let bench = Bench::new(backend);
        let options = ["--lock-wait", "0", "--durability", mode];
        let seeds = AtomicU64::new(1);
        let acknowledged = Mutex::new(HashMap::new());
        let mut kills = Vec::new();
        for _ in 0..ROUNDS {
            let mounted = bench.mount_with(&options);
            check(&mounted, &acknowledged.lock().unwrap());
            let before = acknowledged.lock().unwrap().len();
            std::thread::scope(|scope| {
                for _ in 0..WRITERS {
                    scope.spawn(|| write_until_death(&bench.mnt(), &seeds, &acknowledged));
                }
                // The moment of death is the case, not a way to wait for something.
                let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
                std::thread::sleep(Duration::from_micros(u64::from(nanos) % 120_000));
                mounted.crash();
            });
            kills.push(acknowledged.lock().unwrap().len() - before);
        }
        let mounted = bench.mount_with(&options);
        check(&mounted, &acknowledged.lock().unwrap());
        assert!(
            kills.iter().sum::<usize>() > 50,
            "{backend}, {mode}: hardly anything was written: {kills:?}"
        );
        mounted.unmount();
    }
}

/// > After SIGKILL the mount point answers ENOTCONN, so nothing is written into the bare directory. The next
/// > start detaches the dead mount.
#[test]
fn after_kill_9_nothing_leaks_into_the_bare_directory_and_the_next_start_repairs_it() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount();
    let kept = mounted.path(cid_of(b"kept"));
    write_new(&kept, b"kept").unwrap();
    let mut writer = File::create_new(mounted.path(cid_of(b"half"))).unwrap();
    writer.write_all(b"ha").unwrap();
    mounted.crash();

    assert!(is_mounted(&bench.mnt()));
    assert_eq!(errno(fs::read_dir(bench.mnt()).map(|_| ())), libc::ENOTCONN);
    assert_eq!(errno(write_new(&bench.mnt().join(cid_of(b"leak")), b"leak")), libc::ENOTCONN);
    assert_eq!(errno(writer.write_all(b"lf")), libc::ENOTCONN);
    assert_eq!(errno(close(writer)), libc::ENOTCONN, "the writer is told");
    assert_eq!(errno(fs::read(&kept)), libc::ENOTCONN);

    let mounted = bench.mount();
    assert!(mounted.log().contains("whose daemon is dead"), "{}", mounted.log());
    assert_eq!(mounted.ls(), [cid_of(b"kept")]);
    assert_eq!(fs::read(kept).unwrap(), b"kept");
    mounted.unmount();
    assert_eq!(names(&bench.mnt()), Vec::<String>::new(), "the bare directory");
}

#[test]
fn a_dead_mount_is_repaired_for_another_store_too_and_by_unmount() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    bench.mount().crash();
    let other = bench.path().join("other");
    let data = ["--data-path", other.to_str().unwrap()];
    let mounted = bench.mount_with(&data);
    mounted.crash();
    let output = run(program().arg("unmount").arg(bench.mnt()));
    assert!(output.status.success(), "{}", text(&output));
    assert!(!is_mounted(&bench.mnt()));
    // The crashed daemon's lock is nobody's.
    bench.mount_with(&["--lock-wait", "0"]).unmount();
}

#[test]
fn an_aborted_connection_ends_the_daemon_and_leaves_no_dead_mount() {
    if !fuse_available() {
        return;
    }
    if !is_root() {
        return eprintln!("SKIPPED: aborting a connection needs root");
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let mounted = bench.mount();
        write_new(&mounted.path(cid_of(b"kept")), b"kept").unwrap();
        let open = File::open(mounted.path(cid_of(b"kept"))).unwrap();
        let entry = ipfs_persist_mount::sys::find(&mounted.mnt).unwrap().unwrap();
        abort_connection(entry.device.1);
        assert_eq!(mounted.wait().code(), Some(0));
        assert!(!is_mounted(&bench.mnt()), "{backend}: a dead mount is left");
        drop(open);
        let mounted = bench.mount_with(&["--lock-wait", "0"]);
        assert_eq!(mounted.ls(), [cid_of(b"kept")]);
        mounted.unmount();
    }
}

/// A daemon that dies while others still look at its mount must not hang them.
#[test]
fn readers_of_a_killed_daemon_get_an_error_and_do_not_hang() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount();
    let paths: Vec<PathBuf> = (0..20)
        .map(|seed| {
            let content = content(seed);
            let path = mounted.path(cid_of(&content));
            write_new(&path, &content).unwrap();
            path
        })
        .collect();
    let died = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                while let Ok(bytes) = paths.iter().map(fs::read).collect::<Result<Vec<_>, _>>() {
                    for (bytes, path) in bytes.iter().zip(&paths) {
                        assert_eq!(cid_of(bytes), path.file_name().unwrap().to_str().unwrap());
                    }
                }
                died.store(true, Ordering::Relaxed);
            });
        }
        mounted.crash();
    });
    assert!(died.into_inner());
    detach(&bench.mnt());
}

/// The disk is full, and then the daemon is killed: the store opens, serves and deletes.
#[test]
fn a_killed_daemon_on_a_full_disk_comes_back() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let Some(disk) = Disk::new(64, &["-m", "0"]) else { return };
        let bench = Bench::new(backend);
        let data = disk.path().join("data");
        let more = ["--min-free-space", "1MiB", "--data-path", data.to_str().unwrap()];
        let mounted = bench.mount_with(&more);
        let mut stored = HashMap::new();
        let full = (1..).find_map(|seed| {
            let content = bytes(seed, 1 << 20);
            let name = cid_of(&content);
            let result = write_new(&mounted.path(&name), &content);
            stored.insert(name, seed);
            result.err()
        });
        assert_eq!(full.unwrap().raw_os_error(), Some(libc::ENOSPC));
        stored.retain(|name, _| mounted.path(name).exists());
        // redb takes two bytes for each, RocksDB needs room to merge, and sled leaves some.
        assert!(stored.len() > 8, "{backend}: {}", stored.len());
        mounted.crash();
        // Somebody else takes the rest.
        let mut filler = File::create(disk.path().join("filler")).unwrap();
        while filler.write(&[7; 4096]).is_ok() {}
        drop(filler);
        let mounted = bench.mount_with(&more);
        check(&mounted, &stored);
        let gone = stored.keys().next().unwrap();
        fs::remove_file(mounted.path(gone)).unwrap();
        assert_eq!(mounted.ls().len(), stored.len() - 1);
        mounted.unmount();
    }
}
