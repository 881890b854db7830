//! Reading blocks in every way that programs read, deleting them, and meeting damage
//! (SEMANTICS, "Writing": R9; "Reading": R10, R11).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;
#[path = "mount_reading/damage.rs"]
mod damage;
#[path = "mount_reading/delete.rs"]
mod delete;
#[path = "mount_reading/sharing.rs"]
mod sharing;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::blocks::{cid_under, cid_v0};
use common::raw::{Map, close, copy_file_range, put, seek, sendfile, set_times};
use common::rows::Case;
use common::{
    Bench, Mounted, backends, bytes, cid_of, durable_backends, errno, read_only_backends, run, sh_ok, text,
};

const EVERY: &[Case] = cases![
    a_block_is_a_regular_file_of_its_exact_size,
    a_block_reads_back_in_every_way,
    chmod_and_chown_succeed_and_change_nothing,
    mtime_is_what_the_writer_set_before_or_after_the_commit,
    tools_copy_blocks_in_with_modes_and_owners,
    tools_copy_blocks_out_unchanged,
];

const DURABLE: &[Case] = cases![what_was_stored_reads_back_after_a_remount];

fn main() {
    common::rows::main(&[
        (backends(), EVERY),
        (durable_backends(), DURABLE),
        (backends(), sharing::EVERY),
        (backends(), delete::EVERY),
        (vec!["file"], damage::FLATFS),
    ]);
}

/// Around pages, around where the kernel begins to read files itself, and up to the largest block.
const SIZES: [usize; 11] = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_073, 1 << 20, 2 << 20];

/// Stores bytes of a length and gives their path and themselves.
fn store(mount: &Mounted, seed: u64, length: usize) -> (PathBuf, Vec<u8>) {
    let content = bytes(seed, length);
    let path = mount.path(cid_of(&content));
    put(&path, &content).unwrap();
    (path, content)
}

/// Tells the kernel to forget the pages of a file that it has.
fn forget_pages(file: &File) {
    let dont_need = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    nix::fcntl::posix_fadvise(file, 0, 0, dont_need).unwrap();
}

/// > A block is a regular file of its exact size, with `st_blocks` to match, one link, mode 0444, owned by
/// > the user who mounted.
fn a_block_is_a_regular_file_of_its_exact_size(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let me = fs::metadata("/proc/self").unwrap();
    for length in SIZES {
        let (path, _) = store(&mount, length as u64, length);
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.len(), length as u64);
        assert_eq!(metadata.blocks(), length.div_ceil(512) as u64, "{length}");
        assert_eq!((metadata.nlink(), metadata.mode()), (1, 0o100_444));
        assert_eq!((metadata.uid(), metadata.gid()), (me.uid(), me.gid()));
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), metadata.ino());
        assert_eq!(File::open(&path).unwrap().metadata().unwrap().len(), length as u64);
    }
    let sum: usize = SIZES.iter().sum();
    assert_eq!(sh_ok(&mount.mnt, "du -sb --apparent-size . | cut -f1").trim(), sum.to_string());
    let kib: usize = SIZES.iter().map(|length| length.div_ceil(512)).sum::<usize>().div_ceil(2);
    assert_eq!(sh_ok(&mount.mnt, "du -sk . | cut -f1").trim(), kib.to_string());
    mount.unmount();
}

/// > `lseek`, `mmap`, `sendfile`, `copy_file_range` and O_DIRECT work.
fn a_block_reads_back_in_every_way(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for length in SIZES {
        let (path, content) = store(&mount, 100 + length as u64, length);
        for cold in [false, true] {
            let mut file = File::open(&path).unwrap();
            if cold {
                forget_pages(&file);
            }
            read_at_odd_places(&mut file, &content);
            map(&file, &content);
            send(&bench, &file, &content);
            seek_data_and_holes(&file, length as i64);
        }
        read_directly(&path, &content);
        copy_within(&mount, &path, &content);
    }
    mount.unmount();
}

fn read_at_odd_places(file: &mut File, content: &[u8]) {
    let length = content.len();
    for offset in [0, 1, 511, 4094, 4096, 65_535, length / 2, length.saturating_sub(1), length, length + 1] {
        for count in [1, 3, 4096, 65_537] {
            let mut buffer = vec![0xee; count];
            let read = file.read_at(&mut buffer, offset as u64).unwrap();
            let rest = content.get(offset..).unwrap_or_default();
            assert!(read > 0 || rest.is_empty(), "{offset} of {length}");
            assert_eq!(buffer[..read], rest[..read], "{count} at {offset} of {length}");
        }
    }
    let mut whole = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut whole).unwrap();
    assert!(whole == content, "{length}");
    assert_eq!(file.read(&mut [0; 10]).unwrap(), 0, "nothing behind the end");
    assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), length as u64);
    if length > 100 {
        file.seek(SeekFrom::End(-77)).unwrap();
        whole.clear();
        file.read_to_end(&mut whole).unwrap();
        assert_eq!(whole, content[length - 77..]);
    }
}

