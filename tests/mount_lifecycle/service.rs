//! What a service manager is told, and scripts that mount and unmount all the time.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

use super::common::Trace;
use super::*;

/// A service manager's socket, and how a service is told of it.
fn manager(bench: &Bench, hidden: bool) -> (UnixDatagram, String) {
    let path = bench.path().join("notify");
    let (socket, name) = if hidden {
        let name = path.to_str().unwrap();
        let address = SocketAddr::from_abstract_name(name).unwrap();
        (UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"))
    } else {
        let socket = UnixDatagram::bind(&path).unwrap();
        (socket, path.to_str().unwrap().to_owned())
    };
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    setsockopt(&socket, sockopt::PassCred, &true).unwrap();
    (socket, name)
}

/// What a service has said, and which process of it.
fn told(socket: &UnixDatagram) -> (u32, Vec<String>) {
    let mut buffer = [0; 4096];
    let mut credentials = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let mut iov = [IoSliceMut::new(&mut buffer)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut credentials), MsgFlags::empty()).unwrap();
    let sender = message.cmsgs().unwrap().find_map(|part| match part {
        ControlMessageOwned::ScmCredentials(sender) => Some(sender.pid()),
        _ => None,
    });
    let (sender, length) = (sender.unwrap().unsigned_abs(), message.bytes);
    (sender, String::from_utf8(buffer[..length].to_vec()).unwrap().lines().map(str::to_owned).collect())
}

/// > A service manager (systemd's `Type=notify`) is told when the mount is ready, when it begins to end,
/// > and why it could not start.
#[test]
fn a_service_manager_is_told_of_readiness_and_of_the_end() {
    if !fuse_available() {
        return;
    }
    for background in [false, true] {
        let bench = Bench::new("file");
        let (socket, name) = manager(&bench, background);
        let mut command = bench.command(if background { &["--background"] } else { &[] });
        let mut child = command.env("NOTIFY_SOCKET", name).stderr(Stdio::null()).spawn().unwrap();
        // systemd believes the process that it has started, and then the one which that has named, while
        // it is there.
        let (sender, ready) = told(&socket);
        assert_eq!(sender, child.id());
        // It can be used now, and not some moments later.
        assert!(is_mounted(&bench.mnt()));
        write_new(&bench.mnt().join(cid_of(b"block")), b"block").unwrap();
        assert_eq!(ready[0], "READY=1");
        assert!(ready[2].starts_with("STATUS=mounted file:"), "{ready:?}");
        let pid: u32 = ready[1].strip_prefix("MAINPID=").unwrap().parse().unwrap();
        assert_eq!(pid == child.id(), !background, "in the background it is the other process");
        if background {
            assert!(wait_for(&mut child).success());
            unmount(&bench.mnt());
        } else {
            assert!(run(Command::new("kill").args(["-TERM", &pid.to_string()])).status.success());
            assert!(wait_for(&mut child).success());
        }
        let (sender, stopping) = told(&socket);
        assert_eq!((sender, stopping[0].as_str()), (pid, "STOPPING=1"));
    }
}

#[test]
fn a_service_manager_is_told_why_a_mount_could_not_start() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let (socket, name) = manager(&bench, false);
    fs::create_dir(bench.data()).unwrap();
    fs::write(bench.data().join("other"), "of somebody else").unwrap();
    for background in [&[][..], &["--background"]] {
        let mut start =
            bench.command(background).env("NOTIFY_SOCKET", &name).stderr(Stdio::null()).spawn().unwrap();
        let (sender, failed) = told(&socket);
        assert_eq!(sender, start.id());
        assert_eq!(wait_for(&mut start).code(), Some(4));
        assert_eq!(failed[0], format!("ERRNO={}", libc::EINVAL));
        let path = bench.data().display().to_string();
        assert!(failed[1].starts_with(&format!("STATUS={path} is not a store")), "{failed:?}");
    }
    // Before anything has begun.
    let output = run(program().arg("/nowhere").env("NOTIFY_SOCKET", &name));
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(told(&socket).1[1].starts_with("STATUS=cannot mount on /nowhere"));
    // A manager that is gone stops nobody.
    drop(socket);
    fs::remove_dir_all(bench.data()).unwrap();
    let output = run(bench.command(&["--background"]).env("NOTIFY_SOCKET", name));
    assert!(output.status.success(), "{}", text(&output));
    unmount(&bench.mnt());
}

