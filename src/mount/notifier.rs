//! Telling the kernel to forget.
//!
//! Invariant: a request never waits here: only attributes are dropped, which takes no lock that a
//! request could hold. Cached bytes are not: dropping them could wait for a read in flight.

use crate::fs::{Ino, KernelCache};

/// The kernel's caches of one session.
pub struct Notifier(fuser::Notifier);

impl Notifier {
    /// Connects.
    pub fn new(kernel: fuser::Notifier) -> Self {
        Self(kernel)
    }
}

impl KernelCache for Notifier {
    fn attributes_changed(&self, ino: Ino) {
        if let Err(error) = self.0.inval_inode(fuser::INodeNo(ino), -1, 0) {
            // The kernel says so when it knows no such inode, and when the mount is going down.
            tracing::debug!(ino, %error, "the kernel did not take a notification");
        }
    }
}
