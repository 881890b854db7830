//! Directories that other programs made: which program it was, and what to do about it.
//!
//! Engines harm each other's directories: RocksDB opened on a Pebble directory was seen to delete its
//! files. So every directory is looked at here before an engine is let into it.
//!
//! Invariant: this only reads, a bounded number of bytes from regular files, and waits for nobody;
//! what cannot be read counts as unknown.

mod engines;
pub mod kubo;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use engines::{is_badger, is_leveldb, is_pebble, is_redb, is_rocksdb, is_sled};

use super::flatfs;

/// How many directories inside of an unknown one are looked into.
const CHILDREN_MAX: usize = 64;

/// A program whose files are recognised.
#[derive(Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Whether a path looks like something that it made.
    pub looks_like: fn(&Path) -> bool,
}

/// The programs. Those whose files are a subset of another one's come later.
pub const PROGRAMS: &[Program] = &[
    Program { name: "Kubo", looks_like: kubo::is_repo },
    Program { name: "flatfs", looks_like: flatfs::probe },
    Program { name: "Pebble", looks_like: is_pebble },
    Program { name: "RocksDB", looks_like: is_rocksdb },
    Program { name: "LevelDB", looks_like: is_leveldb },
    Program { name: "Badger", looks_like: is_badger },
    Program { name: "sled", looks_like: is_sled },
    Program { name: "redb", looks_like: is_redb },
];

const CARRY_OVER: &str = "choose an empty directory with --data-path; to carry blocks over, let the program that made these files write them into the mount, each under its CID";
const AS_ITS_OWNER: &str = "run this as the user who owns it, or choose an empty directory with --data-path";
const CARRY_OVER_FROM_KUBO: &str =
    "choose an empty directory with --data-path; `ipfs block get CID > MOUNTPOINT/CID` carries a block over";

/// What another program's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The program's name.
    pub program: &'static str,
    /// What it is, to follow the path and a colon.
    pub what: String,
    /// What to do next.
    pub hint: &'static str,
}

/// Which program made what is at `path`, or in one of the directories in it; `None` if it is none
/// that is known.
pub fn identify(path: &Path) -> Option<Found> {
    at(path).or_else(|| one_level_down(path))
}

fn at(path: &Path) -> Option<Found> {
    let program = PROGRAMS.iter().find(|program| (program.looks_like)(path))?;
    let name = program.name;
    if let Some(repo) = kubo::Repo::read(path) {
        let what = match repo.blocks_in_words() {
            None if kubo::is_private(path) => {
                let what = format!("it is a repository of {name} that this user may not read");
                return Some(Found { program: name, what, hint: AS_ITS_OWNER });
            }
            Some(engine) => format!("it is a repository of {name}, with its blocks in {engine}"),
            None => format!("it is a repository of {name}, in a datastore that is not known here"),
        };
        return Some(Found { program: name, what, hint: CARRY_OVER_FROM_KUBO });
    }
    let what = if path.is_dir() {
        format!("it holds files of {name} made by another program")
    } else {
        format!("it is a file of {name}, and not a directory")
    };
    Some(Found { program: name, what, hint: CARRY_OVER })
}

fn one_level_down(path: &Path) -> Option<Found> {
    let entries = std::fs::read_dir(path).ok()?.filter_map(Result::ok);
    // Links are not followed: what they lead to is not in this directory.
    let children = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    children.take(CHILDREN_MAX).find_map(|child| {
        let found = at(&child.path())?;
        let what = format!("in it, {} is of another program: {}", child.file_name().display(), found.what);
        Some(Found { what, ..found })
    })
}
