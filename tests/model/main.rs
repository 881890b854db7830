//! Random operations through real mounts, compared with a model in memory.
//!
//! Every system call is made on a mount and in the model, and what it returns has to be the same:
//! bytes, sizes, errno, names. A sequence that fails is made as short as it can be and printed.
//! The seeds are printed too; IPFS_PERSIST_TEST_SEED repeats one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod actual;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod generate;
mod lanes;
mod names;
mod op;
mod random;
mod shrink;
mod solo;
mod truth;

use std::time::Instant;

use common::{Bench, rows};
use names::Lane;
use random::Random;
use solo::{PATIENCE, Player, world};

/// Operations of one sequence.
const SEQUENCE: usize = 1000;
/// Sequences of one mount.
const SEQUENCES_OF_A_MOUNT: usize = 5;
/// Threads on one mount.
const THREADS: usize = 4;
/// The seeds of every build; another one is tried with IPFS_PERSIST_TEST_SEED.
const SEEDS: [u64; 2] = [0x1bad_b10c, 0x2026_1126];

fn main() {
    // Modes of created files are those that were asked for.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let cases: &[rows::Case] =
        cases![one_program_alone, threads_on_their_own_names, threads_on_the_same_blocks];
    rows::main(&[(common::backends(), cases)])
}

/// The seeds of this run.
fn seeds() -> Vec<u64> {
    if let Ok(text) = std::env::var("IPFS_PERSIST_TEST_SEED") {
        let digits = text.trim_start_matches("0x");
        return vec![u64::from_str_radix(digits, 16).expect("IPFS_PERSIST_TEST_SEED is a number in hex")];
    }
    SEEDS.to_vec()
}

/// So many operations each backend has to pass.
fn operations() -> usize {
    std::env::var("IPFS_PERSIST_TEST_OPERATIONS").map_or(100_000, |text| text.parse().unwrap())
}

/// So many more are made by several threads beside each other.
fn operations_of_threads() -> usize {
    operations() / 5
}

fn one_program_alone(backend: &'static str) {
    let seeds = seeds();
    let each = operations().div_ceil(seeds.len());
    for seed in seeds {
        let begun = Instant::now();
        eprintln!("{backend}: {each} operations with IPFS_PERSIST_TEST_SEED={seed:#x}");
        let mut numbers = Random::new(seed);
        let mut left = each;
        while left > 0 {
            let bench = Bench::new(backend);
            let mut player = Player::new(&bench, world(seed), PATIENCE);
            for _ in 0..SEQUENCES_OF_A_MOUNT {
                let count = SEQUENCE.min(left);
                let result = player.run(numbers.next(), count);
                if let Err(failure) = result {
                    drop(player);
                    panic!("{}", shrink::report(backend, seed, Lane::ALONE, &failure));
                }
                left -= count;
            }
            player.finish();
        }
        eprintln!("{backend}: {each} operations in {:.1} s", begun.elapsed().as_secs_f64());
    }
}

fn threads_on_their_own_names(backend: &'static str) {
    let seeds = seeds();
    let each = operations_of_threads().div_ceil(seeds.len()).div_ceil(THREADS);
    for seed in seeds {
        let begun = Instant::now();
        eprintln!(
            "{backend}: {THREADS} threads, {each} operations each with IPFS_PERSIST_TEST_SEED={seed:#x}"
        );
        let mut numbers = Random::new(seed);
        for done in (0..each).step_by(SEQUENCE) {
            let (seed, count) = (numbers.next(), SEQUENCE.min(each - done));
            if let Err(failed) = lanes::run(backend, seed, THREADS, count) {
                panic!("{}", shrink::report(backend, seed, failed.lane, &failed.failure));
            }
        }
        eprintln!("{backend}: {} operations in {:.1} s", THREADS * each, begun.elapsed().as_secs_f64());
    }
}

fn threads_on_the_same_blocks(backend: &'static str) {
    // Beside the operations that are counted: here no model says what exactly has to happen.
    let each = operations_of_threads() / 2 / THREADS;
    for seed in seeds() {
        let begun = Instant::now();
        eprintln!("{backend}: {THREADS} threads, {each} actions each with IPFS_PERSIST_TEST_SEED={seed:#x}");
        crowd::run(backend, seed, THREADS, each);
        eprintln!("{backend}: {} actions in {:.1} s", THREADS * each, begun.elapsed().as_secs_f64());
    }
}
