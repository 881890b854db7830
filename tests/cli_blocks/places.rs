//! Where the store is: missing, mounted, held by others, dead, another program's.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ipfs_persist_mount::sys::{FileLock, Holder};

use super::common::blocks::flatfs_file;
use super::common::rows::Case;
use super::common::stores::{STORE_BLOCKS, snapshot, unpack};
use super::common::{Mounted, bytes, cid_of, program, put, run, text};
use super::scene::{Scene, WAYS, Way};
use crate::cases;

pub const CASES: &[Case] = cases![
    only_put_makes_a_store,
    a_mounted_store_is_found_and_said_so,
    what_a_mount_refuses_is_said_in_words,
    who_holds_the_store_without_a_mount_is_waited_for,
    a_mount_whose_process_was_killed_is_said_so,
];

pub const FILE_CASES: &[Case] = cases![
    a_damaged_block_is_never_given_out,
    looking_changes_nothing,
    a_store_of_kubo_is_worked_on_in_place,
];

pub const MEMORY_CASES: &[Case] = cases![memory_has_blocks_behind_its_mount_only];

fn only_put_makes_a_store(backend: &'static str) {
    let scene = Scene::new(backend, Way::Direct);
    let cid = cid_of(b"x");
    for args in [&["ls"][..], &["get", &cid], &["stat"], &["stat", &cid], &["rm", &cid], &["rm", "-f", &cid]]
    {
        scene.fails(args, 1, "there is no store at ");
        assert!(!scene.bench.data().exists(), "{args:?}");
    }
    scene.fails(&["put", "missing"], 1, "missing: open");
    assert!(!scene.bench.data().exists(), "there was nothing to store");
    assert_eq!(scene.put(b"x", &[]), cid);
    assert_eq!(scene.listed(), [cid]);
    // A directory that is not empty is not touched.
    fs::create_dir(scene.files().join("full")).unwrap();
    scene.file("full/file", b"");
    for command in ["ls", "put"] {
        let args = [command, "--data-path", "full", "full/file"];
        scene.fails(&args[..if command == "ls" { 3 } else { 4 }], 4, "is not a store");
    }
    assert_eq!(super::common::names(&scene.files().join("full")), ["file"]);
}

fn a_mounted_store_is_found_and_said_so(backend: &'static str) {
    let scene = Scene::new(backend, Way::ByItself);
    let cid = scene.put(b"x", &[]);
    let output = scene.run(&["ls", "-v"]);
    assert_eq!(output.stdout, format!("{cid}\n").as_bytes());
    let said = text(&output);
    assert!(said.contains("going through its mount") && said.contains("mnt"), "{said}");
    let mounted = scene.mounted.as_ref().unwrap();
    assert_eq!(fs::read(mounted.path(&cid)).unwrap(), b"x");
    assert_eq!(mounted.count("panics"), 0);
}

fn what_a_mount_refuses_is_said_in_words(backend: &'static str) {
    for way in [Way::ByItself, Way::Mount] {
        let scene = Scene::new(backend, way);
        let mounted = scene.mounted.as_ref().unwrap();
        put(mounted.path("photo.jpg"), b"photo").unwrap();
        let cid = cid_of(b"photo");
        scene.fails(&["rm", &cid], 1, &format!("{cid}: the block is what the name photo.jpg stands for"));
        assert_eq!(scene.listed(), [cid.as_str()]);
        drop(scene);

        let scene = Scene::with(backend, way, &["--no-delete", "--max-block-size", "1KiB"]);
        let cid = scene.put(b"x", &[]);
        scene.fails(&["rm", &cid], 1, "this mount does not delete blocks (--no-delete)");
        scene.file("large", &bytes(1, 2000));
        scene.fails(&["put", "large"], 1, "large: a block may have at most 1024 bytes here");
        assert_eq!(scene.listed(), [cid.as_str()]);
        let Scene { bench, mounted, .. } = scene;
        mounted.unwrap().unmount();
        if !super::common::read_only_backends().contains(&backend) {
            continue;
        }
        let mounted = Some(bench.mount_with(&["--read-only"]));
        let scene = Scene { bench, way, mounted };
        scene.file("x", b"y");
        assert_eq!(scene.ok(&["get", &cid]), b"x");
        scene.fails(&["put", "x"], 1, "x: the mount is read-only");
        scene.fails(&["rm", &cid], 1, "the mount is read-only");
    }
}

