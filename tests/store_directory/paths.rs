//! Copies, full disks and odd paths.

use super::*;

#[test]
fn a_copy_of_a_data_directory_is_a_store_of_its_own() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let (bench, name) = stored(backend);
        let copied = Bench::new(backend);
        // Copied while it is mounted and idle: the description in the lock file comes along.
        let mounted = bench.mount();
        sh_ok(copied.path(), &format!("cp -a {} data", bench.data().display()));
        let copy = copied.mount_with(&["--lock-wait", "0"]);
        write_new(&copy.path(cid_of(b"only here")), b"only here").unwrap();
        fs::remove_file(copy.path(&name)).unwrap();
        assert_eq!(mounted.ls(), std::slice::from_ref(&name));
        assert_eq!(copy.ls(), [cid_of(b"only here")]);
        copy.unmount();
        mounted.unmount();
        // And moved to another place.
        fs::rename(bench.data(), bench.path().join("moved")).unwrap();
        let moved = bench.path().join("moved").display().to_string();
        holds(&bench, &["--data-path", &moved], &[name]);
    }
}

#[test]
fn a_full_disk_is_told_from_other_errors() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let Some(disk) = Disk::new(16, &["-m", "0"]) else { return };
        sh_ok(&disk.path(), "rmdir lost+found; dd if=/dev/zero of=filler bs=4k 2>&1 || true");
        let bench = Bench::new(backend);
        let data = disk.path().join("data").display().to_string();
        let output = run(&mut bench.command(&["--data-path", &data]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(6), "{}", text(&output));
        assert!(
            said.contains("No space left on device") && said.contains("\nhint: free some space"),
            "{said}"
        );
        // When there is room again, what was begun is taken up.
        fs::remove_file(disk.path().join("filler")).unwrap();
        holds(&bench, &["--data-path", &data, "--min-free-space", "0"], &[]);
    }
}

/// The path of a data directory may hold anything.
#[test]
fn odd_paths_work() {
    for backend in durable_backends().into_iter().filter(|_| fuse_available()) {
        let bench = Bench::new(backend);
        for name in ["with blank", "comma,colon:back\\slash", "ünïcode", "new\nline", "-dash"] {
            let data = bench.path().join(name).join("data").display().to_string();
            let more = ["--data-path", &data, "--lock-wait", "0"];
            let mounted = bench.mount_with(&more);
            write_new(&mounted.path(cid_of(b"new")), b"new").unwrap();
            mounted.unmount();
            holds(&bench, &more, &[cid_of(b"new")]);
        }
    }
}
