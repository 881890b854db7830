//! Half of the work: all rows in all situations, as the user who runs this process.

use std::collections::BTreeSet;
use std::fs;

use serde::{Deserialize, Serialize};

use super::cell::{cell, settled};
use super::common::blocks::flatfs_file;
use super::common::{Bench, Mounted, bytes, cid_of, detach, names};
use super::place::{Place, Report, is_there, set_old};
use super::row::{Column, Kind, Row};
use super::state::{BLOCK_MODE, Effect, FILE_MODE, Run, State, source_is_there};
use super::tables::TABLES;

/// A cell as it came out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub backend: String,
    pub table: usize,
    pub row: usize,
    /// Its place in [`Column::ALL`].
    pub column: usize,
    pub cell: String,
    /// What the tool said and did, for whoever has to find out why a cell is not as expected.
    pub detail: String,
}

/// Words of a shell that are no programs.
const BUILTINS: [&str; 6] = [":", "for", "exec", "printf", "echo", "test"];
/// Leaves no room for new blocks.
const FULL: [&str; 2] = ["--min-free-space", "1EiB"];
/// Every kind of row that needs no mount of its own.
const KINDS: [Kind; 4] = [Kind::Make, Kind::Change, Kind::Read, Kind::List];

/// Programs that are missing here.
pub fn missing_programs() -> BTreeSet<&'static str> {
    let all = TABLES.iter().flat_map(|table| table.rows()).flat_map(Row::programs);
    all.filter(|program| !BUILTINS.contains(program) && !is_there(program)).collect()
}

/// A row with its place in the document.
#[derive(Debug, Clone, Copy)]
struct Line {
    table: usize,
    number: usize,
    kind: Kind,
    row: &'static Row,
}

/// The rows that can run here.
fn lines(kind: Kind) -> Vec<Line> {
    let missing = missing_programs();
    let table = TABLES.iter().position(|table| table.kind == kind).unwrap();
    let lines = TABLES[table].rows().enumerate().map(|(number, row)| Line { table, number, kind, row });
    lines.filter(|line| line.row.programs().iter().all(|program| !missing.contains(program))).collect()
}

struct Half<'a> {
    place: &'a Place,
    bench: Bench,
    /// The blocks that are there before and after each row.
    stock: BTreeSet<String>,
    outcomes: Vec<Outcome>,
}

