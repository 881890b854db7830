//! Blocks and their names: CID spellings, multihash policy, and the verified [`Block`].
//!
//! Invariant: a [`Key`] is a well-formed multihash of an allowed function, and a [`Block`] holds
//! bytes that were seen to hash to its key. Both can only be made by functions that check.

mod key;
mod verified;

pub use key::Key;
pub use verified::{Block, CidForm, Meta, Version};
