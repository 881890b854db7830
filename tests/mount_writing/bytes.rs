//! What is written, in whatever order and by whatever means.

use super::*;

/// > An empty file is stored only under the CID of the empty block.
/// > Under any other CID, `: > CID` succeeds and leaves nothing, and changes nothing where the block is
/// > stored.
/// > Truncated to 0, or created and never written, it is an empty file that stores nothing.
pub fn an_empty_file_is_the_empty_block_or_nothing(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    assert_eq!(cid_of(b""), EMPTY);
    let content = bytes(12, 10);
    let cid = cid_of(&content);
    sh_ok(&mount.mnt, &format!(": > {cid}; touch {cid}"));
    eventually("nothing is left", || !mount.path(&cid).exists());
    mount.assert_blocks(&[]);
    sh_ok(&mount.mnt, &format!(": > {EMPTY}"));
    mount.assert_blocks(&[EMPTY]);
    assert_eq!(fs::read(mount.path(EMPTY)).unwrap(), b"");
    assert_eq!(errno(put(mount.path(EMPTY), b"not empty")), EBADMSG);
    mount.assert_blocks(&[EMPTY]);
    fs::remove_file(mount.path(EMPTY)).unwrap();
    sh_ok(&mount.mnt, &format!("cp /dev/null {EMPTY}"));
    mount.assert_blocks(&[EMPTY]);
    sh_ok(&mount.mnt, &format!("cp /dev/null {EMPTY}; : > {EMPTY}; touch {EMPTY}"));

    put(mount.path(&cid), &content).unwrap();
    sh_ok(&mount.mnt, &format!(": > {cid}"));
    assert_eq!(fs::read(mount.path(&cid)).unwrap(), content, "`: > CID` changes nothing");

    sh_ok(&mount.mnt, "touch probe; : > other");
    assert_eq!(fs::metadata(mount.path("probe")).unwrap().len(), 0);
    assert_eq!(fs::read(mount.path("other")).unwrap(), b"");
    mount.assert_blocks(&[EMPTY, &cid]);
    sh_ok(&mount.mnt, "rm probe other");
    assert!(!mount.path("probe").exists());
}

/// > A file whose name was removed while it was open stores nothing any more.
pub fn a_file_removed_while_open_stores_nothing(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for (round, name) in [cid_of(&bytes(13, 500)), "plain.txt".to_owned()].into_iter().enumerate() {
        let content = bytes(13, 500);
        let mut file =
            OpenOptions::new().read(true).write(true).create_new(true).open(mount.path(&name)).unwrap();
        // Under an ordinary name nothing yet: a child that another test starts at this moment closes
        // its copy of the descriptor, and what is there then is stored.
        file.write_all(&content[..100 * (1 - round)]).unwrap();
        fs::remove_file(mount.path(&name)).unwrap();
        assert!(!mount.path(&name).exists());
        file.write_all(&content[100 * (1 - round)..]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 500, "round {round}");
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut back = Vec::new();
        file.read_to_end(&mut back).unwrap();
        assert_eq!(back, content, "the open file goes on");
        file.sync_all().unwrap();
        close(file).unwrap();
        mount.assert_blocks(&[]);
    }
    if need("python3") {
        python(
            &mount.mnt,
            "
import tempfile
with tempfile.TemporaryFile(dir='.') as f:
    f.write(b'x' * 100000); f.flush(); f.seek(0); assert f.read() == b'x' * 100000
with tempfile.NamedTemporaryFile(dir='.') as f:
    f.write(b'y' * 10)
with tempfile.SpooledTemporaryFile(dir='.', max_size=10) as f:
    f.write(b'z' * 1000); f.seek(0); assert f.read() == b'z' * 1000
",
        );
        assert!(!mount.ls().contains(&cid_of(&[b'x'; 100_000])));
    }
    eventually("no staging is left", || mount.stats()["gauges"]["staged_bytes"] == 0);
}

/// > A file whose name was removed while it was open stores nothing any more.
pub fn a_file_removed_during_its_commit_stores_nothing(backend: &'static str) {
    // A staged file that was removed while its bytes were on the way to the store came back as a
    // block: rm had returned 0 by then.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for round in 0..60 {
        let content = bytes(40_000 + round, 30_000);
        let cid = cid_of(&content);
        let mut file = File::create(mount.path(&cid)).unwrap();
        file.write_all(&content).unwrap();
        let closing = thread::spawn(move || close(file));
        fs::remove_file(mount.path(&cid)).unwrap();
        closing.join().unwrap().unwrap();
        assert!(!mount.path(&cid).exists(), "round {round}");
    }
    mount.assert_blocks(&[]);
}

