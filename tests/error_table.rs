//! The table of errors against `docs/ERRORS.md`, and the exit codes against `--help`.
//!
//! `IPFS_PERSIST_TEST_UPDATE=1 cargo test --release --test error_table` writes the document.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipfs_persist_mount::Error;
use ipfs_persist_mount::error::ExitCode;

const INTRODUCTION: &str = "\
# Errors

Every error of the program has a message, an errno (what a system call in the mount returns), an exit
code (what a command ends with) and, where the message does not say it already, a hint: what to do
next. On a terminal that is one line and a line that begins with `hint:`; in a mount, the file
`.ipfs-persist/errors` has the last hundred refusals with all of it.

The exit codes are described in the README. A mismatch between this table and the program fails
`tests/error_table.rs`, which also writes it. Names, paths and numbers are examples.

";

const SYSTEM: &str = "
## Errors of the system

What the system says goes through with its own errno, behind what was being done.

";

/// One example of every error, with the name of its variant.
fn examples() -> Vec<(&'static str, Error)> {
    let mut examples = in_a_mount();
    examples.extend(of_the_store());
    examples.extend(of_mounting());
    examples
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn source(errno: i32) -> Arc<io::Error> {
    Arc::new(io::Error::from_raw_os_error(errno))
}

fn in_a_mount() -> Vec<(&'static str, Error)> {
    let (cid, name) = (text("bafkreic..."), text("photo.jpg"));
    let path = PathBuf::from("/data");
    vec![
        ("NameInvalid", Error::NameInvalid { name: cid.clone(), why: text("it ends too early") }),
        ("NameTooLong", Error::NameTooLong { length_bytes: 300 }),
        ("HashUnknown", Error::HashUnknown { code: 0x99 }),
        ("HashRefused", Error::HashRefused { code: 0xd5, why: "it is broken" }),
        ("NameNotCid", Error::NameNotCid { name: name.clone() }),
        ("Mismatch", Error::Mismatch { cid: cid.clone(), computed: text("bafkreid...") }),
        ("Differs", Error::Differs { cid: cid.clone(), at_byte: 7 }),
        ("Damaged", Error::Damaged { cid }),
        ("TooBig", Error::TooBig { limit_bytes: 2 << 20 }),
        ("NoSpace", Error::NoSpace { path: path.clone(), free_bytes: 1000, reserve_bytes: 2000 }),
        (
            "EngineNeedsSpace",
            Error::EngineNeedsSpace { path: path.clone(), free_bytes: 1000, needed_bytes: 2000 },
        ),
        ("NoInodes", Error::NoInodes { path, free: 7 }),
        ("MemoryFull", Error::MemoryFull { limit_bytes: 1 << 30 }),
        ("StagingFull", Error::StagingFull { limit_bytes: 256 << 20 }),
        ("NamesFull", Error::NamesFull { limit: 1000 }),
        ("NotFound", Error::NotFound),
        ("AttributeMissing", Error::AttributeMissing),
        ("Exists", Error::Exists),
        ("Stale", Error::Stale),
        ("Stopping", Error::Stopping),
        ("ReadOnly", Error::ReadOnly),
        ("NotPermitted", Error::NotPermitted { what: "no links can be made here" }),
        ("AccessDenied", Error::AccessDenied),
        ("BlockInUse", Error::BlockInUse { name }),
        ("InvalidRequest", Error::InvalidRequest { what: "this is not a directory" }),
        ("NotSupported", Error::NotSupported { what: "files can only be extended here" }),
    ]
}

fn of_the_store() -> Vec<(&'static str, Error)> {
    let path = PathBuf::from("/data");
    vec![
        ("Usage", Error::Usage { what: text("there is no CID version 7"), hint: text("use 0 or 1") }),
        ("BackendUnknown", Error::BackendUnknown { name: text("x"), known: text("memory, file") }),
        ("BackendNotBuilt", Error::BackendNotBuilt { name: "pebble", engine: "RocksDB", feature: "rocksdb" }),
        ("BackendMissing", Error::BackendMissing { path: path.clone(), backend: text("x") }),
        (
            "BackendMismatch",
            Error::BackendMismatch { path: path.clone(), found: text("file"), asked: text("x") },
        ),
        (
            "Locked",
            Error::Locked { path: path.clone(), holder: text("process 7 on host h, mounted at /mnt") },
        ),
        (
            "LockedByProgram",
            Error::LockedByProgram {
                path: path.clone(),
                holder: text("Kubo (process 7)"),
                release: "`ipfs shutdown`",
            },
        ),
        (
            "BesideUnwritable",
            Error::BesideUnwritable {
                path: PathBuf::from("/data/blocks"),
                beside: PathBuf::from("/data/.blocks.ipfs-persist"),
                source: source(libc::EACCES),
            },
        ),
        ("FormatNewer", Error::FormatNewer { path: path.clone(), found: 2, known: 1 }),
        (
            "StoreForeign",
            Error::StoreForeign {
                path: path.clone(),
                what: text("it holds files of LevelDB made by another program"),
                hint: text("as the files are, for example: choose an empty directory with --data-path"),
            },
        ),
        (
            "StoreDamaged",
            Error::StoreDamaged { path: path.clone(), what: text("blocks is missing or empty") },
        ),
        ("StoreUnclean", Error::StoreUnclean { path: path.clone() }),
        ("StoreOnFullDisk", Error::StoreOnFullDisk { path: path.clone(), source: source(libc::ENOSPC) }),
        ("EngineFailed", Error::EngineFailed { path: path.clone(), what: text("it has stopped") }),
        ("StoreMissing", Error::StoreMissing { path }),
    ]
}

fn of_mounting() -> Vec<(&'static str, Error)> {
    let mount = PathBuf::from("/mnt");
    vec![
        (
            "MountPoint",
            Error::MountPoint {
                path: mount.clone(),
                why: text("it is not a directory"),
                hint: text("choose an empty directory"),
            },
        ),
        ("FuseDevice", Error::FuseDevice { source: source(libc::ENOENT) }),
        (
            "MountFailed",
            Error::MountFailed {
                path: mount.clone(),
                why: text("permission denied"),
                hint: text("as it failed"),
            },
        ),
        ("AddressSpace", Error::AddressSpace { left_bytes: 40 << 20, needed_bytes: 51 << 20 }),
        ("NotMounted", Error::NotMounted { path: mount.clone() }),
        ("MountDead", Error::MountDead { path: mount.clone() }),
        ("StoreNotClosed", Error::StoreNotClosed { path: mount.clone(), store: PathBuf::from("/data") }),
        ("MountBusy", Error::MountBusy { path: mount, holders: text("less (7)") }),
        ("Stopped", Error::Stopped { signal: "SIGINT" }),
        ("Internal", Error::Internal { what: text("the storage engine panicked while writing") }),
        ("Io", Error::Io { context: text("open /data"), source: source(libc::ENOENT) }),
    ]
}

/// Errors of the system that have a hint of their own, and one that has none.
const SYSTEM_ERRORS: &[i32] = &[
    libc::ENOSPC,
    libc::EDQUOT,
    libc::EACCES,
    libc::EPERM,
    libc::EROFS,
    libc::EIO,
    libc::ENOENT,
    libc::ENOTDIR,
    libc::EISDIR,
    libc::EEXIST,
    libc::ENAMETOOLONG,
    libc::EMFILE,
];

fn name_of(errno: i32) -> &'static str {
    macro_rules! names {
        ($($name:ident)*) => { [$((libc::$name, stringify!($name))),*] };
    }
    let names = names!(EACCES EBADMSG EBUSY EDQUOT EEXIST EFBIG EINTR EINVAL EIO ENAMETOOLONG ENODATA ENODEV ENOENT ENOMEM
        EISDIR EMFILE ENOSPC ENOTCONN ENOTDIR EOPNOTSUPP EPERM EROFS ESTALE);
    names.iter().find(|(number, _)| *number == errno).unwrap_or_else(|| panic!("errno {errno}")).1
}

