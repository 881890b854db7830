//! Writing a block under its CID through real mounts: when the verdict falls, and what is there
//! before and after it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::thread;
use std::time::{Duration, SystemTime};

use common::*;
use libc::{EBADMSG, EEXIST, EFBIG, ENOENT};
use nix::fcntl::{FallocateFlags, fallocate};

/// The CID of the empty block.
const EMPTY: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

fn main() {
    run_product(cases![
        right_bytes_are_stored_when_close_returns,
        wrong_bytes_leave_nothing,
        fsync_gives_the_verdict_too,
        a_close_with_nothing_new_gives_no_verdict,
        two_programs_may_write_one_block_after_another,
        a_staged_file_can_be_looked_at_and_not_read,
        writers_of_one_cid_are_independent,
        staged_bytes_are_never_read_as_the_block,
        an_empty_file_is_the_empty_block_or_nothing,
        a_file_removed_while_open_stores_nothing,
        a_file_removed_during_its_commit_stores_nothing,
        any_order_of_writes_gives_the_same_block,
        bytes_written_can_be_read_back,
        mapped_writes_are_judged,
        a_mapping_written_after_the_last_close_is_counted,
        duplicates_and_children_share_a_writer,
        a_retry_right_after_a_refusal_is_stored,
        every_close_of_wrong_bytes_is_told_so,
        many_writers_share_a_sync,
        one_block_written_by_many_at_once,
        a_close_during_a_commit_is_judged_by_its_own_bytes,
        a_write_past_the_limit_is_refused_at_once,
        after_truncation_to_nothing_a_refused_file_starts_anew,
    ])
}

fn right_bytes_are_stored_when_close_returns(backend: &'static str) {
    // R5: equal -> the block is committed under the mount's durability and close returns 0.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let mut cids = Vec::new();
    for (seed, length) in [1, 1000, 4096, 65_536, 262_144, 1_048_579, 2_097_152].into_iter().enumerate() {
        let content = bytes(seed as u64, length);
        let cid = cid_of(&content);
        let mut file = File::create(mount.path(&cid)).unwrap();
        let staged_ino = file.metadata().unwrap().ino();
        file.write_all(&content).unwrap();
        close(file).unwrap();
        assert!(names(&mount.mnt).contains(&cid), "listed at once");
        let stored = fs::metadata(mount.path(&cid)).unwrap();
        assert_eq!(stored.len(), length as u64);
        assert_eq!(stored.permissions().mode() & 0o7777, 0o444);
        assert_ne!(stored.ino(), staged_ino, "a staged file has an inode of its own");
        assert!(fs::read(mount.path(&cid)).unwrap() == content);
        cids.push(cid);
    }
    mount.assert_blocks(&cids.iter().map(String::as_str).collect::<Vec<_>>());
    mount.unmount();
    if durable_backends().contains(&backend) {
        let mount = bench.mount();
        cids.sort();
        assert_eq!(mount.ls(), cids);
        for cid in &cids {
            assert_eq!(cid_of(&fs::read(mount.path(cid)).unwrap()), *cid);
        }
    }
}

fn wrong_bytes_leave_nothing(backend: &'static str) {
    // R5: unequal -> EBADMSG, nothing is stored, the name does not exist afterwards.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(1, 5000);
    let cid = cid_of(&content);
    let mut flipped = content.clone();
    flipped[2500] ^= 1;
    let wrong: [&[u8]; 4] = [&flipped, &content[..4999], &bytes(1, 5008), b"x"];
    for (round, wrong) in wrong.into_iter().enumerate() {
        assert_eq!(errno(put(mount.path(&cid), wrong)), EBADMSG);
        eventually("the name is gone", || !mount.path(&cid).exists());
        assert_eq!(errno(File::open(mount.path(&cid))), ENOENT);
        mount.assert_blocks(&[]);
        assert_eq!(mount.count("mismatches"), round as u64 + 1);
    }
    let errors = mount.errors();
    assert!(errors.contains(&format!("close {cid} errno {EBADMSG}: ")), "{errors}");
    assert!(errors.contains(&cid) && errors.contains(&cid_of(&flipped)), "which CID it would be: {errors}");
    put(mount.path(&cid), &content).unwrap();
    mount.assert_blocks(&[&cid]);
}

