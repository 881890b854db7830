//! The one error type, and the one table that says what each error means to the kernel
//! (errno), to a script (exit code) and to a person (hint).
//!
//! Invariant: the table in [`Error::verdict`] is exhaustive, so a new variant does not compile
//! until somebody has decided all three.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What every fallible function of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The documented exit codes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Something failed that has no code of its own.
    Failure = 1,
    /// The command line cannot be right.
    Usage = 2,
    /// Another process holds the store.
    Locked = 3,
    /// The store is damaged, of another engine, or of a newer format.
    Store = 4,
    /// The file system could not be mounted.
    Mount = 5,
    /// There is too little free space.
    NoSpace = 6,
    /// The mount point is not mounted, or still in use.
    NotMounted = 8,
}

/// Everything that can go wrong, in the program's own terms.
///
/// Fields that name a CID or a file name hold it as the caller spelled it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A name that is meant as a CID and does not parse as one.
    NameInvalid { name: String, why: String },
    /// A file name of more than 255 bytes.
    NameTooLong { length_bytes: usize },
    /// The multihash names a hash function that this program does not know.
    HashUnknown { code: u64 },
    /// The hash function, or this length of its digest, is not allowed for blocks.
    HashRefused { code: u64, why: &'static str },
    /// A name that is no CID, in a mount that takes only CIDs (`--strict`).
    NameNotCid { name: String },
    /// The bytes written do not hash to the CID they were written under.
    Mismatch { cid: String, computed: String },
    /// The stored bytes do not hash to their key.
    Damaged { cid: String },
    /// A block would be larger than the mount allows.
    TooBig { limit_bytes: u64 },
    /// Free space would fall under the reserve, or the device is full.
    NoSpace { path: PathBuf, free_bytes: u64, reserve_bytes: u64 },
    /// Free inodes would fall under the reserve.
    NoInodes { path: PathBuf, free: u64 },
    /// The memory backend is at its limit.
    MemoryFull { limit_bytes: u64 },
    /// All writers together hold as many bytes as `--max-staging` allows.
    StagingFull { limit_bytes: u64 },
    /// The mount holds as many names that are no CIDs as it can.
    NamesFull { limit: usize },
    /// There is no such file or block.
    NotFound,
    /// The name exists already and the caller wanted it not to.
    Exists,
    /// The object is gone; the kernel must look its name up again.
    Stale,
    /// The mount is read-only.
    ReadOnly,
    /// The operation is never allowed here; the text says which and why.
    NotPermitted { what: &'static str },
    /// The caller is not the owner of the mount.
    AccessDenied,
    /// The block is in use under another name.
    BlockInUse { name: String },
    /// An argument of a request makes no sense here.
    InvalidRequest { what: &'static str },
    /// A request that this file system does not offer.
    NotSupported { what: &'static str },
    /// The mount is shutting down.
    ShuttingDown,
    /// The command line is wrong.
    Usage { what: String, hint: String },
    /// No backend has this name.
    BackendUnknown { name: String, known: String },
    /// The data directory was made with another backend than the one asked for.
    BackendMismatch { path: PathBuf, found: String, asked: String },
    /// Another process holds the data directory.
    Locked { path: PathBuf, holder: String },
    /// The data directory was made by a newer version of this program.
    FormatNewer { path: PathBuf, found: u32, known: u32 },
    /// The directory holds data that this program did not make.
    StoreForeign { path: PathBuf, what: String },
    /// The data directory is ours and cannot be read.
    StoreDamaged { path: PathBuf, what: String },
    /// The data directory does not exist and may not be made.
    StoreMissing { path: PathBuf },
    /// The mount point cannot be used; the text says why.
    MountPoint { path: PathBuf, why: String, hint: String },
    /// /dev/fuse is missing or may not be opened.
    FuseDevice { source: io::Error },
    /// The kernel or the mount helper refused the mount.
    MountFailed { path: PathBuf, why: String, hint: String },
    /// Nothing of ours is mounted there.
    NotMounted { path: PathBuf },
    /// The mount has open files.
    MountBusy { path: PathBuf, holders: String },
    /// A panic was caught; the request it happened in failed.
    Internal { what: String },
    /// A system call failed.
    Io { context: String, source: io::Error },
}

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

impl Error {
    /// Wraps a failed system call with what was being done, for example `open /data/lock`.
    pub fn io(context: impl Into<String>, source: io::Error) -> Self {
        Error::Io { context: context.into(), source }
    }

    /// Wraps a failed system call on a path: `op` is a verb such as `open`.
    pub fn io_at(op: &str, path: &Path, source: io::Error) -> Self {
        Error::Io { context: format!("{op} {}", path.display()), source }
    }

    /// The errno for the kernel.
    pub fn errno(&self) -> i32 {
        self.verdict().errno
    }

    /// The exhaustive table: errno, exit code and hint of every error.
    pub fn verdict(&self) -> Verdict {
        let (errno, exit, hint): (i32, ExitCode, String) = match self {
            Error::NameInvalid { .. } => (libc::EINVAL, ExitCode::Failure, "check the CID for a typing or copying mistake".into()),
            Error::NameTooLong { .. } => (libc::ENAMETOOLONG, ExitCode::Failure, "use a shorter multibase, such as base32 (b...) or base58btc (z...)".into()),
            Error::HashUnknown { .. } => (libc::EOPNOTSUPP, ExitCode::Failure, "hash the block with one of the functions that `ipfs-persist-mount cid --help` lists".into()),
            Error::HashRefused { .. } => (libc::EINVAL, ExitCode::Failure, "hash the block with sha2-256 or blake3, with the full digest".into()),
            Error::NameNotCid { .. } => (libc::EINVAL, ExitCode::Failure, "name the file by its CID (`ipfs-persist-mount cid FILE` prints it), or mount without --strict".into()),
            Error::Mismatch { .. } => (libc::EBADMSG, ExitCode::Failure, "name the file by the CID of its bytes: `ipfs-persist-mount cid FILE` prints it".into()),
            Error::Damaged { .. } => (libc::EIO, ExitCode::Store, "write the right bytes to this CID once more: that heals the stored copy".into()),
            Error::TooBig { .. } => (libc::EFBIG, ExitCode::Failure, "split the data into smaller blocks, or mount with a larger --max-block-size".into()),
            Error::NoSpace { .. } => (libc::ENOSPC, ExitCode::NoSpace, "free some space on that file system, or lower --min-free-space".into()),
            Error::NoInodes { .. } => (libc::ENOSPC, ExitCode::NoSpace, "delete files on that file system: it is out of inodes".into()),
            Error::MemoryFull { .. } => (libc::ENOSPC, ExitCode::NoSpace, "delete blocks, or mount with a larger --memory-limit".into()),
            Error::StagingFull { .. } => (libc::ENOMEM, ExitCode::NoSpace, "close some of the files that are being written, or mount with a larger --max-staging".into()),
            Error::NamesFull { .. } => (libc::ENOSPC, ExitCode::NoSpace, "remove names that are no longer needed, or write blocks under their CIDs".into()),
            Error::NotFound => (libc::ENOENT, ExitCode::Failure, "list the mount to see what is stored".into()),
            Error::Exists => (libc::EEXIST, ExitCode::Failure, "remove the existing file first".into()),
            Error::Stale => (libc::ESTALE, ExitCode::Failure, "open the file again".into()),
            Error::ReadOnly => (libc::EROFS, ExitCode::Failure, "mount without --read-only to change blocks".into()),
            Error::NotPermitted { .. } => (libc::EPERM, ExitCode::Failure, String::new()),
            Error::AccessDenied => (libc::EACCES, ExitCode::Failure, "only the user who mounted may change blocks".into()),
            Error::BlockInUse { name } => (libc::EBUSY, ExitCode::Failure, format!("remove the name {name} first")),
            Error::InvalidRequest { .. } => (libc::EINVAL, ExitCode::Failure, String::new()),
            Error::NotSupported { .. } => (libc::EOPNOTSUPP, ExitCode::Failure, String::new()),
            Error::ShuttingDown => (libc::EIO, ExitCode::Failure, "mount the store again".into()),
            Error::Usage { hint, .. } => (libc::EINVAL, ExitCode::Usage, hint.clone()),
            Error::BackendUnknown { .. } => (libc::EINVAL, ExitCode::Usage, "`ipfs-persist-mount backends` describes each of them".into()),
            Error::BackendMismatch { found, .. } => (libc::EINVAL, ExitCode::Store, format!("use --backend {found}, or another --data-path")),
            Error::Locked { .. } => (libc::EBUSY, ExitCode::Locked, "unmount it there first (`ipfs-persist-mount unmount MOUNTPOINT`), or wait longer with --lock-wait SECONDS".into()),
            Error::FormatNewer { .. } => (libc::EINVAL, ExitCode::Store, "open it with the version of ipfs-persist-mount that made it, or a newer one".into()),
            Error::StoreForeign { .. } => (libc::EINVAL, ExitCode::Store, "choose an empty or new directory with --data-path".into()),
            Error::StoreDamaged { .. } => (libc::EIO, ExitCode::Store, "restore the named file from a backup, or move the directory away and start a new store".into()),
            Error::StoreMissing { path } => (libc::ENOENT, ExitCode::Failure, format!("mount it once without --read-only, or check the path {}", path.display())),
            Error::MountPoint { hint, .. } => (libc::EINVAL, ExitCode::Mount, hint.clone()),
            Error::FuseDevice { .. } => (libc::ENODEV, ExitCode::Mount, "load the kernel module (`modprobe fuse`); in a container, pass the device with `--device /dev/fuse --cap-add SYS_ADMIN`".into()),
            Error::MountFailed { hint, .. } => (libc::EIO, ExitCode::Mount, hint.clone()),
            Error::NotMounted { .. } => (libc::EINVAL, ExitCode::NotMounted, "`findmnt -t fuse.ipfs-persist-mount` lists what is mounted".into()),
            Error::MountBusy { .. } => (libc::EBUSY, ExitCode::NotMounted, "close those files or end those programs, then unmount again".into()),
            Error::Internal { .. } => (libc::EIO, ExitCode::Failure, "this is a bug in ipfs-persist-mount: please report it with the log".into()),
            Error::Io { source, .. } => io_verdict(source),
        };
        Verdict { errno, exit, hint }
    }
}

/// A system call's own errno goes through unchanged; a few say what to do.
fn io_verdict(source: &io::Error) -> (i32, ExitCode, String) {
    let errno = source.raw_os_error().unwrap_or(libc::EIO);
    let (exit, hint) = match errno {
        libc::ENOSPC | libc::EDQUOT => (ExitCode::NoSpace, "free some space on that file system"),
        libc::EACCES | libc::EPERM => (
            ExitCode::Failure,
            "check who owns that path and its permissions, or choose another with --data-path",
        ),
        libc::EROFS => (ExitCode::Failure, "that file system is read-only: mount the store with --read-only"),
        libc::EIO => (ExitCode::Failure, "check the disk: `dmesg` may say more"),
        _ => (ExitCode::Failure, ""),
    };
    (errno, exit, hint.into())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NameInvalid { name, why } => write!(f, "{name} looks like a CID and is not one: {why}"),
            Error::NameTooLong { length_bytes } => {
                write!(f, "the name has {length_bytes} bytes, the longest possible is 255")
            }
            Error::HashUnknown { code } => write!(f, "the hash function 0x{code:x} is not known"),
            Error::HashRefused { code, why } => {
                write!(f, "the hash function 0x{code:x} is not accepted here: {why}")
            }
            Error::NameNotCid { name } => {
                write!(f, "{name} is not a CID, and this mount takes only CIDs (--strict)")
            }
            Error::Mismatch { cid, computed } => {
                write!(f, "the bytes written to {cid} are not that block: they hash to {computed}")
            }
            Error::Damaged { cid } => {
                write!(f, "the stored bytes of {cid} are damaged: they do not hash to it")
            }
            Error::TooBig { limit_bytes } => write!(f, "a block may have at most {limit_bytes} bytes here"),
            Error::NoSpace { path, free_bytes, reserve_bytes } => {
                write!(
                    f,
                    "too little free space for {}: {free_bytes} bytes free, {reserve_bytes} reserved",
                    path.display()
                )
            }
            Error::NoInodes { path, free } => write!(f, "too few free inodes for {}: {free}", path.display()),
            Error::MemoryFull { limit_bytes } => {
                write!(f, "the memory backend is full: its limit is {limit_bytes} bytes")
            }
            Error::StagingFull { limit_bytes } => {
                write!(f, "unfinished writes already hold {limit_bytes} bytes of memory")
            }
            Error::NamesFull { limit } => {
                write!(f, "this mount holds {limit} names that are not CIDs, which is the most it can")
            }
            Error::NotFound => write!(f, "no such block or file"),
            Error::Exists => write!(f, "the name exists already"),
            Error::Stale => write!(f, "the file has been replaced or removed"),
            Error::ReadOnly => write!(f, "the mount is read-only"),
            Error::NotPermitted { what } | Error::InvalidRequest { what } | Error::NotSupported { what } => {
                f.write_str(what)
            }
            Error::AccessDenied => write!(f, "permission denied"),
            Error::BlockInUse { name } => write!(f, "the block is what the name {name} stands for"),
            Error::ShuttingDown => write!(f, "the mount is shutting down"),
            Error::Usage { what, .. } | Error::Internal { what } => f.write_str(what),
            Error::BackendUnknown { name, known } => {
                write!(f, "there is no backend named {name}; known are {known}")
            }
            Error::BackendMismatch { path, found, asked } => {
                write!(f, "{} was made with the backend {found}, and {asked} was asked for", path.display())
            }
            Error::Locked { path, holder } => write!(f, "{} is in use by {holder}", path.display()),
            Error::FormatNewer { path, found, known } => {
                write!(
                    f,
                    "{} has format version {found}, this program knows versions up to {known}",
                    path.display()
                )
            }
            Error::StoreForeign { path, what } => {
                write!(f, "{} is not a store of ipfs-persist-mount: {what}", path.display())
            }
            Error::StoreDamaged { path, what } => {
                write!(f, "the store {} is damaged: {what}", path.display())
            }
            Error::StoreMissing { path } => write!(f, "there is no store at {}", path.display()),
            Error::MountPoint { path, why, .. } => write!(f, "cannot mount on {}: {why}", path.display()),
            Error::FuseDevice { source } => write!(f, "cannot open /dev/fuse: {source}"),
            Error::MountFailed { path, why, .. } => write!(f, "mounting {} failed: {why}", path.display()),
            Error::NotMounted { path } => {
                write!(f, "{} is not a mount of ipfs-persist-mount", path.display())
            }
            Error::MountBusy { path, holders } => write!(f, "{} is in use by {holders}", path.display()),
            Error::Io { context, source } => write!(f, "{context}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::FuseDevice { source } => Some(source),
            _ => None,
        }
    }
}
