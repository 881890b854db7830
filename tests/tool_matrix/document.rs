//! The document: the tables, with a footnote for each cell that needs one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ipfs_persist_mount::datastore::BACKENDS;

use super::half::Outcome;
use super::row::{Column, Row};
use super::tables::{INTRODUCTION, TABLES};

/// What was executed: for each cell what came out, and where.
#[derive(Debug, Default)]
pub struct Cells {
    cells: BTreeMap<(usize, usize, usize), BTreeMap<String, Vec<String>>>,
    places: BTreeSet<String>,
}

impl Cells {
    pub fn add(&mut self, outcome: &Outcome, place: &str) {
        let cell = self.cells.entry((outcome.table, outcome.row, outcome.column)).or_default();
        cell.entry(outcome.cell.clone()).or_default().push(place.to_owned());
        self.places.insert(place.to_owned());
    }

    /// What a cell shows: what came out everywhere, or what came out where.
    fn shown(&self, place: (usize, usize, usize)) -> Option<String> {
        let cell = self.cells.get(&place)?;
        if let (1, Some(text)) = (cell.len(), cell.keys().next()) {
            return Some(text.clone());
        }
        let each = cell.iter().map(|(text, places)| format!("{text} ({})", places.join(", ")));
        Some(each.collect::<Vec<_>>().join("; "))
    }
}

/// Sentences under a table, with the numbers that they have in the document.
#[derive(Debug, Default)]
struct Notes {
    known: Vec<&'static str>,
    told: usize,
}

impl Notes {
    fn mark(&mut self, note: &'static str) -> String {
        if note.is_empty() {
            return String::new();
        }
        let place = self.known.iter().position(|known| *known == note).unwrap_or_else(|| {
            self.known.push(note);
            self.known.len() - 1
        });
        format!("[^{}]", place + 1)
    }

    /// Those that are new since this was asked last.
    fn untold(&mut self) -> String {
        let mut text = String::new();
        for (number, note) in (1..).zip(&self.known).skip(self.told) {
            writeln!(text, "[^{number}]: {note}").unwrap();
        }
        self.told = self.known.len();
        text
    }
}

fn line(number: usize, place: usize, row: &Row, cells: &Cells, notes: &mut Notes) -> String {
    let table = &TABLES[number];
    let mut line = format!("| {}{}", row.title().replace('|', "\\|"), notes.mark(row.note));
    for column in table.columns {
        let (expected, note) = row.expected(table.kind, *column);
        let there = Column::ALL.iter().position(|other| other == column).unwrap();
        let text = cells.shown((number, place, there)).unwrap_or(expected);
        write!(line, " | {text}{}", notes.mark(note)).unwrap();
    }
    line + " |\n"
}

/// The backends on which the tables are executed, in every build that has them all.
fn backends() -> Vec<&'static str> {
    BACKENDS.iter().filter(|row| row.durable && row.read_only).map(|row| row.name).collect()
}

fn document(cells: &Cells) -> String {
    let names: Vec<String> = backends().into_iter().map(|name| format!("`{name}`")).collect();
    let (last, first) = names.split_last().unwrap();
    let mut text = INTRODUCTION.replace("{backends}", &format!("{} and {last}", first.join(", ")));
    let mut notes = Notes::default();
    for (number, table) in TABLES.iter().enumerate() {
        write!(text, "\n## {}\n\n{}\n\n| |", table.heading, table.words).unwrap();
        table.columns.iter().for_each(|column| write!(text, " {} |", column.title()).unwrap());
        writeln!(text, "\n|---|{}", "---|".repeat(table.columns.len())).unwrap();
        for (place, row) in table.rows().enumerate() {
            text += &line(number, place, row, cells, &mut notes);
        }
        let sentences = notes.untold();
        if !sentences.is_empty() {
            write!(text, "\n{sentences}").unwrap();
        }
    }
    text
}

/// Prints what was executed, and compares the document with it. Where a row or a user is missing here,
/// which has been said aloud, what the row has to be stands for it.
pub fn check(cells: &Cells) {
    let executed = document(cells);
    println!("\n{executed}");
    let users = ["root", "an ordinary user"];
    let all = backends().into_iter().flat_map(|name| users.map(|user| format!("{name} as {user}")));
    let missing: Vec<String> = all.filter(|place| !cells.places.contains(place)).collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "not executed in CI: {missing:?}");
        eprintln!("NOT EXECUTED: {missing:?}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TOOLS.md");
    if std::env::var_os("IPFS_PERSIST_TEST_UPDATE").is_some() {
        fs::write(&path, &executed).unwrap();
    }
    let told = fs::read_to_string(&path).unwrap_or_default();
    for (told, executed) in told.lines().zip(executed.lines()) {
        assert_eq!(told, executed, "docs/TOOLS.md differs; see the head of tests/tool_matrix/main.rs");
    }
    assert_eq!(told, executed, "docs/TOOLS.md differs; see the head of tests/tool_matrix/main.rs");
}
