//! The flags of open(2) and fallocate(2), by their names.

pub use nix::fcntl::{FallocateFlags, OFlag};
