//! Names in the mount: every spelling of a CID is its block, and names that can never be right are
//! refused when the file is created (SEMANTICS, "Names": R1, R3, R4).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::blocks::{cid_bytes, cid_under, cid_v0, fixture_blocks, key, spell};
use common::raw::{mknod, put};
use common::rows::Case;
use common::{Bench, backends, bytes, cid_of, durable_backends, errno, sh_ok};
use multibase::Base;

const EVERY: &[Case] = cases![
    every_spelling_opens_the_same_block_and_the_same_inode,
    a_name_that_is_no_strict_cid_is_not_found_and_refused_at_create,
    names_that_can_never_be_right_are_refused_at_create_each_with_its_errno,
    names_that_are_no_cids_stay_ordinary,
    an_identity_cid_is_readable_without_being_stored_and_never_listed,
    writing_an_identity_cid_stores_nothing_and_other_bytes_are_refused,
    mkdir_link_mknod_and_symlink_are_eperm,
    times_of_the_root_hold_until_the_listing_next_changes,
];

const DURABLE: &[Case] = cases![the_inode_is_the_same_after_a_remount];

fn main() {
    common::rows::main(&[(backends(), EVERY), (durable_backends(), DURABLE)]);
}

/// Every spelling of the fixtures, by the block it spells.
fn spellings() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut spellings = BTreeMap::<_, Vec<_>>::new();
    for line in include_str!("fixtures/cids/spellings.tsv").lines().skip(1) {
        let mut columns = line.split('\t');
        let canonical = columns.next().unwrap();
        spellings.entry(canonical).or_default().push(columns.nth(1).unwrap());
    }
    spellings
}

/// The bytes of the blocks that [`spellings`] spells.
fn spelled_blocks() -> BTreeMap<&'static str, Vec<u8>> {
    let mut blocks = fixture_blocks();
    blocks.push((cid_of(b""), Vec::new()));
    spellings()
        .into_keys()
        .map(|canonical| {
            let wanted = key(canonical);
            let found = blocks.iter().find(|(name, _)| key(name) == wanted);
            (canonical, found.unwrap_or_else(|| panic!("no fixture is {canonical}")).1.clone())
        })
        .collect()
}

/// > Every spelling of a CID that is a legal file name (at most 255 bytes, no `/`) and carries a
/// > block's multihash opens that block: version 0 or 1, any codec, any of the twenty multibases that
/// > Kubo knows.
/// > All spellings have the same inode number.
fn every_spelling_opens_the_same_block_and_the_same_inode(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let blocks = spelled_blocks();
    for (canonical, content) in &blocks {
        put(&mount.path(canonical), content).unwrap();
    }
    let mut opened = 0;
    for (canonical, spellings) in spellings() {
        let ino = fs::metadata(mount.path(canonical)).unwrap().ino();
        let mut others: Vec<String> = spellings.iter().map(|spelling| (*spelling).to_owned()).collect();
        let multihash = key(canonical).as_bytes().to_vec();
        for codec in [&[0x55][..], &[0x70], &[0x71], &[0xa9, 0x02], &[0x80, 0x80, 0x80, 0x01]] {
            let bytes = [&[1], codec, &multihash].concat();
            others.extend([Base::Base32Lower, Base::Base58Btc, Base::Base36Lower].map(|b| spell(b, &bytes)));
        }
        for (index, spelling) in others.iter().enumerate() {
            if spelling.contains('/') {
                continue;
            }
            let path = mount.path(spelling);
            if spelling.len() > 255 {
                assert_eq!(errno(fs::metadata(&path)), libc::ENAMETOOLONG, "{spelling}");
                continue;
            }
            assert_eq!(fs::read(&path).unwrap(), blocks[canonical], "{spelling}");
            assert_eq!(fs::metadata(&path).unwrap().ino(), ino, "{spelling}");
            opened += usize::from(index < spellings.len());
        }
    }
    assert_eq!(opened, 123);
    assert_eq!(mount.ls().len(), blocks.len(), "one block each");
    mount.unmount();
}

