//! Deleting blocks (R9).

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use multibase::Base;

use super::common::blocks::{cid_bytes, cid_under, cid_v0, spell};
use super::common::raw::{Map, access, put};
use super::common::rows::Case;
use super::common::{Bench, Mounted, bytes, cid_of, errno, sh, sh_ok, text};
use super::{forget_pages, store};

pub const EVERY: &[Case] = crate::cases![
    rm_by_any_spelling_deletes_the_block,
    after_rm_every_other_spelling_is_gone_at_once,
    a_name_of_a_removed_block_is_a_new_file_at_once,
    stored_again_it_is_there_at_once_by_every_spelling,
    open_handles_keep_reading_a_removed_block,
    open_handles_keep_reading_when_the_block_is_stored_again,
    an_absent_block_is_enoent,
    no_delete_is_eperm,
    a_read_only_mount_answers_erofs,
    rm_of_the_owner_never_prompts,
];

fn spellings(mount: &Mounted, content: &[u8]) -> Vec<PathBuf> {
    let raw = cid_of(content);
    let names = [
        raw.clone(),
        cid_v0(content),
        cid_under(content, 0x71, 0x12, 32),
        raw.to_uppercase(),
        spell(Base::Base58Btc, &cid_bytes(&raw)),
        spell(Base::Base16Lower, &cid_bytes(&raw)),
    ];
    names.iter().map(|name| mount.path(name)).collect()
}

/// > `rm` of any spelling deletes the block.
fn rm_by_any_spelling_deletes_the_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for index in 0..6 {
        let content = bytes(index as u64, 500);
        let spellings = spellings(&mount, &content);
        put(&spellings[0], &content).unwrap();
        fs::remove_file(&spellings[index]).unwrap();
        assert!(mount.ls().is_empty(), "{index}");
        assert_eq!(errno(fs::remove_file(&spellings[0])), libc::ENOENT, "{index}");
    }
    assert_eq!(mount.stats()["counters"]["blocks_removed"], 6);
    mount.unmount();
}

fn assert_gone(paths: &[PathBuf]) {
    for path in paths {
        assert_eq!(errno(fs::metadata(path)), libc::ENOENT, "{}", path.display());
        assert_eq!(errno(File::open(path)), libc::ENOENT, "{}", path.display());
        assert_eq!(errno(access(path, libc::R_OK)), libc::ENOENT, "{}", path.display());
    }
}

/// Names that the kernel has been told of hold for a day; a removal must reach all of them.
fn after_rm_every_other_spelling_is_gone_at_once(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for length in [100, 100_000] {
        for removed in 0..6 {
            let content = bytes(removed as u64, length);
            let spellings = spellings(&mount, &content);
            put(&spellings[0], &content).unwrap();
            for path in &spellings {
                assert_eq!(fs::read(path).unwrap(), content);
                assert_eq!(fs::metadata(path).unwrap().len(), length as u64);
            }
            fs::remove_file(&spellings[removed]).unwrap();
            assert_gone(&spellings);
        }
    }
    // The same while somebody still has it open.
    for length in [100, 100_000] {
        for removed in 0..6 {
            let content = bytes(50 + removed as u64, length);
            let spellings = spellings(&mount, &content);
            put(&spellings[0], &content).unwrap();
            let held: Vec<File> = spellings.iter().map(|path| File::open(path).unwrap()).collect();
            fs::remove_file(&spellings[removed]).unwrap();
            assert_gone(&spellings);
            drop(held);
            assert_gone(&spellings);
        }
    }
    mount.unmount();
}

