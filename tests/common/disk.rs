//! File systems of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{has, is_root, run, text};

/// A small ext4 file system of its own, in an image file that is mounted through a loop device.
/// Removing a hundred thousand files by discarding their file system takes no time.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// Of this size; `None`, said aloud, where it cannot be made.
    pub fn new(size_mib: u64, mkfs_options: &[&str]) -> Option<Self> {
        if !is_root() || !has("mkfs.ext4") || !Path::new("/dev/loop-control").exists() {
            eprintln!("SKIPPED in part: a file system of its own needs root, loop devices and mkfs.ext4");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("ipm-disk-").tempdir().unwrap();
        let image = dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(size_mib << 20).unwrap();
        let made = run(Command::new("mkfs.ext4").arg("-q").args(mkfs_options).arg(&image));
        assert!(made.status.success(), "{}", text(&made));
        fs::create_dir(dir.path().join("disk")).unwrap();
        let disk = Self { dir };
        let mounted = run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(disk.path()));
        assert!(mounted.status.success(), "{}", text(&mounted));
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Mounts it again with other options, such as `ro`.
    pub fn remount(&self, options: &str) {
        let output = run(Command::new("mount").arg("-o").arg(format!("remount,{options}")).arg(self.path()));
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
