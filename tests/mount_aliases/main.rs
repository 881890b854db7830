//! Names that are no CIDs, through real mounts: what becomes of their bytes, their inodes and
//! their attributes, and of the blocks behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod names;
mod taken_back;

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::*;
use ipfs_persist_mount::block::{Block, CidOptions, canonical};
use libc::{EBADMSG, EBUSY, EEXIST, EFBIG, EINVAL, ENOENT, EPERM};
use names::*;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use taken_back::*;

fn main() {
    run_product(cases![
        a_name_becomes_an_alias_of_its_block,
        an_overwritten_name_keeps_the_old_block,
        editing_a_name_makes_a_new_block,
        the_inode_lasts_as_long_as_the_name,
        mode_and_times_are_as_tools_set_them,
        cut_to_nothing_it_is_an_empty_staged_file,
        truncation_by_path_makes_a_new_block,
        names_can_be_renamed,
        a_name_becomes_a_cid_if_its_bytes_are_that_block,
        block_names_cannot_be_renamed,
        the_control_directory_cannot_be_changed,
        removing_a_name_keeps_the_block,
        a_block_under_an_alias_cannot_be_removed,
        temporary_names_store_nothing,
        a_synced_temporary_file_is_stored_until_it_is_removed,
        a_prefix_at_an_early_close_does_not_stay,
        a_prefix_goes_when_a_later_write_is_refused,
        an_open_file_can_be_renamed,
        a_rename_to_a_stored_cid_brings_its_time,
        a_refused_edit_leaves_the_name_as_it_was,
        bytes_that_no_cid_can_have_leave_no_name,
        after_a_rename_to_a_cid_other_bytes_are_refused,
        a_reader_keeps_its_bytes,
        handles_on_one_name_share_its_bytes,
        a_failed_change_leaves_the_store_as_it_was,
        strict_takes_only_cids,
        options_say_what_an_alias_becomes,
        a_removed_name_is_gone_with_its_staging,
        a_second_rsync_of_ordinary_files_sends_nothing,
        a_synced_temporary_file_goes_when_its_name_is_taken,
        a_refused_truncation_by_path_changes_nothing,
        a_refusal_goes_back_behind_an_early_close,
        readers_keep_what_was_refused,
        a_reader_of_a_removed_file_keeps_its_bytes,
        a_file_that_became_a_block_and_was_removed_can_be_read,
    ])
}

/// The CID of bytes under other options than the default.
fn cid_under(content: &[u8], version: Option<&str>, codec: Option<&str>, hash: Option<&str>) -> String {
    let options = CidOptions::from_names(version, codec, hash).unwrap();
    let block = Block::of(content.to_vec().into(), &options, SystemTime::now()).unwrap();
    canonical(block.key(), block.meta().cid_form)
}

fn ino(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// > At close the bytes become a block: version 1, raw, sha2-256, or what `--cid-version`,
/// > `--cid-codec` and `--cid-hash` say.
/// > The name becomes an alias: a regular file with these bytes, with an inode of its own for as long
/// > as the name lasts, and with the mode and times that tools set, before or after.
/// > `readlink .ipfs-persist/names/NAME` gives the CID of its block.
/// > Aliases are not listed in the root.
/// > They end with the mount.
fn a_name_becomes_an_alias_of_its_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for (name, length) in [("photo.jpg", 100_000), ("dup.jpg", 100_000), ("README", 10), ("a b\n\u{e9}", 1)] {
        let content = bytes(length as u64, length);
        let cid = cid_of(&content);
        fs::write(bench.path().join("src"), &content).unwrap();
        sh_ok(&mount.mnt, &format!("cp ../src '{name}'"));
        let path = mount.path(name);
        assert_eq!(mount.alias(name).unwrap(), cid);
        assert!(fs::read(&path).unwrap() == content && fs::read(mount.path(&cid)).unwrap() == content);
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.is_file() && found.nlink() == 1 && found.len() == length as u64);
        assert_ne!(found.ino(), ino(&mount.path(&cid)));
        assert_eq!(File::open(&path).unwrap().metadata().unwrap().ino(), found.ino(), "fstat is stat");
        assert!(mount.ls().contains(&cid) && !mount.ls().iter().any(|listed| listed == name));
    }
    assert_eq!(mount.ls().len(), 3, "the same bytes under two names are one block");
    assert_eq!(names(&mount.path(".ipfs-persist/names")).len(), 4);
    assert_eq!(errno(fs::read_link(mount.path(".ipfs-persist/names/absent"))), ENOENT);
    if durable_backends().contains(&backend) {
        mount.unmount();
        let mount = bench.mount();
        assert_eq!(mount.ls().len(), 3);
        assert!(!mount.path("photo.jpg").exists(), "aliases live until unmount");
    }
}

