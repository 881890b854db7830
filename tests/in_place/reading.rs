//! Read-only: nothing is made, nothing is locked that others wait for, and what another program does
//! meanwhile is seen.

use std::fs::{self, File};
use std::io::Read as _;

use super::common::blocks::fixture_blocks;
use super::common::disk::Disk;
use super::common::stores::{STORE_BLOCKS, assert_unchanged, snapshot, unpack};
use super::common::{Bench, Mounted, bytes, cid_of, eventually, fuse_available, program, run, sh_ok, text};
use super::support::{KuboLock, Theirs};

/// > With `--read-only` nothing is made and Kubo's lock is not taken: beside a running Kubo the mount
/// > shows the blocks as they come and go, a name at most a second after the block is gone.
#[test]
fn a_store_that_is_only_read_stays_as_it_is_and_so_does_what_is_round_it() {
    for store in ["kubo-flatfs", "flatfs-prefix-3"].into_iter().filter(|_| fuse_available()) {
        let theirs = Theirs::new(store);
        fs::write(theirs.flatfs.join(".temp/put-1"), "half a blo").unwrap();
        let before = snapshot(&theirs.data);
        let mounted = theirs.mount(&["--read-only"]);
        for (cid, content) in fixture_blocks() {
            assert!(fs::read(mounted.path(cid)).unwrap() == content);
        }
        assert_eq!(mounted.ls().len(), STORE_BLOCKS);
        mounted.unmount();
        assert_unchanged(&before, &theirs.data, "reading");
        assert!(!theirs.beside.exists() && !theirs.lock_file().exists());
    }
}

#[test]
fn on_media_that_cannot_be_written_only_reading_is_offered() {
    if !fuse_available() {
        return;
    }
    let Some(disk) = Disk::new(64, &[]) else { return };
    let data = unpack("kubo-flatfs", &disk.path());
    let bench = Bench::new("file");
    let command = |more: &[&str]| {
        let mut command = program();
        command.args(["--backend", "file", "--data-path"]).arg(&data).args(more).arg(bench.mnt());
        command
    };
    for opened_before in [false, true] {
        disk.remount("ro");
        let output = run(&mut command(&[]));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let (message, hint) = said.split_once("\nhint: ").unwrap();
        assert!(message.contains(".blocks.ipfs-persist") && message.contains("Read-only"), "{said}");
        assert!(hint.contains("--read-only"), "{said}");

        let mounted = Mounted::start(command(&["--read-only"]), bench.mnt());
        assert_eq!(mounted.ls().len(), STORE_BLOCKS + usize::from(opened_before));
        mounted.unmount();
        disk.remount("rw");
        let mounted = Mounted::start(command(&["--min-free-space", "0"]), bench.mnt());
        fs::write(mounted.path(cid_of(b"new")), "new").unwrap();
        mounted.unmount();
    }
}

/// Attributes and names of blocks are otherwise believed for a day.
///
/// > With `--read-only` nothing is made and Kubo's lock is not taken: beside a running Kubo the mount shows
/// > the blocks as they come and go, a name at most a second after the block is gone. Who has a block open
/// > keeps it.
#[test]
fn beside_a_running_kubo_blocks_come_and_go() {
    if !fuse_available() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    let content = bytes(5, 300_000);
    let large = cid_of(&content);
    fs::create_dir_all(theirs.file(&large).parent().unwrap()).unwrap();
    fs::write(theirs.file(&large), &content).unwrap();
    let kubo = KuboLock::take(&theirs.lock_file()).unwrap();
    for data in [&theirs.data, &theirs.flatfs] {
        let before = snapshot(&theirs.data);
        let mounted = Mounted::start(theirs.command_on(data, &["--read-only"]), theirs.bench.mnt());
        assert_eq!(mounted.ls().len(), STORE_BLOCKS + 1);
        sh_ok(&mounted.mnt, "ls -l > /dev/null; cat * > /dev/null");
        assert_unchanged(&before, &theirs.data, "reading");

        let mut open = File::open(mounted.path(&large)).unwrap();
        fs::remove_file(theirs.file(&large)).unwrap();
        eventually("the block is gone", || fs::metadata(mounted.path(&large)).is_err());
        assert!(!mounted.ls().contains(&large));
        // Who has it open keeps it.
        assert_eq!(open.metadata().unwrap().len(), content.len() as u64);
        let mut read = Vec::new();
        open.read_to_end(&mut read).unwrap();
        assert!(read == content);
        drop(open);

        fs::write(theirs.file(&large), &content).unwrap();
        let listed = mounted.ls();
        let (file, again) = (theirs.file(&large).exists(), mounted.ls().len());
        assert!(listed.contains(&large), "{} names, then {again}; its file: {file}", listed.len());
        assert!(fs::read(mounted.path(&large)).unwrap() == content);
        mounted.unmount();
    }
    kubo.release();
}
