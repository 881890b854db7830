//! Renaming and removing.

use super::*;

/// A rename over another name replaces it.
///
/// > Aliases can be renamed and removed, and the block stays.
pub fn names_can_be_renamed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (a, b) = (cid_of(b"aaa"), cid_of(b"bbb"));
    put(mount.path("a"), b"aaa").unwrap();
    put(mount.path("b"), b"bbb").unwrap();
    fs::rename(mount.path("a"), mount.path("c")).unwrap();
    assert!(!mount.path("a").exists());
    assert_eq!(fs::read(mount.path("c")).unwrap(), b"aaa");
    fs::rename(mount.path("c"), mount.path("b")).unwrap();
    assert_eq!(fs::read(mount.path("b")).unwrap(), b"aaa");
    assert_eq!(mount.alias("b").unwrap(), a);
    mount.assert_blocks(&[&a, &b]);
    fs::remove_file(mount.path(&b)).expect("no name stands on the replaced one's block any more");
    fs::rename(mount.path("b"), mount.path("b")).unwrap();
    assert_eq!(errno(fs::rename(mount.path("absent"), mount.path("b"))), ENOENT);
    put(mount.path("d"), b"ddd").unwrap();
    let noreplace = |from: &str, to: &str| {
        let (from, to) = (mount.path(from), mount.path(to));
        renameat2(AT_FDCWD, &from, AT_FDCWD, &to, RenameFlags::RENAME_NOREPLACE).map_err(std::io::Error::from)
    };
    assert_eq!(errno(noreplace("d", "b")), EEXIST);
    assert_eq!(errno(noreplace("d", &a)), EEXIST);
    noreplace("d", "e").unwrap();
    assert_eq!(fs::read(mount.path("e")).unwrap(), b"ddd");
    let exchange =
        renameat2(AT_FDCWD, &mount.path("e"), AT_FDCWD, &mount.path("b"), RenameFlags::RENAME_EXCHANGE);
    assert_eq!(errno(exchange.map_err(std::io::Error::from)), EINVAL);
    assert_eq!(fs::read(mount.path("b")).unwrap(), b"aaa");
    sh_ok(&mount.mnt, "touch empty; mv empty void; mv e f; mv f void");
    assert_eq!(fs::read(mount.path("void")).unwrap(), b"ddd");
    assert!(errno(fs::rename(mount.path("void"), bench.path().join("outside"))) == libc::EXDEV);
}

/// > Renaming a plain name to a CID checks the bytes: EBADMSG if they are not that block.
/// > If they are, the block gets the file's time.
pub fn a_name_becomes_a_cid_if_its_bytes_are_that_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 90_000);
    let cid = cid_of(&content);
    put(mount.path("name"), &content).unwrap();
    let wrong = cid_of(b"something else");
    assert_eq!(errno(fs::rename(mount.path("name"), mount.path(&wrong))), EBADMSG);
    assert!(fs::read(mount.path("name")).unwrap() == content, "nothing has changed");
    assert_eq!(mount.alias("name").unwrap(), cid);
    put(mount.path(&wrong), b"something else").unwrap();
    assert_eq!(errno(fs::rename(mount.path("name"), mount.path(&wrong))), EBADMSG, "onto a block too");
    assert_eq!(fs::read(mount.path(&wrong)).unwrap(), b"something else");
    fs::remove_file(mount.path(&wrong)).unwrap();

    fs::rename(mount.path("name"), mount.path(&cid)).unwrap();
    assert!(!mount.path("name").exists());
    assert!(fs::read(mount.path(&cid)).unwrap() == content);
    mount.assert_blocks(&[&cid]);
    fs::remove_file(mount.path(&cid)).expect("no name stands on it any more");

    // A staged one, whose bytes have never been a block.
    put(mount.path(".name.tmp"), &content).unwrap();
    assert_eq!(errno(fs::rename(mount.path(".name.tmp"), mount.path(&wrong))), EBADMSG);
    assert!(fs::read(mount.path(".name.tmp")).unwrap() == content);
    mount.assert_blocks(&[]);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567);
    File::options().write(true).open(mount.path(".name.tmp")).unwrap().set_modified(then).unwrap();
    fs::rename(mount.path(".name.tmp"), mount.path(&cid)).unwrap();
    assert_eq!(fs::metadata(mount.path(&cid)).unwrap().modified().unwrap(), then);

    // Stored already when the tool sets the time: rsync's temporary names have six letters, which
    // now and then look like an ordinary end of a name.
    for (from, synced) in [(".name.tmp", true), (".name.sample", false), ("name", false)] {
        let file = File::create(mount.path(from)).unwrap();
        (&file).write_all(&content).unwrap();
        if synced {
            file.sync_all().unwrap();
        }
        close(file).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(7_654_321 + from.len() as u64);
        File::options().write(true).open(mount.path(from)).unwrap().set_modified(then).unwrap();
        fs::rename(mount.path(from), mount.path(&cid)).unwrap();
        assert_eq!(fs::metadata(mount.path(&cid)).unwrap().modified().unwrap(), then, "{from}");
    }

    // Under another hash function and in another spelling.
    put(mount.path("name"), &content).unwrap();
    let blake = cid_under(&content, None, None, Some("blake3"));
    fs::rename(mount.path("name"), mount.path(&blake)).unwrap();
    assert!(fs::read(mount.path(&blake)).unwrap() == content);
    assert!(fs::read(mount.path(&cid)).unwrap() == content, "the other block was stored by itself before");
    mount.assert_blocks(&[&cid, &blake]);
    put(mount.path("name"), &content).unwrap();
    fs::rename(mount.path("name"), mount.path(cid.to_uppercase())).unwrap();
    mount.assert_blocks(&[&cid, &blake]);
    sh_ok(&mount.mnt, "touch empty");
    assert_eq!(errno(fs::rename(mount.path("empty"), mount.path(&wrong))), EBADMSG);
    fs::rename(mount.path("empty"), mount.path(cid_of(b""))).unwrap();
    mount.assert_blocks(&[&cid, &blake, &cid_of(b"")]);
}

