//! The system calls of mounting and unmounting, and receiving a descriptor from the mount helper.
//!
//! Invariant: each function is one system call made safe; what to mount where, and what an error
//! means to a person, is decided in `mount/`.

#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

use super::MountEntry;
use super::mount_table::{mount_id_of, open_path};
use crate::{Error, Result};

/// The arguments of mount(2) for FUSE.
#[derive(Debug)]
pub struct MountRequest<'a> {
    /// The directory to mount on.
    pub target: &'a Path,
    /// What the mount table shows as the source.
    pub source: &'a str,
    /// The file system type with its subtype, such as `fuse.name`.
    pub fs_type: &'a str,
    /// User and group of the mount; without `allow_other`, only that user may enter it.
    pub owner: (u32, u32),
    /// Let other users in.
    pub allow_other: bool,
    /// The kernel refuses every change.
    pub read_only: bool,
    /// The kernel executes nothing from it.
    pub no_exec: bool,
    /// No access times.
    pub no_atime: bool,
    /// No access times of directories.
    pub no_dir_atime: bool,
}

/// The number of /dev/fuse (the kernel's admin-guide/devices.txt).
const FUSE_DEVICE: (u64, u64) = (10, 229);

/// Opens /dev/fuse. Something else of that name is an error here: the kernel would only say later
/// that an argument is invalid.
pub fn open_fuse_device() -> io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let metadata = file.metadata()?;
    let number = (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()));
    if metadata.file_type().is_char_device() && number == FUSE_DEVICE {
        Ok(file.into())
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "what is there is not the FUSE device"))
    }
}

/// Mounts a FUSE file system that will be served over `device`. Set-user-id programs and device
/// files in it are never honoured.
pub fn mount_fuse(device: &OwnedFd, request: &MountRequest<'_>) -> io::Result<()> {
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    flags.set(MsFlags::MS_RDONLY, request.read_only);
    flags.set(MsFlags::MS_NOEXEC, request.no_exec);
    flags.set(MsFlags::MS_NOATIME, request.no_atime);
    flags.set(MsFlags::MS_NODIRATIME, request.no_dir_atime);
    let (uid, gid) = request.owner;
    let fd = device.as_raw_fd();
    let mut data = format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid}");
    if request.allow_other {
        data.push_str(",allow_other");
    }
    mount(Some(request.source), request.target, Some(request.fs_type), flags, Some(data.as_str()))?;
    Ok(())
}

/// Unmounts what is on top at `path`, if nobody uses it.
pub fn umount(path: &Path) -> io::Result<()> {
    Ok(umount2(path, MntFlags::UMOUNT_NOFOLLOW)?)
}

/// Takes exactly this mount out of the tree, whatever is mounted at its place by now, and leaves files
/// that are open to their users; `false` if it is not the one on top there.
pub fn detach_exactly(mount: &MountEntry) -> Result<bool> {
    let path = &mount.mount_point;
    let root = open_path(path)?;
    if mount_id_of(&root)? != mount.id {
        return Ok(false);
    }
    // The descriptor names this mount, and not one that comes on top of it now.
    let exact = format!("/proc/self/fd/{}", root.as_raw_fd());
    umount2(exact.as_str(), MntFlags::MNT_DETACH)
        .map_err(|errno| Error::io_at("detach", path, errno.into()))?;
    Ok(true)
}

/// The two ends of a connection to a child process.
pub fn socket_pair() -> io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}

/// Waits for one descriptor from the other end; `None` if that end was closed without sending one.
pub fn receive_fd(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0u8; 1];
    let mut iov = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!([i32; 1]);
    let message = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(&mut control), flags) {
            Err(Errno::EINTR) => continue,
            other => break other?,
        }
    };
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part
            && let Some(fd) = fds.first()
        {
            // SAFETY: the kernel has just installed this descriptor for us; there is room for one
            // only, so that no other can come with it.
            return Ok(Some(unsafe { OwnedFd::from_raw_fd(*fd) }));
        }
    }
    Ok(None)
}
