//! What is stored only for a while, and what is refused.

use super::*;

/// > Temporary names of tools store nothing until they are renamed: `.NAME.tmp`, vim's `.NAME.sw?`, and
/// > rsync's `.NAME.` with six letters or digits that are not all lower-case letters, or any six of
/// > them if `NAME` is a CID.
pub fn temporary_names_store_nothing(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for name in [".photo.jpg.aB3xY9", ".notes.swp", ".notes.swx", ".data.tmp"] {
        put(mount.path(name), name.as_bytes()).unwrap();
        assert_eq!(fs::read(mount.path(name)).unwrap(), name.as_bytes());
        assert_eq!(errno(fs::read_link(mount.path(".ipfs-persist/names").join(name))), ENOENT);
        mount.assert_blocks(&[]);
        put(mount.path(name), b"again").unwrap();
        assert_eq!(fs::read(mount.path(name)).unwrap(), b"again");
        fs::remove_file(mount.path(name)).unwrap();
        mount.assert_blocks(&[]);
    }
    assert_eq!(mount.stats()["gauges"]["staged_bytes"], 0, "removed staging is given back");
    put(mount.path(".data.tmp"), b"final").unwrap();
    fs::rename(mount.path(".data.tmp"), mount.path(".other.tmp")).unwrap();
    mount.assert_blocks(&[]);
    fs::rename(mount.path(".other.tmp"), mount.path("data")).unwrap();
    mount.assert_blocks(&[&cid_of(b"final")]);
    assert_eq!(mount.alias("data").unwrap(), cid_of(b"final"));
    assert_eq!(mount.stats()["gauges"]["staged_bytes"], 0);
    for name in [".env.sample", ".hidden", "notes.swp", "x.tmp"] {
        put(mount.path(name), name.as_bytes()).unwrap();
        assert_eq!(mount.alias(name).unwrap(), cid_of(name.as_bytes()), "{name} is no temporary name");
    }
}

/// vim syncs its swap file.
///
/// > `fsync` on one stores its bytes, because it promises to; that block goes again with the name,
/// > unless somebody else has stored it meanwhile.
pub fn a_synced_temporary_file_is_stored_until_it_is_removed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let sync = |name: &str, content: &[u8]| {
        let file = File::create(mount.path(name)).unwrap();
        (&file).write_all(content).unwrap();
        file.sync_all().unwrap();
        close(file).unwrap();
    };
    let cid = cid_of(b"swap");
    sync(".notes.swp", b"swap");
    mount.assert_blocks(&[&cid]);
    fs::remove_file(mount.path(".notes.swp")).unwrap();
    mount.assert_blocks(&[]);
    // Written and synced several times through one descriptor: only the last state is there.
    let file = File::create(mount.path(".notes.swp")).unwrap();
    for n in 0..5u64 {
        file.write_all_at(b"swapping", n * 8).unwrap();
        file.sync_all().unwrap();
        assert_eq!(mount.ls().len(), 1);
    }
    fs::remove_file(mount.path(".notes.swp")).unwrap();
    close(file).unwrap();
    mount.assert_blocks(&[]);
    // Somebody else has stored it meanwhile, or before.
    for before in [true, false] {
        let store = || put(mount.path(&cid), b"swap").unwrap();
        if before {
            store();
        }
        sync(".notes.swp", b"swap");
        if !before {
            store();
        }
        fs::remove_file(mount.path(".notes.swp")).unwrap();
        mount.assert_blocks(&[&cid]);
        fs::remove_file(mount.path(&cid)).unwrap();
    }
    sync(".notes.swp", b"swap");
    put(mount.path("name"), b"swap").unwrap();
    fs::remove_file(mount.path(".notes.swp")).unwrap();
    assert_eq!(fs::read(mount.path("name")).unwrap(), b"swap");
    mount.assert_blocks(&[&cid]);
    // Renamed, the block stays.
    sync(".data.tmp", b"data");
    fs::rename(mount.path(".data.tmp"), mount.path("data")).unwrap();
    fs::remove_file(mount.path("data")).unwrap();
    mount.assert_blocks(&[&cid, &cid_of(b"data")]);
    sync(".data.tmp", b"more");
    fs::rename(mount.path(".data.tmp"), mount.path(cid_of(b"more"))).unwrap();
    mount.assert_blocks(&[&cid, &cid_of(b"data"), &cid_of(b"more")]);
}