/// The kernel believes in names of a block that was removed by another name: opening one with O_CREAT
/// to read was ENOENT then, to append EPERM, and a file being written by another name was not seen.
fn a_name_of_a_removed_block_is_a_new_file_at_once(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for seed in 0..2 {
        let content = bytes(seed, 1000);
        let spellings = spellings(&mount, &content);
        put(&spellings[0], &content).unwrap();
        spellings.iter().for_each(|path| assert_eq!(fs::metadata(path).unwrap().len(), 1000));
        fs::remove_file(&spellings[1]).unwrap();
        if seed == 0 {
            let file = nix::fcntl::open(
                &spellings[2],
                nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CREAT,
                nix::sys::stat::Mode::S_IRUSR,
            );
            drop(file.unwrap());
        }
        let mut file = File::options().append(true).create(true).open(&spellings[3]).unwrap();
        file.write_all(&content[..300]).unwrap();
        assert_eq!(fs::metadata(&spellings[4]).unwrap().len(), 300);
        fs::set_permissions(&spellings[5], std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        file.write_all(&content[300..]).unwrap();
        super::common::close(file).unwrap();
        assert_eq!(fs::read(&spellings[0]).unwrap(), content);
    }
    mount.unmount();
}

/// A name that the kernel knew, and was told is gone, comes back with its block.
fn stored_again_it_is_there_at_once_by_every_spelling(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for length in [100, 100_000] {
        let content = bytes(1, length);
        let spellings = spellings(&mount, &content);
        put(&spellings[0], &content).unwrap();
        let ino = fs::metadata(&spellings[0]).unwrap().ino();
        for round in 0..6 {
            fs::remove_file(&spellings[round]).unwrap();
            assert_gone(&spellings);
            let writing = std::time::SystemTime::now() - std::time::Duration::from_secs(1);
            put(&spellings[(round + 3) % 6], &content).unwrap();
            for path in &spellings {
                let metadata = fs::metadata(path).unwrap();
                assert_eq!((metadata.len(), metadata.ino()), (length as u64, ino), "{}", path.display());
                assert_eq!(metadata.nlink(), 1);
                assert!(metadata.modified().unwrap() >= writing, "it was stored anew");
                assert_eq!(fs::read(path).unwrap(), content, "{}", path.display());
            }
            assert_eq!(mount.ls().len(), 1);
        }
        fs::remove_file(&spellings[0]).unwrap();
    }
    mount.unmount();
}

/// Reads a file that may have been removed in every way that a handle on it can be used.
fn assert_reads(file: &File, map: &Map, content: &[u8], what: &str) {
    for cold in [false, true] {
        if cold {
            forget_pages(file);
        }
        let mut whole = vec![0; content.len()];
        file.read_exact_at(&mut whole, 0).unwrap_or_else(|error| panic!("{what} cold={cold}: {error}"));
        assert!(whole == content, "{what}");
        let mut end = [0; 100];
        let at_end = file.read_at(&mut end, content.len() as u64 - 7).unwrap_or_else(|error| {
            panic!("{what} at the end, cold={cold}: {error}");
        });
        assert_eq!(end[..at_end], content[content.len() - 7..], "{what}");
        assert_eq!(file.read_at(&mut end, content.len() as u64).unwrap(), 0, "{what}");
        assert!(**map == *content, "{what}");
        let late = Map::new(file, content.len(), libc::PROT_READ, libc::MAP_PRIVATE);
        assert!(*late.unwrap() == *content, "{what}");
    }
}

/// > Descriptors that are open go on reading it.
fn open_handles_keep_reading_a_removed_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for (seed, length) in [100, 5000, 65_535, 65_536, 300_000, 2 << 20].into_iter().enumerate() {
        for looked_up in [false, true] {
            let content = bytes(seed as u64, length);
            let spellings = spellings(&mount, &content);
            put(&spellings[0], &content).unwrap();
            let handles: Vec<File> = (0..3).map(|_| File::open(&spellings[0]).unwrap()).collect();
            let map = Map::new(&handles[0], length, libc::PROT_READ, libc::MAP_SHARED).unwrap();
            if looked_up {
                spellings
                    .iter()
                    .for_each(|path| assert_eq!(fs::metadata(path).unwrap().len(), length as u64));
            }
            fs::remove_file(&spellings[0]).unwrap();
            assert_gone(&spellings);
            for file in &handles {
                assert_reads(file, &map, &content, &format!("{length} looked up: {looked_up}"));
            }
            if !looked_up {
                let metadata = handles[1].metadata().unwrap();
                assert_eq!((metadata.len(), metadata.nlink()), (length as u64, 0), "{length}");
            }
        }
    }
    mount.unmount();
}

fn open_handles_keep_reading_when_the_block_is_stored_again(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for length in [100, 65_536, 300_000] {
        let content = bytes(9, length);
        let spellings = spellings(&mount, &content);
        put(&spellings[0], &content).unwrap();
        let old = File::open(&spellings[1]).unwrap();
        let old_map = Map::new(&old, length, libc::PROT_READ, libc::MAP_SHARED).unwrap();
        fs::remove_file(&spellings[2]).unwrap();
        put(&spellings[3], &content).unwrap();
        let new = File::open(&spellings[0]).unwrap();
        let new_map = Map::new(&new, length, libc::PROT_READ, libc::MAP_SHARED).unwrap();
        assert_reads(&old, &old_map, &content, "old");
        assert_reads(&new, &new_map, &content, "new");
        fs::remove_file(&spellings[4]).unwrap();
        assert_reads(&new, &new_map, &content, "new, removed");
        assert_reads(&old, &old_map, &content, "old, removed");
        drop((old_map, old));
        assert_reads(&new, &new_map, &content, "new, alone");
    }
    mount.unmount();
}

