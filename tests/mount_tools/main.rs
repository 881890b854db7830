//! Other people's tools in a mount, one after the other on the same files: archives, rsync, editors,
//! programs. What each of them does by itself in each situation is in `tests/tool_matrix`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod programs;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Output;

use common::*;
use programs::*;

fn main() {
    let every: &[rows::Case] = cases![
        a_flat_directory_is_copied_and_a_tree_is_not,
        archives_go_in_and_out,
        a_second_rsync_sends_nothing,
        rsync_between_mounts_sends_nothing_twice,
        rsync_delete_does_not_empty_the_store,
        moving_in_keeps_the_source_when_refused,
        scripting_languages_write_files,
        editors_save_files,
        errors_are_told_in_the_tools_words,
    ];
    rows::main(&[(backends(), every)])
}

/// A directory `src` beside the mount with files of ordinary names, and `cids` with the same files
/// under their CIDs.
fn sources(bench: &Bench) -> Vec<(String, String, Vec<u8>)> {
    fs::create_dir(bench.path().join("src")).unwrap();
    fs::create_dir(bench.path().join("cids")).unwrap();
    let lengths = [0, 1, 4000, 65_536, 300_000, 1_500_000];
    let names = ["empty", "a", "with space.txt", ".hidden", "photo.jpg", "\u{fc}mlaut"];
    let mut files = Vec::new();
    for (seed, (length, name)) in lengths.into_iter().zip(names).enumerate() {
        let content = bytes(seed as u64, length);
        let cid = cid_of(&content);
        let (plain, named) = (bench.path().join("src").join(name), bench.path().join("cids").join(&cid));
        for path in [plain, named] {
            fs::write(&path, &content).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            let then =
                std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_600_000_000_250 + seed as u64);
            file.set_modified(then).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600 + seed as u32 * 0o10)).unwrap();
        }
        files.push((name.to_owned(), cid, content));
    }
    files
}

/// The listing that a store of these files has; the empty file is a block only under its CID.
fn blocks_of(files: &[(String, String, Vec<u8>)], with_empty: bool) -> Vec<String> {
    let wanted = files.iter().filter(|(_, _, content)| with_empty || !content.is_empty());
    let mut cids: Vec<String> = wanted.map(|(_, cid, _)| cid.clone()).collect();
    cids.sort();
    cids
}

fn same_files(dir: &Path, other: &Path, files: &[(String, String, Vec<u8>)]) {
    for (name, _, content) in files {
        assert!(fs::read(dir.join(name)).unwrap() == *content, "{name}");
        let (one, two) = (fs::metadata(dir.join(name)).unwrap(), fs::metadata(other.join(name)).unwrap());
        assert_eq!(one.modified().unwrap(), two.modified().unwrap(), "{name}");
        assert_eq!(one.permissions(), two.permissions(), "{name}");
    }
}

fn fails_saying(output: &Output, words: &str) {
    let said = text(output);
    assert!(!output.status.success() && said.contains(words), "wanted {words:?}: {said}");
}

fn a_flat_directory_is_copied_and_a_tree_is_not(backend: &'static str) {
    // mkdir by the user -> EPERM; R7: names that are no CIDs are accepted.
    let bench = Bench::new(backend);
    let files = sources(&bench);
    let mount = bench.mount();
    fails_saying(&sh(&mount.mnt, "cp -r ../src ."), "Operation not permitted");
    fails_saying(&sh(&mount.mnt, "mkdir dir"), "Operation not permitted");
    fails_saying(&sh(&mount.mnt, "ln -s a b"), "Operation not permitted");
    mount.assert_blocks(&[]);
    sh_ok(&mount.mnt, "shopt -s dotglob; cp -p ../src/* .");
    same_files(&mount.mnt, &bench.path().join("src"), &files);
    assert_eq!(mount.ls(), blocks_of(&files, false));
    sh_ok(&mount.mnt, "shopt -s dotglob; cp -a ../src/* . && cp ../src/* . && cp -u ../src/* .");
    assert!(fs::hard_link(mount.path("a"), mount.path("b")).is_err());
    sh_ok(&mount.mnt, "cp ../cids/* .; cp -a ../cids/* .");
    assert_eq!(mount.ls(), blocks_of(&files, true));
    // And out again.
    sh_ok(bench.path(), "mkdir out; cp mnt/ba* out/");
    for (_, cid, content) in &files {
        assert!(fs::read(bench.path().join("out").join(cid)).unwrap() == *content);
    }
    let listed = sh_ok(bench.path(), "cd out; sha256sum * | sort > ../sums; cd ../mnt; sha256sum -c ../sums");
    assert_eq!(listed.matches(": OK").count(), files.len());
    sh_ok(bench.path(), "diff -r out cids");
}