/// > The number follows from the multihash, so it is the same after a remount.
fn the_inode_is_the_same_after_a_remount(backend: &'static str) {
    let bench = Bench::new(backend);
    let contents: Vec<Vec<u8>> = (0..20).map(|seed| bytes(seed, 100)).collect();
    let inodes = |mount: &common::Mounted, spell: &dyn Fn(&[u8]) -> String| -> Vec<u64> {
        contents.iter().map(|content| fs::metadata(mount.path(spell(content))).unwrap().ino()).collect()
    };
    let mount = bench.mount();
    for content in &contents {
        put(&mount.path(cid_of(content)), content).unwrap();
    }
    let before = inodes(&mount, &|content| cid_of(content));
    let distinct: std::collections::BTreeSet<_> = before.iter().collect();
    assert_eq!(distinct.len(), contents.len());
    mount.unmount();

    let mount = bench.mount();
    assert_eq!(inodes(&mount, &|content| cid_v0(content)), before);
    let listed: BTreeMap<String, u64> = fs::read_dir(&mount.mnt)
        .unwrap()
        .map(|entry| {
            use std::os::unix::fs::DirEntryExt;
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.ino())
        })
        .collect();
    for (content, ino) in contents.iter().zip(before) {
        assert_eq!(listed[&cid_of(content)], ino);
    }
    mount.unmount();
}

/// Tries to create a file, and says with which errno that was refused.
fn refused(path: &Path) -> i32 {
    errno(OpenOptions::new().write(true).create(true).truncate(true).open(path))
}

/// > CIDs are read strictly: no bytes behind the digest, every number in its shortest form, no
/// > multibase in front of version 0.
/// > Looking up a name that can never be right is ENOENT, or ENAMETOOLONG if it is too long.
///
/// > a name that was meant as a CID and is none | EINVAL
fn a_name_that_is_no_strict_cid_is_not_found_and_refused_at_create(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = b"strict";
    let (v1, v0) = (cid_of(content), cid_v0(content));
    put(&mount.path(&v1), content).unwrap();

    let whole = cid_bytes(&v1);
    let trailing = [&whole[..], &[0]].concat();
    let cut = &whole[..whole.len() - 1];
    let wide_length = [&whole[..3], &[0xa0, 0x00], &whole[4..]].concat();
    let wide_codec = [&[1, 0xd5, 0x00], &whole[2..]].concat();
    let wide_version = [&[0x81, 0x00], &whole[1..]].concat();
    let version_2 = [&[2], &whole[1..]].concat();
    let mut wrong = vec![
        format!("z{v0}"),
        v0[..45].to_owned(),
        format!("{v0}1"),
        format!("{}x", &v1[..v1.len() - 1]).replace('x', "l"),
        format!("{v1}aa"),
        v1[..v1.len() - 1].to_owned(),
        v1.to_uppercase()[..v1.len() - 2].to_owned(),
    ];
    for bytes in [&trailing[..], cut, &wide_codec] {
        wrong.push(spell(Base::Base32Lower, bytes));
    }
    wrong.push(spell(Base::Base32Lower, &wide_length));
    wrong.push(spell(Base::Base16Lower, &trailing));
    wrong.push(spell(Base::Base16Upper, cut));
    wrong.push(format!("{}1", spell(Base::Base58Btc, &whole)));
    for name in &wrong {
        // The block is stored, but this is not its name.
        assert_eq!(errno(fs::metadata(mount.path(name))), libc::ENOENT, "{name}");
        assert_eq!(refused(&mount.path(name)), libc::EINVAL, "{name}");
        assert!(mount.errors().contains(name.as_str()), "{name} is not in {}", mount.errors());
    }
    // Not in the usual spelling of a version 1, so nobody can tell what was meant; but no block.
    for bytes in [&wide_version, &version_2] {
        let name = spell(Base::Base32Lower, bytes);
        assert_eq!(errno(fs::metadata(mount.path(&name))), libc::ENOENT, "{name}");
    }
    assert_eq!(mount.ls(), [v1]);
    mount.unmount();
}

