//! Many programs on one block: the kernel gives what it has of an inode to all of them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::common::blocks::cid_v0;
use super::common::raw::{Map, close, put};
use super::common::rows::Case;
use super::common::{Bench, bytes, cid_of, errno};
use super::{map, read_directly, store};

pub const EVERY: &[Case] = crate::cases![
    many_readers_of_one_block_read_the_same,
    a_block_that_comes_and_goes_is_whole_or_absent,
    a_shared_writable_mapping_of_a_block_is_enodev,
];

/// Cached readers, mapped ones, direct ones and those whose reads the kernel serves from the file
/// itself are readers of one inode; so is somebody who writes the same bytes again. (The kernel
/// answers EIO if handles of one inode disagree about passthrough.)
fn many_readers_of_one_block_read_the_same(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for length in [1000, 65_535, 65_536, 300_000] {
        let (path, content) = store(&mount, 7 + length as u64, length);
        let spellings = [path.clone(), mount.path(cid_v0(&content))];
        let held: Vec<File> = spellings.iter().map(|path| File::open(path).unwrap()).collect();
        std::thread::scope(|scope| {
            for reader in 0..6 {
                let (spellings, content) = (&spellings, &content);
                scope.spawn(move || {
                    for round in 0..40 {
                        let path = &spellings[(reader + round) % 2];
                        match reader {
                            0 | 1 => assert!(fs::read(path).unwrap() == *content),
                            2 => map(&File::open(path).unwrap(), content),
                            3 => read_directly(path, content),
                            4 => put(path, content).unwrap(),
                            _ => {
                                let both = OpenOptions::new().read(true).write(true).open(path).unwrap();
                                let mut one = [0; 64];
                                both.read_exact_at(&mut one, 500).unwrap();
                                assert_eq!(one, content[500..564]);
                            }
                        }
                    }
                });
            }
        });
        for file in &held {
            let mut whole = vec![0; content.len()];
            file.read_exact_at(&mut whole, 0).unwrap();
            assert!(whole == content);
        }
    }
    assert_eq!(mount.stats()["counters"]["damaged_reads"], 0);
    mount.unmount();
}

/// While some write a block and another removes it, whoever opens it reads all of it or finds
/// nothing. ESTALE says that the name came to mean something else twice within one open(2), the
/// block and a file that becomes it: then it is asked again.
fn a_block_that_comes_and_goes_is_whole_or_absent(backend: &'static str) {
    fn again<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt() {
                Err(error) if error.raw_os_error() == Some(libc::ESTALE) => {}
                result => return result,
            }
        }
    }
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for length in [1000, 200_000] {
        let content = bytes(11, length);
        let spellings = [mount.path(cid_of(&content)), mount.path(cid_v0(&content))];
        let whole_or_absent = |result: io::Result<Vec<u8>>| match result {
            Ok(found) => assert!(found == content, "{length}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{length}"),
        };
        let act = |thread: usize, path: &Path| match thread {
            0..3 => again(|| put(path, &content)).unwrap_or_else(|error| panic!("put {length}: {error}")),
            3..5 => whole_or_absent(again(|| fs::read(path))),
            5 => whole_or_absent(again(|| File::open(path)).map(|file| {
                let map = Map::new(&file, length, libc::PROT_READ, libc::MAP_SHARED);
                map.unwrap().to_vec()
            })),
            _ => whole_or_absent(fs::remove_file(path).map(|()| content.clone())),
        };
        std::thread::scope(|scope| {
            for thread in 0..7 {
                let (spellings, act) = (&spellings, &act);
                scope.spawn(move || (0..120).for_each(|round| act(thread, &spellings[(thread + round) % 2])));
            }
        });
        put(&spellings[0], &content).unwrap();
        assert!(fs::read(&spellings[1]).unwrap() == content);
        assert_eq!(mount.ls().len(), 1);
        fs::remove_file(&spellings[0]).unwrap();
    }
    assert_eq!(mount.stats()["counters"]["panics"], 0);
    mount.unmount();
}

/// Where the kernel reads the files of blocks by itself it once mapped them for writing too: what a program
/// stored into the mapping went straight into the block, with no hash and no error.
///
/// > A shared writable mapping is ENODEV.
fn a_shared_writable_mapping_of_a_block_is_enodev(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    for length in [5000, 65_536, 200_000] {
        for with_readers in [false, true] {
            let (path, content) = store(&mount, length as u64 + u64::from(with_readers), length);
            let readers = if with_readers { vec![File::open(&path).unwrap()] } else { Vec::new() };
            let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            assert_eq!(errno(Map::new(&both, length, writable, libc::MAP_SHARED)), libc::ENODEV);
            drop(Map::new(&both, length, libc::PROT_READ, libc::MAP_SHARED));
            let copy = Map::new(&both, length, writable, libc::MAP_PRIVATE).unwrap();
            assert!(*copy == *content, "a private one is the program's own");
            // The handle is a writer like any other, beside readers of all kinds.
            let later = File::open(&path).unwrap();
            both.write_all_at(&content[..100], 0).unwrap();
            assert_eq!(errno(both.write_all_at(b"other bytes", 100)), libc::EBADMSG);
            assert_eq!(errno(close(both)), libc::EBADMSG);
            let again = OpenOptions::new().read(true).write(true).truncate(true).open(&path).unwrap();
            again.write_all_at(&content, 0).unwrap();
            close(again).unwrap();
            for reader in readers.iter().chain([&later]) {
                map(reader, &content);
            }
            assert!(fs::read(&path).unwrap() == content);
        }
    }
    mount.unmount();
}
