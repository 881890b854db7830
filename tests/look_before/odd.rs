//! What is no whole store of another program: parts of one, parts of ours, and odd files.

use std::fs;

use ipfs_persist_mount::datastore::{backend, foreign};

use super::common::stores::{assert_unchanged, snapshot, unpack};
use super::common::{Bench, bytes, cid_of, durable_backends, sh_ok, write_new};
use super::{command, refused};

pub type Case = (&'static str, fn(&'static str));

pub const CASES: &[Case] = crate::cases![
    parts_of_a_repository,
    a_database_that_is_a_single_file,
    the_inside_of_a_store_of_ours,
    an_engine_without_its_marker,
    a_store_whose_marker_is_gone,
    files_of_nobody,
    files_that_hang_whoever_opens_them,
];

fn parts_of_a_repository(backend: &'static str) {
    let bench = Bench::new(backend);
    for (store, part, program) in [
        ("kubo-pebble", "pebbleds", "Pebble"),
        ("kubo-badger", "badgerds", "Badger"),
        ("kubo-flatfs", "datastore", "LevelDB"),
    ] {
        let data = unpack(store, bench.path()).join(part);
        refused(&mut command(&bench, &data, &["--backend", backend]), &data, &[program], "--data-path");
    }
    // The directory of a repository's blocks says so in words of its own.
    let repo = bench.path().join("kubo-pebble");
    refused(
        &mut command(&bench, &repo, &["--backend", backend]),
        &repo,
        &["Kubo", "Pebble"],
        "ipfs block get",
    );
}

fn a_database_that_is_a_single_file(backend: &'static str) {
    let bench = Bench::new(backend);
    let data = unpack("redb", bench.path()).join("data.redb");
    refused(&mut command(&bench, &data, &["--backend", backend]), &data, &["redb"], "--data-path");
}

/// A store of `backend` with a block in it.
fn filled(backend: &'static str) -> Bench {
    let bench = Bench::new(backend);
    let mounted = bench.mount();
    let content = bytes(1, 5000);
    write_new(&mounted.path(cid_of(&content)), &content).unwrap();
    mounted.unmount();
    bench
}

/// It has its lock and its marker one level up.
fn the_inside_of_a_store_of_ours(backend_name: &'static str) {
    let bench = filled(backend_name);
    let data = bench.data().join(backend(backend_name).unwrap().directory);
    let before = snapshot(&bench.data());
    let words = ["is the inside of the store", bench.data().to_str().unwrap()].map(str::to_owned);
    for other in durable_backends() {
        let words = words.each_ref().map(String::as_str);
        let hint = format!("--data-path {}", bench.data().display());
        refused(&mut command(&bench, &data, &["--backend", other]), &data, &words, &hint);
    }
    assert_unchanged(&before, &bench.data(), "the store");
}

fn an_engine_without_its_marker(backend_name: &'static str) {
    let bench = filled(backend_name);
    let row = backend(backend_name).unwrap();
    let copy = bench.path().join("copy");
    sh_ok(bench.path(), &format!("cp -a data/{} copy", row.directory));
    let found = foreign::identify(&copy).unwrap();
    for other in durable_backends() {
        if other == backend_name && row.in_place.is_some() {
            continue;
        }
        refused(&mut command(&bench, &copy, &["--backend", other]), &copy, &[found.program], "--data-path");
    }
}

fn a_store_whose_marker_is_gone(backend_name: &'static str) {
    let bench = filled(backend_name);
    fs::remove_file(bench.data().join("ipfs-persist.json")).unwrap();
    for other in durable_backends() {
        let backend_words = format!("of the backend {backend_name} whose ipfs-persist.json is gone");
        refused(
            &mut command(&bench, &bench.data(), &["--backend", other]),
            &bench.data(),
            &[&backend_words],
            "restore",
        );
    }
}

fn files_of_nobody(backend: &'static str) {
    let bench = Bench::new(backend);
    for (script, word) in [
        ("mkdir data; echo x > data/photo.jpg", "photo.jpg"),
        ("mkdir -p data/.git", ".git"),
        ("mkdir data; echo MANIFEST > data/MANIFEST", "MANIFEST"),
        ("mkdir -p data/a/b; ln -s .. data/a/b/up", "holds a)"),
    ] {
        sh_ok(bench.path(), script);
        refused(
            &mut command(&bench, &bench.data(), &["--backend", backend]),
            &bench.data(),
            &[word],
            "--data-path",
        );
        sh_ok(bench.path(), "rm -rf data");
    }
}

/// The names that the look asks for, as pipes, devices and links in a circle; and directories that
/// only their owner may read.
fn files_that_hang_whoever_opens_them(backend: &'static str) {
    let bench = Bench::new(backend);
    let names =
        "CURRENT MANIFEST SHARDING conf db version config datastore_spec IDENTITY OPTIONS-000001 x.redb";
    for make in ["mkfifo $n", "ln -s /dev/zero $n", "ln -s $n $n", "mkdir -m 0 $n", "ln -s / $n"] {
        sh_ok(bench.path(), &format!("mkdir data; cd data; for n in {names}; do {make}; done"));
        refused(
            &mut command(&bench, &bench.data(), &["--backend", backend]),
            &bench.data(),
            &["is not"],
            "--data-path",
        );
        sh_ok(bench.path(), "rm -rf data");
    }
}
