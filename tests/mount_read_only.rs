//! A mount that changes nothing: every change is EROFS, the data directory stays byte for byte and
//! time for time as it was, and media that cannot be written are enough.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use common::disk::Disk;
use common::{
    Bench, bytes, cid_of, errno, fuse_available, names, read_only_backends, run, sh_ok, text, write_new,
};
use libc::EROFS;

/// Everything in a directory with its times, but for the lock.
fn tree(dir: &Path) -> String {
    sh_ok(
        dir,
        "find . -path ./lock -o -printf '%p %y %m %s %T@ %C@\\n' | sort; \
         find . -type f -not -path ./lock -print0 | sort -z | xargs -0 sha256sum",
    )
}

/// Stores some blocks in the bench's data directory.
fn fill(bench: &Bench) -> Vec<Vec<u8>> {
    let contents = vec![bytes(1, 100), bytes(2, 70_000), bytes(3, 1 << 20)];
    let mounted = bench.mount();
    for content in &contents {
        write_new(&mounted.path(cid_of(content)), content).unwrap();
    }
    mounted.unmount();
    contents
}

/// > A `--read-only` mount answers EROFS to every change and writes nothing in the data directory but its
/// > lock, and not even that on a read-only medium.
#[test]
fn every_change_is_refused_and_nothing_is_written() {
    if !fuse_available() {
        return;
    }
    for backend in read_only_backends() {
        for way in [&["--read-only"][..], &["-o", "ro"]] {
            let bench = Bench::new(backend);
            let contents = fill(&bench);
            let before = tree(&bench.data());
            let mounted = bench.mount_with(way);
            let block = mounted.path(cid_of(&contents[0]));
            let (fresh, plain) = (mounted.path(cid_of(b"new")), mounted.path("photo.jpg"));
            let write = |options: &mut OpenOptions, path: &Path| errno(options.open(path));
            let changes = [
                ("create", write(File::options().write(true).create(true), &fresh)),
                ("create a plain name", write(File::options().write(true).create(true), &plain)),
                ("create exclusively", write(File::options().write(true).create_new(true), &fresh)),
                ("open for writing", write(File::options().write(true), &block)),
                ("truncate", write(File::options().write(true).truncate(true), &block)),
                ("append", write(File::options().append(true), &block)),
                ("unnamed", write(File::options().write(true).custom_flags(libc::O_TMPFILE), &mounted.mnt)),
                ("unlink", errno(fs::remove_file(&block))),
                ("rename", errno(fs::rename(&block, &plain))),
                ("chmod", errno(fs::set_permissions(&block, fs::Permissions::from_mode(0o600)))),
                ("chown", errno(std::os::unix::fs::chown(&block, Some(1), None))),
                ("times", errno(File::open(&block).unwrap().set_modified(SystemTime::now()))),
                (
                    "times of the root",
                    errno(File::open(&mounted.mnt).unwrap().set_modified(SystemTime::now())),
                ),
                ("mkdir", errno(fs::DirBuilder::new().mode(0o700).create(mounted.path("d")))),
                ("symlink", errno(symlink("x", mounted.path("s")))),
                ("link", errno(fs::hard_link(&block, mounted.path("l")))),
            ];
            for (what, errno) in changes {
                assert_eq!(errno, EROFS, "{backend} {way:?}: {what}");
            }
            for content in &contents {
                assert_eq!(fs::read(mounted.path(cid_of(content))).unwrap(), *content);
            }
            assert_eq!(mounted.ls().len(), contents.len());
            File::open(&mounted.mnt).unwrap().sync_all().unwrap();
            assert!(sh_ok(bench.path(), "grep mnt /proc/self/mounts").contains(" ro,"));
            mounted.unmount();
            assert_eq!(tree(&bench.data()), before, "{backend} {way:?}");
            assert_eq!(fs::metadata(bench.data().join("lock")).unwrap().len(), 0);
        }
    }
}

#[test]
fn a_store_that_is_not_there_is_an_error_and_is_not_made() {
    if !fuse_available() {
        return;
    }
    for backend in read_only_backends() {
        let bench = Bench::new(backend);
        for empty in [false, true] {
            if empty {
                fs::create_dir(bench.data()).unwrap();
            }
            let output = run(&mut bench.command(&["--read-only"]));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            let data = bench.data().display().to_string();
            assert!(said.contains(&format!("there is no store at {data}\nhint: ")), "{said}");
            if empty {
                let left = names(&bench.data());
                assert!(left.is_empty() || left == ["lock"], "{left:?}");
            } else {
                assert!(!bench.data().exists());
            }
        }
    }
}

/// > A `--read-only` mount answers EROFS to every change and writes nothing in the data directory but its
/// > lock, and not even that on a read-only medium.
#[test]
fn media_that_cannot_be_written_are_read_without_a_lock() {
    if !fuse_available() {
        return;
    }
    for backend in read_only_backends() {
        let Some(disk) = Disk::new(64, &[]) else { return };
        let bench = Bench::new(backend);
        let data = disk.path().join("data");
        let data_path = ["--data-path", data.to_str().unwrap()];
        let contents = [bytes(1, 100), bytes(2, 70_000)];
        let mounted = bench.mount_with(&[&data_path[..], &["--min-free-space", "1MiB"]].concat());
        for content in &contents {
            write_new(&mounted.path(cid_of(content)), content).unwrap();
        }
        mounted.unmount();
        disk.remount("ro");

        let output = run(&mut bench.command(&data_path));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(said.contains("Read-only file system") && said.contains("hint: "), "{said}");
        assert!(said.contains("--read-only"), "{said}");

        let read_only = [&data_path[..], &["--read-only"]].concat();
        let mounted = bench.mount_with(&read_only);
        assert!(mounted.log().contains("without one"), "{}", mounted.log());
        let status = fs::read_to_string(mounted.path(".ipfs-persist/status.json")).unwrap();
        assert!(status.contains("\"locked\": false"), "{status}");
        // Nobody can change it, so that any number of mounts may read it.
        let second = Bench::new(backend);
        let also = second.mount_with(&read_only);
        for mounted in [&mounted, &also] {
            assert_eq!(mounted.ls().len(), contents.len());
            for content in &contents {
                assert_eq!(fs::read(mounted.path(cid_of(content))).unwrap(), *content);
            }
        }
        also.unmount();
        mounted.unmount();
    }
}

/// A read-only mount holds the lock where it can: somebody else could change what it shows.
#[test]
fn elsewhere_the_lock_is_held() {
    if !fuse_available() {
        return;
    }
    for backend in read_only_backends() {
        let bench = Bench::new(backend);
        fill(&bench);
        let mounted = bench.mount_with(&["--read-only"]);
        let other = Bench::new(backend);
        let data = bench.data();
        let output = run(&mut other.command(&["--lock-wait", "0", "--data-path", data.to_str().unwrap()]));
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        mounted.unmount();
    }
}

/// > `sled` cannot be mounted so, nor `redb` after a kill until it was mounted for writing once.
#[test]
fn redb_after_a_kill_is_mounted_for_writing_first() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("redb");
    let mounted = bench.mount();
    write_new(&mounted.path(cid_of(b"block")), b"block").unwrap();
    mounted.crash();
    common::detach(&bench.mnt());
    let output = run(&mut bench.command(&["--read-only"]));
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("\nhint: ") && said.contains("without --read-only"), "{said}");
    bench.mount().unmount();
    let mounted = bench.mount_with(&["--read-only"]);
    assert_eq!(fs::read(mounted.path(cid_of(b"block"))).unwrap(), b"block");
    mounted.unmount();
}
