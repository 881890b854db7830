//! Reading the blocks of a demo back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::Result;
use crate::block::Key;
use crate::blockstore::Blockstore;
use crate::jobs::{Progress, go_on};

/// How many names of a listing are fetched at once.
const PAGE_KEYS: usize = 1024;

/// What was found of the blocks that were looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Blocks whose bytes were read and hash to their key.
    pub verified: u64,
    /// Blocks that the listing has.
    pub listed: u64,
    /// How long reading and hashing them took in all.
    pub time: Duration,
}

/// Reads each of the blocks, past every cache of this program, and looks for it in the listing.
/// That one is missing is no error here.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) for bytes that do not hash to their key.
pub fn get_all(
    store: &Blockstore,
    keys: &[Key],
    step: &'static str,
    progress: &mut dyn Progress,
) -> Result<Found> {
    let mut found = Found::default();
    for (key, done) in keys.iter().zip(1..) {
        let begun = Instant::now();
        let bytes = store.read_checked(key)?;
        found.time += begun.elapsed();
        found.verified += u64::from(bytes.is_some());
        go_on(progress, step, done, keys.len() as u64)?;
    }
    found.listed = count_listed(store, keys, progress)?;
    Ok(found)
}

fn count_listed(store: &Blockstore, keys: &[Key], progress: &mut dyn Progress) -> Result<u64> {
    let wanted: HashSet<&Key> = keys.iter().collect();
    let (mut listed, mut after) = (0, None);
    loop {
        let page = store.list(after, PAGE_KEYS)?;
        let Some(last) = page.last() else { return Ok(listed) };
        after = Some(store.position(&last.key));
        listed += page.iter().filter(|entry| wanted.contains(&entry.key)).count() as u64;
        go_on(progress, "listing", listed, keys.len() as u64)?;
    }
}
