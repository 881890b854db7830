//! What the mount tells of itself: the control directory and the free space
//! (SEMANTICS, "The control directory"; "Space": df).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;
#[path = "mount_control/df.rs"]
mod df;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::time::{SystemTime, UNIX_EPOCH};

use common::blocks::cid_v0;
use common::raw::{access, put, set_times};
use common::rows::Case;
use common::{Bench, Mounted, backends, bytes, cid_of, errno, names, sh_ok};
use ipfs_persist_mount::datastore::backend;

const CONTROL: &str = ".ipfs-persist";
const FILES: [&str; 4] = ["errors", "metrics", "stats.json", "status.json"];

const EVERY: &[Case] = cases![
    it_is_resolvable_and_not_listed,
    it_is_read_only,
    tools_can_look_around_in_it,
    stats_and_metrics_count_the_same,
    status_says_what_is_mounted,
    its_files_are_never_stale,
    errors_say_in_words_what_was_refused,
    names_lists_each_alias_as_a_link_to_its_cid,
];

fn main() {
    common::rows::main(&[(backends(), EVERY), (backends(), df::EVERY)]);
}

/// > `.ipfs-persist/` in the root can be opened and is not listed.
fn it_is_resolvable_and_not_listed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let control = mount.path(CONTROL);
    assert!(fs::metadata(&control).unwrap().is_dir());
    assert!(names(&mount.mnt).is_empty());
    assert_eq!(sh_ok(&mount.mnt, "ls -A; find . -mindepth 1"), "");
    let mut listed = names(&control);
    listed.sort();
    assert_eq!(listed, ["errors", "metrics", "names", "stats.json", "status.json"]);
    assert!(names(&control.join("names")).is_empty());
    for name in FILES {
        let metadata = fs::metadata(control.join(name)).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.mode() & 0o7777, 0o444, "{name}");
    }
    let inodes: Vec<u64> =
        listed.iter().map(|name| fs::metadata(control.join(name)).unwrap().ino()).collect();
    assert!(inodes.windows(2).all(|pair| pair[0] != pair[1]), "{inodes:?}");
    assert_eq!(errno(fs::metadata(control.join("nothing"))), libc::ENOENT);
    assert_eq!(errno(fs::metadata(control.join(cid_of(b"x")))), libc::ENOENT);
    assert_eq!(errno(fs::metadata(control.join("names").join("nothing"))), libc::ENOENT);
    let up = fs::metadata(control.join("..")).unwrap();
    assert_eq!(up.ino(), fs::metadata(&mount.mnt).unwrap().ino());
    mount.unmount();
}

/// > Everything in it is made when it is opened, and read-only: EPERM.
fn it_is_read_only(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let control = mount.path(CONTROL);
    put(&mount.path("photo.jpg"), b"pixels").unwrap();
    let block = mount.path(cid_of(b"pixels"));
    for target in ["new", "stats.json", "names/new", "names/photo.jpg"].map(|name| control.join(name)) {
        let what = target.display().to_string();
        assert_eq!(errno(fs::rename(mount.path("photo.jpg"), &target)), libc::EPERM, "{what}");
        assert_eq!(errno(fs::rename(&block, &target)), libc::EPERM, "{what}");
        if target.symlink_metadata().is_ok() {
            assert_eq!(errno(fs::remove_file(&target)), libc::EPERM, "{what}");
            assert_eq!(errno(fs::rename(&target, mount.path("elsewhere"))), libc::EPERM, "{what}");
        } else {
            assert_eq!(errno(File::create(&target)), libc::EPERM, "{what}");
            assert_eq!(errno(fs::create_dir(&target)), libc::EPERM, "{what}");
            assert_eq!(errno(std::os::unix::fs::symlink("x", &target)), libc::EPERM, "{what}");
            assert_eq!(errno(fs::hard_link(&block, &target)), libc::EPERM, "{what}");
        }
    }
    for name in FILES {
        let file = control.join(name);
        assert_eq!(errno(OpenOptions::new().write(true).open(&file)), libc::EPERM, "{name}");
        assert_eq!(errno(OpenOptions::new().append(true).open(&file)), libc::EPERM, "{name}");
        assert_eq!(errno(File::create(&file)), libc::EPERM, "{name}");
        assert_eq!(errno(fs::set_permissions(&file, fs::Permissions::from_mode(0o600))), libc::EPERM);
        assert_eq!(errno(set_times(&file, UNIX_EPOCH, UNIX_EPOCH)), libc::EPERM);
        assert_eq!(errno(fs::hard_link(&file, mount.path("linked"))), libc::EPERM);
    }
    for directory in [control.clone(), control.join("names")] {
        assert_eq!(errno(fs::remove_dir(&directory)), libc::EPERM);
        assert_eq!(errno(fs::rename(&directory, mount.path("elsewhere"))), libc::EPERM);
        assert_eq!(errno(fs::create_dir(&directory)), libc::EEXIST);
    }
    // Onto a directory only a directory can be renamed, so the kernel itself refuses a file.
    assert!([libc::EPERM, libc::EISDIR].contains(&errno(fs::rename(mount.path("photo.jpg"), &control))));
    assert_eq!(fs::read(mount.path("photo.jpg")).unwrap(), b"pixels");
    assert_eq!(mount.stats()["counters"]["panics"], 0);
    mount.unmount();
}

