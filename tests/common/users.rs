//! Acting as an ordinary user: in a mount namespace where everybody may open /dev/fuse, as
//! distributions have it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{is_root, need};

/// The user and group of the ordinary user, `nobody`.
pub const NOBODY: u32 = 65534;

/// The begin of a script in such a namespace, in a directory of its own. Mounts of others that the
/// namespace has copied are let go: they would outlive their unmounting elsewhere.
pub const OPEN_FUSE: &str = "set -euo pipefail
awk '/ - fuse[^c]/ { print $5 }' /proc/self/mountinfo | while read -r mount; do
    umount -l \"$(printf %b \"$mount\")\"
done
mknod fuse c 10 229
chmod 666 fuse
mount --bind fuse /dev/fuse
";

/// What stands before a command of the ordinary user.
pub const AS_NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups --";

/// Whether one can act as an ordinary user here; the skip is loud.
pub fn available() -> bool {
    if !["unshare", "setpriv", "fusermount3"].into_iter().all(need) {
        return false;
    }
    if !is_root() {
        eprintln!("SKIPPED: acting as other users needs root");
    }
    is_root()
}

/// The command that runs a script in `dir`, in a mount namespace that ends with it.
pub fn in_namespace(dir: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "bash", "-c", script]).current_dir(dir);
    command
}

/// A copy of a program for everybody: where it was built may be closed to others.
pub fn copy(program: &Path, dir: &Path) -> PathBuf {
    let copy = dir.join(program.file_name().unwrap());
    fs::copy(program, &copy).unwrap();
    for path in [dir, &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

/// A directory of the ordinary user's own in `dir`.
pub fn home(dir: &Path) -> PathBuf {
    let home = dir.join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    home
}
