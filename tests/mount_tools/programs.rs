//! Shells, scripting languages, editors and what else writes files.

use super::*;

pub fn shell_tools_write_files(backend: &'static str) {
    // R5, R7: whatever writes a file the usual way works, and its bytes become the block.
    let bench = Bench::new(backend);
    fs::write(bench.path().join("src"), bytes(1, 400_000)).unwrap();
    fs::write(
        bench.path().join("lines"),
        (0..5000).map(|n| format!("{}\n", n * 7919 % 5000)).collect::<String>(),
    )
    .unwrap();
    let mount = bench.mount();
    for (tool, script, name) in [
        ("cat", "cat ../src > f", "f"),
        ("dd", "dd if=../src of=f bs=3333 status=none", "f"),
        ("dd", "dd if=../src of=f bs=64k oflag=direct status=none", "f"),
        ("dd", "dd if=../src of=f bs=64k oflag=append conv=notrunc status=none", "f"),
        ("dd", "dd if=../src of=f bs=1k seek=100 status=none", "f"),
        ("dd", "dd if=../src of=f bs=100k conv=fsync,sparse status=none", "f"),
        ("tee", "tee f < ../src > /dev/null", "f"),
        ("tee", "tee -a f < ../src > /dev/null", "f"),
        ("install", "install -m 640 ../src f", "f"),
        ("mv", "cp ../src ../moved; mv ../moved f", "f"),
        ("sort", "sort -n ../lines -o f", "f"),
        ("sort", "cp ../lines f; sort -n f -o f", "f"),
        ("sed", "cp ../lines f; sed -i 's/7/seven/' f", "f"),
        ("sed", "cp ../lines f; sed -i.bak 's/7/seven/' f; rm f.bak", "f"),
        ("gzip", "gzip -nc ../src > f", "f"),
        ("gzip", "cp ../src f; gzip f; gunzip f.gz", "f"),
        // Ordinary names are not listed, so the shell's * does not find them.
        ("split", "split -b 150k ../src part-; cat part-a{a,b,c} > f; rm part-a{a,b,c}", "f"),
        ("truncate", "cp ../src f; truncate -s 1000 f; truncate -s +77 f", "f"),
        ("shred", "cp ../src f; shred -x -n 1 f", "f"),
        (
            "patch",
            "cp ../lines f; sed 's/^7$/x/' ../lines > ../new; diff ../lines ../new > ../d; patch -s f ../d",
            "f",
        ),
        ("head", "head -c 12345 ../src > f", "f"),
        ("bash", "for i in 1 2 3; do echo $i; done > f; echo 4 >> f; printf '%s' end >> f", "f"),
        ("bash", "exec 3<> f; echo hello >&3; exec 3>&-", "f"),
        ("dash", "dash -c 'echo one > f; echo two >> f'", "f"),
        ("awk", "awk 'NR % 2 { print > \"f\" }' ../lines", "f"),
        ("perl", "cp ../lines f; perl -i -pe 's/1/one/' f", "f"),
        ("cp", "cp --reflink=auto --sparse=always ../src f", "f"),
        ("cp", "cp ../src g; cp g f; rm g", "f"),
        ("cp", "cp ../src g; ln g f 2>/dev/null || cp --preserve=all g f; rm g", "f"),
    ] {
        if !need(tool) {
            continue;
        }
        let control = bench.path().join("control");
        fs::create_dir_all(control.join("in")).unwrap();
        for file in ["src", "lines"] {
            fs::copy(bench.path().join(file), control.join(file)).unwrap();
        }
        let output = sh(&mount.mnt, script);
        assert!(output.status.success() && output.stderr.is_empty(), "{script}\n{}", text(&output));
        let content = fs::read(mount.path(name)).unwrap();
        if tool == "shred" {
            assert_eq!(content.len(), 400_000);
        } else {
            // The same on an ordinary file system.
            sh_ok(&control.join("in"), script);
            assert!(content == fs::read(control.join("in").join(name)).unwrap(), "{script}");
        }
        assert_eq!(mount.alias(name).unwrap(), cid_of(&content), "{script}");
        assert!(fs::read(mount.path(cid_of(&content))).unwrap() == content, "{script}");
        fs::remove_file(mount.path(name)).unwrap();
        assert_eq!(names(&mount.path(".ipfs-persist/names")), Vec::<String>::new(), "{script}");
        fs::remove_dir_all(control).unwrap();
    }
    assert_eq!(mount.count("panics"), 0);
}

