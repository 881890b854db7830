//! An engine that forgets, latches and panics, and what is left of its store.

mod engine;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::engine::{Disk, Engine, Fault, io};
use super::*;
use crate::block::CidOptions;
use crate::sys::errno::EIO;
use crate::sys::errno::ENOSPC;

struct Rig {
    disk: Arc<Disk>,
    store: Reviving,
    _dir: tempfile::TempDir,
    ballast: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::default());
        let ballast = Ballast::new(dir.path(), 4096);
        let open: Open = {
            let disk = Arc::clone(&disk);
            Box::new(move |access| {
                disk.opened.fetch_add(1, Ordering::Relaxed);
                if access == Access::ReadOnly {
                    if !disk.can_be_read.load(Ordering::Relaxed) {
                        return Err(io(EIO));
                    }
                } else if disk.cannot_open.load(Ordering::Relaxed) {
                    return Err(io(EIO));
                }
                if disk.full_while.lock().as_ref().is_some_and(|ballast| ballast.exists()) {
                    return Err(io(ENOSPC));
                }
                Ok(Box::new(Engine {
                    disk: Arc::clone(&disk),
                    removed: Mutex::default(),
                    shown: Mutex::default(),
                    latched: AtomicBool::new(false),
                }))
            })
        };
        let engine = open(Access::Writable).unwrap();
        let store = Reviving::new(engine, dir.path().to_owned(), ballast, Some(open)).unwrap();
        let ballast = dir.path().join(super::super::ballast::BALLAST_NAME);
        Self { disk, store, _dir: dir, ballast }
    }

    fn opened(&self) -> u32 {
        self.disk.opened.load(Ordering::Relaxed)
    }

    fn eventually(&self, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed().as_secs() < 20, "never");
            std::thread::sleep(BACK_OFF / 10);
        }
    }

    fn fail_next(&self, fault: Fault) {
        *self.disk.next_change.lock() = Some(fault);
    }

    fn holds(&self, block: &Block) -> bool {
        self.store.get(block.key()).unwrap().is_some()
    }

    fn put(&self, block: &Block) -> Result<()> {
        self.store.put(std::slice::from_ref(block), Sync::Now)
    }

    fn remove(&self, block: &Block) -> Result<u64> {
        self.store.remove(std::slice::from_ref(block.key()), Sync::Later)
    }
}

fn block(number: u8) -> Block {
    let bytes = Bytes::from(vec![number; 100]);
    Block::of(bytes, &CidOptions::default(), std::time::SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn after_a_failed_write_the_next_one_finds_a_new_engine() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    rig.fail_next(Fault::Errno(EIO));
    assert_eq!(rig.put(&block(2)).unwrap_err().errno(), EIO);
    rig.put(&block(3)).unwrap();
    assert_eq!(rig.opened(), 2);
    assert!(rig.holds(&block(1)) && !rig.holds(&block(2)) && rig.holds(&block(3)));
}

/// Regression: sled keeps what it could not flush in memory. Written again, such a block passed for
/// stored and was lost with the process.
#[test]
fn a_refused_block_is_not_shown_by_the_engine_that_could_not_store_it() {
    let rig = Rig::new();
    rig.fail_next(Fault::ErrnoAndShown(EIO));
    assert_eq!(rig.put(&block(1)).unwrap_err().errno(), EIO);
    assert!(rig.store.stat(block(1).key()).unwrap().is_none());
    rig.put(&block(1)).unwrap();
    assert!(rig.disk.blocks.lock().contains_key(block(1).key()));
}

/// Regression: what was in the log when it could not be synced was there again after opening it, and
/// passed for durable when it was written again.
///
/// > When `close` returned an error that is not EBADMSG, such as EIO, the block is absent, or whole and
/// > durable.
#[test]
fn a_refused_block_that_is_there_after_all_is_made_durable() {
    let rig = Rig::new();
    rig.fail_next(Fault::ErrnoAndWritten(EIO));
    assert_eq!(rig.put(&block(1)).unwrap_err().errno(), EIO);
    rig.store.settle().unwrap();
    assert!(rig.holds(&block(1)));
    assert_eq!(rig.disk.puts.load(Ordering::Relaxed), 1, "once more, by itself");
    rig.fail_next(Fault::Errno(EIO));
    assert_eq!(rig.put(&block(2)).unwrap_err().errno(), EIO);
    rig.store.settle().unwrap();
    assert!(!rig.holds(&block(2)));
    assert_eq!(rig.disk.puts.load(Ordering::Relaxed), 1, "what is not there stays refused");
}

#[test]
fn new_blocks_do_not_open_an_engine_that_fails_each_time_without_end() {
    let rig = Rig::new();
    for _ in 0..50 {
        rig.fail_next(Fault::Errno(EIO));
        assert_eq!(rig.put(&block(1)).unwrap_err().errno(), EIO);
    }
    assert!(rig.opened() < 10, "{}", rig.opened());
}

/// > A database that has failed is closed and opened again by itself; meanwhile new blocks get its
/// > error, and what is stored is read, but on `redb` as long as the disk fails (EIO).
#[test]
fn a_reader_of_an_engine_that_refuses_everything_is_served() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    rig.fail_next(Fault::Errno(EIO));
    rig.put(&block(2)).unwrap_err();
    assert!(rig.holds(&block(1)));
    assert_eq!(rig.opened(), 2);
    assert!(rig.holds(&block(1)));
    assert_eq!(rig.opened(), 2, "once is enough");
}

