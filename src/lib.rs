//! A FUSE file system that presents a persistent IPFS blockstore as one directory:
//! every file is a block, named by its CID.
//!
//! Layers, from the top; a module imports only from layers below its own
//! (`tests/layers.rs` enforces it):
//!
//! ```text
//! cli          the command line: clap arguments -> options, text and exit codes
//! mount        the kernel's side: mounting, the fuser adapter, the session
//! fs           the file system in its own terms: inodes, names, staging, cursors
//! jobs         what commands do with whole stores; beside fs, neither sees the other
//! blockstore   an opened data directory: marker, lock, reserve, read and write path
//! datastore    storage engines behind one trait, and the table of them
//! block        CID names and keys, multihash policy, the verified block
//! error  metrics  sys   used by all of them
//! ```

pub mod block;
pub mod blockstore;
pub mod cli;
pub mod datastore;
pub mod error;
pub mod fs;
pub mod jobs;
pub mod metrics;
pub mod mount;
pub mod sys;

pub use error::{Error, Result};
