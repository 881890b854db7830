//! Who may do what.
//!
//! Invariant: the owner, who mounted, and root may do everything that the mount allows, everybody else can at most
//! read; what the mount's umask takes away from a class of users it takes from all of them.

use super::core::Shared;
use super::inode::Node;
use super::types::{Attr, Caller, Entry, Ino};
use crate::sys;
use crate::{Error, Result};

/// Reading a file, or listing a directory, as a permission bit.
const READ: u16 = 0o4;
/// Looking a name up in a directory.
const SEARCH: u16 = 0o1;
/// The permission bits of one class of users.
const CLASS: u16 = 0o7;
/// How far left the bits of the group are.
const GROUP_SHIFT: u16 = 3;

impl Shared {
    /// Refuses changes on a read-only mount and by strangers.
    pub(super) fn check_change(&self, caller: Caller) -> Result<()> {
        if self.options.read_only {
            return Err(Error::ReadOnly);
        }
        if self.is_owner(caller) { Ok(()) } else { Err(Error::AccessDenied) }
    }

    /// Refuses reading a file and listing a directory where the umask does.
    pub(super) fn check_read(&self, caller: Caller) -> Result<()> {
        self.check(caller, READ)
    }

    /// Refuses looking up names where the umask does.
    pub(super) fn check_search(&self, caller: Caller) -> Result<()> {
        self.check(caller, SEARCH)
    }

    /// Whether the caller may read an inode, or change it as well.
    pub(super) fn access(&self, ino: Ino, caller: Caller, change: bool) -> Result<()> {
        if let Node::Block { key, .. } = self.node(ino)?
            && self.block_attr(&key)?.is_none()
        {
            return Err(Error::Stale);
        }
        if change && !self.is_owner(caller) {
            return Err(Error::AccessDenied);
        }
        self.check_read(caller)
    }

    /// An inode without the permission bits that no file shows.
    pub(super) fn masked(&self, entry: Entry) -> Entry {
        Entry { attr: Attr { mode: entry.attr.mode & !self.options.umask, ..entry.attr }, ..entry }
    }

    fn is_owner(&self, caller: Caller) -> bool {
        [self.options.uid, self.options.mounter_uid, 0].contains(&caller.uid)
    }

    fn check(&self, caller: Caller, wanted: u16) -> Result<()> {
        let taken = self.options.umask;
        let (group, other) = (taken >> GROUP_SHIFT & wanted, taken & CLASS & wanted);
        if group | other == 0 || self.is_owner(caller) {
            return Ok(());
        }
        let gid = self.options.gid;
        // The kernel tells the first group only.
        let in_group = caller.gid == gid || sys::groups_of(caller.pid).contains(&gid);
        if (if in_group { group } else { other }) == 0 { Ok(()) } else { Err(Error::AccessDenied) }
    }
}
