//! Flatfs directories of other programs, and Kubo repositories with one: where their parts are.
//!
//! Invariant: the same flatfs has the same directory for what is ours and the same lock of its
//! program, whether it is named itself or by its repository.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::layout::probe;
use crate::datastore::backends::{InPlace, ProgramLock};
use crate::datastore::foreign::kubo::{LOCK_FILE, Repo};

/// What the name of the directory beside a flatfs ends with; it begins with a dot.
const BESIDE_SUFFIX: &str = ".ipfs-persist";

/// The mode with which Kubo makes its lock file under the usual umask.
const LOCK_FILE_MODE: u32 = 0o644;

/// The flatfs at `path`, which is its directory or a repository of Kubo that has one; `None` if
/// there is none, nor anything that was kept beside one. Only looks.
pub fn in_place(path: &Path) -> Option<InPlace> {
    let named = std::path::absolute(path).ok()?;
    let repo = Repo::read(&named);
    let flatfs = match &repo {
        Some(repo) => repo.flatfs()?.to_owned(),
        None => named.clone(),
    };
    let engine = resolve(&flatfs)?;
    let beside = beside(&engine)?;
    let present = probe(&engine);
    if !present && !beside.is_dir() {
        return None;
    }
    // A link may lead out of the repository: then only the name that was given says whose it is.
    let parents = [repo.is_some().then_some(named.as_path()), flatfs.parent(), engine.parent()];
    let lock = parents.into_iter().flatten().find_map(|parent| lock_of(parent, &engine));
    Some(InPlace { path: engine, beside, present, lock })
}

/// The lock of a repository, if this flatfs has its blocks.
fn lock_of(repo: &Path, engine: &Path) -> Option<ProgramLock> {
    let flatfs = resolve(Repo::read(repo)?.flatfs()?)?;
    (flatfs == engine).then_some(())?;
    Some(ProgramLock {
        path: repo.canonicalize().ok()?.join(LOCK_FILE),
        mode: LOCK_FILE_MODE,
        program: "Kubo",
        process: "ipfs",
        release: "`ipfs shutdown`",
    })
}

/// The path without links, also of a directory that is gone from its parent.
fn resolve(path: &Path) -> Option<PathBuf> {
    match path.canonicalize() {
        Ok(path) => Some(path),
        Err(_) => Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?)),
    }
}

fn beside(engine: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(engine.file_name()?);
    name.push(BESIDE_SUFFIX);
    Some(engine.with_file_name(name))
}