/// `ls -la`, `find`, `cat`, `cp`, `tail`, `grep`, `wc`: files that show no size, as in /proc.
fn tools_can_look_around_in_it(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(&mount.path("photo.jpg"), b"pixels").unwrap();
    let control = mount.path(CONTROL);
    assert_eq!(sh_ok(&control, "ls -la | grep -c json").trim(), "2");
    assert_eq!(
        sh_ok(&mount.mnt, "ls -la .ipfs-persist/names | tail -1").split(" -> ").nth(1).unwrap().trim(),
        cid_of(b"pixels")
    );
    let found = sh_ok(&mount.mnt, "find .ipfs-persist | sort");
    let wanted = ["", "/errors", "/metrics", "/names", "/names/photo.jpg", "/stats.json", "/status.json"];
    let wanted: Vec<String> = wanted.iter().map(|name| format!(".ipfs-persist{name}")).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
    assert_eq!(sh_ok(&control, "find . -type d | sort"), ".\n./names\n");
    assert_eq!(sh_ok(&control, "find . -type l"), "./names/photo.jpg\n");
    for command in [
        "cat status.json",
        "cp status.json ../../copy && cat ../../copy",
        "tail -n 100 status.json",
        "dd if=status.json status=none bs=7",
        "head -c 100000 status.json",
    ] {
        let status: serde_json::Value = serde_json::from_str(&sh_ok(&control, command)).unwrap();
        assert_eq!(status["backend"], backend, "{command}");
    }
    assert_eq!(sh_ok(&control, "grep -c '\"backend\"' status.json").trim(), "1");
    assert!(sh_ok(&control, "wc -l < metrics").trim().parse::<u32>().unwrap() > 10);
    // Read in pieces and backwards it is one text, the one of its open.
    let file = File::open(control.join("metrics")).unwrap();
    let whole = fs::read(control.join("metrics")).unwrap();
    let (mut head, mut again) = ([0; 40], [0; 40]);
    file.read_exact_at(&mut head, 20).unwrap();
    assert_eq!(head, whole[20..60]);
    file.read_exact_at(&mut again, 20).unwrap();
    assert_eq!(head, again);
    drop(file);
    mount.unmount();
}

/// The samples of a Prometheus text, each with its labels.
fn samples(metrics: &str) -> HashMap<String, u64> {
    let mut samples = HashMap::new();
    let mut types = HashMap::new();
    for line in metrics.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            if let Some((name, kind)) = comment.strip_prefix("TYPE ").and_then(|rest| rest.split_once(' ')) {
                assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "{line}");
            } else {
                assert!(
                    comment.starts_with("HELP ") || comment == "EOF" || comment.starts_with("UNIT "),
                    "{line}"
                );
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(name.starts_with("ipfs_persist_mount_"), "{line}");
        let family = name.split('{').next().unwrap();
        assert!(types.keys().any(|known| family.starts_with(known.as_str())), "{line} has no type");
        assert_eq!(samples.insert(name.to_owned(), value.parse().unwrap()), None, "{line}");
    }
    samples
}