/// > Renaming a CID name is EPERM, except to another spelling of the same block, which does nothing.
pub fn block_names_cannot_be_renamed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (cid, other) = (cid_of(b"block"), cid_of(b"other"));
    put(mount.path(&cid), b"block").unwrap();
    put(mount.path(&other), b"other").unwrap();
    put(mount.path("name"), b"third").unwrap();
    for to in ["plain", "name", ".plain.tmp", &other, &cid_of(b"absent")] {
        assert_eq!(errno(fs::rename(mount.path(&cid), mount.path(to))), EPERM, "{to}");
    }
    fs::rename(mount.path(&cid), mount.path(cid.to_uppercase())).unwrap();
    fs::rename(mount.path(&cid), mount.path(&cid)).unwrap();
    assert_eq!(fs::read(mount.path(&cid)).unwrap(), b"block");
    assert_eq!(fs::read(mount.path(&other)).unwrap(), b"other");
    assert_eq!(fs::read(mount.path("name")).unwrap(), b"third");
    let staged = cid_of(b"staged");
    let file = File::create(mount.path(&staged)).unwrap();
    (&file).write_all(b"staged").unwrap();
    assert_eq!(errno(fs::rename(mount.path(&staged), mount.path("plain"))), EPERM);
    close(file).unwrap();
    mount.assert_blocks(&[&cid, &other, &cid_of(b"third"), &staged]);
}

/// > Everything in it is made when it is opened, and read-only: EPERM.
pub fn the_control_directory_cannot_be_changed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path("name"), b"bytes").unwrap();
    let control = mount.path(".ipfs-persist");
    assert_eq!(errno(fs::rename(mount.path("name"), control.join("names/x"))), EPERM);
    assert_eq!(errno(fs::rename(mount.path("name"), control.join("stats.json"))), EPERM);
    assert_eq!(errno(fs::rename(control.join("names/name"), mount.path("x"))), EPERM);
    assert_eq!(errno(fs::remove_file(control.join("names/name"))), EPERM);
    assert_eq!(errno(File::create(control.join("new"))), EPERM);
    assert_eq!(errno(File::create(control.join("stats.json"))), EPERM);
    let onto = errno(fs::rename(mount.path("name"), &control));
    assert!(onto == EPERM || onto == libc::EISDIR, "{onto}");
    assert_eq!(errno(fs::rename(&control, mount.path("moved"))), EPERM);
    assert_eq!(fs::read(mount.path("name")).unwrap(), b"bytes");
    mount.assert_blocks(&[&cid_of(b"bytes")]);
}

/// > Aliases can be renamed and removed, and the block stays.
pub fn removing_a_name_keeps_the_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let mut cids = Vec::new();
    for round in 0..50 {
        let content = bytes(round, 300);
        put(mount.path("name"), &content).unwrap();
        fs::remove_file(mount.path("name")).unwrap();
        assert!(!mount.path("name").exists());
        assert!(fs::read(mount.path(cid_of(&content))).unwrap() == content);
        cids.push(cid_of(&content));
    }
    // Also while it is open, and synced.
    let file = File::create(mount.path("open")).unwrap();
    (&file).write_all(b"synced").unwrap();
    file.sync_all().unwrap();
    fs::remove_file(mount.path("open")).unwrap();
    close(file).unwrap();
    cids.push(cid_of(b"synced"));
    mount.assert_blocks(&cids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(errno(fs::remove_file(mount.path("name"))), ENOENT);
}

