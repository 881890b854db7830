//! A mount whose engine panics, fails or hangs: the request that meets it gets an errno, everything
//! else goes on, and the engine is closed exactly once, last.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/faulty.rs"]
mod faulty;

use std::fs::{self, File};
use std::io::Write;

use common::{bytes, cid_of, close, errno, eventually, fuse_available, is_root, names, write_new};
use faulty::{Call, Fault, FaultyMount, logged};
use ipfs_persist_mount::metrics::Count;
use libc::{EIO, ENOENT, ENOSPC};

/// Whether these tests can run: they serve the mount themselves, as root.
fn available() -> bool {
    if !is_root() {
        eprintln!("SKIPPED: a mount in the test's own process needs root");
    }
    is_root() && fuse_available()
}

/// The mount works: a new block can be written, read, listed and removed.
fn is_well(mount: &FaultyMount, seed: u64) {
    let content = bytes(seed, 3000);
    let path = mount.path(&content);
    write_new(&path, &content).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert!(names(mount.mnt()).contains(&cid_of(&content)));
    fs::remove_file(&path).unwrap();
    assert_eq!(errno(fs::metadata(&path)), ENOENT);
}

/// > A panic in a request gives EIO to that request, a line in the log and a count (`panics`). The mount goes
/// > on.
#[test]
fn a_panic_is_an_error_of_its_request_alone() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    let content = bytes(1, 5000);
    let (path, cid) = (mount.path(&content), cid_of(&content));
    write_new(&path, &content).unwrap();
    let other = bytes(2, 5000);
    write_new(&mount.path(&other), &other).unwrap();

    type Act<'a> = Box<dyn Fn() -> std::io::Result<()> + 'a>;
    let fresh = bytes(3, 700);
    let acts: Vec<(Call, Act<'_>)> = vec![
        (Call::Remove, Box::new(|| fs::remove_file(&path))),
        (Call::SetMeta, Box::new(|| File::open(&path)?.set_modified(std::time::UNIX_EPOCH))),
        (Call::List, Box::new(|| fs::read_dir(mount.mnt())?.try_for_each(|entry| entry.map(drop)))),
        (Call::Usage, Box::new(|| write_new(&mount.path(&fresh), &fresh))),
        (Call::Sync, Box::new(|| File::open(mount.mnt())?.sync_all())),
        (Call::Put, Box::new(|| write_new(&mount.path(&fresh), &fresh))),
    ];
    for (number, (call, act)) in (1..).zip(&acts) {
        let panics = mount.count(Count::Panics);
        mount.faults.set(*call, None, Fault::Panic);
        assert_eq!(errno(act()), EIO, "{call:?}");
        // The answer may be on its way before the panic is counted.
        eventually("the panic is counted", || mount.count(Count::Panics) > panics);
        assert_eq!(fs::read(mount.path(&other)).unwrap(), other, "{call:?}");
        mount.faults.clear();
        is_well(&mount, 100 + number);
    }
    drop(acts);
    assert!(logged().contains("panicked"));
    assert_eq!(fs::read(&path).unwrap(), content);
    assert!(!names(mount.mnt()).contains(&cid_of(&fresh)));

    // Of one key: others are not disturbed while it lasts.
    mount.faults.set(Call::Stat, Some(&cid), Fault::Panic);
    let upper = mount.mnt().join(cid.to_uppercase());
    assert_eq!(errno(fs::metadata(&upper)), EIO);
    let unharmed = bytes(200, 3000);
    write_new(&mount.path(&unharmed), &unharmed).unwrap();
    assert_eq!(fs::read(mount.path(&unharmed)).unwrap(), unharmed);
    mount.faults.clear();
    is_well(&mount, 201);
    assert_eq!(fs::read(upper).unwrap(), content);
    mount.finish().unwrap();
}

#[test]
fn a_panic_while_reading_is_an_error_of_that_block_alone() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    let (bad, good) = (bytes(1, 5000), bytes(2, 5000));
    write_new(&mount.path(&bad), &bad).unwrap();
    write_new(&mount.path(&good), &good).unwrap();
    mount.faults.set(Call::Get, Some(&cid_of(&bad)), Fault::Panic);
    assert_eq!(errno(fs::read(mount.path(&bad))), EIO);
    assert_eq!(fs::read(mount.path(&good)).unwrap(), good);
    assert_eq!(names(mount.mnt()).len(), 2);
    is_well(&mount, 3);
    mount.faults.clear();
    assert_eq!(fs::read(mount.path(&bad)).unwrap(), bad);
    mount.finish().unwrap();
}

