//! Blocks and their names: CID spellings, multihash policy, and the verified [`Block`].
//!
//! Invariant: a [`Cid`] has a hash function that may name blocks, and a [`Block`] holds bytes that
//! were seen to hash to its key. Both can only be made by functions that check.

mod algorithm;
mod buffer;
mod cid;
mod draft;
mod hasher;
mod key;
mod malformed;
mod multibase;
mod name;
mod options;
mod policy;
mod verified;

pub use buffer::{Buffer, Pool};
pub use cid::{Cid, canonical};
pub use draft::Draft;
pub use hasher::{Hasher, digest_of};
pub use key::Key;
pub use name::{Name, is_temporary};
pub use options::{CidOptions, codec_name, codec_names};
pub use policy::{
    HashFunction, check_allowed, function_by_code, function_by_name, functions, hash_names, hash_names_line,
};
pub use verified::{Block, CidForm, Meta, Version, bytes_match};