/// > `stats.json` | counters and present figures
///
/// > `metrics` | the counters as Prometheus text
fn stats_and_metrics_count_the_same(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for seed in 0..5 {
        let content = bytes(seed, 1000);
        put(&mount.path(cid_of(&content)), &content).unwrap();
    }
    fs::remove_file(mount.path(cid_of(&bytes(0, 1000)))).unwrap();
    assert_eq!(errno(put(&mount.path(cid_of(b"a")), b"b")), libc::EBADMSG);
    let stats = mount.stats();
    let metrics = fs::read_to_string(mount.path(CONTROL).join("metrics")).unwrap();
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let samples = samples(&metrics);
    for (name, wanted) in [
        ("blocks_stored", 5),
        ("stored_bytes", 5000),
        ("blocks_removed", 1),
        ("panics", 0),
        ("damaged_reads", 0),
    ] {
        assert_eq!(stats["counters"][name], wanted, "{name} in {stats}");
        assert_eq!(samples[&format!("ipfs_persist_mount_{name}_total")], wanted, "{name}");
    }
    // A process that another test is just starting has copies of all open files, and closes them.
    for name in ["mismatches", "refusals"] {
        assert!(stats["counters"][name].as_u64().unwrap() >= 1, "{name} in {stats}");
        assert!(samples[&format!("ipfs_persist_mount_{name}_total")] >= 1, "{name}");
    }
    let counters = stats["counters"].as_object().unwrap();
    assert!(counters.keys().all(|name| samples.contains_key(&format!("ipfs_persist_mount_{name}_total"))));
    let creates = stats["requests"]["create"].as_u64().unwrap();
    assert!(creates >= 6, "{stats}");
    assert_eq!(samples["ipfs_persist_mount_requests_total{operation=\"create\"}"], creates);
    let gauges = stats["gauges"].as_object().unwrap();
    assert!(gauges.contains_key("open_handles") && gauges.contains_key("staged_bytes"));
    mount.unmount();
}

/// > `status.json` | backend, data path, process, version, durability, lock, uptime
fn status_says_what_is_mounted(backend_name: &'static str) {
    let bench = Bench::new(backend_name);
    let row = backend(backend_name).unwrap();
    let mount = bench.mount_with(&["--max-block-size", "1MiB"]);
    let status = status(&mount);
    assert_eq!(status["backend"], backend_name);
    assert_eq!(status["durable"], row.durable);
    assert_eq!(status["pid"], mount.pid());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["max_block_size_bytes"], 1 << 20);
    assert_eq!(status["read_only"], false);
    assert!(status["durability"].is_string());
    assert!(status["uptime_secs"].as_u64().unwrap() < 100);
    if row.default_path.is_some() {
        assert_eq!(status["data_path"], bench.data().canonicalize().unwrap().to_str().unwrap());
        assert_eq!(status["locked"], true);
        assert!(!status["store_id"].as_str().unwrap().is_empty());
    } else {
        assert!(status["data_path"].is_null());
        assert_eq!(status["locked"], false);
    }
    mount.unmount();
    if row.durable && row.read_only {
        let mount = bench.mount_with(&["--read-only"]);
        let again = self::status(&mount);
        assert_eq!((&again["read_only"], &again["store_id"]), (&true.into(), &status["store_id"]));
        mount.unmount();
    }
}

fn status(mount: &Mounted) -> serde_json::Value {
    serde_json::from_slice(&fs::read(mount.path(CONTROL).join("status.json")).unwrap()).unwrap()
}

/// > Everything in it is made when it is opened, and read-only: EPERM.
fn its_files_are_never_stale(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for count in 1..50u64 {
        let content = bytes(count, 100);
        put(&mount.path(cid_of(&content)), &content).unwrap();
        assert_eq!(mount.stats()["counters"]["blocks_stored"], count);
        let other = cid_of(format!("other {count}").as_bytes());
        assert!(!mount.errors().contains(&other));
        assert_eq!(errno(put(&mount.path(&other), &content)), libc::EBADMSG);
        assert!(mount.errors().contains(&other));
        put(&mount.path(format!("alias-{count}")), &content).unwrap();
        assert_eq!(names(&mount.path(CONTROL).join("names")).len() as u64, count);
    }
    let now = SystemTime::now();
    let mtime = fs::metadata(mount.path(CONTROL).join("errors")).unwrap().modified().unwrap();
    assert!(now.duration_since(mtime).unwrap_or_default().as_secs() < 10);
    mount.unmount();
}

