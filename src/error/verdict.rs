//! The exhaustive table: errno, exit code and hint of every error.

use std::io;
use std::path::Path;

use super::{Error, ExitCode};
use crate::sys::errno::*;

/// What an error means outside the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The errno that a system call in the mount returns.
    pub errno: i32,
    /// The exit code of a command.
    pub exit: ExitCode,
    /// What to do next; empty only where the message already says it.
    pub hint: String,
}

const CHECK_CID: &str = "check the CID for a typing or copying mistake";
const SHORTER_NAME: &str = "use a shorter multibase, such as base32 (b...) or base58btc (z...)";
const KNOWN_HASH: &str =
    "hash the block with one of the functions that `ipfs-persist-mount cid --help` lists";
const ALLOWED_HASH: &str = "hash the block with sha2-256 or blake3, with the full digest";
const NAME_BY_CID: &str = "name the file by the CID of its bytes: `ipfs-persist-mount cid FILE` prints it";
const NOT_STRICT: &str =
    "name the file by its CID (`ipfs-persist-mount cid FILE` prints it), or mount without --strict";
const HEAL: &str = "write the right bytes to this CID once more: that heals the stored copy";
const SMALLER: &str = "split the data into smaller blocks, or allow larger ones with --max-block-size";
const FREE_SPACE: &str = "free some space on that file system, or lower --min-free-space";
const MORE_SPACE: &str = "free some space on that file system";
const FREE_INODES: &str = "delete files on that file system: it is out of inodes";
const FREE_MEMORY: &str = "delete blocks, or mount with a larger --memory-limit";
const LESS_STAGING: &str = "close some of the files being written, or mount with a larger --max-staging";
const FEWER_NAMES: &str = "remove names that are no longer needed, or write blocks under their CIDs";
const LIST: &str = "list the mount, or use `ipfs-persist-mount ls`, to see what is stored";
const LIST_ATTRIBUTES: &str = "`getfattr -m - FILE` lists those that the file has";
const REMOVE_FIRST: &str = "remove the existing file first";
const OPEN_AGAIN: &str = "open the file again";
const MOUNT_LATER: &str = "mount it again";
const MOUNT_WRITABLE: &str = "mount without --read-only to change blocks";
const OWNER_ONLY: &str =
    "only the owner of the mount may change blocks; who else may read depends on --allow-other and --umask";
const LIST_BACKENDS: &str = "`ipfs-persist-mount backends` describes each of them";
const OTHER_BUILD: &str =
    "use a build that has it (`ipfs-persist-mount backends` lists those of this one), or another --data-path";
const UNMOUNT_THERE: &str = "unmount it there first (`ipfs-persist-mount unmount MOUNTPOINT`), or wait longer with --lock-wait SECONDS";
const NEWER_PROGRAM: &str = "open it with the version of ipfs-persist-mount that made it, or a newer one";
const BESIDE: &str =
    "mount with --read-only, which needs nothing there, or let your user write in the parent directory";
const RESTORE: &str =
    "restore the named file from a backup, or move the directory away and start a new store";
const MOUNT_ONCE: &str = "mount it once without --read-only: that repairs it";
const READ_ONLY_MEANWHILE: &str =
    "free some space on that file system; until then, --read-only shows what is stored";
const CHECK_DISK: &str = "check the disk (`dmesg` may say more); if it goes on, unmount and mount again";
const FUSE_MODULE: &str =
    "load the kernel module (`modprobe fuse`); in a container, pass `--device /dev/fuse --cap-add SYS_ADMIN`";
const MORE_MEMORY: &str = "allow it more (`ulimit -v` shows the limit, in KiB)";
const FIND_MOUNTS: &str = "`findmnt -t fuse.ipfs-persist-mount` lists what is mounted";
const MOUNT_AGAIN: &str = "unmount it (`ipfs-persist-mount unmount MOUNTPOINT`) and mount it again";
const READ_LOG: &str = "the log of the mount says why; when that is mended (a full disk, for example), mount it again and see whether deletions of the last moments have to be repeated";
const CLOSE_FILES: &str = "close those files or end those programs, then unmount again";
const START_AGAIN: &str = "start the command again to do the whole work";
const REPORT: &str = "this is a bug in ipfs-persist-mount: please report it with the log";

impl Error {
    /// The errno for the kernel.
    pub fn errno(&self) -> i32 {
        self.verdict().errno
    }