fn archives_go_in_and_out(backend: &'static str) {
    // tar unlinks, then creates; utimes on the root hold until the listing next changes (tar x).
    let bench = Bench::new(backend);
    let files = sources(&bench);
    let mount = bench.mount();
    if need("tar") {
        sh_ok(bench.path(), "tar -C cids -cf cids.tar .; tar --format=pax -C src -czf src.tar.gz .");
        sh_ok(&mount.mnt, "tar xf ../cids.tar; tar xf ../cids.tar; tar --overwrite -xf ../cids.tar");
        assert_eq!(mount.ls(), blocks_of(&files, true));
        sh_ok(&mount.mnt, "tar xzf ../src.tar.gz; tar xzf ../src.tar.gz; tar --overwrite -xzf ../src.tar.gz");
        assert_eq!(mount.ls(), blocks_of(&files, true));
        same_files(&mount.mnt, &bench.path().join("src"), &files);
        for (_, cid, _) in &files {
            let original = fs::metadata(bench.path().join("cids").join(cid)).unwrap();
            let stored = fs::metadata(mount.path(cid)).unwrap();
            assert_eq!(stored.mtime(), original.mtime(), "tar restores times");
        }
        sh_ok(bench.path(), "mkdir out; tar -C mnt -cf - . | tar -C out -xf -; diff -r out cids");
        assert_eq!(names(&bench.path().join("out")).len(), files.len(), "no name and no control directory");
        sh_ok(bench.path(), "tar -C mnt --compare -f cids.tar $(cd cids; ls | sed 's,^,./,') || test $? = 1");
        // A tree: its files need directories.
        sh_ok(bench.path(), "tar -cf tree.tar src/photo.jpg");
        fails_saying(&sh(&mount.mnt, "tar xf ../tree.tar"), "Operation not permitted");
        sh_ok(&mount.mnt, "tar --strip-components=1 -xf ../tree.tar");
        sh_ok(&mount.mnt, "tar cf made.tar -C .. cids && tar tf made.tar > /dev/null && rm made.tar");
    }
    if need("zip") && need("unzip") {
        sh_ok(bench.path(), "cd cids; zip -q ../cids.zip *");
        // unzip removes what it replaces, which it may not under an alias.
        fails_saying(&sh(&mount.mnt, "unzip -q -o ../cids.zip"), "Device or resource busy");
        for (name, ..) in &files {
            fs::remove_file(mount.path(name)).unwrap();
        }
        sh_ok(&mount.mnt, "rm photo.jpg 2>/dev/null; unzip -q -o ../cids.zip; unzip -q -o ../cids.zip");
        assert!(blocks_of(&files, true).iter().all(|cid| mount.ls().contains(cid)));
        sh_ok(&mount.mnt, "zip -q made.zip -j ../src/photo.jpg; unzip -p made.zip | cmp - ../src/photo.jpg");
    }
}

/// What rsync has sent: regular files.
fn sent(output: &str) -> u64 {
    let line = output.lines().find(|line| line.starts_with("Number of regular files transferred:")).unwrap();
    line.rsplit(' ').next().unwrap().replace(',', "").parse().unwrap()
}

