//! What is made of listings and of the facts of single blocks.

use std::time::SystemTime;

use super::{Blocks, Facts};
use crate::block::{Cid, Key};
use crate::jobs::{Progress, go_on};
use crate::{Error, Result};

/// How many blocks are counted between two looks at whether to go on.
const COUNTED_AT_ONCE: u64 = 1024;

/// How many blocks the store has, counted if nobody knows.
pub fn count(blocks: &dyn Blocks, known: Option<u64>, progress: &mut dyn Progress) -> Result<u64> {
    if let Some(known) = known {
        return Ok(known);
    }
    let mut counted = 0;
    blocks.list(false, &mut |_| {
        counted += 1;
        if counted % COUNTED_AT_ONCE == 0 {
            go_on(progress, "counting", counted, 0)?;
        }
        Ok(true)
    })?;
    Ok(counted)
}

/// Size, time and the canonical CID of each of these, in their order.
///
/// An identity CID has the time that a mount shows for it, the beginning of 1970.
pub fn stat_all(blocks: &dyn Blocks, cids: &[&Cid]) -> Result<Vec<Result<(Cid, Facts)>>> {
    let facts: Vec<Result<Option<Facts>>> = cids
        .iter()
        .map(|cid| match cid.identity_bytes() {
            Some(bytes) => Ok(Some(Facts { size_bytes: bytes.len() as u64, mtime: SystemTime::UNIX_EPOCH })),
            None => blocks.facts(cid),
        })
        .collect();
    let there = |facts: &Result<Option<Facts>>| matches!(facts, Ok(Some(_)));
    let stored: Vec<&Key> = cids
        .iter()
        .zip(&facts)
        .filter(|(cid, facts)| there(facts) && !cid.is_identity())
        .map(|(cid, _)| cid.key())
        .collect();
    let mut names = blocks.names(&stored)?.into_iter();
    let told = cids.iter().zip(facts).map(|(cid, facts)| {
        let facts = facts?.ok_or(Error::NotFound)?;
        if cid.is_identity() {
            return Ok(((*cid).clone(), facts));
        }
        // One that is only just being written has facts in a mount and is in no listing.
        let name = names.next().flatten().ok_or(Error::NotFound)?;
        Ok((Cid::parse(&name)?, facts))
    });
    Ok(told.collect())
}
