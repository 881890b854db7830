//! Half of the work: all rows in all situations on one backend, as the user who runs this process.

use std::collections::BTreeSet;
use std::fs;

use serde::{Deserialize, Serialize};

use super::cell::cell;
use super::common::{Bench, Mounted, bytes, cid_of, detach, names};
use super::place::{Control, Place, STOCK, is_there};
use super::row::{Column, Kind, Row};
use super::state::{Effect, Run, State};
use super::tables::TABLES;

/// A cell as it came out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub table: usize,
    pub row: usize,
    /// Its place in [`Column::ALL`].
    pub column: usize,
    pub cell: String,
    /// What the tool said and did, for whoever has to find out why a cell is not as expected.
    pub detail: String,
}

/// Programs that are missing here.
pub fn missing_programs() -> BTreeSet<&'static str> {
    let all = TABLES.iter().flat_map(|table| table.rows()).flat_map(Row::programs);
    all.filter(|program| !is_builtin(program) && !is_there(program)).collect()
}

fn is_builtin(word: &str) -> bool {
    [":", "for", "exec", "printf", "echo", "test"].contains(&word)
}

/// The rows that can run here, with their places.
fn rows(kind: Kind) -> Vec<(usize, usize, &'static Row)> {
    let missing = missing_programs();
    let place = TABLES.iter().position(|table| table.kind == kind).unwrap();
    let rows = TABLES[place].rows().enumerate().map(|(number, row)| (place, number, row));
    rows.filter(|(.., row)| row.programs().iter().all(|program| !missing.contains(program))).collect()
}

/// Every kind of row that can be run in one mount.
const KINDS: [Kind; 4] = [Kind::Make, Kind::Change, Kind::Read, Kind::List];

pub struct Half {
    place: Place,
    bench: Bench,
    outcomes: Vec<Outcome>,
}

/// Runs everything on one backend.
pub fn run(backend: &'static str) -> Vec<Outcome> {
    let mut half = Half { place: Place::new(), bench: Bench::new(backend), outcomes: Vec::new() };
    half.place.furnish(half.bench.path());
    half.in_a_sound_mount();
    half.when_full();
    half.read_only();
    half.when_gone();
    half.killed_meanwhile();
    half.damaged();
    half.outcomes
}

impl Half {
    fn in_a_sound_mount(&mut self) {
        for kind in KINDS {
            let mount = self.bench.mount();
            if kind == Kind::Read {
                self.put_stock(&mount);
            }
            for (table, number, row) in rows(kind) {
                for column in TABLES[table].columns {
                    match column {
                        // Together with the first time.
                        Column::Again => {}
                        Column::Cid | Column::Plain | Column::Wrong | Column::Block | Column::Alias => {
                            self.live(&mount, (table, number, row), *column);
                        }
                        Column::Damaged | Column::Full | Column::ReadOnly | Column::Gone | Column::Killed => {
                        }
                    }
                }
            }
            mount.unmount();
        }
    }

    fn put_stock(&self, mount: &Mounted) {
        self.place.stock().for_each(|(cid, bytes)| self.place.place(&mount.path(cid), bytes, 0o444));
    }

    fn when_full(&mut self) {
        let full = ["--min-free-space", "1EiB"];
        let mut mount = self.bench.mount_with(&full);
        for row in KINDS.into_iter().flat_map(rows) {
            self.live(&mount, row, Column::Full);
            if mount.ls().len() < STOCK.len() {
                // What was deleted cannot come back here.
                mount.unmount();
                let roomy = self.bench.mount();
                self.put_stock(&roomy);
                roomy.unmount();
                mount = self.bench.mount_with(&full);
            }
        }
        mount.unmount();
    }

    fn read_only(&mut self) {
        let mount = self.bench.mount_with(&["--read-only"]);
        for row in KINDS.into_iter().flat_map(rows) {
            self.live(&mount, row, Column::ReadOnly);
        }
        mount.unmount();
    }

    /// The process is dead, and nobody has detached its mount.
    fn when_gone(&mut self) {
        self.bench.mount().crash();
        for (table, number, row) in KINDS.into_iter().flat_map(rows) {
            let kind = TABLES[table].kind;
            let name = self.name(kind, row, Column::Gone);
            let control = self.place.control(kind, row, &name, false);
            let report = self.place.run(row, self.bench.path(), &name, None);
            let text = cell(kind, &report, &control, &Effect::Nothing);
            self.note((table, number, row), Column::Gone, text, format!("{report:?}"));
        }
        self.nothing_leaked();
    }

