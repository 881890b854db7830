//! Moving, scripting languages, editors, and what is said of refusals.

use super::*;

pub fn moving_in_keeps_the_source_when_refused(backend: &'static str) {
    // FLUSH errors are reported by mv, which keeps the source; so nothing is lost.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "1MiB"]);
    fs::write(bench.path().join("wrong"), b"wrong").unwrap();
    fs::write(bench.path().join("large"), bytes(1, 1_200_000)).unwrap();
    fails_saying(&sh(&mount.mnt, &format!("mv ../wrong {}", cid_of(b"right"))), "Bad message");
    fails_saying(&sh(&mount.mnt, "mv ../large large"), "File too large");
    assert!(bench.path().join("wrong").exists() && bench.path().join("large").exists());
    eventually("nothing is left", || !mount.path("large").exists());
    mount.assert_blocks(&[]);
    sh_ok(&mount.mnt, &format!("mv ../wrong {}", cid_of(b"wrong")));
    assert!(!bench.path().join("wrong").exists());
    mount.assert_blocks(&[&cid_of(b"wrong")]);
    // Out of the mount: copied, and removed.
    put(mount.path("name"), b"name").unwrap();
    sh_ok(&mount.mnt, "mv name ../name");
    assert_eq!(fs::read(bench.path().join("name")).unwrap(), b"name");
    sh_ok(&mount.mnt, &format!("mv {} ../block", cid_of(b"wrong")));
    mount.assert_blocks(&[&cid_of(b"name")]);
}

