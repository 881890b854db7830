//! docs/BENCHMARKS.md, and the tables for the terminal, from results.json.

use std::fmt::Write as _;

use ipfs_persist_mount::blockstore::Durability;

use crate::large::{LS_F_AGAIN, LS_L_AGAIN};
use crate::reading::{READ_1K, STAT};
use crate::results::{Figure, Results};
use crate::table::{Table, number};
use crate::targets;
use crate::writing::{ENGINE, row};

/// Longest line of text.
const LINE_CHARS_MAX: usize = 108;

const INTRODUCTION: &str = "\
# Benchmarks

Written by `scripts/bench.sh --write-docs`, which measures and writes this file. Everything was measured in
one run, the contenders one after the other in each round, so that what else the machine did fell on all
of them. A figure is the median of the rounds; a ratio is the median of the ratios of each round.

- **ext4** is an ordinary directory on the disk that has the data directories.
- **floor** is a bare FUSE server (`benches/mount/floor.rs`) with the flags, lifetimes, loops and mount
  options of a mount, which answers from memory and throws away what is written: what a mount costs above it
  is the mount's own.
- **engine NAME** is the backend's engine called directly in the measuring process: no mount, no hash.
- **ipfs** is Kubo, asked over its HTTP API (block/put, block/get) by one connection that is kept.
- **hash** is computing the sha2-256 of the block and comparing it.

What one client does is measured with client and server on one processor. On two, the time that a
sleeping processor takes to wake up would be most of each figure, and chance would decide on it. What
several writers do is measured on all processors.
";

/// The whole document.
pub fn document(results: &Results, notes: &str) -> String {
    let mut text = String::from(INTRODUCTION);
    text.push_str("\n## Where\n\n");
    let mut table = Table::new(&["", ""]);
    table.rows = results.machine.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    text.push_str(&table.to_markdown());
    for missing in &results.missing {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n`{}`: {}.\n", missing.contender, missing.why);
    }
    text.push_str("\n![The figures as bars](benchmarks.svg)\n\n## What the figures mean\n\n");
    text.push_str(&wrapped(&meaning(results)));
    text.push_str("\n\n## Targets\n\n");
    text.push_str(&targets::table(results).to_markdown());
    text.push('\n');
    text.push_str(notes.trim_end());
    text.push_str("\n\n");
    text.push_str(&tables(results, "##"));
    text
}

/// A table for each topic, with every contender.
pub fn tables(results: &Results, level: &str) -> String {
    let mut text = String::new();
    for topic in results.distinct(|_| true, |figure| &figure.topic) {
        let _ = write!(text, "{level} {}\n\n", capitalised(topic));
        let _ = write!(text, "{}\n\n", wrapped(explanation(topic)));
        text.push_str(&of_topic(results, topic).to_markdown());
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// Text with lines that are broken where they would be too long.
fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut length = 0;
        for word in line.split(' ') {
            if length > 0 && length + 1 + word.len() > LINE_CHARS_MAX {
                wrapped.push('\n');
                length = 0;
            } else if length > 0 {
                wrapped.push(' ');
                length += 1;
            }
            wrapped.push_str(word);
            length += word.len();
        }
        wrapped.push('\n');
    }
    wrapped.trim_end().to_owned()
}

fn capitalised(topic: &str) -> String {
    let mut signs = topic.chars();
    signs.next().map(|first| first.to_uppercase().chain(signs).collect()).unwrap_or_default()
}

fn explanation(topic: &str) -> &'static str {
    match topic {
        "reading" => {
            "Microseconds for each operation; in brackets the ratio to the floor, for stat to ext4. `file` as root \
             lets the kernel read large blocks past the mount. \"Cache dropped\" means the pages that the kernel \
             keeps of the mount, not those of the disk: ext4 has none of the former and is measured hot."
        }
        "writing, relaxed" => {
            "Create, write and close; microseconds for each block, the time of all writers together divided by \
             the blocks; in brackets the ratio to the floor."
        }
        "writing, durable" => {
            "Create, write and close, the block durable when close returns (ext4: fsync before close); microseconds \
             for each block, the time of all writers together divided by the blocks; in brackets the ratio to the \
             engine called directly, which is given as many blocks at once as there are writers."
        }
        "100,000 blocks" => {
            "Blocks of 1 KiB. Listings in microseconds for each name, in brackets the ratio to ext4; \"first time\" is \
             right after mounting. Starts in milliseconds, memory in MB (10^6 bytes)."
        }
        _ => "Seconds of processor time of the server, user and system, for each GB (10^9 bytes).",
    }
}

/// A row for each contender and a column for each kind of work.
fn of_topic(results: &Results, topic: &str) -> Table {
    let in_topic = |figure: &Figure| figure.topic == topic;
    let rows = results.distinct(in_topic, |figure| &figure.row);
    let mut table = Table::new(&[""]);
    table.heads.extend(rows.iter().map(|row| shortened(row)));
    for contender in results.distinct(in_topic, |figure| &figure.contender) {
        let cells = rows.iter().map(|row| {
            let Some(figure) = results.find(row, contender) else { return "-".to_owned() };
            let base = base(topic, row, contender);
            let ratio = if base == contender { None } else { results.ratio(row, contender, &base) };
            let ratio = ratio.map(|ratio| format!(" ({ratio:.2}x)")).unwrap_or_default();
            number(figure.median()) + &ratio
        });
        table.rows.push(std::iter::once(contender.to_owned()).chain(cells).collect());
    }
    table
}

/// What a ratio in a table is to.
fn base(topic: &str, row: &str, contender: &str) -> String {
    match topic {
        "writing, durable" if !row.starts_with("delete") => format!("{ENGINE}{contender}"),
        "100,000 blocks" => "ext4".to_owned(),
        _ if row == STAT => "ext4".to_owned(),
        _ => "floor".to_owned(),
    }
}

fn shortened(row: &str) -> String {
    let mut text = row.to_owned();
    for part in [
        "open+read+close ",
        "create+write+close ",
        ", relaxed",
        ", durable",
        ", for each name",
        "processor time of the server for each GB ",
    ] {
        // A start in the relaxed mode stands beside one in the other.
        if !row.starts_with("start") {
            text = text.replace(part, "");
        }
    }
    text
}

/// The most important ratios in sentences.
fn meaning(results: &Results) -> String {
    let mut text = String::new();
    let median = |row: &str, contender: &str| results.find(row, contender).map(Figure::median);
    if let (Some(floor), Some(ext4)) = (median(READ_1K, "floor"), median(READ_1K, "ext4")) {
        let _ = writeln!(
            text,
            "A round trip to a FUSE server costs about {} us here: opening, reading and closing a hot block of 1 KiB \
             is one, for the open, and takes {} us on ext4 and {} us on the floor. No mount can be faster than that, \
             and how much slower it is, is its own work.",
            number(floor - ext4),
            number(ext4),
            number(floor),
        );
    }
    if let Some(create) = median(&row("1 KiB", 1, Durability::Relaxed), "floor") {
        let _ = writeln!(
            text,
            "\nCreating a file is five requests (look up, create, write, flush, release), four of which are waited \
             for: {} us on the floor.",
            number(create),
        );
    }
    if let (Some(names), Some(attributes)) = (median(LS_F_AGAIN, "floor"), median(LS_L_AGAIN, "floor")) {
        let _ = writeln!(
            text,
            "\nListings take few requests, because many names fit into one answer: {} us for each name on the floor, \
             and {} us with attributes that the kernel knows already.",
            number(names),
            number(attributes),
        );
    }
    text
}
