//! What a commit does in which order, and what is left when a step of it fails.

mod suspects;

use std::fs;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;

use super::*;
use crate::block::{Cid, CidOptions, Version};

const DAG_PB_V0: CidForm = CidForm::Known { version: Version::V0, codec: 0x70 };

/// Does what the kernel does, writes it down, and fails where it is told to.
#[derive(Debug, Default)]
struct Recorder {
    steps: Mutex<Vec<String>>,
    /// A step that begins like this fails, after so many others that do.
    fail: Mutex<Option<(String, usize)>>,
}

impl Recorder {
    fn step(&self, step: String) -> io::Result<()> {
        let mut fail = self.fail.lock();
        if let Some((start, countdown)) = fail.as_mut().filter(|(start, _)| step.starts_with(start.as_str()))
        {
            if *countdown == 0 {
                self.steps.lock().push(format!("failed {start}"));
                return Err(io::Error::from_raw_os_error(crate::sys::errno::EIO));
            }
            *countdown -= 1;
        }
        self.steps.lock().push(step);
        Ok(())
    }
}

impl Disk for Arc<Recorder> {
    fn start_writeback(&self, _file: &File) {}

    fn sync_file(&self, _file: &File, name: &str) -> io::Result<()> {
        self.step(format!("sync {}", if name.contains('/') { "block" } else { "form" }))
    }

    fn sync_dir(&self, dir: &Dir) -> io::Result<()> {
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        let kind = if name.len() == 2 { "shard" } else { name };
        self.step(format!("sync dir {kind}"))
    }

    fn sync_file_system(&self, _dir: &Dir) -> io::Result<()> {
        self.step("sync all".to_owned())
    }

    fn rename(&self, dir: &Dir, from: &str, to: &str) -> io::Result<()> {
        self.step("rename".to_owned())?;
        dir.rename(from, to)
    }
}

struct Rig {
    store: FlatFs,
    disk: Arc<Recorder>,
    scratch: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), true)
    }

    /// Opens what is there.
    fn open(scratch: tempfile::TempDir, create: bool) -> Self {
        let disk = Arc::new(Recorder::default());
        let options = FlatFsOptions {
            path: scratch.path().join("blocks"),
            forms: scratch.path().join("forms"),
            last_sync: scratch.path().join("last-sync"),
            default_form: CidForm::RAW_V1,
            create,
            read_only: false,
        };
        let store = FlatFs::open_on(options, Box::new(Arc::clone(&disk))).unwrap();
        Self { store, disk, scratch }
    }

    /// As a process that is killed leaves it, opened again.
    fn after_kill(self) -> Self {
        let Self { store, scratch, .. } = self;
        drop(store);
        Self::open(scratch, false)
    }

    /// What was done since the last call.
    fn steps(&self) -> Vec<String> {
        std::mem::take(&mut *self.disk.steps.lock())
    }

    fn fail(&self, step: &str, after: usize) {
        *self.disk.fail.lock() = Some((step.to_owned(), after));
    }

    fn recover(&self) {
        *self.disk.fail.lock() = None;
    }

    fn put(&self, blocks: &[Block]) -> Result<()> {
        self.store.put(blocks, Sync::Now)
    }

    fn temp_files(&self) -> usize {
        fs::read_dir(self.scratch.path().join("blocks/.temp")).unwrap().count()
    }

    fn there(&self, blocks: &[Block]) -> usize {
        blocks.iter().filter(|block| self.store.stat(block.key()).unwrap().is_some()).count()
    }
}

fn block(number: u32) -> Block {
    Block::of(Bytes::from(number.to_string()), &CidOptions::default(), UNIX_EPOCH).unwrap()
}

fn dag_pb(number: u32) -> Block {
    let raw = block(number);
    Block::verify(&Cid::new(raw.key().clone(), DAG_PB_V0).unwrap(), raw.bytes().clone(), UNIX_EPOCH).unwrap()
}

/// Bytes are synced before they have a name, names before put returns.
///
/// > `close` of a written file returned 0 | survives a power cut | survives SIGKILL | readable until
/// > the unmount
#[test]
fn bytes_then_forms_then_names_then_directories() {
    let rig = Rig::new();
    let [first, second] = [dag_pb(1), block(2)];
    rig.put(&[first.clone(), second.clone()]).unwrap();
    let expected = [
        "sync block",
        "sync block",
        "sync form",
        "sync dir forms",
        // The first rename finds no shard.
        "rename",
        "rename",
        "rename",
        "rename",
        "sync dir shard",
        "sync dir shard",
        "sync dir blocks",
    ];
    assert_eq!(rig.steps(), expected);

    rig.put(&[first.clone(), second]).unwrap();
    let again = ["sync block", "sync block", "rename", "rename", "sync dir shard", "sync dir shard"];
    assert_eq!(rig.steps(), again, "what is durable is synced again");

    rig.store.remove(&[first.key().clone()], Sync::Now).unwrap();
    assert_eq!(rig.steps(), ["sync dir shard"]);
}