/// `rsync --delete`, which sees only CIDs, would else empty the store that it has just filled.
///
/// > A block that an alias stands for cannot be removed: EBUSY.
pub fn a_block_under_an_alias_cannot_be_removed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let cid = cid_of(b"bytes");
    put(mount.path("one"), b"bytes").unwrap();
    put(mount.path("two"), b"bytes").unwrap();
    assert_eq!(errno(fs::remove_file(mount.path(&cid))), EBUSY);
    assert!(mount.errors().contains("remove the name one first"), "{}", mount.errors());
    fs::remove_file(mount.path("one")).unwrap();
    assert_eq!(errno(fs::remove_file(mount.path(&cid))), EBUSY);
    put(mount.path("two"), b"others").unwrap();
    fs::remove_file(mount.path(&cid)).expect("no name stands on it any more");
    assert_eq!(errno(fs::remove_file(mount.path(cid_of(b"others")))), EBUSY);
    fs::remove_file(mount.path("two")).unwrap();
    fs::remove_file(mount.path(cid_of(b"others"))).unwrap();
    mount.assert_blocks(&[]);
}

/// Renaming works for staged files, also while they are being written.
pub fn an_open_file_can_be_renamed(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for from in [".data.tmp", "data.part"] {
        let mut file =
            OpenOptions::new().read(true).write(true).create_new(true).open(mount.path(from)).unwrap();
        let number = file.metadata().unwrap().ino();
        file.write_all(b"first ").unwrap();
        fs::rename(mount.path(from), mount.path("data")).unwrap();
        assert!(!mount.path(from).exists());
        assert_eq!(fs::read(mount.path("data")).unwrap(), b"first ");
        file.write_all(b"second").unwrap();
        assert_eq!(fs::metadata(mount.path("data")).unwrap().len(), 12);
        assert_eq!(ino(&mount.path("data")), number);
        close(file).unwrap();
        assert_eq!(fs::read(mount.path("data")).unwrap(), b"first second");
        assert_eq!(mount.alias("data").unwrap(), cid_of(b"first second"));
        mount.assert_blocks(&[&cid_of(b"first second")]);
        fs::remove_file(mount.path("data")).unwrap();
        fs::remove_file(mount.path(cid_of(b"first second"))).unwrap();
    }
    // Open and complete: the usual write, sync, rename, close.
    let content = bytes(1, 70_000);
    let cid = cid_of(&content);
    let mut file = File::create(mount.path(".x.tmp")).unwrap();
    file.write_all(&content).unwrap();
    file.sync_all().unwrap();
    fs::rename(mount.path(".x.tmp"), mount.path(&cid)).unwrap();
    close(file).unwrap();
    assert!(fs::read(mount.path(&cid)).unwrap() == content);
    mount.assert_blocks(&[&cid]);
}

/// > If they are, the block gets the file's time.
pub fn a_rename_to_a_stored_cid_brings_its_time(backend: &'static str) {
    // rsync sets the time on the file that it then renames, and once in two hundred times that file has a
    // name which is stored at its close.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 1000);
    let cid = cid_of(&content);
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_577_880_000_123_456_789);
    put(mount.path(&cid), &content).unwrap();
    assert_ne!(fs::metadata(mount.path(&cid)).unwrap().modified().unwrap(), time);
    put(mount.path("incoming"), &content).unwrap();
    File::options().write(true).open(mount.path("incoming")).unwrap().set_modified(time).unwrap();
    fs::rename(mount.path("incoming"), mount.path(&cid)).unwrap();
    assert_eq!(fs::metadata(mount.path(&cid)).unwrap().modified().unwrap(), time);
    // An ordinary name keeps its own time: the block that it comes to stand for keeps the one it has.
    put(mount.path(".photo.tmp"), &content).unwrap();
    fs::rename(mount.path(".photo.tmp"), mount.path("photo")).unwrap();
    assert_ne!(fs::metadata(mount.path("photo")).unwrap().modified().unwrap(), time);
    assert_eq!(fs::metadata(mount.path(&cid)).unwrap().modified().unwrap(), time);
    mount.assert_blocks(&[&cid]);
}

