//! libmount's table of what the kernel does not keep of mounts, /run/mount/utab.
//!
//! Of a mount that is not in it umount(8) asks the kernel only which kind of file system it is, hears
//! `fuse`, and finds no helper of ours: so a mount that wants to be waited for is noted there, as davfs2
//! and udisks note theirs.
//!
//! Invariant: the table is replaced as a whole, under its own lock, and lines of others stay as they are.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::lock::lock_within;
use super::{MountEntry, replace_file};
use crate::{Error, Result};

/// Where libmount keeps it.
const DIRECTORY: &str = "/run/mount";

/// How long others may hold its lock. Nothing depends on the note but that umount(8) waits.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Notes a mount, with the name of the program that is to unmount it: `/sbin/umount.HELPER`.
pub fn note_mount(mount: &MountEntry, helper: &str) -> Result<()> {
    change(Path::new(DIRECTORY), true, |lines| lines.push(line(mount, helper)))
}

/// Takes the note of a mount out again, if there is one.
pub fn forget_mount(mount: &MountEntry, helper: &str) -> Result<()> {
    let note = line(mount, helper);
    change(Path::new(DIRECTORY), false, |lines| lines.retain(|line| !is_same(line, &note)))
}

/// `NAME=value` for each of these, with blanks between.
fn line(mount: &MountEntry, helper: &str) -> Vec<u8> {
    let fields: [(&str, &[u8]); 4] = [
        ("SRC", mount.source.as_bytes()),
        ("TARGET", mount.mount_point.as_os_str().as_bytes()),
        ("ROOT", b"/"),
        ("OPTS", &[b"uhelper=", helper.as_bytes()].concat()),
    ];
    let mut line = Vec::new();
    for (name, value) in fields {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(name.as_bytes());
        line.push(b'=');
        line.extend(value.iter().flat_map(|byte| escaped(*byte)));
    }
    line
}

/// Blanks, line ends and backslashes become `\ooo`.
fn escaped(byte: u8) -> Vec<u8> {
    if b" \t\n\\".contains(&byte) { format!("\\{byte:03o}").into_bytes() } else { vec![byte] }
}

/// Whether a line says what the note says. libmount writes all lines anew when it changes one, and may
/// add fields.
fn is_same(line: &[u8], note: &[u8]) -> bool {
    let fields = |line| <[u8]>::split(line, |byte| *byte == b' ').collect::<Vec<_>>();
    let there = fields(line);
    fields(note).iter().all(|field| there.contains(field))
}

/// Reads the table, has it changed, and writes it if it is another then. Without `make`, a table that
/// is not there or empty is left so.
fn change(directory: &Path, make: bool, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Result<()> {
    let path = directory.join("utab");
    let failed = |op: &'static str| {
        let path = path.clone();
        move |source| Error::io_at(op, &path, source)
    };
    if !make && read(&path).map_err(failed("read"))?.is_empty() {
        return Ok(());
    }
    match DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make")(error)),
        _ => {}
    }
    let _lock = lock(&directory.join("utab.lock")).map_err(failed("lock"))?;
    let before = read(&path).map_err(failed("read"))?;
    let mut lines: Vec<Vec<u8>> =
        before.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    let count = lines.len();
    change(&mut lines);
    if lines.len() == count {
        return Ok(());
    }
    let mut after = lines.join(&b'\n');
    if !after.is_empty() {
        after.push(b'\n');
    }
    // Everybody reads it, whatever our umask is.
    replace_file(&path, &after, 0o644)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// The lock that libmount takes, by flock(2).
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path)?;
    if lock_within(&file, LOCK_WAIT)? { Ok(file) } else { Err(io::ErrorKind::TimedOut.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mount(source: &str, at: &str) -> MountEntry {
        MountEntry {
            id: 1,
            device: (0, 1),
            mount_point: at.into(),
            fs_type: "fuse.x".into(),
            source: source.into(),
            options: String::new(),
        }
    }

    #[test]
    fn a_note_comes_and_goes_and_lines_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("mount");
        let path = directory.join("utab");
        let (ours, theirs) =
            (line(&mount("file:/a b", "/mnt\\c\nd"), "fuse.x"), &b"SRC=x TARGET=/y OPTS=user=z"[..]);
        assert_eq!(ours, b"SRC=file:/a\\040b TARGET=/mnt\\134c\\012d ROOT=/ OPTS=uhelper=fuse.x");
        let forget = |lines: &mut Vec<Vec<u8>>| lines.retain(|line| !is_same(line, &ours));

        change(&directory, false, forget).unwrap();
        assert!(!directory.exists(), "nothing is made to take something out");
        change(&directory, true, |lines| lines.push(ours.clone())).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        std::fs::write(&path, [theirs, b"\n", &ours, b" ID=7\n", theirs, b"2\n"].concat()).unwrap();
        change(&directory, false, forget).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [theirs, b"\n", theirs, b"2\n"].concat());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "the table and its lock");
    }

    #[test]
    fn a_lock_that_is_held_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(&dir.path().join("utab.lock")).unwrap();
        let directory = dir.path().to_owned();
        let waiting =
            std::thread::spawn(move || change(&directory, true, |lines| lines.push(b"SRC=x".to_vec())));
        drop(held);
        waiting.join().unwrap().unwrap();
        assert_eq!(std::fs::read(dir.path().join("utab")).unwrap(), b"SRC=x\n");
    }
}
