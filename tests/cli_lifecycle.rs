//! From mount to unmount with the program alone: readiness, the lock, the end of the daemon, and
//! what is left after a crash.
//!
//! Without /dev/fuse or root these tests pass without having tried anything, and say so.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ipfs_persist_mount::sys::{self, FileLock, Holder};

/// A directory with a mount point `mnt` and room for data. What is mounted at the end is detached.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Option<Self> {
        if sys::effective_ids().0 != 0 || sys::open_fuse_device().is_err() {
            eprintln!("skipped: needs root and /dev/fuse");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        Some(Self(dir))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-persist-mount"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.0.path());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.program(args).output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it said.
    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?} said: {text}");
        text
    }

    fn is_mounted(&self) -> bool {
        sys::find(&self.path("mnt")).unwrap().is_some()
    }

    fn holder(&self) -> Holder {
        serde_json::from_slice(&std::fs::read(self.path("data/lock")).unwrap()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        while ipfs_persist_mount::mount::detach(&self.path("mnt"), true).is_ok() {}
    }
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn kill(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// The only child of a process, once it has one.
fn child_of(parent: &Child) -> u32 {
    let path = PathBuf::from(format!("/proc/{0}/task/{0}/children", parent.id()));
    loop {
        let text = std::fs::read_to_string(&path).unwrap();
        if let Some(pid) = text.split_whitespace().next() {
            return pid.parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// > The mount is ready when the store is open, its lock is held, and the kernel has agreed on the
/// > protocol.
/// > `--background` returns then with 0, or with the error and its exit code.
#[test]
fn a_mount_in_the_background_is_ready_when_the_command_returns() {
    let Some(place) = Place::new() else { return };
    assert_eq!(place.done(&["--background", "--data-path", "data", "mnt"]), "");
    let mount = sys::find(&place.path("mnt")).unwrap().unwrap();
    assert_eq!(mount.source, *format!("file:{}", place.path("data").display()));
    std::fs::read_dir(place.path("mnt")).unwrap();
    let holder = place.holder();
    assert_eq!(sys::start_time(holder.pid), Some(holder.start_time));
    assert_eq!(holder.mount_point, Some(place.path("mnt").display().to_string()));
    assert_eq!(std::fs::read_link(format!("/proc/{}/cwd", holder.pid)).unwrap(), Path::new("/"));

    assert_eq!(place.done(&["unmount", "mnt"]), "");
    assert!(!place.is_mounted());
    assert_eq!(sys::start_time(holder.pid), None, "unmount returns when the daemon has ended");
    FileLock::acquire(&place.path("data/lock"), Duration::ZERO, &Holder::current("file", None)).unwrap();
}

#[test]
fn a_store_in_use_is_refused_in_the_foreground_and_in_the_background() {
    let Some(place) = Place::new() else { return };
    place.done(&["--background", "--data-path", "data", "mnt"]);
    std::fs::create_dir(place.path("other")).unwrap();
    for extra in [&[][..], &["--background"]] {
        let args = [extra, &["--lock-wait", "0", "--data-path", "data", "other"]].concat();
        let output = place.run(&args);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        let text = said(&output);
        assert!(text.contains(&format!("mounted at {}", place.path("mnt").display())), "{text}");
        assert!(text.contains("\nhint: "), "{text}");
    }
    let output = place.run(&["--data-path", "data2", "mnt"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(said(&output).contains("mounted there already"), "{}", said(&output));
    place.done(&["unmount", "mnt"]);
}

#[test]
fn a_background_process_that_dies_early_is_reported() {
    let Some(place) = Place::new() else { return };
    place.done(&["--background", "--data-path", "data", "mnt"]);
    std::fs::create_dir(place.path("other")).unwrap();
    let waiting = place
        .program(&["--background", "--lock-wait", "600", "--data-path", "data", "other"])
        .spawn()
        .unwrap();
    kill(child_of(&waiting), "-KILL");
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("killed by SIGKILL"), "{}", said(&output));
    place.done(&["unmount", "mnt"]);
}

#[test]
fn after_a_crash_the_next_start_cleans_up() {
    let Some(place) = Place::new() else { return };
    place.done(&["--background", "--data-path", "data", "mnt"]);
    let holder = place.holder();
    kill(holder.pid, "-KILL");
    assert!(sys::wait_for_exit(holder.pid, holder.start_time, Duration::from_secs(60)).unwrap());
    assert_eq!(std::fs::metadata(place.path("mnt")).unwrap_err().kind(), std::io::ErrorKind::NotConnected);

    let text = place.done(&["--background", "--data-path", "data", "mnt"]);
    assert!(text.contains("whose daemon is dead"), "{text}");
    std::fs::read_dir(place.path("mnt")).unwrap();
    place.done(&["unmount", "mnt"]);
    assert!(!place.is_mounted());
}

#[test]
fn sigterm_unmounts_and_ends_with_success() {
    let Some(place) = Place::new() else { return };
    let args = ["-v", "--data-path", "data", "--log-file", "log", "mnt"];
    let mut daemon = place.program(&args).spawn().unwrap();
    while !place.is_mounted() {
        assert!(daemon.try_wait().unwrap().is_none(), "the mount failed");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::read_dir(place.path("mnt")).unwrap();
    kill(daemon.id(), "-TERM");
    let output = daemon.wait_with_output().unwrap();
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    assert!(!place.is_mounted());
    let log = std::fs::read_to_string(place.path("log")).unwrap();
    assert!(log.contains(&format!("mounted file:{}", place.path("data").display())), "{log}");
}

/// > `--lazy` detaches at once, `--timeout` waits.
#[test]
fn open_files_are_refused_by_name_and_waited_for() {
    let Some(place) = Place::new() else { return };
    place.done(&["--background", "--data-path", "data", "mnt"]);
    let mut user = Command::new("cat").current_dir(place.path("mnt")).stdin(Stdio::piped()).spawn().unwrap();
    let output = place.run(&["unmount", "mnt"]);
    assert_eq!(output.status.code(), Some(8));
    assert!(said(&output).contains(&format!("is in use by cat ({})", user.id())), "{}", said(&output));
    assert!(place.is_mounted());

    let unmount = place.program(&["unmount", "--timeout", "60", "mnt"]).spawn().unwrap();
    drop(user.stdin.take());
    user.wait().unwrap();
    let output = unmount.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!place.is_mounted());
}

#[test]
fn the_memory_backend_says_that_nothing_persists() {
    let Some(place) = Place::new() else { return };
    let text = place.done(&["--background", "--backend", "memory", "--data-path", "data", "mnt"]);
    assert!(text.contains("persists nothing") && text.contains("is left untouched"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!place.path("data").exists());
    place.done(&["unmount", "mnt"]);
}

#[test]
fn mount_helpers_pass_a_source_and_options() {
    let Some(place) = Place::new() else { return };
    let source = format!("file:{}", place.path("data").display());
    place.done(&["-n", &source, "mnt", "-o", "rw,dev,suid,noexec,min_free_space=1MiB"]);
    let mount = sys::find(&place.path("mnt")).unwrap().unwrap();
    assert_eq!(mount.source, *source);
    // A link with the name under which umount(8) looks for a helper.
    let helper = place.path("umount.fuse.ipfs-persist-mount");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ipfs-persist-mount"), &helper).unwrap();
    let output = Command::new(helper).arg(place.path("mnt")).arg("-n").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!place.is_mounted());

    place.done(&["-f", "--data-path", "unmade", "mnt"]);
    assert!(!place.is_mounted() && !place.path("unmade").exists(), "-f only checks");
}
