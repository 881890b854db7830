//! Free space, judged in one place: for new blocks, and for what `df` shows.
//!
//! Invariant: nothing is remembered between two judgements, so a refusal is never sticky.

use std::fs::File;
use std::path::PathBuf;

use crate::sys::{Space, space_of_open};
use crate::{Error, Result};

/// Free inodes that new blocks must leave where every block is a file, unless no reserve is wanted
/// at all.
pub const FREE_INODES_MIN: u64 = 128;

/// The rule for one store.
#[derive(Debug)]
pub struct Reserve {
    /// The data directory, for messages.
    pub path: PathBuf,
    /// The same, opened: it may be moved while it is mounted.
    pub directory: File,
    /// Free bytes that must remain.
    pub min_free_bytes: u64,
    /// Whether every block takes an inode.
    pub file_per_block: bool,
}

impl Reserve {
    /// Whether `more_bytes` (all bytes that are staged or about to be) still fit.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and [`Error::NoInodes`], with the figures.
    pub fn check(&self, more_bytes: u64) -> Result<()> {
        let space = space_of_open(&self.directory, &self.path)?;
        if space.free_bytes.saturating_sub(more_bytes) < self.min_free_bytes {
            return Err(Error::NoSpace {
                path: self.path.clone(),
                free_bytes: space.free_bytes,
                reserve_bytes: self.min_free_bytes,
            });
        }
        // File systems that make inodes as they go (btrfs) report none at all.
        if space.total_inodes > 0 && space.free_inodes < self.min_free_inodes() {
            return Err(Error::NoInodes { path: self.path.clone(), free: space.free_inodes });
        }
        Ok(())
    }

    fn min_free_inodes(&self) -> u64 {
        if self.file_per_block && self.min_free_bytes > 0 { FREE_INODES_MIN } else { 0 }
    }

    /// The backing file system less the reserve.
    pub fn space(&self) -> Result<Space> {
        let space = space_of_open(&self.directory, &self.path)?;
        Ok(Space {
            total_bytes: space.total_bytes.saturating_sub(self.min_free_bytes),
            free_bytes: space.free_bytes.saturating_sub(self.min_free_bytes),
            total_inodes: space.total_inodes.saturating_sub(self.min_free_inodes()),
            free_inodes: space.free_inodes.saturating_sub(self.min_free_inodes()),
            ..space
        })
    }
}
