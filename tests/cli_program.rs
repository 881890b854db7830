//! The program as scripts see it: exit codes, messages, and the commands that need no mount.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ipfs_persist_mount::datastore::BACKENDS;

const EMPTY: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
const HELLO_WORLD: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
/// An empty UnixFS directory, which is the same in every IPFS node.
const EMPTY_DIRECTORY: &[u8] = b"\x0a\x02\x08\x01";
const EMPTY_DIRECTORY_V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
const EMPTY_DIRECTORY_V1: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

/// The program, with nothing of ours in its environment, in a directory of its own.
fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-persist-mount"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(dir);
    command.stdin(Stdio::null());
    command
}

fn run<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Output {
    program(dir).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A directory with an empty one, a file, and a directory that is not empty.
fn places() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("mnt")).unwrap();
    std::fs::create_dir(dir.path().join("full")).unwrap();
    std::fs::write(dir.path().join("full/file"), "").unwrap();
    std::fs::write(dir.path().join("empty"), "").unwrap();
    std::fs::write(dir.path().join("hello"), "hello world").unwrap();
    dir
}

#[test]
fn mistakes_have_their_exit_code_and_say_what_is_wrong() {
    let dir = places();
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 2, "MOUNTPOINT"),
        (&["--frobnicate", "mnt"], 2, "--frobnicate"),
        (&["--min-free-space", "1 hogshead", "mnt"], 2, "a size is a number of bytes"),
        (&["--lock-wait", "soon", "mnt"], 2, "a time is a number of seconds"),
        (&["--verify-reads", "often", "mnt"], 2, "always"),
        (&["--cid-hash", "md5", "mnt"], 2, "no hash function named md5"),
        (&["--backend", "nosuch", "mnt"], 2, "there is no backend named nosuch; known are "),
        (&["-o", "ro,frobnicate", "mnt"], 2, "no mount option named frobnicate"),
        (&["-o", "lock_wait", "mnt"], 2, "write lock_wait=VALUE"),
        (&["--strict", "backends"], 2, "--strict in front of backends"),
        (&["--backend", "file", "demo"], 2, "--backend in front of demo"),
        (&["unmont", "mnt"], 2, "unmont is neither a command nor the source of a mount"),
        (&["missing"], 5, "hint: create it first: `mkdir -p missing`"),
        (&["empty"], 5, "not a directory"),
        (&["full"], 5, "--allow-non-empty"),
        (&["--data-path", "mnt/data", "mnt"], 5, "inside the mount"),
        (&["unmount"], 2, "MOUNTPOINT"),
        (&["unmount", "mnt"], 8, "mnt is not a mount of ipfs-persist-mount"),
        (&["unmount", "missing", "/proc"], 8, "/proc is not a mount of ipfs-persist-mount"),
        (&["cid"], 2, "FILE"),
        (&["cid", "--hash", "md5", "hello"], 2, "hint: use one of sha2-256"),
        (&["cid", "missing"], 1, "ipfs-persist-mount: missing: open: No such file"),
        (&["cid", "mnt"], 1, "ipfs-persist-mount: mnt: read: Is a directory"),
    ];
    for (args, code, text) in cases {
        let output = run(dir.path(), args);
        let said = stderr(&output);
        assert!(said.contains(text), "{args:?} said: {said}");
        assert_eq!(output.status.code(), Some(*code), "{args:?} said: {said}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "a mistake makes nothing");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let dir = places();
    let help = run(dir.path(), &["--help"]);
    for text in
        ["unmount", "demo", "backends", "cid", "BACKEND]", "IPFS_PERSIST_MOUNT_LOCK_WAIT", "Exit codes"]
    {
        assert!(stdout(&help).contains(text), "{text}");
    }
    assert_eq!((help.status.code(), stderr(&help).as_str()), (Some(0), ""));
    let version = run(dir.path(), &["--version"]);
    assert_eq!(stdout(&version), format!("ipfs-persist-mount {}\n", env!("CARGO_PKG_VERSION")));
    let cid_help = stdout(&run(dir.path(), &["cid", "--help"]));
    assert!(
        cid_help.contains("blake3") && cid_help.contains("dag-cbor"),
        "the names to choose from are listed"
    );
}

#[test]
fn the_environment_means_what_the_flags_mean() {
    let dir = places();
    let said = |name: &str, value: &str, args: &[&str]| {
        stderr(&program(dir.path()).env(name, value).args(args).output().unwrap())
    };
    assert!(said("BACKEND", "nosuch", &["mnt"]).contains("no backend named nosuch"));
    assert!(said("BACKEND", "nosuch", &["--backend", "another", "mnt"]).contains("named another"));
    assert!(said("BACKEND", "nosuch", &["-o", "backend=another", "mnt"]).contains("named another"));
    assert!(said("DATA_PATH", "mnt/data", &["mnt"]).contains("inside the mount"));
    assert!(said("IPFS_PERSIST_MOUNT_MAX_BLOCK_SIZE", "10", &["cid", "hello"]).contains("at most 10 bytes"));
    assert!(said("IPFS_PERSIST_MOUNT_STRICT", "perhaps", &["mnt"]).contains("--strict"));
    assert_eq!(said("BACKEND", "", &["cid", "hello"]), "", "set to nothing is not set");
    assert_eq!(said("IPFS_PERSIST_MOUNT_MAX_BLOCK_SIZE", "", &["cid", "hello"]), "");
}

#[test]
fn cid_prints_the_cid_first_and_then_the_file() {
    let dir = places();
    std::fs::write(dir.path().join("dir.bin"), EMPTY_DIRECTORY).unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["cid", "empty"], &format!("{EMPTY}  empty\n")),
        (&["cid", "hello", "empty"], &format!("{HELLO_WORLD}  hello\n{EMPTY}  empty\n")),
        (&["cid", "--codec", "dag-pb", "dir.bin"], &format!("{EMPTY_DIRECTORY_V1}  dir.bin\n")),
        (&["cid", "--cid-version", "0", "dir.bin"], &format!("{EMPTY_DIRECTORY_V0}  dir.bin\n")),
    ];
    for (args, expected) in cases {
        let output = run(dir.path(), args);
        assert_eq!(stdout(&output), *expected);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    }
}