pub fn shell_tools_report_wrong_bytes(backend: &'static str) {
    // R5: unequal -> EBADMSG at close, which these tools report (FLUSH errors are theirs to see).
    let bench = Bench::new(backend);
    fs::write(bench.path().join("src"), bytes(1, 30_000)).unwrap();
    let cid = cid_of(&bytes(2, 30_000));
    let mount = bench.mount();
    for (tool, script) in [
        ("cp", "cp ../src CID"),
        ("cp", "cp -p ../src CID"),
        ("cat", "cat ../src > CID"),
        ("dd", "dd if=../src of=CID status=none"),
        ("tee", "tee CID < ../src > /dev/null"),
        ("install", "install ../src CID"),
        ("sort", "sort ../src -o CID"),
        ("sed", "sed -n p ../src > CID"),
        ("gzip", "gzip -c ../src > CID"),
        ("curl", "curl -sS -o CID file://$PWD/../src"),
        ("rsync", "rsync ../src CID"),
        ("rsync", "rsync --inplace ../src CID"),
        ("tar", "tar -cf CID ../src 2>&1"),
        ("python3", "python3 -c 'import shutil; shutil.copyfile(\"../src\", \"CID\")'"),
        ("perl", "perl -e 'open(F, \">\", \"CID\") or die; print F \"x\"; close(F) or die \"$!\"'"),
    ] {
        if !need(tool) {
            continue;
        }
        let output = sh(&mount.mnt, &script.replace("CID", &cid));
        assert!(!output.status.success(), "{script} reported nothing");
        let said = text(&output);
        if !["curl"].contains(&tool) {
            assert!(said.contains("Bad message") || said.contains("(74)"), "{script}: {said}");
        }
        eventually("nothing is left", || !mount.path(&cid).exists());
        mount.assert_blocks(&[]);
    }
    eventually("no name is left", || mount.stats()["gauges"]["names"] == 0);
}

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

pub fn databases_are_read(backend: &'static str) {
    // R7: an inode of its own for as long as the name lasts: SQLite compares fstat with stat.
    if !need("sqlite3") {
        return;
    }
    let bench = Bench::new(backend);
    let mount = bench.mount();
    sh_ok(bench.path(), "sqlite3 db 'create table t(a); insert into t values (1), (2), (39);'");
    sh_ok(&mount.mnt, "cp ../db db");
    let cid = mount.alias("db").unwrap();
    for name in ["db", &cid] {
        let query = format!(
            "sqlite3 -readonly 'file:{name}?immutable=1' 'select sum(a) from t; pragma integrity_check'"
        );
        assert_eq!(sh_ok(&mount.mnt, &query), "42\nok\n");
    }
    assert_eq!(sh_ok(&mount.mnt, "sqlite3 -readonly db 'select sum(a) from t'"), "42\n");
    // Written through its journal, the alias becomes another block, and the old one stays.
    sh_ok(&mount.mnt, "sqlite3 db 'insert into t values (100);'");
    assert_eq!(sh_ok(&mount.mnt, "sqlite3 db 'select sum(a) from t'"), "142\n");
    let changed = mount.alias("db").unwrap();
    assert_eq!(changed, cid_of(&fs::read(mount.path("db")).unwrap()));
    assert_ne!(changed, cid);
    assert!(mount.ls().contains(&cid));
}

pub fn downloads_arrive(backend: &'static str) {
    // R5, R7: curl -o to a CID and to another name.
    if !need("curl") {
        return;
    }
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 700_000);
    let cid = cid_of(&content);
    fs::write(bench.path().join("src"), &content).unwrap();
    let url = format!("file://{}/src", bench.path().display());
    for name in [cid.as_str(), "download.bin"] {
        for _ in 0..2 {
            sh_ok(&mount.mnt, &format!("curl -sS -o {name} {url}"));
            assert!(fs::read(mount.path(name)).unwrap() == content);
        }
        sh_ok(&mount.mnt, &format!("curl -sS {url} > {name}; curl -sS {url} | tee {name} | cmp - ../src"));
    }
    assert_eq!(mount.alias("download.bin").unwrap(), cid);
    mount.assert_blocks(&[&cid]);
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
