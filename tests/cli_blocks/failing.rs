//! What is refused, in the same words on every way.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use super::common::rows::Case;
use super::common::{bytes, cid_of, text, wait_for};
use super::scene::{Scene, WAYS, Way};
use crate::cases;

pub const CASES: &[Case] = cases![
    a_file_that_fails_does_not_stop_the_others,
    bytes_that_are_not_the_cid_are_refused,
    what_cannot_be_a_cid_is_said_so,
    an_absent_block_leaves_no_file,
    wrong_usage_is_refused_before_anything_is_opened,
    free_space_is_left,
    a_signal_ends_a_command_that_waits,
];

fn a_file_that_fails_does_not_stop_the_others(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        scene.file("good", b"good");
        scene.file("large", &bytes(1, 5000));
        scene.file("last", b"last");
        fs::create_dir(scene.files().join("dir")).unwrap();
        let args = ["put", "--max-block-size", "4KiB", "good", "missing", "dir", "large", "last"];
        let printed = scene.fails(&args, 1, "missing: open: No such file or directory");
        let expected = format!("{}  good\n{}  last\n", cid_of(b"good"), cid_of(b"last"));
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
        scene.fails(&args, 1, "dir: read: Is a directory");
        scene.fails(&args, 1, "large: a block may have at most 4096 bytes here");
        let objects = scene.objects(&[&args[..1], &["--json"], &args[1..]].concat());
        let status: Vec<&str> = objects.iter().map(|object| object["status"].as_str().unwrap()).collect();
        assert_eq!(status, ["ok", "failed", "failed", "failed", "ok"]);
        assert_eq!((&objects[3]["file"], &objects[3]["exit_code"]), (&json!("large"), &json!(1)));
        assert!(objects[3]["error"].as_str().unwrap().contains("at most 4096 bytes"));
        assert!(objects[3]["hint"].as_str().unwrap().contains("--max-block-size"));
        assert_eq!(scene.listed().len(), 2);
    }
}

fn bytes_that_are_not_the_cid_are_refused(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let cid = cid_of(b"right");
        scene.put(b"other", &[]);
        scene.file("wrong", b"wrong");
        scene.fails(
            &["put", "--as", &cid, "wrong"],
            1,
            &format!("the bytes written to {cid} are not that block"),
        );
        scene.fails(&["get", &cid], 1, "no such block");
        scene.file("right", b"right");
        assert_eq!(scene.ok_text(&["put", "--as", &cid.to_uppercase(), "right"]), format!("{cid}  right\n"));
        assert_eq!(scene.ok(&["get", &cid]), b"right");
    }
}

fn what_cannot_be_a_cid_is_said_so(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let cid = scene.put(b"x", &[]);
        let cut = &cid[..cid.len() - 1];
        for command in ["get", "stat", "rm"] {
            scene.fails(&[command, cut], 1, &format!("{cut} is not a CID"));
            scene.fails(&[command, ".ipfs-persist"], 1, ".ipfs-persist is not a CID");
            scene.fails(&[command, "../../x"], 1, "../../x is not a CID");
            let objects = scene.objects(
                &[command, "--json", "--output-dir=."][..if command == "get" { 3 } else { 2 }]
                    .iter()
                    .copied()
                    .chain([cut, cid.as_str()])
                    .collect::<Vec<_>>(),
            );
            assert_eq!((&objects[0]["status"], &objects[0]["asked"]), (&json!("failed"), &json!(cut)));
            assert_eq!(objects[1]["status"], "ok", "{command} goes on");
        }
    }
}

fn an_absent_block_leaves_no_file(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let there = scene.put(b"there", &[]);
        let absent = cid_of(b"absent");
        scene.file("old", b"old");
        scene.fails(&["get", &absent, "-o", "old"], 1, "no such block");
        scene.fails(&["get", &absent, "-o", "new"], 1, "no such block");
        assert_eq!(fs::read(scene.files().join("old")).unwrap(), b"old");
        assert_eq!(scene.fails(&["get", &absent, &there], 1, "no such block"), b"there");
        fs::create_dir(scene.files().join("out")).unwrap();
        scene.fails(&["get", "--output-dir", "out", &absent, &there], 1, "no such block");
        assert_eq!(super::common::names(&scene.files().join("out")), [there.as_str()]);
        scene.fails(&["get", "-o", "missing/file", &there], 1, "No such file or directory");
        scene.fails(&["stat", &absent], 1, &format!("{absent}: no such block or file"));
        assert!(!scene.files().join("new").exists());
    }
}

fn wrong_usage_is_refused_before_anything_is_opened(backend: &'static str) {
    let scene = Scene::new(backend, Way::Direct);
    let cid = cid_of(b"x");
    for (args, says) in [
        (&["put", "-", "-"][..], "standard input can be stored once only"),
        (&["put", "--as", &cid, "a", "b"], "--as takes a single file"),
        (&["put", "--hash", "md5", "a"], "no hash function named md5"),
        (&["put"], "FILE"),
        (&["get"], "CID"),
        (&["get", "--json", &cid], "cannot go to standard output"),
        (&["get", "-o", "a", &cid, &cid], "--output takes a single block"),
        (&["get", "-o", "a", "--output-dir", ".", &cid], "exclude each other"),
        (&["get", "--output-dir", "missing", &cid], "mkdir -p missing"),
        (&["rm"], "CID"),
        (&["ls", "--backend", "nosuch"], "there is no backend named nosuch"),
    ] {
        scene.fails(args, 2, says);
    }
    assert!(!scene.bench.data().exists());
}

fn free_space_is_left(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::with(backend, way, &["--min-free-space", "1000TB"]);
        scene.file("one", b"one");
        scene.file("two", b"two");
        let args = ["put", "--json", "--min-free-space", "1000TB", "one", "two"];
        scene.fails(&args, 6, "1000000000000000 reserved");
        let objects = scene.objects(&args);
        assert!(objects.iter().all(|object| object["status"] == "failed" && object["exit_code"] == 6));
        assert_eq!((objects.len(), scene.listed()), (2, vec![]));
    }
}

fn a_signal_ends_a_command_that_waits(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let there = scene.put(b"there", &[]);
        scene.file("file", b"file");
        for signal in ["INT", "TERM"] {
            let mut command = scene.command(&["put", "file", "-"]);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let listens = || {
                let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
                let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
                u64::from_str_radix(caught, 16).unwrap() & 0x4002 == 0x4002
            };
            super::common::wait_until("it listens for signals", listens);
            let pid = child.id().to_string();
            assert!(
                std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success()
            );
            assert_eq!(wait_for(&mut child).code(), Some(1));
            let output = child.wait_with_output().unwrap();
            assert!(text(&output).contains(&format!("stopped by SIG{signal}")), "{}", text(&output));
        }
        assert_eq!(scene.listed(), [there.as_str()]);
    }
}
