//! Too little room, through real mounts: on disk, of inodes, in memory, for staging.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod staging;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;

use common::disk::Disk;
use common::*;
use libc::{ENOMEM, ENOSPC};
use staging::*;

fn main() {
    let on_disk: &[rows::Case] = cases![
        too_little_free_space_is_refused_at_create,
        a_refusal_is_not_remembered,
        a_data_directory_can_be_moved_while_it_is_mounted,
        a_write_is_refused_when_space_has_gone,
        on_a_full_disk_reads_and_deletes_work,
        a_rename_that_found_no_room_can_be_tried_again,
    ];
    let files: &[rows::Case] = cases![too_few_inodes_are_refused];
    let memory: &[rows::Case] = cases![the_memory_backend_keeps_its_limit];
    let every: &[rows::Case] = cases![
        a_writer_beyond_the_staging_cap_waits_and_is_refused,
        a_waiting_writer_goes_on_when_another_closes,
        a_sparse_writer_beyond_the_cap_is_refused,
        more_waiting_writers_than_there_may_be_are_refused_at_once,
        temporary_files_that_nobody_renames_are_dropped,
        temporary_files_go_after_the_staging_timeout,
    ];
    let with_memtables: &[rows::Case] = cases![what_is_in_memory_takes_no_room_for_good];
    let databases: &[rows::Case] = cases![without_its_ballast_a_full_disk_is_only_read];
    let with_ballast = durable_backends().into_iter().filter(|name| *name != "file").collect();
    let files_only = vec!["file"];
    let rocksdb = durable_backends().into_iter().filter(|name| ["badger", "pebble"].contains(name)).collect();
    rows::main(&[
        (durable_backends(), on_disk),
        (files_only, files),
        (with_ballast, databases),
        (vec!["memory"], memory),
        (rocksdb, with_memtables),
        (backends(), every),
    ])
}

/// A mount whose data directory is on a disk of its own.
fn mount_on(bench: &Bench, disk: &Disk, more: &[&str]) -> Mounted {
    let data = disk.path().join("data");
    bench.mount_with(&[&["--data-path", data.to_str().unwrap()], more].concat())
}

/// Fills a file system to the last byte, and leaves this file.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut chunk = 1 << 20;
    while chunk > 0 {
        if file.write_all(&bytes(1, chunk)).is_err() {
            chunk /= 2;
        }
    }
}

/// > New blocks are ENOSPC when the free space of the data directory's file system, less the bytes that are
/// > staged and what the engine has not sorted into its files yet, would fall below `--min-free-space`, or,
/// > on `file`, when fewer than 128 inodes are free (with `--min-free-space 0` neither is kept free).
fn too_little_free_space_is_refused_at_create(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let kept = bytes(1, 100_000);
    let cid = cid_of(&kept);
    put(mount.path(&cid), &kept).unwrap();
    mount.unmount();
    let mount = bench.mount_with(&["--min-free-space", "1000TiB"]);
    for name in [cid_of(b"new"), "plain".to_owned(), ".plain.tmp".to_owned()] {
        assert_eq!(errno(File::create(mount.path(&name))), ENOSPC);
        assert!(!mount.path(&name).exists());
    }
    let errors = mount.errors();
    assert!(errors.contains("create plain errno 28: too little free space"), "{errors}");
    assert!(errors.contains(bench.data().to_str().unwrap()), "{errors}");
    assert!(errors.contains("or lower --min-free-space"), "{errors}");
    let output = sh(&mount.mnt, "cp /etc/passwd there");
    assert!(text(&output).contains("No space left on device"), "{}", text(&output));
    assert!(fs::read(mount.path(&cid)).unwrap() == kept);
    put(mount.path(&cid), &kept).expect("writing a stored block again needs no space");
    fs::remove_file(mount.path(&cid)).unwrap();
    mount.assert_blocks(&[]);
}

/// > It is judged when a file is created and at each write that makes it longer, anew each time.
fn a_refusal_is_not_remembered(backend: &'static str) {
    let Some(disk) = Disk::new(96, &[]) else { return };
    let bench = Bench::new(backend);
    let mount = mount_on(&bench, &disk, &["--min-free-space", "20MiB"]);
    let content = bytes(1, 50_000);
    let cid = cid_of(&content);
    for _ in 0..3 {
        put(mount.path(&cid), &content).unwrap();
        fs::remove_file(mount.path(&cid)).unwrap();
        // A deletion that is synced while the disk fills may need the room that is kept for it, and lose
        // it to whoever fills the disk.
        File::open(&mount.mnt).unwrap().sync_all().unwrap();
        fill(&disk.path().join("ballast"));
        assert_eq!(errno(put(mount.path(&cid), &content)), ENOSPC);
        mount.assert_blocks(&[]);
        fs::remove_file(disk.path().join("ballast")).unwrap();
    }
    put(mount.path(&cid), &content).unwrap();
    mount.assert_blocks(&[&cid]);
}

