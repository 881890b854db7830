//! The one error type, and the one table that says what each error means to the kernel
//! (errno), to a script (exit code) and to a person (hint).
//!
//! Invariant: the table in [`Error::verdict`] is exhaustive, so a new variant does not compile
//! until somebody has decided all three.

mod verdict;

pub use verdict::Verdict;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is meant as a CID and does not parse as one.
    #[error("{name} is not a CID: {why}")]
    NameInvalid { name: String, why: String },
    /// A file name of more than 255 bytes.
    #[error("the name has {length_bytes} bytes, the longest possible is 255")]
    NameTooLong { length_bytes: usize },
    /// The multihash names a hash function that this program does not know.
    #[error("the hash function 0x{code:x} is not known")]
    HashUnknown { code: u64 },
    /// The hash function, or this length of its digest, is not allowed for blocks.
    #[error("the hash function 0x{code:x} is not accepted here: {why}")]
    HashRefused { code: u64, why: &'static str },
    /// A name that is no CID, in a mount that takes only CIDs (`--strict`).
    #[error("{name} is not a CID, and this mount takes only CIDs (--strict)")]
    NameNotCid { name: String },
    /// The bytes written do not hash to the CID they were written under.
    #[error("the bytes written to {cid} are not that block: they hash to {computed}")]
    Mismatch { cid: String, computed: String },
    /// The bytes written over a stored block are not its bytes, from this offset on.
    #[error("the bytes written to {cid} are not that block: they differ from byte {at_byte} on")]
    Differs { cid: String, at_byte: u64 },
    /// The stored bytes do not hash to their key.
    #[error("the stored bytes of {cid} are damaged: they do not hash to it")]
    Damaged { cid: String },
    /// A block would be larger than the mount allows.
    #[error("a block may have at most {limit_bytes} bytes here")]
    TooBig { limit_bytes: u64 },
    /// Free space would fall under the reserve, or the device is full.
    #[error("too little free space for {}: {free_bytes} bytes free, {reserve_bytes} reserved", path.display())]
    NoSpace { path: PathBuf, free_bytes: u64, reserve_bytes: u64 },
    /// The storage engine needs more room than there is for what it was asked to do.
    #[error("the storage engine needs {needed_bytes} bytes of free space in {}, and there are {free_bytes}", path.display())]
    EngineNeedsSpace { path: PathBuf, free_bytes: u64, needed_bytes: u64 },
    /// Free inodes would fall under the reserve.
    #[error("too few free inodes for {}: {free}", path.display())]
    NoInodes { path: PathBuf, free: u64 },
    /// The memory backend is at its limit.
    #[error("the memory backend is full: its limit is {limit_bytes} bytes")]
    MemoryFull { limit_bytes: u64 },
    /// All writers together hold as many bytes as `--max-staging` allows.
    #[error("unfinished writes already hold {limit_bytes} bytes of memory")]
    StagingFull { limit_bytes: u64 },
    /// The mount holds as many names that are no CIDs as it can.
    #[error("this mount holds {limit} names that are not CIDs, which is the most it can")]
    NamesFull { limit: usize },
    /// There is no such file or block.
    #[error("no such block or file")]
    NotFound,
    /// The file has no extended attribute of this name.
    #[error("no such extended attribute")]
    AttributeMissing,
    /// The name exists already and the caller wanted it not to.
    #[error("the name exists already")]
    Exists,
    /// The object is gone; the kernel must look its name up again.
    #[error("the file has been replaced or removed")]
    Stale,
    /// The daemon has been told to stop.
    #[error("the mount is ending: what is open is served, and nothing is opened any more")]
    Stopping,
    /// The mount is read-only.
    #[error("the mount is read-only")]
    ReadOnly,
    /// The operation is never allowed here; the text says which and why.
    #[error("{what}")]
    NotPermitted { what: &'static str },
    /// The caller is not the owner of the mount.
    #[error("permission denied")]
    AccessDenied,
    /// The block is in use under another name.
    #[error("the block is what the name {name} stands for")]
    BlockInUse { name: String },
    /// An argument of a request makes no sense here.
    #[error("{what}")]
    InvalidRequest { what: &'static str },
    /// A request that this file system does not offer.
    #[error("{what}")]
    NotSupported { what: &'static str },
    /// The command line is wrong.
    #[error("{what}")]
    Usage { what: String, hint: String },
    /// No backend has this name.
    #[error("there is no backend named {name}; known are {known}")]
    BackendUnknown { name: String, known: String },
    /// This build was made without the engine of a backend.
    #[error("this build of ipfs-persist-mount has no {engine}, which the backend {name} needs")]
    BackendNotBuilt { name: &'static str, engine: &'static str, feature: &'static str },
    /// The data directory was made with a backend that this build does not have.
    #[error("{} was made with the backend {backend}, which this build does not have", path.display())]
    BackendMissing { path: PathBuf, backend: String },
    /// The data directory was made with another backend than the one asked for.
    #[error("{} was made with the backend {found}, and {asked} was asked for", path.display())]
    BackendMismatch { path: PathBuf, found: String, asked: String },
    /// Another process holds the data directory.
    #[error("{} is in use by {holder}", path.display())]
    Locked { path: PathBuf, holder: String },
    /// Another program holds its own store, which was to be opened in place.
    #[error("{} is in use by {holder}", path.display())]
    LockedByProgram { path: PathBuf, holder: String, release: &'static str },
    /// What belongs beside another program's store cannot be kept there.
    #[error("{} cannot be opened in place: its lock and marker belong in {}: {source}", path.display(), beside.display())]
    BesideUnwritable { path: PathBuf, beside: PathBuf, source: Arc<io::Error> },
    /// The data directory was made by a newer version of this program.
    #[error("{} has format version {found}, this program knows versions up to {known}", path.display())]
    FormatNewer { path: PathBuf, found: u32, known: u32 },
    /// The directory holds data that this program did not make.
    #[error("{} is not a store of ipfs-persist-mount: {what}", path.display())]
    StoreForeign { path: PathBuf, what: String, hint: String },
    /// The data directory is ours and cannot be read.
    #[error("the store {} is damaged: {what}", path.display())]
    StoreDamaged { path: PathBuf, what: String },
    /// The store was not closed, and cannot be opened without writing.
    #[error("the store {} was not closed by its last user and must be repaired before it can be read", path.display())]
    StoreUnclean { path: PathBuf },
    /// The engine needs room to open the store, and there is none.
    #[error("the disk is too full to open the store {}: {source}", path.display())]
    StoreOnFullDisk { path: PathBuf, source: Arc<io::Error> },
    /// A storage engine failed, for a reason that has no errno.
    #[error("the storage engine failed on {}: {what}", path.display())]
    EngineFailed { path: PathBuf, what: String },
    /// The data directory does not exist and may not be made.
    #[error("there is no store at {}", path.display())]
    StoreMissing { path: PathBuf },
    /// The mount point cannot be used; the text says why.
    #[error("cannot mount on {}: {why}", path.display())]
    MountPoint { path: PathBuf, why: String, hint: String },
    /// /dev/fuse is missing or may not be opened.
    #[error("cannot open /dev/fuse: {source}")]
    FuseDevice { source: Arc<io::Error> },
    /// The kernel or the mount helper refused the mount.
    #[error("mounting {} failed: {why}", path.display())]
    MountFailed { path: PathBuf, why: String, hint: String },
    /// The process may not have the memory that a mount needs.
    #[error("a mount needs {needed_bytes} bytes more of address space, and there are {left_bytes}")]
    AddressSpace { left_bytes: u64, needed_bytes: u64 },
    /// Nothing of ours is mounted there.
    #[error("{} is not a mount of ipfs-persist-mount", path.display())]
    NotMounted { path: PathBuf },
    /// Nobody serves the mount any more, or not in time.
    #[error("the mount at {} does not answer", path.display())]
    MountDead { path: PathBuf },
    /// A daemon has ended, and its store was not closed as it should be.
    #[error("{} was unmounted, and its store {} was not closed cleanly", path.display(), store.display())]
    StoreNotClosed { path: PathBuf, store: PathBuf },
    /// The mount has open files.
    #[error("{} is in use by {holders}", path.display())]
    MountBusy { path: PathBuf, holders: String },
    /// A signal has ended the work of a command before it was done.
    #[error("stopped by {signal}")]
    Stopped { signal: &'static str },
    /// A panic was caught; the request it happened in failed.
    #[error("{what}")]
    Internal { what: String },
    /// A system call failed.
    #[error("{context}: {source}")]
    Io { context: String, source: Arc<io::Error> },
}

impl Error {
    /// Wraps a failed system call with what was being done, for example `open /data/lock`.
    pub fn io(context: impl Into<String>, source: io::Error) -> Self {
        Error::Io { context: context.into(), source: Arc::new(source) }
    }

    /// Wraps a failed system call on a path: `op` is a verb such as `open`.
    pub fn io_at(op: &str, path: &Path, source: io::Error) -> Self {
        Error::Io { context: format!("{op} {}", path.display()), source: Arc::new(source) }
    }
}
