//! What a script has done to the store, beside what it did in an ordinary directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::common::{Mounted, cid_of, eventually, names};
use super::place::{Control, Left, Place};
use super::row::{Kind, Row};

/// What is in a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        // The last close of a file is told to the daemon, and not waited for. This one is open itself.
        eventually("files are closed", || mount.stats()["gauges"]["open_handles"].as_u64() <= Some(1));
        let blocks: BTreeSet<String> = mount.ls().into_iter().collect();
        let aliases = names(&mount.path(".ipfs-persist/names"));
        let mut candidates: BTreeSet<String> = aliases.iter().cloned().collect();
        candidates.extend(maybe.into_iter().filter(|name| !is_cid(name)).cloned());
        let left = |name: &String| Left::read(&mount.path(name)).ok().map(|left| (name.clone(), left));
        let files: BTreeMap<String, Left> = candidates.iter().filter_map(left).collect();
        let staged = files.iter().filter(|(name, _)| !aliases.contains(name));
        let staged_bytes: usize = staged.map(|(_, left)| left.bytes.len()).sum();
        let stats = mount.stats();
        let counted = |name: &str| stats["gauges"][name].as_u64().unwrap() as usize;
        let counted = (counted("names"), counted("staged_bytes"));
        assert_eq!(counted, (files.len(), staged_bytes), "no other names and bytes than of {files:?}");
        assert_eq!(mount.count("panics"), 0, "{}", mount.log());
        assert_eq!(mount.count("mapped_writes_lost"), 0, "{}", mount.log());
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
        let effect = if !failed && self.is_done(&after) {
            match self.ignored(&after) {
                Some(what) => Effect::Other(what),
                None => Effect::Done,
            }
        } else {
            self.difference(mount, &after)
        };
        (effect, after)
    }

    /// What is there, and of names that nothing lists those that the row may make.
    pub fn look(&self, mount: &Mounted) -> State {
        let kept = self.row.keeps.and_then(|(path, _)| path.strip_prefix("mnt/")).map(str::to_owned);
        State::of(mount, self.name, self.control.files.keys().chain(kept.iter()))
    }

    /// Whether the store is as the ordinary directory is.
    fn is_done(&self, after: &State) -> bool {
        let mut blocks = self.before.blocks.clone();
        if is_cid(self.name) && matches!(self.kind, Kind::Change) {
            blocks.remove(self.name);
        }
        let plain = |(name, _): &(&String, &Left)| !is_cid(name);
        let files = self.control.files.iter().filter(plain);
        blocks.extend(self.row.leaves.iter().map(|name| self.place.cid(name)));
        for (name, left) in &self.control.files {
            if is_cid(name) || !left.bytes.is_empty() {
                blocks.insert(cid_of(&left.bytes));
            }
        }
        let same_file = match (self.control.files.get(self.name), &after.file) {
            (Some(wanted), Some(file)) => {
                wanted.bytes == file.bytes && (wanted.mtime.is_none() || wanted.mtime == file.mtime)
            }
            (None, None) => true,
            _ => false,
        };
        blocks == after.blocks && same_file && files.eq(after.files.iter())
    }

    /// What a block does not take on.
    fn ignored(&self, after: &State) -> Option<String> {
        let (wanted, file) = (self.control.files.get(self.name)?, after.file.as_ref()?);
        let before = self.before.file.as_ref()?;
        (self.kind == Kind::Change && wanted.mode != before.mode && file.mode == before.mode)
            .then(|| "ignored".to_owned())
    }

    /// What has changed since before, in words.
    fn difference(&self, mount: &Mounted, after: &State) -> Effect {
        let mut words = Vec::new();
        let mut before = self.before.clone();
        if let Some((path, file)) = self.row.keeps {
            let kept = mount.mnt.with_file_name(path);
            match path.strip_prefix("mnt/") {
                // In the mount it is there only if it could be made there.
                Some(name) if after.files.contains_key(name) => {
                    before.blocks.insert(self.place.cid(file));
                    before.files.insert(name.to_owned(), after.files[name].clone());
                }
                Some(_) => {}
                None if fs::read(kept).is_ok_and(|bytes| bytes == self.place.bytes(file)) => {}
                None => words.push("the source is lost".to_owned()),
            }
        }
        match (&before.file, &after.file) {
            (Some(_), None) => words.push("the file is gone".to_owned()),
            (None, Some(left)) if left.bytes.is_empty() => words.push("leaves an empty file".to_owned()),
            (None, Some(_)) => words.push("leaves a file".to_owned()),
            (Some(old), Some(new)) if old.bytes != new.bytes => words.push("other bytes".to_owned()),
            (Some(old), Some(new)) if old != new => words.push("other attributes".to_owned()),
            _ => {}
        }
        let more = |name: &&String| *name != self.name && !before.files.contains_key(*name);
        words.extend(
            after.files.keys().filter(more).map(|name| format!("leaves {}", name.replace(self.name, "F"))),
        );
        if before.files.keys().any(|name| name != self.name && !after.files.contains_key(name)) {
            words.push("another file is gone".to_owned());
        }
        match after.blocks.iter().filter(|cid| *cid != self.name && !before.blocks.contains(*cid)).count() {
            0 => {}
            1 => words.push("a new block".to_owned()),
            count => words.push(format!("{count} new blocks")),
        }
        if before.blocks.iter().any(|cid| cid != self.name && !after.blocks.contains(cid)) {
            words.push("another block is gone".to_owned());
        }
        if words.is_empty() { Effect::Nothing } else { Effect::Other(words.join(", ")) }
    }
}