/// Regression: room was kept for what an engine held in memory, so that new blocks were refused, so that
/// it was never full and never written out.
///
/// > New blocks are ENOSPC when the free space of the data directory's file system, less the bytes that are
/// > staged and what the engine has not sorted into its files yet, would fall below `--min-free-space`, or,
/// > on `file`, when fewer than 128 inodes are free (with `--min-free-space 0` neither is kept free).
fn what_is_in_memory_takes_no_room_for_good(backend: &'static str) {
    let Some(disk) = Disk::new(3072, &["-m", "0"]) else { return };
    let bench = Bench::new(backend);
    let mount = mount_on(&bench, &disk, &[]);
    sh_ok(
        &disk.path(),
        "fallocate -l $(($(df --output=avail -B1 . | tail -n 1) - 250 * 1024 * 1024)) filler",
    );
    let block = |number: u64| {
        let content = bytes(number, 1 << 20);
        put(mount.path(cid_of(&content)), &content)
    };
    let (stored, refused) =
        (0..150).find_map(|number| Some((number, block(number).err()?))).expect("never refused");
    assert_eq!(refused.raw_os_error(), Some(ENOSPC));
    assert!(stored < 100, "150 MiB were free, and what is in memory needs room of its own: {stored}");
    let mut number = 1000;
    eventually("blocks are taken again", || {
        number += 1;
        block(number).is_ok()
    });
    mount.unmount();
}

/// > A file that was refused a write (EFBIG, ENOSPC, ENOMEM) stores nothing, and its close fails with
/// > the same error.
/// > New blocks are ENOSPC when the free space of the data directory's file system, less the bytes that are
/// > staged and what the engine has not sorted into its files yet, would fall below `--min-free-space`, or,
/// > on `file`, when fewer than 128 inodes are free (with `--min-free-space 0` neither is kept free).
///
/// > It is judged when a file is created and at each write that makes it longer, anew each time.
fn a_write_is_refused_when_space_has_gone(backend: &'static str) {
    let Some(disk) = Disk::new(96, &[]) else { return };
    let bench = Bench::new(backend);
    let mount = mount_on(&bench, &disk, &["--min-free-space", "20MiB"]);
    let content = bytes(1, 50_000);
    for name in [cid_of(&content), "plain".to_owned()] {
        let file = File::create(mount.path(&name)).unwrap();
        file.write_all_at(&content[..100], 0).unwrap();
        fill(&disk.path().join("ballast"));
        file.write_all_at(&content[..100], 0).expect("it is no longer than before");
        assert_eq!(errno(file.write_at(&content[100..], 100)), ENOSPC);
        fs::remove_file(disk.path().join("ballast")).unwrap();
        assert_eq!(errno(file.sync_all()), ENOSPC, "the handle was refused a write");
        assert_eq!(errno(close(file)), ENOSPC);
        eventually("nothing is left", || !mount.path(&name).exists());
        mount.assert_blocks(&[]);
        put(mount.path(&name), &content).unwrap();
        mount.assert_blocks(&[&cid_of(&content)]);
        let _ = fs::remove_file(mount.path("plain"));
        fs::remove_file(mount.path(cid_of(&content))).unwrap();
    }
    // The bytes that are staged already count as taken.
    let mount_free = |mount: &Mounted| nix::sys::statvfs::statvfs(&mount.mnt).unwrap().blocks_available();
    assert!(mount_free(&mount) > 0);
    let staged: Vec<File> = (0..60)
        .map_while(|n| {
            let file = File::create(mount.path(format!(".{n}.tmp"))).ok()?;
            file.write_all_at(&bytes(n, 2 << 20), 0).ok()?;
            Some(file)
        })
        .collect();
    assert!(staged.len() > 5 && staged.len() < 60, "{}", staged.len());
    assert!(mount.errors().contains("too little free space"), "{}", mount.errors());
}

