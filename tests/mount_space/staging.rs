//! Memory for what is not stored yet.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A temporary file that holds this many bytes of staging while it is open. (Under another name its
/// bytes are stored as soon as any descriptor of it is closed, and a program that another test
/// starts at this moment inherits one.)
pub fn stage(mount: &Mounted, name: &str, length: usize) -> File {
    let file = File::create(mount.path(name)).unwrap();
    file.write_all_at(&bytes(9, length), 0).unwrap();
    file
}

/// > A file that was refused a write (EFBIG, ENOSPC, ENOMEM) stores nothing, and its close fails with
/// > the same error.
/// > All staged bytes together are at most `--max-staging`. A writer that finds no room waits up to 5
/// > seconds, then gets ENOMEM.
pub fn a_writer_beyond_the_staging_cap_waits_and_is_refused(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-staging", "2MiB"]);
    let one = stage(&mount, ".one.tmp", 1 << 20);
    let _two = stage(&mount, ".two.tmp", (1 << 20) - 4096);
    let (small, cid) = (bytes(3, 100), cid_of(&bytes(3, 100)));
    let beyond = File::create(mount.path("three")).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| errno(beyond.write_at(&bytes(3, 1 << 20), 0)));
        // Others go on meanwhile.
        for _ in 0..20 {
            put(mount.path(&cid), &small).unwrap();
            assert_eq!(fs::read(mount.path(&cid)).unwrap(), small);
            fs::remove_file(mount.path(&cid)).unwrap();
        }
        assert!(mount.stats()["gauges"]["staged_bytes"].as_u64().unwrap() <= 2 << 20);
        assert_eq!(waiting.join().unwrap(), ENOMEM);
    });
    assert_eq!(errno(close(beyond)), ENOMEM, "the handle was refused a write");
    assert!(mount.errors().contains("--max-staging"), "{}", mount.errors());
    eventually("nothing is left of it", || !mount.path("three").exists());
    fs::remove_file(mount.path(".one.tmp")).unwrap();
    close(one).unwrap();
    put(mount.path("three"), &bytes(3, 1 << 20)).expect("there is room again");
    fs::rename(mount.path(".two.tmp"), mount.path("two")).unwrap();
    assert_eq!(mount.ls().len(), 2);
}

/// > A writer that finds no room waits up to 5 seconds, then gets ENOMEM.
pub fn a_waiting_writer_goes_on_when_another_closes(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-staging", "2MiB"]);
    let content = |n: u64| bytes(100 + n, 700_000);
    // Each writer holds its first half while it waits for the second: the closes of some let others
    // go on.
    thread::scope(|scope| {
        for n in 0..6 {
            let (mount, content) = (&mount, content(n));
            scope.spawn(move || {
                put(mount.path(cid_of(&content)), &content).unwrap();
                assert!(fs::read(mount.path(cid_of(&content))).unwrap() == content);
            });
        }
    });
    assert_eq!(mount.ls().len(), 6);
    let _held = stage(&mount, ".held.tmp", 1_900_000);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| put(mount.path(cid_of(&content(7))), &content(7)));
        eventually("it waits", || fs::metadata(mount.path(cid_of(&content(7)))).is_ok());
        fs::rename(mount.path(".held.tmp"), mount.path("held")).unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(fs::read(mount.path(cid_of(&content(7)))).unwrap() == content(7));
    eventually("everything is given back", || mount.stats()["gauges"]["staged_bytes"] == 0);
}

pub fn a_sparse_writer_beyond_the_cap_is_refused(backend: &'static str) {
    // Memory is bounded: a file is held whole, so one byte far from the start needs all before it.
    // The wait for a single byte found room at once, and tried again without end.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-staging", "1MiB"]);
    let file = File::create(mount.path("sparse")).unwrap();
    assert_eq!(errno(file.write_at(b"x", 1_500_000)), ENOMEM);
    assert_eq!(errno(close(file)), ENOMEM);
    let file = File::create(mount.path("extended")).unwrap();
    assert_eq!(errno(file.set_len(1_500_000)), ENOMEM);
    file.write_all_at(b"small", 0).unwrap();
    close(file).expect("a truncation that failed is no write");
    mount.assert_blocks(&[&cid_of(b"small")]);
}