/// > If a descriptor stores some bytes at an early close and then goes on writing, the first block does
/// > not stay behind, unless it was there before or somebody else has stored it since.
pub fn a_prefix_at_an_early_close_does_not_stay(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (a, b) = (bytes(1, 5000), bytes(2, 700));
    fs::write(bench.path().join("a"), &a).unwrap();
    fs::write(bench.path().join("b"), &b).unwrap();
    let both = cid_of(&[&a[..], &b].concat());
    sh_ok(&mount.mnt, "(cat ../a; cat ../b) > name");
    mount.assert_blocks(&[&both]);
    assert_eq!(mount.alias("name").unwrap(), both);
    // Somebody else had stored it before, or stores it meanwhile.
    fs::remove_file(mount.path("name")).unwrap();
    fs::remove_file(mount.path(&both)).unwrap();
    sh_ok(&mount.mnt, &format!("cp ../a {0}; (cat ../a; cat ../b) > name; rm name {0} {both}", cid_of(&a)));
    mount.assert_blocks(&[]);
    sh_ok(&mount.mnt, &format!("(cat ../a; cp ../a {}; cat ../b) > name", cid_of(&a)));
    mount.assert_blocks(&[&both, &cid_of(&a)]);
    sh_ok(&mount.mnt, &format!("rm name; rm {both}; rm {}", cid_of(&a)));
    sh_ok(&mount.mnt, "(cat ../a; cp ../a other; cat ../b) > name");
    mount.assert_blocks(&[&both, &cid_of(&a)]);
    assert!(fs::read(mount.path("other")).unwrap() == a);
}

/// > Nor does it stay when a later write is refused.
pub fn a_prefix_goes_when_a_later_write_is_refused(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for name in ["name", &cid_of(b"prefix")] {
        let file = File::create(mount.path(name)).unwrap();
        file.write_all_at(b"prefix", 0).unwrap();
        close(file.try_clone().unwrap()).unwrap();
        mount.assert_blocks(&[&cid_of(b"prefix")]);
        assert_eq!(errno(file.write_at(b"x", 1 << 30)), EFBIG);
        assert_eq!(errno(close(file)), EFBIG);
        eventually("the name is gone", || !mount.path(name).exists());
        mount.assert_blocks(&[]);
    }
    // Also when that early close is still waiting for the store.
    for round in 0..60 {
        let file = File::create(mount.path("name")).unwrap();
        file.write_all_at(&bytes(round, 30_000), 0).unwrap();
        let early = file.try_clone().unwrap();
        let closing = std::thread::spawn(move || close(early));
        assert_eq!(errno(file.write_at(b"x", 1 << 30)), EFBIG);
        assert_eq!(errno(close(file)), EFBIG);
        let _either = closing.join().unwrap();
        eventually("the name is gone", || !mount.path("name").exists());
    }
    mount.assert_blocks(&[]);
}

/// > A plain name then stands for what it did before, or, if it was new or had been cut to nothing, is
/// > gone.
pub fn a_refused_edit_leaves_the_name_as_it_was(backend: &'static str) {
    // An alias that was appended to in vain was once gone with the refused bytes.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "64KiB"]);
    let content = bytes(1, 50_000);
    put(mount.path("log"), &content).unwrap();
    let mut file = File::options().append(true).open(mount.path("log")).unwrap();
    assert_eq!(errno(file.write_all(&bytes(2, 50_000))), EFBIG);
    assert_eq!(errno(close(file)), EFBIG);
    let file = File::options().write(true).open(mount.path("log")).unwrap();
    file.write_all_at(b"edited", 10).unwrap();
    assert_eq!(errno(file.write_all_at(b"too far", 65_530)), EFBIG);
    assert_eq!(errno(close(file)), EFBIG);
    eventually("the handles have gone", || mount.stats()["gauges"]["staged_bytes"] == 0);
    assert!(fs::read(mount.path("log")).unwrap() == content);
    assert_eq!(fs::metadata(mount.path("log")).unwrap().len(), 50_000);
    assert_eq!(mount.alias("log").unwrap(), cid_of(&content));
    mount.assert_blocks(&[&cid_of(&content)]);
    // A name that had nothing to go back to leaves nothing behind, nor does one that was cut to nothing.
    for name in ["new", "log"] {
        assert_eq!(errno(put(mount.path(name), &bytes(3, 70_000))), EFBIG);
        eventually("the name is gone", || !mount.path(name).exists());
    }
    mount.assert_blocks(&[&cid_of(&content)]);
}

/// As for other refusals: an identity CID holds at most 128 bytes.
pub fn bytes_that_no_cid_can_have_leave_no_name(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--cid-hash", "identity"]);
    assert_eq!(errno(put(mount.path("long"), &bytes(1, 1000))), EINVAL);
    eventually("the name is gone", || !mount.path("long").exists());
    put(mount.path("short"), b"short").unwrap();
    assert_eq!(fs::read(mount.path("short")).unwrap(), b"short");
}