fn row(error: &Error) -> String {
    let verdict = error.verdict();
    let cells = [
        error.to_string(),
        name_of(verdict.errno).to_owned(),
        (verdict.exit as u8).to_string(),
        verdict.hint,
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn document() -> String {
    let head = "| message | errno | exit code | hint |\n|---|---|---|---|\n";
    let mut text = format!("{INTRODUCTION}{head}");
    for (name, error) in examples() {
        if name != "Io" {
            text.push_str(&row(&error));
        }
    }
    write!(text, "{SYSTEM}{head}").unwrap();
    for errno in SYSTEM_ERRORS {
        text.push_str(&row(&Error::io("write", io::Error::from_raw_os_error(*errno))));
    }
    text
}

#[test]
fn the_document_is_what_the_program_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ERRORS.md");
    if std::env::var_os("IPFS_PERSIST_TEST_UPDATE").is_some() {
        fs::write(&path, document()).unwrap();
    }
    let told = fs::read_to_string(&path).unwrap_or_default();
    for (told, expected) in told.lines().zip(document().lines()) {
        assert_eq!(told, expected, "docs/ERRORS.md differs; see the head of tests/error_table.rs");
    }
    assert_eq!(told, document(), "docs/ERRORS.md differs; see the head of tests/error_table.rs");
}

/// The variants of the enum, as its source has them: a new one is missed in [`examples`].
#[test]
fn every_error_has_an_example() {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/error/mod.rs")).unwrap();
    let body = source.split_once("pub enum Error {").unwrap().1.split_once("\n}\n").unwrap().0;
    let variants: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.split(|sign: char| !sign.is_alphanumeric()).next().unwrap())
        .collect();
    assert!(variants.len() > 30, "{variants:?}");
    let examples: Vec<&str> = examples().into_iter().map(|(name, _)| name).collect();
    assert_eq!(examples, variants);
    for (name, error) in self::examples() {
        assert!(format!("{error:?}").starts_with(name), "{error:?} is not {name}");
    }
}

