//! Blocks whose bytes may never have reached the disk.

use std::fs::FileTimes;
use std::time::Duration;

use super::*;

impl Rig {
    fn file(&self, block: &Block) -> File {
        let path = self.scratch.path().join("blocks").join(self.store.place(block.key()).path());
        File::options().write(true).open(path).unwrap()
    }
}

/// What was synced is trusted, what was not is looked at, and what is not whole is dropped.
#[test]
fn torn_blocks_are_dropped_when_a_killed_process_has_left_them() {
    let rig = Rig::new();
    let [whole, torn, synced] = [block(1), block(2), block(3)];
    rig.put(std::slice::from_ref(&synced)).unwrap();
    rig.store.put(&[whole.clone(), torn.clone()], Sync::Later).unwrap();
    rig.file(&torn).set_len(0).unwrap();
    let rig = rig.after_kill();
    assert_eq!(rig.there(&[whole.clone(), torn.clone(), synced]), 2);
    assert_eq!(rig.there(&[torn]), 0);
    assert_eq!(rig.steps(), ["sync all"]);
    assert!(!rig.scratch.path().join("last-sync").exists());

    // Nothing is left to look at: damage that comes now is not the power's.
    rig.file(&whole).set_len(0).unwrap();
    let rig = rig.after_kill();
    assert_eq!(rig.there(&[whole]), 1);
}

#[test]
fn a_clean_close_leaves_nothing_to_check() {
    let rig = Rig::new();
    rig.store.put(&[block(1)], Sync::Later).unwrap();
    assert!(rig.scratch.path().join("last-sync").exists());
    let Rig { store, scratch, .. } = rig;
    Box::new(store).close().unwrap();
    assert!(!scratch.path().join("last-sync").exists());
}

/// The kernel reports an error of writing once, and takes the bytes for written from then on.
#[test]
fn what_a_failed_sync_was_to_write_is_written_again_with_its_time() {
    for step in ["sync block", "sync dir shard", "sync dir blocks"] {
        let rig = Rig::new();
        let block = block(1);
        rig.store.put(std::slice::from_ref(&block), Sync::Later).unwrap();
        let mtime = UNIX_EPOCH + Duration::from_secs(77);
        rig.file(&block).set_times(FileTimes::new().set_modified(mtime)).unwrap();
        rig.fail(step, 0);
        assert!(rig.store.sync().is_err());
        assert!(rig.store.sync().is_err(), "{step}: what it rewrites is not durable either");
        rig.recover();
        rig.steps();
        rig.store.sync().unwrap();
        assert!(rig.steps().starts_with(&["sync block".to_owned(), "rename".to_owned()]), "{step}");
        assert_eq!(rig.store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
        assert_eq!(rig.store.stat(block.key()).unwrap().unwrap().mtime, mtime);
        assert_eq!(rig.temp_files(), 0);
        rig.steps();
        rig.store.sync().unwrap();
        assert!(rig.steps().is_empty(), "{step}");
    }
}