/// > They are refused when the file is created, and wherever else a name can come to be.
/// > Looking up a name that can never be right is ENOENT, or ENAMETOOLONG if it is too long.
///
/// > a CID whose hash function is not known | EOPNOTSUPP
///
/// > a CID whose hash function or digest length is not allowed | EINVAL
///
/// > more than 255 bytes | ENAMETOOLONG
fn names_that_can_never_be_right_are_refused_at_create_each_with_its_errno(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let named = |code: &[u8], digest_len: usize| {
        let bytes = [&[1, 0x55], code, &[digest_len as u8], &vec![7; digest_len]].concat();
        spell(Base::Base32Lower, &bytes)
    };
    let rows: &[(&str, String, i32)] = &[
        ("a code of no function", named(&[0x05], 32), libc::EOPNOTSUPP),
        ("a code of no function, long", named(&[0xff, 0xff, 0xff, 0x7f], 32), libc::EOPNOTSUPP),
        ("md5", named(&[0xd5, 0x01], 16), libc::EINVAL),
        ("murmur3", named(&[0x22], 8), libc::EINVAL),
        ("sha2-384", named(&[0x20], 48), libc::EINVAL),
        ("blake2b of 152 bits", named(&[0x93, 0xe4, 0x02], 19), libc::EINVAL),
        ("sha2-256 of 19 bytes", named(&[0x12], 19), libc::EINVAL),
        ("sha2-256 of 33 bytes", named(&[0x12], 33), libc::EINVAL),
        ("sha1 of 21 bytes", named(&[0x11], 21), libc::EINVAL),
        ("blake2b-256 of 20 bytes", named(&[0xa0, 0xe4, 0x02], 20), libc::EINVAL),
        ("shake-256 of 19 bytes", named(&[0x19], 19), libc::EINVAL),
    ];
    for (what, name, wanted) in rows {
        assert_eq!(refused(&mount.path(name)), *wanted, "{what}: {name}");
        assert_eq!(errno(fs::metadata(mount.path(name))), libc::ENOENT, "{what}: {name}");
        // And wherever else a name can come to be.
        fs::write(mount.path("draft"), what).unwrap();
        assert_eq!(errno(fs::rename(mount.path("draft"), mount.path(name))), *wanted, "{what}");
        fs::remove_file(mount.path("draft")).unwrap();
    }
    for name in ["x".repeat(256), format!("b{}", "a".repeat(255)), "x".repeat(300)] {
        assert_eq!(refused(&mount.path(&name)), libc::ENAMETOOLONG, "{name}");
        assert_eq!(errno(fs::metadata(mount.path(&name))), libc::ENAMETOOLONG, "{name}");
        assert_eq!(errno(fs::remove_file(mount.path(&name))), libc::ENAMETOOLONG, "{name}");
    }
    put(&mount.path("y".repeat(255)), b"just short enough").unwrap();
    // What is allowed is so to the byte: each of these is stored.
    let content = b"allowed";
    let lengths = [(0x12, 20), (0x12, 32), (0x13, 64), (0x11, 20), (0x1e, 20), (0x19, 20), (0xb214, 20)];
    for (code, digest_len) in lengths {
        let name = cid_under(content, 0x55, code, digest_len);
        put(&mount.path(&name), content).unwrap();
        assert_eq!(fs::read(mount.path(&name)).unwrap(), content, "{name}");
    }
    // A digest of 128 bytes fits into a file name in base32, and in all denser bases.
    let longest = cid_under(content, 0x55, 0x1e, 128);
    assert!(longest.len() <= 255, "{}", longest.len());
    put(&mount.path(&longest), content).unwrap();
    assert_eq!(fs::read(mount.path(&longest)).unwrap(), content);
    mount.unmount();
}

/// > A hex digest of 56, 64, 96 or 128 characters is a plain name, even if it begins with `f01`.
fn names_that_are_no_cids_stay_ordinary(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let hex = |chars: usize| format!("f01{}", "5a".repeat(64))[..chars].to_owned();
    let mut names = ["README", "zoo", "Qm", "bafy", "photo.jpg", "ünïcode", "a b"].map(String::from).to_vec();
    names.push("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into());
    names.extend([56, 64, 96, 128].map(hex));
    names.push(cid_of(b"x")[..45].to_owned());
    names.push(format!("{}.txt", cid_of(b"x")));
    for name in &names {
        put(&mount.path(name), name.as_bytes()).unwrap();
        assert_eq!(fs::read(mount.path(name)).unwrap(), name.as_bytes(), "{name}");
        assert_eq!(fs::read(mount.path(cid_of(name.as_bytes()))).unwrap(), name.as_bytes(), "{name}");
    }
    let no_text = mount.path(OsStr::from_bytes(b"\xff\xfe"));
    put(&no_text, b"no UTF-8").unwrap();
    assert_eq!(fs::read(&no_text).unwrap(), b"no UTF-8");
    let mut blocks: Vec<String> = names.iter().map(|name| cid_of(name.as_bytes())).collect();
    blocks.push(cid_of(b"no UTF-8"));
    blocks.sort();
    assert_eq!(mount.ls(), blocks, "the listing stays blocks only");
    mount.unmount();
}

/// > They hold their own bytes: readable without being stored, never listed.
/// > Deleting one is EPERM.
fn an_identity_cid_is_readable_without_being_stored_and_never_listed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for content in [&b""[..], b"a", b"hello world\n", &bytes(1, 128)] {
        let name = cid_under(content, 0x55, 0, content.len());
        let path = mount.path(&name);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.mode()), (content.len() as u64, 0o100_444), "{name}");
        assert_eq!(fs::read(&path).unwrap(), content, "{name}");
        let other = spell(Base::Base58Btc, &cid_bytes(&name));
        assert_eq!(fs::metadata(mount.path(&other)).unwrap().ino(), metadata.ino(), "{other}");
        assert_eq!(errno(fs::remove_file(&path)), libc::EPERM, "{name}");
        assert_eq!(fs::read(&path).unwrap(), content, "{name}");
    }
    assert!(mount.ls().is_empty());
    mount.unmount();
}

