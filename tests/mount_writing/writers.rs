//! Several writers, and writers that are refused.

use super::*;

/// Descriptors that are duplicates of one another, in children too, write one file, and the last verdict
/// counts.
///
/// > The verdict falls when a descriptor is closed, or on `fsync`, if bytes were written since the last
/// > verdict.
pub fn duplicates_and_children_share_a_writer(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let cid = cid_of(b"one two three ");
    sh_ok(
        &mount.mnt,
        &format!(
            "exec 5> {cid} 6>&5; (printf 'one ' >&5) 2>/dev/null; (printf 'two ' >&6) 2>/dev/null; \
             printf 'three ' >&5; exec 6>&-; exec 5>&-"
        ),
    );
    mount.assert_blocks(&[&cid]);
    if need("python3") {
        let cid = cid_of(b"parent child");
        python(
            &mount.mnt,
            &format!(
                "
import os
fd = os.open('{cid}', os.O_WRONLY | os.O_CREAT)
os.write(fd, b'parent ')
pid = os.fork()
if pid == 0:
    os.write(fd, b'child')
    os.close(fd)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
os.close(fd)
"
            ),
        );
        assert_eq!(fs::read(mount.path(&cid)).unwrap(), b"parent child");
    }
}

/// > The bytes are the block: it is stored as durably as [durability](#durability) says, and `close`
/// > returns 0.
pub fn a_retry_right_after_a_refusal_is_stored(backend: &'static str) {
    // The refused file ended at its RELEASE, between the retry's lookup and its open: the retry then
    // wrote to a file without a name, close returned 0, and nothing was stored.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    thread::scope(|scope| {
        for thread in 0..4 {
            let mount = &mount;
            scope.spawn(move || {
                for round in 0..100 {
                    let content = bytes(50_000 + thread * 1000 + round, 2000);
                    let cid = cid_of(&content);
                    assert_eq!(errno(put(mount.path(&cid), &content[1..])), EBADMSG);
                    put(mount.path(&cid), &content).unwrap();
                    assert!(fs::read(mount.path(&cid)).unwrap() == content);
                    fs::remove_file(mount.path(&cid)).unwrap();
                }
            });
        }
    });
    mount.assert_blocks(&[]);
}

/// > But a verdict of EBADMSG is repeated at every close until the bytes change: the first close may be
/// > that of a child process which looks at nothing.
pub fn every_close_of_wrong_bytes_is_told_so(backend: &'static str) {
    // The verdict on wrong bytes was given once. When a process with several threads started a
    // program, the close that exec(2) does in the child took it, and the writer's own close, with
    // nothing new, returned 0 for bytes that were not stored.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(21, 5000);
    let cid = cid_of(&content);
    let file = File::create(mount.path(&cid)).unwrap();
    file.write_all_at(&content[..4000], 0).unwrap();
    for _ in 0..3 {
        assert_eq!(errno(close(file.try_clone().unwrap())), EBADMSG);
    }
    assert_eq!(errno(file.sync_all()), EBADMSG);
    assert_eq!(mount.count("mismatches"), 1, "it is one verdict");
    file.write_all_at(&content[4000..], 4000).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(errno(close(file.try_clone().unwrap())), EBADMSG);
    assert_eq!(errno(close(file)), EBADMSG);
    assert_eq!(mount.count("mapped_writes_lost"), 0);
    // The same over a stored block, where the bytes are too few.
    put(mount.path(&cid), &content).unwrap();
    let file = File::create(mount.path(&cid)).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    file.write_all_at(&content[..4000], 0).unwrap();
    assert_eq!(errno(close(file.try_clone().unwrap())), EBADMSG);
    assert_eq!(errno(close(file)), EBADMSG);
    assert!(fs::read(mount.path(&cid)).unwrap() == content);
}

pub fn many_writers_share_a_sync(backend: &'static str) {
    // Durability: close() returned 0 survives a power cut (commits are grouped): every one of many
    // writers at once is answered, and everything is there when it is.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (threads, each) = (16, 25);
    thread::scope(|scope| {
        for thread in 0..threads {
            let mount = &mount;
            scope.spawn(move || {
                for n in 0..each {
                    let content = bytes(10_000 + thread * 1000 + n, 3000 + (n as usize * 977) % 20_000);
                    let cid = cid_of(&content);
                    if n % 7 == 3 {
                        assert_eq!(errno(put(mount.path(&cid), &content[1..])), EBADMSG);
                    }
                    put(mount.path(&cid), &content).unwrap();
                    assert!(fs::read(mount.path(&cid)).unwrap() == content);
                }
            });
        }
    });
    assert_eq!(mount.ls().len(), (threads * each) as usize);
    assert_eq!(mount.count("blocks_stored"), threads * each);
    assert!(mount.count("commit_batches") <= threads * each);
    assert_eq!(mount.count("panics"), 0);
    eventually("no staging is left", || mount.stats()["gauges"]["staged_bytes"] == 0);
}

