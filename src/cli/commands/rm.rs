//! `rm`: blocks out of the store for good.

use std::ffi::OsStr;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::RmArgs;
use crate::cli::config::{self, UMASK};
use crate::cli::lines::Lines;
use crate::cli::watcher::Watcher;
use crate::jobs::blocks::{self, Blocks, Purpose};
use crate::jobs::go_on;
use crate::{Error, Result, sys};

/// Removes the blocks. When it returns, what was removed stays removed.
pub(in crate::cli) fn run(args: &RmArgs) -> Result<ExitCode> {
    let place = config::place(&args.place)?;
    sys::set_umask(UMASK);
    let mut watcher = Watcher::start(true)?;
    let mut lines = Lines::new(args.place.json);
    let blocks = blocks::open(&place, Purpose::Change, &mut watcher)?;
    let mut result = Ok(());
    let mut removed = Vec::new();
    for (asked, done) in args.cids.iter().zip(0..) {
        result = go_on(&mut watcher, "removing", done, args.cids.len() as u64);
        if result.is_err() {
            break;
        }
        match remove_one(&*blocks, asked, args.force) {
            Ok((cid, was_there)) => removed.push((asked, cid, was_there)),
            Err(error) => lines.failed("asked", asked, &error),
        }
    }
    let synced = blocks.sync();
    if synced.is_ok() {
        for (asked, cid, was_there) in removed {
            lines.done(
                Vec::new,
                || json!({"status": "ok", "asked": asked.to_string_lossy(), "cid": cid, "removed": was_there}),
            );
        }
    }
    lines.finish(result.and(synced).and(blocks.close()))
}

/// The CID in canonical spelling, and whether the block was there.
fn remove_one(blocks: &dyn Blocks, asked: &OsStr, force: bool) -> Result<(String, bool)> {
    let cid = config::cid(asked)?;
    let was_there = blocks::remove(blocks, &cid)?;
    if !was_there && !force {
        return Err(Error::NotFound);
    }
    Ok((cid.to_string(), was_there))
}