/// > Writing to an alias, or truncating it by path, makes a new block, and the old one stays.
fn an_overwritten_name_keeps_the_old_block(backend: &'static str) {
    // The claim of a name's writer to the block that it had made lasted until RELEASE, which comes
    // after close has returned: the next program that overwrote the name took the acknowledged
    // block away.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let mut cids = Vec::new();
    for round in 0..200u64 {
        let content = bytes(round, 100 + round as usize);
        put(mount.path("log"), &content).unwrap();
        cids.push(cid_of(&content));
    }
    mount.assert_blocks(&cids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(&mount.alias("log").unwrap(), cids.last().unwrap());
    // The same where both are open at once, and where the second is refused.
    let (first, second) = (bytes(501, 500), bytes(502, 500));
    let early = File::create(mount.path("both")).unwrap();
    early.write_all_at(&first, 0).unwrap();
    close(early.try_clone().unwrap()).unwrap();
    put(mount.path("both"), &second).unwrap();
    assert!(mount.path(cid_of(&first)).exists() && mount.path(cid_of(&second)).exists());
    close(early).unwrap();
    let refused = OpenOptions::new().write(true).open(mount.path("both")).unwrap();
    assert_eq!(errno(refused.write_at(b"x", 1 << 30)), EFBIG);
    assert_eq!(errno(close(refused)), EFBIG);
    assert!(mount.path(cid_of(&first)).exists() && mount.path(cid_of(&second)).exists());
    if need("bash") {
        sh_ok(&mount.mnt, "for i in $(seq 100); do echo $i > counter; done");
        for n in 1..=100 {
            assert!(mount.path(cid_of(format!("{n}\n").as_bytes())).exists(), "{n}");
        }
    }
}

/// > Writing to an alias, or truncating it by path, makes a new block, and the old one stays.
fn editing_a_name_makes_a_new_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let states = ["one\n", "one\ntwo\n", "one\nTWO\n", "ONE\nTWO\nend\n"];
    sh_ok(&mount.mnt, "echo one > notes; echo two >> notes");
    assert_eq!(mount.alias("notes").unwrap(), cid_of(states[1].as_bytes()));
    if need("sed") {
        sh_ok(&mount.mnt, "sed -i s/two/TWO/ notes");
    } else {
        put(mount.path("notes"), states[2].as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(mount.path("notes")).unwrap(), states[2]);
    let file = OpenOptions::new().read(true).write(true).open(mount.path("notes")).unwrap();
    file.write_all_at(b"ONE", 0).unwrap();
    file.write_all_at(b"end\n", 8).unwrap();
    close(file).unwrap();
    assert_eq!(fs::read_to_string(mount.path("notes")).unwrap(), states[3]);
    let cids = states.map(|state| cid_of(state.as_bytes()));
    assert_eq!(mount.alias("notes").unwrap(), cids[3]);
    mount.assert_blocks(&cids.each_ref().map(String::as_str));
    if need("python3") {
        python(&mount.mnt, "f = open('notes', 'r+'); f.truncate(4); f.seek(4); f.write('py\\n'); f.close()");
        assert_eq!(fs::read_to_string(mount.path("notes")).unwrap(), "ONE\npy\n");
        assert_eq!(mount.alias("notes").unwrap(), cid_of(b"ONE\npy\n"));
    }
}

/// SQLite compares fstat with stat.
///
/// > The name becomes an alias: a regular file with these bytes, with an inode of its own for as long
/// > as the name lasts, and with the mode and times that tools set, before or after.
fn the_inode_lasts_as_long_as_the_name(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let path = mount.path("db");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let number = file.metadata().unwrap().ino();
    file.write_all_at(b"before", 0).unwrap();
    assert_eq!(ino(&path), number);
    file.sync_all().unwrap();
    assert_eq!((ino(&path), file.metadata().unwrap().ino()), (number, number));
    file.write_all_at(b"after!", 0).unwrap();
    close(file).unwrap();
    assert_eq!(ino(&path), number);
    put(&path, b"overwritten").unwrap();
    sh_ok(&mount.mnt, "echo more >> db; chmod 600 db; touch db");
    assert_eq!(ino(&path), number);
    fs::rename(&path, mount.path("db2")).unwrap();
    assert_eq!(ino(&mount.path("db2")), number);
    put(&path, b"another").unwrap();
    let other = ino(&path);
    assert_ne!(other, number);
    fs::rename(mount.path("db2"), &path).unwrap();
    assert_eq!(ino(&path), number, "the renamed file replaces the other");
    fs::remove_file(&path).unwrap();
    put(&path, b"new").unwrap();
    assert!(ino(&path) != number && ino(&path) != other, "numbers are never used twice");
}

/// > The name becomes an alias: a regular file with these bytes, with an inode of its own for as long
/// > as the name lasts, and with the mode and times that tools set, before or after.
/// > Staged files and aliases have their own mode, owner and times.
fn mode_and_times_are_as_tools_set_them(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let path = mount.path("file");
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    let seen = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.permissions().mode() & 0o7777, found.modified().unwrap())
    };
    let file = File::create(&path).unwrap();
    (&file).write_all(b"content").unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
    file.set_modified(at(1_000_000)).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    assert_eq!(seen(&path), (0o640, at(1_000_000)), "before the commit");
    let block = mount.path(cid_of(b"content"));
    assert_eq!(fs::metadata(&block).unwrap().modified().unwrap(), at(1_000_000), "the block takes it");
    file.set_permissions(fs::Permissions::from_mode(0o4711)).unwrap();
    file.set_modified(at(2_000_000)).unwrap();
    assert_eq!(seen(&path), (0o4711, at(2_000_000)), "by a descriptor after the commit");
    close(file).unwrap();
    assert_eq!(seen(&path), (0o4711, at(2_000_000)));
    fs::rename(&path, mount.path("renamed")).unwrap();
    assert_eq!(seen(&mount.path("renamed")), (0o4711, at(2_000_000)), "after a rename");
    sh_ok(&mount.mnt, "chmod 600 renamed; touch -d @3000000.5 renamed");
    let half = SystemTime::UNIX_EPOCH + Duration::from_millis(3_000_000_500);
    assert_eq!(seen(&mount.path("renamed")), (0o600, half), "by path");
    assert_eq!(fs::read(mount.path("renamed")).unwrap(), b"content");
    assert_eq!(seen(&mount.path("renamed")), (0o600, half), "reading changes nothing");
    let before = SystemTime::now() - Duration::from_secs(5);
    sh_ok(&mount.mnt, "echo more >> renamed");
    let (mode, mtime) = seen(&mount.path("renamed"));
    assert!(mode == 0o600 && mtime > before, "writing sets the time");
}

