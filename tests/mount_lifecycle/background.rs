//! Going to the background, from wherever and with whatever is missing: the command returns when the mount
//! can be used, or with the daemon's error and exit code, and nothing of the caller stays with the daemon.

use super::*;

use std::os::fd::OwnedFd;

use common::Disk;
use ipfs_persist_mount::sys;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Runs a script with bash in the bench's directory. `$IPM` is the program.
fn shell(bench: &Bench, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(bench.path()).stdin(Stdio::null());
    command.env("IPM", env!("CARGO_BIN_EXE_ipfs-persist-mount"));
    command
}

fn succeeds(bench: &Bench, script: &str) -> String {
    let output = run(&mut shell(bench, &format!("set -euo pipefail\n{script}")));
    assert!(output.status.success(), "{script}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// > `--background` returns then with 0, or with the error and its exit code.
#[test]
fn every_exit_code_comes_out_of_the_background() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let held = bench.mount();
    succeeds(&bench, "mkdir free foreign; touch foreign/file");
    let disk = Disk::new(16, &["-m", "0"]);
    let full = disk.as_ref().map_or(String::new(), |disk| {
        let mut filler = File::create(disk.path().join("filler")).unwrap();
        while filler.write(&[7; 4096]).is_ok() {}
        format!("--data-path {}/data free", disk.path().display())
    });
    let cases = [
        (1, "--read-only --data-path absent free", "there is no store"),
        (2, "--backend nonsense free", "no backend named nonsense"),
        (2, "--max-block-size 0 free", "must be more than 0"),
        (3, "--lock-wait 0 --data-path data free", "is in use by process"),
        (4, "--data-path foreign free", "is not a store"),
        (5, "--data-path new nowhere", "does not exist"),
        (5, "--data-path new mnt", "mounted there already"),
        (6, &full, "No space left on device"),
    ];
    for (code, arguments, words) in cases {
        if arguments.is_empty() {
            continue;
        }
        let script = format!("exec \"$IPM\" --background {arguments}");
        let output = run(&mut shell(&bench, &script));
        assert_eq!(output.status.code(), Some(code), "{arguments}: {}", text(&output));
        assert!(said(&output).contains(words) && output.stdout.is_empty(), "{}", text(&output));
        // The code is the same where nobody can be told, and where all of that is closed.
        for elsewhere in ["2> /dev/full", "<&- >&- 2>&-", "2>&-"] {
            let output = run(&mut shell(&bench, &format!("{script} {elsewhere}")));
            assert_eq!(output.status.code(), Some(code), "{arguments} {elsewhere}: {}", text(&output));
            assert_eq!(text(&output).lines().count(), 3, "{}", text(&output));
        }
    }
    assert!(!is_mounted(&bench.path().join("free")));
    held.unmount();
}

#[test]
fn a_mount_in_the_background_does_without_the_callers_files() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    for elsewhere in ["", "<&- >&- 2>&-", ">&- 2>&-", "2> /dev/full", "< /dev/null > /dev/null"] {
        let script = format!("\"$IPM\" --background --lock-wait 0 --data-path data mnt {elsewhere}");
        succeeds(&bench, &script);
        succeeds(&bench, "cp -f /etc/hostname mnt/name; cmp /etc/hostname mnt/name");
        let open = succeeds(
            &bench,
            "pid=$(sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p' mnt/.ipfs-persist/status.json)
             readlink /proc/$pid/fd/[012]",
        );
        assert_eq!(open, "/dev/null\n".repeat(3), "{elsewhere}");
        unmount(&bench.mnt());
    }
}

/// A pipe that is full and that nobody reads.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&write, FcntlArg::F_GETFL).unwrap());
    fcntl(&write, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&write, &[0; 4096]).is_ok() {}
    fcntl(&write, FcntlArg::F_SETFL(flags)).unwrap();
    (read, write)
}

#[test]
fn a_full_pipe_delays_the_error_and_nothing_else() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let (read, write) = full_pipe();
    let mut command = bench.command(&["--background"]);
    command.stdout(write.try_clone().unwrap()).stderr(write);
    let mut child = command.spawn().unwrap();
    drop(command);
    assert_eq!(wait_for(&mut child).code(), Some(0));
    unmount(&bench.mnt());
    drop(read);

    let (read, write) = full_pipe();
    let mut command = bench.command(&["--background", "--read-only", "--data-path", "absent"]);
    command.stderr(write);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut read = File::from(read);
    let mut said = Vec::new();
    read.read_to_end(&mut said).unwrap();
    assert_eq!(wait_for(&mut child).code(), Some(1));
    assert!(String::from_utf8_lossy(&said).contains("there is no store at"));
}

