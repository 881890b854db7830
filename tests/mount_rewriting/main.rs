//! Writing a block that is stored already, through real mounts: the same bytes, others, and a
//! stored copy that is damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod healing;
mod reading;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use common::blocks::flatfs_file;
use common::raw::Map;
use common::*;
use healing::*;
use libc::{EBADMSG, EIO, ENODEV, EOPNOTSUPP, EPERM, MAP_SHARED, PROT_READ, PROT_WRITE};
use nix::fcntl::{FallocateFlags, fallocate};
use reading::*;

/// Sizes on both sides of where the kernel may read a block's file by itself.
const SIZES: [usize; 3] = [1000, 64 << 10, 300_000];

fn main() {
    let every: &[rows::Case] = cases![
        the_same_bytes_succeed_with_every_tool,
        different_bytes_fail_and_change_nothing,
        the_same_bytes_succeed_in_any_order,
        a_stored_block_cannot_be_changed_otherwise,
        an_open_block_can_be_cut_and_written_again,
        what_is_written_behind_the_end_does_not_lengthen_the_block,
        a_stored_block_cannot_be_mapped_for_writing,
        readers_see_right_bytes_while_it_is_written_again,
        a_stored_block_can_be_read_through_a_writer,
        what_is_read_through_a_writer_is_the_block,
        install_and_tar_replace_it,
        times_are_the_last_writers,
        every_spelling_is_the_same_block,
    ];
    let files: &[rows::Case] = cases![
        a_damaged_copy_is_healed,
        a_healed_block_is_read_right_at_once,
        wrong_bytes_do_not_heal,
        a_copy_that_was_damaged_after_its_check_is_healed,
    ];
    rows::main(&[(backends(), every), (vec!["file"], files)])
}

/// A mount with one block of each size, whose bytes are also in files beside it.
fn stored(bench: &Bench) -> (Mounted, Vec<(String, Vec<u8>)>) {
    let mount = bench.mount();
    let mut blocks = Vec::new();
    for size in SIZES {
        let content = bytes(size as u64, size);
        let cid = cid_of(&content);
        put(mount.path(&cid), &content).unwrap();
        fs::write(bench.path().join(&cid), &content).unwrap();
        blocks.push((cid, content));
    }
    (mount, blocks)
}

fn untouched(mount: &Mounted, blocks: &[(String, Vec<u8>)]) {
    for (cid, content) in blocks {
        assert!(fs::read(mount.path(cid)).unwrap() == *content);
        let found = fs::metadata(mount.path(cid)).unwrap();
        assert_eq!((found.len(), found.permissions().mode() & 0o7777), (content.len() as u64, 0o444));
    }
    mount.assert_blocks(&blocks.iter().map(|(cid, _)| cid.as_str()).collect::<Vec<_>>());
}

/// > Writing the same bytes succeeds and rewrites nothing.
fn the_same_bytes_succeed_with_every_tool(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    let written = mount.count("stored_bytes");
    for (cid, _) in &blocks {
        let src = format!("../{cid}");
        for script in [
            format!("cp {src} {cid}"),
            format!("cp -p {src} {cid}"),
            format!("cp -a {src} {cid}"),
            format!("cat {src} > {cid}"),
            format!("cat {src} >| {cid}; cat < {src} 1<> {cid}"),
            format!("dd if={src} of={cid} bs=5000 status=none"),
            format!("dd if={src} of={cid} bs=1M conv=notrunc status=none"),
            format!("dd if={src} of={cid} bs=4096 conv=fsync,notrunc status=none"),
            format!("tee {cid} < {src} > /dev/null"),
            format!(": > {cid}; touch {cid}; : >> /dev/null"),
            format!("rsync -I --inplace {src} {cid}"),
            format!("rsync -I --inplace --no-whole-file {src} {cid}"),
            format!("rsync -I {src} {cid}"),
            format!("python3 -c 'import shutil; shutil.copy2(\"{src}\", \"{cid}\")'"),
            format!("truncate -s $(stat -c %s {src}) {cid}"),
        ] {
            let tool = script.split(' ').next().unwrap();
            if ["rsync", "python3"].contains(&tool) && !need(tool) {
                continue;
            }
            let output = sh(&mount.mnt, &script);
            assert!(output.status.success() && output.stderr.is_empty(), "{script}\n{}", text(&output));
        }
    }
    untouched(&mount, &blocks);
    assert_eq!(mount.count("stored_bytes"), written, "nothing was written again");
    assert_eq!(mount.count("mismatches"), 0);
}