    /// The table. A new error does not compile until it has its row here.
    pub fn verdict(&self) -> Verdict {
        use ExitCode::{Failure, Locked, Mount, NoSpace, NotMounted, Store, Usage};
        let row = |errno, exit, hint: &str| Verdict { errno, exit, hint: hint.to_owned() };
        match self {
            Error::NameInvalid { .. } => row(EINVAL, Failure, CHECK_CID),
            Error::NameTooLong { .. } => row(ENAMETOOLONG, Failure, SHORTER_NAME),
            Error::HashUnknown { .. } => row(EOPNOTSUPP, Failure, KNOWN_HASH),
            Error::HashRefused { .. } => row(EINVAL, Failure, ALLOWED_HASH),
            Error::NameNotCid { .. } => row(EINVAL, Failure, NOT_STRICT),
            Error::Mismatch { .. } | Error::Differs { .. } => row(EBADMSG, Failure, NAME_BY_CID),
            Error::Damaged { .. } => row(EIO, Store, HEAL),
            Error::TooBig { .. } => row(EFBIG, Failure, SMALLER),
            Error::NoSpace { .. } => row(ENOSPC, NoSpace, FREE_SPACE),
            Error::EngineNeedsSpace { .. } => row(ENOSPC, NoSpace, MORE_SPACE),
            Error::NoInodes { .. } => row(ENOSPC, NoSpace, FREE_INODES),
            Error::MemoryFull { .. } => row(ENOSPC, NoSpace, FREE_MEMORY),
            Error::StagingFull { .. } => row(ENOMEM, NoSpace, LESS_STAGING),
            Error::NamesFull { .. } => row(ENOSPC, NoSpace, FEWER_NAMES),
            Error::NotFound => row(ENOENT, Failure, LIST),
            Error::AttributeMissing => row(ENODATA, Failure, LIST_ATTRIBUTES),
            Error::Exists => row(EEXIST, Failure, REMOVE_FIRST),
            Error::Stale => row(ESTALE, Failure, OPEN_AGAIN),
            Error::Stopping => row(ENOTCONN, Failure, MOUNT_LATER),
            Error::ReadOnly => row(EROFS, Failure, MOUNT_WRITABLE),
            Error::NotPermitted { .. } => row(EPERM, Failure, ""),
            Error::AccessDenied => row(EACCES, Failure, OWNER_ONLY),
            Error::BlockInUse { name } => row(EBUSY, Failure, &format!("remove the name {name} first")),
            Error::InvalidRequest { .. } => row(EINVAL, Failure, ""),
            Error::NotSupported { .. } => row(EOPNOTSUPP, Failure, ""),
            Error::Usage { hint, .. } => row(EINVAL, Usage, hint),
            Error::BackendUnknown { .. } => row(EINVAL, Usage, LIST_BACKENDS),
            Error::BackendNotBuilt { feature, .. } => {
                row(EINVAL, Usage, &format!("build it with `cargo build --release --features {feature}`"))
            }
            Error::BackendMissing { .. } => row(EINVAL, Store, OTHER_BUILD),
            Error::BackendMismatch { found, .. } => {
                row(EINVAL, Store, &format!("use --backend {found}, or another --data-path"))
            }
            Error::Locked { .. } => row(EBUSY, Locked, UNMOUNT_THERE),
            Error::FormatNewer { .. } => row(EINVAL, Store, NEWER_PROGRAM),
            Error::LockedByProgram { release, .. } => row(
                EBUSY,
                Locked,
                &format!(
                    "stop it first ({release}), wait longer with --lock-wait SECONDS, or look without changing with --read-only"
                ),
            ),
            Error::BesideUnwritable { source, .. } => {
                row(source.raw_os_error().unwrap_or(EIO), Failure, BESIDE)
            }
            Error::StoreForeign { hint, .. } => row(EINVAL, Store, hint),
            Error::StoreDamaged { .. } => row(EIO, Store, RESTORE),
            Error::StoreUnclean { .. } => row(EIO, Store, MOUNT_ONCE),
            Error::StoreOnFullDisk { .. } => row(ENOSPC, NoSpace, READ_ONLY_MEANWHILE),
            Error::EngineFailed { .. } => row(EIO, Failure, CHECK_DISK),
            Error::StoreMissing { path } => row(ENOENT, Failure, &make_or_check(path)),
            Error::MountPoint { hint, .. } => row(EINVAL, Mount, hint),
            Error::FuseDevice { .. } => row(ENODEV, Mount, FUSE_MODULE),
            Error::MountFailed { hint, .. } => row(EIO, Mount, hint),
            Error::AddressSpace { .. } => row(ENOMEM, Failure, MORE_MEMORY),
            Error::NotMounted { .. } => row(EINVAL, NotMounted, FIND_MOUNTS),
            Error::MountDead { .. } => row(ENOTCONN, NotMounted, MOUNT_AGAIN),
            Error::StoreNotClosed { .. } => row(EIO, Store, READ_LOG),
            Error::MountBusy { .. } => row(EBUSY, NotMounted, CLOSE_FILES),
            Error::Stopped { .. } => row(EINTR, Failure, START_AGAIN),
            Error::Internal { .. } => row(EIO, Failure, REPORT),
            Error::Io { source, .. } => system_call(source),
        }
    }
}

/// A system call's own errno goes through unchanged; a few say what to do.
fn system_call(source: &io::Error) -> Verdict {
    let errno = source.raw_os_error().unwrap_or(EIO);
    let (exit, hint) = match errno {
        ENOSPC | EDQUOT => (ExitCode::NoSpace, "free some space on that file system"),
        EACCES | EPERM => (
            ExitCode::Failure,
            "check who owns that path and its permissions, or choose another with --data-path",
        ),
        EROFS => (
            ExitCode::Failure,
            "that file system is read-only: mount the store with --read-only, and keep other files elsewhere",
        ),
        ENOENT => (ExitCode::Failure, "check the path: that file or directory does not exist"),
        ENOTDIR => (ExitCode::Failure, "check the path: a part of it is a file, not a directory"),
        EISDIR => (ExitCode::Failure, "check the path: it is a directory, and a file is wanted"),
        EEXIST => {
            (ExitCode::Failure, "check the path: something else is there, such as a link that leads nowhere")
        }
        ENAMETOOLONG => (ExitCode::Failure, "use a shorter path"),
        EIO => (ExitCode::Failure, "check the disk: `dmesg` may say more"),
        _ => (ExitCode::Failure, ""),
    };
    Verdict { errno, exit, hint: hint.to_owned() }
}

/// What to do about a store that is not there.
fn make_or_check(path: &Path) -> String {
    format!("check the path {}; mounting it without --read-only, or `put`, makes a store", path.display())
}
