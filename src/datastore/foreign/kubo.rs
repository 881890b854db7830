//! Kubo's repository: `version`, `config` and `datastore_spec`, and where it keeps its blocks.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sys::files::read_head;

/// The lock that Kubo holds while it has a repository open: a write lock of fcntl(2) on the whole
/// file, which must stay empty.
pub const LOCK_FILE: &str = "repo.lock";

/// Where Kubo says which datastores a repository has.
const SPEC_FILE: &str = "datastore_spec";
/// A specification has a few hundred bytes.
const SPEC_BYTES_MAX: usize = 64 << 10;
/// How deep datastores may be wrapped in each other.
const DEPTH_MAX: usize = 16;
/// Under which mount point Kubo looks for blocks, the first that there is.
const MOUNT_POINTS: [&str; 2] = ["/blocks", "/"];

/// What a repository says of its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// The datastore's `type`, such as `flatfs`; `None` if it does not say.
    kind: Option<String>,
    /// The datastore's directory.
    blocks: Option<PathBuf>,
}

/// Whether a directory is a repository.
pub fn is_repo(path: &Path) -> bool {
    [SPEC_FILE, "config", "version"].iter().all(|name| path.join(name).is_file())
}

/// Whether this process may not read what a repository says of its blocks.
pub(super) fn is_private(path: &Path) -> bool {
    let read = read_head(&path.join(SPEC_FILE), SPEC_BYTES_MAX);
    read.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

impl Repo {
    /// Reads what a repository says; `None` if the directory is none.
    pub fn read(path: &Path) -> Option<Self> {
        if !is_repo(path) {
            return None;
        }
        let text = read_head(&path.join(SPEC_FILE), SPEC_BYTES_MAX).ok().flatten().unwrap_or_default();
        let spec = serde_json::from_slice::<Value>(&text).unwrap_or_default();
        let blocks = blocks_of(&spec, DEPTH_MAX).unwrap_or_default();
        let text = |name: &str| blocks.get(name).and_then(Value::as_str);
        Some(Self {
            kind: text("type").map(str::to_owned),
            // Kubo takes a relative path from the repository on.
            blocks: text("path").map(|blocks| path.join(blocks)),
        })
    }

    /// The directory of the blocks, if that is a flatfs.
    pub fn flatfs(&self) -> Option<&Path> {
        self.blocks.as_deref().filter(|_| self.kind.as_deref() == Some("flatfs"))
    }

    /// The engine that has the blocks, for people.
    pub(super) fn blocks_in_words(&self) -> Option<String> {
        let kind = self.kind.as_deref()?;
        Some(match kind {
            "pebbleds" => "Pebble".to_owned(),
            "badgerds" => "Badger".to_owned(),
            "levelds" => "LevelDB".to_owned(),
            other => other.escape_debug().to_string(),
        })
    }
}

/// The part of a specification that is about blocks.
fn blocks_of(spec: &Value, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if let Some(mounts) = spec.get("mounts").and_then(Value::as_array) {
        let at = |point| {
            mounts.iter().find(|mount| mount.get("mountpoint").and_then(Value::as_str) == Some(point))
        };
        return blocks_of(MOUNT_POINTS.into_iter().find_map(at)?, depth);
    }
    match spec.get("child") {
        Some(child) => blocks_of(child, depth),
        None => Some(spec.clone()),
    }
}
