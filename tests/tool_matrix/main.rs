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

use std::fs::{self, File};
use std::process::Child;
use std::sync::{Arc, Mutex};

use common::users;
use document::Cells;
use half::Outcome;
use libtest_mimic::{Arguments, Failed, Trial};
use row::{Column, is_plain};
use tables::TABLES;
use tempfile::TempDir;

/// In the environment of the process that acts as an ordinary user.
const AS_USER: &str = "IPFS_PERSIST_TEST_AS_USER";
/// Where that process writes what it has found.
const FOUND: &str = "found.json";

/// What the trials share. They run one after the other.
#[derive(Default)]
struct Shared {
    cells: Cells,
    user: Option<User>,
}

fn main() {
    if std::env::var_os(AS_USER).is_some() {
        let found = half::run(&common::read_only_backends());
        return fs::write(FOUND, serde_json::to_vec(&found).unwrap()).unwrap();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let shared: Arc<Mutex<Shared>> = Arc::default();
    let trial = |name: &str, run: fn(&mut Shared) -> Result<(), Failed>| {
        let shared = Arc::clone(&shared);
        Trial::test(name, move || {
            let mut shared = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            run(&mut shared)
        })
    };
    let trials = vec![
        trial("every_cell_is_explained", |_| every_cell_is_explained()),
        trial("root", as_root),
        trial("an_ordinary_user", as_ordinary_user),
        trial("the_document_is_what_was_executed", |shared| {
            document::check(&shared.cells);
            Ok(())
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit()
}

/// Whether tools can be run in mounts; what is missing is said aloud.
fn ready() -> bool {
    let missing = half::missing_programs();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI lacks {missing:?}");
        eprintln!("SKIPPED: the rows with {missing:?}, which are not installed");
    }
    common::fuse_available()
}

/// The ordinary user works at the same time.
fn as_root(shared: &mut Shared) -> Result<(), Failed> {
    if !ready() || !common::is_root() {
        eprintln!("SKIPPED: what root does");
        return Ok(());
    }
    shared.user = users::available().then(start_user);
    take(&half::run(&common::read_only_backends()), "root", &mut shared.cells)
}

fn as_ordinary_user(shared: &mut Shared) -> Result<(), Failed> {
    if !ready() {
        return Ok(());
    }
    let found = if !common::is_root() {
        half::run(&common::read_only_backends())
    } else if let Some(user) = shared.user.take().or_else(|| users::available().then(start_user)) {
        user.join()
    } else {
        return Ok(());
    };
    take(&found, "an ordinary user", &mut shared.cells)
}

/// Takes note of what was found; fails with all that is not as the rows say.
fn take(found: &[Outcome], user: &str, cells: &mut Cells) -> Result<(), Failed> {
    let mut wrong = String::new();
    for outcome in found {
        cells.add(outcome, &format!("{} as {user}", outcome.backend));
        let (table, column) = (&TABLES[outcome.table], Column::ALL[outcome.column]);
        let row = table.rows().nth(outcome.row).unwrap();
        let (expected, _) = row.expected(table.kind, column);
        if expected != outcome.cell {
            let Outcome { backend, cell, detail, .. } = outcome;
            let place = format!("{}, {}, {}", table.heading, row.title(), column.title());
            wrong += &format!("\n{place}, {backend}: expected {expected:?}, was {cell:?}\n  {detail}");
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}

/// A cell that is not plain has a sentence, and no sentence belongs to a cell that is.
fn every_cell_is_explained() -> Result<(), Failed> {
    for table in TABLES {
        for row in table.rows() {
            for column in table.columns {
                let (cell, sentence) = row.expected(table.kind, *column);
                let explained = is_plain(table.kind, *column, &cell) || (cell == "-" && !row.note.is_empty());
                if explained == sentence.is_empty() {
                    continue;
                }
                return Err(format!("{}, {}: {cell:?}, {sentence:?}", row.title(), column.title()).into());
            }
            let foreign = row.others.iter().find(|(column, ..)| !table.columns.contains(column));
            assert!(foreign.is_none(), "{}: {foreign:?}", row.title());
        }
    }
    Ok(())
}

/// The process that does the same as an ordinary user.
struct User {
    child: Child,
    dir: TempDir,
}

fn start_user() -> User {
    let dir = tempfile::Builder::new().prefix("ipm-user-").tempdir().unwrap();
    let home = users::home(dir.path());
    let this = users::copy(&std::env::current_exe().unwrap(), dir.path());
    let program = users::copy(env!("CARGO_BIN_EXE_ipfs-persist-mount").as_ref(), dir.path());
    let script = format!("{}cd home; exec {} {}", users::OPEN_FUSE, users::AS_NOBODY, this.display());
    let log = File::create(dir.path().join("log")).unwrap();
    let mut command = users::in_namespace(dir.path(), &script);
    command.env(common::PROGRAM, program).env(AS_USER, "yes").env("TMPDIR", &home).env("HOME", &home);
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    User { child, dir }
}

impl User {
    fn join(mut self) -> Vec<Outcome> {
        let status = self.child.wait().unwrap();
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        assert!(status.success(), "{status}\n{log}");
        serde_json::from_slice(&fs::read(self.dir.path().join("home").join(FOUND)).unwrap()).unwrap()
    }
}
