//! From mount to unmount, as a user meets it: every way to end a mount, what is there again after
//! it, who else may have the store, and the mount in the background.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod background;
#[path = "../common/mod.rs"]
mod common;
mod others;
mod service;
mod signals;
mod starting;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use common::{
    Bench, Mounted, bytes, cid_as, cid_of, close, detach, durable_backends, errno, eventually,
    fuse_available, is_mounted, is_root, names, program, run, sh_ok, text, unmount_by, wait_for, write_new,
};

/// How long files that are still open are served, where a test does not mean that end.
const LONG: &str = "600";

/// The ways to end a mount.
#[derive(Debug, Clone, Copy)]
enum Way {
    Umount,
    Fusermount,
    Unmount,
    Signal(&'static str),
}

const WAYS: &[Way] = &[
    Way::Umount,
    Way::Fusermount,
    Way::Unmount,
    Way::Signal("TERM"),
    Way::Signal("INT"),
    Way::Signal("HUP"),
];

impl Way {
    fn end(self, mounted: Mounted) {
        let command = match self {
            Way::Umount if !is_root() => None,
            Way::Umount => Some(Command::new("umount")),
            Way::Fusermount => {
                let mut command = Command::new("fusermount3");
                command.arg("-u");
                Some(command)
            }
            Way::Unmount => {
                let mut command = program();
                command.args(["unmount", "--timeout", "20"]);
                Some(command)
            }
            Way::Signal(_) => None,
        };
        match (self, command) {
            (Way::Signal(name), _) => mounted.signal(name),
            (_, Some(mut command)) => {
                unmount_by(command.arg(&mounted.mnt));
            }
            (_, None) => return mounted.unmount(),
        }
        let mnt = mounted.mnt.clone();
        assert_eq!(mounted.wait().code(), Some(0), "{self:?}");
        assert!(!is_mounted(&mnt), "{self:?}");
    }
}

/// Everything that can be seen of a block.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    inode: u64,
    mtime: SystemTime,
    bytes: Vec<u8>,
}

/// All of the mount, in the order of its listing.
fn everything(mounted: &Mounted) -> Vec<Seen> {
    let see = |name: String| {
        let path = mounted.path(&name);
        let metadata = fs::metadata(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(metadata.len(), bytes.len() as u64);
        Seen { name, inode: metadata.ino(), mtime: metadata.modified().unwrap(), bytes }
    };
    names(&mounted.mnt).into_iter().map(see).collect()
}

/// Copies blocks of several CID forms and sizes into the mount, with times of their own.
fn fill(bench: &Bench, mounted: &Mounted) {
    let forms = [
        ("1", "raw", "sha2-256"),
        ("0", "dag-pb", "sha2-256"),
        ("1", "dag-cbor", "sha2-256"),
        ("1", "dag-pb", "blake3"),
        ("1", "json", "sha3-512"),
    ];
    for (number, (version, codec, hash)) in (1..).zip(forms) {
        for size in [1, 1024, 200_000] {
            let content = bytes(number * size, usize::try_from(size).unwrap());
            let source = bench.path().join("source");
            fs::write(&source, &content).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_123 + number * size);
            File::options().write(true).open(&source).unwrap().set_modified(time).unwrap();
            let name = cid_as(&content, version, codec, hash);
            let output = run(Command::new("cp").arg("-p").arg(&source).arg(mounted.path(&name)));
            assert!(output.status.success(), "{}", text(&output));
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn exits(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    let said = said(output);
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
    assert!(said.contains("\nhint: "), "no hint: {said}");
}

/// Mounts in the background, and must succeed.
fn background(bench: &Bench, more: &[&str]) -> String {
    let output = run(&mut bench.command(&[&["--background"], more].concat()));
    assert!(output.status.success(), "{}", text(&output));
    said(&output)
}

fn unmount(mnt: &Path) {
    // A test beside this one that is just starting a process may hold copies of files in it.
    let output = run(program().args(["unmount", "--timeout", "20"]).arg(mnt));
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
}

/// > unmount, SIGTERM, SIGINT | everything is durable, the store closed, its lock free | everything is
/// > written, the store closed, its lock free | everything is lost
///
/// > Unmounting, by `umount`, `fusermount3 -u` or `ipfs-persist-mount unmount`: requests finish, everything
/// > becomes durable, the store is closed, its lock released, the process ends.
/// > SIGTERM, SIGINT and SIGHUP detach at once, so that nothing new can be opened.
/// > The exit code is 0.
#[test]
fn whatever_way_a_mount_ends_everything_is_there_again() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let mounted = bench.mount();
        fill(&bench, &mounted);
        let before = everything(&mounted);
        assert_eq!(before.len(), 15);
        assert!(before.iter().any(|seen| seen.name.starts_with("Qm")));
        mounted.unmount();
        for way in WAYS {
            let mounted = bench.mount_with(&["--lock-wait", "0"]);
            assert_eq!(everything(&mounted), before, "{backend}, before the end by {way:?}");
            way.end(mounted);
            // A lock that is still held would be refused at once.
        }
        let mounted = bench.mount_with(&["--lock-wait", "0"]);
        assert_eq!(everything(&mounted), before, "{backend}");
        mounted.unmount();
    }
}

#[test]
fn a_store_can_be_mounted_again_the_moment_unmount_returns() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        for round in 0..30 {
            background(&bench, &["--lock-wait", "0"]);
            let content = bytes(round, 5000);
            write_new(&bench.mnt().join(cid_of(&content)), &content).unwrap();
            assert_eq!(names(&bench.mnt()).len() as u64, round + 1, "{backend}");
            unmount(&bench.mnt());
        }
    }
}

/// > unmount, SIGTERM, SIGINT | everything is durable, the store closed, its lock free | everything is
/// > written, the store closed, its lock free | everything is lost
///
/// > The log says at every start that `memory` persists nothing, and that `sled` is not safe against
/// > power cuts.
#[test]
fn memory_forgets_everything_and_says_so_before() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("memory");
    fs::create_dir(bench.data()).unwrap();
    fs::write(bench.data().join("mine"), "mine").unwrap();
    let tree = sh_ok(bench.path(), "find data -printf '%p %T@ %C@ %s\\n'");
    let data = bench.data();
    for _ in 0..2 {
        let mounted = bench.mount_with(&["--data-path", data.to_str().unwrap()]);
        assert!(mounted.log().contains("persists nothing"), "{}", mounted.log());
        assert!(
            mounted.log().contains(&format!("{} is left untouched", data.display())),
            "{}",
            mounted.log()
        );
        assert_eq!(mounted.ls(), Vec::<String>::new());
        write_new(&mounted.path(cid_of(b"gone")), b"gone").unwrap();
        assert_eq!(mounted.ls().len(), 1);
        mounted.unmount();
    }
    assert_eq!(sh_ok(bench.path(), "find data -printf '%p %T@ %C@ %s\\n'"), tree);
}
