//! The mount table of this process, from /proc/self/mountinfo (proc_pid_mountinfo(5)).
//!
//! Invariant: looking something up here sends no request to the file system that is mounted there,
//! so it works on a mount whose daemon is dead or hangs.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The subtype by which the mount table and fusermount3 know our mounts.
pub const FS_SUBTYPE: &str = "ipfs-persist-mount";

/// The file system type of our mounts in the mount table.
pub const FS_TYPE: &str = "fuse.ipfs-persist-mount";

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// The kernel's id of the mount; it may be given out again after the unmount.
    pub id: u64,
    /// Major and minor number of the device; for FUSE the minor number is the connection's.
    pub device: (u32, u32),
    /// The directory it is mounted on.
    pub mount_point: PathBuf,
    /// For example `ext4` or `fuse.sshfs`.
    pub fs_type: String,
    /// What is mounted, as the one who mounted it called it.
    pub source: OsString,
    /// Options of the file system itself, separated by commas.
    pub options: String,
}

impl MountEntry {
    /// Whether this program mounted it (any version, any user).
    pub fn is_ours(&self) -> bool {
        self.fs_type == FS_TYPE
    }

    /// Whether it is a FUSE file system, ours or not.
    pub fn is_fuse(&self) -> bool {
        self.fs_type == "fuse" || self.fs_type == "fuseblk" || self.fs_type.starts_with("fuse.")
    }

    /// Whether both are of one file system: one may be a copy of the other that was bound elsewhere. The
    /// kernel gives the number of a device out again at once, so the source has to be the same too.
    pub fn is_of_same_file_system(&self, other: &MountEntry) -> bool {
        (self.device, &self.fs_type, &self.source) == (other.device, &other.fs_type, &other.source)
    }

    /// Whether both are the same mount, seen at two times. It may have been moved in between.
    pub fn is_same_mount(&self, other: &MountEntry) -> bool {
        self.id == other.id && self.is_of_same_file_system(other)
    }

    /// The user who mounted it, if it is FUSE.
    pub fn user_id(&self) -> Option<u32> {
        self.options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
    }
}

/// Where a mount that was seen before is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// At its place, and whoever goes there meets it.
    OnTop,
    /// At its place, below this one.
    Covered(MountEntry),
    /// Not at its place any more.
    Gone,
}

/// The absolute path without symbolic links, found as umount(8) does: nothing is asked of what is
/// mounted on it.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    real_path(&open_path(path)?, path)
}

/// The mount whose root is at `path` (the topmost, where several are stacked), if there is one.
pub fn find(path: &Path) -> Result<Option<MountEntry>> {
    let file = open_path(path)?;
    let (real, id) = (real_path(&file, path)?, mount_id_of(&file)?);
    Ok(entries()?.into_iter().find(|entry| entry.id == id && entry.mount_point == real))
}

/// The mount of this program on top at `path`.
///
/// # Errors
/// [`Error::NotMounted`] if there is none.
pub fn mount_of_ours(path: &Path) -> Result<MountEntry> {
    let not_mounted = || Error::NotMounted { path: path.to_owned() };
    let entry = match find(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(not_mounted());
        }
        found => found?,
    };
    entry.filter(MountEntry::is_ours).ok_or_else(not_mounted)
}

/// The mounts of the file system of `mount`: where it was mounted, or moved to, and where else it was
/// bound. Those that lie in others come first.
pub fn mounts_like(mount: &MountEntry) -> Result<Vec<MountEntry>> {
    let mut found = entries()?;
    found.retain(|entry| entry.is_of_same_file_system(mount));
    found.reverse();
    Ok(found)
}

/// What has become of a mount since it was seen.
pub fn standing(mount: &MountEntry) -> Result<Standing> {
    let top = match find(&mount.mount_point) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        other => other?,
    };
    match top {
        Some(top) if top.is_same_mount(mount) => Ok(Standing::OnTop),
        Some(top) if is_at_its_place(mount)? => Ok(Standing::Covered(top)),
        _ => Ok(Standing::Gone),
    }
}

fn is_at_its_place(mount: &MountEntry) -> Result<bool> {
    Ok(entries()?.iter().any(|entry| entry.is_same_mount(mount) && entry.mount_point == mount.mount_point))
}

/// The id of the mount that holds `path`.
pub(super) fn mount_id_at(path: &Path) -> Result<u64> {
    mount_id_of(&open_path(path)?)
}

