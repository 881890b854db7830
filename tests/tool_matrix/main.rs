//! Other people's tools in real mounts: what each of them does in each situation, executed, and
//! compared with `docs/TOOLS.md`.
//!
//! `IPFS_PERSIST_TEST_UPDATE=1 cargo test --release --test tool_matrix` writes the document.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cell;
mod changing;
#[path = "../common/mod.rs"]
mod common;
mod document;
mod half;
mod making;
mod place;
mod reading;
mod row;
mod serving;
mod state;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use common::users;
use document::Cells;
use half::Outcome;
use libtest_mimic::{Arguments, Failed, Trial};
use row::Column;
use tables::TABLES;

/// In the environment of the process that acts as an ordinary user: the backend.
const AS_USER: &str = "IPFS_PERSIST_TEST_TOOLS_OF_USER";

fn main() {
    if let Ok(backend) = std::env::var(AS_USER) {
        let backend = common::backends().into_iter().find(|name| *name == backend).unwrap();
        let outcomes = half::run(backend);
        fs::write("cells.json", serde_json::to_vec(&outcomes).unwrap()).unwrap();
        return;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let cells: Arc<Mutex<Cells>> = Arc::default();
    let mut trials: Vec<Trial> = Vec::new();
    for backend in common::read_only_backends() {
        let cells = Arc::clone(&cells);
        trials.push(Trial::test(backend, move || both_users(backend, &mut cells.lock().unwrap())));
    }
    trials.push(Trial::test("the_document_is_what_was_executed", move || {
        document::check(&cells.lock().unwrap());
        Ok(())
    }));
    libtest_mimic::run(&arguments, trials).exit()
}

/// Runs everything on a backend, as root and as an ordinary user, who work at the same time.
fn both_users(backend: &'static str, cells: &mut Cells) -> Result<(), Failed> {
    if !common::fuse_available() {
        return Ok(());
    }
    let missing = half::missing_programs();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI lacks {missing:?}");
        eprintln!("SKIPPED: the rows of {missing:?}, which are not installed");
    }
    let mut outcomes = BTreeMap::new();
    if common::is_root() {
        let user = users::available().then(|| start_user(backend));
        outcomes.insert("root", half::run(backend));
        if let Some(user) = user {
            outcomes.insert("an ordinary user", user.join());
        }
    } else {
        outcomes.insert("an ordinary user", half::run(backend));
    }
    let mut wrong = String::new();
    for (user, outcomes) in outcomes {
        for outcome in outcomes {
            wrong += &compare(&outcome, backend, user);
            cells.add(&outcome, &format!("{backend} as {user}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}

/// What is not as the row says.
fn compare(outcome: &Outcome, backend: &str, user: &str) -> String {
    let table = &TABLES[outcome.table];
    let row = table.rows().nth(outcome.row).unwrap();
    let column = Column::ALL[outcome.column];
    let (expected, _) = row.expected(table.kind, column);
    if expected == outcome.cell {
        return String::new();
    }
    let title = row.title();
    let head = format!("{}, {title}, {}, {backend} as {user}", table.heading, column.title());
    format!("\n{head}:\n  expected {expected:?}, was {:?}\n  {}", outcome.cell, outcome.detail)
}

/// The process that does the same as an ordinary user.
struct User {
    child: Child,
    dir: tempfile::TempDir,
}

fn start_user(backend: &str) -> User {
    let dir = tempfile::Builder::new().prefix("ipm-user-").tempdir().unwrap();
    let home = users::home(dir.path());
    let this = users::copy(&std::env::current_exe().unwrap(), dir.path());
    let program = users::copy(env!("CARGO_BIN_EXE_ipfs-persist-mount").as_ref(), dir.path());
    let script = format!("{}cd home; exec {} ../{}", users::OPEN_FUSE, users::AS_NOBODY, name(&this));
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let mut command: Command = users::in_namespace(dir.path(), &script);
    command.env(common::PROGRAM, program).env("TMPDIR", &home).env("HOME", &home).env(AS_USER, backend);
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    User { child, dir }
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl User {
    fn join(mut self) -> Vec<Outcome> {
        let status = self.child.wait().unwrap();
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        assert!(status.success(), "the ordinary user: {status}\n{log}");
        let cells: PathBuf = self.dir.path().join("home/cells.json");
        serde_json::from_slice(&fs::read(cells).unwrap()).unwrap()
    }
}
