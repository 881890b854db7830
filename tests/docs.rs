//! The manual, checked against the program: tables, flags, exit codes, sessions, scripts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipfs_persist_mount::Error;
use ipfs_persist_mount::datastore::BACKENDS;
use ipfs_persist_mount::error::ExitCode;
use ipfs_persist_mount::fs::NAMES_MAX;
use ipfs_persist_mount::sys::errno;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a section of a Markdown text, without its heading.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    assert!(!lines.is_empty(), "there is no section {heading}");
    lines
}

/// The cells of the rows of all tables in these lines, headings left out.
fn rows(lines: &[&str]) -> Vec<Vec<String>> {
    let is_rule = |line: &str| line.starts_with("|---");
    let mut rows = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let heads = lines.get(index + 1).is_some_and(|next| is_rule(next));
        if line.starts_with('|') && !is_rule(line) && !heads {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

/// What `--help` says of the program and of each of its commands.
fn helps() -> Vec<String> {
    let commands: [&[&str]; 10] = [
        &[],
        &["unmount"],
        &["demo"],
        &["backends"],
        &["cid"],
        &["put"],
        &["get"],
        &["ls"],
        &["rm"],
        &["stat"],
    ];
    let help = |command: &&[&str]| {
        let output = common::run(common::program().args(*command).arg("--help"));
        assert!(output.status.success(), "{}", common::text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    commands.iter().map(help).collect()
}

/// The long flag that a line of `--help` introduces.
fn flag(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let long = if line.starts_with("--") { line } else { line.strip_prefix('-')?.split_once(", ")?.1 };
    let end = long.find(|c: char| !(c == '-' || c.is_ascii_alphanumeric())).unwrap_or(long.len());
    Some(&long[..end])
}

#[test]
fn the_readme_has_the_table_of_backends() {
    let expected: Vec<Vec<String>> = BACKENDS
        .iter()
        .map(|row| {
            let path = row.default_path.map_or("-".to_owned(), |path| format!("`{path}`"));
            let yes_or_no = |yes: bool| if yes { "yes" } else { "no" };
            let cells = [
                &format!("`{}`", row.name),
                row.engine,
                row.version,
                yes_or_no(row.durable),
                yes_or_no(row.power_safe),
                row.compression.unwrap_or("-"),
                &path,
                row.about,
            ];
            cells.map(str::to_owned).to_vec()
        })
        .collect();
    assert_eq!(rows(&section(&read("README.md"), "## Backends")), expected);
}

/// What the table says of an engine's version is what the build takes.
#[test]
fn the_versions_of_engines_are_those_of_the_lock_file() {
    let lock = read("Cargo.lock");
    let version = |crate_name: &str| {
        let (_, behind) = lock.split_once(&format!("name = \"{crate_name}\"\nversion = \"")).unwrap();
        behind.split('"').next().unwrap().to_owned()
    };
    for row in BACKENDS {
        match row.engine {
            "redb" | "sled" => assert_eq!(row.version, version(row.engine)),
            rocksdb if rocksdb.starts_with("RocksDB") => {
                let sys = version("rust-librocksdb-sys");
                assert_eq!(row.version, sys.split_once('+').unwrap().1);
            }
            other => assert!(["flatfs", "sorted maps"].contains(&other), "{other}"),
        }
    }
}

#[test]
fn every_backend_has_its_section_in_the_guide() {
    let guide = read("docs/BACKENDS.md");
    for row in BACKENDS {
        assert!(section(&guide, &format!("## `{}`", row.name)).len() > 3, "{}", row.name);
    }
}

#[test]
fn the_readme_has_every_exit_code_and_no_other() {
    // A new code does not compile until it is here.
    let number = |code: ExitCode| match code {
        ExitCode::Failure
        | ExitCode::Usage
        | ExitCode::Locked
        | ExitCode::Store
        | ExitCode::Mount
        | ExitCode::NoSpace
        | ExitCode::NotMounted => (code as u8).to_string(),
    };
    let codes = [
        ExitCode::Failure,
        ExitCode::Usage,
        ExitCode::Locked,
        ExitCode::Store,
        ExitCode::Mount,
        ExitCode::NoSpace,
        ExitCode::NotMounted,
    ];
    let expected: Vec<String> = std::iter::once("0".to_owned()).chain(codes.map(number)).collect();
    let readme = read("README.md");
    let told: Vec<String> =
        rows(&section(&readme, "## Exit codes")).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_readme_has_the_errno_of_every_refusal_that_tools_see() {
    let (cid, name, path) = (String::from("bafk"), String::from("photo.jpg"), PathBuf::from("/data"));
    let refusals = [
        ("EBADMSG", errno::EBADMSG, Error::Mismatch { cid: cid.clone(), computed: String::new() }),
        ("EBADMSG", errno::EBADMSG, Error::Differs { cid: cid.clone(), at_byte: 0 }),
        ("EINVAL", errno::EINVAL, Error::NameInvalid { name: name.clone(), why: String::new() }),
        ("EINVAL", errno::EINVAL, Error::HashRefused { code: 0x11, why: "" }),
        ("EINVAL", errno::EINVAL, Error::NameNotCid { name: name.clone() }),
        ("EOPNOTSUPP", errno::EOPNOTSUPP, Error::HashUnknown { code: 0x99 }),
        ("ENAMETOOLONG", errno::ENAMETOOLONG, Error::NameTooLong { length_bytes: 256 }),
        ("EFBIG", errno::EFBIG, Error::TooBig { limit_bytes: 1 }),
        ("ENOSPC", errno::ENOSPC, Error::NoSpace { path: path.clone(), free_bytes: 0, reserve_bytes: 0 }),
        ("ENOSPC", errno::ENOSPC, Error::NoInodes { path, free: 0 }),
        ("ENOSPC", errno::ENOSPC, Error::MemoryFull { limit_bytes: 1 }),
        ("ENOSPC", errno::ENOSPC, Error::NamesFull { limit: 1 }),
        ("ENOMEM", errno::ENOMEM, Error::StagingFull { limit_bytes: 1 }),
        ("EBUSY", errno::EBUSY, Error::BlockInUse { name }),
        ("EPERM", errno::EPERM, Error::NotPermitted { what: "" }),
        ("EACCES", errno::EACCES, Error::AccessDenied),
        ("EROFS", errno::EROFS, Error::ReadOnly),
        ("EIO", errno::EIO, Error::Damaged { cid }),
    ];
    let readme = read("README.md");
    let rows = rows(&section(&readme, "## What tools see"));
    for (name, number, error) in &refusals {
        assert_eq!(error.errno(), *number, "{error:?}");
        let message = std::io::Error::from_raw_os_error(*number).to_string();
        let row = rows.iter().find(|row| row[0] == *name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(message.split(" (os error").next(), Some(row[1].as_str()), "{name}");
    }
    let told: BTreeSet<String> = rows.into_iter().map(|row| row[0].clone()).collect();
    let expected: BTreeSet<String> = refusals.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(told, expected);
}

#[test]
fn every_flag_is_in_the_readme() {
    let readme = read("README.md");
    for help in helps() {
        for flag in help.lines().filter_map(flag).filter(|flag| !["--help", "--version"].contains(flag)) {
            assert!(readme.contains(&format!("`{flag}")), "README.md does not mention {flag}");
        }
    }
}

#[test]
fn the_readme_has_the_defaults_of_the_flags() {
    let readme = read("README.md");
    let rows = rows(&section(&readme, "## Configuration"));
    let mut current = "";
    let help = helps().swap_remove(0);
    let mut compared = 0;
    for line in help.lines() {
        current = flag(line).unwrap_or(current);
        if let Some(default) = line.trim().strip_prefix("[default: ").and_then(|rest| rest.strip_suffix(']'))
        {
            let row = rows.iter().find(|row| row[0].contains(&format!("`{current}")));
            let row = row.unwrap_or_else(|| panic!("{current} is not in the table"));
            assert!(row[1].contains(&format!("`{default}`")), "{current} has the default {default}: {row:?}");
            compared += 1;
        }
    }
    assert!(compared > 5, "the help text has changed its form");
}

#[test]
fn numbers_in_the_manual_are_those_of_the_program() {
    let grouped = |number: usize| {
        assert!((1000..1_000_000).contains(&number));
        format!("{},{:03}", number / 1000, number % 1000)
    };
    for document in ["README.md", "docs/SEMANTICS.md"] {
        assert!(read(document).contains(&grouped(NAMES_MAX)), "{document}");
    }
}

#[test]
fn every_rule_is_in_the_semantics() {
    let semantics = read("docs/SEMANTICS.md");
    for rule in 1..=13 {
        let heads = |line: &str| {
            line.starts_with(&format!("### R{rule} ")) || line.starts_with(&format!("- **R{rule} "))
        };
        assert_eq!(semantics.lines().filter(|line| heads(line)).count(), 1, "R{rule}");
    }
}

#[test]
fn the_changelog_begins_with_what_is_not_released() {
    let changelog = read("CHANGELOG.md");
    assert_eq!(changelog.lines().find(|line| line.starts_with("## ")), Some("## Unreleased"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in ["README.md", "CHANGELOG.md", "docs/BACKENDS.md", "docs/SEMANTICS.md", "docs/DESIGN.md"] {
        let text = read(document);
        let base = root().join(document).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| to) {
            if let Some(anchor) = target.strip_prefix('#') {
                let heading =
                    |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                let found = text.lines().any(|line| line.starts_with('#') && heading(line) == anchor);
                assert!(found, "{document}: {target}");
            } else {
                assert!(base.join(target).exists(), "{document}: {target}");
            }
        }
    }
}

#[test]
fn scripts_are_executable_explain_themselves_and_parse() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let parsed = common::run(Command::new("bash").arg("-n").arg(&path));
        assert!(parsed.status.success(), "{}", common::text(&parsed));
        if path.ends_with("lib.sh") {
            continue;
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{}", path.display());
        let help = common::run(Command::new(&path).arg("--help").stdin(Stdio::null()));
        let usage = format!("Usage: scripts/{}", path.file_name().unwrap().display());
        assert!(
            help.status.success() && help.stdout.starts_with(usage.as_bytes()),
            "{}",
            common::text(&help)
        );
        let unknown = common::run(Command::new(&path).arg("--nonsense").stdin(Stdio::null()));
        assert_eq!(unknown.status.code(), Some(2), "{}", common::text(&unknown));
        assert!(read("README.md").contains(&format!("scripts/{}", path.file_name().unwrap().display())));
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn the_scripts_know_which_backends_need_rocksdb() {
    for row in BACKENDS {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            let asked = common::sh(&root(), &format!("source scripts/lib.sh && needs_rocksdb {name}"));
            assert!(asked.stderr.is_empty(), "{}", common::text(&asked));
            assert_eq!(asked.status.success(), row.engine.contains("RocksDB"), "{name}: {}", row.engine);
        }
    }
}

/// A command of a session in the README, and what it prints.
struct Said<'a> {
    command: &'a str,
    prints: String,
}

/// The sessions of the README, as one.
fn sessions(readme: &str) -> Vec<Said<'_>> {
    let mut said: Vec<Said<'_>> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        for line in block.lines().take_while(|line| *line != "```") {
            match (line.strip_prefix("$ "), said.last_mut()) {
                (Some(command), _) => said.push(Said { command, prints: String::new() }),
                (None, Some(last)) => last.prints += &format!("{line}\n"),
                (None, None) => panic!("a session begins with output: {line}"),
            }
        }
    }
    said
}

/// Detaches what a session that failed has left.
struct Session(tempfile::TempDir);

impl Drop for Session {
    fn drop(&mut self) {
        if self.0.path().join("blocks").is_dir() {
            common::detach(&self.0.path().join("blocks"));
        }
    }
}

#[test]
fn the_sessions_of_the_readme_go_as_they_are_told() {
    if !common::fuse_available() {
        return;
    }
    let session = Session(tempfile::tempdir().unwrap());
    let mut path =
        Path::new(env!("CARGO_BIN_EXE_ipfs-persist-mount")).parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")));
    let readme = read("README.md");
    let said = sessions(&readme);
    assert!(said.len() > 8, "the README has lost its sessions");
    for Said { command, prints } in said {
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(command).current_dir(session.0.path()).stdin(Stdio::null());
        shell.env("PATH", &path).env_remove("BACKEND").env_remove("DATA_PATH");
        let output = common::run(&mut shell);
        assert!(output.status.success(), "{command}: {}", common::text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), prints, "{command}");
    }
    assert!(!common::is_mounted(&session.0.path().join("blocks")));
}
