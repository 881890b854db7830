//! A look before any engine touches a directory: every store of another program x every backend
//! whose blocks are kept.
//!
//! Opening the wrong one was measured to delete data, so what is not opened in place is refused in
//! one line that names the program, and not a byte, mode or time of it changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod odd;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::blocks::fixture_blocks;
use common::stores::{STORES, assert_unchanged, snapshot, unpack};
use common::{Bench, Mounted, durable_backends, fuse_available, is_mounted, run, text};
use ipfs_persist_mount::datastore::backend;
use libtest_mimic::{Arguments, Trial};

/// Which stores a backend opens where they are.
fn opens_in_place(backend_name: &str, store: &str) -> bool {
    backend(backend_name).unwrap().in_place.is_some()
        && (store.starts_with("flatfs-") || store == "kubo-flatfs")
}

/// The command must end with code 4 in a line with these words and a hint with that one, and leave
/// the directory as it is.
pub fn refused(command: &mut Command, data: &Path, words: &[&str], hint: &str) {
    let before = snapshot(data);
    let output = run(command);
    assert_eq!(output.status.code(), Some(4), "{command:?}: {}", text(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    for word in words.iter().chain(&[data.to_str().unwrap()]) {
        assert!(lines[0].contains(word), "{word} is not in: {said}");
    }
    assert!(lines[1].starts_with("hint: ") && lines[1].contains(hint), "{hint} is not in: {said}");
    assert_unchanged(&before, data, &said);
}

/// A command with a data directory of its own.
pub fn command(bench: &Bench, data: &Path, more: &[&str]) -> Command {
    let mut command = common::program();
    command.args(["--lock-wait", "0", "--data-path"]).arg(data).args(more).arg(bench.mnt());
    command
}

/// The store as a whole, every way of opening it.
///
/// > Every other directory of another program is refused, named, and left untouched.
fn store_meets_backend(name: &str, program: &str, backend: &'static str) {
    let bench = Bench::new(backend);
    let scratch = bench.path().join("stores");
    let data = unpack(name, &scratch);
    if opens_in_place(backend, name) {
        return opened(&bench, &data);
    }
    let before = snapshot(&scratch);
    let hint =
        if opens_in_place("file", name) { "--backend file" } else { "empty directory with --data-path" };
    for more in [&[][..], &["--read-only"], &["--background"]] {
        let more = [&["--backend", backend][..], more].concat();
        refused(&mut command(&bench, &data, &more), &data, &[program, "is not a store"], hint);
        assert!(!is_mounted(&bench.mnt()));
    }
    // Somebody gives the directory that the store is in.
    let words = [program, data.file_name().unwrap().to_str().unwrap()];
    refused(&mut command(&bench, &scratch, &["--backend", backend]), &scratch, &words, "--data-path");
    assert_unchanged(&before, &scratch, "its surroundings");
}

/// All blocks are there and right, and reading has changed nothing among the files.
fn opened(bench: &Bench, data: &Path) {
    let flatfs = if data.join("blocks").is_dir() { data.join("blocks") } else { data.to_owned() };
    let before = snapshot(&flatfs);
    let mounted = Mounted::start(command(bench, data, &["--backend", bench.backend]), bench.mnt());
    let mut blocks = fixture_blocks();
    blocks.sort();
    assert_eq!(mounted.ls(), blocks.iter().map(|(cid, _)| cid.clone()).collect::<Vec<_>>());
    for (cid, bytes) in &blocks {
        assert!(fs::read(mounted.path(cid)).unwrap() == *bytes, "{cid}");
    }
    mounted.unmount();
    assert_unchanged(&before, &flatfs, "reading");
}

/// Nobody has asked for `file`, which is only the default.
fn store_meets_no_backend(name: &str, program: &str) {
    let bench = Bench::new("file");
    let data = unpack(name, &bench.path().join("stores"));
    let before = snapshot(&bench.path().join("stores"));
    let hint = if opens_in_place("file", name) { "--backend file" } else { "--data-path" };
    refused(&mut command(&bench, &data, &[]), &data, &[program], hint);
    refused(&mut command(&bench, &data, &["--read-only"]), &data, &[program], hint);
    assert_unchanged(&before, &bench.path().join("stores"), "its surroundings");
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let mut trials = Vec::new();
    let mut add = |name: String, case: Box<dyn FnOnce() + Send>| {
        trials.push(Trial::test(name, || {
            if fuse_available() {
                case();
            }
            Ok(())
        }));
    };
    for (store, program) in STORES {
        for backend in durable_backends() {
            add(
                format!("{backend}::{store}"),
                Box::new(move || store_meets_backend(store, program, backend)),
            );
        }
        add(format!("default::{store}"), Box::new(move || store_meets_no_backend(store, program)));
    }
    for backend in durable_backends() {
        for (name, case) in odd::CASES {
            add(format!("{backend}::{name}"), Box::new(move || case(backend)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}