/// In whatever order they were written, cut, extended and overwritten.
///
/// > The bytes are the block: it is stored as durably as [durability](#durability) says, and `close`
/// > returns 0.
pub fn any_order_of_writes_gives_the_same_block(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..12u64 {
        // The content is known only after the operations, so the first pass is on a model.
        let mut operations = Vec::new();
        let mut model: Vec<u8> = Vec::new();
        for step in 0..40 {
            let at = random.below(150_000);
            let operation = match random.below(8) {
                0 => ("truncate", at, Vec::new()),
                1 => ("fallocate", at, bytes(step, random.below(5000) + 1)),
                2 => ("append", 0, bytes(round * 100 + step, random.below(9000) + 1)),
                _ => ("write", at, bytes(round * 100 + step, random.below(30_000) + 1)),
            };
            match operation.0 {
                "truncate" => model.resize(at, 0),
                "fallocate" => model.resize(model.len().max(at + operation.2.len()), 0),
                "append" => model.extend_from_slice(&operation.2),
                _ => {
                    let end = at + operation.2.len();
                    model.resize(model.len().max(end), 0);
                    model[at..end].copy_from_slice(&operation.2);
                }
            }
            operations.push(operation);
        }
        let cid = cid_of(&model);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(mount.path(&cid))
            .unwrap();
        for (what, at, data) in &operations {
            match *what {
                "truncate" => file.set_len(*at as u64).unwrap(),
                "fallocate" => {
                    fallocate(&file, FallocateFlags::empty(), *at as i64, data.len() as i64).unwrap();
                }
                "append" => {
                    file.seek(SeekFrom::End(0)).unwrap();
                    file.write_all(data).unwrap();
                }
                _ => file.write_all_at(data, *at as u64).unwrap(),
            }
        }
        assert_eq!(file.metadata().unwrap().len(), model.len() as u64);
        let mut back = vec![0; model.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == model, "round {round}");
        close(file).unwrap();
        assert!(fs::read(mount.path(&cid)).unwrap() == model, "round {round}");
    }
    // Appending descriptors, and a single write far from the start.
    let content = bytes(14, 9000);
    let cid = cid_of(&content);
    let mut file = OpenOptions::new().append(true).create(true).open(mount.path(&cid)).unwrap();
    content.chunks(1000).for_each(|chunk| file.write_all(chunk).unwrap());
    close(file).unwrap();
    let mut sparse = vec![0; 1_000_000];
    sparse.extend_from_slice(b"end");
    let file = File::create(mount.path(cid_of(&sparse))).unwrap();
    file.write_all_at(b"end", 1_000_000).unwrap();
    fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, 1_500_000).unwrap();
    close(file).unwrap();
    assert!(fs::read(mount.path(cid_of(&sparse))).unwrap() == sparse);
}

/// While it is staged, whoever writes it can read it back through the same descriptor.
pub fn bytes_written_can_be_read_back(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(15, 300_000);
    let cid = cid_of(&content);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(mount.path(&cid)).unwrap();
    for (index, chunk) in content.chunks(4321).enumerate() {
        file.write_all_at(chunk, index as u64 * 4321).unwrap();
        let mut back = vec![0; chunk.len()];
        file.read_exact_at(&mut back, index as u64 * 4321).unwrap();
        assert!(back == chunk);
    }
    file.sync_all().unwrap();
    let mut back = vec![0; content.len()];
    file.read_exact_at(&mut back, 0).unwrap();
    assert!(back == content, "after the commit too");
    assert_eq!(file.metadata().unwrap().len(), 300_000);
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(77)).unwrap();
    close(file).unwrap();
    assert_eq!(fs::metadata(mount.path(&cid)).unwrap().mtime(), 77, "set after the commit");
}

/// Bytes that came through a mapping too.
///
/// > The verdict falls when a descriptor is closed, or on `fsync`, if bytes were written since the last
/// > verdict.
pub fn mapped_writes_are_judged(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    if !need("python3") {
        return;
    }
    let content = bytes(16, 50_000);
    fs::write(bench.path().join("src"), &content).unwrap();
    let cid = cid_of(&content);
    let program = |end: &str| {
        format!(
            "
import mmap, os, sys
data = open('../src', 'rb').read()
fd = os.open('{cid}', os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, len(data))
m = mmap.mmap(fd, len(data))
m[:] = data
{end}
"
        )
    };
    python(&mount.mnt, &program("m.flush(); m.close(); os.close(fd)"));
    mount.assert_blocks(&[&cid]);
    assert!(fs::read(mount.path(&cid)).unwrap() == content);
    fs::remove_file(mount.path(&cid)).unwrap();
    python(&mount.mnt, &program("m.close(); os.close(fd)"));
    mount.assert_blocks(&[&cid]);
    fs::remove_file(mount.path(&cid)).unwrap();
    let refused = program(
        "
m[100] ^= 1
try: m.flush(); sys.exit('msync said nothing')
except OSError as e: assert e.errno == 74, e
try: os.fsync(fd)
except OSError as e: assert e.errno == 74, e
m[100] ^= 1; m[101] ^= 1
try: os.close(fd); sys.exit('close said nothing')
except OSError as e: assert e.errno == 74, e
m.close()",
    );
    python(&mount.mnt, &refused);
    eventually("nothing is left", || !mount.path(&cid).exists());
    mount.assert_blocks(&[]);
}

/// > Only bytes that come through a mapping after the last `close` or `msync` are judged when nobody
/// > can be told any more: if they are not the block, or cannot be stored, that is logged and counted
/// > (`mapped_writes_lost`).
pub fn a_mapping_written_after_the_last_close_is_counted(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    if !need("python3") {
        return;
    }
    let content = vec![b'm'; 8192];
    let cid = cid_of(&content);
    // Python's mmap keeps a duplicate of the descriptor, so that its own close would be the last.
    let program = |byte: &str| {
        format!(
            "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
fd = os.open('{cid}', os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8192)
at = libc.mmap(None, 8192, 3, 1, fd, 0)
assert at not in (None, ctypes.c_void_p(-1).value), os.strerror(ctypes.get_errno())
try: os.close(fd)
except OSError as e: assert e.errno == 74, e
ctypes.memset(at, ord('{byte}'), 8192)
"
        )
    };
    python(&mount.mnt, &program("m"));
    eventually("right bytes are stored all the same", || mount.ls() == [cid.as_str()]);
    assert_eq!(mount.count("mapped_writes_lost"), 0);
    fs::remove_file(mount.path(&cid)).unwrap();
    python(&mount.mnt, &program("n"));
    eventually("wrong bytes are counted", || mount.count("mapped_writes_lost") == 1);
    assert!(mount.log().contains(&cid), "{}", mount.log());
    eventually("and gone", || !mount.path(&cid).exists());
    mount.assert_blocks(&[]);
}
