//! The layers of `src/`, enforced: what a module may import, where external crates live, and how
//! the files look. A failure names the file and the line that offends.
//!
//! The checker reads tokens, not text: comments and string literals do not count, paths inside of
//! expressions do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod checks;
#[path = "../common/sources.rs"]
mod sources;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sources::source_files;

/// Modules of the crate with their layer; a module imports from its own layer and from lower ones.
const LAYERS: &[(&str, u32)] = &[
    ("cli", 6),
    ("mount", 5),
    ("fs", 4),
    ("jobs", 4),
    ("blockstore", 3),
    ("datastore", 2),
    ("block", 1),
    ("error", 0),
    ("metrics", 0),
    ("sys", 0),
];

/// Modules of one layer that must not see each other.
const STRANGERS: &[(&str, &str)] = &[("fs", "jobs"), ("jobs", "fs")];

/// What the errors may use of their own layer.
const ERROR_MAY_USE: &str = "errno";

/// External crates with the one directory (or file) that may name them.
const HOMES: &[(&str, &str)] = &[
    ("fuser", "mount/"),
    ("clap", "cli/"),
    ("clap_complete", "cli/"),
    ("clap_mangen", "cli/"),
    ("comfy_table", "cli/"),
    ("bytesize", "cli/"),
    ("indicatif", "cli/"),
    ("tracing_subscriber", "cli/"),
    ("tracing_journald", "cli/"),
    ("nix", "sys/"),
    ("libc", "sys/"),
    ("signal_hook", "sys/"),
    ("thiserror", "error/"),
    ("prometheus_client", "metrics.rs"),
    ("rocksdb", "datastore/"),
    ("redb", "datastore/"),
    ("sled", "datastore/"),
    ("crc32fast", "datastore/"),
    ("cid", "block/"),
    ("multihash", "block/"),
    ("multibase", "block/"),
    ("sha1", "block/"),
    ("sha2", "block/"),
    ("sha3", "block/"),
    ("blake2b_simd", "block/"),
    ("blake2s_simd", "block/"),
];

/// Longest file, in lines.
const FILE_LINES_MAX: usize = 400;

/// Words that say that something is not done.
const UNDONE: &[&str] = &["TODO", "FIXME", "XXX"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Sign(char),
}

type Tokens = Vec<(usize, Token)>;

/// Where a token stands, and the path that begins there.
type Found = (usize, Vec<String>);

/// The tokens of a Rust file with their lines, without comments, literals and lifetimes.
fn tokens(text: &str) -> Tokens {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let start = index;
        let sign = at(index);
        if sign == '/' && at(index + 1) == '/' {
            while index < chars.len() && at(index) != '\n' {
                index += 1;
            }
        } else if sign == '/' && at(index + 1) == '*' {
            index = end_of_block_comment(&chars, index);
        } else if sign == '"' {
            index = end_of_string(&chars, index + 1);
        } else if let Some(end) = end_of_raw_string(&chars, index) {
            index = end;
        } else if sign == '\'' {
            index = end_of_char_or_lifetime(&chars, index);
        } else if sign.is_alphanumeric() || sign == '_' {
            while at(index).is_alphanumeric() || at(index) == '_' {
                index += 1;
            }
            found.push((line, Token::Word(chars[start..index].iter().collect())));
        } else if sign == ':' && at(index + 1) == ':' {
            index += 2;
            found.push((line, Token::Colons));
        } else {
            index += 1;
            if !sign.is_whitespace() {
                found.push((line, Token::Sign(sign)));
            }
        }
        line += chars[start..index].iter().filter(|sign| **sign == '\n').count();
    }
    found
}

fn end_of_block_comment(chars: &[char], mut index: usize) -> usize {
    let mut depth = 0;
    loop {
        match (chars.get(index), chars.get(index + 1)) {
            (Some('/'), Some('*')) => (depth, index) = (depth + 1, index + 2),
            (Some('*'), Some('/')) => (depth, index) = (depth - 1, index + 2),
            (Some(_), _) => index += 1,
            (None, _) => return chars.len(),
        }
        if depth == 0 {
            return index;
        }
    }
}

fn end_of_string(chars: &[char], mut index: usize) -> usize {
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(chars.len())
}

/// `r"..."`, `r#"..."#`, `br"..."`, and also `b"..."`, `c"..."`, whose prefix is no word either.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    if start > 0 && (chars[start - 1].is_alphanumeric() || chars[start - 1] == '_') {
        return None;
    }
    let prefix = chars[start..].iter().take_while(|sign| matches!(sign, 'r' | 'b' | 'c')).count();
    let hashes = chars[start + prefix..].iter().take_while(|sign| **sign == '#').count();
    let open = start + prefix + hashes;
    if prefix == 0 || prefix > 2 || chars.get(open) != Some(&'"') {
        return None;
    }
    let raw = chars[start..start + prefix].contains(&'r');
    if !raw {
        return (hashes == 0).then(|| end_of_string(chars, open + 1));
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let length = chars[open + 1..].windows(closing.len()).position(|window| window == closing)?;
    Some(open + 1 + length + closing.len())
}

fn end_of_char_or_lifetime(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            let end = chars[start + 3..].iter().position(|sign| *sign == '\'');
            end.map_or(chars.len(), |end| start + 3 + end + 1)
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start + 1,
    }
}

/// Reads the paths of one file.
struct Reader<'a> {
    tokens: &'a [(usize, Token)],
    next: usize,
    /// The module that the next token is in.
    module: Vec<String>,
    /// The depth of braces, and that at which each inner module began.
    depth: usize,
    inner: Vec<usize>,
    found: Vec<Found>,
}