/// > Reading works on a full disk, and so does deleting.
fn on_a_full_disk_reads_and_deletes_work(backend: &'static str) {
    let Some(disk) = Disk::new(96, &[]) else { return };
    let bench = Bench::new(backend);
    let mount = mount_on(&bench, &disk, &["--min-free-space", "0"]);
    let content = |n: u64| bytes(n, 20_000 + (n as usize * 7919) % 400_000);
    let mut acknowledged = Vec::new();
    let mut refused = Vec::new();
    for n in 0..12 {
        put(mount.path(cid_of(&content(n))), &content(n)).unwrap();
        acknowledged.push(n);
    }
    fill(&disk.path().join("ballast"));
    let mut write = |range: std::ops::Range<u64>, acknowledged: &mut Vec<u64>| {
        for n in range {
            match put(mount.path(cid_of(&content(n))), &content(n)) {
                Ok(()) => acknowledged.push(n),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(ENOSPC), "{error}");
                    refused.push(n);
                }
            }
        }
        assert!(!refused.is_empty(), "the disk was not full");
    };
    write(12..40, &mut acknowledged);
    // A little room at a time, so that some commits fail half-way.
    let ballast = fs::OpenOptions::new().write(true).open(disk.path().join("ballast")).unwrap();
    let full = ballast.metadata().unwrap().len();
    for step in 1..=8 {
        ballast.set_len(full - step * 150_000).unwrap();
        write(40 + step * 20..50 + step * 20, &mut acknowledged);
    }
    let right = |mount: &Mounted, acknowledged: &[u64]| {
        let mut cids: Vec<String> = acknowledged.iter().map(|n| cid_of(&content(*n))).collect();
        for (n, cid) in acknowledged.iter().zip(&cids) {
            assert!(fs::read(mount.path(cid)).unwrap() == content(*n), "block {n}");
        }
        cids.sort();
        assert_eq!(mount.ls(), cids, "exactly what was acknowledged");
    };
    right(&mount, &acknowledged);
    let deleted = acknowledged.split_off(acknowledged.len() / 2);
    drop(ballast);
    fill(&disk.path().join("ballast2"));
    for n in &deleted {
        fs::remove_file(mount.path(cid_of(&content(*n)))).unwrap();
    }
    right(&mount, &acknowledged);
    mount.unmount();
    let mount = mount_on(&bench, &disk, &["--min-free-space", "0"]);
    right(&mount, &acknowledged);
    fs::remove_file(disk.path().join("ballast2")).unwrap();
    for n in deleted {
        put(mount.path(cid_of(&content(n))), &content(n)).expect("space that was freed can be used");
        acknowledged.push(n);
    }
    right(&mount, &acknowledged);
    assert_eq!(mount.count("panics"), 0);
}

/// > `badger`, `pebble`, `redb` and `sled` need some room for that and keep it in a file `ballast`.
/// > Once that is used up and others have filled the disk to the last byte, `badger`, `pebble` and `sled`
/// > need space before they can be mounted for writing.
/// > `--read-only` shows the blocks of `badger` and `pebble` then, and of `redb` if it was unmounted.
fn without_its_ballast_a_full_disk_is_only_read(backend: &'static str) {
    for killed in [false, true] {
        let Some(disk) = Disk::new(96, &["-m", "0"]) else { return };
        let bench = Bench::new(backend);
        let mount = mount_on(&bench, &disk, &["--min-free-space", "0"]);
        let content = bytes(1, 20_000);
        put(mount.path(cid_of(&content)), &content).unwrap();
        let ballast = disk.path().join("data/ballast");
        assert!(ballast.metadata().unwrap().len() >= 8 << 20);
        if killed {
            mount.crash();
            detach(&bench.mnt());
        } else {
            mount.unmount();
        }
        fs::remove_file(ballast).unwrap();
        fill(&disk.path().join("filler"));
        let starts = |more: &[&str]| {
            let data = disk.path().join("data");
            let options = ["--background", "--min-free-space", "0", "--data-path", data.to_str().unwrap()];
            let output = run(&mut bench.command(&[&options, more].concat()));
            if output.status.success() {
                assert!(fs::read(bench.mnt().join(cid_of(&content))).unwrap() == content);
                unmount_by(program().arg("unmount").arg(bench.mnt()));
            }
            output
        };
        let shown = starts(&["--read-only"]);
        let is_shown = backend != "sled" && !(backend == "redb" && killed);
        assert_eq!(shown.status.success(), is_shown, "killed {killed}: {}", text(&shown));
        let opened = starts(&[]);
        if ["badger", "pebble", "sled"].contains(&backend) {
            assert_eq!(opened.status.code(), Some(6), "killed {killed}: {}", text(&opened));
            assert!(text(&opened).contains("hint: free some space"), "{}", text(&opened));
        }
        fs::remove_file(disk.path().join("filler")).unwrap();
        let again = starts(&[]);
        assert!(again.status.success(), "{}", text(&again));
    }
}

