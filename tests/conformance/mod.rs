//! The contract of `Datastore` as cases, each of which is run with each backend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod basics;
mod blocks;
mod concurrency;
mod listing;
mod meta;
mod order;
mod persistence;
mod store;

use ipfs_persist_mount::datastore::{BACKENDS, Backend};
use libtest_mimic::Trial;

use self::store::Store;

/// One demand on an engine.
pub struct Case {
    /// What the test is called, behind the backend's name.
    name: &'static str,
    /// Which backends it is meant for.
    applies: fn(&Backend) -> bool,
    /// Panics if the engine does not do it. The store is new and empty.
    run: fn(Store),
}

impl Case {
    const fn every(name: &'static str, run: fn(Store)) -> Self {
        Self { name, applies: |_| true, run }
    }

    const fn durable(name: &'static str, run: fn(Store)) -> Self {
        Self { name, applies: |backend| backend.durable, run }
    }

    const fn volatile(name: &'static str, run: fn(Store)) -> Self {
        Self { name, applies: |backend| !backend.durable, run }
    }
}

/// All cases, by subject.
const CASES: &[&[Case]] =
    &[basics::CASES, meta::CASES, order::CASES, listing::CASES, concurrency::CASES, persistence::CASES];

/// The product, named `<backend>::<case>`.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for backend in BACKENDS.iter().filter(|backend| backend.built_in) {
        for case in CASES.iter().copied().flatten().filter(|case| (case.applies)(backend)) {
            let name = format!("{}::{}", backend.name, case.name);
            let run = || {
                (case.run)(Store::new(backend));
                Ok(())
            };
            trials.push(Trial::test(name, run));
        }
    }
    trials
}
