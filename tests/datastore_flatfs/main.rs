//! The `file` engine against stores that go-ds-flatfs 0.6.1 has written, and against damage.
//!
//! Every test runs under umask 077, as the program does: modes are those of the format all the
//! same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fixtures;
mod forms;
mod full;
mod opening;
mod support;
