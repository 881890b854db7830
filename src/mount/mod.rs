//! The kernel's side: mounting, the fuser adapter, the session, unmounting.

mod attach;
mod detach;
mod fusermount;
mod options;
pub mod point;

pub use attach::attach;
pub use detach::{UnmountOptions, detach, unmount_and_wait};
pub use options::{MountFlag, ServeOptions};