/// > A file that was refused a write (EFBIG, ENOSPC, ENOMEM) stores nothing, and its close fails with
/// > the same error.
pub fn a_failed_change_leaves_the_store_as_it_was(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "1MiB"]);
    let content = bytes(1, 1000);
    put(mount.path("name"), &content).unwrap();
    eventually("the first handle has ended", || mount.stats()["gauges"]["open_handles"] == 0);
    let file = OpenOptions::new().append(true).open(mount.path("name")).unwrap();
    (&file).write_all(&bytes(2, 1_000_000)).unwrap();
    assert_eq!(errno((&file).write_all(&bytes(2, 100_000))), EFBIG);
    assert_eq!(errno(close(file)), EFBIG);
    mount.assert_blocks(&[&cid_of(&content)]);
    eventually("its memory is given back", || mount.stats()["gauges"]["staged_bytes"] == 0);
    put(mount.path("name"), b"works again").unwrap();
    assert_eq!(fs::read(mount.path("name")).unwrap(), b"works again");
}

pub fn a_synced_temporary_file_goes_when_its_name_is_taken(backend: &'static str) {
    // Another file was renamed onto a synced temporary one: its block stayed behind for good.
    // R7: that block goes again with the name.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let file = File::create(mount.path(".notes.swp")).unwrap();
    (&file).write_all(b"swap").unwrap();
    file.sync_all().unwrap();
    close(file).unwrap();
    mount.assert_blocks(&[&cid_of(b"swap")]);
    put(mount.path("other"), b"other").unwrap();
    fs::rename(mount.path("other"), mount.path(".notes.swp")).unwrap();
    mount.assert_blocks(&[&cid_of(b"other")]);
    assert_eq!(fs::read(mount.path(".notes.swp")).unwrap(), b"other");
}

pub fn a_refused_truncation_by_path_changes_nothing(backend: &'static str) {
    // truncate(2) beyond the limit was refused, and so was the close of whoever wrote the file next.
    // R8: a plain name then stands for what it did before.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "64KiB"]);
    for (name, wanted) in [("name", Some(cid_of(b"contentmore"))), (".name.tmp", None)] {
        put(mount.path(name), b"content").unwrap();
        assert_eq!(errno(nix::unistd::truncate(&mount.path(name), 65_537).map_err(Into::into)), EFBIG);
        assert_eq!(fs::read(mount.path(name)).unwrap(), b"content");
        let mut file = File::options().append(true).open(mount.path(name)).unwrap();
        file.write_all(b"more").unwrap();
        close(file).unwrap();
        assert_eq!(fs::read(mount.path(name)).unwrap(), b"contentmore");
        assert_eq!(mount.alias(name).ok(), wanted);
    }
}

pub fn a_refusal_goes_back_behind_an_early_close(backend: &'static str) {
    // An early close had made another block of an alias before a later write was refused. That block
    // went, and the name with it, although it had stood for a block before.
    // R8: a plain name then stands for what it did before.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "64KiB"]);
    for closes in 1..3 {
        put(mount.path("log"), b"one").unwrap();
        eventually("the first handle has ended", || mount.stats()["gauges"]["open_handles"] == 0);
        let file = File::options().append(true).open(mount.path("log")).unwrap();
        for _ in 0..closes {
            (&file).write_all(b" two").unwrap();
            close(file.try_clone().unwrap()).unwrap();
        }
        assert_eq!(errno((&file).write_all(&bytes(1, 70_000))), EFBIG);
        assert_eq!(errno(close(file)), EFBIG);
        eventually("the handle has ended", || mount.stats()["gauges"]["open_handles"] == 0);
        assert_eq!(mount.alias("log").unwrap(), cid_of(b"one"));
        assert_eq!(fs::read(mount.path("log")).unwrap(), b"one");
        mount.assert_blocks(&[&cid_of(b"one")]);
        assert_eq!(errno(fs::remove_file(mount.path(cid_of(b"one")))), EBUSY);
    }
}

pub fn readers_keep_what_was_refused(backend: &'static str) {
    // Who had a refused file open to read was shown its length and no bytes.
    // R8: the name stands for what it did before, or is gone; who has it open reads what was written.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "64KiB"]);
    for before in [None, Some(b"before")] {
        if let Some(before) = before {
            put(mount.path("name"), before).unwrap();
        }
        let content = bytes(1, 60_000);
        let file = File::options().write(true).create(true).truncate(false).open(mount.path("name")).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let reader = File::open(mount.path("name")).unwrap();
        assert_eq!(errno(file.write_at(b"x", 70_000)), EFBIG);
        assert_eq!(errno(close(file)), EFBIG);
        eventually("the writer has ended", || mount.stats()["gauges"]["open_handles"] == 1);
        assert_eq!(fs::read(mount.path("name")).ok().as_deref(), before.map(|before| &before[..]));
        let mut read = vec![0; 60_000];
        assert_eq!(reader.metadata().unwrap().len(), 60_000);
        reader.read_exact_at(&mut read, 0).unwrap();
        assert!(read == content);
    }
    eventually("its memory is given back", || mount.stats()["gauges"]["staged_bytes"] == 0);
}
