//! Starting: the lock, the background, and what is in the way.

use super::*;

/// > With files open, `umount` and `ipfs-persist-mount unmount` refuse, and the latter names the processes.
/// > `--lazy` detaches at once, `--timeout` waits.
#[test]
fn nobody_unmounts_open_files_and_unmount_names_who_has_them() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount();
    let content = bytes(1, 5000);
    let path = mounted.path(cid_of(&content));
    let mut writer = File::create_new(&path).unwrap();
    writer.write_all(&content).unwrap();
    for command in [&["umount"][..], &["fusermount3", "-u"]] {
        let output = run(Command::new(command[0]).args(&command[1..]).arg(&mounted.mnt));
        assert!(!output.status.success(), "{command:?} took an open file's mount away");
    }
    let own = format!("({})", std::process::id());
    exits(&run(program().arg("unmount").arg(&mounted.mnt)), 8, &["is in use by ", &own]);
    // Nothing of this has done any harm.
    close(writer).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);

    let reader = File::open(&path).unwrap();
    let lazy = run(program().args(["unmount", "--lazy", "--timeout", "0.1"]).arg(&mounted.mnt));
    assert_eq!(lazy.status.code(), Some(0), "{}", text(&lazy));
    assert!(said(&lazy).contains("until the files that are open have been closed"), "{}", said(&lazy));
    assert!(!is_mounted(&mounted.mnt));
    assert_eq!(
        std::io::read_to_string(&reader).err().map(|error| error.kind()),
        Some(std::io::ErrorKind::InvalidData)
    );
    drop(reader);
    assert_eq!(mounted.wait().code(), Some(0));
}

/// > Refused at start: a mount point that is no directory, is not empty (without `--allow-non-empty`), or has
/// > a mount of this program already; a data directory inside the mount point; a data directory that is not
/// > empty and not ours (but for R13), or was made with another backend, or is in use.
///
/// > A start waits for the lock of the store as long as `--lock-wait` says, and ends with exit code 3
/// > if it is still held.
#[test]
fn a_store_in_use_is_refused_however_its_path_is_spelled() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let mounted = bench.mount();
        let other = bench.path().join("other");
        fs::create_dir(&other).unwrap();
        symlink(bench.data(), bench.path().join("link")).unwrap();
        for spelling in ["data", "link", "./data/.", "other/../data", "data//", "link/../data"] {
            let output = run(program()
                .args(["--backend", backend, "--lock-wait", "0.1", "--data-path", spelling])
                .arg(&other)
                .current_dir(bench.path()));
            let (pid, place) = (mounted.pid().to_string(), mounted.mnt.display().to_string());
            let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
            exits(&output, 3, &[&format!("process {pid} "), &format!("host {}", host.trim()), &place]);
            assert!(!is_mounted(&other));
        }
        mounted.unmount();
    }
}

/// > A start waits for the lock of the store as long as `--lock-wait` says, and ends with exit code 3
/// > if it is still held.
#[test]
fn a_start_waits_for_the_store_to_be_let_go() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let mounted = bench.mount();
        write_new(&mounted.path(cid_of(b"first")), b"first").unwrap();
        let other = bench.path().join("other");
        fs::create_dir(&other).unwrap();
        let mut waiting = program();
        waiting.args(["--backend", backend, "--lock-wait", LONG, "--background", "--data-path"]);
        let mut waiting = waiting.arg(bench.data()).arg(&other).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits for the lock", || has_open(&waiting, &bench.data().join("lock")));
        assert!(waiting.try_wait().unwrap().is_none() && !is_mounted(&other));
        mounted.unmount();
        assert_eq!(wait_for(&mut waiting).code(), Some(0));
        assert_eq!(names(&other), [cid_of(b"first")]);
        unmount(&other);
    }
}

/// Whether a process, or the one it has started, has a file open.
pub fn has_open(process: &Child, path: &Path) -> bool {
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id())).unwrap_or_default();
    let wanted = path.canonicalize().unwrap();
    children.split_whitespace().any(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == wanted))
    })
}

/// > The mount is ready when the store is open, its lock is held, and the kernel has agreed on the protocol.
#[test]
fn a_mount_in_the_background_is_usable_when_the_command_returns() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let log = bench.path().join("the.log");
        for round in 0..5 {
            background(&bench, &["-v", "--log-file", log.to_str().unwrap()]);
            let content = bytes(round, 100);
            write_new(&bench.mnt().join(cid_of(&content)), &content).unwrap();
            assert_eq!(errno(write_new(&bench.mnt().join(cid_of(b"x")), b"y")), libc::EBADMSG);
            unmount(&bench.mnt());
        }
        let written = fs::read_to_string(&log).unwrap();
        assert_eq!(written.matches("unmounted").count(), 5, "{written}");
        assert!(written.contains("refused"), "{written}");
        assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// > `--background` returns then with 0, or with the error and its exit code.