#[test]
fn messages_and_hints_are_single_lines_that_say_something() {
    for (name, error) in examples() {
        let (message, verdict) = (error.to_string(), error.verdict());
        assert!(message.len() > 5 && !message.contains('\n'), "{name}: {message}");
        assert!(!verdict.hint.contains('\n'), "{name}: {}", verdict.hint);
        // Debug output is not for people.
        assert!(!message.contains(name) && !message.contains("{ "), "{name}: {message}");
        let says_it_itself = ["NotPermitted", "InvalidRequest", "NotSupported"].contains(&name);
        assert_eq!(verdict.hint.is_empty(), says_it_itself, "{name}: {}", verdict.hint);
    }
}

#[test]
fn every_exit_code_is_in_the_help_and_no_other() {
    // A new code does not compile until it is here.
    let known = |code: ExitCode| match code {
        ExitCode::Failure
        | ExitCode::Usage
        | ExitCode::Locked
        | ExitCode::Store
        | ExitCode::Mount
        | ExitCode::NoSpace
        | ExitCode::NotMounted => code as u8,
    };
    let mut expected: BTreeSet<u8> =
        examples().iter().map(|(_, error)| known(error.verdict().exit)).collect();
    expected.insert(0);
    let output = common::run(common::program().arg("--help"));
    let help = String::from_utf8(output.stdout).unwrap();
    let codes = help.split_once("Exit codes:").unwrap().1;
    let told: BTreeSet<u8> =
        codes.split(|sign: char| !sign.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    assert_eq!(told, expected, "{codes}");
}