fn fsync_gives_the_verdict_too(backend: &'static str) {
    // R5: the verdict falls at FLUSH or FSYNC with new bytes since the last verdict.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(2, 3000);
    let cid = cid_of(&content);
    let mut file = File::create(mount.path(&cid)).unwrap();
    file.write_all(&content[..1000]).unwrap();
    assert_eq!(errno(file.sync_all()), EBADMSG);
    mount.assert_blocks(&[]);
    file.write_all(&content[1000..]).unwrap();
    file.sync_all().unwrap();
    mount.assert_blocks(&[&cid]);
    assert!(fs::read(mount.path(&cid)).unwrap() == content, "while its writer is still open");
    file.sync_data().unwrap();
    close(file).unwrap();
    mount.assert_blocks(&[&cid]);

    // What is written after a right verdict is judged again, and does no harm to the block.
    let second = bytes(3, 100);
    let cid_of_second = cid_of(&second);
    let mut file = File::create(mount.path(&cid_of_second)).unwrap();
    file.write_all(&second).unwrap();
    file.sync_all().unwrap();
    file.write_all(b"more").unwrap();
    assert_eq!(errno(close(file)), EBADMSG);
    eventually("the block that this handle had made is gone or whole", || {
        fs::read(mount.path(&cid_of_second)).map_or(true, |read| read == second)
    });
}

fn a_close_with_nothing_new_gives_no_verdict(backend: &'static str) {
    // R5: a FLUSH with nothing new gives no verdict: shells (`>` redirection dup2s and closes) and
    // dd send one before any data.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(4, 200_000);
    let cid = cid_of(&content);
    fs::write(bench.path().join("src"), &content).unwrap();
    let src = "../src";
    for script in [
        format!("cat {src} > {cid}"),
        format!("dd if={src} of={cid} bs=7000 status=none"),
        format!("dd if={src} of={cid} bs=1M conv=fsync status=none"),
        format!("dd if={src} of={cid} bs=4096 oflag=direct status=none"),
        format!("dash -c 'cat {src} > {cid}'"),
        format!("exec 9> {cid}; cat {src} >&9; exec 9>&-"),
    ] {
        if script.starts_with("dash") && !need("dash") {
            continue;
        }
        sh_ok(&mount.mnt, &script);
        mount.assert_blocks(&[&cid]);
        assert!(fs::read(mount.path(&cid)).unwrap() == content, "{script}");
        fs::remove_file(mount.path(&cid)).unwrap();
    }
    let file = File::create(mount.path(&cid)).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    (&file).write_all(&content).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    close(file).unwrap();
    mount.assert_blocks(&[&cid]);
}

fn two_programs_may_write_one_block_after_another(backend: &'static str) {
    // R5: after a mismatch the staged bytes stay until RELEASE, so `(cat a; cat b) > CID` still
    // completes (the first cat reports an error).
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (a, b) = (bytes(5, 70_000), bytes(6, 30_000));
    fs::write(bench.path().join("a"), &a).unwrap();
    fs::write(bench.path().join("b"), &b).unwrap();
    let cid = cid_of(&[a, b].concat());
    let output = sh(&mount.mnt, &format!("(cat ../a && echo silent; cat ../b) > {cid}"));
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("cat: ") && said.contains("Bad message"), "the first cat complains: {said}");
    mount.assert_blocks(&[&cid]);
    let alone = sh(&mount.mnt, &format!("rm {cid}; (cat ../a) > {cid}"));
    assert!(!alone.status.success() && text(&alone).contains("Bad message"), "{}", text(&alone));
    eventually("nothing stays of it", || !mount.path(&cid).exists());
    mount.assert_blocks(&[]);
}

fn a_staged_file_can_be_looked_at_and_not_read(backend: &'static str) {
    // R5: while staged: stat, chmod, utimens by path work (entry TTL 0); opening for reading is
    // ENOENT until the commit.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(7, 1000);
    let cid = cid_of(&content);
    let path = mount.path(&cid);
    let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    file.write_all_at(&content[..400], 0).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 400);
    assert_eq!(fs::metadata(&path).unwrap().ino(), file.metadata().unwrap().ino());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    file.write_all_at(&content[400..], 400).unwrap();
    file.set_modified(then).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), then);
    assert_eq!(errno(File::open(&path)), ENOENT);
    assert_eq!(errno(OpenOptions::new().write(true).create_new(true).open(&path)), EEXIST);
    mount.assert_blocks(&[]);
    close(file).unwrap();
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), then, "kept by the block");
    let block_mtime = then + Duration::from_secs(5);
    File::options().write(true).open(&path).unwrap().set_modified(block_mtime).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), block_mtime);
}

