//! Mounts of somebody else: they come in our place while we are on the way out, and stay.

use super::*;

use ipfs_persist_mount::sys;

/// Which mount is on a directory: its id and device.
fn on_top(mnt: &Path) -> Option<(u64, (u32, u32))> {
    sys::find(mnt).unwrap().map(|entry| (entry.id, entry.device))
}

fn tmpfs(mnt: &Path) {
    let mounted = run(Command::new("mount").args(["-t", "tmpfs", "theirs"]).arg(mnt));
    assert!(mounted.status.success(), "{}", text(&mounted));
    fs::write(mnt.join("theirs"), "theirs").unwrap();
}

/// Ends a program under test that waits for something, if the test fails before.
struct Waiting(Option<Child>);

impl Waiting {
    fn output(mut self) -> Output {
        let mut child = self.0.take().unwrap();
        wait_for(&mut child);
        child.wait_with_output().unwrap()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Begins to unmount what is in use, and returns once it has been refused for the first time.
fn waiting_unmount(mnt: &Path, trace: &Path) -> Waiting {
    let mut command = program();
    command.args(["-v", "unmount", "--timeout", "15"]).arg(mnt).stderr(fs::File::create(trace).unwrap());
    let child = Waiting(Some(command.spawn().unwrap()));
    eventually("it waits", || fs::read_to_string(trace).unwrap().contains("waiting: "));
    child
}

/// > Only a mount of its own is ever detached by this program.
///
/// Regression: the kernel gives the number of a device out again at once. A daemon that was unmounted took
/// down the mount that had its number by then, wherever it was.
#[test]
fn a_mount_that_has_our_number_by_now_is_left_alone() {
    if !fuse_available() || !is_root() {
        return;
    }
    // Two mounts of `memory` have the same name in the mount table.
    for backend in ["memory", "file"] {
        let (mut same_number, mut tries) = (0, 0);
        while same_number < 3 && tries < 40 {
            tries += 1;
            let bench = Bench::new(backend);
            let ours = bench.mount();
            let before = on_top(&ours.mnt).unwrap();
            // It learns of its unmount only when the other mount is there.
            ours.signal("STOP");
            sys::umount(&ours.mnt).unwrap();
            let elsewhere = bench.path().join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            let place = if tries % 2 == 0 { &bench.mnt() } else { &elsewhere };
            let data = bench.path().join("other");
            let more = ["--background", "--quiet", "--backend", backend, "--data-path"];
            let theirs = run(program().args(more).arg(data).arg(place));
            assert!(theirs.status.success(), "{}", text(&theirs));
            let after = on_top(place).unwrap();
            ours.signal("CONT");
            assert_eq!(ours.wait().code(), Some(0));
            assert_eq!(on_top(place), Some(after), "{backend}: their mount is gone");
            same_number += u32::from(before.1 == after.1);
            unmount(place);
        }
        assert!(same_number > 0, "{backend}: no number was given out twice in {tries} tries");
    }
}

/// > What others mount in its place, or on top of it, stays.
///
/// Regression: `unmount` with --timeout unmounted whatever was on the directory when it tried again.
#[test]
fn unmount_that_waits_leaves_what_others_mount_meanwhile() {
    if !fuse_available() || !is_root() {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount();
    let mnt = mounted.mnt.clone();
    write_new(&mounted.path(cid_of(b"open")), b"open").unwrap();
    let open = File::open(mounted.path(cid_of(b"open"))).unwrap();
    let waiting = waiting_unmount(&mnt, &bench.path().join("said"));
    assert!(run(Command::new("umount").arg("-l").arg(&mnt)).status.success());
    tmpfs(&mnt);
    let theirs = on_top(&mnt);
    drop(open);
    assert_eq!(mounted.wait().code(), Some(0));
    let output = waiting.output();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(on_top(&mnt), theirs);
    assert_eq!(fs::read_to_string(mnt.join("theirs")).unwrap(), "theirs");
    detach(&mnt);
    bench.mount_with(&["--lock-wait", "0"]).unmount();
}

/// Regression: it said "Invalid argument" of the mount that was gone, as was wanted.
#[test]
fn unmount_that_waits_is_content_when_a_signal_was_quicker() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount_with(&["--stop-timeout", LONG]);
    write_new(&mounted.path(cid_of(b"open")), b"open").unwrap();
    let open = File::open(mounted.path(cid_of(b"open"))).unwrap();
    let said = bench.path().join("said");
    let waiting = waiting_unmount(&mounted.mnt, &said);
    mounted.signal("TERM");
    eventually("detached", || !is_mounted(&mounted.mnt));
    drop(open);
    assert_eq!(mounted.wait().code(), Some(0));
    let output = waiting.output();
    assert_eq!(output.status.code(), Some(0), "{}", fs::read_to_string(said).unwrap());
}

/// The mount of a dead daemon below somebody else's, which a start does not touch.
#[test]
fn a_dead_mount_below_somebody_elses_is_left_until_that_is_gone() {
    if !fuse_available() || !is_root() {
        return;
    }
    let bench = Bench::new("file");
    bench.mount().crash();
    let mnt = bench.mnt();
    assert!(run(Command::new("mount").args(["-t", "tmpfs", "theirs"]).arg(&mnt)).status.success());
    let theirs = on_top(&mnt);
    let mounted = bench.mount();
    write_new(&mounted.path(cid_of(b"here")), b"here").unwrap();
    mounted.unmount();
    assert_eq!(on_top(&mnt), theirs);
    unmount_by(Command::new("umount").arg(&mnt));
    assert!(is_mounted(&mnt), "ours, dead");
    let mounted = bench.mount();
    assert_eq!(mounted.ls(), [cid_of(b"here")]);
    mounted.unmount();
    assert!(!is_mounted(&mnt));
}

/// > Where the mount is also bound to another place, or is there in another mount namespace,
/// > `ipfs-persist-mount unmount` says so.
#[test]
fn unmount_names_what_keeps_the_store_open_elsewhere() {
    if !fuse_available() || !is_root() || !common::need("unshare") {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount();
    let mnt = mounted.mnt.clone();
    let bound = bench.path().join("bound");
    fs::create_dir(&bound).unwrap();
    assert!(run(Command::new("mount").arg("--bind").arg(&mnt).arg(&bound)).status.success());
    let output = run(program().arg("unmount").arg(&mnt));
    exits(&output, 8, &["is in use by its other mount at", bound.to_str().unwrap()]);
    assert!(!is_mounted(&mnt) && is_mounted(&bound));
    unmount(&bound);
    assert_eq!(mounted.wait().code(), Some(0));

    let mounted = bench.mount_with(&["--lock-wait", "0"]);
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", "echo; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let name = format!("({})", other.id());
    let output = run(program().args(["unmount", "--timeout", "0.5"]).arg(&mnt));
    exits(&output, 8, &["is in use by ", &name, " in another mount namespace"]);
    drop(other.stdin.take());
    other.wait().unwrap();
    assert_eq!(mounted.wait().code(), Some(0));
}

/// > The next start detaches the dead mount.
///
/// Also several on top of each other, and where they are reached by a link.
#[test]
fn dead_mounts_on_top_of_each_other_are_repaired_through_a_link() {
    if !fuse_available() || !is_root() {
        return;
    }
    let bench = Bench::new("file");
    let link = bench.path().join("link");
    symlink(bench.mnt(), &link).unwrap();
    bench.mount().crash();
    let options = ipfs_persist_mount::mount::ServeOptions {
        mount_point: bench.mnt().canonicalize().unwrap(),
        source: "file:/elsewhere".to_owned(),
        read_only: false,
        allow_other: false,
        allow_non_empty: true,
        flags: Vec::new(),
        stop_timeout: Duration::from_secs(1),
    };
    // Nobody serves these.
    for _ in 0..2 {
        drop(ipfs_persist_mount::mount::attach(&options).unwrap());
    }
    let mut command = bench.command(&["--background"]);
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = program();
    command.args(&arguments[..arguments.len() - 1]).arg(&link);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(said(&output).matches("whose daemon is dead").count(), 3, "{}", said(&output));
    write_new(&link.join(cid_of(b"here")), b"here").unwrap();
    unmount(&link);
    assert!(!is_mounted(&bench.mnt()));
}
