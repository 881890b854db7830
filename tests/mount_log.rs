//! The log of a mount: what is in it, in which form, and how much; and where it cannot be written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};

use common::blocks::flatfs_file;
use common::{
    Bench, Mounted, bytes, cid_of, detach, errno, eventually, fuse_available, is_root, need, put, run, text,
    wait_for,
};

/// A mount with a damaged block that somebody has tried to read, and a refused write.
fn troubled(bench: &Bench, flags: &[&str]) -> (Mounted, String) {
    let cid = cid_of(b"damaged");
    let mount = bench.mount();
    put(mount.path(&cid), b"damaged").unwrap();
    mount.unmount();
    fs::write(flatfs_file(&bench.data().join("blocks"), &cid), b"DAMAGED").unwrap();
    let mount = bench.mount_with(flags);
    assert_eq!(errno(fs::read(mount.path(&cid))), libc::EIO);
    assert_eq!(errno(put(mount.path(cid_of(b"right")), b"wrong")), libc::EBADMSG);
    (mount, cid)
}

/// > Lines of the log name the CID and the cause.
/// > Without flags the log has what is broken, with `-v` also every refusal; with `-q` only errors.
#[test]
fn the_log_names_the_cid_and_the_cause() {
    if !fuse_available() {
        return;
    }
    for (flags, damage, refusal) in [(&[][..], true, false), (&["-v"], true, true), (&["-q"], true, false)] {
        let bench = Bench::new("file");
        let (mount, cid) = troubled(&bench, flags);
        let log = mount.log();
        let has = |words: &[&str]| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert_eq!(has(&["ERROR", "damaged", &cid]), damage, "{flags:?}: {log}");
        let warned = has(&["WARN", "failed", "operation=\"open\"", &cid]);
        assert_eq!(warned, !flags.contains(&"-q"), "{flags:?}: {log}");
        let refused = has(&["INFO", "refused", "operation=\"close\"", &cid_of(b"right"), "hash to"]);
        assert_eq!(refused, refusal, "{flags:?}: {log}");
        mount.unmount();
    }
}

/// > With `--log-format json` each line is a JSON object.
#[test]
fn each_line_is_an_object_for_programs() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let (mount, cid) = troubled(&bench, &["-v", "--log-format", "json"]);
    put(mount.path("two\nlines\u{1b}[2J"), b"x").unwrap();
    assert_eq!(errno(fs::create_dir(mount.path("two\nlines\u{1b}[2J-dir"))), libc::EPERM);
    let log = mount.log_path();
    mount.unmount();
    let log = fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let damage = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!((&damage["cid"], damage["timestamp"].is_string()), (&cid.into(), true), "{damage}");
    let refusal = lines.iter().find(|line| line["message"] == "refused").unwrap();
    assert_eq!(refusal["operation"], "close");
    assert!(refusal["error"].as_str().unwrap().contains(&cid_of(b"right")), "{refusal}");
    assert!(lines.iter().any(|line| line["operation"] == "mkdir"), "{log}");
}

/// > A line that comes again and again is logged at most a hundred times in ten seconds; the log says
/// > that lines were left out.
/// > The counters count all.
#[test]
fn the_log_does_not_drown() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("memory");
    let mount = bench.mount_with(&["-v"]);
    for n in 0..300 {
        assert_eq!(errno(fs::create_dir(mount.path(format!("dir-{n}")))), libc::EPERM);
    }
    let log = mount.log();
    // Ten seconds may end in between.
    let logged = log.matches("refused").count();
    assert!((100..=200).contains(&logged), "{logged}");
    assert!(log.contains("lines like the next one are left out"), "{log}");
    assert_eq!(mount.count("refusals"), 300);
    assert_eq!(errno(put(mount.path("large"), &bytes(1, 3 << 20))), libc::EFBIG);
    assert_eq!(mount.errors().lines().count(), 100, "the last hundred");
}

/// > Bytes of blocks are never in the log, and nothing of the environment.
#[test]
fn nothing_secret_is_logged() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let mut command = bench.command(&["-vvv"]);
    command.env("SOME_TOKEN", "env-secret-4711");
    let mount = Mounted::start(command, bench.mnt());
    let content = b"block-secret-4711";
    put(mount.path(cid_of(content)), content).unwrap();
    assert_eq!(fs::read(mount.path(cid_of(content))).unwrap(), content);
    assert_eq!(errno(put(mount.path(cid_of(b"x")), content)), libc::EBADMSG);
    put(mount.path("name"), content).unwrap();
    let log = mount.log_path();
    mount.unmount();
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("refused") && !log.contains("secret-4711"), "{log}");
}

/// A journal of our own: it takes datagrams at the place where systemd's does, in a mount namespace
/// in which nobody else sees it.
const JOURNAL: &str = r#"
set -euo pipefail
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
python3 -c '
import socket
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
open("bound", "w").close()
with open("journal", "wb") as log:
    while (line := journal.recv(65536)) != b"end":
        log.write(line + b"--\n")
        log.flush()
' &
until [ -e bound ]; do :; done
finish() {
    umount -l mnt 2>/dev/null || true
    python3 -c '
import socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"end", "/run/systemd/journal/socket")'
    wait
}
trap finish EXIT
"$IPM" -v --background --backend memory $FLAGS mnt
mkdir mnt/dir 2>/dev/null && exit 1
"$IPM" unmount mnt
"#;

/// > With `--log-format journald` lines go to the journal of systemd, each value in a field of its own.
#[test]
fn the_journal_gets_fields() {
    if !fuse_available() || !["unshare", "python3"].into_iter().all(need) {
        return;
    }
    if !is_root() {
        return eprintln!("SKIPPED: a journal of its own needs root");
    }
    let bench = Bench::new("memory");
    let output = run(Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "bash", "-c", JOURNAL])
        .current_dir(bench.path())
        .env("IPM", env!("CARGO_BIN_EXE_ipfs-persist-mount"))
        .env("FLAGS", "--log-format journald"));
    assert!(output.status.success(), "{}", text(&output));
    let journal = String::from_utf8_lossy(&fs::read(bench.path().join("journal")).unwrap()).into_owned();
    let refusal =
        journal.split("--\n").find(|entry| entry.contains("IPFS_PERSIST_OPERATION")).expect(&journal);
    for field in ["mkdir", "PRIORITY", "SYSLOG_IDENTIFIER", "IPFS_PERSIST_PID", "refused"] {
        assert!(refusal.contains(field), "{field}: {refusal}");
    }
    // Where there is no journal, that is an error and not a silent mount.
    let output = run(&mut bench.command(&["--log-format", "journald", "--background"]));
    if !output.status.success() {
        assert!(text(&output).contains("journal"), "{}", text(&output));
    }
    detach(&bench.mnt());
}

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
