//! The last refusals in words, because an errno is all that a tool can print.
//!
//! Invariant: at most [`REFUSALS_MAX`] are kept, the oldest goes first.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::Error;

/// How many refusals are kept.
pub const REFUSALS_MAX: usize = 100;

/// What is kept of a refusal.
#[derive(Debug)]
struct Refusal {
    at: SystemTime,
    pid: u32,
    operation: &'static str,
    name: String,
    error: Error,
}

/// The refusals of one mount.
#[derive(Debug, Default)]
pub struct Refusals {
    last: Mutex<VecDeque<Refusal>>,
}

impl Refusals {
    /// Keeps a refusal.
    pub fn add(&self, pid: u32, operation: &'static str, name: &OsStr, error: &Error) {
        let name = name.display().to_string();
        let mut last = self.last.lock();
        if last.len() >= REFUSALS_MAX {
            last.pop_front();
        }
        last.push_back(Refusal { at: SystemTime::now(), pid, operation, name, error: error.clone() });
    }

    /// One line each: seconds since 1970, thread, operation, name, errno, what, and what to do.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for refusal in self.last.lock().iter() {
            let seconds = refusal.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let verdict = refusal.error.verdict();
            let hint = if verdict.hint.is_empty() { String::new() } else { format!("; {}", verdict.hint) };
            let line = format!(
                "{seconds:.3} pid {} {} {} errno {}: {}{hint}",
                refusal.pid, refusal.operation, refusal.name, verdict.errno, refusal.error
            );
            text.extend(line.chars().flat_map(printable));
            text.push('\n');
        }
        text
    }
}

/// A name may hold line ends and what moves a terminal's cursor: those are written as Rust does.
fn printable(char: char) -> impl Iterator<Item = char> {
    let escaped = char.is_control().then(|| char.escape_default());
    let plain = escaped.is_none().then_some(char);
    escaped.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_hundred_with_reason_and_hint() {
        let refusals = Refusals::default();
        for n in 0..150u64 {
            let error = Error::TooBig { limit_bytes: n };
            refusals.add(7, "write", OsStr::new("photo.jpg"), &error);
        }
        let text = refusals.to_text();
        assert_eq!(text.lines().count(), REFUSALS_MAX);
        assert!(text.lines().next().unwrap().contains("at most 50 bytes"), "{text}");
        let last = text.lines().last().unwrap();
        assert!(
            last.contains("pid 7 write photo.jpg errno 27: a block may have at most 149 bytes"),
            "{last}"
        );
        assert!(last.contains("--max-block-size"), "{last}");
    }

    #[test]
    fn a_refusal_is_one_line_whatever_the_name_holds() {
        let refusals = Refusals::default();
        let name = OsStr::new("zwei\nZeilen\u{1b}[2J für alle");
        refusals.add(7, "create", name, &Error::NameNotCid { name: name.display().to_string() });
        let text = refusals.to_text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("create zwei\\nZeilen\\u{1b}[2J für alle errno"), "{text}");
    }
}
