//! Data directories as they are found: damaged, foreign, newer, half made, copied. What is not a
//! whole store of ours is refused in one line with a hint and its own exit code, and not touched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "store_directory/paths.rs"]
mod paths;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::disk::Disk;
use common::{
    Bench, bytes, cid_of, durable_backends, fuse_available, is_mounted, program, run, sh_ok, text, write_new,
};
use ipfs_persist_mount::datastore;

const MARKER: &str = "ipfs-persist.json";

/// Everything in a bench, with its times, but for the lock.
fn tree(dir: &Path) -> String {
    sh_ok(
        dir,
        "find . -path ./data/lock -o -printf '%p %y %m %s %T@ %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0r sha256sum",
    )
}

/// The mount must be refused with this exit code, in a line with these words and a hint with
/// those, in the foreground and in the background, and change nothing.
fn refused(bench: &Bench, code: i32, words: &[&str], hint: &str, more: &[&str]) {
    let before = tree(bench.path());
    for extra in [&[][..], &["--background"]] {
        let output = run(&mut bench.command(&[more, extra].concat()));
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        let said = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].starts_with("ipfs-persist-mount: ") && lines[1].starts_with("hint: "), "{said}");
        for word in words {
            assert!(lines[0].contains(word), "{word} is not in: {said}");
        }
        assert!(lines[1].contains(hint), "{hint} is not in: {said}");
        assert!(output.stdout.is_empty() && !is_mounted(&bench.mnt()));
    }
    assert_eq!(tree(bench.path()), before, "{words:?}");
}

/// A bench with a store that holds one block, and its CID.
fn stored(backend: &'static str) -> (Bench, String) {
    let bench = Bench::new(backend);
    let mounted = bench.mount();
    let content = bytes(1, 5000);
    let name = cid_of(&content);
    write_new(&mounted.path(&name), &content).unwrap();
    mounted.unmount();
    (bench, name)
}

fn holds(bench: &Bench, more: &[&str], expected: &[String]) {
    let mounted = bench.mount_with(more);
    assert_eq!(mounted.ls(), expected);
    mounted.unmount();
}

fn edit_marker(bench: &Bench, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = bench.data().join(MARKER);
    let mut marker = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut marker);
    fs::write(path, marker.to_string()).unwrap();
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let (bench, name) = stored(backend);
        let marker = fs::read(bench.data().join(MARKER)).unwrap();
        edit_marker(&bench, |marker| marker["format_version"] = 99.into());
        refused(&bench, 4, &["format version 99", "versions up to 1"], "or a newer one", &[]);
        refused(&bench, 4, &["format version 99"], "or a newer one", &["--read-only"]);
        // What a newer version adds, and whatever else it may change, does not matter.
        fs::write(bench.data().join(MARKER), r#"{"format_version": 2, "stores": []}"#).unwrap();
        refused(&bench, 4, &["format version 2"], "or a newer one", &[]);
        fs::write(bench.data().join(MARKER), marker).unwrap();
        holds(&bench, &[], &[name]);
    }
}

/// > Refused at start: a mount point that is no directory, is not empty (without `--allow-non-empty`), or has
/// > a mount of this program already; a data directory inside the mount point; a data directory that is not
/// > empty and not ours (but for R13), or was made with another backend, or is in use.
#[test]
fn the_marker_decides_which_backend_it_is() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let (bench, name) = stored(backend);
        // Without --backend, the marker is asked.
        let unsaid = run(program().args(["--background", "--data-path"]).arg(bench.data()).arg(bench.mnt()));
        assert!(unsaid.status.success(), "{}", text(&unsaid));
        assert!(bench.mnt().join(&name).exists());
        assert!(run(program().args(["unmount", "--timeout", "20"]).arg(bench.mnt())).status.success());

        for other in durable_backends().into_iter().filter(|other| *other != backend) {
            let words = [&format!("made with the backend {backend}")[..], &format!("{other} was asked for")];
            refused(&bench, 4, &words, &format!("--backend {backend}"), &["--backend", other]);
        }
        // A backend that only other builds have.
        edit_marker(&bench, |marker| marker["backend"] = "zfs".into());
        let words = ["made with the backend zfs", "which this build does not have"];
        refused(&bench, 4, &words, "use a build that has it", &[]);
    }
}

