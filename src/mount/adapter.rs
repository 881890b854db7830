//! The fuser adapter: call, match, reply. No logic.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileHandle, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::backing::Backings;
use super::gate::{Asked, Gate};
use super::translate::{attr, caller, intent, kind, open_flags, time, ttl};
use crate::fs::{AttrChange, Done, Filesystem, Opened};
use crate::metrics::Op;
use crate::sys::errno::{ENOSYS, ENOTTY};
use crate::{Error, Result};

/// Largest write the kernel sends at once; the most that fs.fuse.max_pages_limit allows.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Requests the kernel may have under way in the background, read-ahead among them.
const BACKGROUND_MAX: u16 = 64;
/// Longest file name (statfs(2)).
const NAME_BYTES_MAX: u32 = 255;
/// Blocks never change their number: one generation.
const GENERATION: Generation = Generation(0);

/// See the module.
pub struct Adapter {
    /// The file system, while it is there.
    pub gate: Arc<Gate>,
    /// Passthrough registrations.
    pub backings: Backings,
    /// Whether to ask for passthrough.
    pub passthrough: bool,
}

fn asked(operation: &'static str, request: &Request, name: Option<&OsStr>) -> Asked {
    Asked { operation, pid: request.pid(), name: name.map(OsStr::to_owned) }
}

impl Adapter {
    /// An answer that is only ok or an error, possibly from another thread.
    fn done(&self, asked: Asked, reply: ReplyEmpty) -> Done {
        let gate = Arc::clone(&self.gate);
        Box::new(move |result| match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(gate.refuse(&asked, &error)),
        })
    }

    fn empty(&self, asked: &Asked, reply: ReplyEmpty, result: Result<()>) {
        match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(self.gate.refuse(asked, &error)),
        }
    }

    fn reply_opened(&self, ino: INodeNo, opened: &Opened, reply: ReplyOpen) {
        let handle = FileHandle(opened.handle);
        let file = opened.passthrough.as_ref().and_then(|block| block.file());
        let backing = file.and_then(|file| {
            self.backings.acquire(ino.0, opened.handle, file, |file| reply.open_backing(file))
        });
        let flags = open_flags(&opened.caching, opened.flush);
        match backing {
            // Passthrough and KEEP_CACHE exclude each other.
            Some(id) => reply.opened_passthrough(handle, flags - FopenFlags::FOPEN_KEEP_CACHE, &id),
            None => reply.opened(handle, flags),
        }
    }

    fn refuse_plainly(
        &self,
        op: Op,
        operation: &'static str,
        what: &'static str,
        request: &Request,
    ) -> Errno {
        self.gate.pass(op, |_| {});
        self.gate.refuse(&asked(operation, request, None), &Error::NotPermitted { what })
    }
}