fn writers_of_one_cid_are_independent(backend: &'static str) {
    // R5: two writers of one CID are independent; the first right one wins, the second is a re-put.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(8, 100_000);
    let cid = cid_of(&content);
    let path = mount.path(&cid);
    let open = || OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
    let (one, two, three) = (open(), open(), open());
    one.write_all_at(&bytes(9, 50_000), 0).unwrap();
    two.write_all_at(&content[..60_000], 0).unwrap();
    three.write_all_at(&content, 0).unwrap();
    two.write_all_at(&content[60_000..], 60_000).unwrap();
    close(two).unwrap();
    mount.assert_blocks(&[&cid]);
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(errno(close(one)), EBADMSG);
    close(three).unwrap();
    assert!(fs::read(&path).unwrap() == content);
    mount.assert_blocks(&[&cid]);
    assert_eq!((mount.count("blocks_stored"), mount.count("blocks_rewritten")), (1, 1));
}

fn staged_bytes_are_never_read_as_the_block(backend: &'static str) {
    // R5: bytes are staged under an inode of their own, never that of the stored block: a reader
    // never sees staged bytes, through the page cache either.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(10, 150_000);
    let cid = cid_of(&content);
    let path = mount.path(&cid);
    let wrong = bytes(11, 150_000);
    let staged = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    staged.write_all_at(&wrong, 0).unwrap();
    let mut warm = vec![0; wrong.len()];
    staged.read_exact_at(&mut warm, 0).unwrap();
    assert!(warm == wrong);
    put(&path, &content).unwrap();
    for _ in 0..3 {
        let reader = File::open(&path).unwrap();
        assert_ne!(reader.metadata().unwrap().ino(), staged.metadata().unwrap().ino());
        let mut read = Vec::new();
        (&reader).read_to_end(&mut read).unwrap();
        assert!(read == content);
        staged.write_all_at(&wrong[..70_000], 30_000).unwrap();
    }
    assert_eq!(errno(close(staged)), EBADMSG);
    assert!(fs::read(&path).unwrap() == content);
}