/// > A block that is not there is ENOENT.
fn an_absent_block_is_enoent(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 10);
    let spellings = spellings(&mount, &content);
    for path in &spellings {
        assert_eq!(errno(fs::remove_file(path)), libc::ENOENT);
    }
    assert_gone(&spellings);
    assert_eq!(errno(fs::remove_file(mount.path("photo.jpg"))), libc::ENOENT);
    sh_ok(&mount.mnt, &format!("rm -f {} photo.jpg", cid_of(&content)));
    mount.unmount();
}

/// > With `--no-delete` it is EPERM.
fn no_delete_is_eperm(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--no-delete"]);
    let (path, content) = store(&mount, 1, 100);
    for path in spellings(&mount, &content) {
        assert_eq!(errno(fs::remove_file(path)), libc::EPERM);
    }
    assert_eq!(fs::read(path).unwrap(), content);
    // An alias is no block: it may go, and the block stays.
    put(&mount.path("photo.jpg"), b"pixels").unwrap();
    fs::remove_file(mount.path("photo.jpg")).unwrap();
    assert_eq!(fs::read(mount.path(cid_of(b"pixels"))).unwrap(), b"pixels");
    assert!(mount.errors().contains("--no-delete"), "{}", mount.errors());
    mount.unmount();
}

/// > A `--read-only` mount answers EROFS to every change and writes nothing in the data directory but its
/// > lock, and not even that on a read-only medium.
/// > `sled` cannot be mounted so, nor `redb` after a kill until it was mounted for writing once.
fn a_read_only_mount_answers_erofs(backend: &'static str) {
    let bench = Bench::new(backend);
    let content = bytes(2, 100);
    let durable = super::durable_backends().contains(&backend);
    if durable {
        let mount = bench.mount();
        put(&mount.path(cid_of(&content)), &content).unwrap();
        mount.unmount();
    }
    for option in [&["--read-only"][..], &["-o", "ro"]] {
        if durable && !super::read_only_backends().contains(&backend) {
            // "An engine that cannot open so refuses: a usage error."
            let output = super::run(&mut bench.command(option));
            assert_eq!(output.status.code(), Some(2), "{}", super::text(&output));
            assert!(super::text(&output).contains("leave out --read-only"), "{}", super::text(&output));
            continue;
        }
        let mount = bench.mount_with(option);
        let path = mount.path(cid_of(&content));
        assert_eq!(errno(put(&mount.path(cid_of(b"x")), b"x")), libc::EROFS);
        assert_eq!(errno(put(&mount.path("photo.jpg"), b"x")), libc::EROFS);
        assert_eq!(errno(fs::create_dir(mount.path("dir"))), libc::EROFS);
        if durable {
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(errno(fs::remove_file(&path)), libc::EROFS);
            assert_eq!(errno(put(&path, &content)), libc::EROFS);
            assert_eq!(errno(fs::rename(&path, mount.path("x"))), libc::EROFS);
            let now = std::time::SystemTime::now();
            assert_eq!(errno(super::set_times(&path, now, now)), libc::EROFS);
            assert_eq!(errno(access(&path, libc::W_OK)), libc::EROFS);
            assert_eq!(mount.ls(), [cid_of(&content)]);
        }
        mount.unmount();
    }
}

/// > `rm` does not ask the owner, although blocks have mode 0444.
fn rm_of_the_owner_never_prompts(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (path, _) = store(&mount, 1, 100);
    access(&path, libc::R_OK | libc::W_OK).unwrap();
    access(&mount.mnt, libc::R_OK | libc::W_OK | libc::X_OK).unwrap();
    // With a terminal as its input, rm asks whether to remove a file that is "write-protected".
    let rm = format!("script -qec 'rm {}' /dev/null < /dev/null", path.display());
    if super::common::has("script") {
        let output = sh(bench.path(), &rm);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output));
        assert_eq!(errno(fs::metadata(&path)), libc::ENOENT);
    }
    mount.unmount();
}