/// > When `ipfs-persist-mount unmount` returns, the store can be opened again at once.
#[test]
fn scripts_mount_and_unmount_all_the_time() {
    if !fuse_available() {
        return;
    }
    let program = env!("CARGO_BIN_EXE_ipfs-persist-mount");
    let content = bytes(1, 3000);
    for backend in durable_backends() {
        let bench = Bench::new(backend);
        fs::write(bench.path().join("block"), &content).unwrap();
        let rounds = if backend == "file" { 200 } else { 25 };
        // No sleep, and a store that is still locked is an error at once.
        let script = format!(
            "set -e
            mount() {{ '{program}' --background --lock-wait 0 --backend {backend} --data-path data mnt 2>> said; }}
            for round in $(seq {rounds}); do
                mount; cp block mnt/{cid}; '{program}' unmount mnt
                mount; cmp block mnt/{cid}; rm mnt/{cid}; '{program}' unmount mnt
            done
            [ -z \"$(ls mnt)\" ]",
            cid = cid_of(&content)
        );
        sh_ok(bench.path(), &script);
        // The kernel's own way back says nothing of the store: then a start waits for it.
        let script = format!(
            "set -e
            mount() {{ '{program}' --background --backend {backend} --data-path data mnt 2>> said; }}
            for round in $(seq {rounds}); do
                mount; cp block mnt/{cid}; fusermount3 -u mnt
                mount; cmp block mnt/{cid}; rm mnt/{cid}; fusermount3 -u mnt
            done",
            cid = cid_of(&content)
        );
        sh_ok(bench.path(), &script);
        assert!(!is_mounted(&bench.mnt()));
    }
}

/// > It is detached wherever it was moved or bound to meanwhile.
#[test]
fn a_mount_that_was_moved_and_bound_is_detached_everywhere() {
    if !fuse_available() || !is_root() || !common::need("unshare") {
        return;
    }
    let bench = Bench::new("file");
    let script = r#"
        set -e
        mkdir moved bound
        "$IPM" --background --data-path data mnt
        pid=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' mnt/.ipfs-persist/status.json)
        mount --bind mnt bound
        mount --move mnt moved
        mount -t tmpfs theirs mnt
        echo theirs > mnt/file
        [ "$(cat moved/.ipfs-persist/status.json | grep -c '"pid"')" = 1 ]
        kill -TERM "$pid"
        while [ -e "/proc/$pid" ]; do :; done
        ! grep ipfs-persist-mount /proc/self/mountinfo
        [ "$(cat mnt/file)" = theirs ]
        "$IPM" --background --lock-wait 0 --data-path data moved
        "$IPM" unmount moved
    "#;
    let output = run(Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "bash", "-c", script])
        .current_dir(bench.path())
        .env("IPM", env!("CARGO_BIN_EXE_ipfs-persist-mount")));
    assert!(output.status.success(), "{}", text(&output));
}

/// Regression: a store that could not be closed, on a full disk for example, was unmounted without a word.
///
/// > A store that could not be closed is an error of both (exit code 4).
#[test]
fn a_store_that_could_not_be_closed_is_said_so() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("pebble");
    if !durable_backends().contains(&"pebble") {
        return;
    }
    let mounted = bench.mount();
    write_new(&mounted.path(cid_of(b"stored")), b"stored").unwrap();
    write_new(&mounted.path(cid_of(b"removed")), b"removed").unwrap();
    let Some(disk) = Trace::failing_syncs(&bench, &mounted) else { return };
    fs::remove_file(mounted.path(cid_of(b"removed"))).unwrap();
    let output = run(program().args(["unmount", "--timeout", "20"]).arg(&mounted.mnt));
    exits(&output, 4, &["was not closed cleanly", bench.data().to_str().unwrap()]);
    assert!(!mounted.wait().success());
    drop(disk);
    // The next start knows, and mends it.
    let mounted = bench.mount_with(&["--lock-wait", "0"]);
    assert!(mounted.log().contains("the last holder of this store did not close it"), "{}", mounted.log());
    assert_eq!(fs::read(mounted.path(cid_of(b"stored"))).unwrap(), b"stored");
    mounted.unmount();
    bench.mount_with(&["--lock-wait", "0"]).unmount();
}