/// > At most 32 writes wait at a time; more get ENOMEM at once.
pub fn more_waiting_writers_than_there_may_be_are_refused_at_once(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-staging", "1MiB"]);
    let held = stage(&mount, ".held.tmp", 1_000_000);
    let refused = AtomicU64::new(0);
    thread::scope(|scope| {
        for n in 0..48 {
            let (mount, refused) = (&mount, &refused);
            scope.spawn(move || {
                let file = File::create(mount.path(format!("waiting-{n}"))).unwrap();
                if let Err(error) = file.write_all_at(&bytes(n, 100_000), 0) {
                    assert_eq!(error.raw_os_error(), Some(ENOMEM));
                    refused.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(errno(close(file)), ENOMEM);
                } else {
                    close(file).unwrap();
                }
            });
        }
        eventually("those beyond 32 are refused", || refused.load(Ordering::Relaxed) == 16);
        // The others wait, and find room.
        fs::remove_file(mount.path(".held.tmp")).unwrap();
        close(held).unwrap();
    });
    assert_eq!(refused.load(Ordering::Relaxed), 16);
    assert_eq!(mount.ls().len(), 32);
    assert_eq!(mount.count("panics"), 0);
    eventually("no name of a refused file is left", || mount.stats()["gauges"]["names"] == 32);
}

/// > A file under a temporary name that was closed and that nobody renames is dropped: the oldest
/// > first, when all of them take half of `--max-staging`, and each after `--staging-timeout` (one
/// > hour).
/// > It is logged and counted (`leftovers_dropped`).
pub fn temporary_files_that_nobody_renames_are_dropped(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-staging", "4MiB"]);
    let name = |n: u64| format!(".{n}.tmp");
    for n in 0..12 {
        put(mount.path(name(n)), &bytes(n, 700_000)).unwrap();
    }
    eventually("the older ones are gone", || mount.count("leftovers_dropped") >= 9);
    assert!(mount.log().contains(".0.tmp"), "{}", mount.log());
    assert!((0..9).all(|n| !mount.path(name(n)).exists()), "oldest first");
    for n in 10..12 {
        assert!(fs::read(mount.path(name(n))).unwrap() == bytes(n, 700_000));
        fs::rename(mount.path(name(n)), mount.path(cid_of(&bytes(n, 700_000)))).unwrap();
    }
    // One that is larger than half the cap is still there for who has just closed it.
    for n in 20..24 {
        put(mount.path(name(n)), &bytes(n, 2_097_152)).unwrap();
        fs::rename(mount.path(name(n)), mount.path(cid_of(&bytes(n, 2_097_152)))).unwrap();
    }
    assert_eq!(mount.ls().len(), 6);
    assert_eq!(mount.count("panics"), 0);
}

/// > The time is looked at when a file is created or closed, and every minute.
/// > A file under a temporary name that was closed and that nobody renames is dropped: the oldest
/// > first, when all of them take half of `--max-staging`, and each after `--staging-timeout` (one
/// > hour).
pub fn temporary_files_go_after_the_staging_timeout(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--staging-timeout", "0.3"]);
    put(mount.path(".old.tmp"), b"bytes").unwrap();
    let renamed = mount.path("renamed");
    put(mount.path(".kept.tmp"), b"kept").unwrap();
    fs::rename(mount.path(".kept.tmp"), &renamed).unwrap();
    let open = stage(&mount, ".open.tmp", 100);
    // No request comes that would look.
    eventually("it is dropped", || mount.log().contains(".old.tmp"));
    assert_eq!(errno(File::open(mount.path(".old.tmp"))), libc::ENOENT);
    assert_eq!(mount.count("leftovers_dropped"), 1);
    assert_eq!(fs::read(renamed).unwrap(), b"kept", "what was renamed stays");
    close(open).expect("an open one is waited for");
    mount.assert_blocks(&[&cid_of(b"kept")]);
}