/// The type of the file system that holds `path`, for example `ext4`.
pub fn file_system_of(path: &Path) -> Result<Option<String>> {
    let id = mount_id_at(path)?;
    Ok(entries()?.into_iter().find(|entry| entry.id == id).map(|entry| entry.fs_type))
}

/// All mounts that this process can see.
fn entries() -> Result<Vec<MountEntry>> {
    entries_in(Path::new(MOUNTINFO))
}

/// All mounts in a file such as /proc/self/mountinfo.
pub(super) fn entries_in(mountinfo: &Path) -> Result<Vec<MountEntry>> {
    let table = std::fs::read(mountinfo).map_err(|source| Error::io_at("read", mountinfo, source))?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse_line).collect())
}

/// Opens a path for its identity alone, which sends a FUSE file system no request.
pub(super) fn open_path(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path);
    opened.map_err(|source| Error::io_at("open", path, source))
}

fn real_path(file: &File, path: &Path) -> Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|source| Error::io_at("resolve", path, source))
}

pub(super) fn mount_id_of(file: &File) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let text =
        std::fs::read_to_string(&path).map_err(|source| Error::io_at("read", Path::new(&path), source))?;
    field_of(&text, "mnt_id:").ok_or_else(|| Error::Internal { what: format!("{path} shows no mount id") })
}

/// A number in the format of proc_pid_fdinfo(5): `name:<blanks>number`, one a line.
pub(super) fn field_of(fdinfo: &str, name: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// `id parent major:minor root mount_point flags [tags...] - type source options`
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let (major, minor) = text(fields.nth(1)?)?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let mount_point = PathBuf::from(unescape(fields.nth(1)?));
    fields.find(|field| *field == b"-")?;
    let fs_type = text(fields.next()?)?.to_owned();
    let source = unescape(fields.next()?);
    let options = text(fields.next().unwrap_or_default())?.to_owned();
    Some(MountEntry { id, device, mount_point, fs_type, source, options })
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// Undoes the kernel's `\ooo` for blanks, newlines, backslashes and `#`.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                Some((((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), after))
            }
            _ => None,
        };
        let (byte, after) = octal.unwrap_or((*first, tail));
        out.push(byte);
        rest = after;
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_tags_and_escapes() {
        let line = b"42 27 0:39 / /mnt/a\\040b\\134c rw,nosuid shared:1 master:7 - fuse.ipfs-persist-mount \
            file:/srv/x\\054y\\012z rw,user_id=1000,group_id=100";
        let entry = parse_line(line).unwrap();
        assert_eq!((entry.id, entry.device), (42, (0, 39)));
        assert_eq!(entry.mount_point, Path::new("/mnt/a b\\c"));
        assert_eq!(entry.source, "file:/srv/x,y\nz");
        assert_eq!(entry.user_id(), Some(1000));
        assert!(entry.is_ours() && entry.is_fuse());
    }

    #[test]
    fn lines_without_tags_or_options_are_read_too() {
        let entry = parse_line(b"27 1 254:0 / / rw,relatime - ext4 /dev/vda").unwrap();
        assert_eq!(entry.device, (254, 0));
        assert_eq!((entry.is_ours(), entry.is_fuse(), entry.user_id()), (false, false, None));
        assert!(!parse_line(b"27 1 254:0 / / rw - fusectl fusectl rw").unwrap().is_fuse());
    }

    #[test]
    fn lines_that_are_no_mounts_are_passed_over() {
        for line in [&b""[..], b"27", b"27 1 254 / / rw - ext4 x rw", b"27 1 254:0 / / rw ext4 x rw"] {
            assert_eq!(parse_line(line), None);
        }
    }

    #[test]
    fn escapes_at_the_end_and_foreign_backslashes_stay() {
        for (escaped, plain) in [("a\\040", "a "), ("a\\04", "a\\04"), ("a\\", "a\\"), ("\\777x", "\\777x")] {
            assert_eq!(unescape(escaped.as_bytes()), plain);
        }
    }

    #[test]
    fn only_the_root_of_a_mount_is_a_mount_point() {
        let proc = find(Path::new("/proc")).unwrap().unwrap();
        assert_eq!((proc.fs_type.as_str(), proc.mount_point.as_path()), ("proc", Path::new("/proc")));
        assert_eq!(find(Path::new("/proc/self/fd")).unwrap(), None);
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        assert_eq!(find(&link).unwrap().unwrap(), proc);
        assert!(find(&dir.path().join("missing")).is_err());
    }
}
