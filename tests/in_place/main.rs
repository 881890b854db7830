//! Stores of other programs, opened where they are: blocks go both ways, and what is ours lies
//! beside them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod blocks;
#[path = "../common/mod.rs"]
mod common;
mod guards;
mod locks;
mod reading;
mod support;
