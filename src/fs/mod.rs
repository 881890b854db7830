//! The file system in its own terms: inodes, names, staging, directory cursors. Knows no kernel.

mod options;

pub use options::FsOptions;