/// Regression: every stored block was "No such file or directory" while its engine could not look.
#[test]
fn an_engine_that_fails_is_an_error_and_never_absence() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    let content = bytes(1, 5000);
    write_new(&mount.path(&content), &content).unwrap();
    // Another spelling, which the kernel has not looked up yet.
    let upper = mount.mnt().join(cid_of(&content).to_uppercase());
    mount.faults.set(Call::Stat, None, Fault::Engine);
    assert_eq!(errno(fs::metadata(&upper)), EIO);
    assert_eq!(errno(File::open(&upper)), EIO);
    assert_eq!(errno(fs::remove_file(&upper)), EIO);
    assert_eq!(errno(fs::rename(&upper, mount.path(&content))), EIO);
    // What cannot be a block still is none.
    let broken = mount.mnt().join(&cid_of(&content)[..58]);
    assert_eq!(errno(fs::metadata(broken)), libc::ENOENT);
    mount.faults.clear();
    assert_eq!(fs::read(upper).unwrap(), content);
    mount.finish().unwrap();
}

/// Regression: whether a block is stored already is asked inside the group commit, and a panic
/// there left the queue with a leader that was gone: every later close waited for ever.
#[test]
fn group_commit_goes_on_after_a_panic_in_it() {
    if !available() {
        return;
    }
    for call in [Call::Stat, Call::Put] {
        let mount = FaultyMount::new();
        let content = bytes(1, 5000);
        let mut file = File::create_new(mount.path(&content)).unwrap();
        file.write_all(&content).unwrap();
        mount.faults.set(call, Some(&cid_of(&content)), Fault::Panic);
        assert_eq!(errno(file.try_clone().map(close).unwrap()), EIO, "{call:?}");
        is_well(&mount, 2);
        eventually("the panic is counted", || mount.count(Count::Panics) == 1);
        assert!(names(mount.mnt()).is_empty());
        // A handle that was told so stores nothing any more; the next one does.
        mount.faults.clear();
        assert_eq!(errno(close(file)), EIO);
        let mut again = File::create(mount.path(&content)).unwrap();
        again.write_all(&content).unwrap();
        close(again).unwrap();
        assert_eq!(fs::read(mount.path(&content)).unwrap(), content);
        mount.finish().unwrap();
    }
}

/// > Closes that come at the same time share their sync.
#[test]
fn closes_at_the_same_time_share_their_sync() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    let contents: Vec<Vec<u8>> = (0..8).map(|seed| bytes(seed, 2000)).collect();
    std::thread::scope(|scope| {
        // The first one is held in the engine meanwhile.
        mount.faults.set(Call::Put, Some(&cid_of(&contents[0])), Fault::Hold);
        scope.spawn(|| write_new(&mount.path(&contents[0]), &contents[0]).unwrap());
        mount.faults.wait_until_held();
        for content in &contents[1..] {
            let mount = &mount;
            scope.spawn(move || write_new(&mount.path(content), content).unwrap());
        }
        eventually("everybody waits", || requests(&mount, "flush") == contents.len() as u64);
        mount.faults.clear();
    });
    assert_eq!(names(mount.mnt()).len(), contents.len());
    assert_eq!(mount.count(Count::CommitBatches), 2, "the first, and all others");
    mount.finish().unwrap();
}