#[test]
fn deletions_that_the_engine_forgot_are_done_again() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    rig.put(&block(2)).unwrap();
    rig.put(&block(3)).unwrap();
    assert_eq!(rig.remove(&block(1)).unwrap(), 1);
    assert_eq!(rig.remove(&block(2)).unwrap(), 1);
    rig.fail_next(Fault::Errno(EIO));
    rig.store.sync().unwrap();
    assert!(!rig.holds(&block(1)) && !rig.holds(&block(2)) && rig.holds(&block(3)));
    assert_eq!(rig.disk.blocks.lock().len(), 1, "on the disk too");
}

#[test]
fn a_block_that_came_back_is_not_deleted_again() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    assert_eq!(rig.remove(&block(1)).unwrap(), 1);
    rig.put(&block(1)).unwrap();
    rig.fail_next(Fault::Errno(EIO));
    rig.put(&block(2)).unwrap_err();
    rig.put(&block(3)).unwrap();
    assert!(rig.holds(&block(1)));
}

#[test]
fn deleting_on_a_full_disk_uses_the_ballast() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    assert!(rig.ballast.exists());
    *rig.disk.full_while.lock() = Some(rig.ballast.clone());
    assert_eq!(rig.put(&block(2)).unwrap_err().errno(), ENOSPC);
    assert!(rig.ballast.exists(), "not for new blocks");
    assert_eq!(rig.remove(&block(1)).unwrap(), 1);
    assert!(!rig.ballast.exists());
    assert!(!rig.holds(&block(1)));
    *rig.disk.full_while.lock() = None;
    rig.store.sync().unwrap();
    assert!(rig.ballast.exists(), "it is made again when there is room");
}

#[test]
fn while_it_cannot_be_opened_everything_says_why_and_then_goes_on() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    assert_eq!(rig.remove(&block(1)).unwrap(), 1);
    rig.disk.cannot_open.store(true, Ordering::Relaxed);
    rig.fail_next(Fault::Errno(EIO));
    rig.put(&block(2)).unwrap_err();
    assert_eq!(rig.store.get(block(1).key()).unwrap_err().errno(), EIO);
    assert_eq!(rig.remove(&block(1)).unwrap_err().errno(), EIO);
    assert_eq!(rig.store.sync().unwrap_err().errno(), EIO);
    rig.disk.cannot_open.store(false, Ordering::Relaxed);
    rig.eventually(|rig| rig.store.sync().is_ok());
    assert!(!rig.holds(&block(1)));
    rig.put(&block(4)).unwrap();
}

/// Regression: while a disk refused to sync, a store that could be read was not.
///
/// > A database that has failed is closed and opened again by itself; meanwhile new blocks get its
/// > error, and what is stored is read, but on `redb` as long as the disk fails (EIO).
#[test]
fn what_cannot_be_opened_for_writing_is_read() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    rig.disk.cannot_open.store(true, Ordering::Relaxed);
    rig.disk.can_be_read.store(true, Ordering::Relaxed);
    rig.fail_next(Fault::Errno(EIO));
    rig.put(&block(2)).unwrap_err();
    assert!(rig.holds(&block(1)));
    assert_eq!(rig.store.settle().unwrap_err().errno(), EIO, "nothing may be acknowledged on its strength");
    let opened = rig.opened();
    for _ in 0..50 {
        assert_eq!(rig.remove(&block(1)).unwrap_err().errno(), EIO);
        assert_eq!(rig.put(&block(3)).unwrap_err().errno(), EIO);
        assert!(rig.holds(&block(1)));
    }
    assert!(rig.opened() < opened + 20, "not at every request: {}", rig.opened());
    rig.disk.cannot_open.store(false, Ordering::Relaxed);
    rig.eventually(|rig| rig.put(&block(3)).is_ok());
    assert_eq!(rig.remove(&block(1)).unwrap(), 1);
}

#[test]
fn a_panic_is_a_failure_too() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    rig.fail_next(Fault::Panic);
    assert!(catch_unwind(AssertUnwindSafe(|| rig.put(&block(2)))).is_err());
    rig.put(&block(3)).unwrap();
    assert_eq!(rig.opened(), 2);
    assert!(rig.holds(&block(1)) && rig.holds(&block(3)));
}

#[test]
fn closing_after_a_failure_keeps_what_was_acknowledged() {
    let rig = Rig::new();
    rig.put(&block(1)).unwrap();
    rig.put(&block(2)).unwrap();
    assert_eq!(rig.remove(&block(1)).unwrap(), 1);
    rig.fail_next(Fault::Errno(EIO));
    rig.put(&block(3)).unwrap_err();
    Box::new(rig.store).close().unwrap();
    let left: Vec<Key> = rig.disk.blocks.lock().keys().cloned().collect();
    assert_eq!(left, [block(2).key().clone()]);
}
