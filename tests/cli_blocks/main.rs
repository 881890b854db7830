//! `put`, `get`, `ls`, `rm` and `stat`: on a data directory, on one that happens to be mounted, and on
//! a mount, with every durable backend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod failing;
mod going;
mod places;
mod scene;

fn main() {
    let each = [going::CASES, failing::CASES].concat();
    common::rows::main(&[
        (common::durable_backends(), &each),
        (common::durable_backends(), places::CASES),
        (vec!["file"], places::FILE_CASES),
        (vec!["memory"], places::MEMORY_CASES),
    ])
}
