//! How much room a file system has.

use std::fs::File;
use std::path::Path;

use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};

use crate::{Error, Result};

/// The room on one file system, as an ordinary user may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system in bytes, without what only root may use: total less free is then
    /// what is used, which is how df(1) computes it.
    pub total_bytes: u64,
    /// Bytes that an ordinary user may still write (`f_bavail * f_frsize`).
    pub free_bytes: u64,
    /// Inodes in all; 0 where the file system makes them as needed and has no such limit.
    pub total_inodes: u64,
    /// Inodes that an ordinary user may still use; means nothing where `total_inodes` is 0.
    pub free_inodes: u64,
    /// The unit of allocation, in bytes.
    pub block_bytes: u64,
}

/// Asks the file system that holds `path`, which must exist.
pub fn space_of(path: &Path) -> Result<Space> {
    statvfs(path).map(|stat| of(&stat)).map_err(|errno| Error::io_at("statvfs", path, errno.into()))
}

/// Asks the file system that holds an open file or directory, wherever it has been moved to; `path`
/// is for the message.
pub fn space_of_open(file: &File, path: &Path) -> Result<Space> {
    fstatvfs(file).map(|stat| of(&stat)).map_err(|errno| Error::io_at("statvfs", path, errno.into()))
}

fn of(stat: &Statvfs) -> Space {
    let unit = match stat.fragment_size() {
        0 => stat.block_size(),
        bytes => bytes,
    };
    let for_root = stat.blocks_free().saturating_sub(stat.blocks_available());
    let inodes_for_root = stat.files_free().saturating_sub(stat.files_available());
    Space {
        total_bytes: stat.blocks().saturating_sub(for_root).saturating_mul(unit),
        free_bytes: stat.blocks_available().saturating_mul(unit),
        total_inodes: stat.files().saturating_sub(inodes_for_root),
        free_inodes: stat.files_available(),
        block_bytes: unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_of_a_directory_has_sensible_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let space = space_of(dir.path()).unwrap();
        assert!(space.block_bytes > 0 && space.total_bytes > 0);
        assert!(space.free_bytes <= space.total_bytes);
    }

    #[test]
    fn a_missing_path_is_an_error_that_names_it() {
        let error = space_of(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"));
        assert_eq!(error.errno(), libc::ENOENT);
    }
}
