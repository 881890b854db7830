//! `stat`: what is known of blocks, or of the store.

use std::ffi::OsString;
use std::process::ExitCode;

use bytesize::ByteSize;
use serde_json::{Value, json};

use crate::Result;
use crate::block::{Cid, CidForm, Version, codec_name, function_by_code};
use crate::cli::args::StatArgs;
use crate::cli::config::{self, UMASK};
use crate::cli::lines::{Lines, unix_time, utc};
use crate::cli::watcher::Watcher;
use crate::jobs::blocks::{self, Blocks, Facts, Purpose, StoreFacts};
use crate::jobs::{Progress, go_on};
use crate::sys;

/// How many blocks are asked for at once, which through a mount costs one listing.
const CIDS_AT_ONCE: usize = 4096;

/// Shows each block, or the store where no block is named.
pub(in crate::cli) fn run(args: &StatArgs) -> Result<ExitCode> {
    let place = config::place(&args.place)?;
    sys::set_umask(UMASK);
    let mut watcher = Watcher::start(true)?;
    let mut lines = Lines::new(args.place.json);
    let blocks = blocks::open(&place, Purpose::Read, &mut watcher)?;
    let shown = if args.cids.is_empty() {
        show_store(&*blocks, &mut watcher, &mut lines)
    } else {
        show_blocks(&*blocks, &args.cids, &mut watcher, &mut lines)
    };
    lines.finish(shown.and(blocks.close()))
}

fn show_blocks(
    blocks: &dyn Blocks,
    asked: &[OsString],
    progress: &mut dyn Progress,
    lines: &mut Lines,
) -> Result<()> {
    let mut first = true;
    for (asked, done) in asked.chunks(CIDS_AT_ONCE).zip(0..) {
        go_on(progress, "asking", done, 0)?;
        let cids: Vec<Result<Cid>> = asked.iter().map(|asked| config::cid(asked)).collect();
        let right: Vec<&Cid> = cids.iter().flatten().collect();
        let mut found = blocks::stat_all(blocks, &right)?.into_iter();
        for (asked, cid) in asked.iter().zip(cids) {
            let told = match cid {
                Err(error) => Err(error),
                // As many answers as questions.
                Ok(_) => found.next().unwrap_or(Err(crate::Error::NotFound)),
            };
            match told {
                Ok((cid, facts)) => {
                    let gap = if std::mem::take(&mut first) { "" } else { "\n" };
                    lines.done(
                        || format!("{gap}{}", block_text(&cid, facts)).into_bytes(),
                        || block_object(&asked.to_string_lossy(), &cid, facts),
                    );
                }
                Err(error) => lines.failed("asked", asked, &error),
            }
        }
    }
    Ok(())
}

fn version_and_codec(cid: &Cid) -> (u8, String) {
    match cid.form() {
        CidForm::Known { version, codec } => {
            let name = codec_name(codec).map_or_else(|| format!("0x{codec:x}"), str::to_owned);
            (if version == Version::V0 { 0 } else { 1 }, name)
        }
        // A codec that nobody has said reads as raw.
        CidForm::Unknown => (1, "raw".to_owned()),
    }
}

fn hash(cid: &Cid) -> String {
    let code = cid.key().code();
    function_by_code(code).map_or_else(|| format!("0x{code:x}"), |function| function.name.to_owned())
}

fn block_text(cid: &Cid, facts: Facts) -> String {
    let (version, codec) = version_and_codec(cid);
    format!(
        "CID:      {cid}\nSize:     {}\nModified: {}\nVersion:  {version}\nCodec:    {codec}\nHash:     {}, {} bytes\n",
        facts.size_bytes,
        utc(facts.mtime),
        hash(cid),
        cid.key().digest().len(),
    )
}

fn block_object(asked: &str, cid: &Cid, facts: Facts) -> Value {
    let (version, codec) = version_and_codec(cid);
    let (secs, nanos) = unix_time(facts.mtime);
    json!({
        "status": "ok",
        "asked": asked,
        "cid": cid.to_string(),
        "size_bytes": facts.size_bytes,
        "mtime_unix_secs": secs,
        "mtime_nanos": nanos,
        "cid_version": version,
        "codec": codec,
        "hash": hash(cid),
        "digest_bytes": cid.key().digest().len(),
    })
}

fn show_store(blocks: &dyn Blocks, progress: &mut dyn Progress, lines: &mut Lines) -> Result<()> {
    let facts = blocks.describe()?;
    let count = blocks::count(blocks, facts.blocks, progress)?;
    lines.done(|| store_text(&facts, count).into_bytes(), || store_object(&facts, count));
    Ok(())
}

fn store_text(facts: &StoreFacts, blocks: u64) -> String {
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let bytes = |bytes: u64| format!("{bytes} bytes ({})", ByteSize(bytes));
    format!(
        "Backend:    {}\nData path:  {}\nStore id:   {}\nMounted at: {}\nBlocks:     {blocks}\nOn disk:    {}\nFree:       {}\n",
        facts.backend,
        or_dash(facts.data_path.as_deref()),
        or_dash(Some(facts.store_id.as_str()).filter(|id| !id.is_empty())),
        or_dash(facts.mount_point.as_deref()),
        facts.disk_bytes.map_or_else(|| "-".to_owned(), bytes),
        bytes(facts.free_bytes),
    )
}

fn store_object(facts: &StoreFacts, blocks: u64) -> Value {
    json!({
        "status": "ok",
        "backend": facts.backend,
        "durable": facts.durable,
        "data_path": facts.data_path,
        "store_id": facts.store_id,
        "mount_point": facts.mount_point,
        "blocks": blocks,
        "disk_bytes": facts.disk_bytes,
        "free_bytes": facts.free_bytes,
    })
}
