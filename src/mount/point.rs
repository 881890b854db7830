//! Whether a directory can be mounted on.
//!
//! Invariant: a mount that is not ours is never detached, and a mount of ours only when its daemon
//! is dead; everything else that is in the way is refused with what to do about it.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{detach, own};
use crate::sys::{self, MountEntry};
use crate::{Error, Result};

/// How many dead mounts of ours are taken off one mount point before something else is suspected.
const DEAD_MOUNTS_MAX: usize = 16;

/// How long another start may take to mount on the same directory.
const CLAIM_WAIT: Duration = Duration::from_secs(5);

/// Checks the directory at `path`, and returns it absolute and without symbolic links.
///
/// A mount of ours whose daemon is dead is detached first. `data_path`, which need not exist yet,
/// must not come to lie inside the mount, for the daemon would wait for itself, nor around it, for
/// the mount would hide a part of the store from its own engine.
pub fn check(path: &Path, allow_non_empty: bool, data_path: Option<&Path>) -> Result<PathBuf> {
    let mount_point = sys::resolve(path).map_err(|error| cannot_open(path, error))?;
    clear_dead_mounts(&mount_point, allow_non_empty)?;
    check_directory(&mount_point, allow_non_empty)?;
    if let Some(data_path) = data_path {
        check_data_path(&mount_point, data_path)?;
    }
    Ok(mount_point)
}

/// Claims a checked directory for the moment of mounting: of several starts at the same time only one
/// mounts on it, and the others find that mount. The claim ends when the file is dropped.
pub fn claim(mount_point: &Path, allow_non_empty: bool) -> Result<File> {
    let failed = |source| Error::io_at("open", mount_point, source);
    let directory = File::open(mount_point).map_err(failed)?;
    if !sys::lock_within(&directory, CLAIM_WAIT).map_err(failed)? {
        return Err(refuse(mount_point, "another process has locked it", "wait for that process to end"));
    }
    clear_dead_mounts(mount_point, allow_non_empty)?;
    Ok(directory)
}

fn refuse(path: &Path, why: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::MountPoint { path: path.to_owned(), why: why.into(), hint: hint.into() }
}

fn cannot_open(path: &Path, error: Error) -> Error {
    let Error::Io { source, .. } = error else { return error };
    let shown = path.display();
    match source.kind() {
        io::ErrorKind::NotFound => {
            refuse(path, "it does not exist", format!("create it first: `mkdir -p {shown}`"))
        }
        io::ErrorKind::NotConnected => refuse(
            path,
            "it lies in a mount whose daemon is dead",
            "`findmnt` shows which; unmount that one first with `fusermount3 -u` or `umount`",
        ),
        _ => refuse(path, source.to_string(), "choose another directory, or check its permissions"),
    }
}

/// Looks at what is mounted on the directory, and takes dead mounts of ours off it.
fn clear_dead_mounts(path: &Path, allow_non_empty: bool) -> Result<()> {
    for _ in 0..DEAD_MOUNTS_MAX {
        let Some(mount) = sys::find(path)? else { return Ok(()) };
        if !mount.is_fuse() {
            return Ok(());
        }
        match (detach::is_dead(path), mount.is_ours()) {
            (true, true) => {
                detach::detach_mount(&mount, true)?;
                own::forget(&mount);
                tracing::warn!(path = %path.display(), source = %mount.source.display(), "detached a mount of ours whose daemon is dead");
            }
            (true, false) => {
                let why = format!(
                    "the mount of another program, {}, is there, and its daemon is dead",
                    shown(&mount)
                );
                return Err(refuse(path, why, format!("unmount it first: `umount {}`", path.display())));
            }
            (false, true) => {
                let why = format!("{} is mounted there already", mount.source.display());
                let hint = format!("unmount it first: `ipfs-persist-mount unmount {}`", path.display());
                return Err(refuse(path, why, hint));
            }
            (false, false) if allow_non_empty => return Ok(()),
            (false, false) => {
                let why = format!("{} is mounted there", shown(&mount));
                return Err(refuse(
                    path,
                    why,
                    "choose another directory, or mount over it with --allow-non-empty",
                ));
            }
        }
    }
    Err(refuse(
        path,
        "dead mounts on it cannot be detached",
        format!("unmount them by hand: `umount {}`", path.display()),
    ))
}