/// Every path in the file, from the crate's root where it is one of ours: `crate`, then modules.
fn paths(tokens: &Tokens, module: &[String]) -> Vec<Found> {
    let mut reader =
        Reader { tokens, next: 0, module: module.to_vec(), depth: 0, inner: Vec::new(), found: Vec::new() };
    while reader.next < tokens.len() {
        reader.step();
    }
    reader.found
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead).map(|(_, token)| token)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.peek(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn step(&mut self) {
        match self.peek(0).cloned() {
            Some(Token::Sign('{')) => {
                self.depth += 1;
                self.next += 1;
            }
            Some(Token::Sign('}')) => {
                self.depth -= 1;
                self.next += 1;
                if self.inner.last() == Some(&self.depth) {
                    self.inner.pop();
                    self.module.pop();
                }
            }
            Some(Token::Word(word)) if word == "mod" && self.peek(2) == Some(&Token::Sign('{')) => {
                self.inner.push(self.depth);
                self.module.push(self.word(1).unwrap_or_default().to_owned());
                self.next += 2;
            }
            Some(Token::Word(word)) if word == "use" && self.peek(1) != Some(&Token::Sign('<')) => {
                self.next += 1;
                self.tree(&[]);
            }
            Some(Token::Word(_)) => self.path(),
            Some(_) => self.next += 1,
            None => {}
        }
    }

    /// One branch of the tree of a `use`, up to the sign behind it.
    fn tree(&mut self, stem: &[String]) {
        let line = self.tokens.get(self.next).map_or(0, |(line, _)| *line);
        let mut path = stem.to_vec();
        loop {
            match self.peek(0).cloned() {
                Some(Token::Colons) => self.next += 1,
                Some(Token::Word(word)) if word == "as" => self.next += 2,
                Some(Token::Word(word)) => {
                    path.push(word);
                    self.next += 1;
                }
                Some(Token::Sign('*')) => self.next += 1,
                Some(Token::Sign('{')) => {
                    self.next += 1;
                    while !matches!(self.peek(0), Some(Token::Sign('}')) | None) {
                        self.tree(&path);
                        if self.peek(0) == Some(&Token::Sign(',')) {
                            self.next += 1;
                        }
                    }
                    self.next += 1;
                    return;
                }
                _ => break,
            }
        }
        self.add(line, path);
    }

    /// A path in an expression, a type or an attribute; a single word is none.
    fn path(&mut self) {
        let line = self.tokens[self.next].0;
        let mut path = vec![self.word(0).unwrap_or_default().to_owned()];
        self.next += 1;
        while self.peek(0) == Some(&Token::Colons)
            && let Some(word) = self.word(1).map(ToOwned::to_owned)
        {
            path.push(word);
            self.next += 2;
        }
        if path.len() > 1 {
            self.add(line, path);
        }
    }

    /// Replaces `self` and `super` by what they stand for.
    fn add(&mut self, line: usize, path: Vec<String>) {
        let mut module = self.module.clone();
        let mut rest = path.as_slice();
        let mut relative = false;
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                "self" => relative = true,
                "super" => {
                    relative = true;
                    module.pop();
                }
                _ => break,
            }
            rest = tail;
        }
        let path = if relative {
            std::iter::once("crate".to_owned()).chain(module).chain(rest.iter().cloned()).collect()
        } else {
            path
        };
        self.found.push((line, path));
    }
}

/// The module that a file under `src/` is: `fs/mod.rs` is `fs`, `fs/file.rs` is `fs::file`.
fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    if stem == "lib" || stem == "main" {
        return Vec::new();
    }
    stem.split('/').map(ToOwned::to_owned).collect()
}

fn layer(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// What is wrong with one file; `file` is its path under `src/`.
fn offences(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut offend = |line: usize, what: String| found.push(format!("src/{file}:{line}: {what}"));
    let tokens = tokens(text);
    for (line, path) in paths(&tokens, &module_of(file)) {
        if let Some(what) = offending_path(file, &path) {
            offend(line, what);
        }
    }
    for (line, token) in &tokens {
        if *token == Token::Word("unsafe".to_owned()) && !file.starts_with("sys/") {
            offend(*line, "unsafe code belongs into sys/".to_owned());
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split(|sign: char| !sign.is_alphanumeric());
        if let Some(word) = words.find(|word| UNDONE.contains(word)) {
            offend(number, format!("{word}: what is not done is not there"));
        }
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        offend(lines, format!("{lines} lines, and {FILE_LINES_MAX} are the most"));
    }
    if !text.starts_with("//! ") {
        offend(1, "a file begins with `//!` and says what it is".to_owned());
    }
    found
}

fn offending_path(file: &str, path: &[String]) -> Option<String> {
    let own = module_of(file).first().cloned().unwrap_or_default();
    let first = path.first()?.as_str();
    if let Some((_, home)) = HOMES.iter().find(|(name, _)| *name == first) {
        return (!file.starts_with(home)).then(|| format!("the crate {first} belongs into {home}"));
    }
    // The root of the crate names its modules, and Error and Result stand for those of `error`.
    let (Some(from), "crate") = (layer(&own), first) else { return None };
    let target = match path.get(1)?.as_str() {
        "Error" | "Result" => "error",
        target => target,
    };
    if target == own {
        return None;
    }
    let Some(to) = layer(target) else { return Some(format!("crate::{target} is in none of the layers")) };
    let shown = path.join("::");
    if to > from {
        return Some(format!("{own} reaches up to {shown}"));
    }
    if STRANGERS.contains(&(own.as_str(), target)) {
        return Some(format!("{own} and {target} do not see each other ({shown})"));
    }
    let is_errno = target == "sys" && path.get(2).is_some_and(|name| name == ERROR_MAY_USE);
    (own == "error" && !is_errno)
        .then(|| format!("error uses {shown}; it may use sys::{ERROR_MAY_USE} alone"))
}