pub fn scripting_languages_write_files(backend: &'static str) {
    // R5, R7: errors are given as early as they can be known; close of Python and Perl report them.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    fs::write(bench.path().join("src"), bytes(1, 200_000)).unwrap();
    let right = cid_of(b"right");
    if need("python3") {
        python(
            &mount.mnt,
            &format!(
                "
import os, shutil, sqlite3, tempfile, errno, pathlib
def refused(call, number):
    try: call()
    except OSError as e: assert e.errno == number, e
    else: raise SystemExit('not refused')
with open('{right}', 'wb') as f: f.write(b'right')
def wrong():
    with open('{right}', 'wb') as f: f.write(b'wrong')
refused(wrong, errno.EBADMSG)
def unbuffered():
    with open('{right}', 'ab', buffering=0) as f: f.write(b'more')
refused(unbuffered, errno.EPERM)
assert open('{right}', 'rb').read() == b'right'
pathlib.Path('text').write_text('line\\n'); assert pathlib.Path('text').read_text() == 'line\\n'
with open('text', 'a') as f: f.write('second\\n')
with open('text', 'r+') as f:
    assert f.readline() == 'line\\n'; f.seek(0); f.write('LINE')
assert open('text').read() == 'LINE\\nsecond\\n'
for copy in (shutil.copyfile, shutil.copy, shutil.copy2):
    copy('../src', 'copy'); assert open('copy', 'rb').read() == open('../src', 'rb').read()
shutil.move('copy', 'moved')
with tempfile.NamedTemporaryFile(dir='.', delete=False) as f: f.write(b'replaced')
os.replace(f.name, 'moved'); assert open('moved', 'rb').read() == b'replaced'
os.rename('moved', 'renamed'); os.remove('renamed'); assert not os.path.exists('moved')
refused(lambda: os.mkdir('dir'), errno.EPERM)
refused(lambda: os.symlink('a', 'b'), errno.EPERM)
refused(lambda: os.link('text', 'b'), errno.EPERM)
os.truncate('text', 4); assert open('text').read() == 'LINE'
fd = os.open('text', os.O_RDWR); os.pwrite(fd, b'X', 10); os.fsync(fd); os.close(fd)
assert open('text', 'rb').read() == b'LINE' + b'\\0' * 6 + b'X'
"
            ),
        );
        assert_eq!(mount.alias("text").unwrap(), cid_of(b"LINE\0\0\0\0\0\0X"));
    }
    if need("perl") {
        sh_ok(
            &mount.mnt,
            "perl -e 'open(F, \">\", \"p\") or die; print F \"perl\" x 10000; close(F) or die $!;
                      open(F, \">>\", \"p\") or die; print F \"end\"; close(F) or die $!;
                      rename(\"p\", \"q\") or die $!; open(F, \"<\", \"q\"); local $/; die if length(<F>) != 40003;'",
        );
        assert_eq!(mount.alias("q").unwrap(), cid_of(&[&b"perl".repeat(10_000)[..], b"end"].concat()));
    }
    assert_eq!(mount.count("panics"), 0);
}

pub fn editors_save_files(backend: &'static str) {
    // R7: vim writes `4913`, a swap file that it syncs, and a backup; what stays is the file.
    let vim = ["vim", "vim.tiny", "vi"].into_iter().find(|vim| has(vim));
    let Some(vim) = vim else {
        eprintln!("SKIPPED, because vim is not installed: this test proved nothing");
        return;
    };
    let bench = Bench::new(backend);
    let mount = bench.mount();
    put(mount.path("notes.txt"), b"first\nsecond\n").unwrap();
    let before = fs::metadata(mount.path("notes.txt")).unwrap().permissions();
    let mut wanted = "first\nsecond".to_owned();
    for set in ["", "-n", "-c 'set backup writebackup'", "-c 'set backupcopy=yes'", "-c 'set nowritebackup'"]
    {
        for line in ["one", "two"] {
            sh_ok(&mount.mnt, &format!("{vim} -es {set} -c '$s/$/ {line}/' -c wq notes.txt </dev/null"));
            wanted += &format!(" {line}");
            assert_eq!(fs::read_to_string(mount.path("notes.txt")).unwrap(), format!("{wanted}\n"), "{set}");
        }
    }
    assert_eq!(fs::metadata(mount.path("notes.txt")).unwrap().permissions(), before);
    let content = fs::read(mount.path("notes.txt")).unwrap();
    assert_eq!(mount.alias("notes.txt").unwrap(), cid_of(&content));
    let mut left = names(&mount.path(".ipfs-persist/names"));
    left.retain(|name| name != "notes.txt~");
    assert_eq!(left, ["notes.txt"]);
    assert!(!mount.ls().iter().any(|cid| fs::read(mount.path(cid)).unwrap().starts_with(b"b0VIM")));
    assert_eq!(mount.stats()["gauges"]["staged_bytes"], 0);
}

pub fn errors_are_told_in_the_tools_words(backend: &'static str) {
    // An errno is all that a tool can print; `.ipfs-persist/errors` says it in words.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "1MiB"]);
    let cid = cid_of(b"right");
    put(mount.path(&cid), b"right").unwrap();
    put(mount.path("name"), b"right").unwrap();
    fs::write(bench.path().join("other"), b"other").unwrap();
    for (script, words, reason) in [
        (format!("echo more >> {cid}"), "Operation not permitted", "cannot be appended to"),
        (format!("truncate -s 1 {cid}"), "Operation not permitted", "cannot change its length"),
        (format!("mv {cid} other"), "Operation not permitted", "a block's name is its CID"),
        (format!("rm -f {cid}"), "Device or resource busy", "what the name name stands for"),
        (format!("mv name {}", cid_of(b"other")), "Bad message", "are not that block"),
        (format!("cp ../other {cid}"), "Bad message", "differ from byte 0 on"),
        ("head -c 1100000 /dev/zero > zeros".to_owned(), "File too large", "at most 1048576 bytes"),
        ("mkdir dir".to_owned(), "Operation not permitted", "a blockstore is flat"),
        ("ln -s a b".to_owned(), "Operation not permitted", "no links"),
        ("rm -r .ipfs-persist".to_owned(), "Operation not permitted", "control directory"),
        (format!("cp ../other {}", &cid[..50]), "Invalid argument", "is not a CID: "),
    ] {
        fails_saying(&sh(&mount.mnt, &script), words);
        assert!(mount.errors().contains(reason), "{script}: {}", mount.errors());
    }
    eventually("nothing is left", || mount.stats()["gauges"]["names"] == 1);
    mount.assert_blocks(&[&cid]);
}
