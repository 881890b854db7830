//! `ls`: the blocks of the store.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::Result;
use crate::cli::args::LsArgs;
use crate::cli::config::{self, UMASK};
use crate::cli::lines::{Lines, unix_time, utc};
use crate::cli::watcher::Watcher;
use crate::jobs::blocks::{self, Listed, Purpose};
use crate::jobs::go_on;
use crate::sys;

/// Prints the canonical CID of every block, in the backend's order. `ls | xargs rm` would wait for itself
/// if the store was held until all are printed.
pub(in crate::cli) fn run(args: &LsArgs) -> Result<ExitCode> {
    let place = config::place(&args.place)?;
    sys::set_umask(UMASK);
    let mut watcher = Watcher::start(true)?;
    let mut lines = Lines::new(args.place.json);
    let blocks = blocks::open(&place, Purpose::Read, &mut watcher)?;
    if blocks.keeps_others_out() {
        lines.hold_back();
    }
    let mut shown = 0;
    let listed = blocks.list(args.long, &mut |listed| {
        shown += 1;
        go_on(&mut watcher, "listing", shown, 0)?;
        lines.done(|| text(&listed).into_bytes(), || object(&listed));
        Ok(lines.is_open())
    });
    let closed = blocks.close();
    lines.let_go();
    lines.finish(listed.and(closed))
}

fn text(listed: &Listed) -> String {
    match &listed.facts {
        Some(facts) => format!("{:>10} {} {}\n", facts.size_bytes, utc(facts.mtime), listed.cid),
        None => format!("{}\n", listed.cid),
    }
}

fn object(listed: &Listed) -> Value {
    let Some(facts) = &listed.facts else { return json!({"cid": listed.cid}) };
    let (secs, nanos) = unix_time(facts.mtime);
    json!({
        "cid": listed.cid,
        "size_bytes": facts.size_bytes,
        "mtime_unix_secs": secs,
        "mtime_nanos": nanos,
    })
}
