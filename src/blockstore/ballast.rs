//! Room on the disk that is kept for bad times: a file of zeros that is removed when the disk is full,
//! so that deleting, compacting and closing still work.
//!
//! Invariant: the file holds nothing, so it may be missing at any time, and is only made where it
//! takes a small part of what is free.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::sys::{allocate_file, space_of};

/// The name of the file in a data directory.
pub const BALLAST_NAME: &str = "ballast";
/// It is made where so many times its size is free.
const FREE_PER_BALLAST: u64 = 3;

/// The ballast of one store.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    size_bytes: u64,
}

impl Ballast {
    pub(super) fn new(data_path: &Path, size_bytes: u64) -> Self {
        Self { path: data_path.join(BALLAST_NAME), size_bytes }
    }

    /// Makes the file if it is missing and there is plenty of room. Failing is no error: the store
    /// works without.
    pub(super) fn build(&self) {
        self.build_where_free(self.size_bytes.saturating_mul(FREE_PER_BALLAST));
    }

    /// Makes it for the next start if there is just enough room.
    pub(super) fn build_for_next_start(&self) {
        self.build_where_free(self.size_bytes);
    }

    fn build_where_free(&self, wanted: u64) {
        if self.path.exists() {
            return;
        }
        let plenty = self.path.parent().is_some_and(|dir| space_of(dir).is_ok_and(|s| s.free_bytes > wanted));
        if plenty && let Err(error) = allocate_file(&self.path, self.size_bytes) {
            warn!(%error, "no room is kept for a full disk");
        }
    }

    /// Gives the room back; whether there was any.
    pub(super) fn release(&self) -> bool {
        match std::fs::remove_file(&self.path) {
            Ok(()) => {
                info!(path = %self.path.display(), "the disk is full: the room kept for that is used now");
                true
            }
            Err(_) => false,
        }
    }
}