/// > Different bytes are EBADMSG at the first write that differs, too few at close.
/// > The stored block does not change, and readers keep reading it meanwhile, whatever way they opened
/// > it.
fn different_bytes_fail_and_change_nothing(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let changed = |at: usize| {
            let mut other = content.clone();
            other[at] ^= 1;
            other
        };
        let length = content.len();
        for (what, other) in [
            ("shorter", content[..length - 1].to_vec()),
            ("much shorter", content[..1].to_vec()),
            ("longer", [content, &b"x"[..]].concat()),
            ("other in the middle", changed(length / 2)),
            ("other at the start", changed(0)),
            ("other at the end", changed(length - 1)),
            ("another", bytes(4, length)),
        ] {
            assert_eq!(errno(put(mount.path(cid), &other)), EBADMSG, "{what}");
            fs::write(bench.path().join("other"), &other).unwrap();
            for script in [format!("cp ../other {cid}"), format!("dd if=../other of={cid} bs=9999")] {
                let output = sh(&mount.mnt, &script);
                assert!(!output.status.success(), "{what}: {script}");
                assert!(text(&output).contains("Bad message"), "{what}: {script} {}", text(&output));
            }
            untouched(&mount, &blocks);
        }
        // Without O_TRUNC what is not written is as it was.
        let file = OpenOptions::new().write(true).open(mount.path(cid)).unwrap();
        assert_eq!(errno(file.write_at(b"wrong", 10)), EBADMSG, "at that write");
        assert_eq!(errno(file.sync_all()), EBADMSG);
        assert_eq!(errno(close(file)), EBADMSG);
        untouched(&mount, &blocks);
    }
    let errors = mount.errors();
    assert!(errors.contains("differ from byte 10 on"), "{errors}");
}

/// In whatever order and however often they are written.
///
/// > Writing the same bytes succeeds and rewrites nothing.
fn the_same_bytes_succeed_in_any_order(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        for truncate in [true, false] {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).truncate(truncate).open(mount.path(cid)).unwrap();
            let parts: Vec<_> = content.chunks(700).enumerate().collect();
            for (index, part) in parts.iter().rev().chain(&parts) {
                file.write_all_at(part, *index as u64 * 700).unwrap();
            }
            file.sync_all().unwrap();
            close(file).unwrap();
            let partly = OpenOptions::new().write(true).open(mount.path(cid)).unwrap();
            partly.write_all_at(&content[500..600], 500).unwrap();
            close(partly).unwrap();
        }
    }
    fs::write(bench.path().join("a"), &blocks[0].1[..400]).unwrap();
    fs::write(bench.path().join("b"), &blocks[0].1[400..]).unwrap();
    let output = sh(&mount.mnt, &format!("(cat ../a; cat ../b) > {}", blocks[0].0));
    assert!(output.status.success(), "{}", text(&output));
    untouched(&mount, &blocks);
}

/// > Appending, truncating to another length and `fallocate` are EPERM.
fn a_stored_block_cannot_be_changed_otherwise(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let path = mount.path(cid);
        let length = content.len() as u64;
        assert_eq!(errno(OpenOptions::new().append(true).open(&path)), EPERM);
        for other in [0, 1, length - 1, length + 1, length * 2] {
            assert_eq!(errno(nix::unistd::truncate(&path, other as i64).map_err(Into::into)), EPERM);
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            if other == 0 {
                // It may be the begin of writing it again; if nothing follows, it was not.
                file.set_len(0).unwrap();
                let copy = file.try_clone().unwrap();
                assert_eq!(errno(close(copy)), EPERM);
                assert_eq!(errno(file.sync_all()), EPERM);
                assert_eq!(errno(close(file)), EPERM);
            } else {
                assert_eq!(errno(file.set_len(other)), EPERM, "{other}");
                close(file).unwrap();
            }
            assert_eq!(fs::metadata(&path).unwrap().len(), length);
        }
        let output = sh(&mount.mnt, &format!("truncate -s 0 {cid}"));
        assert!(!output.status.success() && text(&output).contains("Operation not permitted"));
        nix::unistd::truncate(&path, length as i64).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        for flags in [FallocateFlags::empty(), FallocateFlags::FALLOC_FL_KEEP_SIZE] {
            assert_eq!(errno(fallocate(&file, flags, 0, length as i64 + 10).map_err(Into::into)), EPERM);
        }
        let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let punched = errno(fallocate(&file, punch, 0, 10).map_err(Into::into));
        assert!(punched == EOPNOTSUPP || punched == EPERM, "{punched}");
        close(file).unwrap();
        // Mode and owner: accepted, and nothing changes.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(1), Some(1)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), fs::metadata(&mount.mnt).unwrap().uid());
    }
    untouched(&mount, &blocks);
}

