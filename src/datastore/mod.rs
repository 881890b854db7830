//! Storage engines behind one trait, and the table of them.
//!
//! Invariant: nothing above this layer knows which engine is open; what differs between engines
//! is data in a [`Backend`] row.

mod backends;
mod contract;
pub mod flatfs;
pub mod foreign;
mod indexed;
mod locks;
pub mod memory;
pub mod order;
pub mod redb;
mod rocks;
pub mod sled;

pub use backends::{BACKEND_DEFAULT, BACKENDS, Backend, InPlace, OpenRequest, ProgramLock, backend};
pub use contract::{Datastore, ListedKey, MetaChange, Position, Sync, Usage};
