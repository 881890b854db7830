//! What is not opened, though it looks like it: nothing changes then.

use std::fs;
use std::os::unix::fs::chown;

use super::common::stores::{STORE_BLOCKS, assert_same, assert_unchanged, snapshot};
use super::common::{Bench, Mounted, cid_of, fuse_available, is_root, program, run, text, write_new};
use super::support::Theirs;

/// Refused with code 4, this in the message and that in the hint.
fn refused(theirs: &Theirs, data: &std::path::Path, more: &[&str], word: &str, hint: &str) {
    // A lock that was taken and let go is as it was, but for its time.
    let seen = || {
        let mut seen = snapshot(&theirs.data);
        seen.remove(&theirs.beside.join("lock"));
        seen
    };
    let before = seen();
    let output = run(&mut theirs.command_on(data, more));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let (message, then) = said.split_once("\nhint: ").unwrap();
    assert!(message.contains(word) && then.contains(hint), "{word}, {hint}: {said}");
    assert_same(&before, &seen(), &said);
}

/// Once it was opened in place it is a store of ours, and the marker says which backend it has.
#[test]
fn a_store_that_was_opened_before_need_not_be_named_as_file() {
    for store in ["kubo-flatfs", "flatfs-suffix-2"].into_iter().filter(|_| fuse_available()) {
        let theirs = Theirs::new(store);
        let unnamed = || {
            let mut command = program();
            command.args(["--lock-wait", "0", "--data-path"]).arg(&theirs.data).arg(theirs.bench.mnt());
            command
        };
        let output = run(&mut unnamed());
        assert_eq!(output.status.code(), Some(4), "{}", text(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--backend file"), "{}", text(&output));
        assert!(!theirs.beside.exists());

        theirs.mount(&[]).unmount();
        let mounted = Mounted::start(unnamed(), theirs.bench.mnt());
        assert_eq!(mounted.ls().len(), STORE_BLOCKS);
        mounted.unmount();
    }
}

/// A flatfs that is gone, or lost what makes it one, is not taken for a new store.
#[test]
fn a_store_whose_files_have_gone_is_damaged_and_not_empty() {
    for store in ["kubo-flatfs", "flatfs-prefix-3"].into_iter().filter(|_| fuse_available()) {
        let theirs = Theirs::new(store);
        theirs.mount(&[]).unmount();
        let aside = theirs.bench.path().join("aside");
        for mode in [&[][..], &["--read-only"]] {
            fs::rename(theirs.flatfs.join("SHARDING"), &aside).unwrap();
            refused(&theirs, &theirs.flatfs, mode, "no SHARDING file", "restore");
            fs::rename(&aside, theirs.flatfs.join("SHARDING")).unwrap();
        }
        if store == "kubo-flatfs" {
            fs::rename(&theirs.flatfs, &aside).unwrap();
            refused(&theirs, &theirs.data, &[], "is damaged", "restore");
            refused(&theirs, &theirs.flatfs, &[], "is damaged", "restore");
            fs::create_dir(&theirs.flatfs).unwrap();
            refused(&theirs, &theirs.data, &[], "is damaged", "restore");
            fs::remove_dir(&theirs.flatfs).unwrap();
            fs::rename(&aside, &theirs.flatfs).unwrap();
        }
        let mounted = theirs.mount(&[]);
        assert_eq!(mounted.ls().len(), STORE_BLOCKS);
        mounted.unmount();
    }
}

#[test]
fn the_directory_beside_a_store_is_none() {
    if !fuse_available() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    theirs.mount(&[]).unmount();
    refused(&theirs, &theirs.beside, &[], "belongs to a store beside it", "the store itself");
    let marker = fs::read_to_string(theirs.beside.join("ipfs-persist.json")).unwrap();
    assert!(marker.contains("\"backend\": \"file\"") && marker.contains("\"complete\": true"), "{marker}");
    // And what a newer version has kept there is its own.
    fs::write(theirs.beside.join("ipfs-persist.json"), r#"{"format_version": 9}"#).unwrap();
    refused(&theirs, &theirs.data, &[], "format version 9", "newer");
}

/// Blocks are private to their owner, so that the owner's program could not read ours.
///
/// > It has to be the mount of the user who owns the store.
#[test]
fn a_store_of_another_user_is_only_read() {
    if !fuse_available() || !is_root() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    chown(&theirs.flatfs, Some(12_345), None).unwrap();
    refused(&theirs, &theirs.data, &[], "belongs to user 12345", "--read-only");
    let mounted = theirs.mount(&["--read-only"]);
    assert_eq!(mounted.ls().len(), STORE_BLOCKS);
    mounted.unmount();
}

/// A store of our own is a flatfs with its lock one level up.
#[test]
fn the_blocks_of_a_store_of_our_own_are_not_opened_beside_it() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount();
    write_new(&mounted.path(cid_of(b"new")), b"new").unwrap();
    let before = snapshot(&bench.data());
    for more in [&[][..], &["--read-only"]] {
        let mut command = program();
        command.args(["--backend", "file", "--data-path"]).arg(bench.data().join("blocks")).args(more);
        let output = run(command.arg(Bench::new("file").mnt()));
        assert_eq!(output.status.code(), Some(4), "{}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("the inside of the store"), "{said}");
    }
    assert_unchanged(&before, &bench.data(), "a refusal");
    mounted.unmount();
}

/// A killed mount leaves a store that is taken up again, by us and by the store's program.
#[test]
fn a_killed_mount_is_taken_up_again() {
    if !fuse_available() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    let mounted = theirs.mount(&[]);
    write_new(&mounted.path(cid_of(b"new")), b"new").unwrap();
    mounted.crash();
    let mounted = theirs.mount(&[]);
    assert!(mounted.log().contains("did not close it"), "{}", mounted.log());
    assert_eq!(mounted.ls().len(), STORE_BLOCKS + 1);
    mounted.unmount();
    assert_eq!(fs::read(theirs.file(&cid_of(b"new"))).unwrap(), b"new");
}
