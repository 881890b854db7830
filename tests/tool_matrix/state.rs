//! What a script has done to the store, beside what it did in an ordinary directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::common::{Mounted, cid_of, names};
use super::place::{Control, Left, Place};
use super::row::{Kind, Row};

/// The mode of every block.
pub const BLOCK_MODE: u32 = 0o444;
/// The mode of the files that tools change.
pub const FILE_MODE: u32 = 0o644;

/// How long the last close of a file may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in a mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The listing of the root.
    pub blocks: BTreeSet<String>,
    /// Files of plain names.
    pub files: BTreeMap<String, Left>,
    /// The file that a row is about, if it is there.
    pub file: Option<Left>,
}

impl State {
    /// Looks when nobody has a file open any more. `maybe` are names that nothing lists, since they
    /// are empty.
    pub fn of<'a>(mount: &Mounted, name: &str, maybe: impl IntoIterator<Item = &'a String>) -> Self {
        let maybe: Vec<&String> = maybe.into_iter().filter(|name| !is_cid(name)).collect();
        // The last close of a file is told to the daemon, and not waited for.
        let begun = Instant::now();
        let files: BTreeMap<String, Left> = loop {
            let aliases = names(&mount.path(".ipfs-persist/names"));
            let left = |name: &String| Left::read(&mount.path(name)).ok().map(|left| (name.clone(), left));
            let files: BTreeMap<_, _> =
                aliases.iter().chain(maybe.iter().copied()).filter_map(left).collect();
            let staged = files.iter().filter(|(name, _)| !aliases.contains(name));
            let staged_bytes: usize = staged.map(|(_, left)| left.bytes.len()).sum();
            let stats = mount.stats();
            let (gauges, counters) = (&stats["gauges"], &stats["counters"]);
            assert_eq!((&counters["panics"], &counters["mapped_writes_lost"]), (&json!(0), &json!(0)));
            let is = |name: &str, wanted: usize| gauges[name].as_u64() == Some(wanted as u64);
            if is("open_handles", 0) && is("names", files.len()) && is("staged_bytes", staged_bytes) {
                break files;
            }
            let names: Vec<&String> = files.keys().collect();
            assert!(begun.elapsed() < PATIENCE, "{gauges} with {staged_bytes} staged bytes in {names:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        for alias in names(&mount.path(".ipfs-persist/names")) {
            assert_eq!(mount.alias(&alias).unwrap(), cid_of(&files[&alias].bytes), "{alias}");
        }
        let blocks: BTreeSet<String> = mount.ls().into_iter().collect();
        Self { blocks, files, file: Left::read(&mount.path(name)).ok() }
    }
}

pub fn is_cid(name: &str) -> bool {
    ipfs_persist_mount::block::Cid::parse(name).is_ok()
}

/// What a script has done to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The same as in an ordinary directory.
    Done,
    Nothing,
    Other(String),
}

/// A run of a row, and what was there before.
pub struct Run<'a> {
    pub place: &'a Place,
    pub kind: Kind,
    pub row: &'a Row,
    pub name: &'a str,
    pub control: &'a Control,
    pub before: &'a State,
}

