//! What a mount allows.

use crate::block::CidOptions;

/// The rules of one mount.
#[derive(Debug, Clone)]
pub struct FsOptions {
    /// Largest block that may be written, in bytes.
    pub block_bytes_max: u64,
    /// Most bytes that all writers together may have staged.
    pub staging_bytes_max: u64,
    /// The CID that bytes get which are written under a name that is no CID.
    pub cid_options: CidOptions,
    /// Refuse names that are no CIDs.
    pub strict: bool,
    /// Refuse deletions.
    pub no_delete: bool,
    /// Refuse every change.
    pub read_only: bool,
    /// Owner of every file, and the only user besides root who may change anything.
    pub uid: u32,
    /// Group of every file.
    pub gid: u32,
}