#[test]
fn a_block_that_cannot_be_stored_does_not_fail_its_batch() {
    if !available() {
        return;
    }
    for fault in [Fault::Panic, Fault::Errno(EIO), Fault::Errno(ENOSPC)] {
        let mount = FaultyMount::new();
        let contents: Vec<Vec<u8>> = (0..8).map(|seed| bytes(seed, 2000)).collect();
        let bad = &contents[5];
        let expected = if let Fault::Errno(errno) = fault { errno } else { EIO };
        let answers: Vec<std::io::Result<()>> = std::thread::scope(|scope| {
            // The first one is held in the engine, so that the others come to be one batch.
            mount.faults.set(Call::Put, Some(&cid_of(&contents[0])), Fault::Hold);
            let mut writers = vec![scope.spawn(|| write_new(&mount.path(&contents[0]), &contents[0]))];
            mount.faults.wait_until_held();
            for content in &contents[1..] {
                writers.push(scope.spawn(|| write_new(&mount.path(content), content)));
            }
            let flushes = || requests(&mount, "flush");
            eventually("everybody waits for the leader", || flushes() == contents.len() as u64);
            mount.faults.replace(Call::Put, &cid_of(bad), fault);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        for (content, answer) in contents.iter().zip(answers) {
            if content == bad {
                assert_eq!(errno(answer), expected);
                assert_eq!(errno(fs::metadata(mount.path(content))), ENOENT);
            } else {
                answer.unwrap();
                assert_eq!(fs::read(mount.path(content)).unwrap(), *content);
            }
        }
        assert_eq!(names(mount.mnt()).len(), 7);
        mount.faults.clear();
        mount.finish().unwrap();
    }
}

fn requests(mount: &FaultyMount, name: &str) -> u64 {
    let stats = fs::read(mount.mnt().join(".ipfs-persist/stats.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&stats).unwrap()["requests"][name].as_u64().unwrap()
}

#[test]
fn a_failed_put_is_the_errno_of_close_and_can_be_tried_again() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    let content = bytes(1, 5000);
    let path = mount.path(&content);
    for failure in [EIO, ENOSPC] {
        mount.faults.set(Call::Put, None, Fault::Errno(failure));
        assert_eq!(errno(write_new(&path, &content)), failure);
        assert_eq!(errno(fs::metadata(&path)), ENOENT);
        assert!(names(mount.mnt()).is_empty());
        // A name that is no CID leaves nothing either.
        let photo = mount.mnt().join("photo.jpg");
        assert_eq!(errno(write_new(&photo, &content)), failure);
        eventually("the name is gone", || errno_or_zero(&photo) == ENOENT);
        mount.faults.clear();
    }
    write_new(&path, &content).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(mount.count(Count::BlocksStored), 1);
    let errors = fs::read_to_string(mount.mnt().join(".ipfs-persist/errors")).unwrap();
    assert!(errors.contains("No space left"), "{errors}");
    mount.finish().unwrap();
}

fn errno_or_zero(path: &std::path::Path) -> i32 {
    fs::metadata(path).err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

#[test]
fn a_failed_sync_is_the_error_of_fsync_and_is_tried_again_in_the_background() {
    if !available() {
        return;
    }
    for fault in [Fault::Errno(EIO), Fault::Panic] {
        let mount = FaultyMount::new();
        let content = bytes(1, 5000);
        write_new(&mount.path(&content), &content).unwrap();
        mount.faults.set(Call::Sync, None, fault.clone());
        assert_eq!(errno(File::open(mount.mnt()).unwrap().sync_all()), EIO, "{fault:?}");
        let before = mount.faults.count(Call::Sync);
        fs::remove_file(mount.path(&content)).unwrap();
        eventually("the background has tried", || mount.faults.count(Call::Sync) > before);
        mount.faults.clear();
        let before = mount.faults.count(Call::Sync);
        eventually("and tries again", || mount.faults.count(Call::Sync) > before);
        File::open(mount.mnt()).unwrap().sync_all().unwrap();
        is_well(&mount, 2);
        mount.finish().unwrap();
    }
}

#[test]
fn readers_and_new_writers_go_on_while_puts_are_slow() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    let stored = bytes(1, 5000);
    write_new(&mount.path(&stored), &stored).unwrap();
    let contents: Vec<Vec<u8>> = (10..18).map(|seed| bytes(seed, 2000)).collect();
    std::thread::scope(|scope| {
        mount.faults.set(Call::Put, None, Fault::Hold);
        let writers: Vec<_> =
            contents.iter().map(|content| scope.spawn(|| write_new(&mount.path(content), content))).collect();
        mount.faults.wait_until_held();
        // All of this ends while no put does.
        for round in 0..20 {
            assert_eq!(fs::read(mount.path(&stored)).unwrap(), stored);
            assert_eq!(names(mount.mnt()), [cid_of(&stored)]);
            assert_eq!(errno(fs::metadata(mount.path(&bytes(1000 + round, 10)))), ENOENT);
            let mut started = File::create_new(mount.path(&bytes(2000 + round, 9000))).unwrap();
            started.write_all(&bytes(2000 + round, 9000)[..100]).unwrap();
        }
        assert!(writers.iter().all(|writer| !writer.is_finished()), "a close returned before its put");
        mount.faults.clear();
        writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
    });
    assert_eq!(names(mount.mnt()).len(), 9);
    mount.finish().unwrap();
}

/// > Unmounting, by `umount`, `fusermount3 -u` or `ipfs-persist-mount unmount`: requests finish, everything
/// > becomes durable, the store is closed, its lock released, the process ends.
#[test]
fn a_close_under_way_when_the_mount_goes_is_finished_before_the_engine_is_closed() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    let content = bytes(1, 5000);
    let path = mount.path(&content);
    let faults = std::sync::Arc::clone(&mount.faults);
    faults.set(Call::Put, None, Fault::Hold);
    let writer = std::thread::spawn(move || write_new(&path, &content));
    faults.wait_until_held();
    mount.finish_lazily(|faults| faults.clear()).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(faults.count(Call::Put), 1);
}

#[test]
fn a_failed_close_of_the_engine_is_the_result_of_the_mount() {
    if !available() {
        return;
    }
    let mount = FaultyMount::new();
    is_well(&mount, 1);
    mount.faults.set(Call::Close, None, Fault::Errno(EIO));
    let error = mount.finish().unwrap_err();
    assert_eq!(error.errno(), EIO);
    assert!(logged().contains("did not close cleanly"));
}
