//! A disk that notes what it is asked: a FUSE file system with the one file `disk`.
//!
//! It is served by a process of its own, which is this test program started again. That process touches no
//! file system that could lie on its disk, and no loop device: it would wait for itself. It ends with its
//! mount, or with the test, whose end it sees on its standard input.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request, WriteFlags,
};
use ipfs_persist_mount::sys::{self, MountRequest};

use crate::common::{self, eventually, run, text};
use crate::log::Appender;

/// Tells this program that it is to be the server: the directory of [`DiskServer`].
const SERVE: &str = "IPFS_PERSIST_TEST_SERVE_DISK";
const TTL: Duration = Duration::from_secs(3600);
const DISK: INodeNo = INodeNo(2);
const READY: &[u8] = b"ready\n";

/// The names in the server's directory.
const CONTENT: &str = "content";
const LOG: &str = "log";
const MOUNT: &str = "server";

struct NotingDisk {
    content: File,
    size: u64,
    log: Appender,
}

impl NotingDisk {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let is_disk = ino == DISK;
        FileAttr {
            ino,
            size: if is_disk { self.size } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_disk { FileType::RegularFile } else { FileType::Directory },
            perm: if is_disk { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// Requests are served one after the other: what was written before a flush has been answered before it.
impl Filesystem for NotingDisk {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.set_max_write(1 << 20);
        let _ = config.add_capabilities(InitFlags::FUSE_MAX_PAGES);
        Ok(())
    }

    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "disk" {
            reply.entry(&TTL, &self.attributes(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes(ino));
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; u64::from(size).min(self.size.saturating_sub(offset)) as usize];
        match self.content.read_exact_at(&mut bytes, offset) {
            Ok(()) => reply.data(&bytes),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.log.write(offset, data).and_then(|()| self.content.write_all_at(data, offset)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, _fh: FileHandle, _data: bool, reply: ReplyEmpty) {
        match self.log.flush() {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }
}

/// If this process was started to be a server, it serves and does not return.
pub fn serve_if_told() {
    let Some(dir) = std::env::var_os(SERVE) else { return };
    std::thread::spawn(|| {
        let mut byte = [0];
        let _ = std::io::stdin().read(&mut byte);
        // Nobody is left who would unmount; whoever still waits for the disk gets an error.
        std::process::exit(1);
    });
    serve(Path::new(&dir)).unwrap();
    std::process::exit(0);
}

fn serve(dir: &Path) -> io::Result<()> {
    let content = OpenOptions::new().read(true).write(true).open(dir.join(CONTENT))?;
    let size = content.metadata()?.len();
    let disk = NotingDisk { content, size, log: Appender::open(&dir.join(LOG))? };
    let device = sys::open_fuse_device()?;
    let request = MountRequest {
        target: &dir.join(MOUNT),
        source: "noting-disk",
        fs_type: "fuse",
        owner: (0, 0),
        allow_other: false,
        read_only: false,
        no_exec: true,
        no_atime: false,
        no_dir_atime: false,
    };
    sys::mount_fuse(&device, &request)?;
    let session = fuser::Session::from_fd(disk, device, fuser::SessionACL::Owner, fuser::Config::default())?;
    io::stdout().write_all(READY)?;
    session.run()
}

/// The server's process and its mount.
pub struct DiskServer {
    dir: PathBuf,
    process: Child,
    watchdog: Option<std::sync::mpsc::Sender<()>>,
}

impl DiskServer {
    /// Serves an empty disk of this size from a directory that holds nothing else.
    pub fn start(dir: &Path, size: u64) -> Self {
        File::create_new(dir.join(CONTENT)).unwrap().set_len(size).unwrap();
        std::fs::create_dir(dir.join(MOUNT)).unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(SERVE, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = vec![0; READY.len()];
        process.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        let watchdog = Some(common::watch(&dir.join(MOUNT), process.id()));
        Self { dir: dir.to_owned(), process, watchdog }
    }

    pub fn disk(&self) -> PathBuf {
        self.dir.join(MOUNT).join("disk")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// Unmounts and waits for the process. Nothing may use the disk any more.
    pub fn stop(mut self) {
        eventually("the disk is let go", || {
            let output = run(Command::new("umount").arg(self.dir.join(MOUNT)));
            assert!(output.status.success() || text(&output).contains("busy"), "{}", text(&output));
            output.status.success()
        });
        let status = common::wait_for(&mut self.process);
        assert!(status.success(), "the disk's server: {status}");
        std::fs::remove_file(self.dir.join(CONTENT)).unwrap();
    }
}

impl Drop for DiskServer {
    fn drop(&mut self) {
        drop(self.watchdog.take());
        common::detach(&self.dir.join(MOUNT));
        // It sees the end of its standard input, if it has not ended with its mount.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
