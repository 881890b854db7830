//! The log of a mount where it cannot be written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};

use common::{Bench, cid_of, detach, eventually, fuse_available, put, wait_for};

/// Regression: a warning that could not be written ended the daemon, and every open file with it.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let mut child = bench.command(&["-vv"]).stdout(full()).stderr(full()).spawn().unwrap();
    eventually("mounted", || bench.mnt().join(".ipfs-persist/status.json").exists());
    assert_eq!(
        put(bench.mnt().join(cid_of(b"other")), b"wrong").unwrap_err().raw_os_error(),
        Some(libc::EBADMSG)
    );
    put(bench.mnt().join(cid_of(b"right")), b"right").unwrap();
    assert_eq!(fs::read(bench.mnt().join(cid_of(b"right"))).unwrap(), b"right");
    let asked = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(asked.success());
    let ended = wait_for(&mut child);
    detach(&bench.mnt());
    assert!(ended.success(), "{ended}");
}