/// > Truncated to 0, or created and never written, it is an empty file that stores nothing.
fn cut_to_nothing_it_is_an_empty_staged_file(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let cid = cid_of(b"content");
    for cut in
        [": > name", "truncate -s 0 name", "cp /dev/null name", "dd of=name count=0 status=none </dev/null"]
    {
        put(mount.path("name"), b"content").unwrap();
        assert_eq!(mount.alias("name").unwrap(), cid);
        sh_ok(&mount.mnt, cut);
        assert_eq!(fs::metadata(mount.path("name")).unwrap().len(), 0, "{cut}");
        assert_eq!(fs::read(mount.path("name")).unwrap(), b"");
        assert_eq!(errno(fs::read_link(mount.path(".ipfs-persist/names/name"))), ENOENT);
        mount.assert_blocks(&[&cid]);
        fs::remove_file(mount.path(&cid)).unwrap();
        sh_ok(&mount.mnt, "printf again >> name");
        assert_eq!(mount.alias("name").unwrap(), cid_of(b"again"));
        fs::remove_file(mount.path("name")).unwrap();
        fs::remove_file(mount.path(cid_of(b"again"))).unwrap();
    }
}

/// > Writing to an alias, or truncating it by path, makes a new block, and the old one stays.
fn truncation_by_path_makes_a_new_block(backend: &'static str) {
    // truncate(2) opens nothing, so no close came that could have stored what it left.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path("name"), b"content").unwrap();
    nix::unistd::truncate(&mount.path("name"), 4).unwrap();
    assert_eq!(fs::read(mount.path("name")).unwrap(), b"cont");
    assert_eq!(mount.alias("name").unwrap(), cid_of(b"cont"));
    nix::unistd::truncate(&mount.path("name"), 6).unwrap();
    assert_eq!(mount.alias("name").unwrap(), cid_of(b"cont\0\0"));
    mount.assert_blocks(&[&cid_of(b"content"), &cid_of(b"cont"), &cid_of(b"cont\0\0")]);
    assert_eq!(mount.stats()["gauges"]["staged_bytes"], 0);
    sh_ok(&mount.mnt, "touch empty; truncate -s 3 empty");
    assert_eq!(mount.alias("empty").unwrap(), cid_of(b"\0\0\0"));
}

