//! Telling the kernel to forget.
//!
//! Invariant: a request never waits here. Attributes are dropped at once, which takes no lock that
//! a request could hold; dropping bytes can wait for a read in flight, so it happens on a thread
//! of its own.

use std::sync::mpsc;

use tracing::warn;

use crate::fs::{Ino, KernelCache};
use crate::{Error, Result};

/// Inodes whose bytes wait to be dropped; more are dropped late, by the writer that heals them.
const QUEUE_MAX: usize = 1024;

/// The kernel's caches of one session.
pub struct Notifier {
    kernel: fuser::Notifier,
    bytes: mpsc::SyncSender<Ino>,
}

impl Notifier {
    /// Connects, and starts the thread that drops bytes. It ends with the notifier.
    pub fn start(kernel: fuser::Notifier) -> Result<Self> {
        let (bytes, inodes) = mpsc::sync_channel::<Ino>(QUEUE_MAX);
        let dropping = kernel.clone();
        let drop_bytes = move || {
            for ino in inodes {
                report(ino, dropping.inval_inode(fuser::INodeNo(ino), 0, 0));
            }
        };
        std::thread::Builder::new()
            .name("notifier".into())
            .spawn(drop_bytes)
            .map_err(|error| Error::io("start the notifier thread", error))?;
        Ok(Self { kernel, bytes })
    }
}

impl KernelCache for Notifier {
    fn attributes_changed(&self, ino: Ino) {
        report(ino, self.kernel.inval_inode(fuser::INodeNo(ino), -1, 0));
    }

    fn bytes_changed(&self, ino: Ino) {
        if self.bytes.try_send(ino).is_err() {
            warn!(ino, "the kernel may keep old bytes of a healed block until they are evicted");
        }
    }
}

fn report(ino: Ino, result: std::io::Result<()>) {
    if let Err(error) = result {
        // The kernel says so when it knows no such inode, and when the mount is going down.
        tracing::debug!(ino, %error, "the kernel did not take a notification");
    }
}
