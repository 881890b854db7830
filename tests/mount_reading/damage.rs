//! Blocks whose stored bytes are damaged (R10). Damage is done to the files of the `file` backend.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::common::blocks::{cid_v0, flatfs_file};
use super::common::raw::{Map, access, put};
use super::common::rows::Case;
use super::common::{Bench, Mounted, bytes, cid_of, errno, names};
use super::forget_pages;

pub const FLATFS: &[Case] = crate::cases![
    a_damaged_block_is_eio_and_never_enoent,
    a_damaged_block_is_named_in_the_log_as_the_listing_names_it,
    always_sees_damage_at_the_next_open,
    damage_after_the_check_is_found_by_the_next_mount,
    never_serves_what_is_there,
    writing_the_right_bytes_again_heals_a_damaged_block,
    a_reader_goes_on_while_its_block_is_damaged_and_healed,
    a_reader_of_damaged_bytes_does_not_hand_them_to_readers_after_the_healing,
    an_alias_of_a_damaged_block_is_eio_until_the_block_is_healed,
];

/// What can happen to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    FlippedBit,
    Truncated,
    Extended,
    Emptied,
}

const DAMAGES: [Damage; 4] = [Damage::FlippedBit, Damage::Truncated, Damage::Extended, Damage::Emptied];

impl Damage {
    /// Does it in place, to the file that has the block.
    fn inflict(self, file: &Path, content: &[u8]) {
        let length = content.len() as u64;
        let open = OpenOptions::new().write(true).open(file).unwrap();
        match self {
            Damage::FlippedBit => {
                let middle = content.len() / 2;
                open.write_all_at(&[content[middle] ^ 1], middle as u64).unwrap();
            }
            Damage::Truncated => open.set_len(length - 1).unwrap(),
            Damage::Extended => open.write_all_at(&[0], length).unwrap(),
            Damage::Emptied => open.set_len(0).unwrap(),
        }
    }
}

fn file_of(bench: &Bench, content: &[u8]) -> PathBuf {
    flatfs_file(&bench.data().join("blocks"), &cid_of(content))
}

const LENGTHS: [usize; 3] = [100, 65_536, 200_000];

/// One block for each kind of damage and length, damaged while nothing is mounted.
fn damaged_blocks(bench: &Bench) -> Vec<(Damage, Vec<u8>)> {
    let mount = bench.mount();
    let mut blocks = Vec::new();
    for (seed, damage) in (0..).zip(DAMAGES) {
        for length in LENGTHS {
            let content = bytes(seed * 10 + length as u64, length);
            put(&mount.path(cid_of(&content)), &content).unwrap();
            blocks.push((damage, content));
        }
    }
    mount.unmount();
    blocks.iter().for_each(|(damage, content)| damage.inflict(&file_of(bench, content), content));
    blocks
}

fn damaged_reads(mount: &Mounted) -> u64 {
    mount.count("damaged_reads")
}

fn read_bytes(mount: &Mounted) -> u64 {
    mount.count("read_bytes")
}

/// > A damaged block is EIO at open. It is never ENOENT, and, but with `never`, its bytes are not shown. The
/// > log has the CID, and `damaged_reads` counts it.
///
/// > `first` | a whole block is hashed before it is first opened in this mount
fn a_damaged_block_is_eio_and_never_enoent(backend: &'static str) {
    let bench = Bench::new(backend);
    let blocks = damaged_blocks(&bench);
    for options in [&[][..], &["--verify-reads", "always"]] {
        let mount = bench.mount_with(options);
        let good = bytes(999, 70_000);
        put(&mount.path(cid_of(&good)), &good).unwrap();
        for (damage, content) in &blocks {
            let cid = cid_of(content);
            for path in [mount.path(&cid), mount.path(cid_v0(content))] {
                let before = damaged_reads(&mount);
                assert_eq!(errno(File::open(&path)), libc::EIO, "{damage:?} {}", content.len());
                assert_eq!(errno(fs::read(&path)), libc::EIO, "the second time");
                assert!(damaged_reads(&mount) >= before + 2);
                assert!(fs::metadata(&path).unwrap().is_file());
                access(&path, libc::R_OK).unwrap();
            }
            assert!(names(&mount.mnt).contains(&cid), "still listed");
            assert!(mount.errors().contains(&cid), "{}", mount.errors());
            assert!(mount.log().contains(&cid), "{}", mount.log());
        }
        assert_eq!(fs::read(mount.path(cid_of(&good))).unwrap(), good, "others are well");
        assert_eq!(mount.ls().len(), blocks.len() + 1);
        mount.unmount();
    }
}

