//! What the tests with real mounts share.
//!
//! Every mount has a watchdog that aborts its FUSE connection, uses a directory of its own, and is
//! unmounted when it is dropped; processes are ended by their pid.

#![allow(dead_code, unused_imports, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub mod blocks;
pub mod disk;
pub mod mounted;
pub mod raw;
pub mod rows;
pub mod stores;
pub mod trace;
pub mod users;

pub use disk::Disk;
pub use mounted::{Bench, Mounted};
pub use trace::Trace;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ipfs_persist_mount::block::{Block, CidOptions, canonical};
use ipfs_persist_mount::datastore::BACKENDS;
use tempfile::TempDir;

/// How long one mount may live before its connection is aborted.
const WATCHDOG: Duration = Duration::from_secs(120);
/// How long a mount may take to become ready, or a process to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether mounts can be made here. In CI it is an error if not; elsewhere the skip is loud.
pub fn fuse_available() -> bool {
    let available = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
    if !available {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI has no usable /dev/fuse");
        eprintln!("SKIPPED, because /dev/fuse is missing or may not be opened: this test proved nothing");
    }
    available
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Names a copy of the program for a test that may not run it where it was built.
pub const PROGRAM: &str = "IPFS_PERSIST_TEST_PROGRAM";

/// The program under test.
pub fn program() -> Command {
    let built = env!("CARGO_BIN_EXE_ipfs-persist-mount");
    let mut command = Command::new(std::env::var_os(PROGRAM).unwrap_or(built.into()));
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name == "BACKEND" || name == "DATA_PATH" || name_text.starts_with("IPFS_PERSIST_MOUNT_") {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end and gives its output.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a shell script with bash in `dir`.
pub fn sh(dir: &Path, script: &str) -> Output {
    run(Command::new("bash").arg("-c").arg(script).current_dir(dir).stdin(Stdio::null()))
}

/// As [`sh`], and it must succeed; gives standard output.
pub fn sh_ok(dir: &Path, script: &str) -> String {
    let output = sh(dir, script);
    assert!(output.status.success(), "{script}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that a command has said.
pub fn text(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The CID (v1, raw, sha2-256) of some bytes.
pub fn cid_of(bytes: &[u8]) -> String {
    let block =
        Block::of(bytes.to_vec().into(), &CidOptions::default(), std::time::SystemTime::now()).unwrap();
    canonical(block.key(), block.meta().cid_form)
}

/// Bytes that differ for every seed and do not repeat.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(next).flat_map(u64::to_le_bytes).take(length).collect()
}

/// The errno of a result that must be an error.
pub fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("it should have been refused").raw_os_error().expect("an errno")
}

/// Names in a directory, in the order in which it gives them.
pub fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The names of the backends that are in this build.
pub fn backends() -> Vec<&'static str> {
    BACKENDS.iter().filter(|row| row.built_in).map(|row| row.name).collect()
}

/// The names of the backends whose blocks survive a remount.
pub fn durable_backends() -> Vec<&'static str> {
    BACKENDS.iter().filter(|row| row.built_in && row.durable).map(|row| row.name).collect()
}

/// The names of those that can be opened without writing anything.
pub fn read_only_backends() -> Vec<&'static str> {
    BACKENDS.iter().filter(|row| row.built_in && row.durable && row.read_only).map(|row| row.name).collect()
}

/// Waits a bounded time for a process that should end.
pub fn wait_for(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("process {} did not end", child.id());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits a bounded time until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether something is mounted on a directory, dead or alive.
pub fn is_mounted(mnt: &Path) -> bool {
    mount_entry(mnt).is_some()
}

fn mount_entry(mnt: &Path) -> Option<ipfs_persist_mount::sys::MountEntry> {
    ipfs_persist_mount::sys::find(mnt).unwrap()
}

/// Detaches whatever is mounted there.
pub fn detach(mnt: &Path) {
    if !is_mounted(mnt) {
        return;
    }
    let command = if is_root() { ["umount", "-l"] } else { ["fusermount3", "-uz"] };
    let _ = Command::new(command[0]).arg(command[1]).arg(mnt).stderr(Stdio::null()).status();
}

/// Aborts the mount's FUSE connection, and kills its process, if it is still there after
/// [`WATCHDOG`]: a hang becomes a failure.
pub fn watch(mnt: &Path, pid: u32) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    let minor = mount_entry(mnt).map(|entry| entry.device.1);
    std::thread::spawn(move || {
        if receiver.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("WATCHDOG: a mount hangs; aborting its connection");
            if let Some(minor) = minor {
                abort_connection(minor);
            }
            let _ = Command::new("kill").arg("-KILL").arg(pid.to_string()).status();
        }
    });
    sender
}

/// Aborts a FUSE connection.
pub fn abort_connection(minor: u32) {
    let control = Path::new("/sys/fs/fuse/connections");
    if fs::read_dir(control).is_ok_and(|mut entries| entries.next().is_none()) {
        let _ = Command::new("mount").args(["-t", "fusectl", "fusectl"]).arg(control).status();
    }
    if let Ok(mut abort) =
        fs::OpenOptions::new().write(true).open(control.join(minor.to_string()).join("abort"))
    {
        let _ = abort.write_all(b"1");
    }
}

/// A number that no other call in this process gives.
pub fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whether a program can be found.
pub fn has(program: impl AsRef<OsStr>) -> bool {
    let found = Command::new("which").arg(program).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// As [`eventually`], asking again at once: for what costs nothing to ask and comes within moments.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// Creates a file, writes it and closes it.
pub fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(content)?;
    close(file)
}

/// The CID of some bytes in another form: version, codec and hash function by their names.
pub fn cid_as(content: &[u8], version: &str, codec: &str, hash: &str) -> String {
    let options = CidOptions::from_names(Some(version), Some(codec), Some(hash)).unwrap();
    let block = Block::of(content.to_vec().into(), &options, std::time::SystemTime::now()).unwrap();
    canonical(block.key(), block.meta().cid_form)
}

/// Whether a program is there that a test needs; the skip is loud.
pub fn need(program: &str) -> bool {
    let found = has(program);
    if !found {
        eprintln!("SKIPPED, because {program} is not installed: this part of the test proved nothing");
    }
    found
}

/// Closes a file and says what close(2) said, which dropping swallows.
pub fn close(file: fs::File) -> std::io::Result<()> {
    nix::unistd::close(file).map_err(std::io::Error::from)
}

/// Creates or truncates a file, writes everything and closes it.
pub fn put(path: impl AsRef<Path>, content: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(content)?;
    close(file)
}

/// Runs a Python program in `dir`; it must succeed. Gives what it printed.
pub fn python(dir: &Path, program: &str) -> String {
    let output = run(Command::new("python3").arg("-c").arg(program).current_dir(dir).stdin(Stdio::null()));
    assert!(output.status.success(), "{program}\n{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs every case with every backend.
pub fn run_product(cases: &[rows::Case]) -> ! {
    rows::main(&[(backends(), cases)])
}

impl Drop for Bench {
    /// A daemon in the background would else outlive a test that has failed.
    fn drop(&mut self) {
        if ipfs_persist_mount::sys::find(&self.mnt()).is_ok_and(|entry| entry.is_some()) {
            detach(&self.mnt());
        }
    }
}

/// Runs a command that unmounts, again while it says that the mount is busy: see
/// [`Mounted::unmount`].
pub fn unmount_by(command: &mut Command) {
    eventually("unmounted", || {
        let output = run(command);
        assert!(output.status.success() || text(&output).contains("busy"), "{}", text(&output));
        output.status.success()
    });
}
