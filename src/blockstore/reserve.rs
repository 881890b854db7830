//! Free space, judged in one place: for new blocks, and for what `df` shows.
//!
//! Invariant: nothing is remembered between two judgements, so a refusal is never sticky.

use std::path::PathBuf;

use crate::sys::{Space, space_of};
use crate::{Error, Result};

/// Free inodes that new blocks must leave, where every block is a file.
pub const FREE_INODES_MIN: u64 = 128;

/// The rule for one store.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The data directory.
    pub path: PathBuf,
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
        let space = space_of(&self.path)?;
        if space.free_bytes.saturating_sub(more_bytes) < self.min_free_bytes {
            return Err(Error::NoSpace {
                path: self.path.clone(),
                free_bytes: space.free_bytes,
                reserve_bytes: self.min_free_bytes,
            });
        }
        // File systems that make inodes as they go (btrfs) report none at all.
        if self.file_per_block && space.total_inodes > 0 && space.free_inodes < FREE_INODES_MIN {
            return Err(Error::NoInodes { path: self.path.clone(), free: space.free_inodes });
        }
        Ok(())
    }

    /// The backing file system less the reserve.
    pub fn space(&self) -> Result<Space> {
        let space = space_of(&self.path)?;
        Ok(Space {
            total_bytes: space.total_bytes.saturating_sub(self.min_free_bytes),
            free_bytes: space.free_bytes.saturating_sub(self.min_free_bytes),
            ..space
        })
    }
}