fn a_second_rsync_sends_nothing(backend: &'static str) {
    // R7: mode and times as the tools set them, so that a second `rsync` has nothing to do. R11:
    // `rsync -a` of a directory of blocks sends nothing the second time.
    if !need("rsync") {
        return;
    }
    let bench = Bench::new(backend);
    let files = sources(&bench);
    let mount = bench.mount();
    let first = sh_ok(bench.path(), "rsync -a --stats src/ mnt/");
    assert_eq!(sent(&first), files.len() as u64);
    same_files(&mount.mnt, &bench.path().join("src"), &files);
    assert_eq!(sh_ok(bench.path(), "rsync -ai src/ mnt/"), "", "not even times");
    assert_eq!(sh_ok(bench.path(), "rsync -aic src/ mnt/"), "", "compared by checksum");
    sh_ok(bench.path(), "echo changed > src/a");
    assert_eq!(sent(&sh_ok(bench.path(), "rsync -a --stats src/ mnt/")), 1);
    assert_eq!(fs::read(mount.path("a")).unwrap(), b"changed\n");
    for (name, ..) in &files {
        fs::remove_file(mount.path(name)).unwrap();
    }
    sh_ok(&mount.mnt, "rm ba*");
    mount.assert_blocks(&[]);

    assert_eq!(sent(&sh_ok(bench.path(), "rsync -a --stats cids/ mnt/")), files.len() as u64);
    for more in ["", "--no-perms", "--inplace", "--whole-file", "--append-verify", "--delete"] {
        let again = sh_ok(bench.path(), &format!("rsync -a --stats {more} cids/ mnt/"));
        assert_eq!(sent(&again), 0, "{more}");
    }
    sh_ok(bench.path(), "chmod 444 cids/*");
    assert_eq!(sh_ok(bench.path(), "rsync -ai cids/ mnt/"), "", "with the mode that blocks have");
    if durable_backends().contains(&backend) {
        mount.unmount();
        let mount = bench.mount();
        // The root's own time is that of the mount.
        assert_eq!(sh_ok(bench.path(), "rsync -aiO cids/ mnt/"), "", "after a remount");
        mount.unmount();
    }
}

fn rsync_between_mounts_sends_nothing_twice(backend: &'static str) {
    // R11: from mount to mount, `rsync -a` sends nothing the second time.
    if !need("rsync") {
        return;
    }
    let (bench, other) = (Bench::new(backend), Bench::new(backend));
    let files = sources(&bench);
    let (mount, copy) = (bench.mount(), other.mount());
    sh_ok(bench.path(), "rsync -a cids/ mnt/");
    let command = |flags: &str| format!("rsync -a {flags} {}/ {}/", mount.mnt.display(), copy.mnt.display());
    assert_eq!(sent(&sh_ok(bench.path(), &command("--stats"))), files.len() as u64);
    assert_eq!(copy.ls(), mount.ls());
    assert_eq!(sh_ok(bench.path(), &command("-i")), "");
    assert_eq!(sh_ok(bench.path(), &command("-i --delete")), "");
    assert_eq!(sent(&sh_ok(bench.path(), &command("-I --stats"))), files.len() as u64, "forced, it succeeds");
    assert_eq!(copy.ls(), mount.ls());
}

fn rsync_delete_does_not_empty_the_store(backend: &'static str) {
    // R7: a block cannot be removed while an alias stands on it -> EBUSY, for `rsync --delete`,
    // which sees only CIDs, would else empty the store that it has just filled.
    if !need("rsync") {
        return;
    }
    let bench = Bench::new(backend);
    let files = sources(&bench);
    let mount = bench.mount();
    for order in ["--delete", "--delete-after", "--delete-before"] {
        for _ in 0..2 {
            let _complains = sh(bench.path(), &format!("rsync -a {order} src/ mnt/"));
            same_files(&mount.mnt, &bench.path().join("src"), &files);
            assert_eq!(mount.ls(), blocks_of(&files, false), "{order}");
        }
    }
}