/// > `fsync` of the root directory returned 0 | everything acknowledged before, deletions included,
/// > survives a power cut | the same survives SIGKILL | nothing more
///
/// > `unlink` returned 0 | survives a power cut after one second | survives SIGKILL after one second |
/// > gone
#[test]
fn later_is_made_durable_by_sync() {
    let rig = Rig::new();
    rig.store.put(&[dag_pb(1)], Sync::Later).unwrap();
    assert_eq!(rig.steps(), ["rename", "rename"]);
    rig.store.sync().unwrap();
    let expected = ["sync form", "sync dir forms", "sync block", "sync dir shard", "sync dir blocks"];
    assert_eq!(rig.steps(), expected);
    rig.store.sync().unwrap();
    assert!(rig.steps().is_empty());

    rig.store.remove(&[block(1).key().clone()], Sync::Later).unwrap();
    let change = MetaChange { mtime: Some(UNIX_EPOCH), cid_form: None };
    assert!(!rig.store.set_meta(block(1).key(), change).unwrap());
    rig.store.sync().unwrap();
    assert_eq!(rig.steps(), ["sync dir shard"]);
}

/// More changes than are remembered one by one.
#[test]
fn many_changes_are_made_durable_at_once() {
    let rig = Rig::new();
    let blocks = (0..300).map(block).collect::<Vec<_>>();
    rig.store.put(&blocks, Sync::Later).unwrap();
    rig.steps();
    rig.fail("sync all", 0);
    assert!(rig.store.sync().is_err());
    rig.recover();
    rig.steps();
    rig.store.sync().unwrap();
    let (rewritten, rest) = (rig.steps(), ["sync all", "sync dir blocks"]);
    assert_eq!(rewritten[rewritten.len() - 2..], rest);
    // What a failed sync was to write may never be: the kernel does not try again.
    let count = |step: &str| rewritten.iter().filter(|done| *done == step).count();
    assert_eq!((count("sync block"), count("rename")), (300, 300));
    assert_eq!(rig.there(&blocks), 300);
}

/// Whatever step fails, a batch leaves no new name, for a block that is found later is taken to be
/// durable; and the same batch succeeds when the disk has recovered.
///
/// > When `close` returned an error that is not EBADMSG, such as EIO, the block is absent, or whole and
/// > durable.
#[test]
fn a_failed_batch_is_taken_back() {
    let steps = ["sync block", "sync form", "sync dir forms", "rename", "sync dir shard", "sync dir blocks"];
    for step in steps {
        for after in 0..3 {
            let rig = Rig::new();
            rig.put(&[block(100)]).unwrap();
            let blocks = [dag_pb(1), block(2), dag_pb(3), block(4)];
            let usage = rig.store.usage().unwrap().disk_bytes;
            rig.fail(step, after);
            let failed = rig.put(&blocks).is_err();
            assert!(failed || after > 0, "{step} after {after}");
            if failed {
                assert_eq!((rig.there(&blocks), rig.temp_files()), (0, 0), "{step} after {after}");
                let directories = rig.store.usage().unwrap().disk_bytes - usage;
                assert_eq!(directories % 4096, 0, "files are counted that are not there");
            }
            assert_eq!(rig.there(&[block(100)]), 1);
            rig.recover();
            rig.put(&blocks).unwrap();
            assert_eq!(rig.there(&blocks), 4);
            for block in &blocks {
                assert_eq!(rig.store.stat(block.key()).unwrap().as_ref(), Some(block.meta()));
            }
        }
    }
}

/// The bytes of the old file are as durable as they were.
#[test]
fn a_block_that_was_there_stays_when_replacing_it_fails() {
    for step in ["sync block", "rename", "sync dir shard"] {
        let rig = Rig::new();
        rig.put(&[block(1)]).unwrap();
        rig.fail(step, 0);
        assert!(rig.put(&[block(1)]).is_err());
        assert_eq!(rig.store.get(block(1).key()).unwrap().as_ref(), Some(block(1).bytes()));
        assert_eq!(rig.temp_files(), 0);
    }
}

/// A record that could not be synced may be gone after a power cut although it can still be read,
/// so it is written and synced again.
#[test]
fn a_form_that_was_not_synced_is_not_trusted() {
    let rig = Rig::new();
    rig.fail("sync form", 0);
    assert!(rig.put(&[dag_pb(1)]).is_err());
    let file = rig.scratch.path().join("forms");
    let lengths = fs::read_dir(&file).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert_eq!(lengths.sum::<u64>(), 0);
    rig.recover();
    rig.steps();
    rig.put(&[dag_pb(1)]).unwrap();
    assert!(rig.steps().contains(&"sync form".to_owned()));

    // Nor is one that another process has left, or that was put off.
    let rig = rig.after_kill();
    rig.put(&[dag_pb(1)]).unwrap();
    assert!(rig.steps().contains(&"sync form".to_owned()));
}
