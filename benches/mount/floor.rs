//! The floor: a FUSE server that does for each request what any server must, and nothing more.
//!
//! It answers with the same flags, lifetimes, loops and mount options as `src/mount`, from memory. It
//! accepts new files, remembers their names, and throws their bytes away: no hash, no store. What a mount
//! costs above this is the mount's own.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use ipfs_persist_mount::sys::{self, MountRequest};

use crate::outcome::{During, Outcome};

/// What `src/mount/adapter.rs` asks for.
const WRITE_BYTES_MAX: u32 = 1 << 20;
const BACKGROUND_MAX: u16 = 64;
/// Lifetime of what never changes.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of the first file.
const FIRST: u64 = 16;
/// Numbers of files that were created here begin here.
const CREATED: u64 = 1 << 62;
const GENERATION: Generation = Generation(0);

struct Floor {
    by_name: HashMap<OsString, u64>,
    files: Vec<(OsString, Bytes)>,
    created: Mutex<HashMap<OsString, u64>>,
    next: AtomicU64,
    time: SystemTime,
    owner: (u32, u32),
}

/// Serves the files of a directory from memory, and says `ready` on standard output.
pub fn serve(mount_point: &Path, source: &Path) -> Outcome<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(source).during("read the floor's files")? {
        let entry = entry?;
        files.push((entry.file_name(), Bytes::from(fs::read(entry.path())?)));
    }
    let by_name = files.iter().map(|(name, _)| name.clone()).zip(FIRST..).collect();
    let floor = Floor {
        by_name,
        files,
        created: Mutex::default(),
        next: AtomicU64::new(CREATED),
        time: SystemTime::now(),
        owner: sys::effective_ids(),
    };
    let mut config = fuser::Config::default();
    config.n_threads = Some(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4));
    config.clone_fd = true;
    let session = if sys::effective_ids().0 == 0 {
        let device = sys::open_fuse_device().during("open /dev/fuse")?;
        let request = MountRequest {
            target: mount_point,
            source: "floor",
            fs_type: "fuse.floor",
            owner: sys::real_ids(),
            allow_other: false,
            read_only: false,
            no_exec: false,
            no_atime: false,
            no_dir_atime: false,
        };
        sys::mount_fuse(&device, &request).during("mount the floor")?;
        fuser::Session::from_fd(floor, device, fuser::SessionACL::All, config)
    } else {
        fuser::Session::new(floor, mount_point, &config)
    };
    let session = session.during("begin to serve the floor")?;
    println!("ready");
    io::stdout().flush()?;
    session.run().during("serve the floor")
}

impl Floor {
    fn attr(&self, ino: u64, size: u64) -> FileAttr {
        let directory = ino == INodeNo::ROOT.0;
        FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size.div_ceil(512),
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            crtime: SystemTime::UNIX_EPOCH,
            kind: if directory { FileType::Directory } else { FileType::RegularFile },
            perm: if directory { 0o755 } else { 0o444 },
            nlink: if directory { 2 } else { 1 },
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 128 << 10,
            flags: 0,
        }
    }

    fn file(&self, ino: u64) -> Option<&(OsString, Bytes)> {
        self.files.get(usize::try_from(ino.checked_sub(FIRST)?).ok()?)
    }

    /// The number and lifetime of a name.
    fn find(&self, name: &OsStr) -> Option<u64> {
        let created = || self.created.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        self.by_name.get(name).copied().or_else(created)
    }

    fn size(&self, ino: u64) -> u64 {
        self.file(ino).map_or(0, |(_, bytes)| bytes.len() as u64)
    }

    /// The files behind a cookie, with the cookie behind each.
    fn behind(&self, offset: u64) -> impl Iterator<Item = (u64, &OsString, u64)> {
        let skip = usize::try_from(offset.saturating_sub(FIRST)).unwrap_or(usize::MAX);
        let files = self.files.iter().zip(FIRST..).skip(skip);
        files.map(|((name, bytes), ino)| (ino, name, bytes.len() as u64))
    }
}

// The parameters are fuser's; one line each would bury the calls.
#[rustfmt::skip]
impl fuser::Filesystem for Floor {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        use InitFlags as Flags;
        for flag in [Flags::FUSE_PARALLEL_DIROPS, Flags::FUSE_DO_READDIRPLUS, Flags::FUSE_READDIRPLUS_AUTO] {
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.find(name) {
            Some(ino) => reply.entry(&LONG, &self.attr(ino, self.size(ino)), GENERATION),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn forget(&self, _: &Request, _: INodeNo, _lookups: u64) {}

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&LONG, &self.attr(ino.0, self.size(ino.0)));
    }

    fn setattr(
        &self, _: &Request, ino: INodeNo, _: Option<u32>, _: Option<u32>, _: Option<u32>, _: Option<u64>,
        _: Option<TimeOrNow>, _: Option<TimeOrNow>, _: Option<SystemTime>, _: Option<FileHandle>,
        _: Option<SystemTime>, _: Option<SystemTime>, _: Option<SystemTime>, _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&LONG, &self.attr(ino.0, self.size(ino.0)));
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        reply.ok();
    }

    fn create(
        &self, _: &Request, _: INodeNo, name: &OsStr, _mode: u32, _umask: u32, _flags: i32, reply: ReplyCreate,
    ) {
        let ino = self.next.fetch_add(1, Ordering::Relaxed);
        self.created.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), ino);
        let attr = self.attr(ino, 0);
        reply.created(&Duration::ZERO, &attr, GENERATION, FileHandle(ino), FopenFlags::empty());
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(ino.0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
    }

    fn read(
        &self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, size: u32, _: OpenFlags,
        _: Option<LockOwner>, reply: ReplyData,
    ) {
        let bytes = self.file(ino.0).map_or(&[][..], |(_, bytes)| bytes);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(size as usize).min(bytes.len());
        reply.data(bytes.get(from..to).unwrap_or_default());
    }

    fn write(
        &self, _: &Request, _: INodeNo, _: FileHandle, _offset: u64, data: &[u8], _: WriteFlags, _: OpenFlags,
        _: Option<LockOwner>, reply: ReplyWrite,
    ) {
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self, _: &Request, _: INodeNo, _: FileHandle, _: OpenFlags, _: Option<LockOwner>, _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(ino.0), FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        for (ino, name, _) in self.behind(offset) {
            if reply.add(INodeNo(ino), ino + 1, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        for (ino, name, size) in self.behind(offset) {
            if reply.add(INodeNo(ino), ino + 1, name, &LONG, &self.attr(ino, size), GENERATION) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, _: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
