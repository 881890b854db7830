//! Extended attributes: the CID of a block or an alias, where the mount shows it.
//!
//! Invariant: the attribute can be read and listed, and nothing of the kind can be set.

use std::ffi::OsStr;

use super::core::Shared;
use super::inode::Node;
use super::types::Ino;
use crate::{Error, Result};

/// The attribute that holds the canonical CID. Kubo's mounts name it so.
pub const CID_ATTRIBUTE: &str = "ipfs.cid";

impl Shared {
    /// The value of an extended attribute.
    ///
    /// # Errors
    /// [`Error::AttributeMissing`] if the inode has none of that name.
    pub(super) fn getxattr(&self, ino: Ino, name: &OsStr) -> Result<String> {
        if name != CID_ATTRIBUTE {
            return Err(Error::AttributeMissing);
        }
        self.cid_of(ino)?.ok_or(Error::AttributeMissing)
    }

    /// The names of an inode's extended attributes, each with a zero byte behind it (listxattr(2)).
    pub(super) fn listxattr(&self, ino: Ino) -> Result<Vec<u8>> {
        let shown = self.cid_of(ino)?.is_some();
        Ok(if shown { [CID_ATTRIBUTE.as_bytes(), b"\0"].concat() } else { Vec::new() })
    }

    /// The canonical CID of the block that an inode shows; `None` if it shows none.
    fn cid_of(&self, ino: Ino) -> Result<Option<String>> {
        match self.node(ino)? {
            Node::Block { key, form, .. } => self.stored_name(&key, form).map(Some),
            Node::File(file) => {
                let (committed, alias_of) = {
                    let state = file.state.lock();
                    (state.committed, state.alias_of.clone())
                };
                match (alias_of, file.cid()) {
                    (Some(key), _) => self.stored_name(&key, self.options.cid_options.form(&key)).map(Some),
                    (None, Some(cid)) if committed => self.stored_name(cid.key(), cid.form()).map(Some),
                    (None, _) => Ok(None),
                }
            }
            Node::Root | Node::Control(_) | Node::Link(_) => Ok(None),
        }
    }
}