fn shown(mount: &MountEntry) -> String {
    format!("{} ({})", mount.source.display(), mount.fs_type)
}

fn check_directory(path: &Path, allow_non_empty: bool) -> Result<()> {
    let unreadable = |source: io::Error| {
        refuse(path, format!("it cannot be read: {source}"), "choose a directory that you own")
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_dir() {
        return Err(refuse(path, "it is not a directory", "choose an empty directory"));
    }
    if allow_non_empty || std::fs::read_dir(path).map_err(unreadable)?.next().is_none() {
        return Ok(());
    }
    Err(refuse(
        path,
        "it is not empty, and what is in it would be hidden",
        "choose an empty directory, or mount over it with --allow-non-empty",
    ))
}

fn check_data_path(mount_point: &Path, data_path: &Path) -> Result<()> {
    let real = real_path_to_be(data_path)?;
    if real.starts_with(mount_point) {
        let why = format!("the data directory {} would be inside the mount", data_path.display());
        return Err(refuse(mount_point, why, "choose a --data-path outside of the mount point"));
    }
    if mount_point.starts_with(&real) {
        let why = format!("it is inside the data directory {}, and would hide a part of it", real.display());
        return Err(refuse(mount_point, why, "choose a directory outside of the data directory"));
    }
    Ok(())
}

/// The path without symbolic links that a path has, or will have once it is made.
fn real_path_to_be(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|source| Error::io_at("resolve", path, source))?;
    for existing in absolute.ancestors() {
        let Ok(mut real) = sys::resolve(existing) else { continue };
        for component in absolute.strip_prefix(existing).unwrap_or(Path::new("")).components() {
            match component {
                Component::ParentDir => drop(real.pop()),
                other => real.push(other),
            }
        }
        return Ok(real);
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn why(result: Result<PathBuf>) -> String {
        match result {
            Err(Error::MountPoint { why, hint, .. }) => {
                assert!(!hint.is_empty());
                why
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn an_empty_directory_is_returned_without_symbolic_links() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        fs::create_dir(&real).unwrap();
        symlink(&real, dir.path().join("link")).unwrap();
        assert_eq!(check(&dir.path().join("link"), false, None).unwrap(), real);
    }

    #[test]
    fn what_is_missing_or_no_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(why(check(&dir.path().join("missing"), false, None)).contains("does not exist"));
        assert!(why(check(&dir.path().join("file"), true, None)).contains("not a directory"));
    }

    #[test]
    fn what_is_not_empty_is_refused_unless_allowed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(why(check(dir.path(), false, None)).contains("not empty"));
        check(dir.path(), true, None).unwrap();
    }

    #[test]
    fn another_kind_of_mount_is_a_directory_like_any_other() {
        assert!(why(check(Path::new("/proc"), false, None)).contains("not empty"));
    }

    #[test]
    fn a_data_directory_in_the_mount_point_or_around_it_is_refused_however_it_is_spelled() {
        let dir = tempfile::tempdir().unwrap();
        let mount_point = dir.path().join("mnt");
        fs::create_dir(&mount_point).unwrap();
        symlink(&mount_point, dir.path().join("link")).unwrap();
        for inside in ["mnt", "mnt/data/file", "link/data", "mnt/../link/data", "other/../mnt/data"] {
            let data_path = dir.path().join(inside);
            assert!(why(check(&mount_point, false, Some(&data_path))).contains("inside"), "{inside}");
        }
        let inside = mount_point.join("deep");
        fs::create_dir(&inside).unwrap();
        assert!(why(check(&inside, false, Some(&mount_point))).contains("inside the data directory"));
        fs::remove_dir(&inside).unwrap();
        for outside in ["data", "mnt2", "mnt/../data", "other/mnt"] {
            check(&mount_point, false, Some(&dir.path().join(outside))).unwrap();
        }
    }
}
