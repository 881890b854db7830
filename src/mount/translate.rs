//! Between the file system's types and fuser's.

use std::time::{Duration, SystemTime};

use crate::fs::{Attr, Caching, Caller, Kind, OpenIntent, Validity};
use crate::sys::Space;
use crate::sys::open_flags::{FallocateFlags, OFlag};
use crate::{Error, Result};

/// Longest file name (statfs(2)).
const NAME_BYTES_MAX: u32 = 255;

/// How long the kernel may keep what other programs may change meanwhile.
const BRIEF: Duration = Duration::from_secs(1);

/// How long the kernel may keep what never changes.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Size of the units in which `st_blocks` counts (stat(2)).
const STAT_BLOCK_BYTES: u64 = 512;

/// The preferred size of a read or write that stat(2) tells.
const IO_BYTES: u32 = 128 << 10;

/// How long an answer holds.
pub fn ttl(validity: Validity) -> Duration {
    match validity {
        Validity::None => Duration::ZERO,
        Validity::Brief => BRIEF,
        Validity::Long => LONG,
    }
}

/// The kind of a file.
pub fn kind(kind: Kind) -> fuser::FileType {
    match kind {
        Kind::File => fuser::FileType::RegularFile,
        Kind::Directory => fuser::FileType::Directory,
        Kind::Symlink => fuser::FileType::Symlink,
    }
}

/// Attributes.
pub fn attr(attr: &Attr) -> fuser::FileAttr {
    fuser::FileAttr {
        ino: fuser::INodeNo(attr.ino),
        size: attr.size_bytes,
        blocks: attr.size_bytes.div_ceil(STAT_BLOCK_BYTES),
        atime: attr.atime,
        mtime: attr.mtime,
        ctime: attr.ctime,
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(attr.kind),
        perm: attr.mode,
        nlink: attr.links,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: IO_BYTES,
        flags: 0,
    }
}

/// Page cache or not. Handles without a verdict save the kernel the FLUSH.
pub fn open_flags(caching: &Caching, flush: bool) -> fuser::FopenFlags {
    let flags = match caching {
        Caching::Fresh => fuser::FopenFlags::empty(),
        Caching::Keep => fuser::FopenFlags::FOPEN_KEEP_CACHE,
        Caching::Direct => fuser::FopenFlags::FOPEN_DIRECT_IO,
    };
    if flush { flags } else { flags | fuser::FopenFlags::FOPEN_NOFLUSH }
}

/// Who asks.
pub fn caller(request: &fuser::Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

/// What open(2) asks for.
pub fn intent(flags: i32) -> OpenIntent {
    let mode = fuser::OpenFlags(flags).acc_mode();
    let flags = OFlag::from_bits_truncate(flags);
    OpenIntent {
        read: mode != fuser::OpenAccMode::O_WRONLY,
        write: mode != fuser::OpenAccMode::O_RDONLY,
        append: flags.contains(OFlag::O_APPEND),
        exclusive: flags.contains(OFlag::O_EXCL),
    }
}

/// Whether a reservation by fallocate(2) keeps the size. Holes cannot be made.
pub fn fallocation(mode: i32) -> Result<bool> {
    let flags = FallocateFlags::from_bits_retain(mode);
    if (flags - FallocateFlags::FALLOC_FL_KEEP_SIZE).is_empty() {
        Ok(flags.contains(FallocateFlags::FALLOC_FL_KEEP_SIZE))
    } else {
        Err(Error::NotSupported { what: "files can only be extended here" })
    }
}

/// Answers statfs(2).
pub fn statfs(space: &Space, reply: fuser::ReplyStatfs) {
    let unit = space.block_bytes.max(1);
    let (blocks, free) = (space.total_bytes / unit, space.free_bytes / unit);
    let unit = u32::try_from(unit).unwrap_or(u32::MAX);
    let (files, free_files) = (space.total_inodes, space.free_inodes);
    reply.statfs(blocks, free, free, files, free_files, unit, NAME_BYTES_MAX, unit);
}

/// A time to set.
pub fn time(time: fuser::TimeOrNow) -> SystemTime {
    match time {
        fuser::TimeOrNow::SpecificTime(time) => time,
        fuser::TimeOrNow::Now => SystemTime::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside a running Kubo the kernel is told of blocks briefly: `Shared::lasting` says so.
    ///
    /// > With `--read-only` nothing is made and Kubo's lock is not taken: beside a running Kubo the mount
    /// > shows the blocks as they come and go, a name at most a second after the block is gone.
    #[test]
    fn what_another_program_may_change_is_believed_for_a_second() {
        assert_eq!(ttl(Validity::Brief), Duration::from_secs(1));
        assert_eq!(ttl(Validity::None), Duration::ZERO);
        assert!(ttl(Validity::Long) > Duration::from_secs(3600));
    }
}
