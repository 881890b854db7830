//! What each error says to a person: what, and where. What to do next is the hint.

use std::fmt;

use super::Error;

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
            Error::Differs { cid, at_byte } => {
                write!(f, "the bytes written to {cid} are not that block: they differ from byte {at_byte} on")
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
            Error::Io { source, .. } | Error::FuseDevice { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