/// > Writing the same bytes to one succeeds and stores nothing; other bytes are EBADMSG.
fn writing_an_identity_cid_stores_nothing_and_other_bytes_are_refused(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = b"in the name itself";
    let name = cid_under(content, 0x55, 0, content.len());
    put(&mount.path(&name), content).unwrap();
    let copy = bench.path().join("copy");
    fs::write(&copy, content).unwrap();
    sh_ok(bench.path(), &format!("cp copy mnt/{name} && cat copy > mnt/{name}"));
    for other in [&b"something else"[..], b"in the name itselF", b"in the name itself!", b"in the"] {
        assert_eq!(errno(put(&mount.path(&name), other)), libc::EBADMSG, "{other:?}");
    }
    assert_eq!(fs::read(mount.path(&name)).unwrap(), content);
    assert!(mount.ls().is_empty());
    assert_eq!(mount.stats()["counters"]["blocks_stored"], 0);
    mount.unmount();
}

/// > `mkdir`, `mknod`, `link` and `symlink` are EPERM.
/// > chmod and chown of the root succeed and change nothing.
fn mkdir_link_mknod_and_symlink_are_eperm(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(3, 50);
    let block = mount.path(cid_of(&content));
    put(&block, &content).unwrap();
    for name in ["new", &cid_of(b"new")] {
        let path = mount.path(name);
        assert_eq!(errno(fs::create_dir(&path)), libc::EPERM);
        assert_eq!(errno(fs::hard_link(&block, &path)), libc::EPERM);
        assert_eq!(errno(mknod(&path, libc::S_IFREG | 0o644)), libc::EPERM);
        assert_eq!(errno(mknod(&path, libc::S_IFIFO | 0o644)), libc::EPERM);
        assert_eq!(errno(std::os::unix::fs::symlink(&block, &path)), libc::EPERM);
        assert_eq!(errno(fs::metadata(&path)), libc::ENOENT);
    }
    let before = fs::metadata(&mount.mnt).unwrap();
    fs::set_permissions(&mount.mnt, fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::chown(&mount.mnt, Some(before.uid()), Some(before.gid())).unwrap();
    if common::is_root() {
        std::os::unix::fs::chown(&mount.mnt, Some(1234), Some(4321)).unwrap();
    }
    let after = fs::metadata(&mount.mnt).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert!(after.is_dir());
    mount.unmount();
}

/// > Its times can be set, and hold until the listing changes next.
fn times_of_the_root_hold_until_the_listing_next_changes(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let mtime = || fs::metadata(&mount.mnt).unwrap().modified().unwrap();
    common::raw::set_times(&mount.mnt, long_ago, long_ago).unwrap();
    assert_eq!(mtime(), long_ago);
    let content = bytes(4, 10);
    let block = mount.path(cid_of(&content));
    assert_eq!(errno(File::open(&block)), libc::ENOENT);
    assert_eq!(mtime(), long_ago, "a look changes nothing");

    put(&block, &content).unwrap();
    assert!(mtime() > long_ago, "a new block");
    common::raw::set_times(&mount.mnt, long_ago, long_ago).unwrap();
    assert_eq!(mtime(), long_ago);
    put(&block, &content).unwrap();
    let mut one = [0];
    File::open(&block).unwrap().read_exact_at(&mut one, 0).unwrap();
    assert_eq!(mtime(), long_ago, "the same block again is no change");
    fs::remove_file(&block).unwrap();
    assert!(mtime() > long_ago, "a block less");
    let gone: io::Result<Vec<u8>> = fs::read(&block);
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    mount.unmount();
}