    fn killed_meanwhile(&mut self) {
        for (table, number, row) in rows(Kind::Die) {
            let mount = self.bench.mount();
            let name = self.name(Kind::Die, row, Column::Killed);
            let report = self.place.run(row, self.bench.path(), &name, Some(mount.pid()));
            mount.crash();
            let control = Control { report: report.clone(), files: Default::default() };
            let text = cell(Kind::Die, &report, &control, &Effect::Nothing);
            self.note((table, number, row), Column::Killed, text, format!("{report:?}"));
            self.nothing_leaked();
            self.stock_is_there();
        }
    }

    /// Nothing was written into the directory below the dead mount.
    fn nothing_leaked(&self) {
        detach(&self.bench.mnt());
        assert_eq!(names(&self.bench.mnt()), Vec::<String>::new());
    }

    fn stock_is_there(&self) {
        let mount = self.bench.mount();
        let stock: Vec<(String, &[u8])> = self.place.stock().collect();
        mount.assert_blocks(&stock.iter().map(|(cid, _)| cid.as_str()).collect::<Vec<_>>());
        assert!(stock.iter().all(|(cid, bytes)| fs::read(mount.path(cid)).unwrap() == *bytes));
        mount.unmount();
    }

    /// Bytes of a block can be changed where it is a file of its own.
    fn damaged(&mut self) {
        if self.bench.backend != "file" {
            return;
        }
        for (cid, bytes) in self.place.stock() {
            let file = super::common::blocks::flatfs_file(&self.bench.data().join("blocks"), &cid);
            fs::write(file, [&bytes[1..], &bytes[..1]].concat()).unwrap();
        }
        let mount = self.bench.mount();
        for row in rows(Kind::Read) {
            self.live(&mount, row, Column::Damaged);
        }
        mount.unmount();
    }

    /// The name that a row is about.
    fn name(&self, kind: Kind, row: &Row, column: Column) -> String {
        match (kind, column) {
            (Kind::Change | Kind::Read | Kind::List, Column::Alias) => "notes.txt".to_owned(),
            (Kind::Change | Kind::Read | Kind::List, _) => self.place.cid(row.from),
            (_, Column::Wrong) => cid_of(&bytes(1000, 1000)),
            (Kind::Die, _) | (_, Column::Plain) => "photo.jpg".to_owned(),
            _ => {
                let control = self.place.control(kind, row, "photo.jpg", false);
                control.files.get("photo.jpg").map_or("photo.jpg".to_owned(), |left| cid_of(&left.bytes))
            }
        }
    }

    /// Runs a row in a mount that answers.
    fn live(&mut self, mount: &Mounted, (table, number, row): (usize, usize, &'static Row), column: Column) {
        let kind = TABLES[table].kind;
        let name = self.name(kind, row, column);
        let empty = State::of(mount, &name, []);
        if !row.applies(column) {
            return self.note((table, number, row), column, "-".to_owned(), String::new());
        }
        if matches!(kind, Kind::Change | Kind::Read) {
            self.place.place(&mount.path(&name), self.place.bytes(row.from), 0o644);
        }
        let times: &[Column] = if column == Column::Cid { &[Column::Cid, Column::Again] } else { &[column] };
        for column in times {
            let control = self.place.control(kind, row, &name, *column == Column::Again);
            let before = State::of(mount, &name, control.files.keys());
            let report = self.place.run(row, self.bench.path(), &name, None);
            let run = Run { place: &self.place, kind, row, name: &name, control: &control, before: &before };
            let (effect, after) = run.effect(mount, report.exit != 0);
            let text = cell(kind, &report, &control, &effect);
            self.note(
                (table, number, row),
                *column,
                text,
                format!("{report:?}\n  {effect:?} {:?}", after.blocks),
            );
            clean(mount, &after, if times.len() > 1 && *column == Column::Cid { &after } else { &empty });
        }
    }

    fn note(&mut self, (table, row, _): (usize, usize, &Row), column: Column, cell: String, detail: String) {
        let column = Column::ALL.iter().position(|other| *other == column).unwrap();
        self.outcomes.push(Outcome { table, row, column, cell, detail });
    }
}

/// Removes what is not in `wanted`.
fn clean(mount: &Mounted, now: &State, wanted: &State) {
    for name in now.files.keys().filter(|name| !wanted.files.contains_key(*name)) {
        fs::remove_file(mount.path(name)).unwrap();
    }
    for cid in now.blocks.difference(&wanted.blocks) {
        fs::remove_file(mount.path(cid)).unwrap();
    }
    let now = State::of(mount, "-", []);
    assert!(now.blocks.is_subset(&wanted.blocks) && now.files.len() <= wanted.files.len());
}
