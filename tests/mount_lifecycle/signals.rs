//! SIGTERM, SIGINT and SIGHUP, with files open and at other bad moments.

use super::*;

/// > SIGTERM, SIGINT and SIGHUP detach at once, so that nothing new can be opened.
///
/// > It also names the processes that have files open.
#[test]
fn after_sigterm_open_files_are_served_and_new_ones_are_not() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let mounted = bench.mount_with(&["--stop-timeout", LONG]);
        // Through the page cache, and by passthrough where there is any.
        let contents = [bytes(1, 1024), bytes(2, 1 << 20)];
        let mut files = Vec::new();
        for content in &contents {
            let path = mounted.path(cid_of(content));
            write_new(&path, content).unwrap();
            files.push(File::open(path).unwrap());
        }
        let started = bytes(3, 3000);
        let name = cid_of(&started);
        let mut writer = File::create_new(mounted.path(&name)).unwrap();
        writer.write_all(&started[..1000]).unwrap();

        mounted.signal("TERM");
        eventually("detached", || !is_mounted(&mounted.mnt));
        assert_eq!(names(&mounted.mnt), Vec::<String>::new(), "the bare directory");
        assert_eq!(errno(File::open(mounted.path(cid_of(&contents[0])))), libc::ENOENT);
        let holder = format!("pid={}", std::process::id());
        assert!(mounted.log().contains(&holder), "{backend}: {}", mounted.log());

        for (file, content) in files.iter_mut().zip(&contents) {
            let mut read = Vec::new();
            file.read_to_end(&mut read).unwrap();
            assert!(read == *content, "{backend}: other bytes after SIGTERM");
        }
        writer.write_all(&started[1000..]).unwrap();
        close(writer).unwrap();
        drop(files);
        assert_eq!(mounted.wait().code(), Some(0));

        let mounted = bench.mount_with(&["--lock-wait", "0"]);
        assert_eq!(mounted.ls().len(), 3);
        assert_eq!(fs::read(mounted.path(&name)).unwrap(), started, "closed after SIGTERM, and stored");
        mounted.unmount();
    }
}

/// > Open files are served for up to `--stop-timeout`; a second signal ends that. The exit code is 0. Bytes
/// > that were not closed are lost, and the log says so.
#[test]
fn after_the_stop_timeout_the_store_is_closed_and_what_was_not_closed_is_lost_and_said() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let mounted = bench.mount_with(&["--stop-timeout", "0.2"]);
        // Not all of the block: where other tests start programs, these close copies of the
        // descriptor, and a close with the whole block would store it.
        let content = bytes(1, 6000);
        let mut writer = File::create_new(mounted.path(cid_of(&content))).unwrap();
        writer.write_all(&content[..5000]).unwrap();
        mounted.signal("TERM");
        let said = wait_with_log(mounted);
        assert!(said.contains("staged_bytes=5000"), "{backend}: {said}");
        assert!(said.contains("written and not closed are lost"), "{backend}: {said}");
        assert_eq!(errno(close(writer)), libc::ENOTCONN, "{backend}: the writer is told");

        assert!(!is_mounted(&bench.mnt()));
        let mounted = bench.mount_with(&["--lock-wait", "0"]);
        assert_eq!(mounted.ls(), Vec::<String>::new(), "{backend}");
        mounted.unmount();
    }
}

/// Waits for a process that must end with success, and gives its log.
fn wait_with_log(mounted: Mounted) -> String {
    let log = mounted.log_path();
    assert_eq!(mounted.wait().code(), Some(0));
    fs::read_to_string(log).unwrap()
}

/// > Open files are served for up to `--stop-timeout`; a second signal ends that. The exit code is 0.
#[test]
fn a_second_signal_ends_the_wait_for_open_files() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    write_new(&bench.path().join("block"), b"open").unwrap();
    for (first, second) in
        [("TERM", "INT"), ("TERM", "TERM"), ("INT", "INT"), ("HUP", "HUP"), ("INT", "TERM"), ("HUP", "INT")]
    {
        let mounted = bench.mount_with(&["--lock-wait", "0", "--stop-timeout", LONG]);
        let path = mounted.path(cid_of(b"open"));
        fs::copy(bench.path().join("block"), &path).unwrap();
        let open = File::open(path).unwrap();
        mounted.signal(first);
        eventually("detached", || !is_mounted(&mounted.mnt));
        mounted.signal(second);
        let said = wait_with_log(mounted);
        assert!(said.contains("second signal"), "{first} {second}: {said}");
        drop(open);
    }
    let mounted = bench.mount_with(&["--lock-wait", "0"]);
    assert_eq!(mounted.ls(), [cid_of(b"open")]);
    mounted.unmount();
}

