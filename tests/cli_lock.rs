//! The lock of a data directory between two processes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ipfs_persist_mount::Error;
use ipfs_persist_mount::sys::{FileLock, Holder};

const LOCK_PATH: &str = "TEST_LOCK_PATH";

/// Holds the lock until it is killed or its standard input is closed.
#[test]
#[ignore = "run by the other tests, as another process"]
fn hold_the_lock() {
    let path = std::env::var_os(LOCK_PATH).unwrap();
    let holder = Holder::current("file", Some(Path::new("/mnt/elsewhere")));
    let lock = FileLock::acquire(Path::new(&path), Duration::ZERO, &holder).unwrap();
    println!("\nlocked");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(lock);
}

fn start_holder(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_the_lock", "--ignored", "--nocapture"])
        .env(LOCK_PATH, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "locked"), "the other process did not get the lock");
    child
}

#[test]
fn another_process_is_refused_and_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let mut child = start_holder(&path);
    let inode = std::fs::metadata(&path).unwrap().ino();

    let own = Holder::current("file", None);
    match FileLock::acquire(&path, Duration::ZERO, &own) {
        Err(Error::Locked { holder, .. }) => {
            let expected = format!("process {} on host {}, mounted at /mnt/elsewhere", child.id(), own.host);
            assert_eq!(holder, expected);
        }
        other => panic!("expected a refusal, got {other:?}"),
    }

    drop(child.stdin.take());
    let lock = FileLock::acquire(&path, Duration::from_secs(60), &own).unwrap();
    assert!(child.wait().unwrap().success());
    drop(lock);
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode, "the lock file is never replaced");
}

#[test]
fn a_killed_holder_leaves_its_description_and_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let mut child = start_holder(&path);
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Holder = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(left.pid, child.id());

    let own = Holder::current("file", None);
    let _lock = FileLock::acquire(&path, Duration::ZERO, &own).unwrap();
    let written: Holder = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(written, own);
}
