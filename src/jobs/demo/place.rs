//! Where a demo keeps its store.

use std::path::{Path, PathBuf};

use super::Request;
use crate::Result;
use crate::blockstore::{BALLAST_NAME, StoreOptions};
use crate::datastore::Backend;
use crate::sys::{ScratchDir, allocated_bytes};

/// What temporary directories are named by.
const PREFIX: &str = "ipfs-persist-demo";

/// Where the store is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a directory that is made in this one, and removed in the end.
    TemporaryIn(PathBuf),
    /// In this data directory, whose blocks must stay as they are.
    Given(PathBuf),
}

/// A place that is ready.
pub struct Ground {
    /// How to open the store there.
    pub options: StoreOptions,
    /// The store goes with its directory.
    scratch: Option<ScratchDir>,
}

impl Ground {
    /// Makes the temporary directory, if there is to be one. Backends without files need none.
    pub fn prepare(request: &Request) -> Result<Self> {
        let mut options = StoreOptions { data_path: None, ..request.store.clone() };
        let has_files = |row: &Backend| row.default_path.is_some();
        let mut scratch = None;
        match &request.place {
            _ if !options.backend.is_none_or(has_files) => {}
            Place::Given(path) => options.data_path = Some(path.clone()),
            Place::TemporaryIn(parent) => {
                let made = ScratchDir::new_in(parent, PREFIX)?;
                options.data_path = Some(made.path().join(options.backend.map_or("data", |row| row.name)));
                scratch = Some(made);
            }
        }
        Ok(Self { options, scratch })
    }

    /// Whether blocks have to be removed one by one.
    pub fn stays(&self) -> bool {
        self.scratch.is_none()
    }

    /// The data directory, if there is one.
    pub fn data_path(&self) -> Option<&Path> {
        self.options.data_path.as_deref()
    }

    /// What the data directory takes on the disk for its blocks: the room that is kept for a full
    /// disk is none of theirs.
    pub fn allocated_bytes(&self) -> Result<u64> {
        let Some(path) = self.data_path() else { return Ok(0) };
        let ballast = path.join(BALLAST_NAME);
        let kept = if ballast.is_file() { allocated_bytes(&ballast)? } else { 0 };
        Ok(allocated_bytes(path)?.saturating_sub(kept))
    }
}
