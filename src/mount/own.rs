//! The mount of a session, found again wherever it is when the session ends.
//!
//! Invariant: nothing is detached but mounts of the file system that was mounted here. The kernel gives
//! numbers of mounts and devices out again at once, so after our own mount is gone somebody else's may have
//! them: a store is held by one daemon at a time, which makes the source a part of the identity, and once the
//! session has ended only what is dead can be ours.

use std::path::Path;

use tracing::warn;

use super::detach::{detach_mount, is_dead};
use super::options::ServeOptions;
use crate::Result;
use crate::sys::{self, FS_TYPE, MountEntry, Process, Standing};

/// Where umount(8) looks for the helper of our type, which waits until the store is closed.
const UMOUNT_HELPER: &str = "/sbin/umount.fuse.ipfs-persist-mount";

/// See the module.
#[derive(Debug)]
pub struct OwnMount(Option<MountEntry>);

impl OwnMount {
    /// The mount that was made with these options a moment ago.
    pub fn new(options: &ServeOptions) -> Result<Self> {
        let found = sys::find(&options.mount_point)?;
        let ours = found.filter(|mount| mount.is_ours() && mount.source == *options.source);
        if ours.is_none() {
            warn!("something else was mounted on top at once: this mount has to be detached by hand");
        }
        Ok(Self(ours))
    }

    /// Lets umount(8) find its helper, if that is installed. Only root can, and only a mount of root needs
    /// it: what an ordinary user unmounts is looked up in the mount table.
    pub fn note(&self) {
        let Some(own) = &self.0 else { return };
        if sys::effective_ids().0 == 0
            && Path::new(UMOUNT_HELPER).exists()
            && let Err(error) = sys::note_mount(own, FS_TYPE)
        {
            warn!(%error, "umount will not wait until the store is closed");
        }
    }

    /// Who uses it.
    pub fn holders(&self) -> Vec<Process> {
        self.0.as_ref().map(sys::holders_of).unwrap_or_default()
    }

    /// Takes a file system that is still served out of the tree.
    pub fn detach(&self) {
        self.detach_those(|_| true);
    }

    /// Takes a file system whose session has ended out of the tree: after an unmount nothing is left of
    /// it, after an aborted connection everything is.
    pub fn detach_dead(&self) {
        self.detach_those(|mount| is_dead(&mount.mount_point));
    }

    fn detach_those(&self, wanted: impl Fn(&MountEntry) -> bool) {
        let Some(own) = &self.0 else { return };
        let mounts = match sys::mounts_like(own) {
            Ok(mounts) => mounts,
            Err(error) => return warn!(%error, "could not read the mount table"),
        };
        for mount in mounts {
            let on_top = sys::standing(&mount).is_ok_and(|standing| standing == Standing::OnTop);
            if on_top
                && wanted(&mount)
                && let Err(error) = detach_mount(&mount, true)
            {
                warn!(%error, "could not detach the mount");
            }
        }
        forget(own);
    }
}

/// Takes back what [`OwnMount::note`] has noted, or would have.
pub fn forget(mount: &MountEntry) {
    if sys::effective_ids().0 == 0
        && let Err(error) = sys::forget_mount(mount, FS_TYPE)
    {
        warn!(%error, "could not take the mount out of the table of umount");
    }
}