/// The log and the errors name a block as the listing does, so that it can be found there.
fn a_damaged_block_is_named_in_the_log_as_the_listing_names_it(backend: &'static str) {
    let bench = Bench::new(backend);
    let content = bytes(1, 100);
    let mount = bench.mount();
    put(&mount.path(cid_v0(&content)), &content).unwrap();
    mount.unmount();
    Damage::FlippedBit.inflict(&file_of(&bench, &content), &content);
    let mount = bench.mount();
    assert_eq!(mount.ls(), [cid_v0(&content)]);
    assert_eq!(errno(fs::read(mount.path(cid_of(&content)))), libc::EIO);
    assert!(mount.log().contains(&cid_v0(&content)), "{}", mount.log());
    assert!(mount.errors().contains(&cid_v0(&content)), "{}", mount.errors());
    mount.unmount();
}

/// > `always` | at every open, without passthrough and without what the kernel had cached
fn always_sees_damage_at_the_next_open(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--verify-reads", "always"]);
    for (seed, damage) in (0..).zip(DAMAGES) {
        for length in LENGTHS {
            let content = bytes(seed * 10 + length as u64, length);
            let path = mount.path(cid_of(&content));
            put(&path, &content).unwrap();
            for _ in 0..2 {
                let before = read_bytes(&mount);
                assert_eq!(fs::read(&path).unwrap(), content);
                assert!(read_bytes(&mount) >= before + length as u64, "the mount itself was asked");
            }
            let held = File::open(&path).unwrap();
            damage.inflict(&file_of(&bench, &content), &content);
            assert_eq!(errno(File::open(&path)), libc::EIO, "{damage:?} {length}");
            drop(held);
            assert_eq!(errno(fs::read(&path)), libc::EIO, "{damage:?} {length}");
        }
    }
    mount.unmount();
}

/// > What happens to the disk after the check of this mount is found by the next mount.
fn damage_after_the_check_is_found_by_the_next_mount(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 100_000);
    let path = mount.path(cid_of(&content));
    put(&path, &content).unwrap();
    mount.unmount();
    let mount = bench.mount();
    assert!(fs::read(&path).unwrap() == content);
    Damage::FlippedBit.inflict(&file_of(&bench, &content), &content);
    assert!(File::open(&path).is_ok(), "this mount has checked it");
    mount.unmount();
    let mount = bench.mount();
    assert_eq!(errno(File::open(&path)), libc::EIO);
    mount.unmount();
}

/// > `never` | not at all
fn never_serves_what_is_there(backend: &'static str) {
    let bench = Bench::new(backend);
    let blocks = damaged_blocks(&bench);
    let mount = bench.mount_with(&["--verify-reads", "never"]);
    for (_, content) in &blocks {
        let stored = fs::read(file_of(&bench, content)).unwrap();
        assert_ne!(stored, *content);
        let path = mount.path(cid_of(content));
        assert_eq!(fs::metadata(&path).unwrap().len(), stored.len() as u64);
        assert!(fs::read(&path).unwrap() == stored);
    }
    assert_eq!(damaged_reads(&mount), 0);
    mount.unmount();
}

