//! The command `demo`, as people and scripts use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipfs_persist_mount::block::{Block, CidOptions, canonical};
use ipfs_persist_mount::blockstore::{Blockstore, MARKER_NAME, Marker, StoreOptions};
use ipfs_persist_mount::datastore::{BACKENDS, backend};
use ipfs_persist_mount::jobs::demo::DataSet;
use serde_json::Value;
use tempfile::TempDir;

/// A directory with a `tmp` in it for the program, which must be empty afterwards.
fn place() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tmp")).unwrap();
    dir
}

fn demo(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = common::program();
    command.arg("demo").args(args).current_dir(dir.path()).env("TMPDIR", dir.path().join("tmp"));
    command
}

fn left_in_tmp(dir: &TempDir) -> usize {
    fs::read_dir(dir.path().join("tmp")).unwrap().count()
}

/// What `--json` says; the exit code is `code`.
fn json(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{}", common::text(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", common::text(output)))
}

fn open(name: Option<&str>, path: &Path) -> Blockstore {
    let options = StoreOptions {
        backend: name.map(|name| backend(name).unwrap()),
        data_path: Some(path.to_owned()),
        ..StoreOptions::default()
    };
    Blockstore::open(&options, Arc::default()).unwrap()
}

/// The CIDs that a store lists.
fn listed(path: &Path) -> Vec<String> {
    let store = open(None, path);
    let keys = store.list(None, 100_000).unwrap();
    store.close().unwrap();
    keys.iter().map(|entry| canonical(&entry.key, entry.cid_form)).collect()
}

/// A store with one block that is not the demo's.
fn store(name: &str, path: &Path) {
    let store = open(Some(name), path);
    let block = Block::of(b"somebody else's".as_slice().into(), &CidOptions::default(), SystemTime::now());
    store.put(block.unwrap()).unwrap();
    store.close().unwrap();
}

