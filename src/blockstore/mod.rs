//! An opened data directory: marker, lock, reserve, read path, write path, close.

mod options;

pub use options::{StoreOptions, VerifyReads};