impl fuser::Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
        ] {
            // An older kernel without it works the same, more slowly.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        let _ = config.set_max_background(BACKGROUND_MAX);
        if self.passthrough
            && config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(1).is_ok()
        {
            self.backings.enable();
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.gate.pass(Op::Lookup, |fs| match fs.lookup(parent.0, name) {
            Ok(entry) => reply.entry(&ttl(entry.validity), &attr(&entry.attr), GENERATION),
            Err(error) => reply.error(self.gate.refuse(&asked("lookup", request, Some(name)), &error)),
        });
    }

    fn forget(&self, _request: &Request, ino: INodeNo, lookups: u64) {
        self.gate.pass(Op::Forget, |fs| fs.forget(ino.0, lookups));
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        self.gate.pass(Op::Getattr, |fs| match fs.getattr(ino.0) {
            Ok(entry) => reply.attr(&ttl(entry.validity), &attr(&entry.attr)),
            Err(error) => reply.error(self.gate.refuse(&asked("getattr", request, None), &error)),
        });
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = AttrChange { mode, uid, gid, size, atime: atime.map(time), mtime: mtime.map(time) };
        self.gate.pass(Op::Setattr, |fs| {
            match fs.setattr(ino.0, handle.map(|handle| handle.0), &change, caller(request)) {
                Ok(entry) => reply.attr(&ttl(entry.validity), &attr(&entry.attr)),
                Err(error) => reply.error(self.gate.refuse(&asked("setattr", request, None), &error)),
            }
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.gate.pass(Op::Readlink, |fs| match fs.readlink(ino.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(error) => reply.error(self.gate.refuse(&asked("readlink", request, None), &error)),
        });
    }

    fn mknod(
        &self,
        request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(self.refuse_plainly(Op::Other, "mknod", "only regular files are kept here", request));
    }

    fn mkdir(
        &self,
        request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let what = "a blockstore is flat: no directories can be made in it";
        reply.error(self.refuse_plainly(Op::Other, "mkdir", what, request));
    }

    fn symlink(&self, request: &Request, _parent: INodeNo, _name: &OsStr, _target: &Path, reply: ReplyEntry) {
        reply.error(self.refuse_plainly(Op::Other, "symlink", "no links can be made here", request));
    }

    fn link(&self, request: &Request, _ino: INodeNo, _parent: INodeNo, _name: &OsStr, reply: ReplyEntry) {
        reply.error(self.refuse_plainly(Op::Other, "link", "no links can be made here", request));
    }

    fn rmdir(&self, request: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(self.refuse_plainly(
            Op::Other,
            "rmdir",
            "the control directory cannot be removed",
            request,
        ));
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.gate.pass(Op::Unlink, |fs| {
            let result = fs.unlink(parent.0, name, caller(request));
            self.empty(&asked("unlink", request, Some(name)), reply, result);
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.done(asked("rename", request, Some(new_name)), reply);
        self.gate.pass(Op::Rename, |fs| {
            if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
                return done(Err(Error::InvalidRequest { what: "names cannot be exchanged here" }));
            }
            let exclusive = flags.contains(RenameFlags::RENAME_NOREPLACE);
            fs.rename((parent.0, new_parent.0), (name, new_name), exclusive, caller(request), done);
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.gate.pass(Op::Create, |fs| {
            match fs.create(parent.0, name, mode, intent(flags), caller(request)) {
                Ok((entry, opened)) => {
                    let flags = open_flags(&opened.caching, opened.flush);
                    let handle = FileHandle(opened.handle);
                    reply.created(&ttl(entry.validity), &attr(&entry.attr), GENERATION, handle, flags);
                }
                Err(error) => reply.error(self.gate.refuse(&asked("create", request, Some(name)), &error)),
            }
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.gate.pass(Op::Open, |fs| match fs.open(ino.0, intent(flags.0), caller(request)) {
            Ok(opened) => self.reply_opened(ino, &opened, reply),
            Err(error) => reply.error(self.gate.refuse(&asked("open", request, None), &error)),
        });
    }

    fn read(
        &self,
        request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.gate.pass(Op::Read, |fs| {
            let mut reply = Some(reply);
            let result = fs.read(handle.0, offset, size as usize, |bytes| {
                if let Some(reply) = reply.take() {
                    reply.data(bytes);
                }
            });
            if let (Err(error), Some(reply)) = (result, reply) {
                reply.error(self.gate.refuse(&asked("read", request, None), &error));
            }
        });
    }

    fn write(
        &self,
        request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.gate.pass(Op::Write, |fs| match fs.write(handle.0, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(full @ Error::StagingFull { .. }) => {
                self.park(fs, asked("write", request, None), (handle.0, offset, data), full, reply);
            }
            Err(error) => reply.error(self.gate.refuse(&asked("write", request, None), &error)),
        });
    }

    fn flush(
        &self,
        request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let done = self.done(asked("close", request, None), reply);
        self.gate.pass(Op::Flush, |fs| fs.flush(handle.0, done));
    }

    fn fsync(&self, request: &Request, _ino: INodeNo, handle: FileHandle, _data: bool, reply: ReplyEmpty) {
        let done = self.done(asked("fsync", request, None), reply);
        self.gate.pass(Op::Fsync, |fs| fs.fsync(handle.0, done));
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.gate.pass(Op::Release, |fs| {
            fs.release(handle.0);
            self.backings.release(handle.0);
            reply.ok();
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.gate.pass(Op::Opendir, |fs| match fs.opendir(ino.0) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(error) => reply.error(self.gate.refuse(&asked("opendir", request, None), &error)),
        });
    }

    fn readdir(
        &self,
        request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.gate.pass(Op::Readdir, |fs| {
            let result = fs.readdir(handle.0, offset, false, &mut |entry, _| {
                !reply.add(INodeNo(entry.ino), entry.cookie, kind(entry.kind), &entry.name)
            });
            match result {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(self.gate.refuse(&asked("readdir", request, None), &error)),
            }
        });
    }

    fn readdirplus(
        &self,
        request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.gate.pass(Op::Readdirplus, |fs| {
            let result = fs.readdir(handle.0, offset, true, &mut |entry, told| {
                let Some(told) = told else { return true };
                let (ttl, attr) = (ttl(told.validity), attr(&told.attr));
                !reply.add(attr.ino, entry.cookie, &entry.name, &ttl, &attr, GENERATION)
            });
            match result {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(self.gate.refuse(&asked("readdir", request, None), &error)),
            }
        });
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.gate.pass(Op::Releasedir, |fs| {
            fs.release(handle.0);
            reply.ok();
        });
    }

    fn fsyncdir(
        &self,
        request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _data: bool,
        reply: ReplyEmpty,
    ) {
        self.gate.pass(Op::Fsyncdir, |fs| {
            let result = fs.sync();
            self.empty(&asked("fsync", request, None), reply, result);
        });
    }

    fn statfs(&self, request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.gate.pass(Op::Statfs, |fs| match fs.statfs() {
            Ok(space) => {
                let unit = space.block_bytes.max(1);
                let (blocks, free) = (space.total_bytes / unit, space.free_bytes / unit);
                let unit = u32::try_from(unit).unwrap_or(u32::MAX);
                let (files, free_files) = (space.total_inodes, space.free_inodes);
                reply.statfs(blocks, free, free, files, free_files, unit, NAME_BYTES_MAX, unit);
            }
            Err(error) => reply.error(self.gate.refuse(&asked("statfs", request, None), &error)),
        });
    }

    fn access(&self, request: &Request, _ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        self.gate.pass(Op::Access, |fs| {
            let result = fs.access(caller(request), mask.contains(AccessFlags::W_OK));
            self.empty(&asked("access", request, None), reply, result);
        });
    }

    fn fallocate(
        &self,
        request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        use crate::sys::open_flags::FallocateFlags;
        self.gate.pass(Op::Fallocate, |fs| {
            let flags = FallocateFlags::from_bits_retain(mode);
            let keep_size = flags.contains(FallocateFlags::FALLOC_FL_KEEP_SIZE);
            let result = if (flags - FallocateFlags::FALLOC_FL_KEEP_SIZE).is_empty() {
                fs.fallocate(handle.0, offset, length, keep_size)
            } else {
                Err(Error::NotSupported { what: "files can only be extended here" })
            };
            self.empty(&asked("fallocate", request, None), reply, result);
        });
    }

    // Once answered ENOSYS, the kernel does not ask for extended attributes again: otherwise every
    // write(2) would first ask for security.capability.
    fn getxattr(&self, _request: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        self.gate.pass(Op::Xattr, |_| reply.error(Errno::from_i32(ENOSYS)));
    }

    fn listxattr(&self, _request: &Request, _ino: INodeNo, _size: u32, reply: ReplyXattr) {
        self.gate.pass(Op::Xattr, |_| reply.error(Errno::from_i32(ENOSYS)));
    }

    fn setxattr(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.gate.pass(Op::Xattr, |_| reply.error(Errno::from_i32(ENOSYS)));
    }

    fn removexattr(&self, _request: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        self.gate.pass(Op::Xattr, |_| reply.error(Errno::from_i32(ENOSYS)));
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _flags: fuser::IoctlFlags,
        _command: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: fuser::ReplyIoctl,
    ) {
        self.gate.pass(Op::Ioctl, |_| reply.error(Errno::from_i32(ENOTTY)));
    }

    fn lseek(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: fuser::ReplyLseek,
    ) {
        // The kernel then answers SEEK_DATA and SEEK_HOLE from the size: blocks have no holes.
        self.gate.pass(Op::Other, |_| reply.error(Errno::from_i32(ENOSYS)));
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _ino_in: INodeNo,
        _handle_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _handle_out: FileHandle,
        _offset_out: u64,
        _length: u64,
        _flags: fuser::CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The kernel then copies by reading and writing.
        self.gate.pass(Op::Other, |_| reply.error(Errno::from_i32(ENOSYS)));
    }
}

impl Adapter {
    /// A write that has to wait for staging memory waits elsewhere, so that the loops go on.
    fn park(&self, fs: &Filesystem, asked: Asked, write: (u64, u64, &[u8]), full: Error, reply: ReplyWrite) {
        let (handle, offset, data) = write;
        let gate = Arc::clone(&self.gate);
        let carried = (asked, data.to_vec(), reply);
        let refused = self.gate.park(carried, move |fs, (asked, data, reply)| {
            match fs.write_when_room(handle, offset, &data) {
                Ok(()) => reply.written(data.len() as u32),
                Err(error) => reply.error(gate.refuse(&asked, &error)),
            }
        });
        if let Some((asked, _, reply)) = refused {
            let error = fs.refuse_write(handle, &full).err().unwrap_or(full);
            reply.error(self.gate.refuse(&asked, &error));
        }
    }
}
