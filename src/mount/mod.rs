//! The kernel's side: mounting, the fuser adapter, the session, unmounting.

mod adapter;
mod answer;
mod attach;
mod backing;
mod detach;
mod fusermount;
mod gate;
mod loops;
mod notifier;
mod options;
mod own;
pub mod point;
mod session;
mod translate;

pub use attach::attach;
pub use detach::{UnmountOptions, detach, unmount_and_wait};
pub use loops::check_memory;
pub use options::{MountFlag, ServeOptions};
pub use session::serve;
