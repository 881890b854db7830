//! What the tests have in common.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ipfs_persist_mount::block::{Cid, Key};
use nix::fcntl::{FcntlArg, fcntl};

use super::common::stores::{snapshot, unpack};
use super::common::{Bench, Mounted, program, run};

/// A store of another program, the directory of its blocks, and what belongs beside it.
pub struct Theirs {
    pub bench: Bench,
    /// What is given as the data directory.
    pub data: PathBuf,
    pub flatfs: PathBuf,
    pub beside: PathBuf,
}

impl Theirs {
    pub fn new(store: &str) -> Self {
        let bench = Bench::new("file");
        let data = unpack(store, bench.path());
        let flatfs = if data.join("blocks").is_dir() { data.join("blocks") } else { data.clone() };
        let name = format!(".{}.ipfs-persist", flatfs.file_name().unwrap().to_str().unwrap());
        Self { beside: flatfs.with_file_name(name), bench, data, flatfs }
    }

    pub fn lock_file(&self) -> PathBuf {
        self.data.join("repo.lock")
    }

    /// The command that mounts this directory at the bench's mount point.
    pub fn command_on(&self, data: &Path, more: &[&str]) -> Command {
        command(data, more, &self.bench.mnt())
    }

    pub fn command(&self, more: &[&str]) -> Command {
        self.command_on(&self.data, more)
    }

    pub fn mount(&self, more: &[&str]) -> Mounted {
        Mounted::start(self.command(more), self.bench.mnt())
    }

    pub fn run(&self, more: &[&str]) -> Output {
        run(&mut self.command(more))
    }

    /// What becomes of another mount of the same store at another place, which must end at once.
    pub fn run_elsewhere(&self, data: &Path, more: &[&str]) -> Output {
        run(&mut command(data, more, &Bench::new("file").mnt()))
    }

    /// Where this store's program keeps a block.
    pub fn file(&self, cid: &str) -> PathBuf {
        let name = base32(Cid::parse(cid).unwrap().key());
        let sharding = fs::read_to_string(self.flatfs.join("SHARDING")).unwrap();
        let shard = match sharding.trim().strip_prefix("/repo/flatfs/shard/v1/").unwrap() {
            "next-to-last/2" => &name[name.len() - 3..name.len() - 1],
            "prefix/3" => &name[..3],
            "suffix/2" => &name[name.len() - 2..],
            other => panic!("{other}"),
        };
        self.flatfs.join(shard).join(format!("{name}.data"))
    }

    /// What the program's count of the store says.
    pub fn usage(&self) -> u64 {
        let text = fs::read(self.flatfs.join("diskUsage.cache")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["diskUsage"].as_u64().unwrap()
    }

    /// The same counted anew as that program keeps it up: lengths of all files but of the count
    /// itself, and of all directories as they were when they were made.
    pub fn usage_counted(&self) -> u64 {
        let new = tempfile::tempdir_in(self.bench.path()).unwrap();
        let new_directory_bytes = fs::metadata(new.path()).unwrap().len();
        let count = self.flatfs.join("diskUsage.cache");
        snapshot(&self.flatfs)
            .iter()
            .filter(|(path, _)| **path != count)
            .map(|(path, seen)| if path.is_dir() { new_directory_bytes } else { seen.content.len() as u64 })
            .sum()
    }
}

/// The command that mounts a directory in place.
pub fn command(data: &Path, more: &[&str], mnt: &Path) -> Command {
    let mut command = program();
    command.args(["--backend", "file", "--lock-wait", "0", "--data-path"]).arg(data);
    command.args(more).arg(mnt);
    command
}

pub fn base32(key: &Key) -> String {
    data_encoding::BASE32_NOPAD.encode(key.as_bytes())
}

/// The lock as Kubo takes it: a write lock of this process on the whole file. Closing any other
/// descriptor of the file here would lose it.
pub struct KuboLock {
    file: File,
    path: PathBuf,
}

impl KuboLock {
    /// `None` if another process has it.
    pub fn take(path: &Path) -> Option<Self> {
        let file = File::create(path).unwrap();
        let lock = flock(nix::libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_SETLK(&lock)).ok()?;
        assert!(file.as_raw_fd() >= 0);
        Some(Self { file, path: path.to_owned() })
    }

    /// As Kubo ends: the file is removed first.
    pub fn release(self) {
        fs::remove_file(&self.path).unwrap();
        drop(self.file);
    }
}

fn flock(kind: i32) -> nix::libc::flock {
    nix::libc::flock { l_type: kind as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 }
}