/// > `errors` | the last 100 refusals: time, thread, operation, name, errno, what, what to do
fn errors_say_in_words_what_was_refused(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    assert_eq!(mount.errors(), "");
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - 1.0;
    let name = cid_of(b"right");
    assert_eq!(errno(put(&mount.path(&name), b"wrong")), libc::EBADMSG);
    let too_long = format!("{name}x");
    assert_eq!(errno(File::create(mount.path(&too_long))), libc::EINVAL);
    // What programs ask all the time is no refusal.
    assert_eq!(errno(fs::metadata(mount.path("nothing"))), libc::ENOENT);
    let errors = mount.errors();
    let mut lines: Vec<&str> = errors.lines().collect();
    // A process that another test is just starting has copies of all open files, and closes them.
    lines.dedup_by_key(|line| line.splitn(4, ' ').nth(3));
    assert_eq!(lines.len(), 2, "{errors}");
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    let time: f64 = words[0].parse().unwrap();
    assert!(time >= begun, "{errors}");
    assert_eq!(words[1], "pid");
    assert!(words[2].parse::<u32>().unwrap() > 0, "{errors}");
    for part in
        [name.as_str(), &cid_of(b"wrong"), &format!("errno {}", libc::EBADMSG), "ipfs-persist-mount cid"]
    {
        assert!(lines[0].contains(part), "{part} is not in {errors}");
    }
    for part in [too_long.as_str(), &format!("errno {}", libc::EINVAL), "create"] {
        assert!(lines[1].contains(part), "{part} is not in {errors}");
    }
    for count in 0..150 {
        assert_eq!(errno(fs::create_dir(mount.path(format!("dir-{count}")))), libc::EPERM);
    }
    assert_eq!(mount.errors().lines().count(), 100, "the last 100");
    // A name may hold anything, and still is one line.
    assert_eq!(errno(fs::create_dir(mount.path("two\nlines"))), libc::EPERM);
    assert_eq!(mount.errors().lines().count(), 100, "{}", mount.errors());
    mount.unmount();
}

/// > `names/` | a symbolic link for each alias, to the CID of its block
fn names_lists_each_alias_as_a_link_to_its_cid(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let links = mount.path(CONTROL).join("names");
    let target = |name: &str| fs::read_link(links.join(name)).unwrap().to_str().unwrap().to_owned();
    put(&mount.path("photo.jpg"), b"pixels").unwrap();
    put(&mount.path("copy.jpg"), b"pixels").unwrap();
    put(&mount.path("notes.txt"), b"words").unwrap();
    let mut listed = names(&links);
    listed.sort();
    assert_eq!(listed, ["copy.jpg", "notes.txt", "photo.jpg"]);
    assert_eq!(target("photo.jpg"), cid_of(b"pixels"));
    assert_eq!(target("copy.jpg"), cid_of(b"pixels"));
    assert!(fs::symlink_metadata(links.join("photo.jpg")).unwrap().is_symlink());
    for entry in fs::read_dir(&links).unwrap() {
        assert!(entry.unwrap().file_type().unwrap().is_symlink());
    }
    // It follows what becomes of the alias.
    put(&mount.path("notes.txt"), b"other words").unwrap();
    assert_eq!(target("notes.txt"), cid_of(b"other words"));
    fs::rename(mount.path("photo.jpg"), mount.path("picture.jpg")).unwrap();
    assert_eq!(errno(fs::read_link(links.join("photo.jpg"))), libc::ENOENT);
    assert_eq!(target("picture.jpg"), cid_of(b"pixels"));
    fs::remove_file(mount.path("picture.jpg")).unwrap();
    assert_eq!(errno(fs::symlink_metadata(links.join("picture.jpg"))), libc::ENOENT);
    // What is only staged stands for no block yet, and a block is no alias.
    let staged = File::create(mount.path("staged")).unwrap();
    put(&mount.path(cid_v0(b"a block")), b"a block").unwrap();
    assert_eq!(errno(fs::read_link(links.join("staged"))), libc::ENOENT);
    let mut listed = names(&links);
    listed.sort();
    assert_eq!(listed, ["copy.jpg", "notes.txt"]);
    drop(staged);
    // Many of them are listed whole.
    for count in 0..500 {
        put(&mount.path(format!("many-{count:03}")), b"pixels").unwrap();
    }
    assert_eq!(names(&links).len(), 502);
    assert_eq!(sh_ok(&links, "ls | wc -l").trim(), "502");
    access(&links.join("many-000"), libc::R_OK).unwrap_err();
    mount.unmount();
}
