//! What commands do with whole stores, from opening them to closing them.
//!
//! Invariant: a job prints nothing and knows no command line. It takes a request, tells a
//! [`Progress`] how far it has come, and returns a summary.

pub mod blocks;
pub mod demo;
mod progress;

pub use progress::{Progress, Unwatched, go_on};