fn map(file: &File, content: &[u8]) {
    if content.is_empty() {
        return;
    }
    for flags in [libc::MAP_PRIVATE, libc::MAP_SHARED] {
        let map = Map::new(file, content.len(), libc::PROT_READ, flags).unwrap();
        assert!(*map == *content, "{} by {flags}", content.len());
    }
}

fn send(bench: &Bench, file: &File, content: &[u8]) {
    let copy = bench.path().join("sent");
    let to = File::create(&copy).unwrap();
    let mut sent = 0;
    while sent < content.len() {
        let some = sendfile(&to, file, sent as i64, content.len() - sent).unwrap();
        assert!(some > 0);
        sent += some;
    }
    assert!(fs::read(&copy).unwrap() == content, "{}", content.len());
}

fn seek_data_and_holes(file: &File, length: i64) {
    for offset in [0, length / 2, length - 1].into_iter().filter(|offset| (0..length).contains(offset)) {
        assert_eq!(seek(file, offset, libc::SEEK_DATA).unwrap(), offset);
        assert_eq!(seek(file, offset, libc::SEEK_HOLE).unwrap(), length, "blocks have no holes");
    }
    assert_eq!(errno(seek(file, length, libc::SEEK_DATA)), libc::ENXIO);
    assert_eq!(errno(seek(file, length + 1, libc::SEEK_HOLE)), libc::ENXIO);
}

fn read_directly(path: &Path, content: &[u8]) {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).unwrap();
    // Aligned as a disk wants it, for the kernel may pass the read on to one.
    let mut space = vec![0; content.len().next_multiple_of(4096) + 8192];
    let start = space.as_ptr().align_offset(4096);
    let buffer = &mut space[start..start + content.len().next_multiple_of(4096).max(4096)];
    let mut read = 0;
    loop {
        let some = file.read_at(&mut buffer[read..], read as u64).unwrap();
        read += some;
        if some == 0 || read >= content.len() {
            break;
        }
        assert!(read.is_multiple_of(4096), "a short read in the middle, {read} of {}", content.len());
    }
    assert!(buffer[..read] == *content, "{read} of {}", content.len());
}

/// Within the mount the kernel copies; to another file system it says EXDEV since Linux 5.19, and
/// tools then read and write.
fn copy_within(mount: &Mounted, path: &Path, content: &[u8]) {
    let name = cid_under(content, 0x55, 0x1e, 32);
    let from = File::open(path).unwrap();
    let to = File::create(mount.path(&name)).unwrap();
    let mut copied = 0;
    while copied < content.len() {
        let some = copy_file_range(&from, &to, content.len() - copied).unwrap();
        assert!(some > 0);
        copied += some;
    }
    close(to).unwrap();
    assert!(fs::read(mount.path(&name)).unwrap() == content, "{}", content.len());
}

/// > chmod and chown succeed and change nothing, so that `cp -p`, `tar`, `rsync` and `install` work.
fn chmod_and_chown_succeed_and_change_nothing(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (path, content) = store(&mount, 5, 100);
    let before = fs::metadata(&path).unwrap();
    for mode in [0o644, 0o777, 0o000, 0o4755] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        File::open(&path).unwrap().set_permissions(fs::Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::chown(&path, Some(before.uid()), Some(before.gid())).unwrap();
    if common::is_root() {
        std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    }
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
    assert_eq!(fs::read(&path).unwrap(), content);
    mount.unmount();
}

/// > Its modification time is what the writer set, otherwise when it was written, and stays over remounts.
fn mtime_is_what_the_writer_set_before_or_after_the_commit(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let time = |seconds| SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    let mtime = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();

    let begun = SystemTime::now() - Duration::from_secs(1);
    let (plain, _) = store(&mount, 1, 10);
    let stored = mtime(&plain);
    assert!(stored >= begun && stored <= SystemTime::now() + Duration::from_secs(1));

    let before_commit = bytes(2, 70_000);
    let early = mount.path(cid_of(&before_commit));
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&early).unwrap();
    file.write_all_at(&before_commit, 0).unwrap();
    file.set_modified(time(1_111_111_111)).unwrap();
    close(file).unwrap();
    assert_eq!(mtime(&early), time(1_111_111_111));

    let (late, _) = store(&mount, 3, 100_000);
    set_times(&late, time(1_200_000_000), time(1_222_222_222)).unwrap();
    assert_eq!(mtime(&late), time(1_222_222_222));
    // By another spelling, and through a handle.
    let (spelled, content) = store(&mount, 4, 4096);
    set_times(&mount.path(cid_v0(&content)), time(3), time(1_333_333_333)).unwrap();
    assert_eq!(mtime(&spelled), time(1_333_333_333));
    File::open(&spelled).unwrap().set_modified(time(1_444_444_444)).unwrap();
    assert_eq!(mtime(&spelled), time(1_444_444_444));
    assert_eq!(mtime(&mount.path(cid_v0(&content))), time(1_444_444_444));
    // A time far away in either direction.
    let (old, _) = store(&mount, 5, 5);
    set_times(&old, time(0), time(0)).unwrap();
    let (new, _) = store(&mount, 6, 5);
    set_times(&new, time(5_000_000_000), time(5_000_000_000)).unwrap();

    let all = [plain, early, late, spelled, old, new];
    let times: Vec<SystemTime> = all.iter().map(|path| mtime(path)).collect();
    assert_eq!(times[4..], [time(0), time(5_000_000_000)]);
    // Reading changes no times.
    all.iter().for_each(|path| drop(fs::read(path).unwrap()));
    assert_eq!(all.iter().map(|path| mtime(path)).collect::<Vec<_>>(), times);
    mount.unmount();
    if durable_backends().contains(&backend) {
        let mount = bench.mount();
        assert_eq!(all.iter().map(|path| mtime(path)).collect::<Vec<_>>(), times);
        mount.unmount();
    }
}

