//! The engine: it forgets, latches and panics as it is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::super::*;
use crate::sys::errno::ENOSPC;

/// What the engine has on its disk, and how it is to fail.
#[derive(Default)]
pub struct Disk {
    pub blocks: Mutex<BTreeMap<Key, Block>>,
    /// The next change fails like this, and the engine refuses everything afterwards.
    pub next_change: Mutex<Option<Fault>>,
    /// While the ballast is there, changes and opening meet a full disk.
    pub full_while: Mutex<Option<PathBuf>>,
    pub cannot_open: AtomicBool,
    pub can_be_read: AtomicBool,
    /// How many puts have succeeded.
    pub puts: AtomicU32,
    /// What the next failed put leaves.
    pub leaves: AtomicBool,
    pub opened: AtomicU32,
}

#[derive(Clone, Copy)]
pub enum Fault {
    Errno(i32),
    /// As [`Fault::Errno`], and what was to be stored is shown all the same until the engine is closed.
    ErrnoAndShown(i32),
    /// As [`Fault::Errno`], and what was to be stored is there when the engine is opened again.
    ErrnoAndWritten(i32),
    Panic,
}

/// Removals stay in memory until something is synced.
pub struct Engine {
    pub disk: Arc<Disk>,
    pub removed: Mutex<Vec<Key>>,
    pub shown: Mutex<Vec<Block>>,
    pub latched: AtomicBool,
}

pub fn io(errno: i32) -> Error {
    Error::io("engine", std::io::Error::from_raw_os_error(errno))
}

impl Engine {
    fn usable(&self) -> Result<()> {
        if self.latched.load(Ordering::Relaxed) {
            return Err(Error::EngineFailed { path: "engine".into(), what: "an earlier failure".into() });
        }
        Ok(())
    }

    fn begin_change(&self) -> Result<()> {
        self.usable()?;
        if self.disk.full_while.lock().as_ref().is_some_and(|ballast| ballast.exists()) {
            self.latched.store(true, Ordering::Relaxed);
            return Err(io(ENOSPC));
        }
        match self.disk.next_change.lock().take() {
            None => Ok(()),
            Some(fault) => {
                self.latched.store(true, Ordering::Relaxed);
                match fault {
                    Fault::Errno(errno) => Err(io(errno)),
                    Fault::ErrnoAndWritten(errno) => {
                        self.disk.leaves.store(true, Ordering::Relaxed);
                        Err(io(errno))
                    }
                    Fault::ErrnoAndShown(errno) => {
                        self.latched.store(false, Ordering::Relaxed);
                        Err(io(errno))
                    }
                    Fault::Panic => panic!("the engine was told to panic"),
                }
            }
        }
    }

    fn write_removals(&self) {
        let mut blocks = self.disk.blocks.lock();
        self.removed.lock().drain(..).for_each(|key| drop(blocks.remove(&key)));
    }
}

impl Datastore for Engine {
    fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        self.usable()?;
        let removed = self.removed.lock().contains(key);
        Ok(self.disk.blocks.lock().get(key).filter(|_| !removed).map(|block| block.bytes().clone()))
    }

    fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.usable()?;
        if let Some(shown) = self.shown.lock().iter().find(|block| block.key() == key) {
            return Ok(Some(*shown.meta()));
        }
        let removed = self.removed.lock().contains(key);
        Ok(self.disk.blocks.lock().get(key).filter(|_| !removed).map(|block| *block.meta()))
    }

    fn put(&self, blocks: &[Block], _: Sync) -> Result<()> {
        let keyed = || blocks.iter().map(|block| (block.key().clone(), block.clone()));
        self.begin_change().inspect_err(|_| {
            self.shown.lock().extend_from_slice(blocks);
            if self.disk.leaves.swap(false, Ordering::Relaxed) {
                self.disk.blocks.lock().extend(keyed());
            }
        })?;
        self.write_removals();
        self.disk.puts.fetch_add(1, Ordering::Relaxed);
        self.disk.blocks.lock().extend(keyed());
        Ok(())
    }

    fn set_meta(&self, key: &Key, _: MetaChange) -> Result<bool> {
        self.begin_change()?;
        Ok(self.stat(key)?.is_some())
    }

    fn remove(&self, keys: &[Key], sync: Sync) -> Result<u64> {
        self.begin_change()?;
        let there: Vec<Key> =
            keys.iter().filter(|key| self.stat(key).is_ok_and(|found| found.is_some())).cloned().collect();
        let count = there.len() as u64;
        self.removed.lock().extend(there);
        if sync == Sync::Now {
            self.write_removals();
        }
        Ok(count)
    }

    fn position(&self, key: &Key) -> Position {
        digest_position(key)
    }

    fn list(&self, _: Option<Position>, _: usize) -> Result<Vec<ListedKey>> {
        self.usable()?;
        Ok(Vec::new())
    }

    fn usage(&self) -> Result<Usage> {
        Ok(Usage::default())
    }

    fn pending_bytes(&self) -> u64 {
        0
    }

    fn file(&self, _: &Key) -> Result<Option<File>> {
        Ok(None)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.begin_change()?;
        self.write_removals();
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.usable()?;
        self.write_removals();
        Ok(())
    }
}
