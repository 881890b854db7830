//! Mounting, unmounting and checking mount points with the real kernel: as root with a bare FUSE
//! session behind the mount, and as an ordinary user through fusermount3.
//!
//! Without /dev/fuse or root these tests pass without having tried anything, and say so.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ipfs_persist_mount::mount::{
    MountFlag, ServeOptions, UnmountOptions, attach, detach, point, unmount_and_wait,
};
use ipfs_persist_mount::{Error, sys};

const SOURCE: &str = "file:/srv/a,b\\c d";
/// Set in a copy of this program that runs as an ordinary user: the directory to mount on.
const USER_MOUNT_POINT: &str = "TEST_USER_MOUNT_POINT";

/// A file system that answers every request with ENOSYS, which is enough to be alive.
struct Alive;
impl fuser::Filesystem for Alive {}

/// A directory to mount on. Whatever is still mounted at the end is detached.
struct MountPoint(tempfile::TempDir);

impl MountPoint {
    fn new() -> Option<Self> {
        if sys::effective_ids().0 != 0 || sys::open_fuse_device().is_err() {
            eprintln!("skipped: needs root and /dev/fuse");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        Some(Self(dir))
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("mnt")
    }

    fn options(&self) -> ServeOptions {
        serve_options(&self.path())
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        while detach(&self.path(), true).is_ok() {}
    }
}

fn serve_options(path: &Path) -> ServeOptions {
    ServeOptions {
        mount_point: path.to_owned(),
        source: SOURCE.to_owned(),
        read_only: true,
        allow_other: false,
        allow_non_empty: false,
        flags: vec![MountFlag::NoExec],
        stop_timeout: Duration::from_secs(1),
    }
}

fn refusal(path: &Path) -> String {
    match point::check(path, false, None) {
        Err(error @ Error::MountPoint { .. }) => error.to_string(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Serves `fd` until it is unmounted.
fn serve(fd: std::os::fd::OwnedFd) -> fuser::BackgroundSession {
    let session = fuser::Session::from_fd(Alive, fd, fuser::SessionACL::Owner, fuser::Config::default());
    session.unwrap().spawn().unwrap()
}

#[test]
fn a_mount_shows_its_source_and_goes_when_it_is_detached() {
    let Some(mount_point) = MountPoint::new() else { return };
    let path = point::check(&mount_point.path(), false, None).unwrap();
    let device = attach(&mount_point.options()).unwrap();
    let mount = sys::find(&path).unwrap().unwrap();
    assert!(mount.is_ours());
    assert_eq!((mount.source.as_os_str(), mount.user_id()), (SOURCE.as_ref(), Some(0)));
    detach(&path, false).unwrap();
    assert_eq!(sys::find(&path).unwrap(), None);
    assert!(matches!(detach(&path, false), Err(Error::NotMounted { .. })));
    drop(device);
}

#[test]
fn a_live_mount_is_refused_and_left_alone() {
    let Some(mount_point) = MountPoint::new() else { return };
    let session = serve(attach(&mount_point.options()).unwrap());
    let text = refusal(&mount_point.path());
    assert!(text.contains("is mounted there already"), "{text}");
    unmount_and_wait(&mount_point.path(), &UnmountOptions::default()).unwrap();
    session.join().unwrap();
    point::check(&mount_point.path(), false, None).unwrap();
}

#[test]
fn dead_mounts_of_ours_are_cleared_away() {
    let Some(mount_point) = MountPoint::new() else { return };
    drop(attach(&mount_point.options()).unwrap());
    drop(attach(&mount_point.options()).unwrap());
    assert_eq!(fs::metadata(mount_point.path()).unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    point::check(&mount_point.path(), false, None).unwrap();
    assert_eq!(sys::find(&mount_point.path()).unwrap(), None);
}

#[test]
fn a_dead_mount_is_unmounted_without_waiting_for_anybody() {
    let Some(mount_point) = MountPoint::new() else { return };
    drop(attach(&mount_point.options()).unwrap());
    unmount_and_wait(&mount_point.path(), &UnmountOptions::default()).unwrap();
    assert_eq!(sys::find(&mount_point.path()).unwrap(), None);
}

#[test]
fn a_dead_mount_of_another_program_is_refused_and_left_alone() {
    let Some(mount_point) = MountPoint::new() else { return };
    let device = sys::open_fuse_device().unwrap();
    let request = sys::MountRequest {
        target: &mount_point.path(),
        source: "host:/home",
        fs_type: "fuse.sshfs",
        owner: (0, 0),
        allow_other: false,
        read_only: false,
        no_exec: false,
        no_atime: false,
        no_dir_atime: false,
    };
    sys::mount_fuse(&device, &request).unwrap();
    drop(device);
    let text = refusal(&mount_point.path());
    assert!(text.contains("host:/home (fuse.sshfs)"), "{text}");
    assert!(matches!(detach(&mount_point.path(), true), Err(Error::NotMounted { .. })));
    assert!(sys::find(&mount_point.path()).unwrap().is_some());
    sys::umount(&mount_point.path()).unwrap();
}

#[test]
fn a_busy_mount_is_refused_with_the_names_of_its_holders() {
    let Some(mount_point) = MountPoint::new() else { return };
    let device = attach(&mount_point.options()).unwrap();
    // A descriptor that only names the root asks nothing of the file system, and keeps it busy.
    let mut holder = Command::new("sh")
        .args(["-c", "exec 3<&0; exec sleep 600"])
        .stdin(open_path_only(&mount_point.path()))
        .spawn()
        .unwrap();
    let refused = detach(&mount_point.path(), false);
    detach(&mount_point.path(), true).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    drop(device);
    match refused {
        Err(Error::MountBusy { holders, .. }) => {
            assert!(holders.contains(&format!("({})", holder.id())), "{holders}");
        }
        other => panic!("expected busy, got {other:?}"),
    }
}

fn open_path_only(path: &Path) -> fs::File {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).unwrap()
}

/// Runs as an ordinary user, from `an_ordinary_user_mounts_and_unmounts`.
#[test]
#[ignore = "run by another test, as another user"]
fn as_ordinary_user() {
    let path = PathBuf::from(std::env::var_os(USER_MOUNT_POINT).unwrap());
    let mut options = serve_options(&path);
    options.allow_other = true;
    match attach(&options) {
        Err(error @ Error::MountFailed { .. }) => {
            assert!(error.verdict().hint.contains("user_allow_other"), "{error}");
        }
        other => panic!("allow_other needs the administrator's leave, got {other:?}"),
    }
    options.allow_other = false;
    let device = attach(&options).unwrap();
    let mount = sys::find(&path).unwrap().unwrap();
    assert!(mount.is_ours());
    assert_eq!((mount.source.as_os_str(), mount.user_id()), (SOURCE.as_ref(), Some(65534)));
    detach(&path, false).unwrap();
    assert_eq!(sys::find(&path).unwrap(), None);

    drop(device);
    drop(attach(&options).unwrap());
    assert_eq!(point::check(&path, false, None).unwrap(), path, "a dead mount is cleared away");

    options.mount_point = PathBuf::from("/usr/share");
    match attach(&options) {
        Err(error @ Error::MountFailed { .. }) => {
            assert!(error.verdict().hint.contains("that you own"), "{error}");
        }
        other => panic!("mounting on a foreign directory must fail, got {other:?}"),
    }
}

#[test]
fn an_ordinary_user_mounts_and_unmounts() {
    let Some(mount_point) = MountPoint::new() else { return };
    let allows_others = fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    if allows_others || Command::new("fusermount3").arg("--version").output().is_err() {
        eprintln!("skipped: needs fusermount3, and no user_allow_other");
        return;
    }
    // Where this program was built may be closed to others.
    let program = mount_point.0.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(mount_point.path(), Some(65534), Some(65534)).unwrap();
    // A device that everybody may open, as distributions have it, seen by this command only.
    let script = "mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse && cd / && \
        exec setpriv --reuid 65534 --regid 65534 --clear-groups -- \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "--", "sh", "-ec", script, "sh"])
        .arg(&program)
        .args(["--exact", "as_ordinary_user", "--ignored", "--nocapture"])
        .current_dir(mount_point.0.path())
        .env(USER_MOUNT_POINT, mount_point.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}
