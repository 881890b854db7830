//! The result of a command that works on several things: a line for each, for people or programs.
//!
//! Invariant: what cannot be written to standard output does not keep the work from being done; it is
//! the error of the end, unless the reader has just had enough.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Seek, StdoutLock, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::output;
use crate::sys;
use crate::{Error, Result};

/// Lines on standard output, and failures beside them.
pub(super) struct Lines {
    out: BufWriter<StdoutLock<'static>>,
    /// Lines that are kept back.
    held: Option<BufWriter<File>>,
    json: bool,
    written: io::Result<()>,
    code: Option<ExitCode>,
}

impl Lines {
    /// For programs with `json`.
    pub(super) fn new(json: bool) -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), held: None, json, written: Ok(()), code: None }
    }

    /// Whether anybody still reads.
    pub(super) fn is_open(&self) -> bool {
        self.written.is_ok()
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.written.is_ok() {
            self.written = match &mut self.held {
                Some(held) => held.write_all(bytes),
                None => self.out.write_all(bytes),
            };
        }
    }

    /// Keeps lines in a temporary file until [`Lines::let_go`], if a pipe takes them: whoever reads it may
    /// wait for what this command has.
    pub(super) fn hold_back(&mut self) {
        if sys::is_pipe(io::stdout().as_fd()) {
            // Without room for a file they are written as they come.
            self.held = sys::unnamed_file().ok().map(BufWriter::new);
        }
    }

    /// Writes the lines that were kept back.
    pub(super) fn let_go(&mut self) {
        if let Some(held) = self.held.take()
            && self.written.is_ok()
        {
            let copied = held.into_inner().map_err(io::IntoInnerError::into_error).and_then(|mut file| {
                file.rewind()?;
                io::copy(&mut file, &mut self.out)
            });
            self.written = copied.map(drop);
        }
    }

    /// Writes what was done: text, which may be none, or an object.
    pub(super) fn done(&mut self, text: impl FnOnce() -> Vec<u8>, object: impl FnOnce() -> Value) {
        let line = if self.json { format!("{}\n", object()).into_bytes() } else { text() };
        self.bytes(&line);
    }

    /// Shows what was done so far, before more work that may take its time.
    pub(super) fn flush(&mut self) {
        if self.written.is_ok() {
            self.written = self.out.flush();
        }
    }

    /// Tells a failure on standard error, and as an object whose `field` says what it is about.
    pub(super) fn failed(&mut self, field: &str, what: &OsStr, error: &Error) {
        self.flush();
        let code = output::fail_at(Path::new(what), error);
        self.code.get_or_insert(code);
        if self.json {
            let object = json!({
                "status": "failed",
                field: what.to_string_lossy(),
                "error": error.to_string(),
                "hint": error.verdict().hint,
                "exit_code": output::exit_code(error),
            });
            self.bytes(format!("{object}\n").as_bytes());
        }
    }

    /// The end of the command: the exit code is that of the first failure.
    pub(super) fn finish(mut self, result: Result<()>) -> Result<ExitCode> {
        self.flush();
        let code = match (self.code, result) {
            (Some(code), Err(error)) => {
                output::fail(&error);
                code
            }
            (None, Err(error)) => return Err(error),
            (code, Ok(())) => code.unwrap_or(ExitCode::SUCCESS),
        };
        output::finish(self.written, code)
    }
}

/// Seconds since 1970, rounded down, and the nanoseconds behind them.
pub(super) fn unix_time(time: SystemTime) -> (i64, u32) {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let secs = i64::try_from(before.as_secs()).map_or(i64::MIN, |secs| -secs);
            match before.subsec_nanos() {
                0 => (secs, 0),
                nanos => (secs.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    }
}

/// A time in UTC, such as `2026-11-26T01:30:31Z` (RFC 3339).
pub(super) fn utc(time: SystemTime) -> String {
    let (secs, _) = unix_time(time);
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// The date that is so many days after 1970-01-01. Years begin in March here, so that the day that
/// some years have more is their last; 400 years have 146,097 days.
fn date(days: i64) -> (i64, i64, i64) {
    let from_march_0 = days.saturating_add(719_468);
    let (era, day) = (from_march_0.div_euclid(146_097), from_march_0.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(secs: i64) -> SystemTime {
        let distance = Duration::from_secs(secs.unsigned_abs());
        if secs < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
    }

    #[test]
    fn times_are_written_as_date_does() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (-2_203_891_200, "1900-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(at(secs)), text);
        }
    }

    #[test]
    fn nanoseconds_count_forward_on_both_sides_of_1970() {
        assert_eq!(unix_time(at(7) + Duration::from_nanos(3)), (7, 3));
        assert_eq!(unix_time(at(-7) + Duration::from_nanos(3)), (-7, 3));
        assert_eq!(unix_time(at(-7)), (-7, 0));
    }
}