#[test]
fn a_mount_in_the_background_that_fails_says_why_with_its_own_exit_code() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let fails = |code: i32, words: &[&str], more: &[&str]| {
        let output = run(&mut bench.command(&[&["--background"], more].concat()));
        exits(&output, code, words);
        assert!(!is_mounted(&bench.mnt()));
    };
    fs::create_dir(bench.data()).unwrap();
    fs::write(bench.data().join("foreign"), "").unwrap();
    fails(4, &["it holds foreign"], &[]);
    fs::remove_file(bench.data().join("foreign")).unwrap();
    fs::write(bench.data().join("ipfs-persist.json"), "{").unwrap();
    fails(4, &["is damaged"], &[]);
    fs::remove_file(bench.data().join("ipfs-persist.json")).unwrap();
    fails(1, &["there is no store at"], &["--read-only"]);
    let output = run(&mut bench.command(&["--background", "--log-file", "/nowhere/log"]));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(said(&output).contains("open /nowhere/log: No such file"), "{}", said(&output));
    background(&bench, &[]);
    unmount(&bench.mnt());
}

/// > Only a mount of its own is ever detached by this program.
#[test]
fn a_mount_of_somebody_else_at_the_same_place_is_left_alone() {
    if !fuse_available() {
        return;
    }
    if !is_root() {
        return eprintln!("SKIPPED: mounting a tmpfs needs root");
    }
    let theirs = |mnt: &Path| {
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(mnt));
        assert!(mounted.status.success(), "{}", text(&mounted));
        fs::write(mnt.join("theirs"), "theirs").unwrap();
    };
    let is_there = |mnt: &Path| assert_eq!(fs::read_to_string(mnt.join("theirs")).unwrap(), "theirs");
    let bench = Bench::new("file");

    // Unmounted by somebody, and their own in its place at once.
    let mounted = bench.mount();
    let mnt = mounted.mnt.clone();
    unmount_by(Command::new("umount").arg(&mnt));
    theirs(&mnt);
    assert_eq!(mounted.wait().code(), Some(0));
    is_there(&mnt);
    detach(&mnt);

    // Detached while a file is open, so that the daemon is still there, and is then told to stop.
    let mounted = bench.mount_with(&["--stop-timeout", LONG]);
    write_new(&mounted.path(cid_of(b"open")), b"open").unwrap();
    let open = File::open(mounted.path(cid_of(b"open"))).unwrap();
    assert!(run(Command::new("umount").arg("-l").arg(&mnt)).status.success());
    theirs(&mnt);
    mounted.signal("TERM");
    eventually("it has seen the signal", || mounted.log().contains("has files open") || has_ended(&mounted));
    drop(open);
    assert_eq!(mounted.wait().code(), Some(0));
    is_there(&mnt);
    detach(&mnt);

    // On top of ours, which is still there below.
    let mounted = bench.mount_with(&["--stop-timeout", "0.1"]);
    theirs(&mnt);
    mounted.signal("TERM");
    assert_eq!(mounted.wait().code(), Some(0));
    is_there(&mnt);
    detach(&mnt);
    let mounted = bench.mount();
    assert_eq!(mounted.ls(), [cid_of(b"open")]);
    mounted.unmount();
}

pub fn has_ended(mounted: &Mounted) -> bool {
    ipfs_persist_mount::sys::start_time(mounted.pid()).is_none()
}

/// Regression: SIGTERM was listened for only after mounting, and one that came in between killed the
/// daemon and left a dead mount.
#[test]
fn a_start_that_is_stopped_at_any_moment_leaves_no_mount() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    bench.mount().unmount();
    let mut ends = std::collections::BTreeMap::new();
    for round in 0..80 {
        let mut child = bench.command(&["--lock-wait", "0"]).stderr(Stdio::null()).spawn().unwrap();
        // The moment is the case, not a way to wait for something.
        std::thread::sleep(Duration::from_micros(200 * round));
        assert!(run(Command::new("kill").arg(child.id().to_string())).status.success());
        let status = wait_for(&mut child);
        assert!(!is_mounted(&bench.mnt()), "round {round}: {status}");
        *ends.entry(status.code()).or_insert(0) += 1;
    }
    // Before it has done anything the signal kills it; later it ends with success.
    assert!(ends.keys().all(|code| [None, Some(0)].contains(code)), "{ends:?}");
    assert!(ends.contains_key(&Some(0)), "{ends:?}");
}