fn an_empty_file_is_the_empty_block_or_nothing(backend: &'static str) {
    // R5: no bytes at all: a name that is the CID of the empty block is stored at the first FLUSH;
    // under any other CID an empty file leaves nothing behind; under a non-CID name it stays an
    // empty staged file and stores nothing.
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

fn a_file_removed_while_open_stores_nothing(backend: &'static str) {
    // R5: a staged file or alias whose name was removed while it was open stores nothing
    // (`tempfile.TemporaryFile`).
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

fn a_file_removed_during_its_commit_stores_nothing(backend: &'static str) {
    // A staged file that was removed while its bytes were on the way to the store came back as a
    // block: rm had returned 0 by then.
    // R5: a staged file whose name was removed while it was open stores nothing.
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

/// A small generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn any_order_of_writes_gives_the_same_block(backend: &'static str) {
    // R5: bytes are staged, hashed as they arrive, and judged as they are at the close, in whatever
    // order they were written, cut, extended and overwritten.
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

fn bytes_written_can_be_read_back(backend: &'static str) {
    // R5: while it is staged, whoever writes it can read it back through the same descriptor.
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

fn mapped_writes_are_judged(backend: &'static str) {
    // R5: the verdict falls at FLUSH or FSYNC, for bytes that came through a mapping too.
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

fn a_mapping_written_after_the_last_close_is_counted(backend: &'static str) {
    // R5: an error that only RELEASE would see must not exist, except for a mapping written after
    // the last flush, which is logged and counted.
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

fn duplicates_and_children_share_a_writer(backend: &'static str) {
    // R5: descriptors that are duplicates of one another, in children too, write one file; every
    // close with new bytes gives a verdict, and the last one counts.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let cid = cid_of(b"one two three ");
    sh_ok(
        &mount.mnt,
        &format!(
            "exec 5> {cid} 6>&5; (printf 'one ' >&5) 2>/dev/null; (printf 'two ' >&6) 2>/dev/null; \
             printf 'three ' >&5; exec 6>&-; exec 5>&-"
        ),
    );
    mount.assert_blocks(&[&cid]);
    if need("python3") {
        let cid = cid_of(b"parent child");
        python(
            &mount.mnt,
            &format!(
                "
import os
fd = os.open('{cid}', os.O_WRONLY | os.O_CREAT)
os.write(fd, b'parent ')
pid = os.fork()
if pid == 0:
    os.write(fd, b'child')
    os.close(fd)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
os.close(fd)
"
            ),
        );
        assert_eq!(fs::read(mount.path(&cid)).unwrap(), b"parent child");
    }
}

fn a_retry_right_after_a_refusal_is_stored(backend: &'static str) {
    // The refused file ended at its RELEASE, between the retry's lookup and its open: the retry then
    // wrote to a file without a name, close returned 0, and nothing was stored.
    // R5: right bytes -> the block is committed and close returns 0.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    thread::scope(|scope| {
        for thread in 0..4 {
            let mount = &mount;
            scope.spawn(move || {
                for round in 0..100 {
                    let content = bytes(50_000 + thread * 1000 + round, 2000);
                    let cid = cid_of(&content);
                    assert_eq!(errno(put(mount.path(&cid), &content[1..])), EBADMSG);
                    put(mount.path(&cid), &content).unwrap();
                    assert!(fs::read(mount.path(&cid)).unwrap() == content);
                    fs::remove_file(mount.path(&cid)).unwrap();
                }
            });
        }
    });
    mount.assert_blocks(&[]);
}

fn every_close_of_wrong_bytes_is_told_so(backend: &'static str) {
    // The verdict on wrong bytes was given once. When a process with several threads started a
    // program, the close that exec(2) does in the child took it, and the writer's own close, with
    // nothing new, returned 0 for bytes that were not stored.
    // Durability: close() returned 0 -> survives a power cut.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let content = bytes(21, 5000);
    let cid = cid_of(&content);
    let file = File::create(mount.path(&cid)).unwrap();
    file.write_all_at(&content[..4000], 0).unwrap();
    for _ in 0..3 {
        assert_eq!(errno(close(file.try_clone().unwrap())), EBADMSG);
    }
    assert_eq!(errno(file.sync_all()), EBADMSG);
    assert_eq!(mount.count("mismatches"), 1, "it is one verdict");
    file.write_all_at(&content[4000..], 4000).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(errno(close(file.try_clone().unwrap())), EBADMSG);
    assert_eq!(errno(close(file)), EBADMSG);
    assert_eq!(mount.count("mapped_writes_lost"), 0);
    // The same over a stored block, where the bytes are too few.
    put(mount.path(&cid), &content).unwrap();
    let file = File::create(mount.path(&cid)).unwrap();
    close(file.try_clone().unwrap()).unwrap();
    file.write_all_at(&content[..4000], 0).unwrap();
    assert_eq!(errno(close(file.try_clone().unwrap())), EBADMSG);
    assert_eq!(errno(close(file)), EBADMSG);
    assert!(fs::read(mount.path(&cid)).unwrap() == content);
}

fn many_writers_share_a_sync(backend: &'static str) {
    // Durability: close() returned 0 survives a power cut (commits are grouped): every one of many
    // writers at once is answered, and everything is there when it is.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let (threads, each) = (16, 25);
    thread::scope(|scope| {
        for thread in 0..threads {
            let mount = &mount;
            scope.spawn(move || {
                for n in 0..each {
                    let content = bytes(10_000 + thread * 1000 + n, 3000 + (n as usize * 977) % 20_000);
                    let cid = cid_of(&content);
                    if n % 7 == 3 {
                        assert_eq!(errno(put(mount.path(&cid), &content[1..])), EBADMSG);
                    }
                    put(mount.path(&cid), &content).unwrap();
                    assert!(fs::read(mount.path(&cid)).unwrap() == content);
                }
            });
        }
    });
    assert_eq!(mount.ls().len(), (threads * each) as usize);
    assert_eq!(mount.count("blocks_stored"), threads * each);
    assert!(mount.count("commit_batches") <= threads * each);
    assert_eq!(mount.count("panics"), 0);
    eventually("no staging is left", || mount.stats()["gauges"]["staged_bytes"] == 0);
}

fn one_block_written_by_many_at_once(backend: &'static str) {
    // R5: the first right one wins, the second is a re-put; both succeed.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for round in 0..20 {
        let content = bytes(20_000 + round, 70_000);
        let cid = cid_of(&content);
        thread::scope(|scope| {
            for writer in 0..8 {
                let (mount, cid, content) = (&mount, &cid, &content);
                scope.spawn(move || {
                    if writer == 3 {
                        let refused = put(mount.path(cid), &content[..60_000]);
                        assert_eq!(errno(refused), EBADMSG);
                    } else {
                        put(mount.path(cid), content).unwrap();
                        assert!(fs::read(mount.path(cid)).unwrap() == *content);
                    }
                });
            }
        });
        assert!(fs::read(mount.path(&cid)).unwrap() == content);
    }
    assert_eq!(mount.ls().len(), 20);
}

fn a_close_during_a_commit_is_judged_by_its_own_bytes(backend: &'static str) {
    // A close that came while another descriptor's commit was under way was answered by that
    // commit, so bytes written in between were acknowledged without a verdict.
    // R5: the verdict falls at FLUSH with new bytes since the last verdict.
    let bench = Bench::new(backend);
    let mount = bench.mount();
    for round in 0..60 {
        let content = bytes(30_000 + round, 40_000);
        let cid = cid_of(&content);
        let file = File::create(mount.path(&cid)).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let (first, second) = (file.try_clone().unwrap(), file.try_clone().unwrap());
        let closing = thread::spawn(move || close(first));
        second.write_all_at(b"more", 40_000).unwrap();
        let last = close(second);
        // Whichever close came after the longer bytes was told that they are not the block.
        let first = closing.join().unwrap();
        for refused in [&first, &last].into_iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(refused.raw_os_error(), Some(EBADMSG));
        }
        assert!(first.is_err() || last.is_err(), "nobody was told");
        drop(file);
    }
}

fn a_write_past_the_limit_is_refused_at_once(backend: &'static str) {
    // R8: a write past --max-block-size -> EFBIG at that write. A handle that was refused a write
    // stores nothing: its close fails with the same error.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "100KiB"]);
    let limit = 100 << 10;
    let content = bytes(17, limit + 1);
    put(mount.path(cid_of(&content[..limit])), &content[..limit]).unwrap();
    put(mount.path("exact"), &content[..limit]).unwrap();
    for name in [cid_of(&content), "plain".to_owned(), ".hidden.tmp".to_owned()] {
        let path = mount.path(&name);
        let file = File::create(&path).unwrap();
        file.write_all_at(&content[..limit], 0).unwrap();
        assert_eq!(errno(file.write_at(&content[limit..], limit as u64)), EFBIG);
        assert_eq!(errno(file.write_at(b"x", 1 << 40)), EFBIG);
        assert_eq!(errno(close(file)), EFBIG, "{name}");
        eventually("nothing is left", || !path.exists());
        let file = File::create(&path).unwrap();
        file.write_all_at(&content[..limit], 0).unwrap();
        assert_eq!(errno(file.set_len(limit as u64 + 1)), EFBIG);
        assert_eq!(
            errno(fallocate(&file, FallocateFlags::empty(), 0, limit as i64 + 1).map_err(Into::into)),
            EFBIG
        );
        drop(file);
        let _ = fs::remove_file(&path);
    }
    mount.assert_blocks(&[&cid_of(&content[..limit])]);
    let errors = mount.errors();
    assert!(errors.contains("at most 102400 bytes") && errors.contains("--max-block-size"), "{errors}");
    fs::write(bench.path().join("large"), &content).unwrap();
    for script in ["cp ../large large", "dd if=../large of=large bs=64k status=none", "cat ../large > large"]
    {
        let output = sh(&mount.mnt, script);
        assert!(!output.status.success() && text(&output).contains("File too large"), "{}", text(&output));
        eventually("nothing is left", || !mount.path("large").exists());
    }
}

fn after_truncation_to_nothing_a_refused_file_starts_anew(backend: &'static str) {
    // R8: a handle that was refused a write stores nothing; a file that was cut to nothing is a new
    // file and may start anew.
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--max-block-size", "100KiB"]);
    let content = bytes(18, 1000);
    let cid = cid_of(&content);
    for name in [cid.as_str(), "plain"] {
        for written in [0, 500] {
            let file = File::create(mount.path(name)).unwrap();
            file.write_all_at(&content[..written], 0).unwrap();
            assert_eq!(errno(file.write_at(b"x", 200 << 10)), EFBIG);
            file.set_len(0).unwrap();
            file.write_all_at(&content, 0).unwrap();
            close(file).unwrap();
            assert_eq!(fs::read(mount.path(name)).unwrap(), content);
            fs::remove_file(mount.path(name)).unwrap();
            let _ = fs::remove_file(mount.path(&cid));
        }
    }
    mount.assert_blocks(&[]);
}
