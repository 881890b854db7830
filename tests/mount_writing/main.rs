//! Writing a block under its CID through real mounts: when the verdict falls, and what is there
//! before and after it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod early;
mod writers;

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::*;
use common::*;
use early::*;
use libc::{EBADMSG, EEXIST, EFBIG, ENOENT};
use nix::fcntl::{FallocateFlags, fallocate};
use writers::*;

/// The CID of the empty block.
const EMPTY: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

fn main() {
    run_product(cases![
        right_bytes_are_stored_when_close_returns,
        wrong_bytes_leave_nothing,
        fsync_gives_the_verdict_too,
        a_close_with_nothing_new_gives_no_verdict,
        two_programs_may_write_one_block_after_another,
        a_staged_file_can_be_looked_at_and_not_read,
        writers_of_one_cid_are_independent,
        staged_bytes_are_never_read_as_the_block,
        an_empty_file_is_the_empty_block_or_nothing,
        a_file_removed_while_open_stores_nothing,
        a_file_removed_during_its_commit_stores_nothing,
        any_order_of_writes_gives_the_same_block,
        bytes_written_can_be_read_back,
        mapped_writes_are_judged,
        a_mapping_written_after_the_last_close_is_counted,
        duplicates_and_children_share_a_writer,
        a_retry_right_after_a_refusal_is_stored,
        every_close_of_wrong_bytes_is_told_so,
        many_writers_share_a_sync,
        one_block_written_by_many_at_once,
        a_close_during_a_commit_is_judged_by_its_own_bytes,
        a_write_past_the_limit_is_refused_at_once,
        after_truncation_to_nothing_a_refused_file_starts_anew,
        bytes_are_staged_in_memory_under_a_number_of_their_own,
        synchronous_writes_are_judged_one_by_one,
        what_can_be_known_early_is_an_error_early,
    ])
}

/// > The bytes are the block: it is stored as durably as [durability](#durability) says, and `close`
/// > returns 0.
fn right_bytes_are_stored_when_close_returns(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let mut cids = Vec::new();
    for (seed, length) in [1, 1000, 4096, 65_536, 262_144, 1_048_579, 2_097_152].into_iter().enumerate() {
        let content = bytes(seed as u64, length);
        let cid = cid_of(&content);
        let mut file = File::create(mount.path(&cid)).unwrap();
        let staged_ino = file.metadata().unwrap().ino();
        file.write_all(&content).unwrap();
        close(file).unwrap();
        assert!(names(&mount.mnt).contains(&cid), "listed at once");
        let stored = fs::metadata(mount.path(&cid)).unwrap();
        assert_eq!(stored.len(), length as u64);
        assert_eq!(stored.permissions().mode() & 0o7777, 0o444);
        assert_ne!(stored.ino(), staged_ino, "a staged file has an inode of its own");
        assert!(fs::read(mount.path(&cid)).unwrap() == content);
        cids.push(cid);
    }
    mount.assert_blocks(&cids.iter().map(String::as_str).collect::<Vec<_>>());
    mount.unmount();
    if durable_backends().contains(&backend) {
        let mount = bench.mount();
        cids.sort();
        assert_eq!(mount.ls(), cids);
        for cid in &cids {
            assert_eq!(cid_of(&fs::read(mount.path(cid)).unwrap()), *cid);
        }
    }
}

/// > They are not: EBADMSG, and nothing is stored.
/// > Then the name is gone.
fn wrong_bytes_leave_nothing(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 5000);
    let cid = cid_of(&content);
    let mut flipped = content.clone();
    flipped[2500] ^= 1;
    let wrong: [&[u8]; 4] = [&flipped, &content[..4999], &bytes(1, 5008), b"x"];
    for (round, wrong) in wrong.into_iter().enumerate() {
        assert_eq!(errno(put(mount.path(&cid), wrong)), EBADMSG);
        eventually("the name is gone", || !mount.path(&cid).exists());
        assert_eq!(errno(File::open(mount.path(&cid))), ENOENT);
        mount.assert_blocks(&[]);
        assert_eq!(mount.count("mismatches"), round as u64 + 1);
    }
    let errors = mount.errors();
    assert!(errors.contains(&format!("close {cid} errno {EBADMSG}: ")), "{errors}");
    assert!(errors.contains(&cid) && errors.contains(&cid_of(&flipped)), "which CID it would be: {errors}");
    put(mount.path(&cid), &content).unwrap();
    mount.assert_blocks(&[&cid]);
}

/// > The verdict falls when a descriptor is closed, or on `fsync`, if bytes were written since the last
/// > verdict.
fn fsync_gives_the_verdict_too(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(2, 3000);
    let cid = cid_of(&content);
    let mut file = File::create(mount.path(&cid)).unwrap();
    file.write_all(&content[..1000]).unwrap();
    assert_eq!(errno(file.sync_all()), EBADMSG);
    mount.assert_blocks(&[]);
    file.write_all(&content[1000..]).unwrap();
    file.sync_all().unwrap();
    mount.assert_blocks(&[&cid]);
    assert!(fs::read(mount.path(&cid)).unwrap() == content, "while its writer is still open");
    file.sync_data().unwrap();
    close(file).unwrap();
    mount.assert_blocks(&[&cid]);

    // What is written after a right verdict is judged again, and does no harm to the block.
    let second = bytes(3, 100);
    let cid_of_second = cid_of(&second);
    let mut file = File::create(mount.path(&cid_of_second)).unwrap();
    file.write_all(&second).unwrap();
    file.sync_all().unwrap();
    file.write_all(b"more").unwrap();
    assert_eq!(errno(close(file)), EBADMSG);
    eventually("the block that this handle had made is gone or whole", || {
        fs::read(mount.path(&cid_of_second)).map_or(true, |read| read == second)
    });
}

