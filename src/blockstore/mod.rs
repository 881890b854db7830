//! An opened data directory: marker, lock, reserve, read path, write path, close.
//!
//! Invariant: what goes into an engine was verified, what comes out was checked as the mount's
//! policy says, and the engine is closed exactly once, before the lock is released.

mod backlog;
mod ballast;
mod commit;
mod data_dir;
mod grouping;
mod in_place;
mod look;
mod marker;
mod open_block;
mod options;
mod read_path;
mod reserve;
mod reviving;
mod store;
mod syncer;
mod verified_keys;
mod write_path;

pub use ballast::BALLAST_NAME;
pub use commit::{Done, Promise, Stored};
pub use data_dir::{LOCK_NAME, backend_of, holder_of};
pub use marker::{FORMAT_VERSION, MARKER_NAME, Marker};
pub use open_block::OpenBlock;
pub use options::{Durability, StoreOptions, VerifyReads};
pub use read_path::window;
pub use reserve::FREE_INODES_MIN;
pub use store::{Blockstore, StoreInfo};
