//! What is known before the verdict: where the bytes are, and errors that need not wait for it.

use std::collections::HashSet;
use std::os::unix::fs::OpenOptionsExt as _;

use super::*;

/// > Bytes are staged: kept in memory, under an inode of their own whose number is never used again.
pub fn bytes_are_staged_in_memory_under_a_number_of_their_own(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(22, 300_000);
    let cid = cid_of(&content);
    let on_disk = || sh_ok(bench.path(), "if [ -d data ]; then find data -printf '%p %s\\n' | sort; fi");
    let before = on_disk();
    let mut numbers = HashSet::new();
    for round in 0..20u64 {
        let name = if round % 2 == 0 { cid.clone() } else { format!(".{round}.tmp") };
        let file = File::create(mount.path(&name)).unwrap();
        file.write_all_at(&content[1..], 0).unwrap();
        assert_eq!(mount.stats()["gauges"]["staged_bytes"], 299_999);
        assert!(numbers.insert(file.metadata().unwrap().ino()), "{round}: a number that was used before");
        if round % 2 == 0 {
            assert_eq!(errno(close(file)), EBADMSG);
        } else {
            fs::remove_file(mount.path(&name)).unwrap();
            close(file).unwrap();
        }
        eventually("the memory is given back", || mount.stats()["gauges"]["staged_bytes"] == 0);
    }
    assert_eq!(on_disk(), before);
    put(mount.path(&cid), &content).unwrap();
    assert!(!numbers.contains(&fs::metadata(mount.path(&cid)).unwrap().ino()));
}

/// > A file that is open with O_SYNC or O_DSYNC (`dd oflag=sync`) is judged after each write, because the
/// > kernel sends an fsync with each: the block has to come in one write then.
pub fn synchronous_writes_are_judged_one_by_one(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(23, 1_500_000);
    let cid = cid_of(&content);
    fs::write(bench.path().join("src"), &content).unwrap();
    for flag in [libc::O_SYNC, libc::O_DSYNC] {
        let mut options = OpenOptions::new();
        options.write(true).create(true).custom_flags(flag);
        let file = options.open(mount.path(&cid)).unwrap();
        assert_eq!(file.write_at(&content, 0).unwrap(), content.len());
        mount.assert_blocks(&[&cid]);
        close(file).unwrap();
        fs::remove_file(mount.path(&cid)).unwrap();
        let file = options.open(mount.path(&cid)).unwrap();
        assert_eq!(errno(file.write_at(&content[..1_000_000], 0)), EBADMSG);
        mount.assert_blocks(&[]);
        drop(file);
    }
    sh_ok(&mount.mnt, &format!("dd if=../src of={cid} bs=2M oflag=sync status=none; rm {cid}"));
    for flag in ["sync", "dsync"] {
        let output = sh(&mount.mnt, &format!("dd if=../src of={cid} bs=500k oflag={flag} status=none"));
        assert!(!output.status.success() && text(&output).contains("Bad message"), "{}", text(&output));
    }
    mount.assert_blocks(&[]);
}

/// > What can be known when a file is opened or written is an error there, because some programs do not
/// > look at the result of close: `echo > f` in bash and dash, files that go out of scope in Rust and
/// > Python.
pub fn what_can_be_known_early_is_an_error_early(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "100KiB"]);
    let (stored, absent) = (cid_of(b"stored\n"), cid_of(b"absent\n"));
    put(mount.path(&stored), b"stored\n").unwrap();
    // At close: these programs do not say that nothing was stored.
    let unseen = [
        ("bash", format!("echo wrong > {absent}")),
        ("dash", format!("dash -c 'echo wrong > {absent}'")),
        ("python3", format!("python3 -c 'open(\"{absent}\", \"wb\").write(b\"wrong\")'")),
    ];
    for (tool, script) in unseen.iter().filter(|(tool, _)| need(tool)) {
        let output = sh(&mount.mnt, script);
        assert!(output.status.success(), "{tool} looks at close(2) now: {}", text(&output));
    }
    fs::write(mount.path(&absent), b"wrong").expect("the file goes out of scope");
    eventually("nothing is left of it", || !mount.path(&absent).exists());
    assert!(mount.count("mismatches") >= 2);
    // When it is opened: a name that can never be right, and a block that would be appended to. When it
    // is written: other bytes than those that are stored, and too many.
    let broken = &stored[..50];
    let shell = [
        format!("echo x > {broken}"),
        format!("echo x >> {stored}"),
        format!("echo x > {stored}"),
        "printf %0200000d 0 > large".to_owned(),
    ];
    let write = |name: &str, mode: &str, length: usize| {
        format!("python3 -c 'open(\"{name}\", \"{mode}\", buffering=0).write(b\"x\" * {length})'")
    };
    let python = [
        write(broken, "wb", 1),
        write(&stored, "ab", 1),
        write(&stored, "wb", 1),
        write("large", "wb", 200_000),
    ];
    let dash = shell.clone().map(|script| format!("dash -c '{script}'"));
    for (tool, scripts) in [("bash", shell), ("dash", dash), ("python3", python)] {
        for script in scripts.iter().filter(|_| need(tool)) {
            assert!(!sh(&mount.mnt, script).status.success(), "{script} said nothing");
        }
    }
    assert_eq!(fs::write(mount.path(&stored), b"other").unwrap_err().raw_os_error(), Some(EBADMSG));
    mount.assert_blocks(&[&stored]);
}
