//! The fuser adapter: call, match, reply. No logic.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileHandle, FopenFlags, Generation, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::answer::asked;
use super::backing::Backings;
use super::gate::Gate;
use super::translate::{attr, caller, fallocation, intent, kind, open_flags, statfs, time, ttl};
use crate::Error;
use crate::fs::{AttrChange, Filesystem};
use crate::metrics::Op;
use crate::sys::errno::{ENOSYS, ENOTTY};

/// Largest write the kernel sends at once; the most that fs.fuse.max_pages_limit allows.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Requests the kernel may have under way in the background, read-ahead among them.
const BACKGROUND_MAX: u16 = 64;
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

// The parameters are fuser's; one line each would bury the calls.
#[rustfmt::skip]
impl fuser::Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        use InitFlags as Flags;
        for flag in [Flags::FUSE_PARALLEL_DIROPS, Flags::FUSE_DO_READDIRPLUS, Flags::FUSE_READDIRPLUS_AUTO] {
            // An older kernel without it works the same, more slowly.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        let _ = config.set_max_background(BACKGROUND_MAX);
        if self.passthrough
            && config.add_capabilities(Flags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(1).is_ok()
        {
            self.backings.enable();
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let call = |fs: &Filesystem| fs.lookup(parent.0, name, caller(request));
        self.ask(asked(Op::Lookup, request, name), reply, call, |reply, entry| {
            reply.entry(&ttl(entry.validity), &attr(&entry.attr), GENERATION);
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.gate.pass(Op::Forget, |fs| fs.forget(ino.0, lookups));
    }

    fn getattr(&self, request: &Request, ino: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        let handle = handle.map(|handle| handle.0);
        self.ask(asked(Op::Getattr, request, ino), reply, |fs| fs.getattr(ino.0, handle), |reply, entry| {
            reply.attr(&ttl(entry.validity), &attr(&entry.attr));
        });
    }

    fn setattr(
        &self, request: &Request, ino: INodeNo, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>,
        size: Option<u64>, atime: Option<TimeOrNow>, mtime: Option<TimeOrNow>, _: Option<SystemTime>,
        handle: Option<FileHandle>, _: Option<SystemTime>, _: Option<SystemTime>, _: Option<SystemTime>,
        _: Option<BsdFileFlags>, reply: ReplyAttr,
    ) {
        let change = AttrChange { mode, uid, gid, size, atime: atime.map(time), mtime: mtime.map(time) };
        let handle = handle.map(|handle| handle.0);
        let call = |fs: &Filesystem| fs.setattr(ino.0, handle, &change, caller(request));
        self.ask(asked(Op::Setattr, request, ino), reply, call, |reply, entry| {
            reply.attr(&ttl(entry.validity), &attr(&entry.attr));
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.ask(asked(Op::Readlink, request, ino), reply, |fs| fs.readlink(ino.0), |reply, target| {
            reply.data(target.as_bytes());
        });
    }

    fn mknod(
        &self, request: &Request, _: INodeNo, name: &OsStr, _mode: u32, _umask: u32, _rdev: u32,
        reply: ReplyEntry,
    ) {
        self.never(asked(Op::Mknod, request, name), reply, "only regular files are kept here");
    }

    fn mkdir(
        &self, request: &Request, _: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry,
    ) {
        let what = "a blockstore is flat: no directories can be made in it";
        self.never(asked(Op::Mkdir, request, name), reply, what);
    }

    fn symlink(&self, request: &Request, _: INodeNo, name: &OsStr, _: &Path, reply: ReplyEntry) {
        self.never(asked(Op::Symlink, request, name), reply, "no links can be made here");
    }

    fn link(&self, request: &Request, _: INodeNo, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.never(asked(Op::Link, request, name), reply, "no links can be made here");
    }

    fn rmdir(&self, request: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.never(asked(Op::Rmdir, request, name), reply, "the control directory cannot be removed");
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let call = |fs: &Filesystem| fs.unlink(parent.0, name, caller(request));
        self.ask(asked(Op::Unlink, request, name), reply, call, |reply, ()| reply.ok());
    }

    fn rename(
        &self, request: &Request, parent: INodeNo, name: &OsStr, new_parent: INodeNo, new_name: &OsStr,
        flags: RenameFlags, reply: ReplyEmpty,
    ) {
        self.gate.pass(Op::Rename, |fs| {
            let done = self.done(asked(Op::Rename, request, new_name), fs, reply);
            if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
                return done(Err(Error::InvalidRequest { what: "names cannot be exchanged here" }));
            }
            let exclusive = flags.contains(RenameFlags::RENAME_NOREPLACE);
            fs.rename((parent.0, new_parent.0), (name, new_name), exclusive, caller(request), done);
        });
    }

    fn create(
        &self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, flags: i32,
        reply: ReplyCreate,
    ) {
        let call = |fs: &Filesystem| {
            fs.create(parent.0, name, mode, intent(flags), caller(request))
        };
        self.ask(asked(Op::Create, request, name), reply, call, |reply, (entry, opened)| {
            let flags = open_flags(&opened.caching, opened.flush);
            let handle = FileHandle(opened.handle);
            reply.created(&ttl(entry.validity), &attr(&entry.attr), GENERATION, handle, flags);
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let call = |fs: &Filesystem| fs.open(ino.0, intent(flags.0), caller(request));
        self.ask(asked(Op::Open, request, ino), reply, call, |reply, opened| {
            self.reply_opened(ino, &opened, reply);
        });
    }

    fn read(
        &self, request: &Request, ino: INodeNo, handle: FileHandle, offset: u64, size: u32, _: OpenFlags,
        _: Option<LockOwner>, reply: ReplyData,
    ) {
        self.gate.pass(Op::Read, |fs| {
            let mut reply = Some(reply);
            let answer = |bytes: &[u8]| reply.take().into_iter().for_each(|reply| reply.data(bytes));
            let result = fs.read(handle.0, offset, size as usize, answer);
            if let (Err(error), Some(reply)) = (result, reply) {
                reply.error(self.gate.refuse(&asked(Op::Read, request, ino), fs, &error));
            }
        });
    }

    fn write(
        &self, request: &Request, ino: INodeNo, handle: FileHandle, offset: u64, data: &[u8], _: WriteFlags,
        _: OpenFlags, _: Option<LockOwner>, reply: ReplyWrite,
    ) {
        self.answer_write(asked(Op::Write, request, ino), (handle.0, offset, data), reply);
    }

    fn flush(&self, request: &Request, ino: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.gate.pass(Op::Flush, |fs| {
            fs.flush(handle.0, self.done(asked(Op::Flush, request, ino), fs, reply));
        });
    }

    fn fsync(&self, request: &Request, ino: INodeNo, handle: FileHandle, _data: bool, reply: ReplyEmpty) {
        self.gate.pass(Op::Fsync, |fs| {
            fs.fsync(handle.0, self.done(asked(Op::Fsync, request, ino), fs, reply));
        });
    }

    fn release(
        &self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, _: Option<LockOwner>, _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.gate.pass(Op::Release, |fs| {
            fs.release(handle.0);
            self.backings.release(handle.0);
            reply.ok();
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.ask(asked(Op::Opendir, request, ino), reply, |fs| fs.opendir(ino.0), |reply, handle| {
            reply.opened(FileHandle(handle), FopenFlags::empty());
        });
    }

    fn readdir(
        &self, request: &Request, ino: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory,
    ) {
        self.gate.pass(Op::Readdir, |fs| {
            let result = fs.readdir(handle.0, offset, false, &mut |entry, _| {
                !reply.add(INodeNo(entry.ino), entry.cookie, kind(entry.kind), &entry.name)
            });
            match result {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(self.gate.refuse(&asked(Op::Readdir, request, ino), fs, &error)),
            }
        });
    }

    fn readdirplus(
        &self, request: &Request, ino: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus,
    ) {
        self.gate.pass(Op::Readdirplus, |fs| {
            let result = fs.readdir(handle.0, offset, true, &mut |entry, told| {
                let Some(told) = told else { return true };
                let (ttl, attr) = (ttl(told.validity), attr(&told.attr));
                !reply.add(attr.ino, entry.cookie, &entry.name, &ttl, &attr, GENERATION)
            });
            match result {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(self.gate.refuse(&asked(Op::Readdirplus, request, ino), fs, &error)),
            }
        });
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.gate.pass(Op::Releasedir, |fs| {
            fs.release(handle.0);
            reply.ok();
        });
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, _: FileHandle, _data: bool, reply: ReplyEmpty) {
        self.ask(asked(Op::Fsyncdir, request, ino), reply, |fs| fs.sync(), |reply, ()| reply.ok());
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.ask(asked(Op::Statfs, request, ino), reply, |fs| fs.statfs(), |reply, space| {
            statfs(&space, reply);
        });
    }

    fn access(&self, request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let change = mask.contains(AccessFlags::W_OK);
        let call = |fs: &Filesystem| fs.access(ino.0, caller(request), change);
        self.ask(asked(Op::Access, request, ino), reply, call, |reply, ()| reply.ok());
    }

    fn fallocate(
        &self, request: &Request, ino: INodeNo, handle: FileHandle, offset: u64, length: u64, mode: i32,
        reply: ReplyEmpty,
    ) {
        let call = |fs: &Filesystem| {
            fs.fallocate(handle.0, offset, length, fallocation(mode)?)
        };
        self.ask(asked(Op::Fallocate, request, ino), reply, call, |reply, ()| reply.ok());
    }

    // Once answered ENOSYS, the kernel does not ask for extended attributes again: otherwise every
    // write(2) would first ask for security.capability.
    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _size: u32, reply: ReplyXattr) {
        self.decline(Op::Xattr, reply, ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _size: u32, reply: ReplyXattr) {
        self.decline(Op::Xattr, reply, ENOSYS);
    }

    fn setxattr(
        &self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _flags: i32, _position: u32, reply: ReplyEmpty,
    ) {
        self.decline(Op::Xattr, reply, ENOSYS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.decline(Op::Xattr, reply, ENOSYS);
    }

    fn ioctl(
        &self, _: &Request, _: INodeNo, _: FileHandle, _: IoctlFlags, _command: u32, _: &[u8], _out: u32,
        reply: ReplyIoctl,
    ) {
        self.decline(Op::Ioctl, reply, ENOTTY);
    }

    // The kernel then answers SEEK_DATA and SEEK_HOLE from the size: blocks have no holes.
    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _offset: i64, _whence: i32, reply: ReplyLseek) {
        self.decline(Op::Lseek, reply, ENOSYS);
    }

    // The kernel then copies by reading and writing.
    fn copy_file_range(
        &self, _: &Request, _: INodeNo, _: FileHandle, _from: u64, _: INodeNo, _: FileHandle, _to: u64,
        _length: u64, _: CopyFileRangeFlags, reply: ReplyWrite,
    ) {
        self.decline(Op::CopyFileRange, reply, ENOSYS);
    }
}