/// Those of an alias too, also when its name and then its block go before the first read.
///
/// > Descriptors that are open go on reading it.
fn a_reader_keeps_its_bytes(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 200_000);
    let cid = cid_of(&content);
    let read_all = |mut file: File| {
        let mut all = Vec::new();
        file.read_to_end(&mut all).map(|_| all)
    };
    put(mount.path("name"), &content).unwrap();
    let early = File::open(mount.path("name")).unwrap();
    let late = File::open(mount.path("name")).unwrap();
    let mut first = [0; 100];
    early.read_exact_at(&mut first, 0).unwrap();
    put(mount.path("other"), b"other").unwrap();
    fs::rename(mount.path("other"), mount.path("name")).unwrap();
    assert_eq!(fs::read(mount.path("name")).unwrap(), b"other");
    fs::remove_file(mount.path(&cid)).expect("no name stands on it any more");
    assert!(read_all(early).unwrap() == content);
    assert!(read_all(late).unwrap() == content, "it had read nothing before");

    put(mount.path("name2"), &content).unwrap();
    let late = File::open(mount.path("name2")).unwrap();
    fs::remove_file(mount.path("name2")).unwrap();
    fs::remove_file(mount.path(&cid)).unwrap();
    assert_eq!(late.metadata().unwrap().len(), 200_000);
    assert!(read_all(late).unwrap() == content);
}

/// > All descriptors of a plain name share one buffer, as with any file.
fn handles_on_one_name_share_its_bytes(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path("shared"), &[b'.'; 10_000]).unwrap();
    let reader = File::open(mount.path("shared")).unwrap();
    let one = OpenOptions::new().write(true).open(mount.path("shared")).unwrap();
    let two = OpenOptions::new().read(true).write(true).open(mount.path("shared")).unwrap();
    one.write_all_at(b"one", 5000).unwrap();
    two.write_all_at(b"two", 0).unwrap();
    let mut seen = vec![0; 10_000];
    let mut wanted = vec![b'.'; 10_000];
    wanted[..3].copy_from_slice(b"two");
    wanted[5000..5003].copy_from_slice(b"one");
    for file in [&reader, &two] {
        file.read_exact_at(&mut seen, 0).unwrap();
        assert!(seen == wanted);
    }
    close(one).unwrap();
    close(two).unwrap();
    assert!(fs::read(mount.path("shared")).unwrap() == wanted);
    assert_eq!(mount.alias("shared").unwrap(), cid_of(&wanted));
}

/// > With `--strict`, creating a plain name is EINVAL.
fn strict_takes_only_cids(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--strict"]);
    assert_eq!(errno(File::create(mount.path("name"))), EINVAL);
    assert_eq!(errno(File::create(mount.path(".name.tmp"))), EINVAL);
    assert!(mount.errors().contains("--strict"), "{}", mount.errors());
    put(mount.path(cid_of(b"bytes")), b"bytes").unwrap();
    assert_eq!(errno(fs::rename(mount.path(cid_of(b"bytes")), mount.path("name"))), EPERM);
    mount.assert_blocks(&[&cid_of(b"bytes")]);
}

/// > At close the bytes become a block: version 1, raw, sha2-256, or what `--cid-version`,
/// > `--cid-codec` and `--cid-hash` say.
fn options_say_what_an_alias_becomes(backend: &'static str) {
    let content = bytes(1, 100);
    for (version, codec, hash) in [
        (None, Some("dag-cbor"), None),
        (None, None, Some("blake3")),
        (None, Some("json"), Some("sha2-512")),
        (Some("0"), None, None),
        (None, None, Some("identity")),
    ] {
        let bench = Bench::new(backend);
        let mut flags = Vec::new();
        for (flag, value) in [("--cid-version", version), ("--cid-codec", codec), ("--cid-hash", hash)] {
            flags.extend(value.into_iter().flat_map(|value| [flag, value]));
        }
        let mount = bench.mount_with(&flags);
        put(mount.path("name"), &content).unwrap();
        let cid = cid_under(&content, version, codec, hash);
        assert_eq!(mount.alias("name").unwrap(), cid, "{flags:?}");
        assert!(fs::read(mount.path("name")).unwrap() == content);
        assert!(fs::read(mount.path(&cid)).unwrap() == content);
        assert_eq!(version == Some("0"), cid.starts_with("Qm"));
        if hash == Some("identity") {
            mount.assert_blocks(&[]);
            sh_ok(&mount.mnt, "printf more >> name; mv name name2");
            assert_eq!(fs::read(mount.path("name2")).unwrap(), [&content[..], b"more"].concat());
            fs::remove_file(mount.path("name2")).unwrap();
        } else {
            mount.assert_blocks(&[&cid]);
        }
    }
}