fn a_rename_that_found_no_room_can_be_tried_again(backend: &'static str) {
    // R12: never sticky. A temporary file that could not be stored when it was renamed is as it was.
    let Some(disk) = Disk::new(96, &[]) else { return };
    let bench = Bench::new(backend);
    let mount = mount_on(&bench, &disk, &["--min-free-space", "0"]);
    let content = bytes(1, 1_500_000);
    let cid = cid_of(&content);
    for to in ["name", &cid] {
        put(mount.path(".name.tmp"), &content).unwrap();
        fill(&disk.path().join("ballast"));
        for _ in 0..2 {
            assert_eq!(errno(fs::rename(mount.path(".name.tmp"), mount.path(to))), ENOSPC);
            assert!(fs::read(mount.path(".name.tmp")).unwrap() == content);
            assert!(!mount.path(to).exists());
        }
        fs::remove_file(disk.path().join("ballast")).unwrap();
        fs::rename(mount.path(".name.tmp"), mount.path(to)).unwrap();
        assert!(fs::read(mount.path(to)).unwrap() == content);
        mount.assert_blocks(&[&cid]);
        fs::remove_file(mount.path(to)).unwrap();
        let _ = fs::remove_file(mount.path(&cid));
    }
}

fn a_data_directory_can_be_moved_while_it_is_mounted(backend: &'static str) {
    // R12: the free space is that of the data directory's file system, wherever it has gone.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path(cid_of(b"before")), b"before").unwrap();
    fs::rename(bench.data(), bench.path().join("moved")).unwrap();
    put(mount.path(cid_of(b"after")), b"after").unwrap();
    assert!(nix::sys::statvfs::statvfs(&mount.mnt).unwrap().blocks_available() > 0);
    mount.assert_blocks(&[&cid_of(b"before"), &cid_of(b"after")]);
    mount.unmount();
    fs::rename(bench.path().join("moved"), bench.data()).unwrap();
    let mount = bench.mount();
    mount.assert_blocks(&[&cid_of(b"before"), &cid_of(b"after")]);
}

/// > New blocks are ENOSPC when the free space of the data directory's file system, less the bytes that are
/// > staged and what the engine has not sorted into its files yet, would fall below `--min-free-space`, or,
/// > on `file`, when fewer than 128 inodes are free (with `--min-free-space 0` neither is kept free).
fn too_few_inodes_are_refused(backend: &'static str) {
    let Some(disk) = Disk::new(64, &["-N", "1400"]) else { return };
    let bench = Bench::new(backend);
    let mount = mount_on(&bench, &disk, &["--min-free-space", "1MiB"]);
    let mut stored = Vec::new();
    let refused = loop {
        let content = bytes(stored.len() as u64, 10);
        match put(mount.path(cid_of(&content)), &content) {
            Ok(()) => stored.push(cid_of(&content)),
            Err(error) => break error,
        }
        assert!(stored.len() < 1400, "never refused");
    };
    assert_eq!(refused.raw_os_error(), Some(ENOSPC));
    assert!(mount.errors().contains("too few free inodes"), "{}", mount.errors());
    // The last one may have made a directory too.
    let free_inodes = nix::sys::statvfs::statvfs(&disk.path()).unwrap().files_available();
    assert!((126..128).contains(&free_inodes), "{free_inodes}");
    assert_eq!(mount.ls().len(), stored.len());
    stored.iter().take(20).for_each(|cid| fs::remove_file(mount.path(cid)).unwrap());
    put(mount.path(cid_of(b"again")), b"again").unwrap();
    assert_eq!(mount.ls().len(), stored.len() - 19);
    mount.unmount();
    let mount = mount_on(&bench, &disk, &["--min-free-space", "0"]);
    for seed in 0..60 {
        put(mount.path(cid_of(&bytes(seed, 11))), &bytes(seed, 11)).expect("none are kept free");
    }
    mount.unmount();
}

/// > `memory` is bounded by `--memory-limit`.
fn the_memory_backend_keeps_its_limit(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--memory-limit", "1MiB"]);
    let mut stored = Vec::new();
    let refused = loop {
        let content = bytes(stored.len() as u64, 100_000);
        match put(mount.path(cid_of(&content)), &content) {
            Ok(()) => stored.push(cid_of(&content)),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.raw_os_error(), Some(ENOSPC));
    assert!((8..11).contains(&stored.len()), "{}", stored.len());
    assert!(mount.errors().contains("--memory-limit"), "{}", mount.errors());
    mount.assert_blocks(&stored.iter().map(String::as_str).collect::<Vec<_>>());
    let again = bytes(0, 100_000);
    put(mount.path(&stored[0]), &again).expect("writing a stored block again needs no space");
    fs::remove_file(mount.path(&stored[0])).unwrap();
    put(mount.path(&stored[0]), &again).unwrap();
    mount.assert_blocks(&stored.iter().map(String::as_str).collect::<Vec<_>>());
}
