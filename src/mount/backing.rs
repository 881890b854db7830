//! Files of blocks that the kernel reads by itself (FUSE passthrough).
//!
//! Invariant: all handles of an inode share one registration, for the kernel answers EIO to a
//! second one; it is dropped with the last handle, for it keeps the backing file system busy.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::BackingId;
use parking_lot::Mutex;
use tracing::info;

use crate::fs::{Handle, Ino};

#[derive(Debug)]
struct Registered {
    id: Arc<BackingId>,
    handles: usize,
}

#[derive(Debug, Default)]
struct Table {
    by_inode: HashMap<Ino, Registered>,
    by_handle: HashMap<Handle, Ino>,
}

/// The registrations of one mount.
#[derive(Debug, Default)]
pub struct Backings {
    enabled: AtomicBool,
    table: Mutex<Table>,
}

impl Backings {
    /// Passthrough has been agreed with the kernel.
    pub fn enable(&self) {
        self.enabled.store(true, Ordering::Release);
    }

    /// The registration for a handle of an inode: the one in use, or a new one. `None` if the
    /// kernel cannot do it here; after the first refusal no further inode is tried.
    pub fn acquire(
        &self,
        ino: Ino,
        handle: Handle,
        file: &File,
        register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> Option<Arc<BackingId>> {
        let mut table = self.table.lock();
        let Table { by_inode, by_handle } = &mut *table;
        if let Some(registered) = by_inode.get_mut(&ino) {
            registered.handles += 1;
            by_handle.insert(handle, ino);
            return Some(Arc::clone(&registered.id));
        }
        if !self.enabled.load(Ordering::Acquire) {
            return None;
        }
        match register(file) {
            Ok(id) => {
                let id = Arc::new(id);
                by_inode.insert(ino, Registered { id: Arc::clone(&id), handles: 1 });
                by_handle.insert(handle, ino);
                Some(id)
            }
            Err(error) => {
                self.enabled.store(false, Ordering::Release);
                info!(%error, "kernel passthrough is not possible here; blocks are read through the mount");
                None
            }
        }
    }

    /// A handle is gone.
    pub fn release(&self, handle: Handle) {
        let mut table = self.table.lock();
        let Some(ino) = table.by_handle.remove(&handle) else {
            return;
        };
        if let Some(registered) = table.by_inode.get_mut(&ino) {
            registered.handles -= 1;
            if registered.handles == 0 {
                table.by_inode.remove(&ino);
            }
        }
    }
}