/// > They are not: EBADMSG, and nothing is stored.
pub fn after_a_rename_to_a_cid_other_bytes_are_refused(backend: &'static str) {
    // Bytes written through a descriptor after its name had become a CID went nowhere, and close
    // returned 0.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let cid = cid_of(b"whole");
    for from in [".data.tmp", "data.part"] {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(mount.path(from)).unwrap();
        file.write_all_at(b"whole", 0).unwrap();
        fs::rename(mount.path(from), mount.path(&cid)).unwrap();
        file.write_all_at(b"who", 0).unwrap();
        close(file.try_clone().unwrap()).unwrap();
        file.write_all_at(b" and more", 5).unwrap();
        assert_eq!(errno(close(file)), EBADMSG);
        assert_eq!(fs::read(mount.path(&cid)).unwrap(), b"whole");
        mount.assert_blocks(&[&cid]);
        fs::remove_file(mount.path(&cid)).unwrap();
    }
}

/// Memory that was staged for a removed name is given back.
pub fn a_removed_name_is_gone_with_its_staging(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for round in 0..20 {
        put(mount.path(".big.tmp"), &bytes(round, 1 << 20)).unwrap();
        fs::remove_file(mount.path(".big.tmp")).unwrap();
        let file = File::create(mount.path("big")).unwrap();
        fs::remove_file(mount.path("big")).unwrap();
        (&file).write_all(&bytes(round, 1 << 20)).unwrap();
        close(file).unwrap();
    }
    eventually("nothing is staged", || mount.stats()["gauges"]["staged_bytes"] == 0);
    assert_eq!(mount.stats()["gauges"]["names"], 0);
    mount.assert_blocks(&[]);
}

/// > So a second `rsync -a` of the same files sends nothing.
pub fn a_second_rsync_of_ordinary_files_sends_nothing(backend: &'static str) {
    if !need("rsync") {
        return;
    }
    let bench = Bench::new(backend);
    let mount = bench.mount();
    fs::create_dir(bench.path().join("src")).unwrap();
    for (seed, name) in (1..).zip(["a", "with space.txt", ".hidden", "photo.jpg", "empty"]) {
        let path = bench.path().join("src").join(name);
        fs::write(&path, bytes(seed, if name == "empty" { 0 } else { 40_000 * seed as usize })).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600 + seed as u32 * 0o10)).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(1_600_000_000_250 + seed);
        File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    }
    let first = sh_ok(bench.path(), "rsync -a --itemize-changes src/ mnt/");
    assert_eq!(first.matches(">f").count(), 5, "{first}");
    for more in ["", "--checksum"] {
        assert_eq!(sh_ok(bench.path(), &format!("rsync -a --itemize-changes {more} src/ mnt/")), "");
    }
    assert_eq!(mount.alias("a").unwrap(), cid_of(&bytes(1, 40_000)));
    sh_ok(bench.path(), "cd src; for f in * .hidden; do cmp \"$f\" \"../mnt/$f\"; done");
}

pub fn a_reader_of_a_removed_file_keeps_its_bytes(backend: &'static str) {
    // When the last writer of a file without a name had gone, whoever still read it found it empty.
    // R9: open descriptors go on reading.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for name in ["name", ".name.tmp"] {
        let content = bytes(1, 17_000);
        let file = File::create(mount.path(name)).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let reader = File::open(mount.path(name)).unwrap();
        fs::remove_file(mount.path(name)).unwrap();
        close(file).unwrap();
        eventually("the writer has ended", || mount.stats()["gauges"]["open_handles"] == 1);
        let mut read = vec![0; content.len()];
        reader.read_exact_at(&mut read, 0).unwrap();
        assert!(read == content);
        mount.assert_blocks(&[]);
    }
}

pub fn a_file_that_became_a_block_and_was_removed_can_be_read(backend: &'static str) {
    // Bytes written to a file whose name had become a CID, and was removed then, were stored and taken
    // away again, and with them what its descriptors read. With two of them they were not taken away.
    // R5: a staged file whose name was removed stores nothing.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for writers in 1..3 {
        let cid = cid_of(b"whole");
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).open(mount.path("data.part")).unwrap()
        };
        let files: Vec<File> = (0..writers).map(|_| open()).collect();
        files[0].write_all_at(b"whole", 0).unwrap();
        fs::rename(mount.path("data.part"), mount.path(&cid)).unwrap();
        fs::remove_file(mount.path(&cid)).unwrap();
        files[0].write_all_at(b"who", 0).unwrap();
        files[0].sync_all().unwrap();
        mount.assert_blocks(&[]);
        for file in files {
            let mut read = [0; 5];
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(&read, b"whole");
            close(file).unwrap();
        }
        mount.assert_blocks(&[]);
    }
}