/// > Programs that stand in the mount get ENOTCONN when they open something.
///
/// Regression: a detached mount is still there for who stands in it, and such a program could go on
/// writing new files until the time was over.
#[test]
fn after_a_signal_nothing_is_opened_by_who_stands_in_the_mount() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        let content = bytes(4, 300_000);
        let (stored, begun) = (cid_of(&content), bytes(5, 100));
        fs::write(bench.path().join("begun"), &begun).unwrap();
        let mounted = bench.mount_with(&["--stop-timeout", LONG]);
        write_new(&mounted.path(&stored), &content).unwrap();
        // Has a file of each kind open, and goes on when it is told to.
        let script = format!(
            "exec 5< {stored} 6> {begun} 7> letter.txt; read go
            for file in {stored} letter.txt .ipfs-persist/errors; do
                if cat $file > /dev/null 2> $OUT/said; then echo opened $file; fi
                grep -q 'endpoint is not connected' $OUT/said || cat $OUT/said
            done
            if (: > new.txt) 2> /dev/null || ls > /dev/null 2>&1; then echo opened; fi
            cat <&5 | cmp - $OUT/data.copy
            cat $OUT/begun >&6; exec 6>&- || echo not stored
            echo hello >&7; exec 7>&- || echo not stored",
            begun = cid_of(&begun)
        );
        fs::write(bench.path().join("data.copy"), &content).unwrap();
        let mut user = Command::new("bash")
            .args(["-c", &script])
            // `..` of a detached mount leads nowhere.
            .env("OUT", bench.path())
            .current_dir(&mounted.mnt)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("it has its files open", || mounted.path("letter.txt").exists());
        mounted.signal("TERM");
        eventually("detached", || !is_mounted(&mounted.mnt));
        user.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let output = user.wait_with_output().unwrap();
        assert_eq!(text(&output), "exit status: 0\nstdout: \nstderr: ", "{backend}");
        let said = wait_with_log(mounted);
        assert!(said.contains("command=bash"), "{said}");

        let mounted = bench.mount_with(&["--lock-wait", "0"]);
        let mut stored = [stored, cid_of(&begun), cid_of(b"hello\n")];
        stored.sort();
        assert_eq!(mounted.ls(), stored, "{backend}: what was closed in time is stored");
        mounted.unmount();
    }
}

/// A signal while the store is being closed, and one to a mount that is detached already.
#[test]
fn a_signal_in_the_course_of_an_unmount_changes_nothing() {
    if !fuse_available() {
        return;
    }
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        for round in 0..12 {
            let mounted = bench.mount_with(&["--lock-wait", "0"]);
            let content = bytes(round, 20_000);
            write_new(&mounted.path(cid_of(&content)), &content).unwrap();
            let mut unmounting = program()
                .args(["unmount", "--timeout", "20"])
                .arg(&mounted.mnt)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            if round % 2 == 0 {
                eventually("detached", || !is_mounted(&mounted.mnt));
            }
            // It may have ended by itself.
            let _ = run(Command::new("kill").args(["-TERM", &mounted.pid().to_string()]));
            assert_eq!(mounted.wait().code(), Some(0), "{backend}");
            // The signal may have been quicker than the first look.
            let allowed = if round % 2 == 0 { &[0][..] } else { &[0, 8] };
            let code = wait_for(&mut unmounting).code().unwrap();
            assert!(allowed.contains(&code), "{backend}: {code}");
            assert!(!is_mounted(&bench.mnt()));
        }
        let mounted = bench.mount_with(&["--lock-wait", "0"]);
        assert_eq!(mounted.ls().len(), 12, "{backend}");
        mounted.unmount();

        let mounted = bench.mount_with(&["--stop-timeout", LONG]);
        let path = mounted.path(mounted.ls().remove(0));
        let open = File::open(&path).unwrap();
        let lazy = run(program().args(["unmount", "--lazy"]).arg(&mounted.mnt));
        assert!(lazy.status.success() && !is_mounted(&mounted.mnt), "{}", text(&lazy));
        mounted.signal("TERM");
        eventually("it has seen the signal", || {
            mounted.log().contains("has files open") || starting::has_ended(&mounted)
        });
        assert!(!starting::has_ended(&mounted), "it serves what is open");
        drop(open);
        assert_eq!(mounted.wait().code(), Some(0));
        bench.mount_with(&["--lock-wait", "0"]).unmount();
    }
}

/// Regression: a signal that came in the moment in which its handler was made was lost, and a service that was
/// stopped right after its start went on until it was killed.
#[test]
fn a_signal_in_the_moment_in_which_it_is_first_heeded_is_not_lost() {
    if !fuse_available() || !common::need("strace") {
        return;
    }
    let bench = Bench::new("file");
    bench.mount().unmount();
    let mut ends = std::collections::BTreeMap::new();
    for signal in ["SIGTERM", "SIGHUP"] {
        // The signal comes with the n-th call that makes a handler; in the end there are fewer calls.
        for call in 1..24 {
            let mount = bench.command(&["--lock-wait", "0"]);
            let mut traced = Command::new("strace");
            traced.args(["-f", "-o", "/dev/null", "-e", "trace=rt_sigaction"]);
            traced.arg("-e").arg(format!("inject=rt_sigaction:signal={signal}:when={call}"));
            traced.arg(mount.get_program()).args(mount.get_args()).stdin(Stdio::null()).stderr(Stdio::null());
            let mut child = traced.spawn().unwrap();
            let mut stopped = false;
            eventually("it ends, or is mounted", || {
                stopped = child.try_wait().unwrap().is_some();
                stopped || bench.mnt().join(".ipfs-persist/status.json").exists()
            });
            let usable = !stopped;
            if usable {
                let _ = run(program().args(["unmount", "--timeout", "20"]).arg(bench.mnt()));
                wait_for(&mut child);
            }
            assert!(!is_mounted(&bench.mnt()), "{signal} {call}");
            ends.entry(signal).or_insert_with(Vec::new).push(usable);
        }
        // Once it has not been stopped there was no such call, nor is there a later one.
        let ends = &ends[signal];
        let stopped = ends.iter().take_while(|usable| !**usable).count();
        assert!(stopped > 6 && ends[stopped..].iter().all(|usable| *usable), "{signal}: {ends:?}");
    }
}