/// > A close without new bytes gives no verdict; shells and `dd` send one before they write.
fn a_close_with_nothing_new_gives_no_verdict(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(4, 200_000);
    let cid = cid_of(&content);
    fs::write(bench.path().join("src"), &content).unwrap();
    let src = "../src";
    for script in [
        format!("cat {src} > {cid}"),
        format!("dd if={src} of={cid} bs=7000 status=none"),
        format!("dd if={src} of={cid} bs=1M conv=fsync status=none"),
        format!("dd if={src} of={cid} bs=4096 oflag=direct status=none"),
        format!("dash -c 'cat {src} > {cid}'"),
        format!("exec 9> {cid}; cat {src} >&9; exec 9>&-"),
    ] {
        if script.starts_with("dash") && !need("dash") {
            continue;
        }
        sh_ok(&mount.mnt, &script);
        mount.assert_blocks(&[&cid]);
        assert!(fs::read(mount.path(&cid)).unwrap() == content, "{script}");
        fs::remove_file(mount.path(&cid)).unwrap();
    }
    let file = File::create(mount.path(&cid)).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    (&file).write_all(&content).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    close(file).unwrap();
    mount.assert_blocks(&[&cid]);
}

/// > The bytes stay until the last descriptor is closed, so that `(cat a; cat b) > CID` still
/// > completes, although the first `cat` reports an error.
/// > Then the name is gone.
fn two_programs_may_write_one_block_after_another(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (a, b) = (bytes(5, 70_000), bytes(6, 30_000));
    fs::write(bench.path().join("a"), &a).unwrap();
    fs::write(bench.path().join("b"), &b).unwrap();
    let cid = cid_of(&[a, b].concat());
    let output = sh(&mount.mnt, &format!("(cat ../a && echo silent; cat ../b) > {cid}"));
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("cat: ") && said.contains("Bad message"), "the first cat complains: {said}");
    mount.assert_blocks(&[&cid]);
    let alone = sh(&mount.mnt, &format!("rm {cid}; (cat ../a) > {cid}"));
    assert!(!alone.status.success() && text(&alone).contains("Bad message"), "{}", text(&alone));
    eventually("nothing stays of it", || !mount.path(&cid).exists());
    mount.assert_blocks(&[]);
}

/// > While a file is staged, `stat`, `chmod` and `utimes` work by its path.
/// > Opening it for reading is ENOENT until the block is stored.
fn a_staged_file_can_be_looked_at_and_not_read(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(7, 1000);
    let cid = cid_of(&content);
    let path = mount.path(&cid);
    let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    file.write_all_at(&content[..400], 0).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 400);
    assert_eq!(fs::metadata(&path).unwrap().ino(), file.metadata().unwrap().ino());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    file.write_all_at(&content[400..], 400).unwrap();
    raw::set_times(&path, then, then).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), then);
    assert_eq!(errno(File::open(&path)), ENOENT);
    assert_eq!(errno(OpenOptions::new().write(true).create_new(true).open(&path)), EEXIST);
    mount.assert_blocks(&[]);
    close(file).unwrap();
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), then, "kept by the block");
    let block_mtime = then + Duration::from_secs(5);
    File::options().write(true).open(&path).unwrap().set_modified(block_mtime).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), block_mtime);
}

/// > Two writers of one CID have bytes of their own each; the first right one stores the block, the
/// > other rewrites it (R6).
fn writers_of_one_cid_are_independent(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(8, 100_000);
    let cid = cid_of(&content);
    let path = mount.path(&cid);
    let open = || OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
    let (one, two, three) = (open(), open(), open());
    one.write_all_at(&bytes(9, 50_000), 0).unwrap();
    two.write_all_at(&content[..60_000], 0).unwrap();
    three.write_all_at(&content, 0).unwrap();
    two.write_all_at(&content[60_000..], 60_000).unwrap();
    close(two).unwrap();
    mount.assert_blocks(&[&cid]);
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(errno(close(one)), EBADMSG);
    close(three).unwrap();
    assert!(fs::read(&path).unwrap() == content);
    mount.assert_blocks(&[&cid]);
    assert_eq!((mount.count("blocks_stored"), mount.count("blocks_rewritten")), (1, 1));
}

/// A reader never sees staged bytes, through the page cache either.
fn staged_bytes_are_never_read_as_the_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(10, 150_000);
    let cid = cid_of(&content);
    let path = mount.path(&cid);
    let wrong = bytes(11, 150_000);
    let staged = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    staged.write_all_at(&wrong, 0).unwrap();
    let mut warm = vec![0; wrong.len()];
    staged.read_exact_at(&mut warm, 0).unwrap();
    assert!(warm == wrong);
    put(&path, &content).unwrap();
    for _ in 0..3 {
        let reader = File::open(&path).unwrap();
        assert_ne!(reader.metadata().unwrap().ino(), staged.metadata().unwrap().ino());
        let mut read = Vec::new();
        (&reader).read_to_end(&mut read).unwrap();
        assert!(read == content);
        staged.write_all_at(&wrong[..70_000], 30_000).unwrap();
    }
    assert_eq!(errno(close(staged)), EBADMSG);
    assert!(fs::read(&path).unwrap() == content);
}

/// A small generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
