//! Nobody else has the store meanwhile: no other mount of ours, and no Kubo.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};

use super::common::stores::{STORE_BLOCKS, assert_unchanged, snapshot};
use super::common::{Bench, Mounted, cid_of, fuse_available, need, text, write_new};
use super::support::{KuboLock, Theirs, command};

fn refused(output: &Output, words: &[&str], hint: &str) {
    assert_eq!(output.status.code(), Some(3), "{}", text(output));
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert!(words.iter().all(|word| lines[0].contains(word)), "{words:?} are not in: {said}");
    assert!(lines[1].starts_with("hint: ") && lines[1].contains(hint), "{said}");
}

/// Named in either way, a repository's blocks are one store.
///
/// > `--backend file` opens a flatfs directory of another program, or a Kubo repository with one, in place.
#[test]
fn a_repository_and_its_blocks_are_the_same_store() {
    if !fuse_available() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    let link = theirs.bench.path().join("link");
    std::os::unix::fs::symlink(&theirs.flatfs, &link).unwrap();
    let ways = [&theirs.data, &theirs.flatfs, &link, &theirs.flatfs.join("../blocks/")];
    for way in ways {
        let mounted = Mounted::start(theirs.command_on(way, &[]), theirs.bench.mnt());
        let content = format!("by way of {}", way.display());
        write_new(&mounted.path(cid_of(content.as_bytes())), content.as_bytes()).unwrap();
        for other in ways {
            let output = theirs.run_elsewhere(other, &[]);
            let holder = format!("in use by process {}", mounted.pid());
            refused(&output, &[&holder, theirs.bench.mnt().to_str().unwrap()], "unmount");
            let output = theirs.run_elsewhere(other, &["--read-only"]);
            refused(&output, &[&holder], "unmount");
        }
        assert!(KuboLock::take(&theirs.lock_file()).is_none(), "{}", way.display());
        mounted.unmount();
    }
    let mounted = theirs.mount(&[]);
    assert_eq!(mounted.ls().len(), STORE_BLOCKS + ways.len());
    mounted.unmount();
    assert_eq!(
        fs::read_dir(&theirs.data)
            .unwrap()
            .filter(|e| { e.as_ref().unwrap().file_name().to_str().unwrap().contains("ipfs-persist") })
            .count(),
        1
    );
}

/// > A mount holds that lock and Kubo's `repo.lock`, so it is refused while Kubo runs, and Kubo while it is
/// > mounted.
#[test]
fn kubo_is_kept_out_until_the_store_is_closed() {
    if !fuse_available() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    let mounted = theirs.mount(&[]);
    assert!(KuboLock::take(&theirs.lock_file()).is_none());
    // Opening and closing the file, as the attempt has, does not lose the lock.
    assert!(KuboLock::take(&theirs.lock_file()).is_none());
    let info = fs::metadata(theirs.lock_file()).unwrap();
    assert_eq!((info.len(), info.mode() & 0o7777), (0, 0o644));
    mounted.unmount();
    KuboLock::take(&theirs.lock_file()).unwrap().release();
    theirs.mount(&[]).unmount();
    // After a kill as well.
    theirs.mount(&[]).crash();
    KuboLock::take(&theirs.lock_file()).unwrap().release();
    theirs.mount(&[]).unmount();
}

/// > A mount holds that lock and Kubo's `repo.lock`, so it is refused while Kubo runs, and Kubo while it is
/// > mounted.
#[test]
fn a_store_that_kubo_has_is_refused_before_anything_is_made() {
    if !fuse_available() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    let kubo = KuboLock::take(&theirs.lock_file()).unwrap();
    fs::write(theirs.flatfs.join(".temp/temp-123"), "Kubo is writing this").unwrap();
    let before = snapshot(&theirs.flatfs);
    let process = format!("process {}", std::process::id());
    for data in [&theirs.data, &theirs.flatfs] {
        let output = theirs.run_elsewhere(data, &[]);
        refused(&output, &[&process, "Kubo", theirs.flatfs.to_str().unwrap()], "`ipfs shutdown`");
    }
    assert_unchanged(&before, &theirs.flatfs, "a refusal");
    assert!(!theirs.beside.exists());
    // One that comes later waits until Kubo ends, which removes the file.
    let command = theirs.command(&["--lock-wait", "60"]);
    let waiting = std::thread::spawn({
        let mnt = theirs.bench.mnt();
        move || Mounted::start(command, mnt)
    });
    kubo.release();
    let mounted = waiting.join().unwrap();
    assert!(KuboLock::take(&theirs.lock_file()).is_none());
    assert_eq!(fs::read_dir(theirs.flatfs.join(".temp")).unwrap().count(), 0);
    mounted.unmount();
}

#[test]
fn the_holder_is_called_kubo_if_that_is_its_name() {
    if !fuse_available() || !need("python3") {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    let program = "import fcntl, sys\n\
                   open('/proc/self/comm', 'w').write('ipfs')\n\
                   f = open(sys.argv[1], 'w')\n\
                   fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n\
                   print('locked', flush=True)\n\
                   sys.stdin.read()";
    let mut kubo = Command::new("python3")
        .args(["-c", program])
        .arg(theirs.lock_file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(kubo.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    refused(&theirs.run(&[]), &[&format!("in use by Kubo (process {})", kubo.id())], "`ipfs shutdown`");
    drop(kubo.stdin.take());
    assert!(kubo.wait().unwrap().success());
    theirs.mount(&[]).unmount();
}

/// Who only reads keeps out whoever wants to change the store, once there is a lock to share.
///
/// > A mount of this program that may change the store keeps out those that read, and they it.
#[test]
fn readers_share_the_store_with_each_other_and_not_with_a_writer() {
    if !fuse_available() {
        return;
    }
    for store in ["kubo-flatfs", "flatfs-suffix-2"] {
        let theirs = Theirs::new(store);
        theirs.mount(&[]).unmount();
        let lock = snapshot(&theirs.beside);
        let reader = theirs.mount(&["--read-only"]);
        let other = Bench::new("file");
        let second = Mounted::start(command(&theirs.flatfs, &["--read-only"], &other.mnt()), other.mnt());
        assert_eq!(second.ls(), reader.ls());
        refused(&theirs.run_elsewhere(&theirs.data, &[]), &["in use by another process"], "--lock-wait");
        second.unmount();
        reader.unmount();
        assert_unchanged(&lock, &theirs.beside, "reading");
        theirs.mount(&[]).unmount();
    }
}