/// > chmod and chown succeed and change nothing, so that `cp -p`, `tar`, `rsync` and `install` work.
/// > `rsync -a` of a directory of blocks, or from mount to mount, sends nothing the second time.
fn tools_copy_blocks_in_with_modes_and_owners(backend: &'static str) {
    let (bench, other) = (Bench::new(backend), Bench::new(backend));
    let mount = bench.mount();
    let content = bytes(1, 70_000);
    let cid = cid_of(&content);
    fs::create_dir(bench.path().join("src")).unwrap();
    fs::write(bench.path().join("src").join(&cid), &content).unwrap();
    sh_ok(bench.path(), &format!("chmod 750 src/{cid}; touch -d @1111.25 src/{cid}"));
    if common::is_root() {
        sh_ok(bench.path(), &format!("chown 1234:4321 src/{cid}"));
    }
    let mut ways = vec![
        format!("cp -p src/{cid} mnt/"),
        "tar -C src -cf - . | tar -C mnt -xpf -".to_owned(),
        format!("install -m 700 src/{cid} mnt/"),
    ];
    if common::need("rsync") {
        ways.push("rsync -a src/ mnt/".to_owned());
    }
    let me = fs::metadata("/proc/self").unwrap();
    for way in &ways {
        sh_ok(bench.path(), way);
        let found = fs::metadata(mount.path(&cid)).unwrap();
        assert_eq!((found.mode(), found.uid(), found.gid()), (0o100_444, me.uid(), me.gid()), "{way}");
        assert!(way.starts_with("install") || found.mtime() == 1111, "{way}");
        assert!(fs::read(mount.path(&cid)).unwrap() == content, "{way}");
        if !way.starts_with("rsync") {
            fs::remove_file(mount.path(&cid)).unwrap();
        }
    }
    if ways.len() == 4 {
        let second = other.mount();
        let to = format!("rsync -a --stats mnt/ {}/ | grep 'files transferred'", second.mnt.display());
        assert!(sh_ok(bench.path(), &to).ends_with(": 1\n"));
        assert!(sh_ok(bench.path(), &to).ends_with(": 0\n"));
        assert!(fs::read(second.path(&cid)).unwrap() == content);
        second.unmount();
    }
    mount.unmount();
}

/// > `rsync -a` of a directory of blocks, or from mount to mount, sends nothing the second time.
fn tools_copy_blocks_out_unchanged(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for (seed, length) in (0..).zip([0, 10, 5000, 65_536, 1 << 20]) {
        store(&mount, seed, length);
    }
    let dir = bench.path();
    sh_ok(dir, "mkdir cp && cp -a mnt/. cp && diff -r mnt cp");
    sh_ok(dir, "mkdir tar && tar -C mnt -cf - . | tar -C tar -xpf - && diff -r mnt tar");
    sh_ok(dir, "mkdir cat && for f in $(ls mnt); do cat mnt/$f > cat/$f; done && diff -r mnt cat");
    sh_ok(
        dir,
        "mkdir dd && for f in $(ls mnt); do dd if=mnt/$f of=dd/$f bs=777 status=none; done && diff -r mnt dd",
    );
    sh_ok(dir, "for f in $(ls mnt); do cmp mnt/$f <(tail -c +1 mnt/$f) && cmp mnt/$f cp/$f; done");
    assert_eq!(
        sh_ok(dir, "stat -c '%n %Y %a' mnt/* | sed s/mnt//"),
        sh_ok(dir, "stat -c '%n %Y %a' cp/* | sed s/cp//")
    );
    if common::has("rsync") {
        sh_ok(dir, "rsync -a mnt/ rsync/ && diff -r mnt rsync");
        assert_eq!(sh_ok(dir, "rsync -a --itemize-changes mnt/ rsync/"), "", "the second time");
        assert_eq!(sh_ok(dir, "rsync -a --itemize-changes cp/ mnt/"), "", "and back");
    }
    mount.unmount();
}

/// Blocks of all sizes read back in a new mount, where nothing is cached.
fn what_was_stored_reads_back_after_a_remount(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let stored: Vec<_> = SIZES.iter().map(|length| store(&mount, 9, *length)).collect();
    mount.unmount();
    let mount = bench.mount();
    for (path, content) in &stored {
        let mut file = File::open(path).unwrap();
        read_at_odd_places(&mut file, content);
        map(&file, content);
    }
    mount.unmount();
}