#[test]
fn cid_reads_standard_input() {
    let dir = places();
    let mut child =
        program(dir.path()).args(["cid", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello world").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), format!("{HELLO_WORLD}  -\n"));
}

#[test]
fn cid_goes_on_after_a_file_that_is_missing_or_too_large() {
    let dir = places();
    let output = run(dir.path(), &["cid", "--max-block-size", "10", "missing", "hello", "empty"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), format!("{EMPTY}  empty\n"));
    let said = stderr(&output);
    assert!(said.contains("missing: open:"), "{said}");
    assert!(said.contains("hello: a block may have at most 10 bytes here\nhint: split"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = places();
    let script =
        format!("{} cid $(yes hello | head -n 5000) | head -n 1", env!("CARGO_BIN_EXE_ipfs-persist-mount"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    assert_eq!(stdout(&output), format!("{HELLO_WORLD}  hello\n"));
    assert_eq!(stderr(&output), "");
}

#[test]
fn backends_shows_every_row_of_the_table() {
    let dir = places();
    let table = stdout(&run(dir.path(), &["backends"]));
    let json = stdout(&run(dir.path(), &["backends", "--json"]));
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(rows.len(), BACKENDS.len());
    for ((line, row), backend) in table.lines().skip(1).zip(&rows).zip(BACKENDS) {
        assert_eq!(line.split_whitespace().next(), Some(backend.name));
        assert!(line.contains(backend.engine) && line.contains(backend.version), "{line}");
        let good_for = table.lines().find(|line| line.ends_with(backend.about)).unwrap();
        assert_eq!(good_for.split_whitespace().next(), Some(backend.name));
        let expected = serde_json::json!({
            "name": backend.name,
            "aliases": backend.aliases,
            "engine": backend.engine,
            "version": backend.version,
            "built_in": backend.built_in,
            "durable": backend.durable,
            "power_safe": backend.power_safe,
            "compression": backend.compression,
            "read_only": backend.read_only,
            "file_per_block": backend.file_per_block,
            "default_path": backend.default_path,
            "about": backend.about,
        });
        assert_eq!(*row, expected);
    }
}
