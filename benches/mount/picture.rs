//! docs/benchmarks.svg: groups of bars on a logarithmic scale, readable on light and dark paper.

use std::fmt::Write as _;

use ipfs_persist_mount::blockstore::Durability;

use crate::large::{LS_F_FIRST, LS_L_FIRST};
use crate::reading::{DROPPED_256K, READ_1K, READ_256K};
use crate::results::Results;
use crate::writing::row;

/// Who is shown, with the colour.
const BARS: [(&str, &str); 8] = [
    ("ext4", "#888888"),
    ("floor", "#bbbbbb"),
    ("memory", "#e0a030"),
    ("file", "#2f7fd0"),
    ("pebble", "#2fa060"),
    ("bindfs", "#b05fc0"),
    ("rclone", "#d05050"),
    ("ipfs", "#40a0a0"),
];
const BAR_WIDTH: f64 = 14.0;
const GROUP_GAP: f64 = 22.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 56.0;
const HEIGHT: f64 = 300.0;
/// The scale in microseconds.
const LOWEST: f64 = 0.1;
const HIGHEST: f64 = 10_000.0;

/// The groups: what is written below, and the row.
fn groups() -> Vec<([&'static str; 2], String)> {
    vec![
        (["read 1 KiB", "hot"], READ_1K.to_owned()),
        (["read 256 KiB", "hot"], READ_256K.to_owned()),
        (["read 256 KiB", "dropped"], DROPPED_256K.to_owned()),
        (["create 1 KiB", "relaxed"], row("1 KiB", 1, Durability::Relaxed)),
        (["create 256 KiB", "relaxed"], row("256 KiB", 1, Durability::Relaxed)),
        (["create 1 KiB", "durable, 4 at once"], row("1 KiB", 4, Durability::Close)),
        (["ls -f, a name", "first time"], LS_F_FIRST.to_owned()),
        (["ls -l, a name", "first time"], LS_L_FIRST.to_owned()),
    ]
}

/// How high a value stands above the lowest.
fn height(value: f64) -> f64 {
    let share = (value / LOWEST).log10() / (HIGHEST / LOWEST).log10();
    share.clamp(0.0, 1.0) * HEIGHT
}

/// The picture.
pub fn picture(results: &Results) -> String {
    let groups: Vec<_> = groups()
        .into_iter()
        .filter(|(_, row)| results.figures.iter().any(|figure| figure.row == *row))
        .collect();
    let group_width = BAR_WIDTH * BARS.len() as f64 + GROUP_GAP;
    let width = LEFT + group_width * groups.len() as f64 + 16.0;
    let bottom = TOP + HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Microseconds for each operation, on a logarithmic scale</title>\n\
         <style>text {{ fill: #222 }} .rule {{ stroke: #ddd }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} .rule {{ stroke: #444 }} }}</style>\n",
        bottom + 48.0,
    );
    // Writing to a String cannot fail.
    let mut value = LOWEST;
    while value <= HIGHEST * 1.001 {
        let y = bottom - height(value);
        let _ = writeln!(
            svg,
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{width:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{value} us</text>",
            LEFT - 6.0,
            y + 4.0
        );
        value *= 10.0;
    }
    for (index, (name, colour)) in BARS.iter().enumerate() {
        let x = LEFT + 96.0 * index as f64;
        let _ = writeln!(svg, "<rect x=\"{x:.0}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"25\">{name}</text>", x + 17.0);
    }
    for (number, (words, row)) in groups.iter().enumerate() {
        let left = LEFT + GROUP_GAP / 2.0 + group_width * number as f64;
        svg.push_str(&group(results, row, left, bottom));
        for (line, word) in words.iter().enumerate() {
            let x = left + BAR_WIDTH * BARS.len() as f64 / 2.0;
            let y = bottom + 18.0 + 16.0 * line as f64;
            let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\">{word}</text>");
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn group(results: &Results, row: &str, left: f64, bottom: f64) -> String {
    let mut svg = String::new();
    for (index, (name, colour)) in BARS.iter().enumerate() {
        let Some(figure) = results.find(row, name) else { continue };
        let (median, x) = (figure.median(), left + BAR_WIDTH * index as f64);
        let tall = height(median);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"{colour}\">\
             <title>{name}: {median:.1} us</title></rect>",
            bottom - tall,
            BAR_WIDTH - 2.0,
        );
    }
    svg
}