/// Regression: the user had not named any backend, and was told of wrong usage.
#[test]
fn a_backend_that_this_build_does_not_have_is_named_with_the_directory() {
    let bench = Bench::new("file");
    fs::create_dir(bench.data()).unwrap();
    let marker = r#"{"format_version": 1, "backend": "zfs", "store_id": "x", "created_unix_secs": 1, "complete": true}"#;
    fs::write(bench.data().join(MARKER), marker).unwrap();
    let before = tree(bench.path());
    let output = run(program().arg("--data-path").arg(bench.data()).arg(bench.mnt()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("was made with the backend zfs, which this build does not have"), "{said}");
    assert!(said.contains(&bench.data().display().to_string()), "{said}");
    assert!(said.contains("\nhint: ") && said.contains("ipfs-persist-mount backends"), "{said}");
    assert_eq!(tree(bench.path()), before);
}

#[test]
fn a_damaged_marker_is_never_taken_for_a_new_store() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let (bench, name) = stored(backend);
        let path = bench.data().join(MARKER);
        let whole = fs::read(&path).unwrap();
        let cases: [&[u8]; 6] =
            [b"", b"{", &whole[..whole.len() / 2], &[0; 200], b"{\"format_version\": 1}", b"[1, 2]"];
        for damaged in cases {
            fs::write(&path, damaged).unwrap();
            refused(&bench, 4, &["is damaged", "ipfs-persist.json"], "restore", &[]);
        }
        fs::write(&path, whole).unwrap();
        holds(&bench, &[], &[name]);
    }
}

/// A marker that was a link to /dev/zero was once read without end, and a pipe waited for.
#[test]
fn a_marker_that_is_no_small_file_is_damage() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let (bench, name) = stored(backend);
        let path = bench.data().join(MARKER);
        let marker = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        refused(&bench, 4, &[MARKER], "backup", &[]);
        fs::remove_file(&path).unwrap();
        sh_ok(&bench.data(), &format!("mkfifo {MARKER}"));
        let output = run(&mut bench.command(&[]));
        assert_eq!(output.status.code(), Some(4), "{}", text(&output));
        fs::remove_file(&path).unwrap();
        fs::write(&path, marker).unwrap();
        holds(&bench, &[], &[name]);
    }
}

/// Under another sharding function every block was once silently absent.
#[test]
fn another_sharding_function_does_not_hide_the_blocks() {
    if !fuse_available() {
        return;
    }
    let (bench, name) = stored("file");
    let path = bench.data().join("blocks/SHARDING");
    let sharding = fs::read(&path).unwrap();
    fs::write(&path, "/repo/flatfs/shard/v1/prefix/2\n").unwrap();
    refused(&bench, 4, &["SHARDING", "prefix/2"], "backup", &[]);
    fs::write(&path, sharding).unwrap();
    holds(&bench, &[], &[name]);
}

#[test]
fn a_lost_marker_is_never_taken_for_a_new_store() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let (bench, name) = stored(backend);
        let aside = bench.path().join("aside");
        fs::rename(bench.data().join(MARKER), &aside).unwrap();
        refused(&bench, 4, &["is not a store", MARKER, backend], "--data-path", &[]);
        fs::rename(aside, bench.data().join(MARKER)).unwrap();
        holds(&bench, &[], &[name]);
    }
}

/// > Refused at start: a mount point that is no directory, is not empty (without `--allow-non-empty`), or has
/// > a mount of this program already; a data directory inside the mount point; a data directory that is not
/// > empty and not ours (but for R13), or was made with another backend, or is in use.
#[test]
fn a_directory_of_something_else_is_refused() {
    let bench = Bench::new("file");
    let prepare: &[(&str, &str)] = &[
        ("mkdir data; echo x > data/photo.jpg", "it holds photo.jpg"),
        ("mkdir -p data/.git", "it holds .git"),
        ("mkdir -p data/lost+found data/sub", "it holds sub"),
        ("echo x > data", "it is not a directory"),
        ("echo x > file; ln -s file data", "it is not a directory"),
    ];
    for (script, word) in prepare {
        sh_ok(bench.path(), script);
        refused(&bench, 4, &["is not a store of ipfs-persist-mount", word], "--data-path", &[]);
        sh_ok(bench.path(), "rm -rf data");
    }
    sh_ok(bench.path(), "ln -s nowhere data");
    let output = run(&mut bench.command(&[]));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(!bench.path().join("nowhere").exists());
}

#[test]
fn what_a_new_file_system_or_an_interrupted_start_leaves_is_no_obstacle() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        for leftovers in [
            "mkdir data",
            "mkdir -p data/lost+found",
            "mkdir data; touch data/lock",
            "mkdir data; touch data/lock; echo '{\"form' > data/.ipfs-persist.json.77-0.tmp",
        ] {
            let bench = Bench::new(backend);
            sh_ok(bench.path(), leftovers);
            let mounted = bench.mount();
            write_new(&mounted.path(cid_of(b"new")), b"new").unwrap();
            mounted.unmount();
            holds(&bench, &["--lock-wait", "0"], &[cid_of(b"new")]);
        }
        // A disk of its own as the data directory, as it comes from mkfs.
        let Some(disk) = Disk::new(64, &[]) else { continue };
        let bench = Bench::new(backend);
        symlink(disk.path(), bench.data()).unwrap();
        holds(&bench, &["--min-free-space", "0"], &[]);
    }
}