/// > A file that is open may be cut to nothing if the same bytes follow, which is how `sort -o` and node
/// > copy; if nothing follows, its close is EPERM.
fn an_open_block_can_be_cut_and_written_again(backend: &'static str) {
    // Copying a file twice with node's copyFile, which cuts the file that it has opened, was EPERM the
    // second time, and node then removed the block. R6: the same bytes succeed.
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let file = OpenOptions::new().write(true).open(mount.path(cid)).unwrap();
        file.set_len(0).unwrap();
        // What a child process closes in between is told the truth, and ends nothing.
        assert_eq!(errno(close(file.try_clone().unwrap())), EPERM);
        file.write_all_at(content, 0).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(&content[100..], 100).unwrap();
        file.write_all_at(&content[..100], 0).unwrap();
        close(file).unwrap();
        let file = OpenOptions::new().write(true).open(mount.path(cid)).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(&content[..100], 0).unwrap();
        assert_eq!(errno(close(file)), EBADMSG, "a part of it");
        let file = OpenOptions::new().write(true).open(mount.path(cid)).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(errno(file.write_at(b"wrong", 0)), EBADMSG);
        assert_eq!(errno(close(file)), EBADMSG);
    }
    untouched(&mount, &blocks);
}

/// Regression: a write behind the end of a stored block was taken, and the kernel showed the block to its
/// readers with zeros as far as that.
///
/// > Different bytes are EBADMSG at the first write that differs, too few at close. The stored block does
/// > not change, and readers keep reading it meanwhile, whatever way they opened it.
fn what_is_written_behind_the_end_does_not_lengthen_the_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let writer = OpenOptions::new().write(true).open(mount.path(cid)).unwrap();
        let reader = File::open(mount.path(cid)).unwrap();
        let mut read = vec![0; 2 * content.len() + 100_000];
        assert_eq!(reader.read_at(&mut read, 0).unwrap(), content.len());
        for at in [content.len() as u64, content.len() as u64 + 50_000] {
            assert_eq!(errno(writer.write_at(b"behind", at)), EBADMSG);
            assert_eq!(reader.metadata().unwrap().len(), content.len() as u64);
            assert_eq!(reader.read_at(&mut read, 10).unwrap(), content.len() - 10);
            assert!(read[..content.len() - 10] == content[10..]);
        }
        assert_eq!(errno(close(writer)), EBADMSG);
    }
    untouched(&mount, &blocks);
}

/// > A shared writable mapping is ENODEV.
fn a_stored_block_cannot_be_mapped_for_writing(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        for reader in [None, Some(File::open(mount.path(cid)).unwrap())] {
            let file = OpenOptions::new().read(true).write(true).open(mount.path(cid)).unwrap();
            let mapped = Map::new(&file, content.len(), PROT_READ | PROT_WRITE, MAP_SHARED);
            assert_eq!(errno(mapped), ENODEV, "{} bytes, {reader:?}", content.len());
            close(file).unwrap();
        }
    }
    untouched(&mount, &blocks);
}

/// Tools that remove the old file first store the block anew.
///
/// > chmod and chown succeed and change nothing, so that `cp -p`, `tar`, `rsync` and `install` work.
fn install_and_tar_replace_it(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, _) in &blocks {
        sh_ok(&mount.mnt, &format!("install -m 600 ../{cid} {cid}"));
        sh_ok(&mount.mnt, &format!("cp --remove-destination ../{cid} {cid}"));
        if need("tar") {
            sh_ok(&mount.mnt, &format!("tar -C .. -cf ../a.tar {cid}; tar xf ../a.tar; tar xf ../a.tar"));
            sh_ok(&mount.mnt, "tar --overwrite -xf ../a.tar");
        }
        sh_ok(&mount.mnt, &format!("cp ../{cid} ../moved; mv ../moved {cid}"));
    }
    untouched(&mount, &blocks);
}

/// > Its modification time is what the writer set, otherwise when it was written, and stays over
/// > remounts.
fn times_are_the_last_writers(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let at = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        sh_ok(bench.path(), &format!("touch -d @1111.25 {cid}; cp -p {cid} mnt/{cid}"));
        let wanted = SystemTime::UNIX_EPOCH + Duration::from_millis(1_111_250);
        assert_eq!(at(&mount.path(cid)), wanted);
        put(mount.path(cid), content).unwrap();
        assert_eq!(at(&mount.path(cid)), wanted, "writing it again is no change");
        sh_ok(&mount.mnt, &format!("touch -d @2222 {cid}"));
        assert_eq!(at(&mount.path(cid)), SystemTime::UNIX_EPOCH + Duration::from_secs(2222));
    }
    untouched(&mount, &blocks);
}

/// Writing the block under another spelling of its CID is writing it again.
///
/// > Every spelling of a CID that is a legal file name (at most 255 bytes, no `/`) and carries a
/// > block's multihash opens that block: version 0 or 1, any codec, any of the twenty multibases that
/// > Kubo knows.
fn every_spelling_is_the_same_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let upper = cid.to_uppercase();
        put(mount.path(&upper), content).unwrap();
        assert_eq!(errno(put(mount.path(&upper), &content[1..])), EBADMSG);
        assert_eq!(
            fs::metadata(mount.path(&upper)).unwrap().ino(),
            fs::metadata(mount.path(cid)).unwrap().ino()
        );
    }
    untouched(&mount, &blocks);
}