/// Every file below a directory with its bytes.
fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn every_backend_of_this_build_is_tried_and_the_others_are_named() {
    let dir = place();
    let report = json(&common::run(&mut demo(&dir, &["--json", "--blocks", "60", "--size", "3KiB"])), 0);
    assert_eq!((&report["blocks"], &report["size_bytes"]), (&Value::from(60), &Value::from(3072)));
    let rows = report["backends"].as_array().unwrap();
    assert_eq!(rows.len(), BACKENDS.len());
    for backend in BACKENDS {
        let row = rows.iter().find(|row| row["name"] == backend.name).unwrap();
        assert_eq!(row["about"], backend.about);
        if !backend.built_in {
            assert_eq!(row["status"], "not_built");
            assert!(row["hint"].as_str().unwrap().contains("cargo build"), "{row}");
            continue;
        }
        assert_eq!((&row["status"], &row["engine"]), (&Value::from("ok"), &Value::from(backend.engine)));
        for (field, expected) in [("stored", 60), ("verified", 60), ("already_there", 0)] {
            assert_eq!(row[field], expected, "{row}");
        }
        assert_eq!(row["still_there"], if backend.durable { 60 } else { 0 }, "{row}");
        assert!(row["put_average_us"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["get_average_us"].as_f64().unwrap() > 0.0, "{row}");
        assert_eq!(row["disk_bytes_per_byte"].is_f64(), backend.default_path.is_some(), "{row}");
        assert_eq!(row["temporary"], backend.default_path.is_some(), "{row}");
    }
    assert_eq!(left_in_tmp(&dir), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is made elsewhere");
}

#[test]
fn people_get_a_table() {
    let dir = place();
    let output = common::run(&mut demo(&dir, &["--blocks", "10", "--size", "100"]));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", common::text(&output));
    assert!(text.starts_with("10 different blocks of 100 B"), "{text}");
    for row in BACKENDS.iter().filter(|row| row.built_in) {
        let line = text.lines().find(|line| line.trim_start().starts_with(row.name)).unwrap();
        let expected = if row.durable { "10 still there" } else { "volatile, 0 there" };
        assert!(line.contains(expected) && line.contains(" ms"), "{text}");
        assert!(text.contains(row.about), "{text}");
    }
    for row in BACKENDS.iter().filter(|row| !row.built_in) {
        assert!(text.contains(&format!("{} is not in this build: build it with", row.name)), "{text}");
    }
}

#[test]
fn a_data_path_keeps_the_blocks_that_are_not_the_demos() {
    for name in common::durable_backends() {
        let dir = place();
        let data = dir.path().join("data");
        store(name, &data);
        let shared = DataSet::new(30, 200).unwrap().block(2).unwrap();
        let opened = open(Some(name), &data);
        opened.put(shared).unwrap();
        opened.close().unwrap();
        let before = listed(&data);
        assert_eq!(before.len(), 2);
        // The marker decides which backend it is.
        let args = ["--json", "--blocks", "30", "--size", "200", "--data-path", "data"];
        let report = json(&common::run(&mut demo(&dir, &args)), 0);
        let row = &report["backends"][0];
        assert_eq!((&row["name"], &row["temporary"]), (&Value::from(name), &Value::from(false)));
        for (field, expected) in [("stored", 29), ("already_there", 1), ("verified", 30), ("still_there", 30)]
        {
            assert_eq!(row[field], expected, "{row}");
        }
        assert_eq!(report["backends"].as_array().unwrap().len(), 1);
        assert_eq!(listed(&data), before, "{name}");
        assert_eq!(left_in_tmp(&dir), 0);
    }
}

#[test]
fn a_data_path_that_is_new_becomes_an_empty_store() {
    for name in common::durable_backends() {
        let dir = place();
        let mut command = demo(&dir, &["--json", "--blocks", "5"]);
        command.env("BACKEND", name).env("DATA_PATH", "deep/data");
        let report = json(&common::run(&mut command), 0);
        assert_eq!((&report["backends"][0]["name"], &report["blocks"]), (&Value::from(name), &5.into()));
        assert_eq!(report["backends"][0]["still_there"], 5);
        let data = dir.path().join("deep/data");
        assert_eq!(Marker::read(&data).unwrap().unwrap().backend, name);
        assert_eq!(listed(&data), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_directory_of_another_backend_or_of_somebody_else_is_refused_and_left_alone() {
    let durable = common::durable_backends();
    for name in &durable {
        let dir = place();
        let data = dir.path().join("data");
        store(name, &data);
        for other in durable.iter().filter(|other| *other != name) {
            let before = files(&data);
            let output = common::run(&mut demo(&dir, &["--backend", other, "--data-path", "data"]));
            assert_eq!(output.status.code(), Some(4), "{}", common::text(&output));
            assert_eq!(files(&data), before, "{name} as {other}");
        }
        // One that a version with more backends has made.
        Marker { complete: true, ..Marker::new("future").unwrap() }.write(&data).unwrap();
        let before = files(&data);
        let output = common::run(&mut demo(&dir, &["--backend", name, "--data-path", "data"]));
        assert_eq!(output.status.code(), Some(4), "{}", common::text(&output));
        assert!(common::text(&output).contains("made with the backend future"), "{}", common::text(&output));
        assert_eq!(files(&data), before);

        fs::remove_file(data.join(MARKER_NAME)).unwrap();
        let before = files(&data);
        let output = common::run(&mut demo(&dir, &["--json", "--data-path", "data"]));
        let report = json(&output, 4);
        assert_eq!(
            (&report["backends"][0]["status"], &report["backends"][0]["exit_code"]),
            (&Value::from("failed"), &Value::from(4))
        );
        assert_eq!(files(&data), before);
    }
}

#[test]
fn mistakes_are_told_and_nothing_is_made() {
    let dir = place();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--blocks", "0"], 2, "hint: use --blocks with a number from 1"),
        (&["--blocks", "1000001"], 2, "1000001 blocks"),
        (&["--blocks", "many"], 2, "--blocks"),
        (&["--size", "0"], 2, "blocks of 0 bytes\nhint: use --size"),
        (&["--size", "2097153"], 2, "(2MiB)"),
        (&["--size", "large"], 2, "a size is a number of bytes"),
        (&["--backend", "nosuch"], 2, "no backend named nosuch"),
        (&["somewhere"], 2, "unexpected argument"),
        (&["--backend", "memory", "--memory-limit", "1KiB"], 6, "the memory backend is full"),
        (&["--backend", "file", "--min-free-space", "8EiB"], 6, "hint: free some space"),
        (&["--backend", "file", "--data-path", "/proc/self/stat"], 4, "it is not a directory"),
    ];
    for (args, code, expected) in cases {
        let output = common::run(&mut demo(&dir, args));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{args:?} said: {said}");
        assert_eq!(output.status.code(), Some(*code), "{args:?} said: {said}");
        assert_eq!(output.stdout, b"", "{args:?}");
        assert_eq!(left_in_tmp(&dir), 0, "{args:?}");
    }
    for row in BACKENDS.iter().filter(|row| !row.built_in) {
        let output = common::run(&mut demo(&dir, &["--backend", row.name, "--data-path", "data"]));
        assert_eq!(output.status.code(), Some(2), "{}", common::text(&output));
        assert!(!dir.path().join("data").exists(), "{}", row.name);
    }
}

#[test]
fn one_backend_that_fails_does_not_keep_the_others_from_being_tried() {
    let dir = place();
    let args = ["--json", "--blocks", "5", "--min-free-space", "8EiB"];
    let output = common::run(&mut demo(&dir, &args));
    let report = json(&output, 6);
    for row in report["backends"].as_array().unwrap() {
        let backend = backend(row["name"].as_str().unwrap()).unwrap();
        let expected = match (backend.built_in, backend.default_path) {
            (false, _) => "not_built",
            (true, None) => "ok",
            (true, Some(_)) => "failed",
        };
        assert_eq!(row["status"], expected, "{row}");
    }
    assert!(common::text(&output).contains("ipfs-persist-mount: file: too little free space"));
    assert_eq!(left_in_tmp(&dir), 0);
}

#[test]
fn a_store_in_use_is_refused_and_memory_leaves_a_data_path_alone() {
    let dir = place();
    let held = open(Some("file"), &dir.path().join("data"));
    let args = ["--data-path", "data", "--lock-wait", "0"];
    let output = common::run(&mut demo(&dir, &args));
    assert_eq!(output.status.code(), Some(3), "{}", common::text(&output));
    held.close().unwrap();

    let args = ["--backend", "memory", "--data-path", "other", "--blocks", "3"];
    let output = common::run(&mut demo(&dir, &args));
    assert!(output.status.success(), "{}", common::text(&output));
    assert!(common::text(&output).contains("left untouched"), "{}", common::text(&output));
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let dir = place();
    let data = dir.path().join("data");
    store("file", &data);
    let before = listed(&data);
    for args in [&[][..], &["--data-path", "data"]] {
        let mut command = demo(&dir, &["--backend", "file", "--blocks", "1000000", "--size", "16"]);
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let blocks = if args.is_empty() { dir.path().join("tmp") } else { data.clone() };
        let enough = || {
            let count = Command::new("find").arg(&blocks).args(["-name", "*.data"]).output().unwrap();
            count.stdout.iter().filter(|byte| **byte == b'\n').count() > 20
        };
        let begun = std::time::Instant::now();
        while !enough() {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            assert!(begun.elapsed() < Duration::from_secs(60), "it stores nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", common::text(&output));
        assert!(common::text(&output).contains("stopped by SIGINT"), "{}", common::text(&output));
        assert_eq!(left_in_tmp(&dir), 0);
    }
    assert_eq!(listed(&data), before);
}