/// Regression: a first start of sled that was killed between the first and the last file of the new
/// database left a directory that no later start would use.
#[test]
fn an_interrupted_creation_is_taken_up_again() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        // The engine's directory is missing, was begun, or is whole.
        let mut lefts = vec!["rm -rf ENGINE", "rm -rf ENGINE/*", ":"];
        if backend == "sled" {
            lefts.extend(["rm sled/db", "rm sled/db; : > sled/conf", "rm sled/db sled/conf"]);
        }
        for left in lefts {
            let bench = Bench::new(backend);
            bench.mount().unmount();
            edit_marker(&bench, |marker| marker["complete"] = false.into());
            let directory = datastore::backend(backend).unwrap().directory;
            sh_ok(&bench.data(), &left.replace("ENGINE", directory));
            let mounted = bench.mount();
            write_new(&mounted.path(cid_of(b"new")), b"new").unwrap();
            mounted.unmount();
            let marker: serde_json::Value =
                serde_json::from_slice(&fs::read(bench.data().join(MARKER)).unwrap()).unwrap();
            assert_eq!(marker["complete"], true, "{left}");
            holds(&bench, &[], &[cid_of(b"new")]);
        }
    }
}

/// Wherever in its first start the program is killed, the next start makes a whole store.
#[test]
fn a_first_start_that_is_killed_at_any_moment_does_no_harm() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        for moment in 0..25 {
            let bench = Bench::new(backend);
            let mut child = bench.command(&[]).stderr(Stdio::null()).spawn().unwrap();
            // The moment of death is the case, not a way to wait for something.
            std::thread::sleep(Duration::from_micros(400 * moment));
            child.kill().unwrap();
            child.wait().unwrap();
            let mounted = bench.mount_with(&["--lock-wait", "0"]);
            write_new(&mounted.path(cid_of(b"new")), b"new").unwrap();
            mounted.unmount();
            holds(&bench, &[], &[cid_of(b"new")]);
        }
    }
}

/// Regression: a complete store whose engine's directory was not there (a disk that is not mounted)
/// passed for a missing store, with the hint to make a new one.
#[test]
fn a_store_whose_blocks_have_vanished_is_damaged_and_not_empty() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let (bench, name) = stored(backend);
        let directory = bench.data().join(datastore::backend(backend).unwrap().directory);
        let aside = bench.path().join("aside");
        fs::rename(&directory, &aside).unwrap();
        refused(&bench, 4, &["is damaged"], "restore", &[]);
        refused(&bench, 4, &["is damaged"], "restore", &["--read-only"]);
        fs::create_dir(&directory).unwrap();
        refused(&bench, 4, &["is damaged"], "restore", &[]);
        fs::remove_dir(&directory).unwrap();
        fs::rename(&aside, &directory).unwrap();
        holds(&bench, &[], &[name]);
    }
}

#[test]
fn the_file_that_names_the_sharding_is_not_guessed() {
    if !fuse_available() {
        return;
    }
    let (bench, name) = stored("file");
    let sharding = bench.data().join("blocks/SHARDING");
    let whole = fs::read(&sharding).unwrap();
    for damaged in [
        &b""[..],
        b"/repo/flatfs/shard/v1/next-to-last/",
        b"/repo/flatfs/shard/v2/next-to-last/2\n",
        &[0; 37],
    ] {
        fs::write(&sharding, damaged).unwrap();
        refused(&bench, 4, &["is damaged", "SHARDING"], "restore", &[]);
    }
    fs::remove_file(&sharding).unwrap();
    refused(&bench, 4, &["is damaged", "no SHARDING file"], "restore", &[]);
    fs::write(&sharding, whole).unwrap();
    holds(&bench, &[], &[name]);
}

#[test]
fn missing_parents_are_made_for_the_user_alone() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let bench = Bench::new(backend);
        let data = bench.path().join("a/b/data");
        let mut command = bench.command(&["--background", "--data-path", data.to_str().unwrap()]);
        let output = run(command.current_dir(bench.path()));
        assert!(output.status.success(), "{}", text(&output));
        let output = run(program().args(["unmount", "--timeout", "20"]).arg(bench.mnt()));
        assert!(output.status.success(), "{}", text(&output));
        for dir in ["a", "a/b", "a/b/data"] {
            let mode = fs::metadata(bench.path().join(dir)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o700, "{dir}");
        }
        for file in [MARKER, "lock"] {
            assert_eq!(fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o7777, 0o600, "{file}");
        }
    }
}
