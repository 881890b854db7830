//! Files and directories that survive a power cut.
//!
//! Invariant: under a path that [`write_file`] writes there is always the whole old content or the
//! whole new one, and after it has returned the new one stays.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::posix_fallocate;

use super::files::Dir;
use crate::{Error, Result};

/// How many names for the temporary file are tried before giving up.
const TEMP_NAMES_MAX: u32 = 100;

/// How much of the name goes into that of the temporary file.
const TEMP_STEM_BYTES_MAX: usize = 200;

/// Replaces the file at `path` with `bytes` and exactly `mode`, whatever the umask, and waits
/// until both are on the disk. A crash may leave a file `.NAME.PID-N.tmp` beside it.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace(path, bytes, mode, File::sync_all)?;
    sync_dir(parent_of(path))
}

/// Replaces the file at `path` with `bytes` and exactly `mode`, without waiting for the disk: others see
/// the whole old file or the whole new one.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace(path, bytes, mode, |_| Ok(()))
}

fn replace(path: &Path, bytes: &[u8], mode: u32, finish: impl FnOnce(&File) -> io::Result<()>) -> Result<()> {
    let (mut file, temp) = create_beside(path)?;
    let written = file
        .set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| finish(&file))
        .map_err(|source| Error::io_at("write", &temp, source))
        .and_then(|()| {
            std::fs::rename(&temp, path).map_err(|source| Error::io_at("rename to", path, source))
        });
    if let Err(error) = written {
        if let Err(left) = std::fs::remove_file(&temp) {
            tracing::warn!(path = %temp.display(), error = %left, "a temporary file stays behind");
        }
        return Err(error);
    }
    Ok(())
}

/// Makes the entries of a directory durable: names created in it, renamed into it or removed.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| Error::io_at("sync directory", path, source))
}

/// Makes everything durable that was written to the file system which holds `path`, by whomever.
pub fn sync_file_system(path: &Path) -> Result<()> {
    Dir::open(path)
        .and_then(|dir| dir.sync_file_system())
        .map_err(|source| Error::io_at("sync the file system of", path, source))
}

/// Makes the directory and those above it that are missing, each 0700 and durable in its parent.
/// A directory that is there already keeps its mode.
pub fn create_dir_all_private(path: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for ancestor in path.ancestors() {
        if ancestor.as_os_str().is_empty() || is_dir(ancestor)? {
            break;
        }
        missing.push(ancestor);
    }
    for dir in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => sync_dir(parent_of(dir))?,
            // Another process was faster, which is as good.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_dir(dir)? => {}
            Err(source) => return Err(Error::io_at("create directory", dir, source)),
        }
    }
    Ok(())
}

/// Makes a file of this many bytes, 0600, whose blocks are all taken on the disk. If there is no room
/// nothing is left of it.
pub fn allocate_file(path: &Path, size_bytes: u64) -> Result<()> {
    let make = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let length = i64::try_from(size_bytes).map_err(io::Error::other)?;
        posix_fallocate(&file, 0, length)?;
        Ok(())
    };
    make().map_err(|source| {
        if source.kind() != io::ErrorKind::AlreadyExists {
            // What cannot be removed either does no harm.
            let _ = std::fs::remove_file(path);
        }
        Error::io_at("allocate", path, source)
    })
}

fn is_dir(path: &Path) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(Error::io_at("create directory", path, io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io_at("stat", path, source)),
    }
}

/// The directory that holds `path`; the current one for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Creates a new file, private until its mode is set, beside the one it is to replace.
fn create_beside(path: &Path) -> Result<(File, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::io_at("write", path, io::ErrorKind::InvalidFilename.into()));
    };
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..TEMP_NAMES_MAX {
        let mut temp_name = std::ffi::OsString::from(".");
        // Some names leave no room for an ending.
        let stem = name.as_bytes().get(..TEMP_STEM_BYTES_MAX).unwrap_or(name.as_bytes());
        temp_name.push(OsStr::from_bytes(stem));
        temp_name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let temp = path.with_file_name(temp_name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp) {
            Ok(file) => return Ok((file, temp)),
            // A leftover of a crashed process that had our pid.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(source) => return Err(Error::io_at("create", &temp, source)),
        }
    }
    Err(Error::io_at("create a temporary file beside", path, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marker.json");
        write_file(&path, b"a longer first text", 0o600).unwrap();
        write_file(&path, b"second", 0o664).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o664);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_leaves_no_room_for_an_ending_is_replaced_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(255));
        replace_file(&path, b"first", 0o640).unwrap();
        replace_file(&path, b"second", 0o604).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_target_and_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("taken");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("inside"), "x").unwrap();
        let error = write_file(&target, b"text", 0o600).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert!(target.join("inside").exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn missing_directories_are_made_private_and_existing_ones_kept() {
        let dir = tempfile::tempdir().unwrap();
        let outer = dir.path().join("outer");
        DirBuilder::new().mode(0o755).create(&outer).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let outer_mode = mode(&outer);
        let inner = outer.join("a/b");
        create_dir_all_private(&inner).unwrap();
        create_dir_all_private(&inner).unwrap();
        assert_eq!((mode(&inner), mode(&outer.join("a"))), (0o700, 0o700));
        assert_eq!(mode(&outer), outer_mode);
        std::fs::write(inner.join("file"), "").unwrap();
        assert!(create_dir_all_private(&inner.join("file/below")).is_err());
    }
}