impl Run<'_> {
    /// Compares; every new block must be what its name says.
    pub fn effect(&self, mount: &Mounted, failed: bool) -> (Effect, State) {
        let after = self.look(mount);
        for cid in after.blocks.difference(&self.before.blocks) {
            assert_eq!(cid_of(&fs::read(mount.path(cid)).unwrap()), *cid, "never wrong bytes");
        }
        if failed {
            source_is_there(self.place, self.row, &mount.mnt);
        }
        let same = after.blocks == self.before.blocks && after.files == self.before.files;
        let effect = if matches!(self.kind, Kind::Read | Kind::List) {
            if same { Effect::Done } else { Effect::Other("changed".to_owned()) }
        } else if failed {
            let words = difference(&self.kept(&after), &after, self.name);
            if words.is_empty() { Effect::Nothing } else { Effect::Other(words.join(", ")) }
        } else {
            self.done(&after)
        };
        (effect, after)
    }

    /// What a tool has done that says that it did everything.
    fn done(&self, after: &State) -> Effect {
        let mut missed = difference(&self.wanted(), after, self.name);
        missed.extend(self.ignored().then(|| "ignored".to_owned()));
        let changed = difference(self.before, after, self.name);
        match (missed.len(), changed.len()) {
            (0, _) => Effect::Done,
            (1, 0) if self.ignored() => Effect::Other(missed.join(", ")),
            (_, 0) => Effect::Nothing,
            (more, less) if less < more => Effect::Other(changed.join(", ")),
            _ => Effect::Other(missed.join(", ")),
        }
    }

    /// What is there, and of names that nothing lists those that the row may make.
    pub fn look(&self, mount: &Mounted) -> State {
        let kept = self.row.keeps.and_then(|(path, _)| path.strip_prefix("mnt/")).map(str::to_owned);
        State::of(mount, self.name, self.control.files.keys().chain(kept.iter()))
    }

    /// What has to be there after a success: what is in the ordinary directory.
    fn wanted(&self) -> State {
        let mut wanted = State { blocks: self.before.blocks.clone(), ..State::default() };
        if is_cid(self.name) && self.kind == Kind::Change {
            wanted.blocks.remove(self.name);
        }
        wanted.blocks.extend(self.row.leaves.iter().map(|name| self.place.cid(name)));
        for (name, left) in &self.control.files {
            if is_cid(name) || !left.bytes.is_empty() {
                wanted.blocks.insert(cid_of(&left.bytes));
            }
            if !is_cid(name) {
                wanted.files.insert(name.clone(), left.clone());
            }
            if name == self.name {
                let mode = if is_cid(name) { BLOCK_MODE } else { left.mode };
                wanted.file = Some(Left { mode, ..left.clone() });
            }
        }
        wanted
    }

    /// What may be there after a failure: what was there before, and what the tool wanted to move.
    fn kept(&self, after: &State) -> State {
        let mut kept = self.before.clone();
        // In the mount it is there if it could be made there.
        if let Some((path, file)) = self.row.keeps
            && let Some(name) = path.strip_prefix("mnt/")
            && let Some(left) = after.files.get(name)
        {
            assert!(left.bytes == self.place.bytes(file), "{}: the source has changed", self.row.title());
            kept.files.insert(name.to_owned(), left.clone());
            kept.blocks.extend(after.blocks.get(&self.place.cid(file)).cloned());
        }
        kept
    }

    /// Whether the tool has set a mode that a block does not take on.
    fn ignored(&self) -> bool {
        let mode = self.control.files.get(self.name).map_or(FILE_MODE, |left| left.mode);
        self.kind == Kind::Change && is_cid(self.name) && mode != FILE_MODE && mode != BLOCK_MODE
    }
}

/// Whoever could not move a file into the mount still has it.
pub fn source_is_there(place: &Place, row: &Row, mnt: &Path) {
    if let Some((path, file)) = row.keeps
        && !path.starts_with("mnt/")
    {
        let there = fs::read(mnt.with_file_name(path));
        assert!(there.is_ok_and(|there| there == place.bytes(file)), "{}: the source is lost", row.title());
    }
}

/// How `after` differs from what it should be, in words.
fn difference(wanted: &State, after: &State, name: &str) -> Vec<String> {
    let mut words = Vec::new();
    match (&wanted.file, &after.file) {
        (None, None) => {}
        (Some(_), None) => words.push("the file is gone".to_owned()),
        (None, Some(left)) if left.bytes.is_empty() => words.push("leaves an empty file".to_owned()),
        (None, Some(_)) => words.push("leaves a file".to_owned()),
        (Some(old), Some(new)) => {
            words.extend((old.bytes != new.bytes).then(|| "other bytes".to_owned()));
            words.extend((old.mode != new.mode).then(|| "other mode".to_owned()));
            let time = old.mtime.is_some() && old.mtime != new.mtime;
            words.extend(time.then(|| "other time".to_owned()));
        }
    }
    let others = |state: &State| -> Vec<String> {
        state.files.keys().filter(|file| *file != name).map(|file| file.replace(name, "F")).collect()
    };
    let (old, new) = (others(wanted), others(after));
    words.extend(new.iter().filter(|file| !old.contains(file)).map(|file| format!("leaves {file}")));
    words.extend(old.iter().filter(|file| !new.contains(file)).map(|file| format!("{file} is missing")));
    for (file, left) in wanted.files.iter().filter(|(file, _)| *file != name) {
        words.extend(
            after
                .files
                .get(file)
                .is_some_and(|other| other.bytes != left.bytes)
                .then(|| format!("other {file}")),
        );
    }
    // The block of the file itself is told already.
    match after.blocks.difference(&wanted.blocks).filter(|cid| *cid != name).count() {
        0 => {}
        1 => words.push("leaves a block".to_owned()),
        count => words.push(format!("leaves {count} blocks")),
    }
    if wanted.blocks.difference(&after.blocks).any(|cid| cid != name) {
        words.push("a block is missing".to_owned());
    }
    words
}