fn who_holds_the_store_without_a_mount_is_waited_for(backend: &'static str) {
    let scene = Scene::new(backend, Way::Direct);
    let cid = scene.put(b"x", &[]);
    let lock = scene.bench.data().join("lock");
    // No mount is there, whatever the holder says.
    for mount_point in [None, Some(Path::new("/proc")), Some(Path::new("/nowhere"))] {
        let held = FileLock::acquire(&lock, Duration::ZERO, &Holder::current(backend, mount_point)).unwrap();
        for args in [&["ls"][..], &["rm", &cid], &["stat"]] {
            let args = [args, &["--lock-wait", "0"]].concat();
            scene.fails(&args, 3, "is in use by process ");
        }
        let waiting =
            scene.command(&["get", &cid, "--lock-wait", "60"]).stdout(std::process::Stdio::piped()).spawn();
        drop(held);
        let output = waiting.unwrap().wait_with_output().unwrap();
        assert_eq!(output.stdout, b"x", "{}", text(&output));
    }
    let names: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    names.iter().for_each(|name| scene.file(name, name.as_bytes()));
    let children: Vec<_> = names
        .iter()
        .map(|name| scene.command(&["put", name]).stdout(std::process::Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(scene.listed().len(), 9);
}

fn a_mount_whose_process_was_killed_is_said_so(backend: &'static str) {
    let mut scene = Scene::new(backend, Way::Mount);
    let cid = scene.put(b"x", &[]);
    scene.mounted.take().unwrap().crash();
    scene.fails(&["ls"], 8, "does not answer");
    scene.file("y", b"y");
    // The store itself is free.
    let scene = Scene { way: Way::ByItself, ..scene };
    scene.ok(&["put", "-q", "y"]);
    assert_eq!(scene.ok(&["get", &cid]), b"x");
    super::common::detach(&scene.bench.mnt());
    let scene = Scene { way: Way::Mount, ..scene };
    scene.fails(&["put", "y"], 8, "is not a mount of ipfs-persist-mount");
    assert_eq!(fs::read_dir(scene.bench.mnt()).unwrap().count(), 0);
}

fn a_damaged_block_is_never_given_out(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let (good, bad) = (scene.put(b"good", &[]), scene.put(b"bad", &[]));
        let stored = flatfs_file(&scene.bench.data().join("blocks"), &bad);
        fs::write(&stored, b"bax").unwrap();
        // A mount that has just stored it need not look again.
        let Scene { bench, way, mounted } = scene;
        let remount = mounted.map(Mounted::unmount).map(|()| bench.mount());
        let scene = Scene { bench, way, mounted: remount };
        let says = format!("the stored bytes of {bad} are damaged");
        assert_eq!(scene.fails(&["get", &bad, &good], 4, &says), b"good");
        scene.file("old", b"old");
        scene.fails(&["get", &bad, "-o", "old"], 4, &says);
        assert_eq!(fs::read(scene.files().join("old")).unwrap(), b"old");
        // Once more heals it.
        scene.put(b"bad", &[]);
        assert_eq!(scene.ok(&["get", &bad]), b"bad");
    }
}

fn looking_changes_nothing(backend: &'static str) {
    let scene = Scene::new(backend, Way::Direct);
    let cid = scene.put(b"x", &[]);
    let picture = || {
        let mut seen = snapshot(&scene.bench.data());
        // Taking the lock empties the file when it is let go.
        seen.remove(&scene.bench.data().join("lock"));
        seen
    };
    let before = picture();
    scene.ok(&["ls"]);
    scene.ok(&["get", &cid]);
    scene.ok(&["stat", &cid]);
    scene.ok(&["stat"]);
    super::common::stores::assert_same(&before, &picture(), "after looking");
}

fn a_store_of_kubo_is_worked_on_in_place(backend: &'static str) {
    let bench = super::common::Bench::new(backend);
    let repo = unpack("kubo-flatfs", bench.path());
    let command = |args: &[&str]| {
        let mut command = program();
        command.arg(args[0]).args(["--backend", backend, "--data-path"]).arg(&repo).args(&args[1..]);
        run(&mut command)
    };
    let before = snapshot(&repo);
    let listed = command(&["ls"]);
    assert!(listed.status.success(), "{}", text(&listed));
    assert_eq!(listed.stdout.iter().filter(|byte| **byte == b'\n').count(), STORE_BLOCKS);
    super::common::stores::assert_unchanged(&before, &repo, "looking");
    fs::write(bench.path().join("file"), b"ours").unwrap();
    let stored = command(&["put", bench.path().join("file").to_str().unwrap()]);
    assert!(stored.status.success(), "{}", text(&stored));
    assert!(flatfs_file(&repo.join("blocks"), &cid_of(b"ours")).is_file());
    assert!(command(&["rm", &cid_of(b"ours")]).status.success());
    assert_eq!(command(&["ls"]).stdout, listed.stdout);
}

fn memory_has_blocks_behind_its_mount_only(backend: &'static str) {
    let bench = super::common::Bench::new(backend);
    let cid = cid_of(b"x");
    for args in [&["ls"][..], &["put", "-"], &["get", &cid], &["rm", &cid], &["stat"]] {
        let output = run(program().args(args).args(["--backend", backend]).current_dir(bench.path()));
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains("hint: say where it is mounted: --mount MOUNTPOINT"));
    }
    drop(bench);
    let scene = Scene::new(backend, Way::Mount);
    assert_eq!(scene.put(b"x", &[]), cid);
    assert_eq!(scene.ok(&["get", &cid]), b"x");
    let object = &scene.objects(&["stat", "--json"])[0];
    assert_eq!((object["blocks"].as_u64(), object["durable"].as_bool()), (Some(1), Some(false)));
    assert!(object["data_path"].is_null());
    scene.ok(&["rm", &cid]);
    assert_eq!(scene.listed(), [""; 0]);
}
