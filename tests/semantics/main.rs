//! The rules of the mount and their tests: every sentence of docs/SEMANTICS.md is quoted by a test
//! that proves it.
//!
//! **How to quote.** In the doc comment directly above the test function, as a quotation in Markdown,
//! the sentence as it stands in the document. Where lines are broken does not matter:
//!
//! ```text
//! /// > A close without new bytes gives no verdict; shells and `dd` send one before they write.
//! #[test]
//! fn a_close_with_nothing_new_gives_no_verdict() {
//! ```
//!
//! One quotation may hold several sentences of the document, in any order. A row of a table is one
//! sentence: its cells with ` | ` between them. It stands in a quotation of its own, behind a bare
//! `///` if another one is above it. Words of your own beside a quotation are set apart in the same way.
//!
//! **What is a sentence.** Everything from the first `## ` heading on, but headings and the heads of
//! tables: paragraphs and list items are split behind `.`, `!` and `?`, so an abbreviation with a dot
//! has no place there; the last sentence of a list item needs no dot. What is above the first `## `
//! introduces the document and says what its words mean.
//!
//! **What is a test.** A function with `#[test]` that is not ignored, in a program that has the usual
//! harness; or one that a list of cases, `cases![...]` or `Case::every("...", name)`, or `main` itself names
//! in the same program.
//!
//! The build fails on a sentence that no test quotes, on a quotation that is no sentence (any more),
//! and on one that is not above a test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod checks;
mod document;
mod quotations;
#[path = "../common/sources.rs"]
mod sources;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use document::Sentence;
use quotations::{Quotation, cases, quotations};
use sources::source_files;

/// A Rust file: its path in the repository, and its text.
struct Source {
    path: String,
    text: String,
}

/// What is wrong between a document and the tests in these files; `without_harness` names the test
/// programs in which `#[test]` means nothing.
fn offences(document: &str, sources: &[Source], without_harness: &[&str]) -> Vec<String> {
    let sentences = document::sentences(document);
    let mut found = Vec::new();
    let mut quoted: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, Sentence { line, text }) in sentences.iter().enumerate() {
        if sentences[..index].iter().any(|earlier| earlier.text == *text) {
            found.push(format!("docs/SEMANTICS.md:{line}: this sentence stands twice\n    > {text}"));
        }
        quoted.insert(text, 0);
    }
    for source in sources {
        let listed = listed_cases(source, sources);
        let harness = !without_harness.contains(&program_of(&source.path));
        for Quotation { line, text, test } in quotations(&source.text) {
            let place = format!("{}:{line}", source.path);
            match quoted.get_mut(text.as_str()) {
                Some(count) => *count += 1,
                None => {
                    found.push(format!("{place}: this is no sentence of docs/SEMANTICS.md\n    > {text}"))
                }
            }
            if let Err(why) = test.runs(harness, &listed) {
                found.push(format!("{place}: {why}\n    > {text}"));
            }
        }
    }
    for Sentence { line, text } in &sentences {
        if quoted[text.as_str()] == 0 {
            found.push(format!("docs/SEMANTICS.md:{line}: no test quotes this sentence\n    > {text}"));
        }
    }
    found
}

/// The program, or the folder of modules, that a file belongs to.
fn program_of(path: &str) -> &str {
    let inside = path.strip_prefix("tests/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// What the lists of cases name in the program of a file.
fn listed_cases(of: &Source, sources: &[Source]) -> Vec<String> {
    let same = |other: &&Source| program_of(&other.path) == program_of(&of.path);
    sources.iter().filter(same).flat_map(|other| cases(&other.text)).collect()
}

/// The test programs of Cargo.toml that have no harness.
fn without_harness(manifest: &str) -> Vec<&str> {
    let tables = manifest.split("[[").filter(|table| table.starts_with("test]]"));
    let bare = tables.filter(|table| table.lines().any(|line| line == "harness = false"));
    bare.filter_map(|table| table.split_once("name = \"")?.1.split('"').next()).collect()
}

#[test]
fn every_sentence_of_the_rules_is_quoted_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let files = ["src", "tests"].map(|dir| source_files(&root.join(dir))).concat();
    assert!(files.len() > 100, "only {} files under {}", files.len(), root.display());
    let source = |path: &PathBuf| Source {
        path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
        text: read(path),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    let manifest = read(&root.join("Cargo.toml"));
    let found = offences(&read(&root.join("docs/SEMANTICS.md")), &sources, &without_harness(&manifest));
    assert!(
        found.is_empty(),
        "{} offences (how to quote: tests/semantics/main.rs)\n\n{}",
        found.len(),
        found.join("\n\n")
    );
}
