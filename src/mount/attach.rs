//! Mounting: as root by mount(2), as an ordinary user through fusermount3.
//!
//! Invariant: the one who mounts holds nothing but the descriptor; nothing here unmounts, so a
//! mount of somebody else at the same place cannot be taken down with ours.

use std::io;
use std::os::fd::OwnedFd;

use super::fusermount;
use super::options::{MountFlag, ServeOptions};
use crate::sys::{self, FS_SUBTYPE, FS_TYPE, MountRequest};
use crate::{Error, Result};

/// Where fusermount3 is told what ordinary users may do.
const FUSE_CONF: &str = "/etc/fuse.conf";

const HINT_HELPER: &str = "install the package fuse3, which brings fusermount3, or mount as root";
const HINT_ALLOW_OTHER: &str =
    "add the line `user_allow_other` to /etc/fuse.conf, or mount without --allow-other";
const HINT_DEVICE: &str = "let users open the device (`chmod 666 /dev/fuse` as root), or mount as root";
const HINT_DIRECTORY: &str = "mount on a directory that you own and may write to";
const HINT_CAPABILITY: &str =
    "root needs CAP_SYS_ADMIN to mount: start the container with `--device /dev/fuse --cap-add SYS_ADMIN`";
const HINT_OTHER: &str = "check that the directory is still there and free (`findmnt`); `dmesg` may say more";

/// Mounts, and returns the descriptor over which the kernel sends its requests. The mount point
/// must have been checked by [`check`](super::point::check).
pub fn attach(options: &ServeOptions) -> Result<OwnedFd> {
    if sys::effective_ids().0 == 0 { attach_as_root(options) } else { attach_by_helper(options) }
}

fn attach_as_root(options: &ServeOptions) -> Result<OwnedFd> {
    let device = sys::open_fuse_device()
        .map_err(|source| Error::FuseDevice { source: std::sync::Arc::new(source) })?;
    let request = MountRequest {
        target: &options.mount_point,
        source: &options.source,
        fs_type: FS_TYPE,
        owner: sys::real_ids(),
        allow_other: options.allow_other,
        read_only: options.read_only,
        no_exec: options.flags.contains(&MountFlag::NoExec),
        no_atime: options.flags.contains(&MountFlag::NoAtime),
        no_dir_atime: options.flags.contains(&MountFlag::NoDirAtime),
    };
    match sys::mount_fuse(&device, &request) {
        Ok(()) => Ok(device),
        Err(error) => {
            let hint =
                if error.kind() == io::ErrorKind::PermissionDenied { HINT_CAPABILITY } else { HINT_OTHER };
            Err(failed(options, error.to_string(), hint))
        }
    }
}

fn attach_by_helper(options: &ServeOptions) -> Result<OwnedFd> {
    match fusermount::mount(&options.mount_point, &helper_options(options)) {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(said)) => match sys::open_fuse_device() {
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(failed(options, said, HINT_DEVICE))
            }
            Err(source) => Err(Error::FuseDevice { source: std::sync::Arc::new(source) }),
            Ok(_) => Err(failed(options, said, helper_hint(options))),
        },
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(failed(options, "fusermount3 is not installed".to_owned(), HINT_HELPER))
        }
        Err(error) => Err(error),
    }
}

fn failed(options: &ServeOptions, why: String, hint: &str) -> Error {
    Error::MountFailed { path: options.mount_point.clone(), why, hint: hint.to_owned() }
}

/// The value of `-o`. Commas and backslashes in the source are escaped, as libfuse does.
fn helper_options(options: &ServeOptions) -> String {
    let source = options.source.replace('\\', "\\\\").replace(',', "\\,");
    let mut text = format!("fsname={source},subtype={FS_SUBTYPE},nosuid,nodev");
    let rest = [(options.read_only, "ro"), (options.allow_other, "allow_other")]
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
        .chain(options.flags.iter().map(|flag| flag.name()));
    for name in rest {
        text.push(',');
        text.push_str(name);
    }
    text
}

/// What most likely stood in the way, found by looking at it: the helper gives only words.
fn helper_hint(options: &ServeOptions) -> &'static str {
    if options.allow_other && !users_may_allow_other() {
        HINT_ALLOW_OTHER
    } else if !sys::may_write(&options.mount_point) {
        HINT_DIRECTORY
    } else {
        HINT_OTHER
    }
}

fn users_may_allow_other() -> bool {
    let text = std::fs::read_to_string(FUSE_CONF).unwrap_or_default();
    text.lines().any(|line| line.trim() == "user_allow_other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    fn options(source: &str) -> ServeOptions {
        ServeOptions {
            mount_point: PathBuf::from("/mnt/x"),
            source: source.to_owned(),
            read_only: false,
            allow_other: false,
            allow_non_empty: false,
            flags: Vec::new(),
            stop_timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_source_is_escaped_for_the_helper() {
        let text = helper_options(&options("file:/srv/a,b\\c"));
        assert_eq!(text, "fsname=file:/srv/a\\,b\\\\c,subtype=ipfs-persist-mount,nosuid,nodev");
    }

    #[test]
    fn flags_follow_in_the_helpers_names() {
        let mut options = options("memory");
        options.read_only = true;
        options.allow_other = true;
        options.flags = MountFlag::ALL.to_vec();
        let text = helper_options(&options);
        assert!(text.ends_with(",nodev,ro,allow_other,noexec,noatime,nodiratime"), "{text}");
    }
}
