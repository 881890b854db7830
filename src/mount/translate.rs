//! Between the file system's types and fuser's.

use std::time::{Duration, SystemTime};

use crate::fs::{Attr, Caching, Caller, Kind, OpenIntent, Validity};

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
    use crate::sys::open_flags::OFlag;
    let mode = fuser::OpenFlags(flags).acc_mode();
    let flags = OFlag::from_bits_truncate(flags);
    OpenIntent {
        read: mode != fuser::OpenAccMode::O_WRONLY,
        write: mode != fuser::OpenAccMode::O_RDONLY,
        append: flags.contains(OFlag::O_APPEND),
        exclusive: flags.contains(OFlag::O_EXCL),
    }
}

/// A time to set.
pub fn time(time: fuser::TimeOrNow) -> SystemTime {
    match time {
        fuser::TimeOrNow::SpecificTime(time) => time,
        fuser::TimeOrNow::Now => SystemTime::now(),
    }
}