/// > The daemon keeps nothing open that the command was given.
///
/// Regression: a script that mounted with a lock in its hands could never lock again, and who read the
/// other end of a pipe never met its end.
#[test]
fn the_daemon_keeps_nothing_that_the_caller_had_open() {
    if !fuse_available() || !common::need("flock") {
        return;
    }
    let bench = Bench::new("file");
    succeeds(
        &bench,
        r#"
        (
            flock 9
            exec 7> of-the-caller
            "$IPM" --background --log-file log --data-path data mnt
        ) 9> lock
        flock --nonblock lock true
        # This ends when nobody has its other end any more.
        said=$( ( "$IPM" unmount mnt; "$IPM" --background --log-file log --data-path data mnt 8>&1 ) )
        pid=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' mnt/.ipfs-persist/status.json)
        ! readlink /proc/$pid/fd/* | grep -E 'of-the-caller|lock$|pipe' | grep -v "$PWD/data/lock"
        readlink /proc/$pid/fd/2 | grep "$PWD/log"
        "#,
    );
    unmount(&bench.mnt());
}

#[test]
fn a_mount_from_setsid_or_nohup_stays() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    for before in ["setsid", "setsid --wait", "nohup", "timeout 60", "env -i"] {
        // `setsid` of a group leader goes to the background itself.
        let waits = if before == "setsid" { "; while ! mountpoint -q mnt; do :; done" } else { "" };
        let log = bench.path().join("log");
        succeeds(
            &bench,
            &format!(
                "{before} \"$IPM\" --background -v --log-file log --lock-wait 5 --data-path data mnt{waits}"
            ),
        );
        let status = fs::read_to_string(bench.mnt().join(".ipfs-persist/status.json")).unwrap();
        let pid = serde_json::from_str::<serde_json::Value>(&status).unwrap()["pid"].to_string();
        if before == "nohup" {
            assert!(run(Command::new("kill").args(["-HUP", &pid])).status.success());
            assert!(is_mounted(&bench.mnt()), "nohup was to keep it");
            assert!(!fs::read_to_string(&log).unwrap().contains("stopping"));
        }
        unmount(&bench.mnt());
    }
}

/// > If that command is killed before, the start ends too.
#[test]
fn a_start_whose_command_is_killed_leaves_nothing() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let held = bench.mount();
    let other = bench.path().join("other");
    fs::create_dir(&other).unwrap();
    let start = |wait: &str| {
        let mut command = program();
        command.args(["--background", "--lock-wait", wait, "--data-path"]).arg(bench.data()).arg(&other);
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let daemon_of = |child: &Child| {
        let path = format!("/proc/{0}/task/{0}/children", child.id());
        let children = fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().next().map(|pid| pid.parse::<u32>().unwrap())
    };
    // While it waits for the store.
    let mut child = start(LONG);
    eventually("it waits for the lock", || starting::has_open(&child, &bench.data().join("lock")));
    let daemon = daemon_of(&child).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the daemon has ended", || sys::start_time(daemon).is_none());
    held.unmount();
    assert!(!is_mounted(&other));
    // At any moment of a start that succeeds: it is there, or nothing is.
    for round in 0..40 {
        let mut child = start("5");
        // The moment is the case, not a way to wait for something.
        std::thread::sleep(Duration::from_micros(400 * round));
        let daemon = daemon_of(&child);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            unmount(&other);
            continue;
        }
        // Its last words may have been on their way when it was killed: then it is a mount like any other.
        let Some(daemon) = daemon else { continue };
        let usable = || fs::read(other.join(".ipfs-persist/status.json")).is_ok();
        eventually("it ends, or can be used", || sys::start_time(daemon).is_none() || usable());
        if usable() {
            let _ = run(program().args(["unmount", "--timeout", "20"]).arg(&other));
        }
        eventually("the daemon has ended", || sys::start_time(daemon).is_none());
        assert!(!is_mounted(&other), "round {round}");
    }
    bench.mount_with(&["--lock-wait", "0"]).unmount();
}

/// > Where it may not have the memory that a mount needs (`ulimit -v`), the start fails.
///
/// Regression: the command said that all was well, and the daemon aborted at the first request, because
/// the buffers of its loops could not be had.
#[test]
fn with_little_memory_a_mount_can_be_used_or_does_not_start() {
    if !fuse_available() {
        return;
    }
    for backend in ["memory", "file", "redb"] {
        let bench = Bench::new(backend);
        let (mut started, mut refused) = (0, 0);
        for kib in [30_000, 50_000, 60_000, 70_000, 80_000, 90_000, 100_000, 150_000, 300_000, 400_000] {
            let script = format!(
                "ulimit -v {kib}; exec \"$IPM\" --background -q --lock-wait 5 --backend {backend} --data-path data mnt"
            );
            let output = run(&mut shell(&bench, &script));
            if output.status.success() {
                started += 1;
                let content = bytes(kib, 1 << 20);
                write_new(&bench.mnt().join(cid_of(&content)), &content).unwrap();
                assert!(fs::read(bench.mnt().join(cid_of(&content))).unwrap() == content);
                unmount(&bench.mnt());
            } else {
                refused += 1;
                exits(&output, 1, &["bytes more of address space", "ulimit -v"]);
                assert!(!is_mounted(&bench.mnt()));
            }
        }
        assert!(started > 3 && refused > 1, "{backend}: {started} started, {refused} refused");
    }
}