fn assert_right(path: &Path, content: &[u8], what: &str) {
    let metadata = fs::metadata(path).unwrap();
    assert_eq!((metadata.len(), metadata.mode()), (content.len() as u64, 0o100_444), "{what}");
    let file = File::open(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(file.metadata().unwrap().len(), content.len() as u64, "{what}");
    for cold in [false, true] {
        if cold {
            forget_pages(&file);
        }
        let mut whole = vec![0; content.len()];
        file.read_exact_at(&mut whole, 0).unwrap();
        assert!(whole == content, "{what} cold={cold}");
        let map = Map::new(&file, content.len(), libc::PROT_READ, libc::MAP_SHARED).unwrap();
        assert!(*map == *content, "{what} cold={cold}");
    }
}

/// > If the stored copy is damaged, it is replaced.
fn writing_the_right_bytes_again_heals_a_damaged_block(backend: &'static str) {
    for options in [&[][..], &["--verify-reads", "always"], &["--verify-reads", "never"]] {
        let bench = Bench::new(backend);
        let blocks = damaged_blocks(&bench);
        let mount = bench.mount_with(options);
        for (index, (damage, content)) in blocks.iter().enumerate() {
            let what = format!("{damage:?} {} {options:?}", content.len());
            let path = mount.path(cid_of(content));
            // With and without a look at it before.
            if index % 2 == 0 {
                let _either_way = fs::read(&path);
            }
            assert_eq!(errno(put(&path, b"other bytes")), libc::EBADMSG, "{what}");
            put(&path, content).unwrap();
            assert_right(&path, content, &what);
            assert_right(&mount.path(cid_v0(content)), content, &what);
            assert!(fs::read(file_of(&bench, content)).unwrap() == *content, "{what}");
        }
        assert_eq!(mount.ls().len(), blocks.len());
        assert_eq!(mount.stats()["counters"]["blocks_healed"], blocks.len());
        assert_eq!(mount.stats()["counters"]["blocks_stored"], 0);
        mount.unmount();
        let mount = bench.mount_with(options);
        blocks
            .iter()
            .for_each(|(_, content)| assert_right(&mount.path(cid_of(content)), content, "remounted"));
        mount.unmount();
    }
}

/// The block is damaged on the disk while somebody reads it, and healed by a writer: the reader
/// goes on, and whoever opens the block afterwards reads right bytes, though the reader still has
/// the damaged file open.
fn a_reader_goes_on_while_its_block_is_damaged_and_healed(backend: &'static str) {
    for options in [&[][..], &["--verify-reads", "never"], &["--verify-reads", "always"]] {
        let bench = Bench::new(backend);
        let mount = bench.mount_with(options);
        for (seed, damage) in (0..).zip(DAMAGES) {
            for length in LENGTHS {
                let what = format!("{damage:?} {length} {options:?}");
                let content = bytes(seed * 10 + length as u64, length);
                let path = mount.path(cid_of(&content));
                put(&path, &content).unwrap();
                let reader = File::open(&path).unwrap();
                let mut first = [0; 10];
                reader.read_exact_at(&mut first, 0).unwrap();
                damage.inflict(&file_of(&bench, &content), &content);
                put(&path, &content).unwrap();
                assert_right(&path, &content, &what);
                assert_right(&mount.path(cid_v0(&content)), &content, &what);
                assert!(reader.metadata().unwrap().is_file(), "{what}");
                // Its own bytes may be those of the damaged file; it must not hang or lose its place.
                let _may_be_damaged = reader.read_at(&mut first, 0);
                assert_right(&path, &content, &what);
                drop(reader);
                assert_right(&path, &content, &what);
                fs::remove_file(&path).unwrap();
            }
        }
        assert_eq!(mount.stats()["counters"]["panics"], 0);
        mount.unmount();
    }
}

/// With `never` a reader may have damaged bytes in its pages and mappings. They end with it.
fn a_reader_of_damaged_bytes_does_not_hand_them_to_readers_after_the_healing(backend: &'static str) {
    let bench = Bench::new(backend);
    let blocks = damaged_blocks(&bench);
    let mount = bench.mount_with(&["--verify-reads", "never"]);
    for (damage, content) in &blocks {
        let what = format!("{damage:?} {}", content.len());
        let path = mount.path(cid_of(content));
        let stored = fs::read(file_of(&bench, content)).unwrap();
        let reader = File::open(&path).unwrap();
        let mut held = vec![0; stored.len()];
        reader.read_exact_at(&mut held, 0).unwrap();
        assert!(held == stored, "{what}");
        put(&path, content).unwrap();
        for _ in 0..3 {
            // The old reader fills its pages again in between.
            forget_pages(&reader);
            let _may_be_damaged = reader.read_at(&mut held, 0);
            assert_right(&path, content, &what);
            assert_right(&mount.path(cid_v0(content)), content, &what);
        }
    }
    mount.unmount();
}

/// An alias is the bytes of its block, damaged ones too; one that is open meanwhile reads the healed
/// block from the next open.
fn an_alias_of_a_damaged_block_is_eio_until_the_block_is_healed(backend: &'static str) {
    for length in LENGTHS {
        let bench = Bench::new(backend);
        let mount = bench.mount_with(&["--verify-reads", "always"]);
        let content = bytes(length as u64, length);
        let (alias, path) = (mount.path("photo.jpg"), mount.path(cid_of(&content)));
        put(&alias, &content).unwrap();
        let held = File::open(&alias).unwrap();
        let mut first = [0; 10];
        held.read_exact_at(&mut first, 0).unwrap();
        Damage::FlippedBit.inflict(&file_of(&bench, &content), &content);
        assert_eq!(errno(File::open(&alias)), libc::EIO, "{length}");
        assert!(fs::metadata(&alias).unwrap().is_file());
        put(&path, &content).unwrap();
        assert!(fs::read(&alias).unwrap() == content, "{length}");
        assert_right(&path, &content, "under its CID");
        forget_pages(&held);
        let mut whole = vec![0; length];
        held.read_exact_at(&mut whole, 0).unwrap();
        assert!(whole == content, "{length}, the handle that was open");
        drop(held);
        mount.unmount();
    }
}
