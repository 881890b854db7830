//! The kernel's side: mounting, the fuser adapter, the session, unmounting.

mod options;

pub use options::ServeOptions;
