//! What is to be reached, and whether it was.

use ipfs_persist_mount::blockstore::Durability;

use crate::kubo::KUBO;
use crate::large::{
    LS_F_AGAIN, LS_F_FIRST, LS_L_AGAIN, LS_L_FIRST, START_CLEAN, START_KILLED, START_KILLED_RELAXED,
};
use crate::reading::{DROPPED_1M, DROPPED_256K, READ_1K, READ_1M, READ_256K, STAT};
use crate::results::Results;
use crate::table::{Table, number};
use crate::writing::{ENGINE, HASH, row};

/// A figure beside its target.
#[derive(Debug)]
pub struct Judged {
    /// What was done.
    pub row: String,
    /// By whom.
    pub contender: String,
    /// The target in words.
    pub target: String,
    /// The figure with its unit.
    pub figure: String,
    /// What is compared with the target.
    pub value: String,
    /// Whether it was reached.
    pub reached: bool,
}

/// A bound on the ratio to something that is measured in the same rounds.
enum Bound {
    /// At most so many times what others take together.
    AtMost(f64, &'static str, Vec<String>),
    /// At least so many times as fast as another.
    AtLeast(f64, &'static str, String),
    /// At most so many units.
    Below(f64),
}

/// All figures that have a target, in the order of the targets.
pub fn judge(results: &Results) -> Vec<Judged> {
    let mut judged = Vec::new();
    let mut look = |row: &str, contender: &str, bound: Bound| {
        judged.extend(judged_one(results, row, contender, &bound));
    };
    let contenders = results.distinct(|_| true, |figure| &figure.contender);
    let mounts: Vec<&str> = contenders.into_iter().filter(|name| !is_reference(name)).collect();
    let engines: Vec<&str> = mounts.iter().copied().filter(|name| *name != "file").collect();
    let ext4 = |limit| Bound::AtMost(limit, "ext4", vec!["ext4".to_owned()]);
    let floor = |limit| Bound::AtMost(limit, "the floor", vec!["floor".to_owned()]);
    for name in &mounts {
        look(STAT, name, ext4(1.15));
    }
    for row in [LS_F_FIRST, LS_F_AGAIN] {
        for name in &engines {
            look(row, name, ext4(1.3));
        }
    }
    look(LS_F_FIRST, "file", ext4(2.5));
    for name in &mounts {
        look(READ_1K, name, floor(1.25));
    }
    for name in &engines {
        look(READ_256K, name, floor(1.25));
    }
    look(READ_256K, "file", ext4(1.5));
    for name in &engines {
        look(DROPPED_256K, name, floor(1.6));
    }
    let small = row("1 KiB", 1, Durability::Relaxed);
    look(&small, "memory", floor(1.25));
    look(&small, "pebble", floor(1.5));
    let large = row("256 KiB", 1, Durability::Relaxed);
    for name in ["file", "pebble"] {
        let parts = vec!["floor".to_owned(), HASH.to_owned(), format!("{ENGINE}{name}")];
        look(&large, name, Bound::AtMost(1.3, "floor + hash + engine called directly", parts));
    }
    for size in ["1 KiB", "16 KiB", "256 KiB"] {
        for name in &mounts {
            let row = row(size, 4, Durability::Close);
            look(&row, name, Bound::AtLeast(0.6, "the engine called directly", format!("{ENGINE}{name}")));
        }
    }
    for name in &mounts {
        look(START_CLEAN, name, Bound::Below(300.0));
        look(START_KILLED, name, Bound::Below(1000.0));
        look(START_KILLED_RELAXED, name, Bound::Below(1000.0));
    }
    for row in compared_with_peers() {
        for name in ["file", "pebble"] {
            look(&row, name, Bound::AtLeast(2.0, "rclone", "rclone".to_owned()));
            look(&row, name, Bound::AtLeast(2.0, "Kubo", KUBO.to_owned()));
            look(&row, name, Bound::AtLeast(1.0, "bindfs", "bindfs".to_owned()));
        }
    }
    judged
}

fn compared_with_peers() -> Vec<String> {
    let fixed = [
        READ_1K,
        READ_256K,
        READ_1M,
        DROPPED_256K,
        DROPPED_1M,
        LS_F_FIRST,
        LS_F_AGAIN,
        LS_L_FIRST,
        LS_L_AGAIN,
    ];
    let written = ["1 KiB", "256 KiB"].map(|size| row(size, 1, Durability::Relaxed));
    fixed.into_iter().map(ToOwned::to_owned).chain(written).collect()
}

/// Whether a contender is there to compare with.
pub fn is_reference(name: &str) -> bool {
    ["ext4", "floor", HASH, "bindfs", "rclone", KUBO].contains(&name) || name.starts_with(ENGINE)
}

fn judged_one(results: &Results, row: &str, contender: &str, bound: &Bound) -> Option<Judged> {
    let figure = results.find(row, contender)?;
    let (target, value, reached) = match bound {
        Bound::AtMost(limit, whom, others) => {
            let others: Option<Vec<_>> = others.iter().map(|other| results.find(row, other)).collect();
            let ratio = figure.ratio_to(&others?)?;
            (format!("<= {limit}x {whom}"), format!("{ratio:.2}x"), ratio <= *limit)
        }
        Bound::AtLeast(limit, whom, other) => {
            let speed = results.find(row, other)?.ratio_to(&[figure])?;
            (format!(">= {limit}x as fast as {whom}"), format!("{speed:.2}x"), speed >= *limit)
        }
        Bound::Below(limit) => {
            let value = figure.median();
            (format!("< {limit} {}", figure.unit), format!("{value:.0} {}", figure.unit), value < *limit)
        }
    };
    let text = format!("{} {}", number(figure.median()), figure.unit);
    Some(Judged {
        row: row.to_owned(),
        contender: contender.to_owned(),
        target,
        figure: text,
        value,
        reached,
    })
}

/// The table of the targets.
pub fn table(results: &Results) -> Table {
    let mut table = Table::new(&["work", "who", "target", "figure", "compared", ""]);
    for judged in judge(results) {
        let verdict = if judged.reached { "reached" } else { "**missed**" };
        table.rows.push(vec![
            judged.row,
            judged.contender,
            judged.target,
            judged.figure,
            judged.value,
            verdict.to_owned(),
        ]);
    }
    table
}
