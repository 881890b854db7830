//! A file system in a file, mounted through a loop device.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{eventually, has, is_root, run, text};

/// A kind of file system, and the smallest disk on which it and every engine feel at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    pub size: u64,
    make: &'static [&'static str],
}

const KINDS: [Kind; 3] = [
    Kind { name: "ext4", size: 160 << 20, make: &["mkfs.ext4", "-q"] },
    Kind { name: "xfs", size: 320 << 20, make: &["mkfs.xfs", "-q"] },
    Kind { name: "btrfs", size: 320 << 20, make: &["mkfs.btrfs", "-q"] },
];

impl Kind {
    /// The one that IPFS_PERSIST_TEST_FILE_SYSTEM names, or ext4.
    pub fn wanted() -> Self {
        let name = std::env::var("IPFS_PERSIST_TEST_FILE_SYSTEM").unwrap_or_else(|_| "ext4".to_owned());
        *KINDS.iter().find(|kind| kind.name == name).expect("IPFS_PERSIST_TEST_FILE_SYSTEM is a known one")
    }

    /// Whether it can be made and mounted here. In CI it is an error if not; elsewhere the skip is loud.
    pub fn available(self) -> bool {
        let available = is_root() && has(self.make[0]) && Path::new("/dev/loop-control").exists();
        if !available {
            let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(!ci, "CI has no root, no loop devices or no {}", self.make[0]);
            eprintln!(
                "SKIPPED: cutting the power needs root, loop devices and {}: this test proved nothing",
                self.make[0]
            );
        }
        available
    }

    /// Makes the file system in a file that is empty.
    pub fn make(self, file: &Path) {
        let output = run(Command::new(self.make[0]).args(&self.make[1..]).arg(file));
        assert!(output.status.success(), "{}", text(&output));
    }
}

/// It is unmounted when it is dropped; the loop device goes with it.
pub struct MountedImage {
    at: PathBuf,
}

impl MountedImage {
    pub fn new(file: &Path, at: &Path) -> Result<Self, String> {
        let output = run(Command::new("mount").args(["-o", "loop"]).arg(file).arg(at));
        if output.status.success() { Ok(Self { at: at.to_owned() }) } else { Err(text(&output)) }
    }

    /// Unmounts, and waits until nobody uses it.
    pub fn unmount(self) {
        eventually("the file system is let go", || {
            let output = run(Command::new("umount").arg(&self.at));
            assert!(output.status.success() || text(&output).contains("busy"), "{}", text(&output));
            output.status.success()
        });
    }
}

impl Drop for MountedImage {
    fn drop(&mut self) {
        crate::common::detach(&self.at);
    }
}
