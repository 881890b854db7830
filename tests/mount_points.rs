//! Where one may mount, and where not: every refusal names the place, says why and what to do, and
//! changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use common::{
    Bench, cid_of, fuse_available, is_mounted, is_root, names, program, run, sh_ok, text, unmount_by,
    write_new,
};

/// A mount of the bench's data directory, which must be refused with exit code 5.
fn refused(bench: &Bench, mount_point: &Path, more: &[&str], words: &[&str]) {
    let output = try_mount(bench, mount_point, more);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "one line and a hint: {said}");
    assert!(lines[0].starts_with("ipfs-persist-mount: cannot mount on "), "{said}");
    assert!(lines[1].starts_with("hint: "), "{said}");
    let shown = mount_point.canonicalize().unwrap_or(mount_point.to_owned());
    for word in words.iter().copied().chain([shown.to_str().unwrap()]) {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

fn try_mount(bench: &Bench, mount_point: &Path, more: &[&str]) -> Output {
    let mut command = program();
    command.args(["--backend", bench.backend, "--lock-wait", "0", "--background"]).args(more);
    run(command.arg("--data-path").arg(bench.data()).arg(mount_point))
}

/// > Refused at start: a mount point that is no directory, is not empty (without `--allow-non-empty`), or has
/// > a mount of this program already; a data directory inside the mount point; a data directory that is not
/// > empty and not ours (but for R13), or was made with another backend, or is in use.
#[test]
fn what_is_no_empty_directory_is_refused() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let at = |name: &str| bench.path().join(name);
    fs::write(at("file"), "x").unwrap();
    symlink(at("file"), at("to-file")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/hidden"), "x").unwrap();

    refused(&bench, &at("missing"), &[], &["does not exist", "mkdir -p"]);
    refused(&bench, &at("dangling"), &[], &["does not exist"]);
    refused(&bench, &at("file"), &["--allow-non-empty"], &["not a directory"]);
    refused(&bench, &at("to-file"), &[], &["not a directory"]);
    refused(&bench, &at("full"), &[], &["not empty", "--allow-non-empty"]);
    assert!(!bench.data().exists(), "a refusal makes no store");

    let output = try_mount(&bench, &at("full"), &["--allow-non-empty"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(names(&at("full")), Vec::<String>::new());
    assert!(run(program().args(["unmount", "--timeout", "20"]).arg(at("full"))).status.success());
    assert_eq!(names(&at("full")), ["hidden"]);
}

#[test]
fn a_mount_point_can_be_named_by_a_symbolic_link() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    symlink(bench.mnt(), bench.path().join("link")).unwrap();
    for (mount, unmount) in [("link", "mnt"), ("mnt", "link")] {
        let output = try_mount(&bench, &bench.path().join(mount), &[]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(is_mounted(&bench.mnt()));
        let output = run(program().args(["unmount", "--timeout", "20"]).arg(bench.path().join(unmount)));
        assert!(output.status.success(), "{}", text(&output));
    }
}

/// > Refused at start: a mount point that is no directory, is not empty (without `--allow-non-empty`), or has
/// > a mount of this program already; a data directory inside the mount point; a data directory that is not
/// > empty and not ours (but for R13), or was made with another backend, or is in use.
#[test]
fn a_live_mount_is_refused_and_goes_on() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("memory");
    let mounted = bench.mount();
    write_new(&mounted.path(cid_of(b"here")), b"here").unwrap();
    let other = Bench::new("file");
    for more in [&[][..], &["--allow-non-empty"]] {
        refused(
            &other,
            &mounted.mnt,
            more,
            &["memory is mounted there already", "ipfs-persist-mount unmount"],
        );
        assert_eq!(mounted.ls(), [cid_of(b"here")]);
    }
    assert!(!other.data().exists());
    mounted.unmount();
}

/// The daemon would have to ask itself for its own files.
///
/// > Refused at start: a mount point that is no directory, is not empty (without `--allow-non-empty`), or has
/// > a mount of this program already; a data directory inside the mount point; a data directory that is not
/// > empty and not ours (but for R13), or was made with another backend, or is in use.
#[test]
fn store_and_mount_point_do_not_lie_in_each_other() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    let mounted = bench.mount();
    write_new(&mounted.path(cid_of(b"here")), b"here").unwrap();
    mounted.unmount();

    // A store that is there already, moved into the mount point or the other way round.
    let inner = Bench { dir: tempfile::tempdir_in(bench.mnt()).unwrap(), backend: "file" };
    fs::rename(bench.data(), inner.data()).unwrap();
    refused(&inner, &bench.mnt(), &["--allow-non-empty"], &["would be inside the mount", "--data-path"]);
    symlink(inner.data(), bench.path().join("link")).unwrap();
    let linked = ["--allow-non-empty", "--data-path", &bench.path().join("link").display().to_string()]
        .map(ToOwned::to_owned);
    let output = run(program().args(linked).arg(bench.mnt()));
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    fs::rename(inner.data(), bench.data()).unwrap();
    drop(inner);

    for inside in ["mnt", "blocks/mnt", "blocks/.temp"] {
        let mount_point = bench.data().join(inside);
        fs::create_dir_all(&mount_point).unwrap();
        let before = sh_ok(bench.path(), "find data -printf '%p %y %T@ %s\\n' | sort");
        refused(&bench, &mount_point, &[], &["inside the data directory"]);
        assert!(!is_mounted(&mount_point));
        assert_eq!(sh_ok(bench.path(), "find data -printf '%p %y %T@ %s\\n' | sort"), before);
    }
    refused(&bench, &bench.data(), &["--allow-non-empty"], &["inside"]);
    fs::remove_dir(bench.data().join("mnt")).unwrap();
    fs::remove_dir(bench.data().join("blocks/mnt")).unwrap();
    let mounted = bench.mount();
    assert_eq!(mounted.ls(), [cid_of(b"here")]);
    mounted.unmount();
}

/// Several starts once found the same free directory, and were mounted on top of each other.
#[test]
fn of_several_starts_on_one_directory_one_mounts() {
    if !fuse_available() {
        return;
    }
    let bench = Bench::new("file");
    for round in 0..5 {
        let mut starts: Vec<_> = (0..6)
            .map(|number| {
                let data = bench.path().join(format!("data-{round}-{number}"));
                let mut command = program();
                command.args(["--background", "--backend", "file", "--data-path"]).arg(data).arg(bench.mnt());
                command
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut codes: Vec<_> =
            starts.iter_mut().map(|start| common::wait_for(start).code().unwrap()).collect();
        codes.sort_unstable();
        let unmounted = run(program().arg("unmount").arg(bench.mnt()));
        assert!(unmounted.status.success(), "{}", text(&unmounted));
        assert_eq!(codes, [0, 5, 5, 5, 5, 5]);
        assert!(!is_mounted(&bench.mnt()));
    }
}

/// > Only a mount of its own is ever detached by this program.
#[test]
fn a_mount_that_is_not_ours_is_never_unmounted() {
    if !fuse_available() {
        return;
    }
    if !is_root() {
        return eprintln!("SKIPPED: mounting a tmpfs needs root");
    }
    let bench = Bench::new("file");
    assert!(run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(bench.mnt())).status.success());
    let output = run(program().args(["unmount", "--lazy"]).arg(bench.mnt()));
    assert_eq!(output.status.code(), Some(8), "{}", text(&output));
    assert!(is_mounted(&bench.mnt()));
    // An empty one of another kind is a directory like any other, and is there again afterwards.
    let mounted = bench.mount();
    write_new(&mounted.path(cid_of(b"here")), b"here").unwrap();
    mounted.unmount();
    assert!(is_mounted(&bench.mnt()));
    unmount_by(Command::new("umount").arg(bench.mnt()));
}

/// Runs a mount where /dev/fuse is not what it should be; nobody else sees the change.
fn without_device(bench: &Bench, prepare: &str) -> Output {
    let script = format!("{prepare} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-ec", &script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_ipfs-persist-mount")).args(["--backend", "file", "--data-path"]);
    run(command.arg(bench.data()).arg(bench.mnt()).current_dir(bench.path()))
}

#[test]
fn a_missing_or_closed_fuse_device_is_named_with_what_to_do() {
    if !fuse_available() {
        return;
    }
    if !is_root() {
        return eprintln!("SKIPPED: hiding /dev/fuse needs root");
    }
    let bench = Bench::new("file");
    fs::write(bench.path().join("no-device"), "").unwrap();
    for (prepare, words) in [
        ("mount -t tmpfs tmpfs /dev && touch /dev/null", "cannot open /dev/fuse"),
        ("mount --bind no-device /dev/fuse", "/dev/fuse"),
        ("mount --bind /dev/null /dev/fuse", "/dev/fuse"),
    ] {
        let output = without_device(&bench, prepare);
        assert_eq!(output.status.code(), Some(5), "{prepare}: {}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{prepare}: {said}");
        assert!(said.contains("\nhint: ") && said.contains("modprobe fuse"), "{prepare}: {said}");
        assert!(said.contains("--device /dev/fuse"), "{prepare}: {said}");
        assert!(!is_mounted(&bench.mnt()));
    }
    // The store that was opened before is closed again.
    bench.mount_with(&["--lock-wait", "0"]).unmount();
}