/// Runs everything on these backends.
pub fn run(backends: &[&'static str]) -> Vec<Outcome> {
    let place = Place::new();
    backends.iter().flat_map(|backend| run_on(&place, backend)).collect()
}

fn run_on(place: &Place, backend: &'static str) -> Vec<Outcome> {
    let mut half = Half { place, bench: Bench::new(backend), stock: BTreeSet::new(), outcomes: Vec::new() };
    place.furnish(half.bench.path());
    half.in_a_sound_mount();
    half.when_full();
    half.read_only();
    half.when_gone();
    half.killed_meanwhile();
    half.damaged();
    half.outcomes
}

impl Half<'_> {
    fn in_a_sound_mount(&mut self) {
        for kind in KINDS {
            let mount = self.bench.mount();
            if kind == Kind::Read {
                self.put_stock(&mount);
                self.stock = self.place.stock().map(|(cid, _)| cid).collect();
            }
            for line in lines(kind) {
                match kind {
                    Kind::Make => {
                        self.twice(&mount, line);
                        self.once(&mount, line, Column::Plain);
                        self.once(&mount, line, Column::Wrong);
                    }
                    Kind::Change | Kind::Read => {
                        self.once(&mount, line, Column::Block);
                        self.once(&mount, line, Column::Alias);
                    }
                    Kind::List | Kind::Die => self.once(&mount, line, Column::Block),
                }
            }
            mount.unmount();
        }
    }

    fn put_stock(&self, mount: &Mounted) {
        self.place.stock().for_each(|(cid, bytes)| self.place.place(&mount.path(cid), bytes, BLOCK_MODE));
    }

    fn when_full(&mut self) {
        let mut mount = self.bench.mount_with(&FULL);
        for line in KINDS.into_iter().flat_map(lines) {
            self.once(&mount, line, Column::Full);
            if mount.ls().len() < self.stock.len() {
                // What was deleted cannot come back here.
                mount.unmount();
                let roomy = self.bench.mount();
                self.put_stock(&roomy);
                roomy.unmount();
                mount = self.bench.mount_with(&FULL);
            }
            self.place.stock().for_each(|(cid, bytes)| set_old(&mount.path(cid), bytes));
        }
        mount.unmount();
    }

    fn read_only(&mut self) {
        let mount = self.bench.mount_with(&["--read-only"]);
        for line in KINDS.into_iter().flat_map(lines) {
            self.once(&mount, line, Column::ReadOnly);
        }
        mount.unmount();
    }

    /// The process is dead, and nobody has detached its mount.
    fn when_gone(&mut self) {
        self.bench.mount().crash();
        for line in KINDS.into_iter().flat_map(lines) {
            let name = self.name(line, Column::Gone);
            let control = self.place.control(line.kind, line.row, &name, false);
            let report = self.place.run(line.row, self.bench.path(), &name, &[]);
            self.note(line, Column::Gone, &report, &control.report, &Effect::Nothing);
            source_is_there(self.place, line.row, &self.bench.mnt());
        }
        self.nothing_leaked();
    }

    /// Each time in a mount of its own.
    fn killed_meanwhile(&mut self) {
        for line in lines(Kind::Die) {
            for (column, rest) in [(Column::Killed, "in/lines"), (Column::KilledLast, "/dev/null")] {
                let mount = self.bench.mount();
                let name = self.name(line, column);
                let more = [("DAEMON", mount.pid().to_string()), ("REST", rest.to_owned())];
                let report = self.place.run(line.row, self.bench.path(), &name, &more);
                mount.crash();
                self.note(line, column, &report, &Report::default(), &Effect::Nothing);
                self.nothing_leaked();
                self.stock_is_there();
            }
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
            let file = flatfs_file(&self.bench.data().join("blocks"), &cid);
            fs::write(&file, [&bytes[1..], &bytes[..1]].concat()).unwrap();
            set_old(&file, bytes);
        }
        let mount = self.bench.mount();
        for line in lines(Kind::Read) {
            self.once(&mount, line, Column::Damaged);
        }
        mount.unmount();
    }

    /// The name that a row is about.
    fn name(&self, line: Line, column: Column) -> String {
        match (line.kind, column) {
            (Kind::Change | Kind::Read | Kind::List, Column::Alias) => "notes.txt".to_owned(),
            (Kind::Change | Kind::Read | Kind::List, _) => self.place.cid(line.row.from),
            (_, Column::Wrong) => cid_of(&bytes(1000, 1000)),
            (Kind::Die, _) | (_, Column::Plain) => "photo.jpg".to_owned(),
            _ => {
                let control = self.place.control(line.kind, line.row, "photo.jpg", false);
                control.files.get("photo.jpg").map_or("photo.jpg".to_owned(), |left| cid_of(&left.bytes))
            }
        }
    }

    /// Runs a row in a mount that answers, and removes what it has made.
    fn once(&mut self, mount: &Mounted, line: Line, column: Column) {
        if !line.row.applies(column) {
            return self.does_not_apply(line, column);
        }
        let name = self.name(line, column);
        if matches!(line.kind, Kind::Change | Kind::Read) {
            self.place.place(&mount.path(&name), self.place.bytes(line.row.from), FILE_MODE);
        }
        let after = self.execute(mount, line, column, &name);
        self.clean(mount, &after);
    }

    /// Runs a row with the CID of what it writes, and once more over that, if it was stored.
    fn twice(&mut self, mount: &Mounted, line: Line) {
        if !line.row.applies(Column::Cid) {
            self.does_not_apply(line, Column::Cid);
            return self.does_not_apply(line, Column::Again);
        }
        let name = self.name(line, Column::Cid);
        let mut after = self.execute(mount, line, Column::Cid, &name);
        if after.file.is_some() {
            after = self.execute(mount, line, Column::Again, &name);
        } else {
            self.does_not_apply(line, Column::Again);
        }
        self.clean(mount, &after);
    }

    /// Runs a row and gives what is there then.
    fn execute(&mut self, mount: &Mounted, line: Line, column: Column, name: &str) -> State {
        let Line { kind, row, .. } = line;
        let control = self.place.control(kind, row, name, column == Column::Again);
        let before = State::of(mount, name, control.files.keys());
        if column != Column::Again {
            let file = matches!(kind, Kind::Change | Kind::Read).then(|| self.place.cid(row.from));
            let wanted: BTreeSet<String> = self.stock.iter().cloned().chain(file).collect();
            assert_eq!(before.blocks, wanted, "before {}", row.title());
        }
        let report = self.place.run(row, self.bench.path(), name, &[]);
        let run = Run { place: self.place, kind, row, name, control: &control, before: &before };
        let (effect, after) = run.effect(mount, report.exit != 0);
        self.note(line, column, &report, &control.report, &effect);
        after
    }

    /// Removes all names, and all blocks but the stock.
    fn clean(&self, mount: &Mounted, now: &State) {
        now.files.keys().for_each(|name| fs::remove_file(mount.path(name)).unwrap());
        now.blocks.difference(&self.stock).for_each(|cid| fs::remove_file(mount.path(cid)).unwrap());
    }

    fn note(&mut self, line: Line, column: Column, report: &Report, control: &Report, effect: &Effect) {
        let (expected, _) = line.row.expected(line.kind, column);
        let text = settled(cell(line.kind, report, control, effect), &expected);
        self.add(line, column, text, format!("{report:?}\n  {effect:?}"));
    }

    fn does_not_apply(&mut self, line: Line, column: Column) {
        self.add(line, column, "-".to_owned(), String::new());
    }

    fn add(&mut self, line: Line, column: Column, cell: String, detail: String) {
        let column = Column::ALL.iter().position(|other| *other == column).unwrap();
        let backend = self.bench.backend.to_owned();
        self.outcomes.push(Outcome { backend, table: line.table, row: line.number, column, cell, detail });
    }
}
