//! What a mount allows.

use std::time::Duration;

use crate::block::CidOptions;

/// The rules of one mount.
#[derive(Debug, Clone)]
pub struct FsOptions {
    /// Largest block that may be written, in bytes.
    pub block_bytes_max: u64,
    /// Most bytes that all writers together may have staged.
    pub staging_bytes_max: u64,
    /// How long a temporary file that was closed may wait to be renamed.
    pub leftover_age_max: Duration,
    /// The CID that bytes get which are written under a name that is no CID.
    pub cid_options: CidOptions,
    /// Refuse names that are no CIDs.
    pub strict: bool,
    /// Refuse deletions.
    pub no_delete: bool,
    /// Show the CID of every block and alias as an extended attribute.
    pub xattr: bool,
    /// Refuse every change.
    pub read_only: bool,
    /// Owner of every file. Only that user, the one who mounted, and root may change anything.
    pub uid: u32,
    /// The user who mounted.
    pub mounter_uid: u32,
    /// Group of every file.
    pub gid: u32,
    /// Permission bits that no file shows; those for reading are enforced as well.
    pub umask: u16,
}

impl Default for FsOptions {
    /// The flags' defaults, with everything owned by root.
    fn default() -> Self {
        Self {
            block_bytes_max: 2 << 20,
            staging_bytes_max: 256 << 20,
            leftover_age_max: Duration::from_secs(60 * 60),
            cid_options: CidOptions::default(),
            strict: false,
            no_delete: false,
            xattr: false,
            read_only: false,
            uid: 0,
            mounter_uid: 0,
            gid: 0,
            umask: 0,
        }
    }
}