/// > Two writers of one CID have bytes of their own each; the first right one stores the block, the
/// > other rewrites it (R6).
pub fn one_block_written_by_many_at_once(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for round in 0..20 {
        let content = bytes(20_000 + round, 70_000);
        let cid = cid_of(&content);
        thread::scope(|scope| {
            for writer in 0..8 {
                let (mount, cid, content) = (&mount, &cid, &content);
                scope.spawn(move || {
                    if writer == 3 {
                        let refused = put(mount.path(cid), &content[..60_000]);
                        assert_eq!(errno(refused), EBADMSG);
                    } else {
                        put(mount.path(cid), content).unwrap();
                        assert!(fs::read(mount.path(cid)).unwrap() == *content);
                    }
                });
            }
        });
        assert!(fs::read(mount.path(&cid)).unwrap() == content);
    }
    assert_eq!(mount.ls().len(), 20);
}

/// > The verdict falls when a descriptor is closed, or on `fsync`, if bytes were written since the last
/// > verdict.
pub fn a_close_during_a_commit_is_judged_by_its_own_bytes(backend: &'static str) {
    // A close that came while another descriptor's commit was under way was answered by that
    // commit, so bytes written in between were acknowledged without a verdict.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for round in 0..60 {
        let content = bytes(30_000 + round, 40_000);
        let cid = cid_of(&content);
        let file = File::create(mount.path(&cid)).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let (first, second) = (file.try_clone().unwrap(), file.try_clone().unwrap());
        let closing = thread::spawn(move || close(first));
        second.write_all_at(b"more", 40_000).unwrap();
        let last = close(second);
        // Whichever close came after the longer bytes was told that they are not the block.
        let first = closing.join().unwrap();
        for refused in [&first, &last].into_iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(refused.raw_os_error(), Some(EBADMSG));
        }
        assert!(first.is_err() || last.is_err(), "nobody was told");
        drop(file);
    }
}

/// > A write beyond `--max-block-size` (2 MiB, unless it says otherwise) is EFBIG at once.
/// > A file that was refused a write (EFBIG, ENOSPC, ENOMEM) stores nothing, and its close fails with
/// > the same error.
pub fn a_write_past_the_limit_is_refused_at_once(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "100KiB"]);
    let limit = 100 << 10;
    let content = bytes(17, limit + 1);
    put(mount.path(cid_of(&content[..limit])), &content[..limit]).unwrap();
    put(mount.path("exact"), &content[..limit]).unwrap();
    for name in [cid_of(&content), "plain".to_owned(), ".hidden.tmp".to_owned()] {
        let path = mount.path(&name);
        let file = File::create(&path).unwrap();
        file.write_all_at(&content[..limit], 0).unwrap();
        assert_eq!(errno(file.write_at(&content[limit..], limit as u64)), EFBIG);
        assert_eq!(errno(file.write_at(b"x", 1 << 40)), EFBIG);
        assert_eq!(errno(close(file)), EFBIG, "{name}");
        eventually("nothing is left", || !path.exists());
        let file = File::create(&path).unwrap();
        file.write_all_at(&content[..limit], 0).unwrap();
        assert_eq!(errno(file.set_len(limit as u64 + 1)), EFBIG);
        assert_eq!(
            errno(fallocate(&file, FallocateFlags::empty(), 0, limit as i64 + 1).map_err(Into::into)),
            EFBIG
        );
        drop(file);
        let _ = fs::remove_file(&path);
    }
    mount.assert_blocks(&[&cid_of(&content[..limit])]);
    let errors = mount.errors();
    assert!(errors.contains("at most 102400 bytes") && errors.contains("--max-block-size"), "{errors}");
    fs::write(bench.path().join("large"), &content).unwrap();
    for script in ["cp ../large large", "dd if=../large of=large bs=64k status=none", "cat ../large > large"]
    {
        let output = sh(&mount.mnt, script);
        assert!(!output.status.success() && text(&output).contains("File too large"), "{}", text(&output));
        eventually("nothing is left", || !mount.path("large").exists());
    }
    mount.unmount();
    let mount = bench.mount();
    let file = File::create(mount.path("default")).unwrap();
    assert_eq!(errno(file.write_at(b"x", 2 << 20)), EFBIG);
    assert_eq!(errno(close(file)), EFBIG);
    put(mount.path("default"), &vec![0; 2 << 20]).unwrap();
}

/// A file that was cut to nothing is a new file: what it was refused before does not count.
pub fn after_truncation_to_nothing_a_refused_file_starts_anew(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "100KiB"]);
    let content = bytes(18, 1000);
    let cid = cid_of(&content);
    for name in [cid.as_str(), "plain"] {
        for written in [0, 500] {
            let file = File::create(mount.path(name)).unwrap();
            file.write_all_at(&content[..written], 0).unwrap();
            assert_eq!(errno(file.write_at(b"x", 200 << 10)), EFBIG);
            file.set_len(0).unwrap();
            file.write_all_at(&content, 0).unwrap();
            close(file).unwrap();
            assert_eq!(fs::read(mount.path(name)).unwrap(), content);
            fs::remove_file(mount.path(name)).unwrap();
            let _ = fs::remove_file(mount.path(&cid));
        }
    }
    mount.assert_blocks(&[]);
}
