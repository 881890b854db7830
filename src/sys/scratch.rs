//! Temporary directories and files, and what the files in a directory take on the disk.
//!
//! Invariant: a temporary directory was made here, new and private, and is removed with everything
//! in it when its owner lets go of it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// How many names are tried before giving up.
const NAMES_MAX: u32 = 1000;

/// Bytes in the unit of `st_blocks`, whatever the file system's own is (stat(3type)).
const STAT_BLOCK_BYTES: u64 = 512;

/// A file without a name in the directory for temporary files, private to this process.
pub fn unnamed_file() -> io::Result<File> {
    let flags = nix::fcntl::OFlag::O_TMPFILE.bits();
    OpenOptions::new().read(true).write(true).custom_flags(flags).mode(0o600).open(std::env::temp_dir())
}

/// A directory of our own.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Makes `PREFIX.PID-N` in the directory, with mode 0700.
    pub fn new_in(parent: &Path, prefix: &str) -> Result<Self> {
        let parent = parent.canonicalize().map_err(|source| Error::io_at("open", parent, source))?;
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..NAMES_MAX {
            let path = parent.join(format!("{prefix}.{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                // One that a killed process with our pid has left.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(source) => return Err(Error::io_at("create directory", &path, source)),
            }
        }
        Err(Error::io_at("create a temporary directory in", &parent, last))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary directory stays behind");
        }
    }
}

/// Bytes that a directory and everything below it occupy on the disk, as du(1) counts them; 0 if
/// it does not exist. Symbolic links are not followed, and what vanishes meanwhile is passed over.
pub fn allocated_bytes(path: &Path) -> Result<u64> {
    let failed = |source| Error::io_at("measure", path, source);
    let Some(found) = if_there(std::fs::symlink_metadata(path)).map_err(failed)? else { return Ok(0) };
    let mut bytes = found.blocks() * STAT_BLOCK_BYTES;
    if found.is_dir()
        && let Some(entries) = if_there(std::fs::read_dir(path)).map_err(failed)?
    {
        for entry in entries {
            bytes += allocated_bytes(&entry.map_err(failed)?.path())?;
        }
    }
    Ok(bytes)
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_temporary_directory_is_new_and_private_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let first = ScratchDir::new_in(parent.path(), "x").unwrap();
        let second = ScratchDir::new_in(parent.path(), "x").unwrap();
        assert_ne!(first.path(), second.path());
        assert_eq!(std::fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir_all(first.path().join("a/b")).unwrap();
        std::fs::write(first.path().join("a/b/file"), "x").unwrap();
        drop((first, second));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        assert!(ScratchDir::new_in(&parent.path().join("missing"), "x").is_err());
    }

    #[test]
    fn what_files_occupy_is_counted_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(allocated_bytes(&dir.path().join("missing")).unwrap(), 0);
        let empty = allocated_bytes(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        std::fs::write(dir.path().join("inner/file"), vec![7; 100_000]).unwrap();
        std::fs::File::open(dir.path().join("inner/file")).unwrap().sync_all().unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let grown = allocated_bytes(dir.path()).unwrap() - empty;
        assert!((100_000..200_000).contains(&grown), "{grown}");
    }
}
